//! Where rules come from: the file, watched, read when it has settled.
//!
//! After a rename or a close it is read at once; otherwise when size and time stood still for
//! 100 ms, at latest 500 ms after the first sign. A slow poll beside the watch finds what no event
//! told: network file systems, a replaced directory, a swapped symlink further up.

mod watch;

#[cfg(test)]
mod tests;

use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use watch::Hint;
use watch::Hints;
use watch::Watch;
use xxhash_rust::xxh3::xxh3_64;

/// Size and time must stand still for so long.
const STILL: Duration = Duration::from_millis(100);
/// But it is read at latest so long after the first sign.
const LATEST: Duration = Duration::from_millis(500);
/// How often a file that is being written is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// Between two reads, whatever happens.
const GAP: Duration = Duration::from_millis(30);
/// How often the path is looked at without any sign.
const POLL: Duration = Duration::from_millis(500);
/// Every so many polls the content is compared, too.
const DEEP: u32 = 4;
/// One byte more than the rules take.
const BYTES: u64 = 4 * 1_024 * 1_024 + 1;

/// One reading of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reading {
    /// Its bytes, at most one over the limit; or why it cannot be read.
    pub(super) content: Result<Arc<[u8]>, String>,
    /// It came whole: by a rename, or by a swapped symlink.
    pub(super) whole: bool,
    /// Somebody asked for it.
    pub(super) forced: bool,
    /// It was asked for to see whether it is still the same.
    pub(super) again: bool,
    /// When.
    pub(super) at: Instant,
}

/// What the loop may ask of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// Read now.
    Force,
    /// Look whether something changed.
    Look,
    /// Read once more then.
    Again(Instant),
}

/// What a path names, as far as it can be seen from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stat {
    target: PathBuf,
    identity: (u64, u64),
    size: u64,
    time: (i64, i64),
}

impl Stat {
    fn of(path: &Path) -> Option<Self> {
        let target = std::fs::canonicalize(path).ok()?;
        let found = std::fs::metadata(&target).ok()?;
        Some(Self {
            target,
            identity: (found.dev(), found.ino()),
            size: found.len(),
            time: (found.mtime(), found.mtime_nsec()),
        })
    }
}

/// A file that is being written.
#[derive(Debug)]
struct Writing {
    first: Instant,
    still: Instant,
    last: Option<Stat>,
}

/// The task that watches and reads.
#[derive(Debug)]
pub(super) struct Source {
    path: PathBuf,
    hints: Arc<Hints>,
    asks: mpsc::Receiver<Ask>,
    readings: mpsc::Sender<Reading>,
    watch: Watch,
    writing: Option<Writing>,
    again: Option<Instant>,
    read_at: Option<Instant>,
    read_stat: Option<Stat>,
    read_hash: Option<u64>,
    polls: u32,
}

/// Makes a source and its two ends; `running` is the text that runs already.
pub(super) fn source(
    path: PathBuf,
    running: &str,
) -> (Source, mpsc::Sender<Ask>, mpsc::Receiver<Reading>) {
    // Asks and readings are taken as they come; a full queue makes the asking wait, never drop.
    let (ask, asks) = mpsc::channel(64);
    let (readings, read) = mpsc::channel(1);
    let hints = Arc::new(Hints::default());
    let source = Source {
        watch: Watch::new(Arc::clone(&hints)),
        hints,
        asks,
        readings,
        writing: None,
        again: None,
        read_at: None,
        read_stat: Stat::of(&path),
        read_hash: Some(xxh3_64(running.as_bytes())),
        polls: 0,
        path,
    };
    (source, ask, read)
}

impl Source {
    /// Watches until the loop is gone.
    pub(super) async fn run(mut self) {
        self.watch.renew(&self.path);
        let mut poll = Instant::now() + POLL;
        loop {
            let look = self.writing.is_some().then(|| Instant::now() + LOOK);
            let next = [Some(poll), look, self.again].into_iter().flatten().min();
            // Canceling any of these loses nothing: hints and asks stay, times come again.
            let going = tokio::select! {
                ask = self.asks.recv() => match ask {
                    Some(ask) => self.asked(ask).await,
                    None => false,
                },
                () = self.hints.wake.notified() => self.hinted().await,
                () = tokio::time::sleep_until(next.unwrap_or(poll)) => {
                    let now = Instant::now();
                    let mut going = true;
                    if self.again.is_some_and(|at| at <= now) {
                        self.again = None;
                        going = self.read(Why::Again).await;
                    } else if self.writing.is_some() {
                        going = self.look().await;
                    }
                    if poll <= now {
                        poll = now + POLL;
                        going = going && self.poll().await;
                    }
                    going
                }
            };
            if !going {
                return;
            }
        }
    }

