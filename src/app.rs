//! Wires all of it: the one file that knows every part.
//!
//! Order of the start: rules, store, control loop, names, shadow threads, data-plane threads, admin
//! side. Order of the end is the reverse, so that everything can still be counted and written.

use crate::admin;
use crate::admin::Auth;
use crate::admin::Shelf;
use crate::admin::Token;
use crate::clock;
use crate::compare::RedactKey;
use crate::control;
use crate::control::Act;
use crate::control::Control;
use crate::control::Ends;
use crate::control::Event;
use crate::descriptors;
use crate::proxy;
use crate::proxy::Drained;
use crate::rules;
use crate::rules::Drain;
use crate::rules::Loaded;
use crate::rules::Startup;
use crate::settings::AccessFormat;
use crate::settings::Settings;
use crate::settings::Source;
use crate::shadow;
use crate::shadow::Memory;
use crate::shadow::Shadow;
use crate::store;
use crate::store::Library;
use crate::store::Writer;
use crate::systemd;
use crate::systemd::Sockets;
use crate::tasks::Tasks;
use crate::telemetry::AccessLog;
use crate::telemetry::Metrics;
use crate::telemetry::process;
use crate::telemetry::trace::Exporter;
use anyhow::Context;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::sync::oneshot;
use tokio::sync::watch;

/// Bytes of answers held for comparing, in all.
const CAPTURED: usize = 64 << 20;
/// How long the start waits for names.
const NAMES: Duration = Duration::from_secs(2);
/// How long copies that are on their way may take to end.
const COPIES: Duration = Duration::from_secs(3);
/// How long tasks of the control runtime may take to end.
const TASKS: Duration = Duration::from_secs(5);

/// The rules cannot be taken; the text is what `check` prints.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BadRules(String);

/// How the process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Every request was finished.
    Clean,
    /// Some were cut when the time was over.
    Cut,
}

/// A process that serves.
#[derive(Debug)]
pub struct Running {
    /// Where clients are served.
    pub data: Vec<SocketAddr>,
    /// Where the admin side is.
    pub admin: SocketAddr,
    token: String,
    drain: Drain,
    plane: proxy::Plane,
    shadow: shadow::Plane,
    log: AccessLog,
    exporter: Option<Exporter>,
    writers: Vec<std::thread::JoinHandle<()>>,
    events: mpsc::Sender<Event>,
    writer: Writer,
    tasks: Tasks,
}

/// What the planes and the admin side are started with.
struct Base {
    startup: Startup,
    settings: Settings,
    tokens: Vec<Token>,
    home: PathBuf,
    metrics: Metrics,
    tasks: Tasks,
    writer: Writer,
    library: Library,
    sockets: Sockets,
}

/// Starts everything on the runtime that calls, and the planes on threads of their own.
pub async fn start(settings: Settings) -> anyhow::Result<Running> {
    start_on(settings, Sockets::default()).await
}

/// Starts as [`start`] does, on sockets that the service manager opened where it did.
pub async fn start_on(settings: Settings, sockets: Sockets) -> anyhow::Result<Running> {
    let (path, loaded) = load(&settings.source()).await?;
    let mut startup = overridden(loaded.snapshot.startup().clone(), &settings);
    bound_by_descriptors(&mut startup.limits);
    let folder = settings.base();
    let tokens = read_tokens(&startup, &folder)?;
    if let Some(why) = admin::refuse_open(startup.admin.address.ip(), tokens.len()) {
        anyhow::bail!(why);
    }
    let (metrics, tasks) = (Metrics::new(), Tasks::default());
    let options = store::Options {
        url: startup.store.0.clone(),
        base: folder.clone(),
        forget_positions: settings.forget_positions,
        limits: store::Limits::default(),
    };
    let opened = store::open(&options, clock::now()).await?;
    tasks.spawn(opened.writer_task.run());
    tasks.spawn(opened.keeper_task.run());
    let base = Base {
        home: home_of(&opened.url, &folder),
        writer: opened.writer.clone(),
        library: opened.library,
        startup,
        tokens,
        metrics: metrics.clone(),
        tasks: tasks.clone(),
        settings,
        sockets,
    };
    let control = Control::new(control::Parts {
        path,
        first: loaded,
        positions: opened.positions,
        lost: opened.lost,
        saved: opened.saved,
        writer: opened.writer,
        keeper: opened.keeper,
        store_url: opened.url,
        node: base.settings.node.clone().unwrap_or_else(node_name),
        metrics,
        tasks,
    });
    control.resolve(NAMES).await;
    base.start(control).await
}

