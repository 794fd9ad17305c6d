//! Every metric: name, kind, labels, help. `docs/metrics.md` is checked against this table.

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows; starts at 0 in each process.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Classic buckets.
    Histogram,
}

/// One metric.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Its name, with the prefix and the unit.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// Its labels, in order.
    pub labels: &'static [&'static str],
    /// What it tells, in a sentence.
    pub help: &'static str,
}

const fn row(
    name: &'static str,
    kind: Kind,
    labels: &'static [&'static str],
    help: &'static str,
) -> Row {
    Row {
        name,
        kind,
        labels,
        help,
    }
}

/// Buckets of every duration, in seconds: the advice of the OpenTelemetry HTTP conventions, with
/// three finer ones in front.
pub const SECONDS: [f64; 17] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0,
    7.5, 10.0,
];

use Kind::Counter;
use Kind::Gauge;
use Kind::Histogram;

/// The table, in the order of the documentation.
pub const ROWS: &[Row] = &[
    row(
        "supplant_request_duration_seconds",
        Histogram,
        &["slice", "side", "status_class"],
        "Time from a request's head to the end of its answer, for clients.",
    ),
    row(
        "supplant_side_request_duration_seconds",
        Histogram,
        &["slice", "side", "role"],
        "Time from sending a request to a side to the end of its answer.",
    ),
    row(
        "supplant_side_time_to_first_byte_seconds",
        Histogram,
        &["slice", "side", "role"],
        "Time from sending a request to a side to the head of its answer.",
    ),
    row(
        "supplant_backend_requests_total",
        Counter,
        &["slice", "side", "role", "status_class"],
        "Answers of a side, by why it was asked.",
    ),
    row(
        "supplant_backend_errors_total",
        Counter,
        &["slice", "side", "role", "error_type"],
        "Calls to a side that got no complete answer.",
    ),
    row(
        "supplant_requests_total",
        Counter,
        &["slice"],
        "Requests that a slice took.",
    ),
    row(
        "supplant_outcomes_pending",
        Gauge,
        &["slice"],
        "Requests whose outcome is not known yet.",
    ),
    row(
        "supplant_outcomes_total",
        Counter,
        &["slice", "outcome", "reason"],
        "How requests ended; each in exactly one outcome.",
    ),
    row(
        "supplant_pair_differences_total",
        Counter,
        &["slice", "kind", "verdict"],
        "Differences between both answers, by kind and what was known of the place then.",
    ),
    row(
        "supplant_parity_ratio",
        Gauge,
        &["slice", "by"],
        "Share of comparable pairs with the same answer, in this epoch.",
    ),
    row(
        "supplant_parity_lower_bound_ratio",
        Gauge,
        &["slice", "by"],
        "What parity is at least, 95 % sure however often one looks.",
    ),
    row(
        "supplant_parity_upper_bound_ratio",
        Gauge,
        &["slice", "by"],
        "What parity is at most, 95 % sure however often one looks.",
    ),
    row(
        "supplant_parity_target_ratio",
        Gauge,
        &["slice", "by"],
        "The parity that the slice asks for.",
    ),
    row(
        "supplant_legacy_parity_lower_bound_ratio",
        Gauge,
        &["slice"],
        "What legacy's parity with itself is at least.",
    ),
    row(
        "supplant_legacy_parity_upper_bound_ratio",
        Gauge,
        &["slice"],
        "What legacy's parity with itself is at most.",
    ),
    row(
        "supplant_paired_latency_ratio",
        Gauge,
        &["slice", "quantile"],
        "Candidate's latency over legacy's on the same requests; absent below 100 pairs.",
    ),
    row(
        "supplant_paired_latency_ratio_lower",
        Gauge,
        &["slice", "quantile"],
        "Lower end of its band.",
    ),
    row(
        "supplant_paired_latency_ratio_upper",
        Gauge,
        &["slice", "quantile"],
        "Upper end of its band.",
    ),
    row(
        "supplant_paired_discordant_total",
        Gauge,
        &["slice", "event", "side"],
        "Latency pairs of this epoch in which only one side was slower, or in error.",
    ),
    row(
        "supplant_noise_fields",
        Gauge,
        &["slice"],
        "Places that legacy changes by itself.",
    ),
    row(
        "supplant_masked_pairs_ratio",
        Gauge,
        &["slice"],
        "Share of compared pairs that match only thanks to noise.",
    ),
    row(
        "supplant_control_pairs_total",
        Counter,
        &["slice", "outcome"],
        "Control calls to legacy: sandwiched, latency, failed, capped.",
    ),
    row(
        "supplant_slice_stage",
        Gauge,
        &["slice", "stage"],
        "1 for the stage in force, 0 for the others.",
    ),
    row(
        "supplant_slice_share_ratio",
        Gauge,
        &["slice"],
        "Share of the slice that the candidate answers.",
    ),
    row(
        "supplant_slice_stage_entered_timestamp_seconds",
        Gauge,
        &["slice"],
        "When the position in force was entered.",
    ),
    row(
        "supplant_transitions_total",
        Counter,
        &["slice", "to", "actor_kind", "reason"],
        "Moves of a slice.",
    ),
    row(
        "supplant_retired_hits_total",
        Counter,
        &["slice"],
        "Requests of a retired slice that legacy still served.",
    ),
    row(
        "supplant_shadow_queue_length",
        Gauge,
        &[],
        "Copies that wait for a shadow thread.",
    ),
    row(
        "supplant_shadow_queue_capacity",
        Gauge,
        &[],
        "How many may wait.",
    ),
    row(
        "supplant_shadow_inflight",
        Gauge,
        &[],
        "Copies in the hands of shadow threads.",
    ),
    row(
        "supplant_shadow_queue_wait_seconds",
        Histogram,
        &[],
        "How long a copy waited in the queue.",
    ),
    row(
        "supplant_compare_duration_seconds",
        Histogram,
        &[],
        "How long a comparison took.",
    ),
    row(
        "supplant_shadow_buffered_bytes",
        Gauge,
        &[],
        "Bytes of answers held for comparing.",
    ),
    row(
        "supplant_shadow_buffered_limit_bytes",
        Gauge,
        &[],
        "How many may be held.",
    ),
    row(
        "supplant_backend_up",
        Gauge,
        &["backend"],
        "1 if a backend has an address to connect to.",
    ),
    row(
        "supplant_backend_active_requests",
        Gauge,
        &["backend"],
        "Requests in flight to a backend, served ones.",
    ),
    row(
        "supplant_backend_endpoints",
        Gauge,
        &["backend", "state"],
        "Addresses of a backend: well, ill (failed when asked), ejected (failed requests).",
    ),
    row(
        "supplant_backend_circuit_open",
        Gauge,
        &["backend"],
        "1 while a backend is left alone as a whole.",
    ),
    row(
        "supplant_backend_circuit_opened_total",
        Counter,
        &["backend"],
        "How often too much failed and a backend was left alone as a whole.",
    ),
    row(
        "supplant_backend_ejections_total",
        Counter,
        &["backend"],
        "How often an address that failed requests was left alone for a while.",
    ),
    row(
        "supplant_backend_health_failures_total",
        Counter,
        &["backend"],
        "Addresses that were asked how they are and gave no good answer.",
    ),
    row(
        "supplant_backend_retries_total",
        Counter,
        &["backend", "reason"],
        "Requests sent again: connect, unsent, refused, closed_idle, failed.",
    ),
    row(
        "supplant_backend_retries_denied_total",
        Counter,
        &["backend"],
        "Requests not sent again because the budget of retries was used up.",
    ),
    row(
        "supplant_backend_refused_total",
        Counter,
        &["backend", "reason"],
        "Requests that a backend was spared, answered 503: max_inflight, circuit, streams.",
    ),
    row(
        "supplant_fallbacks_total",
        Counter,
        &["slice", "reason"],
        "Requests that legacy answered because the candidate failed: connect_error, timeout, status, circuit.",
    ),
    row(
        "supplant_fallbacks_denied_total",
        Counter,
        &["slice"],
        "Requests that could not fall back because the budget was used up.",
    ),
    row(
        "supplant_open_connections",
        Gauge,
        &[],
        "Connections of clients.",
    ),
    row(
        "supplant_connections_refused_total",
        Counter,
        &["reason"],
        "Connections that were closed at once: over the limit or no descriptor left (both with 503), no PROXY header.",
    ),
    row(
        "supplant_accepts_delayed_total",
        Counter,
        &[],
        "Connections after which a listener waited, as `limits.accept_rate` asks.",
    ),
    row(
        "supplant_accept_errors_total",
        Counter,
        &["reason"],
        "Connections that could not be accepted: no descriptor, or gone already.",
    ),
    row(
        "supplant_requests_refused_total",
        Counter,
        &["reason"],
        "Requests that this proxy refused by itself.",
    ),
    row(
        "supplant_request_fields_dropped_total",
        Counter,
        &["reason"],
        "Fields of requests that went no further: `lookalike` and `twin` (an application may take them for another field), `underscore`, `forwarded` (of a trusted peer, malformed or contradicting `X-Forwarded-For`).",
    ),
    row(
        "supplant_requests_looped_total",
        Counter,
        &[],
        "Requests whose `Via` says that they were here before.",
    ),
    row(
        "supplant_cookies_shared_total",
        Counter,
        &["slice"],
        "Cookies of one name and path that both sides of a slice set, each counted once.",
    ),
    row(
        "supplant_tls_handshakes_total",
        Counter,
        &["version", "kind"],
        "Handshakes of clients that were done; kind: full, resumed.",
    ),
    row(
        "supplant_tls_handshake_failures_total",
        Counter,
        &["reason"],
        "Handshakes of clients that failed.",
    ),
    row(
        "supplant_tls_reloads_total",
        Counter,
        &["result"],
        "Certificate files that changed: ok, rejected (the old ones stay).",
    ),
    row(
        "supplant_http2_connections_ended_total",
        Counter,
        &["reason"],
        "HTTP/2 connections that this proxy ended for what the client sent: the error, or what its budget went to.",
    ),
    row(
        "supplant_panics_total",
        Counter,
        &["place"],
        "Panics that were caught; each is a defect.",
    ),
    row(
        "supplant_access_log_dropped_total",
        Counter,
        &[],
        "Lines of the access log that found its queue full.",
    ),
    row(
        "supplant_spans_exported_total",
        Counter,
        &[],
        "Spans that a collector took.",
    ),
    row(
        "supplant_spans_dropped_total",
        Counter,
        &["reason"],
        "Spans that found the queue full, or that no collector took.",
    ),
    row(
        "supplant_migrated_traffic_ratio",
        Gauge,
        &[],
        "Share of all requests, since the start, that candidates served.",
    ),
    row(
        "supplant_config_reloads_total",
        Counter,
        &["result"],
        "Contents of the rules that were tried: ok, rejected, unchanged.",
    ),
    row(
        "supplant_config_last_reload_successful",
        Gauge,
        &[],
        "1 if the content seen last is in force.",
    ),
    row(
        "supplant_config_last_reload_success_timestamp_seconds",
        Gauge,
        &[],
        "When rules were taken last.",
    ),
    row(
        "supplant_config_reload_duration_seconds",
        Histogram,
        &[],
        "Time from read to published.",
    ),
    row(
        "supplant_config_info",
        Gauge,
        &["hash", "version"],
        "1 for the rules in force.",
    ),
    row(
        "supplant_restart_required",
        Gauge,
        &[],
        "1 if the rules ask for something that is read at start only.",
    ),
    row(
        "supplant_evidence_store_bytes",
        Gauge,
        &[],
        "Size of the store.",
    ),
    row(
        "supplant_evidence_store_write_errors_total",
        Counter,
        &[],
        "Writes to the store that failed.",
    ),
    row(
        "supplant_evidence_dropped_samples_total",
        Counter,
        &["reason"],
        "Records that never reached the store.",
    ),
    row(
        "supplant_metric_label_overflow_total",
        Counter,
        &["metric"],
        "Slices beyond those that have labels of their own.",
    ),
    row("supplant_build_info", Gauge, &["version"], "1."),
    row(
        "process_resident_memory_bytes",
        Gauge,
        &[],
        "Resident memory.",
    ),
    row("process_open_fds", Gauge, &[], "Open descriptors."),
    row(
        "process_max_fds",
        Gauge,
        &[],
        "How many descriptors may be open.",
    ),
    row(
        "process_start_time_seconds",
        Gauge,
        &[],
        "When the process started.",
    ),
];

/// Writes the table as Markdown, which `docs/metrics.md` holds.
pub fn reference() -> String {
    let mut out = String::from("| name | kind | labels | what it tells |\n|---|---|---|---|\n");
    for row in ROWS {
        let kind = match row.kind {
            Counter => "counter",
            Gauge => "gauge",
            Histogram => "histogram",
        };
        let labels = if row.labels.is_empty() {
            "–".to_owned()
        } else {
            row.labels.join(", ")
        };
        let cells = [
            "| `", row.name, "` | ", kind, " | ", &labels, " | ", row.help, " |\n",
        ];
        out.push_str(&cells.concat());
    }
    out
}
