//! JSON as it may leave the process. Pure.

use crate::compare::json::scalar::unescape;
use crate::compare::json::tokens::Broken;
use crate::compare::json::tokens::Kind;
use crate::compare::json::tokens::Tokens;
use crate::compare::redact::RedactKey;
use crate::compare::redact::cut;
use crate::compare::redact::names::is_secret_name;
use crate::compare::redact::secrets::is_card;
use crate::compare::redact::secrets::looks_secret;
use crate::compare::redact::secrets::scrub_from;
use crate::compare::redact::window;

/// Bytes of a string that are shown.
const STRING_BYTES: usize = 256;

/// How JSON is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// One member a line.
    Indented,
    /// No space but after `:` and `,`.
    Compact,
}

/// Writes one value, redacted, in the order sent; stops once `max` bytes are written, and then
/// returns that it did. `secret` says that the name of the value does.
pub(crate) fn write(
    text: &[u8],
    layout: Layout,
    secret: bool,
    max: usize,
    key: &RedactKey,
) -> Result<(String, bool), Broken> {
    let mut writer = Writer {
        out: String::new(),
        layout,
        key,
        open: Vec::new(),
        secret,
        first: true,
    };
    let mut tokens = Tokens::new(text, u128::BITS, u32::MAX);
    loop {
        let token = tokens.pull()?;
        if token.kind == Kind::End {
            return Ok((writer.out, false));
        }
        writer.token(token.kind, tokens.slice(token));
        if writer.out.len() > max {
            return Ok((writer.out, true));
        }
    }
}

struct Writer<'k> {
    out: String,
    layout: Layout,
    key: &'k RedactKey,
    /// For each open container, whether it is under a secret name, and whether it is an array.
    open: Vec<(bool, bool)>,
    /// Whether the next value is under a secret name.
    secret: bool,
    /// Whether the next token is the first in its container.
    first: bool,
}

impl Writer<'_> {
    fn token(&mut self, kind: Kind, text: &[u8]) {
        match kind {
            Kind::ArrayClose | Kind::ObjectClose => {
                self.open.pop();
                if !self.first {
                    self.line();
                }
                self.out
                    .push(if kind == Kind::ArrayClose { ']' } else { '}' });
                self.after_value();
            }
            Kind::Key => {
                self.separate();
                let name = unescape(text);
                let name = String::from_utf8_lossy(&name);
                let inherited = self.open.last().is_some_and(|open| open.0);
                self.secret = inherited || is_secret_name(&name);
                if looks_secret(&name) {
                    self.quoted(&self.key.token(name.as_bytes()));
                } else {
                    self.quoted(&cut(&name, STRING_BYTES));
                }
                self.out.push_str(": ");
            }
            kind => {
                if self.open.last().is_some_and(|open| open.1) {
                    self.separate();
                }
                self.value(kind, text);
            }
        }
    }

    fn value(&mut self, kind: Kind, text: &[u8]) {
        match kind {
            Kind::ArrayOpen | Kind::ObjectOpen => {
                let array = kind == Kind::ArrayOpen;
                self.open.push((self.secret, array));
                self.out.push(if array { '[' } else { '{' });
                self.first = true;
                return;
            }
            Kind::String => {
                let value = unescape(text);
                let value = String::from_utf8_lossy(&value);
                if self.secret && !value.is_empty() {
                    self.quoted(&self.key.token(value.as_bytes()));
                } else {
                    let start = window(&value);
                    let shown = scrub_from(start, 0, STRING_BYTES, self.key);
                    let mut shown = cut(&shown, STRING_BYTES);
                    if start.len() < value.len() && !shown.ends_with('…') {
                        shown.to_mut().push('…');
                    }
                    self.quoted(&shown);
                }
            }
            Kind::Number if self.secret || is_card(text) => self.quoted(&self.key.token(text)),
            _ => {
                let text = String::from_utf8_lossy(text);
                self.out.push_str(&cut(&text, STRING_BYTES));
            }
        }
        self.after_value();
    }

    fn after_value(&mut self) {
        self.first = false;
        self.secret = self.open.last().map_or(self.secret, |open| open.0);
    }

    /// Begins a member.
    fn separate(&mut self) {
        if !self.first {
            self.out.push(',');
        }
        if self.first || self.layout == Layout::Indented {
            self.line();
        } else {
            self.out.push(' ');
        }
        self.first = false;
    }

    fn line(&mut self) {
        if self.layout == Layout::Indented {
            self.out.push('\n');
            self.out.extend(std::iter::repeat_n("  ", self.open.len()));
        }
    }

    fn quoted(&mut self, text: &str) {
        self.out
            .push_str(&serde_json::Value::from(text).to_string());
    }
}
