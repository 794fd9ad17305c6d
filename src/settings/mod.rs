//! What is fixed for the life of the process, resolved once, at start: flags beat the environment,
//! which beats the file.

mod otlp;

pub use otlp::Otlp;
pub use otlp::Root;
pub use otlp::Sampler;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// How lines of the access log are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessFormat {
    /// Nothing is written, and nothing is gathered.
    Off,
    /// One JSON object a line.
    Json,
    /// For a person at a terminal.
    Text,
}

/// Which lines of the access log are written. Errors, requests that the client left, and slow ones
/// always are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AccessSample {
    /// The share of the others, from 0 to 1.
    pub share: f64,
    /// From how long on a request is slow.
    pub slow: Duration,
}

impl Default for AccessSample {
    fn default() -> Self {
        Self {
            share: 1.0,
            slow: Duration::from_secs(1),
        }
    }
}

/// What the command line and the environment ask for. Everything else stands in the rules.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The file of the rules; `./routes.yaml` where neither this nor `legacy` is given.
    pub config: Option<PathBuf>,
    /// Serve without a file: everything goes to this address.
    pub legacy: Option<String>,
    /// Where to listen, instead of what the rules say.
    pub listen: Option<SocketAddr>,
    /// Where the admin side listens, instead of what the rules say.
    pub admin: Option<SocketAddr>,
    /// Where the store is, instead of what the rules say.
    pub store: Option<String>,
    /// How many data-plane threads; the rules, otherwise one a core.
    pub threads: Option<usize>,
    /// How the access log is written; off where nothing is said.
    pub access_log: Option<AccessFormat>,
    /// Which lines of it are written.
    pub access_sample: AccessSample,
    /// Where spans go; nowhere without.
    pub otlp: Option<Otlp>,
    /// The name of this node.
    pub node: Option<String>,
    /// Begin without positions where they are lost.
    pub forget_positions: bool,
}

/// Where the rules come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file, which is watched.
    File(PathBuf),
    /// A text made from the command line, which never changes.
    Text(String),
}

impl Settings {
    /// Returns where the rules come from.
    pub fn source(&self) -> Source {
        match (&self.config, &self.legacy) {
            (Some(path), _) => Source::File(path.clone()),
            (None, Some(legacy)) => Source::Text(format!("legacy: {legacy:?}\n")),
            (None, None) => Source::File(PathBuf::from("routes.yaml")),
        }
    }

    /// Returns the folder that relative paths of the store start from.
    pub fn base(&self) -> PathBuf {
        let folder = match self.source() {
            Source::File(path) => path.parent().map(PathBuf::from),
            Source::Text(_) => None,
        };
        folder
            .filter(|folder| !folder.as_os_str().is_empty())
            .unwrap_or_else(|| PathBuf::from("."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_beats_a_bare_legacy_and_the_default_is_beside_the_caller() {
        let mut settings = Settings::default();
        assert_eq!(settings.source(), Source::File("routes.yaml".into()));
        assert_eq!(settings.base(), PathBuf::from("."));
        settings.legacy = Some("http://127.0.0.1:3000".into());
        let text = "legacy: \"http://127.0.0.1:3000\"\n";
        assert_eq!(settings.source(), Source::Text(text.into()));
        settings.config = Some("/etc/supplant/routes.yaml".into());
        assert_eq!(settings.base(), PathBuf::from("/etc/supplant"));
    }
}
