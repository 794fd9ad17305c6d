//! The product, started whole in this process on free ports, with a folder of its own.

use super::Client;
use super::eventually;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use supplant::app;
use supplant::settings::Settings;
use tempfile::TempDir;
use tokio::sync::oneshot;

/// A running proxy. Dropping it drains it.
pub(crate) struct Proxy {
    pub(crate) data: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) folder: Option<TempDir>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

const LISTEN: &str = "{ address: \"127.0.0.1:0\" }";
const HEAD: &str = "admin: { address: \"127.0.0.1:0\" }\ndrain: { timeout: 2s }\nthreads: 2\n";

impl Proxy {
    /// Starts with these rules; `listen`, `admin`, `threads` and `drain` are put in front.
    pub(crate) fn start(rules: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::start_in(folder, rules)
    }

    /// Starts in a folder that may hold what an earlier one left.
    pub(crate) fn start_in(folder: TempDir, rules: &str) -> Self {
        Self::begin(folder, LISTEN, rules)
    }

    /// Starts with a listener of these keys.
    pub(crate) fn start_with(listen: &str, rules: &str) -> Self {
        Self::begin(tempfile::tempdir().unwrap(), listen, rules)
    }

    /// Starts with a listener of these keys in a folder that holds what they name.
    pub(crate) fn start_in_with(folder: TempDir, listen: &str, rules: &str) -> Self {
        Self::begin(folder, listen, rules)
    }

    fn begin(folder: TempDir, listen: &str, rules: &str) -> Self {
        let config = folder.path().join("routes.yaml");
        std::fs::write(&config, format!("listen: [{listen}]\n{HEAD}{rules}")).unwrap();
        let settings = Settings {
            config: Some(config),
            ..Settings::default()
        };
        let (ready, started) = std::sync::mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async move {
                let running = app::start(settings).await.expect("the proxy starts");
                ready.send((running.data[0], running.admin)).unwrap();
                drop(stopped.await);
                running.stop().await;
            });
        });
        let (data, admin) = started.recv().expect("the proxy starts");
        Self {
            data,
            admin,
            folder: Some(folder),
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.folder.as_ref().unwrap().path().join("routes.yaml")
    }

    /// Writes new rules in place of the old ones by rename, as editors do.
    pub(crate) fn save(&self, rules: &str) {
        let beside = self.config().with_extension("new");
        std::fs::write(&beside, format!("listen: [{LISTEN}]\n{HEAD}{rules}")).unwrap();
        std::fs::rename(&beside, self.config()).unwrap();
    }

    /// Returns the token that lets act.
    pub(crate) fn token(&self) -> String {
        let path = self.folder.as_ref().unwrap().path().join("supplant.token");
        std::fs::read_to_string(path).unwrap().trim().to_owned()
    }

    /// Asks the admin side.
    pub(crate) fn admin_get(&self, target: &str) -> (u16, String) {
        let host = self.admin.to_string();
        let token = format!("Bearer {}", self.token());
        let mut client = Client::connect(self.admin);
        client.send(
            format!(
                "GET {target} HTTP/1.1\r\nHost: {host}\r\nAuthorization: {token}\r\nConnection: close\r\n\r\n"
            )
            .as_bytes(),
        );
        let answer = client.read(false).expect("an answer of the admin side");
        (answer.status, answer.text())
    }

    /// Acts on the admin side.
    pub(crate) fn admin_post(&self, target: &str, json: &str) -> (u16, String) {
        let host = self.admin.to_string();
        let (token, length) = (self.token(), json.len());
        let mut client = Client::connect(self.admin);
        client.send(
            format!(
                "POST {target} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{json}"
            )
            .as_bytes(),
        );
        let answer = client.read(false).expect("an answer of the admin side");
        (answer.status, answer.text())
    }

    /// Reads a JSON answer of the admin side.
    pub(crate) fn json(&self, target: &str) -> serde_json::Value {
        let (status, text) = self.admin_get(target);
        assert_eq!(status, 200, "{target}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// Reads all metrics: the whole series text to its value.
    pub(crate) fn metrics(&self) -> BTreeMap<String, f64> {
        let (_, text) = self.admin_get("/metrics");
        text.lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.rsplit_once(' '))
            .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
            .collect()
    }

    /// Waits until nothing is pending, checks that outcomes add up to requests for every slice, and
    /// returns how often each outcome of a slice was counted, as `name` or `name(reason)`.
    pub(crate) fn outcomes(&self, slice: &str) -> BTreeMap<String, u64> {
        eventually("nothing is pending", || {
            let metrics = self.metrics();
            let mut pending = metrics
                .iter()
                .filter(|(name, _)| name.starts_with("supplant_outcomes_pending"));
            pending.all(|(_, value)| *value == 0.0)
        });
        let metrics = self.metrics();
        let mut sums: BTreeMap<String, f64> = BTreeMap::new();
        let mut found = BTreeMap::new();
        for (series, value) in &metrics {
            if let Some(labels) = series.strip_prefix("supplant_outcomes_total") {
                *sums.entry(label(labels, "slice")).or_default() += value;
                if label(labels, "slice") == slice {
                    let (name, reason) = (label(labels, "outcome"), label(labels, "reason"));
                    let key = if reason.is_empty() {
                        name
                    } else {
                        format!("{name}({reason})")
                    };
                    #[expect(
                        clippy::cast_possible_truncation,
                        clippy::cast_sign_loss,
                        reason = "small counts"
                    )]
                    found.insert(key, *value as u64);
                }
            }
        }
        for (series, requests) in &metrics {
            if let Some(labels) = series.strip_prefix("supplant_requests_total") {
                let sum = sums.get(&label(labels, "slice")).copied().unwrap_or(0.0);
                assert!(
                    (requests - sum).abs() < 0.5,
                    "{series} is {requests}, outcomes {sum}"
                );
            }
        }
        found
    }

    /// Waits until an outcome of a slice was counted so often.
    pub(crate) fn await_outcome(&self, slice: &str, outcome: &str, count: u64) {
        eventually(&format!("{count} × {outcome} in {slice}"), || {
            self.outcomes(slice).get(outcome).copied().unwrap_or(0) >= count
        });
    }

    /// Stops it and returns its folder.
    pub(crate) fn stop(mut self) -> TempDir {
        self.end();
        self.folder.take().unwrap()
    }

    fn end(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the proxy ends without a panic");
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.end();
        }
    }
}

fn label(labels: &str, name: &str) -> String {
    let start = format!("{name}=\"");
    let rest = labels.split_once(&start).map_or("", |(_, rest)| rest);
    rest.split('"').next().unwrap_or("").to_owned()
}
