//! The loop itself.

use super::act::Act;
use super::act::Done;
use super::act::Event;
use super::act::Refused;
use super::board;
use super::board::BoardPublisher;
use super::board::BoardReader;
use super::board::RulesBoard;
use super::board::SliceBoard;
use super::compose;
use super::compose::Since;
use super::gauges::Gauges;
use super::holds::Holds;
use super::operate;
use super::reload;
use super::reload::Judged;
use super::reload::Waiting;
use super::show;
use super::source;
use super::source::Ask;
use super::source::Reading;
use super::tick::Beat;
use super::tick::Deployed;
use super::tick::Ticker;
use crate::clock;
use crate::model::Position;
use crate::model::SliceId;
use crate::model::UnixMillis;
use crate::rules::Loaded;
use crate::rules::Problem;
use crate::rules::Snapshot;
use crate::rules::Startup;
use crate::shadow::Deltas;
use crate::shadow::Shadow;
use crate::store::Change;
use crate::store::ChangeKind;
use crate::store::Keeper;
use crate::store::Positions;
use crate::store::Report;
use crate::store::Saved;
use crate::store::Write;
use crate::store::Writer;
use crate::table;
use crate::table::Publisher;
use crate::tasks::Tasks;
use crate::telemetry::Metrics;
use crate::upstream;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio::time::MissedTickBehavior;

/// The beat.
const TICK: Duration = Duration::from_secs(1);
/// How often names are resolved.
const RESOLVE: Duration = Duration::from_secs(5);
/// How long the end waits for the store.
const LAST_WRITE: Duration = Duration::from_secs(2);
/// Events that may wait.
const EVENTS: usize = 64;

/// What the loop is made of.
#[derive(Debug)]
pub struct Parts {
    /// The file of the rules; none where the process runs without one.
    pub path: Option<PathBuf>,
    /// The rules to start with.
    pub first: Loaded,
    /// What kept slices down, from the store.
    pub positions: Positions,
    /// Why the store counts as lost, if it does.
    pub lost: Option<String>,
    /// What outlived the last process.
    pub saved: Saved,
    /// Where things to keep are left.
    pub writer: Writer,
    /// Where positions are left.
    pub keeper: Keeper,
    /// The URL of the store, without secrets.
    pub store_url: String,
    /// The name of this node.
    pub node: String,
    /// The metrics.
    pub metrics: Metrics,
    /// Where tasks start.
    pub tasks: Tasks,
}

/// What others hold of the loop.
#[derive(Clone, Debug)]
pub struct Ends {
    /// What requests are served from.
    pub tables: table::Reader,
    /// What pages show.
    pub board: BoardReader,
    /// Where events go.
    pub events: mpsc::Sender<Event>,
}

/// An act that waits until it is written.
#[derive(Debug)]
pub(super) struct Promise {
    pub(super) generation: u64,
    pub(super) text: String,
    pub(super) raises: bool,
    pub(super) change: Option<Change>,
    pub(super) reply: oneshot::Sender<Result<Done, Refused>>,
}

/// The control loop: owns the write half of the table.
#[derive(Debug)]
pub struct Control {
    pub(super) path: Option<PathBuf>,
    pub(super) rules: Snapshot,
    pub(super) running: Startup,
    pub(super) state: RulesBoard,
    pub(super) holds: Holds,
    pub(super) since: BTreeMap<SliceId, Since>,
    /// The ages in days, by slice, that the table was last published with.
    pub(super) aged: Vec<u32>,
    pub(super) publisher: Publisher,
    pub(super) board: BoardPublisher,
    pub(super) ends: Ends,
    pub(super) events: mpsc::Receiver<Event>,
    pub(super) writer: Writer,
    pub(super) keeper: Keeper,
    pub(super) promises: Vec<Promise>,
    pub(super) ticker: Option<Ticker>,
    pub(super) rows: BTreeMap<SliceId, Arc<SliceBoard>>,
    pub(super) shadow: Option<Shadow>,
    pub(super) deployed: Vec<Deployed>,
    pub(super) gauges: Gauges,
    pub(super) metrics: Metrics,
    pub(super) tasks: Tasks,
    pub(super) node: String,
    pub(super) store_url: String,
    pub(super) started: UnixMillis,
    pub(super) draining: bool,
    pub(super) unpersisted: bool,
    pub(super) waiting: Option<Waiting>,
    pub(super) reloads: Vec<oneshot::Sender<Result<Done, Refused>>>,
    pub(super) refused_at: Option<Instant>,
    pub(super) resolving: Arc<AtomicBool>,
    pub(super) unresolved: Unresolved,
}

