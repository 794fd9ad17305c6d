//! The embedded store: opening it, again when its path names another file, and its schema.
//!
//! Three connections share one file: the writer's, the keeper's (positions, `synchronous=FULL`) and
//! the reader's. Whoever finds the path empty makes the file under one lock, so that no leftover
//! journal of a deleted file is applied to its successor.

use super::error::Error;
use sqlx::Connection;
use sqlx::Row;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteAutoVacuum;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::sqlite::SqliteJournalMode;
use sqlx::sqlite::SqliteSynchronous;
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How long a write waits for a lock of somebody else: long enough for the sync of a slow disk,
/// short enough that a batch is not late for the next one.
const BUSY: Duration = Duration::from_millis(250);

/// Bytes that the write-ahead log keeps on disk between checkpoints.
const JOURNAL_BYTES: &str = "16777216";

/// The schema, one step a version. A step that was released never changes.
const MIGRATIONS: [&str; 1] = ["
    CREATE TABLE position (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        generation INTEGER NOT NULL,
        body TEXT NOT NULL
    );
    CREATE TABLE slice (
        name TEXT PRIMARY KEY,
        gone_at INTEGER
    ) WITHOUT ROWID;
    CREATE TABLE part (
        slice TEXT NOT NULL,
        name TEXT NOT NULL,
        data BLOB NOT NULL,
        PRIMARY KEY (slice, name)
    ) WITHOUT ROWID;
    CREATE TABLE counts (
        slice TEXT PRIMARY KEY,
        body TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE example (
        id INTEGER PRIMARY KEY,
        slice TEXT NOT NULL,
        family INTEGER NOT NULL,
        at INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        body TEXT NOT NULL
    );
    CREATE INDEX example_family ON example (family, at);
    CREATE INDEX example_at ON example (at);
    CREATE INDEX example_slice ON example (slice);
    CREATE TABLE change (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        at INTEGER NOT NULL,
        actor TEXT NOT NULL,
        kind TEXT NOT NULL,
        slice TEXT,
        text TEXT NOT NULL,
        diff TEXT,
        hash TEXT
    );
"];

/// Which file a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    /// Returns what `path` names now, or nothing.
    pub(super) async fn of(path: &Path) -> Option<Self> {
        let found = tokio::fs::metadata(path).await.ok()?;
        Some(Self {
            device: found.dev(),
            inode: found.ino(),
        })
    }
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Batches of evidence: a power cut may cost the last of them.
    Batches,
    /// Positions: what was said to be written is on the disk.
    Positions,
    /// Pages and the API.
    Reading,
}

/// A connection and the file that it holds open.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) link: SqliteConnection,
    identity: Identity,
}

/// Where the store lies. Clones share the lock under which the file is made.
#[derive(Clone, Debug)]
pub(super) struct Place {
    path: Arc<PathBuf>,
    making: Arc<tokio::sync::Mutex<()>>,
}

