//! Slices as written to slices as compiled: backends, ramps, defaults. Pure.

use crate::compare::Comparator;
use crate::compare::CompareConfig;
use crate::compare::IgnorePath;
use crate::model::BackendIx;
use crate::model::Position;
use crate::model::Share;
use crate::model::SliceId;
use crate::model::Stage;
use crate::rules::backend::Backend;
use crate::rules::backend::Endpoint;
use crate::rules::backend::Scheme;
use crate::rules::edits::Edits;
use crate::rules::edits::Fallback;
use crate::rules::edits::Rewrite;
use crate::rules::file;
use crate::rules::file::CompareDecl;
use crate::rules::file::Defaults;
use crate::rules::file::FallbackDecl;
use crate::rules::file::File;
use crate::rules::file::RampDecl;
use crate::rules::file::ShadowDecl;
use crate::rules::file::SliceDecl;
use crate::rules::near::nearest;
use crate::rules::parse::short;
use crate::rules::problem::At;
use crate::rules::problem::Problems;
use crate::rules::problem::code;
use crate::rules::reach;
use crate::rules::shared::Unshared;
use crate::rules::shared::shared;
use crate::rules::snapshot::ComparePolicy;
use crate::rules::snapshot::Ramp;
use crate::rules::snapshot::ShadowPolicy;
use crate::rules::snapshot::Slice;
use crate::rules::split::By;
use crate::rules::value::Rate;
use http::Method;
use http::header;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

/// Turns slices as written into slices, and knows what they share.
#[derive(Debug)]
pub(super) struct Compiler {
    pub(super) backends: Vec<Backend>,
    by_name: HashMap<Arc<str>, BackendIx>,
    used: Vec<bool>,
    /// By backend: where a slice names it whose copies carry credentials.
    copied: Vec<Option<At>>,
    defaults: Defaults,
    tenant_given: bool,
    comparators: HashMap<(Vec<IgnorePath>, u64), Arc<Comparator>>,
}

impl Compiler {
    pub(super) fn new(file: &File, problems: &mut Problems) -> Self {
        let mut backends = Vec::new();
        let mut by_name = HashMap::new();
        for (place, decl) in file.backends.iter().enumerate() {
            if let Ok(ix) = u16::try_from(place) {
                by_name
                    .entry(Arc::clone(&decl.backend.name))
                    .or_insert(BackendIx(ix));
                backends.push(decl.backend.clone());
            } else {
                problems.error(code::NUMBER, decl.at, "more than 65535 backends", "");
                break;
            }
        }
        let defaults = Defaults {
            shadow: file.defaults.shadow.clone(),
            compare: file.defaults.compare.clone(),
            fallback: file.defaults.fallback.clone(),
        };
        Self {
            used: vec![false; backends.len()],
            copied: vec![None; backends.len()],
            backends,
            by_name,
            defaults,
            tenant_given: file.tenant_given,
            comparators: HashMap::new(),
        }
    }