impl Base {
    async fn start(mut self, mut control: Control) -> anyhow::Result<Running> {
        let ends = control.ends();
        let threads = self.startup.threads.unwrap_or_else(cores);
        let key = secret_key(&self.home.join("supplant.key"))?;
        let (shadow_plane, shadow, deltas) = shadow::Plane::start(shadow::PlaneParts {
            threads: threads.div_ceil(2),
            memory: Memory::new(CAPTURED),
            writer: self.writer.clone(),
            key: RedactKey::new(key),
            metrics: self.metrics.clone(),
        })
        .context("cannot start the shadow threads")?;
        control.attach(shadow.clone(), deltas);
        let name = "supplant_access_log_dropped_total";
        let format = self.settings.access_log.unwrap_or(AccessFormat::Off);
        let sample = self.settings.access_sample;
        let log = AccessLog::new(format, sample, self.metrics.counter(name, &[]));
        let otlp = self.settings.otlp.clone();
        let exporter = otlp.map(|otlp| Exporter::new(otlp, &self.metrics));
        let admin = self.sockets.take(self.startup.admin.address);
        let listen = self.startup.listen.iter().cloned().map(|listen| {
            let passed = self.sockets.take(listen.address);
            (listen, passed)
        });
        let listen = listen.collect();
        for left in self.sockets.left() {
            tracing::warn!("a socket was passed that nobody asked for: {left}");
        }
        let plane = proxy::Plane::start(proxy::PlaneParts {
            listen,
            threads,
            limits: self.startup.limits,
            tables: ends.tables.clone(),
            shadow: shadow.clone(),
            metrics: self.metrics.clone(),
            log: log.clone(),
            exporter: exporter.clone(),
        })?;
        let stopping = self.tasks.stopping();
        self.tasks.spawn(plane.certificates().watch(stopping));
        process::started(&self.metrics, clock::now());
        let gather = gatherer(&self.metrics, &ends, shadow, plane.open_connections());
        let admin = self.start_admin(&ends, plane.addresses(), gather, admin);
        let (admin, token) = admin.await?;
        self.tasks.spawn(watched(self.tasks.stopping()));
        self.tasks.spawn(control.run());
        Ok(Running {
            data: plane.addresses().to_vec(),
            admin,
            token,
            drain: self.startup.drain,
            plane,
            shadow: shadow_plane,
            writers: writers(&log, exporter.as_ref())?,
            log,
            exporter,
            events: ends.events,
            writer: self.writer,
            tasks: self.tasks,
        })
    }

    async fn start_admin(
        &self,
        ends: &Ends,
        data: &[SocketAddr],
        metrics: admin::Gather,
        passed: Option<std::net::TcpListener>,
    ) -> anyhow::Result<(SocketAddr, String)> {
        let wanted = self.startup.admin.address;
        let listener = match passed {
            Some(passed) => passed
                .set_nonblocking(true)
                .and_then(|()| TcpListener::from_std(passed)),
            None => TcpListener::bind(wanted).await,
        };
        let listener =
            listener.with_context(|| format!("cannot listen on {wanted} for the admin side"))?;
        let address = listener.local_addr()?;
        let path = self.home.join("supplant.token");
        let token = admin::write_token(&path)
            .with_context(|| format!("cannot write `{}`", path.display()))?;
        let mut tokens = self.tokens.clone();
        tokens.extend(Token::new("local", rules::TokenRole::Operator, &token));
        let url = |address: &SocketAddr| format!("http://{address}");
        let parts = admin::Parts {
            board: ends.board.clone(),
            shelf: Shelf::Library(self.library.clone()),
            events: ends.events.clone(),
            metrics,
            auth: Auth::new(address, &self.startup.admin.hosts, tokens)?,
            data: data.first().map(url).unwrap_or_default(),
            admin: url(&address),
        };
        let stopping = self.tasks.stopping();
        self.tasks.spawn(async move {
            if let Err(error) = admin::serve(listener, parts, stopping).await {
                tracing::error!(%error, "the admin side ended");
            }
        });
        Ok((address, token))
    }
}

impl Running {
    /// Returns the link to the dashboard that carries the token in its fragment, which no server
    /// and no log sees.
    pub fn dashboard(&self) -> String {
        format!("http://{}/#token={}", self.admin, self.token)
    }

