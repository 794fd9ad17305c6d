//! Where rules come from: the file, watched, read when it has settled.
//!
//! After a rename or a close it is read at once; otherwise when size and time stood still for
//! 100 ms, at latest 500 ms after the first sign. A slow poll beside the watch finds what no event
//! told: network file systems, a replaced directory, a swapped symlink further up.

use notify::Event;
use notify::EventKind;
use notify::RecommendedWatcher;
use notify::RecursiveMode;
use notify::Watcher;
use notify::event::AccessKind;
use notify::event::AccessMode;
use notify::event::ModifyKind;
use notify::event::RenameMode;
use std::ffi::OsString;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::sync::mpsc;
use tokio::time::Instant;
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
/// How often a watch that could not be set is tried again.
const WATCH_AGAIN: Duration = Duration::from_secs(2);
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

/// What an event tells, the strongest last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Hint {
    /// Another name in the directory changed: a symlink further up may have been swapped.
    Near,
    /// It is being written.
    Touched,
    /// A writer closed it.
    Closed,
    /// Another file has its name now.
    Renamed,
}

#[derive(Debug, Default)]
struct Hints {
    latest: Mutex<Option<Hint>>,
    wake: Notify,
}

impl Hints {
    fn put(&self, hint: Hint) {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        // The latest counts: what is written after a rename did not come whole.
        if hint != Hint::Near || latest.is_none() {
            *latest = Some(hint);
        }
        drop(latest);
        self.wake.notify_one();
    }

