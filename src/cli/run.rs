//! `supplant run` and the proxy of `supplant demo`.

use super::demo;
use crate::app;
use crate::app::Ended;
use crate::settings::AccessFormat;
use crate::settings::AccessSample;
use crate::settings::Otlp;
use crate::settings::Settings;
use crate::systemd;
use crate::telemetry::process_log;
use anyhow::Context;
use std::io::IsTerminal;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;

/// Arguments of `supplant run`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  supplant run                                   serves what ./routes.yaml says
  supplant run --legacy http://127.0.0.1:3000    serves without a file, everything to legacy
  supplant run --config /etc/supplant/routes.yaml --access-log off")]
pub(super) struct Args {
    /// The rules.
    #[arg(
        long,
        value_name = "FILE",
        env = "SUPPLANT_CONFIG",
        conflicts_with = "legacy"
    )]
    config: Option<PathBuf>,
    /// Serve without a file: everything goes to this URL.
    #[arg(long, value_name = "URL")]
    legacy: Option<String>,
    /// Where to listen, instead of what the rules say.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Where the dashboard listens, instead of what the rules say.
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<SocketAddr>,
    /// Where evidence is kept, instead of what the rules say.
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// Data-plane threads; default one a core.
    #[arg(long, value_name = "N", env = "SUPPLANT_THREADS")]
    threads: Option<usize>,
    /// How each request is logged on standard output; default text on a terminal, JSON elsewhere.
    #[arg(long, value_name = "FORMAT", value_enum)]
    access_log: Option<AccessLog>,
    /// The share of lines that is written, such as `10%`; errors, requests that clients left, and slow
    /// ones always are.
    #[arg(long, value_name = "SHARE", value_parser = share, default_value = "100%")]
    access_log_sample: f64,
    /// From how long on a request is slow, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 1_000)]
    access_log_slow: u64,
    /// The level of the process log on standard error, such as `info` or `supplant::control=debug`.
    #[arg(long, value_name = "FILTER", env = "SUPPLANT_LOG")]
    log: Option<String>,
    /// The name of this node.
    #[arg(long, value_name = "NAME", env = "SUPPLANT_NODE")]
    node: Option<String>,
    /// Start although kills and rollbacks of the last run are lost.
    #[arg(long)]
    forget_positions: bool,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum AccessLog {
    Off,
    Json,
    Text,
}

impl Args {
    fn settings(self) -> Settings {
        let format = match self.access_log {
            Some(AccessLog::Off) => AccessFormat::Off,
            Some(AccessLog::Json) => AccessFormat::Json,
            Some(AccessLog::Text) => AccessFormat::Text,
            None => by_output(std::io::stdout().is_terminal()),
        };
        Settings {
            config: self.config,
            legacy: self.legacy,
            listen: self.listen,
            admin: self.admin,
            store: self.store,
            threads: self.threads,
            access_log: Some(format),
            access_sample: AccessSample {
                share: self.access_log_sample,
                slow: Duration::from_millis(self.access_log_slow),
            },
            otlp: otlp(),
            node: self.node,
            forget_positions: self.forget_positions,
        }
    }
}

/// Reads a share such as `10%`.
fn share(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').and_then(|n| n.parse::<f64>().ok());
    number
        .map(|n| n / 100.0)
        .filter(|share| (0.0..=1.0).contains(share))
        .ok_or_else(|| "write a share from `0%` to `100%`".to_owned())
}

#[expect(clippy::disallowed_methods, reason = "read here, once, at start")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Reads where spans go; what cannot be read is told.
fn otlp() -> Option<Otlp> {
    let (otlp, complaints) = Otlp::read(variable);
    for complaint in complaints {
        tracing::warn!("{complaint}");
    }
    otlp
}

fn by_output(terminal: bool) -> AccessFormat {
    if terminal {
        AccessFormat::Text
    } else {
        AccessFormat::Json
    }
}

/// Serves until a signal ends it.
pub(super) fn run(args: Args) -> anyhow::Result<u8> {
    process_log::start(args.log.as_deref());
    // Before there are threads, which is when variables may be taken away.
    let names = variable("LISTEN_FDNAMES");
    let sockets = systemd::Sockets::from_environment(names.as_deref())
        .context("a socket that was passed cannot be used")?;
    serve(args.settings(), sockets, |running| {
        for address in &running.data {
            tracing::info!("serving on http://{address}");
        }
        if std::io::stderr().is_terminal() {
            tracing::info!("dashboard on {}", running.dashboard());
        } else {
            // A log that is gathered is no place for a token; `supplant.token` holds it.
            tracing::info!("dashboard on http://{}/", running.admin);
        }
        Ok(())
    })
}

/// Serves the demo until a signal ends it.
pub(super) fn demo(args: &demo::Args) -> anyhow::Result<u8> {
    process_log::start(Some("warn"));
    let demo = demo::set_up(args)?;
    let settings = Settings {
        config: Some(demo.rules.clone()),
        access_log: Some(AccessFormat::Off),
        ..Settings::default()
    };
    serve(settings, systemd::Sockets::default(), |running| {
        let text = demo.welcome(&running.dashboard());
        demo.start()?;
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()?;
        Ok(())
    })
}

fn serve(
    settings: Settings,
    sockets: systemd::Sockets,
    started: impl FnOnce(&app::Running) -> anyhow::Result<()>,
) -> anyhow::Result<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .thread_name("control")
        .build()
        .context("cannot start the control runtime")?;
    runtime.block_on(async {
        let mut hang_up = signal(SignalKind::hangup())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let running = match app::start_on(settings, sockets).await {
            Ok(running) => running,
            Err(error) => return refused(&error),
        };
        started(&running)?;
        let status = running.status();
        systemd::ready(&status);
        loop {
            // Each branch may be cancelled: a signal that was not taken stays pending.
            tokio::select! {
                _ = hang_up.recv() => {
                    systemd::reloading();
                    running.reload().await;
                    systemd::ready(&status);
                }
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
            }
        }
        systemd::stopping("finishing what was begun");
        let (force, forced) = tokio::sync::watch::channel(false);
        let again = async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            force.send_replace(true);
            std::future::pending::<()>().await;
        };
        // The drain is not cancelled: the other branch never ends.
        let ended = tokio::select! {
            ended = running.drain(forced) => ended,
            () = again => unreachable!("it never ends"),
        };
        Ok(match ended {
            Ended::Clean => 0,
            Ended::Cut => 3,
        })
    })
}

/// A bad file is shown as `check` shows it, and exits 2.
fn refused(error: &anyhow::Error) -> anyhow::Result<u8> {
    let code = match error.downcast_ref::<app::BadRules>() {
        Some(_) => 2,
        None => 1,
    };
    let mut out = std::io::stderr().lock();
    writeln!(out, "{error:#}")?;
    Ok(code)
}
