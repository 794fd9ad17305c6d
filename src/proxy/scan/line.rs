//! The first line of a request (RFC 9112 section 3).

use super::Reason;
use super::bytes;
use super::bytes::PATH;
use super::bytes::QUERY;
use super::bytes::TOKEN;
use super::host;
use std::ops::Range;

/// No method that is in use comes near it.
const METHOD: usize = 32;

/// The first byte of TLS: the type of a handshake record (RFC 8446 section 5.1).
const TLS: u8 = 0x16;

/// `http::Uri` holds no more.
const TARGET: usize = u16::MAX as usize - 1;

/// A request line that may pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Where the next line begins.
    pub(super) end: usize,
    /// The version is 1.0.
    pub(super) old: bool,
    /// Where the host stands, in an absolute target.
    pub(super) authority: Option<Range<usize>>,
    /// The absolute target's port where it names none.
    pub(super) secure: bool,
}

/// Reads a request line that begins at `at`; nothing if its end is not there yet.
#[inline]
pub(super) fn read(bytes: &[u8], at: usize) -> Result<Option<Line>, Reason> {
    let space = bytes::run(bytes, at, TOKEN);
    if space - at > METHOD {
        return Err(Reason::MethodLong);
    }
    let method = bytes.get(at..space).unwrap_or_default();
    match bytes.get(space) {
        None => return Ok(None),
        Some(b' ') if space > at => {}
        Some(b' ') => return Err(Reason::RequestLine),
        Some(&TLS) if space == at => return Err(Reason::Tls),
        Some(_) => return odd(bytes, space, Reason::Method, Reason::RequestLine),
    }
    let start = space + 1;
    let mut line = Line {
        end: 0,
        old: false,
        authority: None,
        secure: false,
    };
    let target = match bytes.get(start) {
        None => return Ok(None),
        Some(b'/') => start,
        Some(_) if method == b"CONNECT" => return Err(Reason::Connect),
        Some(b'*') => start + 1,
        Some(b' ') => return Err(Reason::RequestLine),
        Some(_) => match absolute(bytes, start, &mut line)? {
            Some(path) => path,
            None => return Ok(None),
        },
    };
    let Some(end) = path_and_query(bytes, target)? else {
        return Ok(None);
    };
    if end - start > TARGET {
        return Err(Reason::LineLong);
    }
    let Some(old) = version(bytes, end + 1)? else {
        return Ok(None);
    };
    if bytes.get(start) == Some(&b'*') && (end > start + 1 || method != b"OPTIONS") {
        return Err(Reason::TargetForm);
    }
    line.old = old;
    line.end = end + 1 + b"HTTP/1.1\r\n".len();
    Ok(Some(line))
}

/// Returns where the space after a path and a query is.
#[inline]
fn path_and_query(bytes: &[u8], start: usize) -> Result<Option<usize>, Reason> {
    let mut end = bytes::run(bytes, start, PATH);
    if bytes.get(end) == Some(&b'?') {
        end = bytes::run(bytes, end + 1, QUERY);
    }
    match bytes.get(end) {
        None => Ok(None),
        Some(b' ') => {
            let text = bytes.get(start..end).unwrap_or_default();
            if text.is_ascii() || std::str::from_utf8(text).is_ok() {
                Ok(Some(end))
            } else {
                Err(Reason::Target)
            }
        }
        Some(b'#') => Err(Reason::Fragment),
        Some(_) => odd(bytes, end, Reason::Target, Reason::Http09),
    }
}

/// Reads scheme and host of an absolute target, and returns where its path begins.
fn absolute(bytes: &[u8], start: usize, line: &mut Line) -> Result<Option<usize>, Reason> {
    let rest = bytes.get(start..).unwrap_or_default();
    let Some(end) = rest.iter().position(|b| *b <= b' ') else {
        return Ok(None);
    };
    let target = rest.get(..end).unwrap_or_default();
    let scheme = |name: &[u8]| {
        let named = target.get(..name.len());
        named.is_some_and(|named| named.eq_ignore_ascii_case(name))
    };
    line.secure = scheme(b"https://");
    let skipped = match (line.secure, scheme(b"http://")) {
        (true, _) => b"https://".len(),
        (_, true) => b"http://".len(),
        _ if target.is_empty() => return odd(bytes, start, Reason::Target, Reason::RequestLine),
        _ => return Err(Reason::TargetForm),
    };
    let named = target.get(skipped..).unwrap_or_default();
    let length = named.iter().position(|b| matches!(b, b'/' | b'?' | b'#'));
    let named = named
        .get(..length.unwrap_or(named.len()))
        .unwrap_or_default();
    if named.contains(&b'@') {
        return Err(Reason::Userinfo);
    }
    if !host::is_valid(named) {
        return Err(Reason::HostForm);
    }
    let from = start + skipped;
    line.authority = Some(from..from + named.len());
    Ok(Some(from + named.len()))
}

/// Reads the version, which begins at `at` and ends the line; returns whether it is 1.0.
#[inline]
fn version(bytes: &[u8], at: usize) -> Result<Option<bool>, Reason> {
    let rest = bytes.get(at..).unwrap_or_default();
    match rest.get(..10) {
        Some(b"HTTP/1.1\r\n") => Ok(Some(false)),
        Some(b"HTTP/1.0\r\n") => Ok(Some(true)),
        _ => no_version(bytes, at),
    }
}

/// Says what is wrong with a version; nothing if it is not all there. A control byte comes first, so that
/// pieces and the whole are refused alike.
#[cold]
fn no_version<T>(bytes: &[u8], at: usize) -> Result<Option<T>, Reason> {
    let rest = bytes.get(at..).unwrap_or_default();
    let version = rest.get(..8).unwrap_or(rest);
    if let Some(control) = version.iter().position(|b| *b < b' ') {
        let form = Reason::VersionForm;
        return odd(bytes, at + control, form, form);
    }
    let Some([first, _]) = rest.get(8..10) else {
        return Ok(None);
    };
    Err(match (version, first) {
        (b"HTTP/1.1" | b"HTTP/1.0", b'\r') => Reason::BareCr,
        (b"HTTP/1.1" | b"HTTP/1.0", b'\n') => Reason::BareLf,
        (b"HTTP/1.1" | b"HTTP/1.0", _) => Reason::VersionForm,
        ([b'H', b'T', b'T', b'P', b'/', a, b'.', b], _)
            if a.is_ascii_digit() && b.is_ascii_digit() =>
        {
            Reason::Version
        }
        _ => Reason::VersionForm,
    })
}

/// Says what is wrong with the byte at a place where it cannot be: `other` if it is no control byte,
/// `early` if the line ends there. Nothing if that is not known yet.
#[cold]
pub(super) fn odd<T>(
    bytes: &[u8],
    at: usize,
    other: Reason,
    early: Reason,
) -> Result<Option<T>, Reason> {
    Err(match (bytes.get(at), bytes.get(at + 1)) {
        (None, _) | (Some(b'\r'), None) => return Ok(None),
        (Some(b'\r'), Some(b'\n')) => early,
        (Some(b'\r'), _) => Reason::BareCr,
        (Some(b'\n'), _) => Reason::BareLf,
        (Some(0), _) => Reason::Nul,
        (Some(byte), _) if byte.is_ascii_control() => Reason::Control,
        _ => other,
    })
}
