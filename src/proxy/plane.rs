//! The data-plane threads: started, told to drain, awaited.

use super::connection::Connections;
use super::gate::Gate;
use super::listener;
use super::listener::Accepted;
use super::listener::Listen;
use super::listener::Listening;
use super::listener::Loads;
use super::listener::Server;
use super::scan::Bounds;
use super::service::Thread;
use super::tls::Certificates;
use super::tls::Tls;
use crate::rules;
use crate::shadow::Shadow;
use crate::table::Reader;
use crate::telemetry::AccessLog;
use crate::telemetry::Metrics;
use crate::telemetry::trace::Exporter;
use crate::telemetry::trace::Tracer;
use crate::upstream::BEAT;
use crate::upstream::Pool;
use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::sync::watch;

/// How many idle connections to one address are kept, over all threads.
const IDLE_MAX: usize = 1_024;
/// How many connections may be on their way from one thread to another.
const HAND_OVER: usize = 256;

/// How many tasks run between two looks at the sockets. A request's tasks are short, so looking more
/// often costs more than it helps: every look is a call of the kernel.
const TASKS: u32 = 256;

/// How far the data plane is on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Serving,
    /// Clients are served as before, and told with each answer to connect anew for the next.
    Leaving,
    /// Nobody new is accepted, and what is idle is closed.
    Draining,
    Ended,
}

/// What the data plane is made of.
#[derive(Debug)]
pub struct PlaneParts {
    /// Where to listen, and the socket where somebody else has opened it.
    pub listen: Vec<(rules::Listen, Option<std::net::TcpListener>)>,
    /// How many threads.
    pub threads: usize,
    /// Limits on connections and bodies.
    pub limits: rules::Limits,
    /// The table.
    pub tables: Reader,
    /// The shadow's queue.
    pub shadow: Shadow,
    /// The metrics.
    pub metrics: Metrics,
    /// The access log.
    pub log: AccessLog,
    /// What makes and sends spans, where somebody wants them.
    pub exporter: Option<Exporter>,
}

/// The running threads.
#[derive(Debug)]
pub struct Plane {
    threads: Vec<JoinHandle<()>>,
    phase: watch::Sender<Phase>,
    loads: Arc<Loads>,
    addresses: Vec<SocketAddr>,
    secured: Vec<Arc<Tls>>,
}

/// How a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Every connection ended by itself.
    Clean,
    /// Some were cut when the time was over.
    Cut,
}

impl Plane {
    /// Binds every address and starts the threads.
    pub fn start(parts: PlaneParts) -> io::Result<Self> {
        let count = parts.threads.max(1);
        let phase = watch::Sender::new(Phase::Serving);
        let mut addresses = Vec::new();
        let mut listeners: Vec<Vec<(std::net::TcpListener, Arc<Listen>)>> =
            (0..count).map(|_| Vec::new()).collect();
        let mut secured = Vec::new();
        for (wanted, passed) in parts.listen {
            let tls = wanted.tls.map(|conf| Tls::load(conf, &parts.metrics));
            let tls = tls.transpose().map_err(io::Error::other)?.map(Arc::new);
            secured.extend(tls.clone());
            let bound = match passed {
                Some(passed) => listener::share(passed, count),
                None => listener::bind(wanted.address, count),
            };
            let bound = bound.map_err(|error| {
                let text = format!("cannot listen on {}: {error}", wanted.address);
                io::Error::new(error.kind(), text)
            })?;
            let Some(first) = bound.first() else { continue };
            let listen = Arc::new(Listen {
                address: first.local_addr()?,
                header: wanted.header,
                body: wanted.body,
                idle: wanted.idle,
                half_close: wanted.half_close,
                bounds: Bounds::from(&parts.limits),
                streams: parts.limits.streams,
                proxy_protocol: wanted.proxy_protocol,
                tls,
            });
            addresses.push(listen.address);
            for (thread, socket) in listeners.iter_mut().zip(bound) {
                thread.push((socket, Arc::clone(&listen)));
            }
        }
        let (hand_over, adopted): (Vec<_>, Vec<_>) =
            (0..count).map(|_| mpsc::channel(HAND_OVER)).unzip();
        let gate = Arc::new(Gate::new(&parts.limits, &parts.metrics));
        let loads = Arc::new(Loads {
            open: (0..count).map(|_| AtomicUsize::new(0)).collect(),
            listening: AtomicUsize::new(0),
            hand_over,
            limit: parts.limits.connections,
            gate: Arc::clone(&gate),
        });
        let mut threads = Vec::with_capacity(count);
        for (number, (listeners, adopted)) in listeners.into_iter().zip(adopted).enumerate() {
            let start = Start {
                number,
                count,
                tables: parts.tables.clone(),
                shadow: parts.shadow.clone(),
                metrics: parts.metrics.clone(),
                log: parts.log.clone(),
                tracer: parts.exporter.as_ref().map(Exporter::tracer),
                body_limit: parts.limits.request_body,
                loads: Arc::clone(&loads),
                phase: phase.subscribe(),
            };
            let named = std::thread::Builder::new().name(format!("data-{number}"));
            threads.push(named.spawn(move || start.run(listeners, adopted))?);
        }
        Ok(Self {
            threads,
            phase,
            loads,
            addresses,
            secured,
        })
    }

