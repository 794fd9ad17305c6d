//! Reads how a backend is spoken to, watched and spared: `tls`, `host`, `health`, `ejection`,
//! `retry`, `circuit`, `max_inflight`. Pure.

use crate::model::Share;
use crate::rules::backend::Backend;
use crate::rules::backend::BackendTls;
use crate::rules::backend::CertificateFiles;
use crate::rules::backend::Circuit;
use crate::rules::backend::Ejection;
use crate::rules::backend::Endpoint;
use crate::rules::backend::Health;
use crate::rules::backend::Retry;
use crate::rules::backend::Scheme;
use crate::rules::file::fields::Choice;
use crate::rules::file::fields::Fields;
use crate::rules::file::fields::members;
use crate::rules::keys::Section;
use crate::rules::parse::Node;
use crate::rules::parse::Value;
use crate::rules::parse::short;
use crate::rules::problem::Problems;
use crate::rules::problem::code;
use crate::rules::value;
use crate::rules::value::Read;
use http::HeaderValue;
use http::uri::Authority;
use http::uri::PathAndQuery;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

pub(super) fn read(
    fields: &Fields<'_>,
    folder: &Path,
    backend: &mut Backend,
    problems: &mut Problems,
) {
    if let Some(node) = fields.get("tls") {
        backend.tls = read_tls(node, folder, problems).unwrap_or_default();
        let is_https = |e: &Endpoint| {
            matches!(
                e,
                Endpoint::Tcp {
                    scheme: Scheme::Https,
                    ..
                }
            )
        };
        let written = fields.get("endpoints").map_or(0, |n| members(n).len());
        let whole = written > 0 && written == backend.endpoints.len();
        if whole && !backend.endpoints.iter().any(is_https) {
            problems.warn(
                code::USELESS,
                fields.key_at("tls").unwrap_or(node.at),
                "no endpoint here speaks TLS, so `tls` does nothing",
                "write `https://` endpoints, or remove `tls`",
            );
        }
    }
    backend.host = fields.read("host", problems, host);
    backend.health = fields.get("health").and_then(|n| read_health(n, problems));
    if let Some(node) = fields.get("ejection") {
        read_ejection(node, &mut backend.ejection, problems);
    }
    fields.set("max_inflight", problems, &mut backend.max_inflight, |t| {
        value::or_none(t, |t| value::count32(t, 1, 1_000_000))
    });
    if let Some(node) = fields.get("retry") {
        read_retry(node, &mut backend.retry, problems);
    }
    backend.circuit = fields
        .get("circuit")
        .and_then(|n| read_circuit(n, problems));
}

fn read_tls(node: &Node, folder: &Path, problems: &mut Problems) -> Option<BackendTls> {
    let fields = Fields::open(Section::BackendTls, node, "tls", problems)?;
    let (cert, key) = (
        fields.file("cert", folder, problems),
        fields.file("key", folder, problems),
    );
    for (one, other) in [("cert", "key"), ("key", "cert")] {
        if let Some(at) = fields.key_at(one).filter(|_| !fields.has(other)) {
            problems.error(
                code::MISSING,
                at,
                format!("`{one}` without `{other}`"),
                format!("give `{other}` too: both are of the client certificate"),
            );
        }
    }
    Some(BackendTls {
        ca: fields.file("ca", folder, problems),
        sni: fields.read("sni", problems, server_name),
        client: cert
            .zip(key)
            .map(|(cert, key)| CertificateFiles { cert, key }),
    })
}

