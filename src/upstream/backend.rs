//! A backend at run time, shared by all threads.

use super::budget::Budget;
use super::circuit::Circuit;
use super::circuit::Pass;
use super::endpoint::Endpoint;
use super::error::Error;
use super::error::ErrorKind;
use super::resolve;
use super::tls;
use super::tls::Stamp;
use super::tls::Tls;
use crate::rules;
use crate::rules::Scheme;
use crate::telemetry::Metrics;
use arc_swap::ArcSwap;
use arc_swap::ArcSwapOption;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::Weak;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use tokio::time::Instant;

/// Retries that a backend may have at once after a quiet time.
const RETRY_BURST: u32 = 100;
/// Retries a second that it may have however few requests it gets.
const RETRY_FLOOR: u32 = 10;

/// A backend at run time.
#[derive(Debug)]
pub struct Backend {
    config: rules::Backend,
    id: usize,
    born: Instant,
    endpoints: ArcSwap<Vec<Arc<Endpoint>>>,
    /// Grows with every change of the endpoints.
    generation: AtomicU64,
    active: AtomicI64,
    retries: Budget,
    circuit: Option<Circuit>,
    tls: ArcSwapOption<Tls>,
    stamp: Mutex<Stamp>,
    tended: AtomicBool,
    metrics: Metrics,
    alive: Arc<()>,
}

/// How a backend's endpoints are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wellness {
    /// Those that get requests.
    pub well: u32,
    /// Those that failed when they were asked.
    pub ill: u32,
    /// Those that are left alone, having failed requests.
    pub ejected: u32,
}

impl Backend {
    /// Makes a backend that counts in `metrics`. Its literal addresses are usable at once; names wait
    /// for [`resolve`](super::resolve).
    pub fn new(config: rules::Backend, metrics: &Metrics) -> Self {
        static IDS: AtomicUsize = AtomicUsize::new(0);
        let literals = resolve::literals(&config);
        let backend = Self {
            id: IDS.fetch_add(1, Ordering::Relaxed),
            born: Instant::now(),
            endpoints: ArcSwap::from_pointee(literals),
            generation: AtomicU64::new(1),
            active: AtomicI64::new(0),
            retries: Budget::new(RETRY_BURST, RETRY_FLOOR),
            circuit: config.circuit.map(Circuit::new),
            tls: ArcSwapOption::empty(),
            stamp: Mutex::default(),
            tended: AtomicBool::new(false),
            metrics: metrics.clone(),
            alive: Arc::new(()),
            config,
        };
        if let Err(error) = backend.renew_tls() {
            tracing::error!(backend = %backend.config.name, "{error}");
        }
        backend
    }

    /// Returns what the rules say of it.
    pub fn config(&self) -> &rules::Backend {
        &self.config
    }

    /// Returns whether there is any address to connect to.
    pub fn is_usable(&self) -> bool {
        !self.endpoints.load().is_empty()
    }

    /// Returns how many served requests are in flight.
    pub fn active(&self) -> i64 {
        self.active.load(Ordering::Relaxed)
    }

    /// Notes that a served request started (1) or ended (-1).
    pub fn add_active(&self, change: i64) {
        self.active.fetch_add(change, Ordering::Relaxed);
    }

    /// Asks whether a request that was counted by [`Backend::add_active`] may be sent.
    pub fn admit(self: &Arc<Self>) -> Result<Permit, ErrorKind> {
        if let Some(most) = self.config.max_inflight
            && self.active() > i64::from(most)
        {
            self.refused("max_inflight");
            return Err(ErrorKind::Busy);
        }
        let Some(circuit) = &self.circuit else {
            return Ok(Permit(None));
        };
        match circuit.ask(self.millis(Instant::now())) {
            Pass::Shut => {
                self.refused("circuit");
                Err(ErrorKind::CircuitOpen)
            }
            pass => Ok(Permit(Some((Arc::clone(self), pass)))),
        }
    }