/// What the loop hears next.
enum Heard {
    Event(Option<Event>),
    Report(Option<Report>),
    Reading(Reading),
    Judged(Reading, Judged),
    Beat,
    Beaten(Option<Ticker>),
    Resolve,
}

impl Control {
    /// Binds the first table and makes the loop; [`Control::run`] must run.
    pub fn new(parts: Parts) -> Self {
        let now = clock::now();
        let Parts {
            path,
            first,
            positions,
            lost,
            saved,
            writer,
            keeper,
            store_url,
            node,
            metrics,
            tasks,
        } = parts;
        let rules = first.snapshot;
        let mut holds = Holds::new(positions, lost, &declared(&rules));
        if holds.reconcile(|id| rules.ix(id).is_some(), now) {
            keeper.put(holds.wanted().clone());
        }
        let held = rules.held(&operate::ceilings(&rules, &holds, &BTreeMap::new(), now));
        let (publisher, tables) = table::channel(table::bind(held, None, &metrics));
        let state = first_state(path.as_ref(), &rules, first.warnings, now);
        let ticker = Ticker::new(Deltas::new(0), writer.clone(), saved);
        let mut since = BTreeMap::new();
        compose::note_positions(&mut since, &publisher.current(), &holds, now);
        let (events, heard) = mpsc::channel(EVENTS);
        let empty = show::empty_board(&state, &node, &store_url, now, &publisher.current());
        let (board, reader) = board::channel(empty);
        let ends = Ends {
            tables,
            board: reader,
            events,
        };
        let mut control = Self {
            running: rules.startup().clone(),
            gauges: Gauges::new(metrics.clone()),
            path,
            rules,
            state,
            holds,
            aged: vec![0; since.len()],
            since,
            publisher,
            board,
            ends,
            events: heard,
            writer,
            keeper,
            promises: Vec::new(),
            ticker: Some(ticker),
            rows: BTreeMap::new(),
            shadow: None,
            deployed: Vec::new(),
            metrics,
            tasks,
            node,
            store_url,
            started: now,
            draining: false,
            unpersisted: false,
            waiting: None,
            reloads: Vec::new(),
            refused_at: None,
            resolving: Arc::default(),
            unresolved: Arc::default(),
        };
        control.greet();
        control
    }

    fn greet(&mut self) {
        let text = "the process started".to_owned();
        self.note(ChangeKind::Started, "supplant", None, text);
        self.show();
    }

    /// Returns what others hold of the loop.
    pub fn ends(&self) -> Ends {
        self.ends.clone()
    }

    /// Gives the loop the shadow plane, which is started with what the store gave.
    pub fn attach(&mut self, shadow: Shadow, deltas: Deltas) {
        self.shadow = Some(shadow);
        if let Some(ticker) = &mut self.ticker {
            ticker.attach(deltas);
        }
    }

    /// Resolves all names once, at most for `patience`, so that the first request finds addresses.
    pub async fn resolve(&self, patience: Duration) {
        let backends = self.publisher.current().backends().to_vec();
        self.tend(&backends);
        let all = resolve_all(backends, Arc::clone(&self.unresolved));
        if tokio::time::timeout(patience, all).await.is_err() {
            tracing::warn!("names were not resolved in time; they are tried again");
        }
    }

