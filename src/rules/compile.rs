//! The file as written to a [`Snapshot`], or every [`Problem`] at once. Pure.

use crate::compare::IgnorePath;
use crate::model::BackendIx;
use crate::model::SliceId;
use crate::model::SliceIx;
use crate::rules::backend::Backend;
use crate::rules::backend::Endpoint;
use crate::rules::condition::Names;
use crate::rules::edits::Edits;
use crate::rules::file;
use crate::rules::file::File;
use crate::rules::file::SliceDecl;
use crate::rules::matcher::Matcher;
use crate::rules::matcher::Rule;
use crate::rules::parse;
use crate::rules::problem::Problem;
use crate::rules::problem::Problems;
use crate::rules::problem::code;
use crate::rules::reach;
use crate::rules::slices::Compiler;
use crate::rules::snapshot::Rules;
use crate::rules::snapshot::Slice;
use crate::rules::snapshot::Snapshot;
use sha2::Digest;
use sha2::Sha256;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::Path;
use xxhash_rust::xxh3::xxh3_64;

/// Rules that were taken, and what somebody should look at.
#[derive(Debug)]
pub struct Loaded {
    /// The compiled rules.
    pub snapshot: Snapshot,
    /// What was taken but looks wrong.
    pub warnings: Vec<Problem>,
}

/// Compiles the text of `routes.yaml`, or names everything that is wrong with it.
///
/// `path` is where it was read: relative paths inside start from its folder. With an error, the
/// warnings are in the list too.
pub fn load(path: &str, text: &str) -> Result<Loaded, Vec<Problem>> {
    let mut problems = Problems::new(text);
    let folder = Path::new(path).parent().unwrap_or(Path::new(""));
    let file =
        parse::parse(text, &mut problems).and_then(|root| file::read(&root, folder, &mut problems));
    let rules = file.and_then(|file| compile(file, text, &mut problems));
    match rules {
        Some(rules) if !problems.has_errors() => Ok(Loaded {
            snapshot: Snapshot::new(rules),
            warnings: problems.finish(),
        }),
        _ => Err(problems.finish()),
    }
}

fn compile(file: File, text: &str, problems: &mut Problems) -> Option<Rules> {
    let mut compiler = Compiler::new(&file, problems);
    let mut slices = Vec::with_capacity(file.slices.len());
    let mut rules = Vec::new();
    let mut names: HashMap<SliceId, (SliceIx, u32)> = HashMap::new();
    for decl in &file.slices {
        let ix = SliceIx(u32::try_from(slices.len()).ok()?);
        let slice = compiler.slice(decl, problems);
        if let Some((name, at)) = &decl.name {
            let id = SliceId::new(name.as_str());
            if let Some((_, line)) = names.get(&id) {
                problems.error(
                    code::DUPLICATE_NAME,
                    *at,
                    format!("two slices are named `{name}`; the first is in line {line}"),
                    "rename one of the two",
                );
            } else {
                names.insert(id, (ix, at.line));
            }
        }
        rules.extend(decl.matches.iter().map(|(condition, _)| Rule {
            slice: ix,
            condition: condition.clone(),
        }));
        slices.push(slice);
    }
    let matcher = Matcher::new(rules);
    reach::check(&file, &matcher, problems);
    compiler.unused(&file, problems);
    if file.slices.is_empty() && !problems.has_errors() {
        problems.warn(
            code::NO_SLICES,
            file.at,
            "no slices: everything goes to legacy",
            "",
        );
    }
    let mut slices = slices.into_iter().collect::<Option<Vec<Slice>>>()?;
    let backends = compiler.backends;
    for (slice, decl) in slices.iter_mut().zip(&file.slices) {
        slice.epoch_key = epoch_key(slice, decl, &backends, &file);
    }
    Some(Rules {
        text: text.into(),
        hash: hash(text),
        startup: file.startup,
        startup_lines: file.lines,
        backends,
        slices,
        by_name: names.into_iter().map(|(id, (ix, _))| (id, ix)).collect(),
        matcher,
        tenants: file.tenants,
        identity: file.identity,
    })
}

fn hash(text: &str) -> String {
    Sha256::digest(text.as_bytes())
        .iter()
        .take(6)
        .fold(String::new(), |mut out, byte| {
            let _written = write!(out, "{byte:02x}");
            out
        })
}

/// Changes when the evidence so far says nothing any more. Not in it: position, ramp, sample,
/// owner, and everything else that leaves the two answers as they are.
fn epoch_key(slice: &Slice, decl: &SliceDecl, backends: &[Backend], file: &File) -> u64 {
    let mut text = format!("match {}\n", slice.matches);
    for (condition, _) in &decl.matches {
        let names: Vec<_> = condition.tenants.iter().flat_map(Names::iter).collect();
        let _written = writeln!(text, "tenants {names:?}");
    }
    for ix in [BackendIx::LEGACY, slice.backend] {
        if let Some(backend) = backends.get(ix.get()) {
            let endpoints: Vec<_> = backend.endpoints.iter().map(Endpoint::to_string).collect();
            let _written = writeln!(text, "to {} {endpoints:?}", backend.name);
            if let Some(host) = &backend.host {
                let _written = writeln!(text, "host {host:?}");
            }
        }
    }
    let sources: Vec<_> = file
        .tenants
        .sources
        .iter()
        .map(ToString::to_string)
        .collect();
    let ignore: Vec<_> = slice
        .compare
        .ignore
        .iter()
        .map(IgnorePath::as_str)
        .collect();
    let _written = writeln!(text, "tenant {sources:?}\nignore {ignore:?}");
    // Only where there are some, so that the evidence of all others stays.
    if slice.edits != Edits::default() || !slice.copy_edits.is_empty() {
        let _written = writeln!(text, "edits {:?} {:?}", slice.edits, slice.copy_edits);
    }
    xxh3_64(text.as_bytes())
}
