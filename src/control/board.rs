//! The board: what the control loop knows, as one immutable value for API and pages.
//!
//! The loop publishes a new one after each tick, each act and each reload. Readers take it without
//! a lock, and may wait for the next one.

use crate::evidence::Group;
use crate::evidence::KeyView;
use crate::evidence::Summary;
use crate::model::Position;
use crate::model::SliceId;
use crate::model::UnixMillis;
use crate::rules::Problem;
use crate::store::Counts;
use arc_swap::ArcSwap;
use std::sync::Arc;
use tokio::sync::watch;

/// Everything there is to know at one moment.
#[derive(Clone, Debug)]
pub struct Board {
    /// When it was made.
    pub at: UnixMillis,
    /// When the process started.
    pub started: UnixMillis,
    /// The name of this node.
    pub node: String,
    /// The rules and what is wrong with their file.
    pub rules: RulesBoard,
    /// The store.
    pub store: StoreBoard,
    /// Whether requests can be served, or why not. Draining is apart.
    pub ready: Result<(), String>,
    /// Whether the process is on its way out.
    pub draining: bool,
    /// Whether everything was sent to legacy by `kill --all`.
    pub all_killed: bool,
    /// Whether a kill or rollback is in force that could not be written yet.
    pub killed_unpersisted: bool,
    /// The shadow plane.
    pub shadow: ShadowBoard,
    /// The slices, in the order of the file.
    pub slices: Vec<Arc<SliceBoard>>,
    /// What no slice takes.
    pub unmatched: Arc<SliceBoard>,
}

impl Board {
    /// Returns the slices, and at last what none of them takes.
    pub fn rows(&self) -> impl Iterator<Item = &Arc<SliceBoard>> {
        self.slices.iter().chain([&self.unmatched])
    }

    /// Finds a slice by its name; `_unmatched` is one.
    pub fn slice(&self, name: &str) -> Option<&Arc<SliceBoard>> {
        self.rows().find(|s| s.id.as_str() == name)
    }
}

/// The rules in force, and what was wrong with the last content of their file.
#[derive(Clone, Debug)]
pub struct RulesBoard {
    /// The file, or nothing when the process runs without one.
    pub path: Option<String>,
    /// The hash of the rules in force, twelve digits.
    pub hash: String,
    /// Since when they are in force.
    pub taken_at: UnixMillis,
    /// Whether the last content tried was taken.
    pub successful: bool,
    /// Why it was not.
    pub problems: Vec<Problem>,
    /// What `check` would warn about, and startup keys that changed.
    pub warnings: Vec<Problem>,
    /// Whether keys changed that are read at start only.
    pub restart_required: bool,
    /// The text in force.
    pub text: Arc<str>,
    /// The text that was refused, if the last one was.
    pub refused_text: Option<Arc<str>>,
    /// When it was refused.
    pub refused_at: Option<UnixMillis>,
}

/// How the store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreState {
    /// It takes what it is given.
    Ok,
    /// It does not, and why.
    Failing(String),
    /// Positions come from the file beside it, nothing rises, and why.
    Lost(String),
}

/// The store as pages show it.
#[derive(Clone, Debug)]
pub struct StoreBoard {
    /// Where it is, without secrets.
    pub url: String,
    /// How it is.
    pub state: StoreState,
    /// Writes that failed since the start.
    pub write_errors: u64,
    /// Samples dropped since the start.
    pub dropped: u64,
    /// What it takes on disk.
    pub bytes: u64,
    /// Whether the last change of positions is on disk.
    pub positions_persisted: bool,
}

/// The shadow plane as pages show it.
#[derive(Clone, Debug, Default)]
pub struct ShadowBoard {
    /// Jobs that wait.
    pub queue_len: u64,
    /// Jobs that may wait.
    pub queue_capacity: u64,
    /// Copies on their way.
    pub inflight: u64,
    /// Copies dropped since the start.
    pub shed: u64,
    /// Bytes of captured bodies held now.
    pub buffered_bytes: u64,
}