    /// Runs until [`Event::Shutdown`], then saves.
    pub async fn run(mut self) {
        let (asks, mut readings) = self.watch();
        let mut beat = tokio::time::interval(TICK);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut resolve = tokio::time::interval(RESOLVE);
        resolve.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut judging: Option<(Reading, JoinHandle<Judged>)> = None;
        let mut beating: Option<JoinHandle<Ticker>> = None;
        loop {
            // Every branch may be canceled: channels keep what they hold, a handle that was not
            // ready is polled again, an interval keeps its place. Acts come first.
            let heard = tokio::select! {
                biased;
                event = self.events.recv() => Heard::Event(event),
                report = self.keeper.report() => Heard::Report(report),
                judged = judged(&mut judging) => judged,
                ticker = beaten(&mut beating) => Heard::Beaten(ticker),
                reading = next_reading(&mut readings), if judging.is_none() => Heard::Reading(reading),
                _ = beat.tick() => Heard::Beat,
                _ = resolve.tick() => Heard::Resolve,
            };
            match heard {
                Heard::Event(None | Some(Event::Shutdown)) => break,
                Heard::Event(Some(event)) => self.event(event, asks.as_ref()),
                Heard::Report(Some(report)) => self.report(&report),
                Heard::Report(None) => {
                    tracing::error!("the keeper of positions has ended; so does the loop");
                    break;
                }
                Heard::Reading(reading) => judging = Some(self.judge(reading)),
                Heard::Judged(reading, outcome) => {
                    judging = None;
                    self.judged(&reading, outcome, asks.as_ref());
                }
                Heard::Beat => {
                    self.age();
                    if beating.is_none() {
                        beating = self.beat();
                    }
                }
                Heard::Beaten(ticker) => {
                    beating = None;
                    self.beaten(ticker);
                }
                Heard::Resolve => self.resolve_beside(),
            }
        }
        self.end(beating).await;
    }

    /// Starts the task that watches the file.
    fn watch(&mut self) -> (Option<mpsc::Sender<Ask>>, Option<mpsc::Receiver<Reading>>) {
        let Some(path) = self.path.clone() else {
            return (None, None);
        };
        let (source, asks, readings) = source::source(path, self.rules.text());
        self.tasks.spawn(source.run());
        (Some(asks), Some(readings))
    }

    fn event(&mut self, event: Event, asks: Option<&mpsc::Sender<Ask>>) {
        match event {
            Event::RulesChanged { forced } => {
                if let Some(asks) = asks {
                    let ask = if forced { Ask::Force } else { Ask::Look };
                    send(asks, ask);
                }
            }
            Event::Act {
                act: Act::Reload,
                reply,
                ..
            } => self.reload(asks, reply),
            Event::Act { act, actor, reply } => self.act(act, &actor, reply),
            Event::Drain => {
                self.draining = true;
                self.show();
            }
            Event::Shutdown => {}
        }
    }

    fn beat(&mut self) -> Option<JoinHandle<Ticker>> {
        let mut ticker = self.ticker.take()?;
        let beat = Beat {
            table: self.publisher.current(),
            deployed: std::mem::take(&mut self.deployed),
            now: clock::now(),
        };
        Some(tokio::task::spawn_blocking(move || {
            ticker.beat(&beat);
            ticker
        }))
    }

    fn beaten(&mut self, ticker: Option<Ticker>) {
        self.ticker = ticker;
        let now = clock::now();
        if self.holds.reconcile(|id| self.rules.ix(id).is_some(), now) {
            self.keeper.put(self.holds.wanted().clone());
        }
        self.show();
        let board = self.ends.board.get();
        self.gauges.set(&board, self.writer.health());
    }

    /// Sees that every backend whose rules want it is asked how it is.
    fn tend(&self, backends: &[Arc<upstream::Backend>]) {
        for backend in backends {
            upstream::tend(backend, &self.tasks);
        }
    }

    pub(super) fn resolve_beside(&self) {
        self.tend(self.publisher.current().backends());
        if self.resolving.swap(true, Ordering::AcqRel) {
            return;
        }
        let backends = self.publisher.current().backends().to_vec();
        let resolving = Arc::clone(&self.resolving);
        let unresolved = Arc::clone(&self.unresolved);
        self.tasks.spawn(async move {
            resolve_all(backends, unresolved).await;
            resolving.store(false, Ordering::Release);
        });
    }

    pub(super) fn path_text(&self) -> &str {
        self.state.path.as_deref().unwrap_or("the rules")
    }

    pub(super) fn change(
        &self,
        kind: ChangeKind,
        actor: &str,
        slice: Option<SliceId>,
        text: String,
    ) -> Change {
        Change {
            id: 0,
            at: clock::now(),
            actor: actor.to_owned(),
            kind,
            slice,
            text,
            diff: None,
            hash: Some(self.rules.hash().to_owned()),
        }
    }

