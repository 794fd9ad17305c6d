//! Reads `tenant`: its sources and cohorts, and the lists that name either. Pure.

use crate::rules::condition::Names;
use crate::rules::file::backend::header_name;
use crate::rules::file::fields::Fields;
use crate::rules::file::fields::each;
use crate::rules::file::fields::map;
use crate::rules::keys::Section;
use crate::rules::parse::Node;
use crate::rules::parse::Value;
use crate::rules::parse::short;
use crate::rules::problem::At;
use crate::rules::problem::Problems;
use crate::rules::problem::code;
use crate::rules::tenant::Source;
use crate::rules::tenant::Tenants;
use crate::rules::value;
use crate::rules::value::Read;
use std::collections::BTreeMap;

/// What is known of tenants while the rest is read.
#[derive(Debug, Default)]
pub(in crate::rules) struct TenantDecl {
    /// Whether the file has the key, be it broken.
    pub(in crate::rules) given: bool,
    pub(in crate::rules) sources: Vec<Source>,
    cohorts: BTreeMap<String, Cohort>,
}

#[derive(Debug)]
struct Cohort {
    at: At,
    tenants: Vec<(String, At)>,
    used: bool,
}

pub(super) fn read(top: &Fields<'_>, problems: &mut Problems) -> TenantDecl {
    let mut tenant = TenantDecl::default();
    let Some(node) = top.get("tenant") else {
        return tenant;
    };
    tenant.given = true;
    let Some(fields) = Fields::open(Section::Tenant, node, "tenant", problems) else {
        return tenant;
    };
    if let Some(from) = fields.must("from", problems) {
        tenant.sources = each(from, "from", problems, source)
            .into_iter()
            .map(|(s, _)| s)
            .collect();
        if matches!(&from.value, Value::List(items) if items.is_empty()) {
            problems.error(
                code::MISSING,
                from.at,
                "`from` has no source",
                "give one, such as `header:X-Tenant`",
            );
        }
    }
    if let Some(node) = fields.get("cohorts") {
        tenant.read_cohorts(node, problems);
    }
    tenant
}

const SOURCES_LATER: [&str; 3] = ["jwt:", "path:", "cookie:"];

fn source(text: &str) -> Read<Source> {
    if let Some(name) = text.strip_prefix("header:") {
        return header_name(name).map(Source::Header);
    }
    if let Some(pattern) = text.strip_prefix("host:") {
        let wrong = || {
            let message = format!("`{}` is not a host pattern", short(text));
            Err((
                code::HOST,
                message,
                "write `host:{tenant}.app.example.com`".to_owned(),
            ))
        };
        let Some((before, after)) = pattern.split_once("{tenant}") else {
            return wrong();
        };
        let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        if !before.bytes().chain(after.bytes()).all(good) || after.is_empty() && before.is_empty() {
            return wrong();
        }
        return Ok(Source::Host {
            before: before.to_ascii_lowercase().into(),
            after: after.to_ascii_lowercase().into(),
        });
    }
    let hint = "write `header:NAME` or `host:{tenant}.app.example.com`".to_owned();
    if let Some(kind) = SOURCES_LATER.iter().find(|k| text.starts_with(**k)) {
        return Err((
            code::LATER,
            format!("tenants from `{kind}` are not supported in this version"),
            hint,
        ));
    }
    Err((
        code::WORD,
        format!("`{}` is not a source of tenants", short(text)),
        hint,
    ))
}

impl TenantDecl {
    fn read_cohorts(&mut self, node: &Node, problems: &mut Problems) {
        let Some(entries) = map(node, "cohorts", problems) else {
            if matches!(node.value, Value::Text(..) | Value::List(_)) {
                problems.error(
                    code::FORM,
                    node.at,
                    "`cohorts` wants a map of names to lists",
                    "write `cohorts: { pilots: [acme] }`",
                );
            }
            return;
        };
        for (key, node) in entries {
            if let Err((code, message, hint)) = value::name(&key.name) {
                problems.error(code, key.at, message, hint);
            }
            let tenants = if let Value::Map(_) = node.value {
                problems.error(
                    code::LATER,
                    node.at,
                    "cohorts from a file are not supported in this version",
                    "write the tenants as a list",
                );
                Vec::new()
            } else {
                each(node, &key.name, problems, tenant_name)
            };
            self.cohorts.insert(
                key.name.clone(),
                Cohort {
                    at: key.at,
                    tenants,
                    used: false,
                },
            );
        }
        for (name, cohort) in &self.cohorts {
            for (tenant, at) in &cohort.tenants {
                if self.cohorts.contains_key(tenant) {
                    let message =
                        format!("`{tenant}` is a cohort, so it cannot be a tenant of `{name}`");
                    problems.error(
                        code::RESERVED,
                        *at,
                        message,
                        "list its tenants, or rename the cohort",
                    );
                }
            }
        }
    }

    /// Reads a list of tenants and cohorts into tenants.
    pub(super) fn resolve(
        &mut self,
        node: &Node,
        label: &str,
        problems: &mut Problems,
    ) -> (Names, Vec<String>) {
        let written = each(node, label, problems, tenant_name);
        if !self.given && !written.is_empty() {
            problems.error(
                code::NO_TENANT,
                node.at,
                format!("`{label}` names tenants, but nothing says whose request it is"),
                "add `tenant: { from: header:X-Tenant }`",
            );
        }
        let mut names: Vec<Box<str>> = Vec::new();
        for (name, _) in &written {
            match self.cohorts.get_mut(name) {
                Some(cohort) => {
                    cohort.used = true;
                    names.extend(cohort.tenants.iter().map(|(t, _)| t.as_str().into()));
                }
                None => names.push(name.as_str().into()),
            }
        }
        if matches!(&node.value, Value::List(items) if items.is_empty()) {
            problems.error(
                code::MISSING,
                node.at,
                format!("`{label}` names nobody"),
                "name tenants or cohorts, or remove the key",
            );
        }
        (
            Names::new(names),
            written.into_iter().map(|(n, _)| n).collect(),
        )
    }

    /// Warns of cohorts that nothing named.
    pub(super) fn finish(self, problems: &mut Problems) -> Tenants {
        for (name, cohort) in self.cohorts.iter().filter(|(_, c)| !c.used) {
            problems.warn(
                code::IDLE_COHORT,
                cohort.at,
                format!("nothing names the cohort `{name}`"),
                "name it in `always`, `never` or `tenants`, or remove it",
            );
        }
        Tenants {
            sources: self.sources,
            cohorts: Names::new(self.cohorts.keys().map(|k| k.as_str().into()).collect()),
        }
    }
}

fn tenant_name(text: &str) -> Read<String> {
    if text.is_empty()
        || text.trim() != text
        || text.len() > 256
        || text.chars().any(char::is_control)
    {
        return Err((
            code::NAME,
            format!("`{}` is not the name of a tenant", short(text)),
            "write it as the request does, at most 256 bytes".to_owned(),
        ));
    }
    Ok(text.to_owned())
}
