//! The keeper: writes positions into the store's row and into the file beside it.
//!
//! It always writes the latest positions it was given, the file first, and says of each generation
//! whether one of the two is synced. Every half second it looks whether either is behind, or is not
//! the one it wrote, and writes it again.

use super::Error;
use super::positions::FILE_BYTES_MAX;
use super::positions::Found;
use super::positions::Positions;
use super::rows;
use super::sqlite::Open;
use super::sqlite::Place;
use super::sqlite::Purpose;
use super::sqlite::close;
use std::io::Read;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::task::JoinSet;

/// How often the keeper looks whether something is behind.
const BEAT: Duration = Duration::from_millis(500);
/// How long a write may take before the other place is tried, and the answer is given.
const PATIENCE: Duration = Duration::from_millis(800);

/// What became of a generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The generation that was tried.
    pub generation: u64,
    /// The positions that were tried.
    pub positions: Arc<Positions>,
    /// Nothing if it is synced in one place at least, otherwise why not.
    pub failed: Option<String>,
}

/// Where the control loop leaves positions, and hears what became of them.
#[derive(Debug)]
pub struct Keeper {
    latest: watch::Sender<Arc<Positions>>,
    reports: mpsc::Receiver<Report>,
}

impl Keeper {
    /// Leaves positions to be written; only the latest are.
    pub fn put(&self, positions: Positions) {
        self.latest.send_replace(Arc::new(positions));
    }

    /// Waits for the next report; may be canceled. Ends with nothing when the task has ended.
    pub async fn report(&mut self) -> Option<Report> {
        self.reports.recv().await
    }
}

/// The task that writes.
#[derive(Debug)]
pub struct KeeperTask {
    latest: watch::Receiver<Arc<Positions>>,
    reports: mpsc::Sender<Report>,
    places: Option<Places>,
}

/// Makes both ends; without a place nothing outlives the process, and everything is persisted.
pub(super) fn channel(place: Option<Place>, first: Positions) -> (Keeper, KeeperTask) {
    let (latest, seen) = watch::channel(Arc::new(first));
    // One report a write; the loop takes them as they come.
    let (report, reports) = mpsc::channel(64);
    let keeper = Keeper { latest, reports };
    let task = KeeperTask {
        latest: seen,
        reports: report,
        places: place.map(Places::new),
    };
    (keeper, task)
}

impl KeeperTask {
    /// Writes until the [`Keeper`] is gone.
    pub async fn run(mut self) {
        let mut reported = None;
        loop {
            let want = Arc::clone(&self.latest.borrow_and_update());
            if let Some(failed) = self.turn(&want, &mut reported).await {
                let report = Report {
                    generation: want.generation,
                    positions: want,
                    failed,
                };
                if self.reports.send(report).await.is_err() {
                    break;
                }
            }
            // Canceling either loses nothing: the newest value stays, a beat comes again.
            tokio::select! {
                changed = self.latest.changed() => if changed.is_err() { break },
                () = tokio::time::sleep(BEAT) => {}
            }
        }
        if let Some(places) = &mut self.places {
            let last = Arc::clone(&self.latest.borrow());
            places.end(&last).await;
        }
    }