    /// Returns where it serves, in words.
    pub fn status(&self) -> String {
        let data: Vec<_> = self.data.iter().map(SocketAddr::to_string).collect();
        format!(
            "serving on {}, admin side on {}",
            data.join(", "),
            self.admin
        )
    }

    /// Reads the rules again, whether they changed or not; returns when they are in force or
    /// refused.
    pub async fn reload(&self) {
        let (reply, done) = oneshot::channel();
        let (act, actor) = (Act::Reload, "signal".to_owned());
        self.tell(Event::Act { act, actor, reply }).await;
        match done.await {
            Ok(Ok(done)) => tracing::info!("{}", done.text),
            // The problems are in the log already.
            Ok(Err(why)) => tracing::warn!("{why}"),
            Err(_) => tracing::error!("the control loop has ended"),
        }
    }

    /// Drains at once; for tests.
    pub async fn stop(self) -> Ended {
        let (_force, forced) = watch::channel(false);
        self.drain(forced).await
    }

    /// Says that the process is not ready, accepts on for the delay while clients are told to
    /// leave, finishes what was begun, and ends everything. `forced` cuts the patience short.
    pub async fn drain(self, mut forced: watch::Receiver<bool>) -> Ended {
        self.tell(Event::Drain).await;
        self.plane.leave();
        // Waiting may be cancelled by a second signal.
        tokio::select! {
            () = tokio::time::sleep(self.drain.delay) => {}
            _ = forced.wait_for(|forced| *forced) => {}
        }
        let (plane, shadow, timeout) = (self.plane, self.shadow, self.drain.timeout);
        let planes = tokio::task::spawn_blocking(move || {
            let drained = plane.drain(timeout, &forced);
            shadow.drain(COPIES);
            drained
        });
        let drained = planes.await.unwrap_or(Drained::Cut);
        self.log.stop();
        if let Some(exporter) = &self.exporter {
            exporter.stop();
        }
        for writer in self.writers {
            let joined = tokio::task::spawn_blocking(move || writer.join());
            if !matches!(joined.await, Ok(Ok(()))) {
                tracing::error!("the writer of the access log, or of spans, panicked");
            }
        }
        // One more beat drains what the shadow threads counted last.
        tokio::time::sleep(Duration::from_millis(10)).await;
        if self.events.send(Event::Shutdown).await.is_err() {
            tracing::error!("the control loop had ended before");
        }
        self.events.closed().await;
        if !self.writer.close(TASKS).await {
            tracing::warn!("the store took too long; the last second may be lost");
        }
        if !self.tasks.drain(TASKS).await {
            tracing::warn!("a task of the control runtime did not end in time");
        }
        match drained {
            Drained::Clean => Ended::Clean,
            Drained::Cut => Ended::Cut,
        }
    }

    async fn tell(&self, event: Event) {
        if self.events.send(event).await.is_err() {
            tracing::error!("the control loop has ended");
        }
    }
}

async fn load(source: &Source) -> anyhow::Result<(Option<PathBuf>, Loaded)> {
    let (path, name, text) = match source {
        Source::Text(text) => (None, "--legacy".to_owned(), text.clone()),
        Source::File(path) => {
            let name = path.display().to_string();
            let bytes = tokio::fs::read(path).await.map_err(|error| {
                let hint = "write one, or serve without by --legacy URL";
                BadRules(format!("cannot read `{name}`; {hint}: {error}"))
            })?;
            let text = rules::decode(&bytes).map_err(|p| BadRules(p.render(&name)))?;
            (Some(path.clone()), name, text.to_owned())
        }
    };
    let loaded = rules::load(&name, &text).map_err(|problems| {
        let all: Vec<_> = problems.iter().map(|p| p.render(&name)).collect();
        BadRules(all.join("\n"))
    })?;
    for warning in &loaded.warnings {
        tracing::warn!("{}", warning.render(&name));
    }
    Ok((path, loaded))
}

fn overridden(mut startup: Startup, settings: &Settings) -> Startup {
    if let Some(address) = settings.listen {
        startup.listen = vec![rules::Listen::at(address)];
    }
    if let Some(address) = settings.admin {
        startup.admin.address = address;
    }
    if let Some(url) = &settings.store {
        startup.store = rules::StoreUrl(url.clone());
    }
    startup.threads = settings.threads.or(startup.threads);
    startup
}

