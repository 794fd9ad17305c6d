//! Reads the tree of nodes into the file as written. Pure.
//!
//! Each function reads what it can, pushes a problem for what it cannot, and goes on, so that one
//! pass names every mistake. What a key may be called and look like stands in `rules/rows.rs`.

mod fields;
mod startup;
mod listen;
mod identity;
mod backend;
mod upstream;
mod tenant;
mod matches;
mod edits;
mod slice;

pub(super) use backend::BackendDecl;
pub(super) use backend::endpoint;
pub(super) use edits::FallbackDecl;
pub(super) use slice::CompareDecl;
pub(super) use slice::Defaults;
pub(super) use slice::RampDecl;
pub(super) use slice::ShadowDecl;
pub(super) use slice::SliceDecl;

use crate::rules::file::fields::Fields;
use crate::rules::identity::Identity;
use crate::rules::keys::Section;
use crate::rules::parse::Node;
use crate::rules::parse::short;
use crate::rules::problem::At;
use crate::rules::problem::Problems;
use crate::rules::problem::code;
use crate::rules::startup::Startup;
use crate::rules::startup::StartupLines;
use crate::rules::tenant::Tenants;
use std::path::Path;

/// The file as written.
#[derive(Debug)]
pub(super) struct File {
    pub(super) at: At,
    pub(super) startup: Startup,
    pub(super) lines: StartupLines,
    /// Legacy first.
    pub(super) backends: Vec<BackendDecl>,
    pub(super) identity: Identity,
    pub(super) tenants: Tenants,
    pub(super) tenant_given: bool,
    pub(super) defaults: Defaults,
    pub(super) slices: Vec<SliceDecl>,
}

/// Reads the tree; `folder` is what relative paths start from.
pub(super) fn read(root: &Node, folder: &Path, problems: &mut Problems) -> Option<File> {
    let top = Fields::open(Section::Top, root, "routes", problems)?;
    top.read("version", problems, |text| match text {
        "1" => Ok(()),
        _ => Err((
            code::VERSION,
            format!("`{}` is not known", short(text)),
            "write `version: 1`".to_owned(),
        )),
    });
    let (startup, lines) = startup::read(&top, folder, problems);
    let identity = identity::read(&top, problems);
    let backends = backend::read(&top, folder, problems);
    let mut tenants = tenant::read(&top, problems);
    let defaults = slice::read_defaults(&top, &mut tenants, problems);
    let slices = slice::read(&top, &mut tenants, problems);
    Some(File {
        at: top.at(),
        startup,
        lines,
        backends,
        identity,
        tenant_given: tenants.given,
        tenants: tenants.finish(problems),
        defaults,
        slices,
    })
}