    /// Writes what is behind; returns what is to be said, if that is new.
    async fn turn(
        &mut self,
        want: &Arc<Positions>,
        reported: &mut Option<(u64, bool)>,
    ) -> Option<Option<String>> {
        let Some(places) = &mut self.places else {
            let news = *reported != Some((want.generation, true));
            *reported = Some((want.generation, true));
            return news.then_some(None);
        };
        // The first start leaves a store before a file: a file without a store means a lost one.
        let early = match reported {
            None => Some(places.row(want).await),
            Some(_) => None,
        };
        let file = places.file(want).await;
        if file.is_ok() && *reported != Some((want.generation, true)) {
            // The answer does not wait for the store.
            *reported = Some((want.generation, true));
            let report = Report {
                generation: want.generation,
                positions: Arc::clone(want),
                failed: None,
            };
            // A closed channel is seen by the caller at its next turn.
            drop(self.reports.send(report).await);
        }
        let row = match early {
            Some(row) => row,
            None => places.row(want).await,
        };
        let (persisted, why) = match (file, row) {
            (Ok(()), Ok(())) => (true, None),
            (Ok(()), Err(error)) => {
                places.complain("row", &error);
                (true, None)
            }
            (Err(error), Ok(())) => {
                places.complain("file", &error);
                (true, None)
            }
            (Err(file), Err(row)) => {
                places.complain("file", &file);
                let why = format!(
                    "neither the positions file ({file}) nor the store ({row}) could be written"
                );
                (false, Some(why))
            }
        };
        if why.is_none() && persisted {
            places.complained = None;
        }
        let news = *reported != Some((want.generation, persisted));
        *reported = Some((want.generation, persisted));
        // A failure is said at every turn, so that whoever waits for this generation hears it.
        (news || !persisted).then_some(why)
    }
}

/// What the file was when it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Written {
    generation: u64,
    stamp: (u64, u64, u64, i64, i64),
}

#[derive(Debug)]
struct Places {
    place: Place,
    path: PathBuf,
    written: Option<Written>,
    /// A write that outlived our patience: no second one starts beside it.
    stuck: Option<JoinHandle<Result<Written, std::io::Error>>>,
    open: Option<Open>,
    row: Option<u64>,
    /// The write of the row, alone in its set, so that it may outlive our patience, too.
    rows: JoinSet<Wrote>,
    complained: Option<String>,
}

impl Places {
    fn new(place: Place) -> Self {
        Self {
            path: file_path(&place),
            place,
            written: None,
            stuck: None,
            open: None,
            row: None,
            rows: JoinSet::new(),
            complained: None,
        }
    }

    /// Logs a failure once, and again when it changes.
    fn complain(&mut self, which: &str, error: &Error) {
        let text = format!("{which}: {error}");
        if self.complained.as_ref() != Some(&text) {
            tracing::warn!(which, %error, "positions could not be written; they are tried again");
            self.complained = Some(text);
        }
    }

    /// Makes sure that the file holds `want`.
    async fn file(&mut self, want: &Arc<Positions>) -> Result<(), Error> {
        // A disk that does not answer is not asked again before it has.
        if self.stuck.is_none()
            && let Some(written) = self.written
            && written.generation == want.generation
            && stamp(&self.path).await == Some(written.stamp)
        {
            return Ok(());
        }
        let mut write = self.stuck.take().unwrap_or_else(|| {
            let (path, want) = (self.path.clone(), Arc::clone(want));
            tokio::task::spawn_blocking(move || write_file(&path, &want))
        });
        match tokio::time::timeout(PATIENCE, &mut write).await {
            Ok(Ok(Ok(written))) => {
                self.written = Some(written);
                if written.generation == want.generation {
                    Ok(())
                } else {
                    Err(Error::Other("an earlier write has just ended".to_owned()))
                }
            }
            Ok(Ok(Err(error))) => {
                self.written = None;
                Err(error.into())
            }
            Ok(Err(error)) => Err(Error::Other(error.to_string())),
            Err(_) => {
                self.stuck = Some(write);
                Err(Error::Other("the disk does not answer".to_owned()))
            }
        }
    }