    fn take(&self) -> Option<Hint> {
        self.latest
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
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

/// The watch on the directories of the file: of its path, and of what that leads to.
#[derive(Debug)]
struct Watch {
    hints: Arc<Hints>,
    names: Arc<Mutex<Vec<OsString>>>,
    watcher: Option<RecommendedWatcher>,
    directories: Vec<(PathBuf, Option<(u64, u64)>)>,
    tried: Option<Instant>,
}

impl Watch {
    fn new(hints: Arc<Hints>) -> Self {
        Self {
            hints,
            names: Arc::default(),
            watcher: None,
            directories: Vec::new(),
            tried: None,
        }
    }

    /// Watches anew if a directory is another one than it was, or was never watched.
    fn keep(&mut self, path: &Path) {
        let moved = |(directory, was): &(PathBuf, Option<(u64, u64)>)| {
            was.is_none() || identity(directory) != *was
        };
        let lost = self.watcher.is_none() || self.directories.iter().any(moved);
        let due = self.tried.is_none_or(|at| at.elapsed() >= WATCH_AGAIN);
        if lost && due {
            self.renew(path);
        }
    }

    fn renew(&mut self, path: &Path) {
        self.tried = Some(Instant::now());
        let target = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let mut names = Vec::new();
        let mut directories = Vec::new();
        for one in [path, &target] {
            names.extend(one.file_name().map(OsString::from));
            let directory = match one.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
                _ => PathBuf::from("."),
            };
            if !directories.contains(&directory) {
                directories.push(directory);
            }
        }
        *self.names.lock().unwrap_or_else(PoisonError::into_inner) = names;
        let (hints, names) = (Arc::clone(&self.hints), Arc::clone(&self.names));
        let made = notify::recommended_watcher(move |event: notify::Result<Event>| {
            let names = names.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(hint) = event.map_or(Some(Hint::Touched), |e| hint(&e, &names)) {
                hints.put(hint);
            }
        });
        self.directories = directories.into_iter().map(|d| (d, None)).collect();
        self.watcher = match made {
            Ok(watcher) => Some(watcher),
            Err(error) => {
                tracing::warn!(%error, "the rules cannot be watched; they are looked at every half second");
                None
            }
        };
        let Some(watcher) = &mut self.watcher else {
            return;
        };
        for (directory, watched) in &mut self.directories {
            match watcher.watch(directory, RecursiveMode::NonRecursive) {
                Ok(()) => *watched = identity(directory),
                Err(error) => tracing::debug!(%error, "a directory cannot be watched now"),
            }
        }
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    let found = std::fs::metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}

/// Reads what an event tells about the file of one of these names.
fn hint(event: &Event, names: &[OsString]) -> Option<Hint> {
    let about = |path: Option<&PathBuf>| {
        path.and_then(|p| p.file_name())
            .is_some_and(|name| names.iter().any(|n| n == name))
    };
    let ours = event.paths.iter().any(|p| about(Some(p)));
    match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) if ours => Some(Hint::Closed),
        EventKind::Access(_) => None,
        EventKind::Modify(ModifyKind::Name(mode)) => match mode {
            RenameMode::To | RenameMode::Both if about(event.paths.last()) => Some(Hint::Renamed),
            // The file left its name; what comes next is told by itself.
            RenameMode::From if ours => Some(Hint::Touched),
            _ => Some(Hint::Near),
        },
        _ if ours => Some(Hint::Touched),
        EventKind::Create(_) | EventKind::Remove(_) => Some(Hint::Near),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use tempfile::TempDir;
    use tokio::task::JoinSet;

    struct Bench {
        directory: TempDir,
        readings: mpsc::Receiver<Reading>,
        asks: mpsc::Sender<Ask>,
        _tasks: JoinSet<()>,
    }

    impl Bench {
        async fn start(text: &str) -> Self {
            let directory = tempfile::tempdir().unwrap();
            std::fs::write(directory.path().join("routes.yaml"), text).unwrap();
            Self::at(directory, "routes.yaml", text).await
        }

        async fn at(directory: TempDir, name: &str, text: &str) -> Self {
            let (source, asks, readings) = source(directory.path().join(name), text);
            let mut tasks = JoinSet::new();
            tasks.spawn(source.run());
            // Lets the task set its watch.
            tokio::time::sleep(Duration::from_millis(50)).await;
            Self {
                directory,
                readings,
                asks,
                _tasks: tasks,
            }
        }

        fn path(&self) -> PathBuf {
            self.directory.path().join("routes.yaml")
        }

        async fn next(&mut self) -> Reading {
            let next = self.readings.recv();
            let next = tokio::time::timeout(Duration::from_secs(3), next).await;
            next.expect("a reading in time").expect("a source")
        }

        async fn quiet(&mut self, millis: u64) {
            let next = self.readings.recv();
            let next = tokio::time::timeout(Duration::from_millis(millis), next).await;
            assert!(next.is_err(), "{next:?}");
        }
    }

    fn text(reading: &Reading) -> String {
        String::from_utf8_lossy(reading.content.as_ref().unwrap()).into_owned()
    }

    #[tokio::test]
    async fn a_save_in_place_is_read_once_at_its_close() {
        let mut bench = Bench::start("a").await;
        let since = Instant::now();
        std::fs::write(bench.path(), "b").unwrap();
        let reading = bench.next().await;
        assert_eq!((text(&reading).as_str(), reading.whole), ("b", false));
        assert!(since.elapsed() < Duration::from_millis(100));
        bench.quiet(1_200).await;
    }

    #[tokio::test]
    async fn a_save_by_rename_came_whole() {
        let mut bench = Bench::start("a").await;
        let temporary = bench.directory.path().join(".routes.yaml.swp");
        std::fs::write(&temporary, "b").unwrap();
        std::fs::rename(&temporary, bench.path()).unwrap();
        let reading = bench.next().await;
        assert_eq!((text(&reading).as_str(), reading.whole), ("b", true));
        std::fs::write(bench.path(), "c").unwrap();
        let reading = bench.next().await;
        assert_eq!((text(&reading).as_str(), reading.whole), ("c", false));
    }

    #[tokio::test]
    async fn a_writer_that_stays_open_is_read_when_it_pauses_and_at_latest_after_half_a_second() {
        let mut bench = Bench::start("a").await;
        let mut file = std::fs::File::create(bench.path()).unwrap();
        let since = Instant::now();
        file.write_all(b"b").unwrap();
        let reading = bench.next().await;
        assert_eq!(text(&reading), "b");
        let took = since.elapsed();
        assert!(took >= STILL && took < LATEST, "{took:?}");
        let since = Instant::now();
        let read = loop {
            file.write_all(b"c").unwrap();
            match tokio::time::timeout(Duration::from_millis(10), bench.readings.recv()).await {
                Ok(reading) => break reading.unwrap(),
                Err(_) => assert!(since.elapsed() < Duration::from_secs(1)),
            }
        };
        assert!(since.elapsed() >= Duration::from_millis(400));
        assert!(text(&read).starts_with("bc"));
    }

    #[tokio::test]
    async fn a_swapped_symlink_came_whole() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        for (name, text) in [("..1", "a"), ("..2", "b"), ("..3", "c")] {
            std::fs::create_dir(at(name)).unwrap();
            std::fs::write(at(name).join("routes.yaml"), text).unwrap();
        }
        std::os::unix::fs::symlink("..1", at("..data")).unwrap();
        std::os::unix::fs::symlink("..data/routes.yaml", at("routes.yaml")).unwrap();
        let mut bench = Bench::at(directory, "routes.yaml", "a").await;
        for (name, expected) in [("..2", "b"), ("..3", "c")] {
            let temporary = bench.directory.path().join("..data_tmp");
            std::os::unix::fs::symlink(name, &temporary).unwrap();
            std::fs::rename(&temporary, bench.directory.path().join("..data")).unwrap();
            let reading = bench.next().await;
            assert_eq!((text(&reading).as_str(), reading.whole), (expected, true));
        }
    }

