//! The canonical copy of a path that rules look at. Pure.
//!
//! What goes upstream is never this copy but the bytes that came. In the copy dot segments are
//! resolved, unreserved characters are decoded, everything else that is encoded stays so with
//! upper-case digits (`%2F` is no slash), and bytes outside ASCII are encoded. So one resource has
//! one spelling, and reading a canonical path again changes nothing.

use std::borrow::Cow;

/// Why a request is refused with 400 before any rule looks at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The path leaves the root, or holds a NUL or a backslash.
    #[error("the path leaves the root, or holds a NUL or a backslash")]
    Path,
}

/// Returns the canonical copy of a raw path; borrowed where nothing changes.
///
/// A target that is no path (`*`, an authority) is returned as it is.
pub fn canonical(path: &str) -> Result<Cow<'_, str>, Refused> {
    if is_plain(path.as_bytes()) || !path.starts_with('/') {
        return Ok(Cow::Borrowed(path));
    }
    let decoded = decode(path.as_bytes())?;
    resolve(&decoded).map(Cow::Owned)
}

/// Returns what stands after a prefix that has no slash at its end: empty, or from a slash on. Nothing
/// if the path does not belong to the prefix by its canonical segments.
///
/// What follows the prefix keeps the bytes that came. Only where dot segments reach into the prefix,
/// the canonical rest is taken, because the raw one would lead elsewhere from another place.
pub fn below<'p>(path: &'p str, prefix: &str) -> Option<Cow<'p, str>> {
    if !path.starts_with('/') {
        return None;
    }
    let raw = raw_rest(path, prefix).filter(|rest| canonical(rest).is_ok());
    if let Some(rest) = raw {
        return Some(Cow::Borrowed(rest));
    }
    let seen = canonical(path).ok()?;
    let rest = seen.strip_prefix(prefix)?;
    (rest.is_empty() || rest.starts_with('/')).then(|| Cow::Owned(rest.to_owned()))
}

/// Strips a prefix whose segments stand in the raw path one by one, however they are spelled.
fn raw_rest<'p>(path: &'p str, prefix: &str) -> Option<&'p str> {
    let mut rest = path;
    for want in prefix.split('/').skip(1) {
        let after = rest.strip_prefix('/')?;
        let (have, next) = after.split_at(after.find('/').unwrap_or(after.len()));
        if have != want && decode(have.as_bytes()).as_deref() != Ok(want) {
            return None;
        }
        rest = next;
    }
    Some(rest)
}

/// Returns whether nothing can change: no escape, no backslash, no segment that begins with a dot.
fn is_plain(path: &[u8]) -> bool {
    let mut before = 0;
    for &byte in path {
        if byte == b'%'
            || byte == b'\\'
            || byte == 0
            || byte >= 0x80
            || (byte == b'.' && before == b'/')
        {
            return false;
        }
        before = byte;
    }
    true
}

fn decode(path: &[u8]) -> Result<String, Refused> {
    let mut out = String::with_capacity(path.len() + 8);
    let mut rest = path;
    while let [byte, after @ ..] = rest {
        rest = after;
        match (*byte, after) {
            (b'\\' | 0, _) => return Err(Refused::Path),
            (b'%', [high, low, after @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    rest = after;
                    match high << 4 | low {
                        0 | b'\\' => return Err(Refused::Path),
                        byte if is_unreserved(byte) => out.push(char::from(byte)),
                        byte => escape(&mut out, byte),
                    }
                }
                _ => escape(&mut out, b'%'),
            },
            (b'%', _) => escape(&mut out, b'%'),
            (byte, _) if byte >= 0x80 => escape(&mut out, byte),
            (byte, _) => out.push(char::from(byte)),
        }
    }
    Ok(out)
}

/// Resolves dot segments (RFC 3986, 5.2.4), but refuses to leave the root.
fn resolve(path: &str) -> Result<String, Refused> {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        match segment {
            "." | ".." => {
                if segment == ".." && kept.pop().is_none() {
                    return Err(Refused::Path);
                }
                if segments.peek().is_none() {
                    kept.push("");
                }
            }
            segment => kept.push(segment),
        }
    }
    let mut out = String::with_capacity(path.len());
    for segment in kept {
        out.push('/');
        out.push_str(segment);
    }
    Ok(out)
}