    pub(super) fn keep(&self, change: Change) {
        self.writer.offer(Write::Change(change));
        self.writer.flush();
    }

    pub(super) fn note(&self, kind: ChangeKind, actor: &str, slice: Option<SliceId>, text: String) {
        self.keep(self.change(kind, actor, slice, text));
    }

    /// Saves what there is, within bounds.
    async fn end(mut self, beating: Option<JoinHandle<Ticker>>) {
        if let Some(beating) = beating {
            self.ticker = beating.await.ok();
        }
        if let Some(last) = self.beat() {
            self.ticker = last.await.ok();
        }
        for promise in std::mem::take(&mut self.promises) {
            answer(promise.reply, Err(Refused::Ending));
        }
        for reply in self.reloads.drain(..) {
            answer(reply, Err(Refused::Ending));
        }
        if !self.writer.close(LAST_WRITE).await {
            tracing::warn!("the store did not take the last batch in time");
        }
    }
}

fn first_state(
    path: Option<&PathBuf>,
    rules: &Snapshot,
    warnings: Vec<Problem>,
    now: UnixMillis,
) -> RulesBoard {
    RulesBoard {
        path: path.map(|p| p.display().to_string()),
        hash: rules.hash().to_owned(),
        taken_at: now,
        successful: true,
        problems: Vec::new(),
        warnings,
        restart_required: false,
        text: Arc::clone(rules.text()),
        refused_text: None,
        refused_at: None,
    }
}

/// Waits for the judging that runs, or for ever.
async fn judged(judging: &mut Option<(Reading, JoinHandle<Judged>)>) -> Heard {
    let Some((reading, job)) = judging else {
        return std::future::pending().await;
    };
    let judged = match job.await {
        Ok(judged) => judged,
        // A defect in the parser costs this content, nothing else.
        Err(error) => Judged::Refused {
            problems: vec![reload::broken(&error.to_string())],
            text: None,
        },
    };
    Heard::Judged(reading.clone(), judged)
}

/// Waits for the beat that runs, or for ever.
async fn beaten(beating: &mut Option<JoinHandle<Ticker>>) -> Option<Ticker> {
    match beating {
        Some(job) => match job.await {
            Ok(ticker) => Some(ticker),
            Err(error) => {
                tracing::error!(%error, "the beat broke; evidence stands still until a restart");
                None
            }
        },
        None => std::future::pending().await,
    }
}

/// Waits for a reading, or for ever.
async fn next_reading(readings: &mut Option<mpsc::Receiver<Reading>>) -> Reading {
    if let Some(open) = readings {
        if let Some(reading) = open.recv().await {
            return reading;
        }
        *readings = None;
    }
    std::future::pending().await
}

/// Asks the source, without waiting: when so many asks wait, one of them will do.
pub(super) fn send(asks: &mpsc::Sender<Ask>, ask: Ask) {
    if let Err(TrySendError::Closed(_)) = asks.try_send(ask) {
        tracing::error!("the watch of the rules has ended");
    }
}

/// Answers; who asked may have left.
pub(super) fn answer(reply: oneshot::Sender<Result<Done, Refused>>, done: Result<Done, Refused>) {
    if reply.send(done).is_err() {
        tracing::debug!("nobody waits for the answer any more");
    }
}

/// What does not resolve, by backend, so that it is said once.
type Unresolved = Arc<Mutex<BTreeMap<Arc<str>, String>>>;

async fn resolve_all(backends: Vec<Arc<upstream::Backend>>, unresolved: Unresolved) {
    for backend in backends {
        let name = &backend.config().name;
        let failed = upstream::resolve(&backend).await.err();
        let mut known = unresolved.lock().unwrap_or_else(PoisonError::into_inner);
        match failed {
            Some(error) if known.get(name) == Some(&error) => {}
            Some(error) => {
                tracing::warn!(backend = %name, error, "a name does not resolve; what was known stays");
                known.insert(Arc::clone(name), error);
            }
            None if known.remove(name).is_some() => {
                tracing::info!(backend = %name, "the name resolves again");
            }
            None => {}
        }
    }
}

fn declared(rules: &Snapshot) -> Vec<(SliceId, Position)> {
    let slices = rules.slices().iter();
    slices.map(|s| (s.id.clone(), s.declared)).collect()
}
