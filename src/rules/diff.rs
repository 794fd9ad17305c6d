//! What changes between two snapshots: for the history, and for taking a file slowly. Pure.

use crate::model::Share;
use crate::rules::backend::Backend;
use crate::rules::backend::BackendTls;
use crate::rules::condition::Condition;
use crate::rules::identity::Identity;
use crate::rules::snapshot::Slice;
use crate::rules::snapshot::Snapshot;
use crate::rules::tenant::Source;
use std::fmt::Display;
use std::path::Path;

/// Lists what changes for each slice and backend, a line each. Empty if nothing does that matters
/// to a request.
pub fn diff(old: &Snapshot, new: &Snapshot) -> Vec<String> {
    let mut lines = Vec::new();
    backends(old, new, &mut lines);
    let (sources, now) = (&old.rules.tenants.sources, &new.rules.tenants.sources);
    if sources != now {
        let of = |sources: &[Source]| shown((!sources.is_empty()).then(|| joined(sources)));
        lines.push(format!("tenant: from {} to {}", of(sources), of(now)));
    }
    identity(old.identity(), new.identity(), &mut lines);
    for slice in new.slices() {
        match old.ix(&slice.id).and_then(|ix| old.slice(ix)) {
            None => lines.push(format!(
                "+ slice `{}`: {} to {}, {}",
                slice.id,
                slice.matches,
                backend(new, slice),
                slice.declared
            )),
            Some(before) => {
                let changes = changes(old, before, new, slice);
                if !changes.is_empty() {
                    lines.push(format!("slice `{}`: {}", slice.id, changes.join(", ")));
                }
            }
        }
    }
    let gone = old.slices().iter().filter(|s| new.ix(&s.id).is_none());
    lines.extend(gone.map(|s| format!("- slice `{}`: {}", s.id, s.matches)));
    let order = |of: &Snapshot, other: &Snapshot| -> Vec<String> {
        let kept = of.slices().iter().filter(|s| other.ix(&s.id).is_some());
        kept.map(|s| s.id.to_string()).collect()
    };
    if order(old, new) != order(new, old) {
        lines.push("the order of slices".to_owned());
    }
    lines
}

fn shown(value: Option<impl Display>) -> String {
    value.map_or_else(|| "none".to_owned(), |value| value.to_string())
}

fn backends(old: &Snapshot, new: &Snapshot, lines: &mut Vec<String>) {
    let find = |of: &Snapshot, name: &str| -> Option<Backend> {
        of.backends().iter().find(|b| *b.name == *name).cloned()
    };
    for backend in new.backends() {
        match find(old, &backend.name) {
            None => lines.push(format!(
                "+ backend `{}`: {}",
                backend.name,
                joined(&backend.endpoints)
            )),
            Some(before) if before != *backend => {
                let mut changes = Vec::new();
                if before.endpoints != backend.endpoints {
                    let (a, b) = (joined(&before.endpoints), joined(&backend.endpoints));
                    changes.push(format!("{a} to {b}"));
                }
                changes.extend(settings(&before, backend));
                lines.push(format!(
                    "backend `{}`: {}",
                    backend.name,
                    changes.join(", ")
                ));
            }
            Some(_) => {}
        }
    }
    let gone = old
        .backends()
        .iter()
        .filter(|b| find(new, &b.name).is_none());
    lines.extend(gone.map(|b| format!("- backend `{}`", b.name)));
}

/// Lists what changes in how a backend is spoken to, watched and spared.
fn settings(before: &Backend, after: &Backend) -> Vec<String> {
    let mut changes = Vec::new();
    let mut say = |name: &str, a: String, b: String| {
        if a != b {
            changes.push(format!("{name} {a} to {b}"));
        }
    };
    say("timeouts", timeouts(before), timeouts(after));
    let of = |b: &Backend| shown(b.version_header.as_ref());
    say("version_header", of(before), of(after));
    say("tls", tls(&before.tls), tls(&after.tls));
    let of = |b: &Backend| {
        b.host.as_ref().map_or("the client's".to_owned(), |h| {
            String::from_utf8_lossy(h.as_bytes()).into_owned()
        })
    };
    say("host", of(before), of(after));
    say("health", health(before), health(after));
    say("ejection", ejection(before), ejection(after));
    say("retry", retry(before), retry(after));
    say("circuit", circuit(before), circuit(after));
    let of = |b: &Backend| shown(b.max_inflight);
    say("max_inflight", of(before), of(after));
    changes
}