fn read_tokens(startup: &Startup, base: &Path) -> anyhow::Result<Vec<Token>> {
    let read = |conf: &rules::TokenConf| {
        let path = base.join(&conf.file);
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read the token `{}`", path.display()))?;
        Token::new(&conf.name, conf.role, &text).with_context(|| {
            format!(
                "the token in `{}` is too short; use 16 characters or more",
                path.display()
            )
        })
    };
    startup.admin.tokens.iter().map(read).collect()
}

/// Returns the folder that holds the store, where the token and the key go too.
fn home_of(store: &str, base: &Path) -> PathBuf {
    let path = store.strip_prefix("sqlite:").map(Path::new);
    let folder = path.and_then(Path::parent).map(PathBuf::from);
    folder.unwrap_or_else(|| base.to_owned())
}

/// Reads the key of the tokens that stand for secrets, or makes one that only its owner can read.
fn secret_key(path: &Path) -> anyhow::Result<[u8; 32]> {
    let fail = || format!("cannot use the key `{}`", path.display());
    match std::fs::read(path) {
        Ok(bytes) => bytes.try_into().map_err(|_| {
            let path = path.display();
            anyhow::anyhow!(
                "the key `{path}` is damaged; remove it, and old samples lose their link"
            )
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let mut key = [0; 32];
            getrandom::fill(&mut key).context("the system gives no random bytes")?;
            let mut file = std::fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(path)
                .with_context(fail)?;
            file.write_all(&key).with_context(fail)?;
            file.sync_all().with_context(fail)?;
            Ok(key)
        }
        Err(error) => Err(error).with_context(fail),
    }
}

/// Returns what writes the metrics: everything that is read when asked is brought up to date first.
fn gatherer(
    metrics: &Metrics,
    ends: &Ends,
    shadow: Shadow,
    open: impl Fn() -> usize + Send + Sync + 'static,
) -> admin::Gather {
    let (metrics, tables) = (metrics.clone(), ends.tables.clone());
    Arc::new(move || {
        let set = |name: &str, value: usize| {
            let value = u32::try_from(value).unwrap_or(u32::MAX);
            metrics.gauge(name, &[]).set(f64::from(value));
        };
        let table = tables.pin();
        table.export();
        let (waiting, capacity) = shadow.queue();
        set("supplant_shadow_queue_length", waiting);
        set("supplant_shadow_queue_capacity", capacity);
        let inflight = usize::try_from(table.shared().inflight()).unwrap_or(0);
        set("supplant_shadow_inflight", inflight);
        set("supplant_shadow_buffered_bytes", shadow.memory().held());
        set(
            "supplant_shadow_buffered_limit_bytes",
            shadow.memory().limit(),
        );
        set("supplant_open_connections", open());
        process::export(&metrics);
        metrics.gather()
    })
}

/// Starts the threads that write the access log and send spans.
fn writers(
    log: &AccessLog,
    exporter: Option<&Exporter>,
) -> anyhow::Result<Vec<std::thread::JoinHandle<()>>> {
    let log = log.clone();
    let named = std::thread::Builder::new().name("access-log".into());
    let mut threads = vec![
        named
            .spawn(move || log.write_all(std::io::stdout()))
            .context("cannot start the writer of the access log")?,
    ];
    if let Some(exporter) = exporter.cloned() {
        let named = std::thread::Builder::new().name("spans".into());
        let thread = named.spawn(move || exporter.run());
        threads.push(thread.context("cannot start the writer of spans")?);
    }
    Ok(threads)
}

/// Feeds the service manager's watchdog, if it has one, for as long as the control runtime turns.
async fn watched(stopping: impl Future<Output = ()>) {
    // Both may be cancelled: they hold nothing.
    tokio::select! {
        () = systemd::feed_watchdog() => {}
        () = stopping => {}
    }
}

/// Raises the limit of open descriptors, and bounds connections by it.
fn bound_by_descriptors(limits: &mut rules::Limits) {
    let allowance = descriptors::raise();
    if limits.connections > allowance.clients {
        let (wanted, limit) = (limits.connections, allowance.limit.unwrap_or(u64::MAX));
        limits.connections = allowance.clients;
        let text = format!(
            "`limits.connections` is {wanted}, but {limit} descriptors may be open: {} connections \
             are taken; raise the hard limit (`LimitNOFILE=` of systemd)",
            allowance.clients
        );
        // Nobody asked for the default, so that nobody has to act where it is not reached.
        if wanted == rules::Limits::default().connections {
            tracing::info!("{text}");
        } else {
            tracing::warn!("{text}");
        }
    }
}

fn node_name() -> String {
    let name = rustix::system::uname();
    name.nodename().to_string_lossy().into_owned()
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