    #[tokio::test]
    async fn a_directory_that_is_replaced_is_found_by_the_poll_and_watched_again() {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("conf");
        std::fs::create_dir(&directory).unwrap();
        std::fs::write(directory.join("routes.yaml"), "a").unwrap();
        let mut bench = Bench::at(parent, "conf/routes.yaml", "a").await;
        std::fs::rename(&directory, bench.directory.path().join("old")).unwrap();
        std::fs::create_dir(&directory).unwrap();
        std::fs::write(directory.join("routes.yaml"), "b").unwrap();
        let mut reading = bench.next().await;
        while reading.content.is_err() {
            reading = bench.next().await;
        }
        assert_eq!(text(&reading), "b");
        // Long enough for the watch to be renewed, which the poll does.
        tokio::time::sleep(WATCH_AGAIN + POLL).await;
        std::fs::write(directory.join("routes.yaml"), "c").unwrap();
        let since = Instant::now();
        assert_eq!(text(&bench.next().await), "c");
        assert!(since.elapsed() < Duration::from_millis(300));
    }

    #[tokio::test]
    async fn the_last_of_a_hundred_edits_a_second_is_read_soon_after_it() {
        let mut bench = Bench::start("a").await;
        let path = bench.path();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            for n in 0..200 {
                std::fs::write(&path, format!("edit {n}")).unwrap();
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        let mut reads = 0;
        loop {
            reads += 1;
            if text(&bench.next().await) == "edit 199" {
                break;
            }
        }
        assert!(reads < 120, "{reads} reads");
        // The last edit was at most 10 ms before its task ended.
        assert!(tokio::time::timeout(Duration::from_millis(200), tasks.join_next()).await.is_ok());
    }

    #[tokio::test]
    async fn who_asks_gets_a_reading_whatever_the_file_holds() {
        let mut bench = Bench::start("a").await;
        bench.asks.send(Ask::Force).await.unwrap();
        let reading = bench.next().await;
        assert!(reading.forced && text(&reading) == "a");
        let at = Instant::now() + Duration::from_millis(100);
        bench.asks.send(Ask::Again(at)).await.unwrap();
        let reading = bench.next().await;
        assert!(reading.again && reading.at >= at);
        std::fs::remove_file(bench.path()).unwrap();
        assert!(bench.next().await.content.is_err());
    }
}
