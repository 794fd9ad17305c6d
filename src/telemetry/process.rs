//! What the process tells of itself: its build, its memory, its descriptors.

use super::Metrics;
use crate::model::UnixMillis;

/// Sets what never changes.
pub fn started(metrics: &Metrics, at: UnixMillis) {
    let version = env!("CARGO_PKG_VERSION");
    metrics.gauge("supplant_build_info", &[version]).set(1.0);
    let seconds = u32::try_from(at.0 / 1_000).unwrap_or(u32::MAX);
    metrics
        .gauge("process_start_time_seconds", &[])
        .set(f64::from(seconds));
}

/// Sets what is read when somebody asks. Where the system does not tell, the gauges stay.
pub fn export(metrics: &Metrics) {
    if let Some(pages) = resident_pages() {
        let page = u32::try_from(rustix::param::page_size()).unwrap_or(4_096);
        metrics
            .gauge("process_resident_memory_bytes", &[])
            .set(f64::from(pages) * f64::from(page));
    }
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let limit = limit.map(|limit| u32::try_from(limit).unwrap_or(u32::MAX));
    metrics
        .gauge("process_max_fds", &[])
        .set(limit.map_or(f64::INFINITY, f64::from));
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        let open = u32::try_from(open.count()).unwrap_or(u32::MAX);
        metrics.gauge("process_open_fds", &[]).set(f64::from(open));
    }
}

/// Reads the second field of `/proc/self/statm` (proc(5)).
fn resident_pages() -> Option<u32> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    text.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_knows_its_memory_and_its_descriptors() {
        let metrics = Metrics::new();
        started(&metrics, UnixMillis(1_700_000_000_000));
        export(&metrics);
        let text = metrics.gather();
        for line in [
            "supplant_build_info{version=",
            "process_start_time_seconds 1700000000",
        ] {
            assert!(text.contains(line), "{line}");
        }
        assert!(metrics.gauge("process_resident_memory_bytes", &[]).get() > 1e5);
        assert!(metrics.gauge("process_open_fds", &[]).get() >= 3.0);
    }
}
