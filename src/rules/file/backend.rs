//! Reads `legacy`, `backends`, and the endpoints that `to` may name. Pure.

use crate::rules::backend::Backend;
use crate::rules::backend::Endpoint;
use crate::rules::backend::Scheme;
use crate::rules::file::fields::Fields;
use crate::rules::file::fields::each;
use crate::rules::file::fields::map;
use crate::rules::file::fields::scalar;
use crate::rules::file::upstream;
use crate::rules::keys::Section;
use crate::rules::parse::Node;
use crate::rules::parse::Value;
use crate::rules::parse::short;
use crate::rules::problem::At;
use crate::rules::problem::Problems;
use crate::rules::problem::code;
use crate::rules::value;
use crate::rules::value::Read;
use http::HeaderName;
use std::net::Ipv6Addr;
use std::path::Path;
use std::path::PathBuf;

/// A backend with its place.
#[derive(Debug)]
pub(in crate::rules) struct BackendDecl {
    pub(in crate::rules) at: At,
    pub(in crate::rules) backend: Backend,
}

pub(super) const LEGACY: &str = "legacy";

/// Reads all of them, legacy first; a broken one keeps its name, so that `to` finds it.
pub(super) fn read(top: &Fields<'_>, folder: &Path, problems: &mut Problems) -> Vec<BackendDecl> {
    let mut found = Vec::new();
    if let Some(node) = top.must(LEGACY, problems) {
        found.push(read_backend(
            LEGACY,
            top.key_at(LEGACY).unwrap_or(node.at),
            node,
            folder,
            problems,
        ));
    } else {
        found.push(BackendDecl {
            at: top.at(),
            backend: empty(LEGACY),
        });
    }
    let Some(node) = top.get("backends") else {
        return found;
    };
    let Some(entries) = map(node, "backends", problems) else {
        if matches!(node.value, Value::Text(..) | Value::List(_)) {
            problems.error(
                code::FORM,
                node.at,
                "`backends` wants a map of names",
                "write `backends: { NAME: \"http://HOST:PORT\" }`",
            );
        }
        return found;
    };
    for (key, node) in entries {
        match value::name(&key.name) {
            Err((code, message, hint)) => problems.error(code, key.at, message, hint),
            Ok(LEGACY) => problems.error(
                code::RESERVED,
                key.at,
                "`legacy` is the application that is being replaced",
                "give the new one another name",
            ),
            Ok(_) => {}
        }
        found.push(read_backend(&key.name, key.at, node, folder, problems));
    }
    found
}

fn empty(name: &str) -> Backend {
    Backend::new(name, Vec::new())
}

fn read_backend(
    name: &str,
    at: At,
    node: &Node,
    folder: &Path,
    problems: &mut Problems,
) -> BackendDecl {
    let mut backend = empty(name);
    if matches!(node.value, Value::Text(..)) {
        backend
            .endpoints
            .extend(scalar(node, name, problems, endpoint));
        return BackendDecl { at, backend };
    }
    let Some(fields) = Fields::open(Section::Backend, node, name, problems) else {
        return BackendDecl { at, backend };
    };
    if let Some(node) = fields.must("endpoints", problems) {
        backend.endpoints = each(node, "endpoints", problems, endpoint)
            .into_iter()
            .map(|(e, _)| e)
            .collect();
        if matches!(&node.value, Value::List(items) if items.is_empty()) {
            problems.error(
                code::MISSING,
                node.at,
                "`endpoints` has none",
                "give one, such as `http://127.0.0.1:4000`",
            );
        }
    }
    if let Some(timeouts) = fields
        .get("timeouts")
        .and_then(|n| Fields::open(Section::Timeouts, n, "timeouts", problems))
    {
        let to = &mut backend.timeouts;
        for (name, slot) in [
            ("connect", &mut to.connect),
            ("response", &mut to.response),
            ("idle", &mut to.idle),
            ("keepalive", &mut to.keepalive),
        ] {
            timeouts.set(name, problems, slot, value::duration);
        }
    }
    backend.version_header = fields.read("version_header", problems, header_name);
    upstream::read(&fields, folder, &mut backend, problems);
    BackendDecl { at, backend }
}

/// Reads the name of a header field.
pub(super) fn header_name(text: &str) -> Read<HeaderName> {
    HeaderName::from_bytes(text.as_bytes()).map_err(|_| {
        let message = format!("`{}` is not the name of a header field", short(text));
        (code::HEADER, message, "write it as `X-Name`".to_owned())
    })
}

const FORMS: &str =
    "write `http://HOST:PORT`, `https://HOST:PORT`, `h2c://HOST:PORT` or `unix:/path`";