fn timeouts(backend: &Backend) -> String {
    let t = &backend.timeouts;
    format!(
        "{{connect {:?}, response {:?}, idle {:?}, keepalive {:?}}}",
        t.connect, t.response, t.idle, t.keepalive
    )
}

fn tls(tls: &BackendTls) -> String {
    let path = |p: &Path| p.display().to_string();
    let mut parts: Vec<String> = Vec::new();
    parts.extend(tls.ca.as_deref().map(|ca| format!("ca {}", path(ca))));
    parts.extend(tls.sni.as_ref().map(|sni| format!("sni {sni}")));
    parts.extend(
        tls.client
            .as_ref()
            .map(|c| format!("cert {}, key {}", path(&c.cert), path(&c.key))),
    );
    format!("{{{}}}", parts.join(", "))
}

fn health(backend: &Backend) -> String {
    shown(backend.health.as_ref().map(|h| {
        format!(
            "{{{} every {:?}, timeout {:?}, healthy {}, unhealthy {}}}",
            h.path, h.interval, h.timeout, h.healthy, h.unhealthy
        )
    }))
}

fn ejection(backend: &Backend) -> String {
    let e = &backend.ejection;
    match e.failures {
        0 => "none".to_owned(),
        n => format!(
            "{{failures {n}, pause {:?}, slow_start {:?}}}",
            e.pause, e.slow_start
        ),
    }
}

fn retry(backend: &Backend) -> String {
    let r = &backend.retry;
    if r.budget == Share::NONE {
        return "none".to_owned();
    }
    format!("{{idempotent {}, budget {}}}", r.idempotent, r.budget)
}

fn circuit(backend: &Backend) -> String {
    shown(backend.circuit.as_ref().map(|c| {
        format!(
            "{{failures {}, volume {}, open {:?}}}",
            c.failures, c.volume, c.open
        )
    }))
}

fn identity(old: &Identity, new: &Identity, lines: &mut Vec<String>) {
    if old.trusted != new.trusted {
        let (a, b) = (list(&old.trusted), list(&new.trusted));
        lines.push(format!("trusted_proxies: {a} to {b}"));
    }
    if old.underscores != new.underscores {
        let (a, b) = (old.underscores.as_str(), new.underscores.as_str());
        lines.push(format!("underscores: {a} to {b}"));
    }
}

fn backend<'s>(of: &'s Snapshot, slice: &Slice) -> &'s str {
    of.backends()
        .get(slice.backend.get())
        .map_or("", |b| &b.name)
}

fn changes(old: &Snapshot, before: &Slice, new: &Snapshot, after: &Slice) -> Vec<String> {
    let mut changes = Vec::new();
    let mut say = |name: &str, a: &dyn Display, b: &dyn Display| {
        let (a, b) = (a.to_string(), b.to_string());
        if a != b {
            changes.push(format!("{name} {a} to {b}"));
        }
    };
    say("position", &before.declared, &after.declared);
    say("match", &before.matches, &after.matches);
    say("backend", &backend(old, before), &backend(new, after));
    say("ramp", &ramp(before), &ramp(after));
    let (a, b) = (&before.shadow, &after.shadow);
    say("sample", &a.sample, &b.sample);
    say("rate", &rate(a.rate), &rate(b.rate));
    say("methods", &list(&a.methods), &list(&b.methods));
    say("body_limit", &a.body_limit, &b.body_limit);
    say(
        "timeout",
        &format!("{:?}", a.timeout),
        &format!("{:?}", b.timeout),
    );
    say("max_inflight", &a.max_inflight, &b.max_inflight);
    say("except", &list(&a.except), &list(&b.except));
    say("allow", &list(&a.allow), &list(&b.allow));
    let (a, b) = (&before.compare, &after.compare);
    say("ignore", &list(&a.ignore), &list(&b.ignore));
    say("control", &a.control, &b.control);
    say("control caps", &a.control_capped, &b.control_capped);
    let of = |slice: &Slice| shown(slice.owner.as_deref());
    say("owner", &of(before), &of(after));
    on_the_way(before, after, &mut changes);
    changes
}