    async fn asked(&mut self, ask: Ask) -> bool {
        match ask {
            Ask::Force => self.read(Why::Forced).await,
            Ask::Look => {
                self.touched();
                true
            }
            Ask::Again(at) => {
                self.again = Some(at);
                true
            }
        }
    }

    async fn hinted(&mut self) -> bool {
        // Events come in swarms; what they tell together is told by the latest.
        if let Some(at) = self.read_at {
            tokio::time::sleep_until(at + GAP).await;
        }
        match self.hints.take() {
            Some(Hint::Renamed) => self.read(Why::Whole).await,
            Some(Hint::Closed) => self.read(Why::Closed).await,
            Some(Hint::Touched) => {
                self.touched();
                true
            }
            Some(Hint::Near) => self.swapped().await,
            None => true,
        }
    }

    fn touched(&mut self) {
        let now = Instant::now();
        self.writing.get_or_insert(Writing {
            first: now,
            still: now,
            last: None,
        });
    }

    /// Reads if the path leads to another file than it did.
    async fn swapped(&mut self) -> bool {
        let target = |stat: &Option<Stat>| stat.as_ref().map(|s| s.target.clone());
        let now = stat(&self.path).await;
        if now.is_some() && target(&now) != target(&self.read_stat) {
            self.watch.renew(&self.path);
            return self.read(Why::Whole).await;
        }
        true
    }

    /// Looks whether a file that is being written stands still.
    async fn look(&mut self) -> bool {
        let now_stat = stat(&self.path).await;
        let now = Instant::now();
        let Some(writing) = &mut self.writing else {
            return true;
        };
        if writing.last != now_stat {
            writing.last = now_stat;
            writing.still = now;
        }
        if now - writing.still >= STILL || now - writing.first >= LATEST {
            return self.read(Why::Still).await;
        }
        true
    }

    async fn poll(&mut self) -> bool {
        self.watch.keep(&self.path);
        self.polls = self.polls.wrapping_add(1);
        if self.writing.is_some() || self.again.is_some() {
            return true;
        }
        let now = stat(&self.path).await;
        if now == self.read_stat {
            // Two writes of one size within a tick of the clock look alike from outside.
            return !self.polls.is_multiple_of(DEEP) || self.read(Why::Deep).await;
        }
        let target = |stat: &Option<Stat>| stat.as_ref().map(|s| s.target.clone());
        if now.is_some() && self.read_stat.is_some() && target(&now) != target(&self.read_stat) {
            return self.read(Why::Whole).await;
        }
        self.touched();
        true
    }

    async fn read(&mut self, why: Why) -> bool {
        let path = self.path.clone();
        let read = tokio::task::spawn_blocking(move || {
            let before = Stat::of(&path);
            (before, content(&path))
        });
        let (stat, content) = match read.await {
            Ok((stat, content)) => (stat, content.map_err(|e| e.to_string())),
            Err(error) => (None, Err(error.to_string())),
        };
        let at = Instant::now();
        let hash = content.as_ref().ok().map(|bytes| xxh3_64(bytes));
        let known = hash.is_some() && hash == self.read_hash;
        let same_file = stat.is_some() && stat == self.read_stat;
        // A second event of one save, and a poll that found nothing, are no new content.
        let nothing_new = match why {
            Why::Forced | Why::Again => false,
            Why::Deep => known,
            Why::Whole | Why::Closed | Why::Still => known && same_file,
        };
        self.writing = None;
        self.read_at = Some(at);
        self.read_stat = stat;
        self.read_hash = hash;
        if nothing_new {
            return true;
        }
        let reading = Reading {
            content,
            whole: why == Why::Whole,
            forced: why == Why::Forced,
            again: why == Why::Again,
            at,
        };
        self.readings.send(reading).await.is_ok()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    Whole,
    Closed,
    Still,
    Forced,
    Again,
    Deep,
}

async fn stat(path: &Path) -> Option<Stat> {
    let path = path.to_owned();
    let found = tokio::task::spawn_blocking(move || Stat::of(&path));
    found.await.ok().flatten()
}

fn content(path: &Path) -> Result<Arc<[u8]>, std::io::Error> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?
        .take(BYTES)
        .read_to_end(&mut bytes)?;
    Ok(bytes.into())
}
