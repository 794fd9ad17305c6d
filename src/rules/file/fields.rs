//! Reads one map by the table of keys, pushing every problem and going on. Pure.

use crate::rules::keys::Form;
use crate::rules::keys::Section;
use crate::rules::near::nearest;
use crate::rules::parse::Key;
use crate::rules::parse::Node;
use crate::rules::parse::Value;
use crate::rules::parse::short;
use crate::rules::problem::At;
use crate::rules::problem::Problems;
use crate::rules::problem::code;
use crate::rules::value;
use crate::rules::value::Read;
use std::fmt::Write as _;
use std::path::Path;
use std::path::PathBuf;

/// A map whose keys were checked against its section.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'n> {
    section: Section,
    at: At,
    entries: &'n [(Key, Node)],
    clean: bool,
}

/// A map, or `none` in its place.
#[derive(Clone, Copy, Debug)]
pub(super) enum Choice<'n> {
    /// `none` is written.
    None,
    /// A map is written.
    Map(Fields<'n>),
    /// Something else, which was refused already.
    Broken,
}

impl<'n> Fields<'n> {
    /// Opens a map in whose place `none` may stand.
    pub(super) fn choice(
        section: Section,
        node: &'n Node,
        label: &str,
        problems: &mut Problems,
    ) -> Choice<'n> {
        if matches!(&node.value, Value::Text(text, _) if text == "none") {
            return Choice::None;
        }
        if let Value::Text(text, _) = &node.value {
            let names = section.names().join(", ");
            problems.error(
                code::FORM,
                node.at,
                format!("`{label}` wants a map or `none`, not `{}`", short(text)),
                format!("it takes: {names}"),
            );
            return Choice::Broken;
        }
        match Self::open(section, node, label, problems) {
            Some(fields) => Choice::Map(fields),
            None => Choice::Broken,
        }
    }

    /// Opens a map; `label` is what messages call the value.
    pub(super) fn open(
        section: Section,
        node: &'n Node,
        label: &str,
        problems: &mut Problems,
    ) -> Option<Self> {
        let Some(entries) = map(node, label, problems) else {
            if matches!(node.value, Value::Text(..) | Value::List(_)) {
                let names = section.names().join(", ");
                problems.error(
                    code::FORM,
                    node.at,
                    format!("`{label}` wants a map"),
                    format!("it takes: {names}"),
                );
            }
            return None;
        };
        let mut fields = Self {
            section,
            at: node.at,
            entries,
            clean: true,
        };
        for (key, _) in entries {
            fields.clean &= fields.check(key, problems);
        }
        Some(fields)
    }

    /// Says what is wrong with a key; returns whether nothing is.
    fn check(&self, key: &Key, problems: &mut Problems) -> bool {
        let (section, name) = (self.section, short(&key.name));
        match section.row(&key.name).map(|r| r.form) {
            Some(Form::Later) => {
                let message = format!(
                    "`{name}` in {} is not supported in this version",
                    section.word()
                );
                problems.error(code::LATER, key.at, message, "remove it");
            }
            Some(_) => return true,
            None => {
                let names = section.names();
                if let Some(hint) = never(section, &key.name) {
                    let message = format!("unknown key `{name}` in {}", section.word());
                    problems.error(code::UNKNOWN_KEY, key.at, message, hint);
                    return false;
                }
                let mut hint = match nearest(&key.name, names.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`? "),
                    None => match Section::ALL.iter().find(|s| names_hold(**s, &key.name)) {
                        Some(other) => format!("`{name}` is a key of {}. ", other.word()),
                        None => String::new(),
                    },
                };
                let _written = write!(hint, "{} takes: {}", section.word(), names.join(", "));
                problems.error(
                    code::UNKNOWN_KEY,
                    key.at,
                    format!("unknown key `{name}` in {}", section.word()),
                    hint,
                );
            }
        }
        false
    }

    /// Returns whether every key is known and supported.
    pub(super) fn is_clean(&self) -> bool {
        self.clean
    }

    /// Returns where the map stands.
    pub(super) fn at(&self) -> At {
        self.at
    }

    /// Returns whether a key is written, be it supported or not.
    pub(super) fn has(&self, name: &str) -> bool {
        self.entries.iter().any(|(k, _)| k.name == name)
    }

    /// Returns the value of a key that the table knows.
    pub(super) fn get(&self, name: &str) -> Option<&'n Node> {
        debug_assert!(
            self.section
                .row(name)
                .is_some_and(|r| r.form != Form::Later),
            "`{name}` is not in the table of {:?}",
            self.section
        );
        self.entries
            .iter()
            .find(|(k, _)| k.name == name)
            .map(|(_, n)| n)
    }

    /// Returns where a key stands.
    pub(super) fn key_at(&self, name: &str) -> Option<At> {
        self.entries
            .iter()
            .find(|(k, _)| k.name == name)
            .map(|(k, _)| k.at)
    }

    /// Returns the value of a key that must be there.
    pub(super) fn must(&self, name: &str, problems: &mut Problems) -> Option<&'n Node> {
        let found = self.get(name);
        if found.is_none() {
            let form = self.section.row(name).map_or("", |r| r.form.words());
            let message = format!("`{name}` is missing in {}", self.section.word());
            problems.error(
                code::MISSING,
                self.at,
                message,
                format!("give `{name}`: {form}"),
            );
        }
        found
    }

    /// Reads a scalar, if the key is there.
    pub(super) fn read<T>(
        &self,
        name: &str,
        problems: &mut Problems,
        read: impl FnOnce(&'n str) -> Read<T>,
    ) -> Option<T> {
        scalar(self.get(name)?, name, problems, read)
    }

    /// Reads a scalar into its place, if the key is there and right.
    pub(super) fn set<T>(
        &self,
        name: &str,
        problems: &mut Problems,
        slot: &mut T,
        read: impl FnOnce(&'n str) -> Read<T>,
    ) {
        if let Some(found) = self.read(name, problems, read) {
            *slot = found;
        }
    }

    /// Reads the path of a file; a relative one starts from `folder`.
    pub(super) fn file(
        &self,
        name: &str,
        folder: &Path,
        problems: &mut Problems,
    ) -> Option<PathBuf> {
        let node = self.get(name)?;
        if matches!(&node.value, Value::Text(text, _) if value::is_content(text)) {
            problems.hide(node.at);
        }
        scalar(node, name, problems, value::file).map(|path| folder.join(path))
    }

    /// Reads the path of a file that must be there.
    pub(super) fn must_file(
        &self,
        name: &str,
        folder: &Path,
        problems: &mut Problems,
    ) -> Option<PathBuf> {
        self.must(name, problems)?;
        self.file(name, folder, problems)
    }

    /// Reads a scalar that must be there, with its place.
    pub(super) fn read_must<T>(
        &self,
        name: &str,
        problems: &mut Problems,
        read: impl FnOnce(&'n str) -> Read<T>,
    ) -> Option<(T, At)> {
        let node = self.must(name, problems)?;
        Some((scalar(node, name, problems, read)?, node.at))
    }
}

/// Returns what to do instead of what other proxies have and this one never will.
fn never(section: Section, name: &str) -> Option<&'static str> {
    let name = name.to_ascii_lowercase();
    match section {
        Section::BackendTls if name.contains("verif") || name.contains("insecure") => {
            Some("verification cannot be switched off; name who signed the certificate in `ca`")
        }
        Section::Rewrite if name == "from" => {
            Some("it moves the prefix that the slice's matches share; rewrite takes: prefix")
        }
        _ => None,
    }
}

fn names_hold(section: Section, name: &str) -> bool {
    section.row(name).is_some_and(|r| r.form != Form::Later)
}

/// Returns the entries of a map. Says what is missing; a wrong form is the caller's to say.
pub(super) fn map<'n>(
    node: &'n Node,
    label: &str,
    problems: &mut Problems,
) -> Option<&'n [(Key, Node)]> {
    match &node.value {
        Value::Map(entries) => Some(entries),
        Value::Null => {
            problems.error(
                code::MISSING,
                node.at,
                format!("`{label}` has no value"),
                "give one, or remove the key",
            );
            None
        }
        Value::Text(..) | Value::List(_) | Value::Refused => None,
    }
}

/// Returns the text of a scalar.
pub(super) fn text<'n>(node: &'n Node, label: &str, problems: &mut Problems) -> Option<&'n str> {
    match &node.value {
        Value::Text(text, _) if text.contains("${") => {
            let message = format!(
                "`{}`: variables are not supported in this version",
                short(text)
            );
            problems.error(code::LATER, node.at, message, "write the value itself");
            None
        }
        Value::Text(text, _) => Some(text),
        Value::Null => {
            problems.error(
                code::MISSING,
                node.at,
                format!("`{label}` has no value"),
                "give one, or remove the key",
            );
            None
        }
        Value::List(_) | Value::Map(_) => {
            problems.error(
                code::FORM,
                node.at,
                format!("`{label}` wants one value"),
                "write a text",
            );
            None
        }
        Value::Refused => None,
    }
}

/// Reads a scalar, or says what to write.
pub(super) fn scalar<'n, T>(
    node: &'n Node,
    label: &str,
    problems: &mut Problems,
    read: impl FnOnce(&'n str) -> Read<T>,
) -> Option<T> {
    let text = text(node, label, problems)?;
    match read(text) {
        Ok(value) => Some(value),
        Err((code, message, hint)) => {
            problems.error(code, node.at, format!("{label}: {message}"), hint);
            None
        }
    }
}

/// Returns the members of a list, or the one value that stands for a list of one.
pub(super) fn members(node: &Node) -> &[Node] {
    match &node.value {
        Value::List(items) => items,
        _ => std::slice::from_ref(node),
    }
}

/// Reads each member of a list, or the one value.
pub(super) fn each<'n, T>(
    node: &'n Node,
    label: &str,
    problems: &mut Problems,
    mut read: impl FnMut(&'n str) -> Read<T>,
) -> Vec<(T, At)> {
    members(node)
        .iter()
        .filter_map(|item| Some((scalar(item, label, problems, &mut read)?, item.at)))
        .collect()
}