impl Place {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path: Arc::new(path),
            making: Arc::default(),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the directory that must exist.
    pub(super) fn directory(&self) -> &Path {
        match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        }
    }

    /// Returns the path with more at its end.
    pub(super) fn beside(&self, more: &str) -> PathBuf {
        let mut name = OsString::from(self.path.as_os_str());
        name.push(more);
        PathBuf::from(name)
    }

    /// Returns the bytes on disk, the journal included.
    pub(super) async fn bytes(&self) -> u64 {
        let mut sum = 0;
        for path in [self.path.to_path_buf(), self.beside("-wal")] {
            if let Ok(found) = tokio::fs::metadata(&path).await {
                sum += found.len();
            }
        }
        sum
    }

    /// Opens the store, makes it if nothing is there, and brings its schema up to date.
    pub(super) async fn open(&self, purpose: Purpose) -> Result<Open, Error> {
        let identity = self.make_sure(purpose).await?;
        let synchronous = match purpose {
            Purpose::Positions => SqliteSynchronous::Full,
            Purpose::Batches | Purpose::Reading => SqliteSynchronous::Normal,
        };
        let options = SqliteConnectOptions::new()
            .filename(&*self.path)
            .create_if_missing(false)
            .busy_timeout(BUSY)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(synchronous)
            .pragma("journal_size_limit", JOURNAL_BYTES)
            .thread_name(move |_| format!("store {purpose:?}").to_lowercase());
        // Asking again later would write, and so wait for a lock that reading needs not.
        let empty = tokio::fs::metadata(&*self.path).await?.len() == 0;
        let options = if empty {
            options.auto_vacuum(SqliteAutoVacuum::Incremental)
        } else {
            options
        };
        let options = sqlx::ConnectOptions::disable_statement_logging(options);
        let mut link = SqliteConnection::connect_with(&options).await?;
        if let Err(error) = migrate(&mut link).await {
            close(link).await;
            return Err(error);
        }
        Ok(Open { link, identity })
    }

    /// Gives back `held` if the path still names its file; otherwise closes it and opens anew.
    ///
    /// The flag says whether it was opened.
    pub(super) async fn hold(
        &self,
        held: &mut Option<Open>,
        purpose: Purpose,
    ) -> Result<bool, Error> {
        let now = Identity::of(&self.path).await;
        if let Some(open) = held.take() {
            if now == Some(open.identity) {
                *held = Some(open);
                return Ok(false);
            }
            close(open.link).await;
        }
        *held = Some(self.open(purpose).await?);
        Ok(true)
    }

    /// Puts a damaged file out of the way, where a person finds it, unless that was done already.
    pub(super) async fn set_aside(&self, damaged: Option<Open>) -> Result<(), Error> {
        let _making = self.making.lock().await;
        let known = damaged.as_ref().map(|open| open.identity);
        if let Some(open) = damaged {
            close(open.link).await;
        }
        let now = Identity::of(&self.path).await;
        if now.is_none() || (known.is_some() && known != now) {
            return Ok(());
        }
        tokio::fs::rename(&*self.path, self.beside(".damaged")).await?;
        self.remove_journal().await
    }

    async fn make_sure(&self, purpose: Purpose) -> Result<Identity, Error> {
        let _making = self.making.lock().await;
        if let Some(identity) = Identity::of(&self.path).await {
            return Ok(identity);
        }
        if tokio::fs::metadata(self.directory()).await.is_err() {
            return Err(Error::NoDirectory(self.directory().display().to_string()));
        }
        if purpose == Purpose::Reading {
            return Err(Error::Other("there is no store yet".to_owned()));
        }
        // What is left of a deleted store would be applied to the new one.
        self.remove_journal().await?;
        let path = Arc::clone(&self.path);
        let made = tokio::task::spawn_blocking(move || {
            let mut options = std::fs::OpenOptions::new();
            options.read(true).write(true).create_new(true).mode(0o600);
            options.open(&*path)?;
            // The umask may have taken more away than the owner can spare.
            std::fs::set_permissions(&*path, std::fs::Permissions::from_mode(0o600))
        });
        made.await.map_err(|e| Error::Other(e.to_string()))??;
        Identity::of(&self.path)
            .await
            .ok_or_else(|| Error::Other("it vanished while it was made".to_owned()))
    }

    async fn remove_journal(&self) -> Result<(), Error> {
        for suffix in ["-wal", "-shm"] {
            match tokio::fs::remove_file(self.beside(suffix)).await {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error.into());
                }
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }
}

/// Closes a connection; a failure leaves nothing to be done.
pub(super) async fn close(link: SqliteConnection) {
    if let Err(error) = link.close().await {
        tracing::debug!(%error, "a connection to the store did not close well");
    }
}

async fn migrate(link: &mut SqliteConnection) -> Result<(), Error> {
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    if version(link).await? == known {
        return Ok(());
    }
    sqlx::query("BEGIN IMMEDIATE").execute(&mut *link).await?;
    match steps(link, known).await {
        Ok(()) => {
            sqlx::query("COMMIT").execute(&mut *link).await?;
            Ok(())
        }
        Err(error) => {
            undo(link).await;
            Err(error)
        }
    }
}

async fn steps(link: &mut SqliteConnection, known: i64) -> Result<(), Error> {
    // Somebody else may have been faster: the version is read again under the lock.
    let found = version(link).await?;
    if found > known {
        return Err(Error::Later(found));
    }
    let done = usize::try_from(found).unwrap_or(0);
    for step in MIGRATIONS.iter().skip(done) {
        sqlx::raw_sql(*step).execute(&mut *link).await?;
    }
    let set = format!("PRAGMA user_version = {known}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(set))
        .execute(&mut *link)
        .await?;
    Ok(())
}

async fn version(link: &mut SqliteConnection) -> Result<i64, Error> {
    let row = sqlx::query("PRAGMA user_version")
        .fetch_one(&mut *link)
        .await?;
    Ok(row.try_get(0)?)
}

/// Rolls back; if even that fails, the connection is about to be closed anyway.
pub(super) async fn undo(link: &mut SqliteConnection) {
    if let Err(error) = sqlx::query("ROLLBACK").execute(&mut *link).await {
        tracing::debug!(%error, "nothing was rolled back");
    }
}