    /// Compiles a slice; nothing if a part that must be there is broken.
    pub(super) fn slice(&mut self, decl: &SliceDecl, problems: &mut Problems) -> Option<Slice> {
        let backend = decl
            .to
            .as_ref()
            .and_then(|(to, at)| self.backend(to, *at, problems));
        let ramp = self.ramp(decl, problems);
        let shadow = self.shadow(&decl.shadow);
        let matches = decl
            .matches
            .iter()
            .map(|(c, _)| c.to_string())
            .collect::<Vec<_>>();
        if let Some((stage, _)) = decl.stage {
            reach::all_excluded(decl, stage, &shadow, problems);
        }
        let edits = Edits {
            rewrite: rewrite(decl, problems),
            request: decl.edits.0.clone(),
            response: decl.edits.1.clone(),
        };
        let own = decl.shadow.headers.as_ref();
        let copy_edits = own.or(self.defaults.shadow.headers.as_ref());
        let copy_edits = copy_edits.cloned().unwrap_or_default();
        let fallback = self.fallback(decl, problems);
        let body_limit = shadow.body_limit;
        let (stage, _) = decl.stage?;
        let carries = |name| !edits.request.hides(name) && !copy_edits.hides(name);
        if matches!(stage, Stage::Shadow | Stage::Canary)
            && shadow.sample > Share::NONE
            && (carries(&header::AUTHORIZATION) || carries(&header::COOKIE))
            && let (Some(ix), Some((_, at))) = (backend, &decl.to)
            && let Some(copied) = self.copied.get_mut(ix.get())
        {
            copied.get_or_insert(*at);
        }
        let (name, _) = decl.name.as_ref()?;
        let percent = ramp.as_ref().and_then(|r| r.percent).unwrap_or(Share::NONE);
        Some(Slice {
            id: SliceId::new(name.as_str()),
            backend: backend?,
            declared: Position::new(stage, percent),
            ramp,
            shadow,
            compare: self.compare(&decl.compare, body_limit),
            fallback,
            edits,
            copy_edits,
            owner: decl.owner.clone(),
            epoch_key: 0,
            line: decl.at.line,
            matches: match matches.as_slice() {
                [one] => one.clone(),
                many => format!("[{}]", many.join(", ")),
            },
        })
    }

    fn backend(&mut self, to: &str, at: At, problems: &mut Problems) -> Option<BackendIx> {
        if to.contains("://") || to.starts_with("unix:") {
            return self.inline(to, at, problems);
        }
        match self.by_name.get(to) {
            Some(&BackendIx::LEGACY) => {
                problems.error(
                    code::RESERVED,
                    at,
                    "`legacy` cannot take over from itself",
                    "name a backend",
                );
                None
            }
            Some(ix) => {
                if let Some(used) = self.used.get_mut(ix.get()) {
                    *used = true;
                }
                Some(*ix)
            }
            None => {
                let mut known: Vec<&str> = self
                    .backends
                    .iter()
                    .skip(1)
                    .map(|b| &*b.name)
                    .filter(|n| !n.contains(':'))
                    .collect();
                known.sort_unstable();
                let mut hint = nearest(to, known.iter().copied())
                    .map_or(String::new(), |n| format!("did you mean `{n}`? "));
                if known.is_empty() {
                    hint.push_str("there is no `backends`; write the endpoint, such as `http://127.0.0.1:4000`");
                } else {
                    let _written = write!(hint, "backends are: {}", known.join(", "));
                }
                problems.error(
                    code::BACKEND,
                    at,
                    format!("unknown backend `{}`", short(to)),
                    hint,
                );
                None
            }
        }
    }

    /// Takes an endpoint that `to` names itself as a backend of its own.
    fn inline(&mut self, to: &str, at: At, problems: &mut Problems) -> Option<BackendIx> {
        match file::endpoint(to) {
            Ok(endpoint) => {
                let name: Arc<str> = endpoint.to_string().into();
                if let Some(ix) = self.by_name.get(&name) {
                    return Some(*ix);
                }
                let Ok(ix) = u16::try_from(self.backends.len()) else {
                    problems.error(code::NUMBER, at, "more than 65535 backends", "");
                    return None;
                };
                self.backends.push(Backend::new(&name, vec![endpoint]));
                self.used.push(true);
                self.copied.push(None);
                self.by_name.insert(name, BackendIx(ix));
                Some(BackendIx(ix))
            }
            Err((code, message, hint)) => {
                problems.error(code, at, format!("to: {message}"), hint);
                None
            }
        }
    }

    fn fallback(&self, decl: &SliceDecl, problems: &mut Problems) -> Option<Fallback> {
        if let (Some((FallbackDecl::On(_), at)), Some((Stage::Retired, _))) =
            (&decl.fallback, decl.stage)
        {
            problems.warn(
                code::USELESS,
                *at,
                "in stage `retired` legacy is not needed any more, so `fallback` does nothing",
                "remove it, or write `stage: cutover`",
            );
        }
        let own = decl.fallback.as_ref().map(|(f, _)| f);
        match own.or(self.defaults.fallback.as_ref()) {
            Some(FallbackDecl::On(fallback)) => Some(fallback.clone()),
            Some(FallbackDecl::None) | None => None,
        }
    }

