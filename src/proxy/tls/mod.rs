//! TLS of clients: certificates chosen by name, taken anew when their files change, never cut.
//!
//! A connection keeps what it was begun with. Tickets are shared by all threads of a listener, and
//! thrown away when those change who may show which certificate.

mod certificates;
mod handshake;

pub(super) use handshake::Named;

use crate::rules;
use crate::telemetry::Metrics;
use arc_swap::ArcSwap;
use certificates::Contents;
use certificates::Loaded;
use prometheus::IntCounter;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// The TLS of one listener, shared by all threads.
#[derive(Debug)]
pub(super) struct Tls {
    conf: rules::ListenTls,
    loaded: ArcSwap<Loaded>,
    looked: Mutex<Looked>,
    metrics: Metrics,
    taken: IntCounter,
    refused: IntCounter,
}

/// What the last look at the files found.
#[derive(Debug, Default)]
struct Looked {
    /// Contents that were tried, or are in force.
    known: Contents,
    /// Contents that were there at the last look and are tried if they stay.
    fresh: Option<Contents>,
}

impl Tls {
    /// Reads the files of a listener.
    pub(super) fn load(conf: rules::ListenTls, metrics: &Metrics) -> Result<Self, String> {
        let contents = Contents::read(&conf);
        let loaded = Loaded::new(&conf, &contents, None)?;
        let reloads = |result| metrics.counter("supplant_tls_reloads_total", &[result]);
        Ok(Self {
            loaded: ArcSwap::from_pointee(loaded),
            looked: Mutex::new(Looked {
                known: contents.without_secrets(),
                fresh: None,
            }),
            conf,
            taken: reloads("ok"),
            refused: reloads("rejected"),
            metrics: metrics.clone(),
        })
    }

    /// Looks at the files, and takes what they hold when it is new, has stayed the same since the
    /// look before, and can be used; otherwise what is in force stays.
    fn look(&self) {
        let contents = Contents::read(&self.conf);
        let seen = contents.without_secrets();
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        if looked.known == seen {
            looked.fresh = None;
            return;
        }
        if looked.fresh.as_ref() != Some(&seen) {
            looked.fresh = Some(seen);
            return;
        }
        looked.known = seen;
        looked.fresh = None;
        match Loaded::new(&self.conf, &contents, Some(&self.loaded.load())) {
            Ok(loaded) => {
                self.loaded.store(Arc::new(loaded));
                self.taken.inc();
                tracing::info!("certificates were taken anew");
            }
            Err(why) => {
                self.refused.inc();
                tracing::error!(%why, "certificates changed and cannot be used; the old ones stay");
            }
        }
    }
}

/// Keeps the certificates of every listener up to date.
#[derive(Debug)]
pub struct Certificates(pub(super) Vec<Arc<Tls>>);

impl Certificates {
    /// Looks at the files once a second until `stop`.
    pub async fn watch(self, stop: impl Future<Output = ()>) {
        if self.0.is_empty() {
            return stop.await;
        }
        let mut stop = std::pin::pin!(stop);
        let all: Arc<[Arc<Tls>]> = self.0.into();
        loop {
            // Both branches may be cancelled: a look that was begun ends by itself.
            tokio::select! {
                () = &mut stop => return,
                () = tokio::time::sleep(LOOK) => {}
            }
            let all = Arc::clone(&all);
            let looking = tokio::task::spawn_blocking(move || {
                for tls in all.iter() {
                    tls.look();
                }
            });
            if let Err(error) = looking.await {
                tracing::error!(%error, "certificates could not be looked at");
            }
        }
    }
}
