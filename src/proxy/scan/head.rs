//! The head of a request, line by line, as its bytes come.

use super::Bounds;
use super::Reason;
use super::bytes;
use super::bytes::TOKEN;
use super::host;
use super::line;
use super::line::odd;
use std::ops::Range;

/// How long the digits of a length may be: more do not fit 64 bits.
const DIGITS: usize = 19;

/// What is known of a head so far. Places count from the head's first byte.
#[derive(Clone, Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "what a head said, each by itself"
)]
pub(super) struct Head {
    /// Where the first line begins that is not read yet.
    at: usize,
    /// How many bytes were looked at without finding the end of that line.
    looked: usize,
    began: bool,
    old: bool,
    secure: bool,
    authority: Option<Range<usize>>,
    host: bool,
    fields: usize,
    length: Option<u64>,
    encoding: bool,
    close: bool,
    keep: bool,
}

/// How a request's body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// So many bytes.
    Length(u64),
    /// In chunks.
    Chunked,
}

/// A head that is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Whole {
    /// How many bytes it has.
    pub(super) len: usize,
    pub(super) framing: Framing,
    /// No request follows on this connection.
    pub(super) last: bool,
}

impl Head {
    /// Returns whether some of a request is here. A blank line in front of one is not.
    pub(super) fn has_begun(&self) -> bool {
        self.began || self.looked > self.at
    }

    /// Reads on. `bytes` begins where the head does, and has grown at its end.
    #[inline]
    pub(super) fn read(&mut self, bytes: &[u8], bounds: &Bounds) -> Result<Option<Whole>, Reason> {
        let looked = self.looked;
        if looked > 0 && memchr::memchr(b'\n', bytes.get(looked..).unwrap_or_default()).is_none() {
            return self.wait(bytes, bounds);
        }
        if !self.began {
            if self.at == 0 && bytes.starts_with(b"\r\n") {
                self.at = 2;
            }
            if let Some(b'\r' | b'\n') = bytes.get(self.at) {
                let more: Option<()> = odd(bytes, self.at, Reason::Method, Reason::BlankLines)?;
                debug_assert!(more.is_none());
                return self.wait(bytes, bounds);
            }
            let Some(line) = line::read(bytes, self.at)? else {
                return self.wait(bytes, bounds);
            };
            if line.end - self.at - 2 > bounds.line {
                return Err(Reason::LineLong);
            }
            (self.began, self.old, self.secure) = (true, line.old, line.secure);
            self.authority = line.authority;
            self.at = line.end;
        }
        loop {
            match bytes.get(self.at) {
                Some(b'\r') if bytes.get(self.at + 1) == Some(&b'\n') => {
                    return self.end(bounds).map(Some);
                }
                _ => match self.field(bytes, bounds)? {
                    Some(next) => self.at = next,
                    None => return self.wait(bytes, bounds),
                },
            }
        }
    }

    /// The line is not whole: checks that what is here may still become a head.
    #[cold]
    fn wait(&mut self, bytes: &[u8], bounds: &Bounds) -> Result<Option<Whole>, Reason> {
        self.looked = bytes.len();
        if !self.began && bytes.len() - self.at.min(bytes.len()) > bounds.line {
            return Err(Reason::LineLong);
        }
        if bytes.len() > bounds.head {
            return Err(Reason::HeadLarge);
        }
        Ok(None)
    }

    /// Reads the field that begins where we are, and returns where the next line begins.
    #[inline]
    fn field(&mut self, bytes: &[u8], bounds: &Bounds) -> Result<Option<usize>, Reason> {
        let colon = bytes::run(bytes, self.at, TOKEN);
        match bytes.get(colon) {
            None => return Ok(None),
            Some(b':') if colon > self.at => {}
            Some(b' ' | b'\t') if colon > self.at => return Err(Reason::Space),
            Some(b' ' | b'\t') => return Err(Reason::Fold),
            Some(_) => return odd(bytes, colon, Reason::Name, Reason::Name),
        }
        let end = bytes::value(bytes, colon + 1);
        match (bytes.get(end), bytes.get(end + 1)) {
            (Some(b'\r'), Some(b'\n')) => {}
            _ => return odd(bytes, end, Reason::Control, Reason::Control),
        }
        self.fields += 1;
        if self.fields > bounds.fields {
            return Err(Reason::Fields);
        }
        let name = bytes.get(self.at..colon).unwrap_or_default();
        if matches!(name.len(), 4 | 10 | 14 | 17) {
            let value = bytes.get(colon + 1..end).unwrap_or_default();
            self.note(bytes, name, trimmed(value))?;
        }
        Ok(Some(end + 2))
    }

    /// Notes a field that says how the message is framed, or for whom it is.
    fn note(&mut self, bytes: &[u8], name: &[u8], value: &[u8]) -> Result<(), Reason> {
        if name.eq_ignore_ascii_case(b"host") {
            if self.host {
                return Err(Reason::HostSeveral);
            }
            self.host = true;
            if !host::is_valid(value) {
                return Err(Reason::HostForm);
            }
            let target = self.authority.clone().and_then(|range| bytes.get(range));
            if target.is_some_and(|target| !host::is_same(target, value, self.secure)) {
                return Err(Reason::HostDiffers);
            }
        } else if name.eq_ignore_ascii_case(b"connection") {
            for token in value.split(|b| *b == b',').map(trimmed) {
                self.close |= token.eq_ignore_ascii_case(b"close");
                self.keep |= token.eq_ignore_ascii_case(b"keep-alive");
            }
        } else if name.eq_ignore_ascii_case(b"content-length") {
            if self.length.is_some() {
                return Err(Reason::LengthSeveral);
            }
            let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
            if !digits || value.len() > DIGITS {
                return Err(Reason::Length);
            }
            let length = value.iter().try_fold(0u64, |sum, digit| {
                sum.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
            });
            self.length = Some(length.ok_or(Reason::Length)?);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if self.encoding || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Reason::Encoding);
            }
            self.encoding = true;
        }
        Ok(())
    }

    fn end(&self, bounds: &Bounds) -> Result<Whole, Reason> {
        let len = self.at + 2;
        if len > bounds.head {
            return Err(Reason::HeadLarge);
        }
        if !self.host && !self.old {
            return Err(Reason::HostMissing);
        }
        let framing = match (self.encoding, self.length) {
            (true, Some(_)) => return Err(Reason::LengthEncoding),
            (true, None) if self.old => return Err(Reason::EncodingOld),
            (true, None) => Framing::Chunked,
            (false, length) => Framing::Length(length.unwrap_or(0)),
        };
        Ok(Whole {
            len,
            framing,
            last: self.close || (self.old && !self.keep),
        })
    }
}

fn trimmed(value: &[u8]) -> &[u8] {
    let blank = |b: &u8| matches!(b, b' ' | b'\t');
    let start = value.iter().position(|b| !blank(b)).unwrap_or(value.len());
    let end = value
        .iter()
        .rposition(|b| !blank(b))
        .map_or(start, |at| at + 1);
    value.get(start..end).unwrap_or_default()
}
