//! What the process noticed about endpoints of a slice: which are left out of mirroring and why,
//! which handed out new sessions, and whose control calls rest. Bounded, and never waited for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::TryLockError;
use std::time::Duration;
use tokio::time::Instant;

/// How many endpoints are remembered for each purpose.
const ENDPOINTS: usize = 1_000;

/// How long the controls of an endpoint rest after one of them failed.
const REST: Duration = Duration::from_mins(10);

/// Why an endpoint, or a request of it, is left out of mirroring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Excluded {
    /// A word of its path or query, or the slice's `except`.
    Rule,
    /// A request without a cookie was given a session.
    NewSession,
    /// A request with a session cookie was given another session, so the whole endpoint is out.
    Suspended,
}

impl Excluded {
    /// Returns the reason in words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rule => "a word of its path or query, or `shadow.except`",
            Self::NewSession => "a request without cookies was given a session",
            Self::Suspended => "a request with a session was given another one",
        }
    }
}

#[derive(Debug, Default)]
struct Inner {
    excluded: BTreeMap<Arc<str>, (u64, Excluded)>,
    resting: BTreeMap<Arc<str>, Instant>,
}

/// The notes of one slice.
#[derive(Debug, Default)]
pub struct Notes(Mutex<Inner>);

impl Notes {
    /// Counts a request that is left out. May be called on the data plane: when another thread
    /// holds the notes, the count is given up.
    pub fn excluded(&self, endpoint: &Arc<str>, why: Excluded) {
        let mut inner = match self.0.try_lock() {
            Ok(inner) => inner,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        let full = inner.excluded.len() >= ENDPOINTS;
        match inner.excluded.get_mut(endpoint) {
            Some((count, known)) => {
                *count += 1;
                if why == Excluded::Suspended {
                    *known = why;
                }
            }
            None if !full => {
                inner.excluded.insert(Arc::clone(endpoint), (1, why));
            }
            None => {}
        }
    }

    /// Returns whether an endpoint is out for good. For shadow threads.
    pub fn is_suspended(&self, endpoint: &str) -> bool {
        let inner = self.inner();
        matches!(inner.excluded.get(endpoint), Some((_, Excluded::Suspended)))
    }

    /// Lets the controls of an endpoint rest, because one of them failed.
    pub fn rest(&self, endpoint: &Arc<str>, now: Instant) {
        let mut inner = self.inner();
        if inner.resting.len() >= ENDPOINTS {
            inner.resting.retain(|_, until| *until > now);
        }
        if inner.resting.len() < ENDPOINTS {
            inner.resting.insert(Arc::clone(endpoint), now + REST);
        }
    }

    /// Returns whether the controls of an endpoint rest.
    pub fn rests(&self, endpoint: &str, now: Instant) -> bool {
        self.inner()
            .resting
            .get(endpoint)
            .is_some_and(|until| *until > now)
    }

    /// Lists what is left out: endpoint, how often, why.
    pub fn list_excluded(&self) -> Vec<(Arc<str>, u64, Excluded)> {
        let inner = self.inner();
        let rows = inner.excluded.iter();
        rows.map(|(e, (count, why))| (Arc::clone(e), *count, *why))
            .collect()
    }

    /// Lists the endpoints whose controls rest.
    pub fn list_resting(&self, now: Instant) -> Vec<String> {
        let inner = self.inner();
        let rows = inner.resting.iter().filter(|(_, until)| **until > now);
        rows.map(|(endpoint, _)| endpoint.to_string()).collect()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_bounded_and_a_suspension_stays() {
        let notes = Notes::default();
        for i in 0..2 * ENDPOINTS {
            notes.excluded(&format!("GET /{i:05}").into(), Excluded::Rule);
        }
        assert_eq!(notes.list_excluded().len(), ENDPOINTS);
        let endpoint: Arc<str> = "GET /00001".into();
        notes.excluded(&endpoint, Excluded::Suspended);
        notes.excluded(&endpoint, Excluded::NewSession);
        assert!(notes.is_suspended("GET /00001"));
    }

    #[test]
    fn controls_rest_for_ten_minutes() {
        let (notes, now) = (Notes::default(), Instant::now());
        notes.rest(&"GET /a".into(), now);
        assert!(notes.rests("GET /a", now + Duration::from_secs(599)));
        assert!(!notes.rests("GET /a", now + Duration::from_secs(601)));
        assert!(!notes.rests("GET /b", now));
    }
}