/// Reads the name that a certificate is to have.
fn server_name(text: &str) -> Read<String> {
    let label = |l: &str| {
        let good = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        (1..=63).contains(&l.len())
            && l.bytes().all(good)
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    if text.parse::<IpAddr>().is_ok() || text.len() <= 253 && text.split('.').all(label) {
        return Ok(text.to_ascii_lowercase());
    }
    Err((
        code::HOST,
        format!("`{}` is not the name of a server", short(text)),
        "write the name alone, such as `billing.internal`".to_owned(),
    ))
}

/// Reads a `Host`: a name or address, and perhaps a port.
fn host(text: &str) -> Read<HeaderValue> {
    let wrong = |hint: &str| {
        let message = format!("`{}` is not a host", short(text));
        Err((code::HOST, message, hint.to_owned()))
    };
    if text.contains("://") {
        return wrong("write the name alone, without scheme");
    }
    if text.contains('@') {
        return wrong("credentials do not stand here; clients send their own");
    }
    let good = |b: u8| b.is_ascii_alphanumeric() || b".-_:[]".contains(&b);
    let Some(authority) = text
        .parse::<Authority>()
        .ok()
        .filter(|a| !a.host().is_empty() && text.bytes().all(good))
    else {
        return wrong("write `shop.internal`, or `shop.internal:8080`");
    };
    let port = authority.port_u16();
    if text.len() > authority.host().len() && port.is_none_or(|p| p == 0) {
        return wrong("a port is a number from 1 to 65535");
    }
    HeaderValue::from_str(text).or_else(|_| wrong("write `shop.internal`"))
}

fn read_health(node: &Node, problems: &mut Problems) -> Option<Health> {
    if let Value::Text(text, _) = &node.value
        && text.starts_with('/')
    {
        problems.error(
            code::FORM,
            node.at,
            "`health` wants a map",
            format!("write `health: {{ path: {} }}`", short(text)),
        );
        return None;
    }
    let Choice::Map(fields) = Fields::choice(Section::Health, node, "health", problems) else {
        return None;
    };
    let path = fields.read_must("path", problems, target);
    let mut health = Health {
        path: String::new(),
        interval: Duration::from_secs(5),
        timeout: Duration::from_secs(2),
        healthy: 2,
        unhealthy: 3,
    };
    let from_10ms = |t: &str| value::duration_from(t, Duration::from_millis(10));
    fields.set("interval", problems, &mut health.interval, from_10ms);
    fields.set(
        "timeout",
        problems,
        &mut health.timeout,
        value::some_duration,
    );
    for (name, slot) in [
        ("healthy", &mut health.healthy),
        ("unhealthy", &mut health.unhealthy),
    ] {
        fields.set(name, problems, slot, |t| value::count32(t, 1, 100));
    }
    health.path = path?.0.to_owned();
    Some(health)
}

/// Reads the target of a request: a path and perhaps a query.
fn target(text: &str) -> Read<&str> {
    let sendable = text.bytes().all(|b| b.is_ascii_graphic()) && !text.contains('#');
    if text.starts_with('/') && sendable && PathAndQuery::try_from(text).is_ok() {
        return Ok(text);
    }
    let hint = if text.contains("://") {
        "write the path alone: each endpoint is asked by itself"
    } else {
        "write it as `/ping`"
    };
    Err((
        code::PATH,
        format!("`{}` is not a path", short(text)),
        hint.to_owned(),
    ))
}

fn read_ejection(node: &Node, ejection: &mut Ejection, problems: &mut Problems) {
    match Fields::choice(Section::Ejection, node, "ejection", problems) {
        Choice::None => ejection.failures = 0,
        Choice::Broken => {}
        Choice::Map(fields) => {
            fields.set("failures", problems, &mut ejection.failures, |t| match t {
                "0" => Err((
                    code::NUMBER,
                    "`0` is no number of failures".to_owned(),
                    "write `ejection: none` to never leave an endpoint alone".to_owned(),
                )),
                t => value::count32(t, 1, 1_000),
            });
            fields.set("pause", problems, &mut ejection.pause, value::some_duration);
            fields.set(
                "slow_start",
                problems,
                &mut ejection.slow_start,
                value::duration,
            );
        }
    }
}

fn read_retry(node: &Node, retry: &mut Retry, problems: &mut Problems) {
    if matches!(&node.value, Value::Text(text, _) if text == "idempotent") {
        retry.idempotent = true;
        return;
    }
    match Fields::choice(Section::Retry, node, "retry", problems) {
        Choice::None => {
            *retry = Retry {
                idempotent: false,
                budget: Share::NONE,
            }
        }
        Choice::Broken => {}
        Choice::Map(fields) => {
            fields.set("idempotent", problems, &mut retry.idempotent, value::flag);
            fields.set("budget", problems, &mut retry.budget, |t| {
                value::some_share(t).map_err(|(code, message, hint)| {
                    (code, message, format!("{hint}, or `retry: none`"))
                })
            });
        }
    }
}

fn read_circuit(node: &Node, problems: &mut Problems) -> Option<Circuit> {
    let Choice::Map(fields) = Fields::choice(Section::Circuit, node, "circuit", problems) else {
        return None;
    };
    let mut circuit = Circuit {
        failures: Share::new(5_000).unwrap_or(Share::ALL),
        volume: 20,
        open: Duration::from_secs(5),
    };
    fields.set(
        "failures",
        problems,
        &mut circuit.failures,
        value::some_share,
    );
    fields.set("volume", problems, &mut circuit.volume, |t| {
        value::count32(t, 1, 1_000_000)
    });
    fields.set("open", problems, &mut circuit.open, value::some_duration);
    Some(circuit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_read_or_refused() {
        for text in ["shop.internal", "shop:8080", "[::1]:80", "127.0.0.1", "a_b"] {
            assert_eq!(host(text).unwrap(), text);
        }
        for text in [
            "", "http://x", "u@x", "x:0", "x:99999", "x:", ":80", "a b", "a/b", "*.x", "ä",
        ] {
            assert_eq!(host(text).unwrap_err().0, code::HOST, "{text}");
        }
    }

    #[test]
    fn names_of_servers_are_read_or_refused() {
        for text in ["billing.internal", "Billing", "10.0.0.1", "::1"] {
            assert!(server_name(text).is_ok(), "{text}");
        }
        for text in ["", "a..b", "-a", "*.x", "a:443", "https://a", "a b"] {
            assert!(server_name(text).is_err(), "{text}");
        }
    }

    #[test]
    fn targets_of_health_checks_are_read_or_refused() {
        for text in ["/ping", "/", "/a?b=c"] {
            assert_eq!(target(text), Ok(text));
        }
        for text in ["ping", "", "/a b", "/a#b", "http://x/", "/ä", "/a\"b\u{7f}"] {
            assert!(target(text).is_err(), "{text}");
        }
    }
}
