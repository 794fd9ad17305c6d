//! Opening a store at start: what is found, what the process begins with, or why it must not.

use super::Error;
use super::Health;
use super::Keeper;
use super::KeeperTask;
use super::Library;
use super::Limits;
use super::Positions;
use super::Saved;
use super::Writer;
use super::WriterTask;
use super::backend::Backend;
use super::backend::is_there;
use super::keeper;
use super::memory::Memory;
use super::positions::Found;
use super::positions::Start;
use super::positions::choose;
use super::rows;
use super::sqlite::Place;
use super::sqlite::Purpose;
use super::sqlite::close;
use super::writer;
use crate::model::UnixMillis;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;
use tokio::time::Instant;

/// How long a start waits for the lock of a process that is about to end.
const PATIENCE: Duration = Duration::from_secs(3);

/// Where the store is, and how it is to be opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// `sqlite:PATH`, or `memory:`.
    pub url: String,
    /// What a relative path starts from: the directory of the rules, or the working directory.
    pub base: PathBuf,
    /// Begin without positions where they are lost.
    pub forget_positions: bool,
    /// How much is kept.
    pub limits: Limits,
}

/// Why a process must not start with this store.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The URL is not one of a store.
    #[error("`{0}` is not a store; write `sqlite:PATH` or `memory:`")]
    Url(String),
    /// The directory has to be there before.
    #[error(
        "the directory of the store, `{0}`, does not exist; create it, or start with --forget-positions"
    )]
    NoDirectory(String),
    /// Kills and rollbacks would be forgotten.
    #[error("{0}; kills and rollbacks may be lost: mend it, or start with --forget-positions")]
    Positions(String),
}

/// An open store: its ends, and the tasks that must run.
#[derive(Debug)]
pub struct Opened {
    /// Where things to keep are left.
    pub writer: Writer,
    /// What reads them.
    pub library: Library,
    /// Where positions are left.
    pub keeper: Keeper,
    /// What outlived the last process.
    pub saved: Saved,
    /// The positions to start with.
    pub positions: Positions,
    /// Why the store counts as lost, if it does.
    pub lost: Option<String>,
    /// The URL with its path made whole.
    pub url: String,
    /// Has to run, until [`Writer::close`].
    pub writer_task: WriterTask,
    /// Has to run, until the keeper is dropped.
    pub keeper_task: KeeperTask,
}

/// Returns the path of a store's URL, or nothing for the one that forgets.
fn parse(options: &Options) -> Result<Option<PathBuf>, OpenError> {
    let url = options.url.trim();
    if url == "memory:" {
        return Ok(None);
    }
    let path = url.strip_prefix("sqlite:").unwrap_or_default();
    let path = path.strip_prefix("//").unwrap_or(path);
    if path.is_empty() || path.ends_with('/') {
        return Err(OpenError::Url(options.url.clone()));
    }
    Ok(Some(options.base.join(path)))
}

/// Opens a store and decides what the process begins with.
///
/// A store that cannot be opened is no reason not to start, as long as the positions are known.
pub async fn open(options: &Options, now: UnixMillis) -> Result<Opened, OpenError> {
    let Some(path) = parse(options)? else {
        return Ok(forgetful(options));
    };
    let place = Place::new(path);
    if tokio::fs::metadata(place.directory()).await.is_err() && !options.forget_positions {
        let directory = place.directory().display().to_string();
        return Err(OpenError::NoDirectory(directory));
    }
    let (store, saved) = find_store(&place).await;
    let file_path = keeper::file_path(&place);
    let file = tokio::task::spawn_blocking(move || keeper::read_file(&file_path)).await;
    let file = file.unwrap_or_else(|e| Found::Unreadable(e.to_string()));
    let start = if options.forget_positions {
        forget(&store, &file, now)
    } else {
        choose(store, file).map_err(OpenError::Positions)?
    };
    if let Some(why) = &start.lost {
        tracing::error!(
            why,
            "the store is lost; no slice rises until one is resumed"
        );
    }
    let health = Arc::new(Health::default());
    let backend = Backend::sqlite(&place, Purpose::Batches);
    let (writer, writer_task) = writer::channel(backend, options.limits.clone(), health);
    let library = Library::new(Backend::sqlite(&place, Purpose::Reading));
    let url = format!("sqlite:{}", place.path().display());
    let (keeper, keeper_task) = keeper::channel(Some(place), start.positions.clone());
    Ok(Opened {
        writer,
        library,
        keeper,
        saved,
        positions: start.positions,
        lost: start.lost,
        url,
        writer_task,
        keeper_task,
    })
}

/// Opens the store that forgets.
fn forgetful(options: &Options) -> Opened {
    let memory = Arc::new(Mutex::new(Memory::default()));
    let health = Arc::new(Health::default());
    let backend = Backend::Memory(Arc::clone(&memory));
    let (writer, writer_task) = writer::channel(backend, options.limits.clone(), health);
    let (keeper, keeper_task) = keeper::channel(None, Positions::default());
    Opened {
        writer,
        library: Library::new(Backend::Memory(memory)),
        keeper,
        saved: Saved::default(),
        positions: Positions::default(),
        lost: None,
        url: "memory:".to_owned(),
        writer_task,
        keeper_task,
    }
}

/// Returns no positions, under a generation above all that may still lie somewhere.
fn forget(store: &Found, file: &Found, now: UnixMillis) -> Start {
    let known = |found: &Found| match found {
        Found::Read(positions) => positions.generation,
        Found::Absent | Found::Empty | Found::Unreadable(_) => 0,
    };
    // Seconds are more than changes ever were: what cannot be read today loses tomorrow.
    let seconds = u64::try_from(now.0 / 1_000).unwrap_or(0);
    tracing::warn!("positions are forgotten, as asked");
    Start {
        positions: Positions {
            generation: seconds.max(known(store)).max(known(file)) + 1,
            ..Positions::default()
        },
        lost: None,
    }
}

async fn find_store(place: &Place) -> (Found, Saved) {
    if !is_there(place).await {
        return (Found::Absent, Saved::default());
    }
    let until = Instant::now() + PATIENCE;
    loop {
        match read_store(place).await {
            Ok(found) => return found,
            Err(Error::Busy) if Instant::now() < until => {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Err(error) => return (Found::Unreadable(error.to_string()), Saved::default()),
        }
    }
}

async fn read_store(place: &Place) -> Result<(Found, Saved), Error> {
    let mut open = place.open(Purpose::Batches).await?;
    let positions = rows::positions(&mut open.link).await;
    let saved = rows::load(&mut open.link).await;
    close(open.link).await;
    let found = match positions? {
        None => Found::Empty,
        Some(body) => match Positions::parse_body(&body) {
            Ok(positions) => Found::Read(positions),
            Err(why) => Found::Unreadable(why),
        },
    };
    Ok((found, saved?))
}