/// Schemes that others have, and what to write here.
const OTHERS: [(&str, &str); 4] = [
    (
        "h2:",
        "write `https://HOST:PORT` for HTTP/2 over TLS, or `h2c://HOST:PORT` without",
    ),
    (
        "grpc:",
        "write `https://HOST:PORT` for gRPC over TLS, or `h2c://HOST:PORT` without",
    ),
    (
        "ws:",
        "write `http://HOST:PORT`: WebSockets pass by themselves",
    ),
    (
        "wss:",
        "write `https://HOST:PORT`: WebSockets pass by themselves",
    ),
];

/// Splits a scheme from an endpoint, with the port that it has by itself.
fn scheme(text: &str) -> Option<(Scheme, u16, &str)> {
    [(Scheme::Http, 80), (Scheme::Https, 443), (Scheme::H2c, 80)]
        .into_iter()
        .find_map(|(scheme, port)| {
            let rest = text.strip_prefix(scheme.as_str())?.strip_prefix("://")?;
            Some((scheme, port, rest))
        })
}

/// Reads `http://HOST:PORT`, the same with `https` or `h2c`, or `unix:/path`.
pub(in crate::rules) fn endpoint(text: &str) -> Read<Endpoint> {
    if let Some(path) = text.strip_prefix("unix:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        if path.starts_with('/') && !path.contains('\0') {
            return Ok(Endpoint::Unix(PathBuf::from(path)));
        }
        return Err((
            code::ADDRESS,
            format!("`{}` has no absolute path", short(text)),
            "write `unix:/path/to.sock`".to_owned(),
        ));
    }
    let wrong = |hint: &str| {
        let message = format!("`{}` is not an endpoint", short(text));
        Err((code::ADDRESS, message, hint.to_owned()))
    };
    if text.starts_with("h3:") || text.starts_with("http3:") || text.starts_with("quic:") {
        return Err((
            code::LATER,
            "HTTP/3 is not supported in this version".to_owned(),
            FORMS.to_owned(),
        ));
    }
    if let Some((_, hint)) = OTHERS.iter().find(|(s, _)| text.starts_with(*s)) {
        return wrong(hint);
    }
    let Some((scheme, default_port, rest)) = scheme(text) else {
        return wrong(FORMS);
    };
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if authority.contains(['/', '?', '#']) {
        return wrong("an endpoint has no path; a slice moves paths with `rewrite: { prefix: … }`");
    }
    if authority.contains('@') {
        return wrong("credentials do not stand here; clients send their own");
    }
    let (host, port) = match authority.strip_prefix('[').and_then(|a| a.split_once(']')) {
        Some((host, port)) if host.parse::<Ipv6Addr>().is_ok() => (host, port.strip_prefix(':')),
        Some(_) => return wrong("write an IPv6 address as `http://[::1]:4000`"),
        None => authority
            .split_once(':')
            .map_or((authority, None), |(h, p)| (h, Some(p))),
    };
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':');
    if host.is_empty() || !host.bytes().all(good) {
        return wrong("write `http://HOST:PORT`, with a host of letters, digits, `.` and `-`");
    }
    match port.map_or(Ok(default_port), str::parse) {
        Ok(0) | Err(_) => wrong("a port is a number from 1 to 65535"),
        Ok(port) => Ok(Endpoint::Tcp {
            scheme,
            host: host.to_owned(),
            port,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_read_or_told_how_to_write() {
        for (text, shown) in [
            ("http://127.0.0.1:3000", "http://127.0.0.1:3000"),
            ("http://legacy", "http://legacy:80"),
            ("http://legacy/", "http://legacy:80"),
            ("http://[::1]:4000", "http://[::1]:4000"),
            ("http://[::1]", "http://[::1]:80"),
            ("https://billing", "https://billing:443"),
            ("https://[::1]:8443", "https://[::1]:8443"),
            ("h2c://grpc:50051", "h2c://grpc:50051"),
            ("h2c://grpc", "h2c://grpc:80"),
            ("unix:/run/app.sock", "unix:/run/app.sock"),
            ("unix:///run/app.sock", "unix:/run/app.sock"),
        ] {
            assert_eq!(endpoint(text).unwrap().to_string(), shown);
        }
        for (text, code) in [
            ("h3://x", code::LATER),
            ("wss://x", code::ADDRESS),
            ("h2://x", code::ADDRESS),
            ("https:x", code::ADDRESS),
            ("https://x/y", code::ADDRESS),
            ("x:80", code::ADDRESS),
            ("http://", code::ADDRESS),
            ("http://x/y", code::ADDRESS),
            ("http://u:p@x", code::ADDRESS),
            ("http://x:0", code::ADDRESS),
            ("http://x:99999", code::ADDRESS),
            ("http://a b", code::ADDRESS),
            ("http://[zz]", code::ADDRESS),
            ("unix:run/app.sock", code::ADDRESS),
        ] {
            assert_eq!(endpoint(text).unwrap_err().0, code, "{text}");
        }
    }
}