    /// Returns whether it is left alone as a whole.
    pub fn is_circuit_open(&self) -> bool {
        self.circuit.as_ref().is_some_and(Circuit::is_open)
    }

    /// Returns how its endpoints are.
    pub fn wellness(&self) -> Wellness {
        let now = self.millis(Instant::now());
        let mut sum = Wellness::default();
        for endpoint in self.endpoints.load().iter() {
            if endpoint.is_ill() {
                sum.ill += 1;
            } else if endpoint.is_ejected(now) {
                sum.ejected += 1;
            } else {
                sum.well += 1;
            }
        }
        sum
    }

    pub(super) fn id(&self) -> usize {
        self.id
    }

    /// Returns milliseconds from when it was made to `now`, at least one.
    pub(super) fn millis(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.born);
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX / 2) + 1
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    pub(super) fn endpoints(&self) -> arc_swap::Guard<Arc<Vec<Arc<Endpoint>>>> {
        self.endpoints.load()
    }

    pub(super) fn alive(&self) -> Weak<()> {
        Arc::downgrade(&self.alive)
    }

    /// Takes what a resolution found; of what did not resolve stays what is known.
    pub(super) fn publish(&self, found: Vec<Endpoint>, failed: &[(&str, u16)]) {
        let known = self.endpoints.load_full();
        let now = resolve::merged(&known, found, failed);
        let same = now.len() == known.len() && now.iter().zip(&*known).all(|(a, b)| a.is_same(b));
        if !same {
            self.endpoints.store(Arc::new(now));
            self.generation.fetch_add(1, Ordering::Release);
        }
    }

    /// Returns what handshakes need.
    pub(super) fn tls(&self) -> Result<Arc<Tls>, Error> {
        let none = || Error::with(ErrorKind::Tls, "its certificates could not be read");
        self.tls.load_full().ok_or_else(none)
    }

    /// Reads the files of its certificates if they have changed; what was read before stays where
    /// they cannot be used.
    pub(super) fn renew_tls(&self) -> Result<(), String> {
        let secret = |e: &rules::Endpoint| matches!(e, rules::Endpoint::Tcp { scheme, .. } if *scheme == Scheme::Https);
        if !self.config.endpoints.iter().any(secret) {
            return Ok(());
        }
        let rule = &self.config.tls;
        let now = tls::stamp(rule);
        let mut stamp = self.stamp.lock().unwrap_or_else(PoisonError::into_inner);
        if self.tls.load().is_some() && *stamp == now {
            return Ok(());
        }
        self.tls.store(Some(Arc::new(Tls::load(rule)?)));
        *stamp = now;
        Ok(())
    }

    pub(super) fn may_repeat(&self, requests: u64) -> bool {
        self.retries.requests(requests, self.config.retry.budget);
        let may = self.retries.take(self.millis(Instant::now()));
        if !may {
            self.count("supplant_backend_retries_denied_total", &[]);
        }
        may
    }

    pub(super) fn retried(&self, reason: &'static str) {
        self.count("supplant_backend_retries_total", &[reason]);
    }

    pub(super) fn failed(&self, endpoint: &Endpoint) {
        if endpoint.failed(self.millis(Instant::now()), &self.config.ejection) {
            let name = &*self.config.name;
            tracing::warn!(backend = name, address = %endpoint.address, "an endpoint is left alone for a while");
            self.count("supplant_backend_ejections_total", &[]);
        }
    }

    /// Takes the right to start asking the endpoints how they are; nobody gets it twice.
    pub(super) fn start_tending(&self) -> bool {
        !self.tended.swap(true, Ordering::AcqRel)
    }

    pub(super) fn count(&self, name: &str, rest: &[&str]) {
        let labels = [&[&*self.config.name], rest].concat();
        self.metrics.counter(name, &labels).inc();
    }

    pub(super) fn refused(&self, reason: &'static str) {
        self.count("supplant_backend_refused_total", &[reason]);
    }
}

