//! `supplant demo`: a legacy shop, its rewrite with a handful of faults, and traffic, in the process
//! that runs the proxy.
//!
//! [`set_up`] makes a folder with the rules and binds the two applications; whoever calls runs the
//! proxy on those rules, beside [`Demo::start`].

mod candidate;
mod legacy;
mod rules;
mod shop;
mod traffic;

pub use rules::Addresses;

use crate::clock;
use anyhow::Context;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::path::Path;
use std::path::PathBuf;
use tokio::net::TcpListener;

/// Arguments of `supplant demo`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Where the proxy listens; a free port where the default is taken.
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
    /// Where the dashboard listens; a free port where the default is taken.
    #[arg(long, value_name = "ADDRESS")]
    pub admin: Option<SocketAddr>,
    /// A new or empty folder for the rules and the store, instead of one for temporary files.
    #[arg(long, value_name = "FOLDER")]
    pub dir: Option<PathBuf>,
}

/// A demo that is set up and not started.
#[derive(Debug)]
pub struct Demo {
    /// The rules; the store, the token and the positions go beside them.
    pub rules: PathBuf,
    /// Who listens where.
    pub at: Addresses,
    legacy: std::net::TcpListener,
    candidate: std::net::TcpListener,
}

/// Makes the folder, writes the rules, binds both applications.
///
/// # Errors
/// The folder cannot be made, or holds something already; no port is free.
pub fn set_up(args: &Args) -> anyhow::Result<Demo> {
    let (legacy, candidate) = (bind_free()?, bind_free()?);
    let at = Addresses {
        listen: args.listen.map_or_else(|| usual(8080), Ok)?,
        admin: args.admin.map_or_else(|| usual(9900), Ok)?,
        legacy: legacy.local_addr()?,
        candidate: candidate.local_addr()?,
    };
    let folder = folder(args.dir.as_deref())?;
    let rules = folder.join("routes.yaml");
    std::fs::write(&rules, rules::text(&at))
        .with_context(|| format!("cannot write `{}`", rules.display()))?;
    Ok(Demo {
        rules,
        at,
        legacy,
        candidate,
    })
}

fn bind_free() -> anyhow::Result<std::net::TcpListener> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .context("no free port on loopback")?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Returns the usual port on loopback, or a free one if somebody has it.
fn usual(port: u16) -> anyhow::Result<SocketAddr> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    match std::net::TcpListener::bind(address) {
        Ok(_) => Ok(address),
        Err(_) => Ok(bind_free()?.local_addr()?),
    }
}

fn folder(asked: Option<&Path>) -> anyhow::Result<PathBuf> {
    let folder = match asked {
        Some(folder) => folder.to_owned(),
        None => std::env::temp_dir().join(format!("supplant-demo-{:08x}", clock::chance() >> 32)),
    };
    let fail = || format!("cannot use the folder `{}`", folder.display());
    std::fs::create_dir_all(&folder).with_context(fail)?;
    anyhow::ensure!(
        std::fs::read_dir(&folder)
            .with_context(fail)?
            .next()
            .is_none(),
        "the folder `{}` holds something already; name a new one",
        folder.display()
    );
    folder.canonicalize().with_context(fail)
}

impl Demo {
    /// Starts both applications and the traffic on a thread of their own, which ends with the
    /// process. The traffic waits until the proxy listens.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start(self) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let play = async move {
            let legacy = TcpListener::from_std(self.legacy)?;
            let candidate = TcpListener::from_std(self.candidate)?;
            tokio::try_join!(legacy::serve(legacy), candidate::serve(candidate), async {
                traffic::run(self.at.listen).await;
                Ok(())
            })
            .map(drop)
        };
        std::thread::Builder::new()
            .name("demo".into())
            .spawn(move || {
                if let Err(error) = runtime.block_on(play) {
                    tracing::error!(%error, "the applications of the demo ended");
                }
            })
            .context("cannot start a thread")?;
        Ok(())
    }

    /// Returns what to tell the user: what to open, what to try. `dashboard` is the link that
    /// carries the token.
    pub fn welcome(&self, dashboard: &str) -> String {
        let Addresses {
            listen,
            admin,
            legacy,
            candidate,
        } = self.at;
        let folder = self.rules.parent().unwrap_or(&self.rules).display();
        let rules = self.rules.display();
        // What these commands need lies in the folder, under the names they look for.
        let program = std::env::current_exe().unwrap_or_else(|_| "supplant".into());
        let program = match admin.to_string().as_str() {
            "127.0.0.1:9900" => program.display().to_string(),
            other => format!("SUPPLANT_ADMIN={other} {}", program.display()),
        };
        format!(
            "\
A legacy shop, its rewrite with a handful of faults, traffic, the proxy and the dashboard.

  open     {dashboard}
  rules    {rules}
  shop     http://{listen}/api/orders/1001
           (legacy: http://{legacy}, rewrite: http://{candidate})

Within a minute the dashboard shows what differs. Then try:

  1. Edit the rules: set `prices` to `stage: cutover` and save. The page follows within a second.
  2. Break them: write `stage: shadwo`. The old rules serve on, and the page shows the line.
  3. In another terminal, ask, take a slice back, and let it go on:
       cd {folder}
       {program} status
       {program} parity orders
       {program} kill products
       {program} resume products
       {program} explain GET /api/products/400121 -H 'X-User: user-3'

Ctrl-C ends all of it.
"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tower::ServiceExt;

    async fn get(app: axum::Router, target: &str) -> serde_json::Value {
        let request = http::Request::get(target).body(axum::body::Body::empty());
        let answer = app.oneshot(request.unwrap()).await.unwrap();
        let body = axum::body::to_bytes(answer.into_body(), 1 << 20).await;
        let mut body: serde_json::Value = serde_json::from_slice(&body.unwrap()).unwrap();
        for changing in ["meta", "stock"] {
            body.as_object_mut().unwrap().remove(changing);
        }
        body
    }

    #[tokio::test]
    async fn the_rewrite_is_wrong_where_it_says_so_and_right_elsewhere() {
        for (target, equal) in [
            ("/api/orders/1007", false),
            ("/api/orders?page=3", false),
            ("/api/orders/1", true),
            ("/api/products/400109", false),
            ("/api/products/400112", true),
            ("/api/prices/400121?quantity=1", true),
            ("/api/prices/400121?quantity=7", false),
            ("/api/search?q=lamp", false),
            ("/api/search?q=nothing", true),
            ("/api/reports/daily", true),
            ("/api/sessions/me", true),
            ("/api/currencies", true),
        ] {
            let (one, two) = (get(legacy::app(), target), get(candidate::app(), target));
            let (one, two) = tokio::join!(one, two);
            assert_eq!(one == two, equal, "{target}: {one} {two}");
        }
    }

    #[test]
    fn a_folder_that_holds_something_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let args = Args {
            listen: None,
            admin: None,
            dir: Some(folder.path().into()),
        };
        let demo = set_up(&args).unwrap();
        assert!(
            demo.rules
                .starts_with(folder.path().canonicalize().unwrap())
        );
        let error = set_up(&args).unwrap_err().to_string();
        assert!(error.contains("name a new one"), "{error}");
    }
}