fn hex(byte: u8) -> Option<u8> {
    char::from(byte)
        .to_digit(16)
        .and_then(|d| u8::try_from(d).ok())
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

fn escape(out: &mut String, byte: u8) {
    const DIGITS: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F',
    ];
    out.push('%');
    out.push(DIGITS[usize::from(byte >> 4)]);
    out.push(DIGITS[usize::from(byte & 15)]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_paths_have_their_canonical_form() {
        for (raw, copy) in [
            ("/a/b", "/a/b"),
            ("/a/./b", "/a/b"),
            ("/a/../b", "/b"),
            ("/a/..", "/"),
            ("/a/b/.", "/a/b/"),
            ("/%61pi/%7Euser", "/api/~user"),
            ("/a%2fb", "/a%2Fb"),
            ("/a%2Fb/..", "/"),
            ("/%2e%2E/", "!"),
            ("/..", "!"),
            ("/a/../../b", "!"),
            ("/a%00", "!"),
            ("/a\\b", "!"),
            ("/a%5cb", "!"),
            ("/a//b", "/a//b"),
            ("/a//../b", "/a/b"),
            ("/100%", "/100%25"),
            ("/%%341", "/%2541"),
            ("/%zz", "/%25zz"),
            ("/ä", "/%C3%A4"),
            ("/.well-known/x", "/.well-known/x"),
            ("/...", "/..."),
            ("*", "*"),
            ("", ""),
        ] {
            let found = canonical(raw).map_or_else(|_| "!".to_owned(), Cow::into_owned);
            assert_eq!(found, copy, "{raw}");
        }
    }

    #[test]
    fn a_canonical_path_is_borrowed() {
        assert!(matches!(canonical("/api/orders/7"), Ok(Cow::Borrowed(_))));
    }

    #[test]
    fn a_dot_is_no_empty_segment_of_a_prefix() {
        assert_eq!(below("/a/./b/c", "/a//b"), None);
        assert_eq!(below("/a/%2e/b/c", "/a//b"), None);
        assert_eq!(below("/a//b/./c", "/a//b").as_deref(), Some("/./c"));
        assert_eq!(below("/a/.//b/%63", "/a//b").as_deref(), Some("/c"));
    }

    fn soup() -> impl Strategy<Value = String> {
        let part = prop::sample::select(vec![
            "/", ".", "..", "%", "2", "e", "E", "5", "c", "f", "F", "%2e", "%2F", "%41", "a", "ä",
            "~",
        ]);
        prop::collection::vec(part, 0..24).prop_map(|p| format!("/{}", p.concat()))
    }

    proptest! {
        #[test]
        fn canonical_is_idempotent(path in soup()) {
            if let Ok(once) = canonical(&path) {
                prop_assert_eq!(canonical(&once).unwrap(), once.clone());
                prop_assert!(once.starts_with('/') && once.is_ascii());
                prop_assert!(!once.split('/').any(|s| s == "." || s == ".."));
            }
        }

        #[test]
        fn what_is_below_a_prefix_is_so_by_its_canonical_segments(path in soup(), prefix in prop::sample::select(vec![
            "", "/a", "//a", "/a//a", "/%2F", "/A/~",
        ])) {
            let Ok(seen) = canonical(&path) else { return Ok(()) };
            let wanted = seen.strip_prefix(prefix).filter(|rest| rest.is_empty() || rest.starts_with('/'));
            let rest = below(&path, prefix);
            prop_assert_eq!(rest.is_some(), wanted.is_some(), "{} {}", path, prefix);
            if let Some(rest) = rest {
                let whole = format!("{prefix}{rest}");
                prop_assert_eq!(canonical(&whole).unwrap(), seen);
            }
        }

        #[test]
        fn any_text_is_taken_or_refused(path in "\\PC*") {
            let _either = canonical(&path);
        }
    }
}