    /// Makes sure that the row holds `want`.
    async fn row(&mut self, want: &Arc<Positions>) -> Result<(), Error> {
        if self.rows.is_empty() {
            let (place, open, row) = (self.place.clone(), self.open.take(), self.row);
            self.rows
                .spawn(write_row(place, open, row, Arc::clone(want)));
        }
        let wrote = tokio::time::timeout(PATIENCE, self.rows.join_next()).await;
        let (open, done) = match wrote {
            Ok(Some(Ok(wrote))) => wrote,
            Ok(Some(Err(error))) => (None, Err(Error::Other(error.to_string()))),
            Ok(None) => (None, Err(Error::Other("nothing was written".to_owned()))),
            Err(_) => return Err(Error::Other("the disk does not answer".to_owned())),
        };
        self.open = open;
        self.row = done.as_ref().ok().copied();
        match done {
            Ok(generation) if generation == want.generation => Ok(()),
            Ok(_) => Err(Error::Other("an earlier write has just ended".to_owned())),
            Err(error) => Err(error),
        }
    }

    async fn end(&mut self, want: &Arc<Positions>) {
        // Both were tried at the last turn if anything was behind; this is the last try.
        for done in [self.file(want).await, self.row(want).await] {
            if let Err(error) = done {
                tracing::warn!(%error, "positions could not be written at the end");
            }
        }
        if let Some(open) = self.open.take() {
            close(open.link).await;
        }
    }
}

/// What became of the row: the connection if it is still good, and the generation that it holds.
type Wrote = (Option<Open>, Result<u64, Error>);

/// Writes the row, after a reopen if the path names another file than is open.
async fn write_row(
    place: Place,
    mut open: Option<Open>,
    row: Option<u64>,
    want: Arc<Positions>,
) -> Wrote {
    let done = match place.hold(&mut open, Purpose::Positions).await {
        Ok(false) if row == Some(want.generation) => Ok(want.generation),
        Ok(_) => put_row(open.as_mut(), &want).await,
        Err(error) => Err(error),
    };
    let broken = |error: &Error| !matches!(error, Error::Busy | Error::Full);
    if done.as_ref().is_err_and(broken)
        && let Some(open) = open.take()
    {
        // A damaged file is the writer's to put aside.
        close(open.link).await;
    }
    (open, done)
}

async fn put_row(open: Option<&mut Open>, want: &Positions) -> Result<u64, Error> {
    let open = open.ok_or_else(|| Error::Other("it is not open".to_owned()))?;
    rows::put_positions(&mut open.link, want.generation, &want.to_body()).await?;
    Ok(want.generation)
}

/// Returns the path of the file beside the store.
pub(super) fn file_path(place: &Place) -> PathBuf {
    place.beside(".positions")
}

async fn stamp(path: &Path) -> Option<(u64, u64, u64, i64, i64)> {
    tokio::fs::metadata(path).await.ok().map(|m| stamp_of(&m))
}

fn stamp_of(found: &std::fs::Metadata) -> (u64, u64, u64, i64, i64) {
    (
        found.dev(),
        found.ino(),
        found.len(),
        found.mtime(),
        found.mtime_nsec(),
    )
}

/// Writes the file so that a crash at any moment leaves the old one or the new one.
fn write_file(path: &Path, positions: &Positions) -> Result<Written, std::io::Error> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    let temporary = PathBuf::from(temporary);
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(&temporary)?;
    file.write_all(positions.to_file().as_bytes())?;
    file.sync_all()?;
    // Taken before the rename, which keeps all of it: nobody can slip in between.
    let stamp = stamp_of(&file.metadata()?);
    std::fs::rename(&temporary, path)?;
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    std::fs::File::open(directory)?.sync_all()?;
    Ok(Written {
        generation: positions.generation,
        stamp,
    })
}

/// Reads the file.
pub(super) fn read_file(path: &Path) -> Found {
    let read = || -> Result<String, std::io::Error> {
        let mut text = String::new();
        let file = std::fs::File::open(path)?;
        file.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
        Ok(text)
    };
    match read() {
        Ok(text) if text.is_empty() => Found::Empty,
        Ok(text) => match Positions::parse_file(&text) {
            Ok(positions) => Found::Read(positions),
            Err(why) => Found::Unreadable(why),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Found::Absent,
        Err(error) => Found::Unreadable(error.to_string()),
    }
}