    fn ramp(&self, decl: &SliceDecl, problems: &mut Problems) -> Option<Ramp> {
        let stage = decl.stage.map(|(s, _)| s);
        let Some(ramp) = &decl.ramp else {
            if let Some((Stage::Canary, at)) = decl.stage {
                let hint = if self.tenant_given {
                    "add `ramp: { percent: 1% }`"
                } else {
                    "add `ramp: { by: \"header:NAME\", percent: 1% }`"
                };
                problems.error(code::NO_SHARE, at, "stage `canary` needs a share", hint);
            }
            return None;
        };
        self.check_ramp(ramp, stage, problems);
        let by = match &ramp.by {
            Some((by, _)) => Some(by.clone()),
            None => self.tenant_given.then_some(By::Tenant),
        };
        Some(Ramp {
            percent: ramp.percent.map(|(p, _)| p),
            kind: by.as_ref().map_or(String::new(), By::kind).into(),
            by,
            group: group(decl).unwrap_or("").into(),
            always: ramp.always.0.clone(),
            never: ramp.never.0.clone(),
            always_written: ramp.always.1.clone(),
            never_written: ramp.never.1.clone(),
        })
    }

    fn check_ramp(&self, ramp: &RampDecl, stage: Option<Stage>, problems: &mut Problems) {
        if let Some((By::Tenant, at)) = ramp.by
            && !self.tenant_given
        {
            problems.error(
                code::NO_TENANT,
                at,
                "`by: tenant`, but nothing says whose request it is",
                "add `tenant: { from: header:X-Tenant }`",
            );
        }
        match (stage, ramp.percent) {
            (Some(Stage::Canary), None) if !ramp.broken => {
                problems.error(
                    code::NO_SHARE,
                    ramp.at,
                    "stage `canary` needs a share",
                    "add `percent: 1%`",
                );
            }
            (Some(Stage::Canary), _) if ramp.by.is_none() && !ramp.broken && !self.tenant_given => {
                problems.error(
                    code::NO_KEY,
                    ramp.at,
                    "the ramp does not say by what it splits",
                    "add `by: header:NAME`, `by: cookie:NAME` or `by: random`",
                );
            }
            (Some(stage), Some((_, at))) if stage != Stage::Canary => {
                let message = format!(
                    "`percent` has a meaning in stage `canary` only, and this is `{stage}`"
                );
                problems.error(
                    code::PERCENT_STAGE,
                    at,
                    message,
                    "remove it, or write `stage: canary`",
                );
            }
            _ => {}
        }
    }

    fn shadow(&self, own: &ShadowDecl) -> ShadowPolicy {
        let base = &self.defaults.shadow;
        let both = |a: &[_], b: &[_]| a.iter().chain(b).cloned().collect();
        ShadowPolicy {
            sample: own.sample.or(base.sample).unwrap_or(Share::ALL),
            rate: own
                .rate
                .or(base.rate)
                .unwrap_or(Rate::PerSecond(50))
                .limit(),
            methods: own
                .methods
                .clone()
                .or_else(|| base.methods.clone())
                .unwrap_or_else(|| vec![Method::GET, Method::HEAD]),
            body_limit: own.body_limit.or(base.body_limit).unwrap_or(1 << 20),
            timeout: own
                .timeout
                .or(base.timeout)
                .unwrap_or(Duration::from_secs(5)),
            max_inflight: own.max_inflight.or(base.max_inflight).unwrap_or(64),
            except: both(&base.except, &own.except),
            allow: both(&base.allow, &own.allow),
        }
    }

