//! Reads where clients are served and what is taken from them: `listen`, `limits`. Pure.

use crate::rules::backend::CertificateFiles;
use crate::rules::file::fields::Fields;
use crate::rules::file::fields::members;
use crate::rules::file::fields::scalar;
use crate::rules::file::startup::address;
use crate::rules::keys::Section;
use crate::rules::parse::Node;
use crate::rules::parse::Value;
use crate::rules::parse::short;
use crate::rules::problem::At;
use crate::rules::problem::Problems;
use crate::rules::problem::code;
use crate::rules::startup::Limits;
use crate::rules::startup::Listen;
use crate::rules::startup::ListenTls;
use crate::rules::value;
use crate::rules::value::Rate;
use crate::rules::value::Read;
use std::path::Path;

pub(super) fn read(node: &Node, folder: &Path, problems: &mut Problems) -> Vec<Listen> {
    let mut found: Vec<Listen> = Vec::new();
    for item in members(node) {
        let Some((listen, at)) = read_listener(item, folder, problems) else {
            continue;
        };
        if listen.address.port() != 0 && found.iter().any(|l| l.address == listen.address) {
            problems.error(
                code::ADDRESS,
                at,
                format!("`{}` is listened on twice", listen.address),
                "remove one of the two",
            );
        }
        found.push(listen);
    }
    if found.is_empty() && matches!(&node.value, Value::List(items) if items.is_empty()) {
        problems.error(
            code::MISSING,
            node.at,
            "`listen` has no address",
            "give one, such as `127.0.0.1:8080`",
        );
    }
    found
}

fn read_listener(item: &Node, folder: &Path, problems: &mut Problems) -> Option<(Listen, At)> {
    if !matches!(item.value, Value::Map(_)) {
        let address = scalar(item, "listen", problems, address)?;
        return Some((Listen::at(address), item.at));
    }
    let fields = Fields::open(Section::Listen, item, "listen", problems)?;
    let place = fields.read_must("address", problems, address);
    let mut listen = Listen::at(([0, 0, 0, 0], 0).into());
    if let Some(timeouts) = fields
        .get("timeouts")
        .and_then(|n| Fields::open(Section::ListenTimeouts, n, "timeouts", problems))
    {
        for (name, slot) in [
            ("header", &mut listen.header),
            ("body", &mut listen.body),
            ("idle", &mut listen.idle),
        ] {
            timeouts.set(name, problems, slot, value::some_duration);
        }
    }
    fields.set(
        "proxy_protocol",
        problems,
        &mut listen.proxy_protocol,
        value::flag,
    );
    fields.set("half_close", problems, &mut listen.half_close, value::flag);
    listen.tls = fields
        .get("tls")
        .and_then(|n| read_tls(n, folder, problems));
    let (address, at) = place?;
    listen.address = address;
    Some((listen, at))
}

fn read_tls(node: &Node, folder: &Path, problems: &mut Problems) -> Option<ListenTls> {
    let fields = Fields::open(Section::ListenTls, node, "tls", problems)?;
    let client_ca = fields.file("client_ca", folder, problems);
    let mut only_tls13 = false;
    fields.set("min_version", problems, &mut only_tls13, min_version);
    let list = fields.must("certificates", problems)?;
    if matches!(&list.value, Value::List(items) if items.is_empty()) {
        problems.error(
            code::MISSING,
            list.at,
            "`certificates` has none",
            "give one: `{ cert: tls/app.pem, key: tls/app.key }`",
        );
    }
    let certificates = members(list)
        .iter()
        .filter_map(|item| read_certificate(item, folder, problems))
        .collect();
    Some(ListenTls {
        certificates,
        client_ca,
        only_tls13,
    })
}

fn read_certificate(
    item: &Node,
    folder: &Path,
    problems: &mut Problems,
) -> Option<CertificateFiles> {
    if matches!(item.value, Value::Text(..)) {
        problems.error(
            code::FORM,
            item.at,
            "a certificate has a chain and a key",
            "write `{ cert: tls/app.pem, key: tls/app.key }`",
        );
        return None;
    }
    let fields = Fields::open(Section::Certificate, item, "certificates", problems)?;
    let [cert, key] = ["cert", "key"].map(|name| fields.must_file(name, folder, problems));
    Some(CertificateFiles {
        cert: cert?,
        key: key?,
    })
}

/// Reads whether TLS 1.2 is refused.
fn min_version(text: &str) -> Read<bool> {
    let hint = match text {
        "1.2" => return Ok(false),
        "1.3" => return Ok(true),
        "1.0" | "1.1" | "1" => "older versions are broken and are not spoken; write `1.2` or `1.3`",
        _ => "write `1.2` or `1.3`",
    };
    Err((
        code::WORD,
        format!("`{}` is not a version of TLS", short(text)),
        hint.to_owned(),
    ))
}

/// Reads `limits`.
pub(super) fn read_limits(top: &Fields<'_>, problems: &mut Problems) -> Limits {
    let mut limits = Limits::default();
    let Some(fields) = top
        .get("limits")
        .and_then(|n| Fields::open(Section::Limits, n, "limits", problems))
    else {
        return limits;
    };
    fields.set("connections", problems, &mut limits.connections, |t| {
        count(t, 1, 1_000_000)
    });
    fields.set("request_body", problems, &mut limits.request_body, |t| {
        value::or_none(t, value::size)
    });
    fields.set("accept_rate", problems, &mut limits.accept_rate, rate);
    fields.set("fields", problems, &mut limits.fields, |t| {
        count(t, 8, 10_000)
    });
    fields.set("streams", problems, &mut limits.streams, |t| {
        value::count32(t, 1, 10_000)
    });
    fields.set("inflight", problems, &mut limits.inflight, |t| {
        value::or_none(t, |t| count(t, 1, 1_000_000))
    });
    fields.set("requests", problems, &mut limits.requests, |t| {
        value::or_none(t, |t| value::count(t, 1, 1_000_000_000))
    });
    fields.set("head", problems, &mut limits.head, |t| {
        size(t, (1 << 10, 1 << 20))
    });
    if fields.has("request_line") {
        fields.set("request_line", problems, &mut limits.request_line, |t| {
            size(t, (256, 1 << 20))
        });
        if limits.request_line > limits.head {
            problems.error(
                code::NUMBER,
                fields.key_at("request_line").unwrap_or(fields.at()),
                "`request_line` is larger than `head`, of which it is a part",
                "raise `head`, or lower `request_line`",
            );
        }
    } else {
        limits.request_line = limits.request_line.min(limits.head);
    }
    limits
}

fn count(text: &str, min: u64, max: u64) -> Read<usize> {
    value::count(text, min, max).map(|n| usize::try_from(n).unwrap_or(usize::MAX))
}

fn size(text: &str, bounds: (u64, u64)) -> Read<usize> {
    value::size_within(text, bounds).map(|n| usize::try_from(n).unwrap_or(usize::MAX))
}

fn rate(text: &str) -> Read<Option<u32>> {
    match value::rate(text)? {
        Rate::PerSecond(0) => Err((
            code::NUMBER,
            format!("`{}` lets nobody in", short(text)),
            "write it as `500/s`, or `none`".to_owned(),
        )),
        rate => Ok(rate.limit()),
    }
}
