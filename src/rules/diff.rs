//! What changes between two snapshots: for the history, and for taking a file slowly. Pure.

use crate::rules::backend::Backend;
use crate::rules::condition::Condition;
use crate::rules::snapshot::Slice;
use crate::rules::snapshot::Snapshot;
use std::fmt::Display;

/// Lists what changes for each slice and backend, a line each. Empty if nothing does that matters
/// to a request.
pub fn diff(old: &Snapshot, new: &Snapshot) -> Vec<String> {
    let mut lines = Vec::new();
    backends(old, new, &mut lines);
    let (sources, now) = (&old.rules.tenants.sources, &new.rules.tenants.sources);
    if sources != now {
        let list = |s: &[crate::rules::tenant::Source]| {
            s.iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(", ")
        };
        lines.push(format!(
            "tenant: from {} to {}",
            or_none(list(sources)),
            or_none(list(now))
        ));
    }
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

fn or_none(text: String) -> String {
    if text.is_empty() {
        "none".to_owned()
    } else {
        text
    }
}

fn backends(old: &Snapshot, new: &Snapshot, lines: &mut Vec<String>) {
    let find = |of: &Snapshot, name: &str| -> Option<Backend> {
        of.backends().iter().find(|b| *b.name == *name).cloned()
    };
    let endpoints = |b: &Backend| {
        b.endpoints
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", ")
    };
    for backend in new.backends() {
        match find(old, &backend.name) {
            None => lines.push(format!(
                "+ backend `{}`: {}",
                backend.name,
                endpoints(backend)
            )),
            Some(before) if before.endpoints != backend.endpoints => {
                lines.push(format!(
                    "backend `{}`: {} to {}",
                    backend.name,
                    endpoints(&before),
                    endpoints(backend)
                ));
            }
            Some(before) if before != *backend => lines.push(format!(
                "backend `{}`: timeouts or version header",
                backend.name
            )),
            Some(_) => {}
        }
    }
    let gone = old
        .backends()
        .iter()
        .filter(|b| find(new, &b.name).is_none());
    lines.extend(gone.map(|b| format!("- backend `{}`", b.name)));
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
    say(
        "owner",
        &before.owner.as_deref().unwrap_or("none"),
        &after.owner.as_deref().unwrap_or("none"),
    );
    changes
}

fn list<T: Display>(items: &[T]) -> String {
    let items: Vec<_> = items.iter().map(ToString::to_string).collect();
    format!("[{}]", items.join(", "))
}

fn rate(rate: Option<u32>) -> String {
    rate.map_or_else(|| "none".to_owned(), |r| format!("{r}/s"))
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
/// slice, or drops a ramp, a name of `never` or an entry of `except`. Such a file is taken only
/// when it stands still.
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
            after.declared > before.declared || !never || !before.shadow.except.iter().all(kept)
        })
}
