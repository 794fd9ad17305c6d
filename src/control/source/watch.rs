//! The watch: what the file system tells about the file, as one hint.

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
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// How often a watch that could not be set is tried again.
pub(super) const WATCH_AGAIN: Duration = Duration::from_secs(2);

/// What an event tells, the strongest last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Hint {
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
pub(super) struct Hints {
    latest: Mutex<Option<Hint>>,
    pub(super) wake: Notify,
}

impl Hints {
    pub(super) fn put(&self, hint: Hint) {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        // The latest counts: what is written after a rename did not come whole.
        if hint != Hint::Near || latest.is_none() {
            *latest = Some(hint);
        }
        drop(latest);
        self.wake.notify_one();
    }

    pub(super) fn take(&self) -> Option<Hint> {
        self.latest
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

/// The watch on the directories of the file: of its path, and of what that leads to.
#[derive(Debug)]
pub(super) struct Watch {
    hints: Arc<Hints>,
    names: Arc<Mutex<Vec<OsString>>>,
    watcher: Option<RecommendedWatcher>,
    directories: Vec<(PathBuf, Option<(u64, u64)>)>,
    tried: Option<Instant>,
}

impl Watch {
    pub(super) fn new(hints: Arc<Hints>) -> Self {
        Self {
            hints,
            names: Arc::default(),
            watcher: None,
            directories: Vec::new(),
            tried: None,
        }
    }

    /// Watches anew if a directory is another one than it was, or was never watched.
    pub(super) fn keep(&mut self, path: &Path) {
        let moved = |(directory, was): &(PathBuf, Option<(u64, u64)>)| {
            was.is_none() || identity(directory) != *was
        };
        let lost = self.watcher.is_none() || self.directories.iter().any(moved);
        let due = self.tried.is_none_or(|at| at.elapsed() >= WATCH_AGAIN);
        if lost && due {
            self.renew(path);
        }
    }

    pub(super) fn renew(&mut self, path: &Path) {
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

pub(super) fn identity(path: &Path) -> Option<(u64, u64)> {
    let found = std::fs::metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}

/// Reads what an event tells about the file of one of these names.
pub(super) fn hint(event: &Event, names: &[OsString]) -> Option<Hint> {
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