/// Lists what changes in requests and answers on their way. Values of fields may be secrets.
fn on_the_way(before: &Slice, after: &Slice, changes: &mut Vec<String>) {
    let of = |slice: &Slice| shown(slice.fallback.as_ref());
    if before.fallback != after.fallback {
        changes.push(format!("fallback {} to {}", of(before), of(after)));
    }
    let of = |slice: &Slice| shown(slice.edits.rewrite.as_ref());
    if before.edits.rewrite != after.edits.rewrite {
        changes.push(format!("rewrite {} to {}", of(before), of(after)));
    }
    for (name, a, b) in [
        (
            "headers of requests",
            &before.edits.request,
            &after.edits.request,
        ),
        (
            "headers of answers",
            &before.edits.response,
            &after.edits.response,
        ),
        ("headers of copies", &before.copy_edits, &after.copy_edits),
    ] {
        let (then, now) = (a.to_string(), b.to_string());
        if then != now {
            changes.push(format!("{name} {then} to {now}"));
        } else if a != b {
            changes.push(format!("{name}: other values"));
        }
    }
}

fn joined<T: Display>(items: &[T]) -> String {
    let items: Vec<_> = items.iter().map(ToString::to_string).collect();
    items.join(", ")
}

fn list<T: Display>(items: &[T]) -> String {
    format!("[{}]", joined(items))
}

fn rate(rate: Option<u32>) -> String {
    shown(rate.map(|r| format!("{r}/s")))
}

fn ramp(slice: &Slice) -> String {
    let Some(ramp) = &slice.ramp else {
        return "none".to_owned();
    };
    let mut parts = vec![format!(
        "by {}, group {}",
        if ramp.kind.is_empty() {
            "nothing"
        } else {
            &ramp.kind
        },
        ramp.group
    )];
    for (name, written, names) in [
        ("always", &ramp.always_written, &ramp.always),
        ("never", &ramp.never_written, &ramp.never),
    ] {
        if !written.is_empty() {
            parts.push(format!(
                "{name} {} ({})",
                list(written),
                names.iter().count()
            ));
        }
    }
    format!("{{{}}}", parts.join(", "))
}

/// Returns whether a half-written file could look like this: it raises a position, removes a
/// slice, or drops a ramp, a name of `never`, an entry of `except`, or all edits, the rewrite or the
/// fallback of a slice. Such a file is taken only when it stands still.
pub fn is_risky(old: &Snapshot, new: &Snapshot) -> bool {
    let added = new.slices().iter().any(|after| {
        let from_nothing = old.ix(&after.id).is_none();
        from_nothing && after.declared > crate::model::Position::LEGACY
    });
    added
        || old.slices().iter().any(|before| {
            let Some(after) = new.ix(&before.id).and_then(|ix| new.slice(ix)) else {
                return true;
            };
            let kept = |c: &Condition| {
                after
                    .shadow
                    .except
                    .iter()
                    .any(|e| e.to_string() == c.to_string())
            };
            let never = match (&before.ramp, &after.ramp) {
                (None, _) => true,
                (Some(_), None) => false,
                (Some(before), Some(after)) => after.never.contains_all(&before.never),
            };
            let edits = [
                (&before.edits.request, &after.edits.request),
                (&before.edits.response, &after.edits.response),
                (&before.copy_edits, &after.copy_edits),
            ];
            let cut = edits.iter().any(|(a, b)| !a.is_empty() && b.is_empty())
                || before.edits.rewrite.is_some() && after.edits.rewrite.is_none()
                || before.fallback.is_some() && after.fallback.is_none();
            after.declared > before.declared
                || !never
                || cut
                || !before.shadow.except.iter().all(kept)
        })
}