/// One slice.
#[derive(Clone, Debug)]
pub struct SliceBoard {
    /// Its name.
    pub id: SliceId,
    /// Who owns it.
    pub owner: Option<String>,
    /// The backend that is its candidate.
    pub backend: String,
    /// What it takes, as the file says it.
    pub matches: String,
    /// Its line in the file.
    pub line: u32,
    /// How far the file lets it go.
    pub declared: Position,
    /// How far it is; a kill does not change it.
    pub position: Position,
    /// What holds it down.
    pub ceiling: Option<Position>,
    /// Whether it, alone, was killed.
    pub killed: bool,
    /// Whether it was rolled back and not resumed.
    pub rolled_back: bool,
    /// Since when it stands there.
    pub position_since: UnixMillis,
    /// Everything it counted, restarts included.
    pub counts: Counts,
    /// Requests that have not ended.
    pub pending: i64,
    /// What the evidence says.
    pub summary: Arc<Summary>,
    /// Divergence groups of this epoch.
    pub groups: Arc<Vec<Group>>,
    /// Sets that are being checked.
    pub checking: Arc<Vec<Group>>,
    /// Groups of earlier epochs.
    pub earlier: Arc<Vec<Group>>,
    /// Keys with their verdicts.
    pub keys: Arc<Vec<KeyView>>,
    /// What is left out of mirroring, and the line that would let it in.
    pub excluded: Arc<Vec<ExcludedView>>,
    /// Share of its requests that the candidate answered, from 0 to 1, since the start.
    pub share_served: Option<f64>,
    /// Clients that a side failed within the last minute: legacy, candidate.
    pub failing: [u64; 2],
    /// Its control calls.
    pub control: ControlBoard,
    /// Latency of the served answers, estimated from buckets.
    pub served: ServedLatency,
}

/// A template that is left out of mirroring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExcludedView {
    /// Method and template.
    pub endpoint: String,
    /// How often it was left out.
    pub count: u64,
    /// Why.
    pub why: String,
    /// The line for `shadow.allow` that would let it in.
    pub allow_line: String,
}

/// Control calls of one slice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ControlBoard {
    /// Calls that made a pair.
    pub pairs: u64,
    /// Calls that failed.
    pub failed: u64,
    /// Templates whose controls rest.
    pub rested: Vec<String>,
}

/// Latency of served answers, in seconds, estimated from buckets.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ServedLatency {
    /// Of what legacy served.
    pub legacy: Option<ServedQuantiles>,
    /// Of what the candidate served.
    pub candidate: Option<ServedQuantiles>,
}

/// Quantiles estimated from buckets, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ServedQuantiles {
    /// Half were faster.
    pub p50: f64,
    /// 95 of 100 were faster.
    pub p95: f64,
    /// 99 of 100 were faster.
    pub p99: f64,
    /// How many there were.
    pub n: u64,
}

/// The read half.
#[derive(Clone, Debug)]
pub struct BoardReader {
    board: Arc<ArcSwap<Board>>,
    version: watch::Receiver<u64>,
}

impl BoardReader {
    /// Returns the board of this moment.
    pub fn get(&self) -> Arc<Board> {
        self.board.load_full()
    }

    /// Returns how many boards were published.
    pub fn version(&self) -> u64 {
        *self.version.borrow()
    }

    /// Waits for a board that this reader has not waited for yet.
    ///
    /// Returns false when there will be no further one. May be canceled.
    pub async fn changed(&mut self) -> bool {
        self.version.changed().await.is_ok()
    }
}

/// The write half, owned by the control loop.
#[derive(Debug)]
pub struct BoardPublisher {
    board: Arc<ArcSwap<Board>>,
    version: watch::Sender<u64>,
}

impl BoardPublisher {
    /// Publishes the next board.
    pub fn publish(&self, board: Board) {
        self.board.store(Arc::new(board));
        self.version.send_modify(|v| *v += 1);
    }
}

/// Makes both halves. Tests of the admin side call it with a board of their own.
pub fn channel(first: Board) -> (BoardPublisher, BoardReader) {
    let board = Arc::new(ArcSwap::from_pointee(first));
    let (version, seen) = watch::channel(1);
    (
        BoardPublisher {
            board: Arc::clone(&board),
            version,
        },
        BoardReader {
            board,
            version: seen,
        },
    )
}
