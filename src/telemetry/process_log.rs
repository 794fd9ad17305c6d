//! The log of the process: what an operator's act led to, and what needs a person.

use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Starts the process log on standard error: text on a terminal, JSON lines elsewhere.
///
/// `filter` is a level or a list of `target=level`; one that cannot be read is reported and `info`
/// is used. A second call changes nothing.
pub fn start(filter: Option<&str>) {
    let wanted = filter.unwrap_or("info");
    let (filter, error) = match EnvFilter::try_new(wanted) {
        Ok(filter) => (filter, None),
        Err(error) => (EnvFilter::new("info"), Some(error)),
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false);
    let started = if std::io::stderr().is_terminal() {
        builder.with_ansi(true).try_init()
    } else {
        builder.json().flatten_event(true).try_init()
    };
    if let (Ok(()), Some(error)) = (started, error) {
        tracing::warn!(%error, filter = wanted, "the log filter cannot be read; `info` is used");
    }
}