/// Returns whether an answer says that the application behind it does not work.
pub(super) fn is_failure(status: u16) -> bool {
    matches!(status, 502..=504)
}

/// The right to send one request; tells the circuit how it went.
#[derive(Debug, Default)]
pub struct Permit(Option<(Arc<Backend>, Pass)>);

impl Permit {
    /// Tells that an answer came, and which.
    pub fn answered(&mut self, status: u16) {
        self.ended(!is_failure(status));
    }

    /// Tells that none came.
    pub fn failed(&mut self, kind: ErrorKind) {
        if kind.blames_backend() {
            self.ended(false);
        }
    }

    fn ended(&mut self, well: bool) {
        let Some((backend, pass)) = self.0.take() else {
            return;
        };
        let Some(circuit) = &backend.circuit else {
            return;
        };
        if circuit.ended(pass, well, backend.millis(Instant::now())) {
            let name = &*backend.config.name;
            tracing::warn!(
                backend = name,
                "too much fails; the backend is left alone for a while"
            );
            backend.count("supplant_backend_circuit_opened_total", &[]);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some((backend, pass)) = self.0.take()
            && let Some(circuit) = &backend.circuit
        {
            circuit.left(pass);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Share;
    use std::time::Duration;

    fn backend(change: impl FnOnce(&mut rules::Backend)) -> Arc<Backend> {
        let endpoint = rules::Endpoint::Tcp {
            scheme: Scheme::Http,
            host: "127.0.0.1".into(),
            port: 1,
        };
        let mut config = rules::Backend::new("legacy", vec![endpoint]);
        change(&mut config);
        Arc::new(Backend::new(config, &Metrics::new()))
    }

    #[test]
    fn requests_over_the_limit_are_spared_and_counted() {
        let backend = backend(|config| config.max_inflight = Some(2));
        for _ in 0..2 {
            backend.add_active(1);
            assert!(backend.admit().is_ok());
        }
        backend.add_active(1);
        assert_eq!(backend.admit().unwrap_err(), ErrorKind::Busy);
        backend.add_active(-1);
        backend.add_active(-1);
        backend.add_active(1);
        assert!(backend.admit().is_ok());
        let text = backend.metrics.gather();
        let series = "supplant_backend_refused_total{backend=\"legacy\",reason=\"max_inflight\"} 1";
        assert!(text.contains(series), "{text}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_circuit_opens_and_lets_one_at_a_time_try_after_its_time() {
        let backend = backend(|config| {
            config.circuit = Some(rules::Circuit {
                failures: Share::new(5_000).unwrap(),
                volume: 4,
                open: Duration::from_secs(5),
            });
        });
        for _ in 0..4 {
            backend.admit().unwrap().failed(ErrorKind::Connect);
        }
        assert_eq!(backend.admit().unwrap_err(), ErrorKind::CircuitOpen);
        assert!(backend.is_circuit_open());
        tokio::time::sleep(Duration::from_secs(5)).await;
        let first = backend.admit().unwrap();
        assert!(backend.admit().is_err(), "one at a time");
        drop(first);
        let mut second = backend.admit().expect("who left told nothing");
        second.answered(503);
        assert!(backend.admit().is_err());
        tokio::time::sleep(Duration::from_secs(5)).await;
        backend.admit().unwrap().answered(404);
        assert!(!backend.is_circuit_open());
        backend.admit().unwrap().failed(ErrorKind::Client);
    }

    #[test]
    fn retries_have_a_budget_whatever_happens() {
        let backend = backend(|config| config.retry.budget = Share::new(2_000).unwrap());
        let taken = (0..1_000).filter(|_| backend.may_repeat(0)).count();
        assert!((100..=110).contains(&taken), "{taken}");
        let taken = (0..100).filter(|_| backend.may_repeat(1)).count();
        assert!((18..=25).contains(&taken), "{taken}");
    }
}