    fn compare(&mut self, own: &CompareDecl, body_limit: u64) -> ComparePolicy {
        let base = &self.defaults.compare;
        let control = own.control.or(base.control);
        let mut ignore = base.ignore.clone();
        ignore.extend(own.ignore.iter().cloned());
        ignore.sort();
        ignore.dedup();
        let key = (ignore.clone(), body_limit);
        let comparator = self.comparators.entry(key).or_insert_with(|| {
            let ignore = ignore.clone();
            Arc::new(Comparator::new(CompareConfig {
                ignore,
                body_limit,
                ..CompareConfig::default()
            }))
        });
        ComparePolicy {
            comparator: Arc::clone(comparator),
            ignore,
            control: control.or(Share::new(500)).unwrap_or(Share::NONE),
            control_written: control.is_some(),
            control_capped: !(own.uncapped || base.uncapped),
        }
    }

    /// Warns of backends that nothing uses, and of plain copies to other machines.
    pub(super) fn unused(&self, file: &File, problems: &mut Problems) {
        for (decl, used) in file.backends.iter().zip(&self.used).skip(1) {
            let name = &decl.backend.name;
            if !used && **name != *"legacy" {
                problems.warn(
                    code::UNUSED_BACKEND,
                    decl.at,
                    format!("no slice uses the backend `{name}`"),
                    "name it in `to`, or remove it",
                );
            }
        }
        for (place, (backend, copied)) in self.backends.iter().zip(&self.copied).enumerate() {
            let Some(at) = copied.filter(|_| backend.endpoints.iter().any(is_far)) else {
                continue;
            };
            problems.warn(
                code::PLAIN_COPY,
                file.backends.get(place).map_or(at, |decl| decl.at),
                format!(
                    "copies to `{}` carry the clients' credentials over plain HTTP",
                    backend.name
                ),
                "write `https://`, take them out with `shadow: { headers: { remove: [Authorization, Cookie] } }`, or see that the network between is yours alone",
            );
        }
    }
}

/// Returns the group whose keys a slice moves; its own, where none is written.
fn group(decl: &SliceDecl) -> Option<&str> {
    let written = decl.ramp.as_ref().and_then(|ramp| ramp.group.as_deref());
    written.or(decl.name.as_ref().map(|(name, _)| name.as_str()))
}

/// Finds what a slice's `rewrite` moves.
fn rewrite(decl: &SliceDecl, problems: &mut Problems) -> Option<Rewrite> {
    let (to, at) = decl.rewrite.as_ref()?;
    if decl.matches.is_empty() {
        return None;
    }
    let (message, hint) = match shared(decl.matches.iter().map(|(c, _)| c)) {
        Ok(from) => {
            if from == *to {
                problems.warn(
                    code::USELESS,
                    *at,
                    "`rewrite` moves the prefix to where it is",
                    "remove it, or write the prefix that the candidate has",
                );
            }
            let to = to.clone();
            return Some(Rewrite { from, to });
        }
        Err(Unshared::Capture(one)) => (
            format!("`rewrite` has no prefix to move: {one} begins with a capture"),
            "begin the path with a literal segment, or let the candidate take the paths as they are"
                .to_owned(),
        ),
        Err(Unshared::Apart(one, other)) => (
            format!("`rewrite` has no prefix to move: {one} and {other} share none"),
            format!(
                "write two slices, the second for {other} with the same `rewrite`, and `group: {}` in the `ramp` of both, so that the same keys move",
                group(decl).unwrap_or("NAME")
            ),
        ),
    };
    problems.error(code::REWRITE, *at, message, hint);
    None
}

/// Returns whether bytes to there pass a network in plain.
fn is_far(endpoint: &Endpoint) -> bool {
    match endpoint {
        Endpoint::Unix(_)
        | Endpoint::Tcp {
            scheme: Scheme::Https,
            ..
        } => false,
        Endpoint::Tcp { host, .. } => {
            let loopback = host
                .parse::<std::net::IpAddr>()
                .is_ok_and(|ip| ip.is_loopback());
            host != "localhost" && !host.ends_with(".localhost") && !loopback
        }
    }
}