    /// Returns the addresses bound, in the order of the rules.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Returns what keeps the certificates of the listeners up to date.
    pub fn certificates(&self) -> Certificates {
        Certificates(self.secured.clone())
    }

    /// Returns a reader of how many client connections are open.
    pub fn open_connections(&self) -> impl Fn() -> usize + Send + Sync + 'static {
        let loads = Arc::clone(&self.loads);
        move || loads.total()
    }

    /// Tells clients with each answer of HTTP/1 that the connection ends with it, so that whoever is
    /// active has gone elsewhere when the drain comes.
    pub fn leave(&self) {
        self.phase.send_replace(Phase::Leaving);
    }

    /// Stops accepting, lets every connection finish its request for at most `patience`, and waits
    /// for the threads. Blocks. `force` cuts the patience short.
    pub fn drain(self, patience: Duration, force: &watch::Receiver<bool>) -> Drained {
        self.phase.send_replace(Phase::Draining);
        let deadline = tokio::time::Instant::now() + patience;
        // Twice, since a connection is nowhere for a moment while a thread takes it from another.
        let mut quiet = 0;
        while quiet < 2 && tokio::time::Instant::now() < deadline && !*force.borrow() {
            crate::clock::pause(Duration::from_millis(5));
            quiet = if self.loads.is_quiet() { quiet + 1 } else { 0 };
        }
        let drained = if self.loads.is_quiet() {
            Drained::Clean
        } else {
            Drained::Cut
        };
        self.phase.send_replace(Phase::Ended);
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a data-plane thread panicked");
            }
        }
        drained
    }
}

struct Start {
    number: usize,
    count: usize,
    tables: Reader,
    shadow: Shadow,
    metrics: Metrics,
    log: AccessLog,
    tracer: Option<Tracer>,
    body_limit: Option<u64>,
    loads: Arc<Loads>,
    phase: watch::Receiver<Phase>,
}

impl Start {
    fn run(
        self,
        listeners: Vec<(std::net::TcpListener, Arc<Listen>)>,
        adopted: mpsc::Receiver<Accepted>,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .event_interval(TASKS)
            .build_local(tokio::runtime::LocalOptions::default());
        match runtime {
            Ok(runtime) => runtime.block_on(self.serve(listeners, adopted)),
            Err(error) => tracing::error!(%error, "a data-plane thread could not start"),
        }
    }

    async fn serve(
        self,
        listeners: Vec<(std::net::TcpListener, Arc<Listen>)>,
        mut adopted: mpsc::Receiver<Accepted>,
    ) {
        let panics = self.metrics.counter("supplant_panics_total", &["request"]);
        let thread = Rc::new(Thread {
            number: self.number,
            tables: self.tables,
            shadow: self.shadow,
            pool: Pool::new(IDLE_MAX.div_ceil(self.count)),
            log: self.log.sink(),
            metrics: self.metrics,
            body_limit: self.body_limit,
            gate: Arc::clone(&self.loads.gate),
            tracer: self.tracer,
            leaving: Cell::new(false),
        });
        let server = Server {
            thread: Rc::clone(&thread),
            loads: self.loads,
            phase: self.phase.clone(),
            panics,
            connections: Rc::new(Connections::default()),
        };
        for (socket, listen) in listeners {
            match TcpListener::from_std(socket) {
                Ok(listener) => {
                    let listening = Listening::new(&server.loads);
                    let accepting = server.clone().accept(listener, listen);
                    tokio::task::spawn_local(async move {
                        accepting.await;
                        drop(listening);
                    });
                }
                Err(error) => tracing::error!(%error, "a listener could not start"),
            }
        }
        let mut phase = self.phase;
        let mut draining = false;
        let mut sweep = tokio::time::interval(Duration::from_secs(1));
        let mut beat = tokio::time::interval(BEAT);
        loop {
            // Each branch may be cancelled: receiving, ticking and waiting lose nothing.
            tokio::select! {
                Some(accepted) = adopted.recv() => server.adopt(accepted),
                now = beat.tick() => thread.pool.expire(now),
                now = sweep.tick() => {
                    thread.pool.sweep(now);
                    server.connections.sweep(now);
                }
                _ = phase.changed() => match *phase.borrow_and_update() {
                    Phase::Serving => {}
                    Phase::Leaving => thread.leaving.set(true),
                    Phase::Draining => {
                        thread.leaving.set(true);
                        draining = true;
                    }
                    Phase::Ended => break,
                },
            }
            if draining {
                server.connections.close(tokio::time::Instant::now());
            }
        }
    }
}
