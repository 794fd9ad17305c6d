//! Strings and numbers of JSON by their meaning. Pure.

use std::borrow::Cow;

/// Returns the bytes that a string or key stands for; the token has its quotes.
///
/// Escapes of half a surrogate pair become the three bytes that UTF-8 would have for it, so that
/// different texts stay different.
pub(crate) fn unescape(token: &[u8]) -> Cow<'_, [u8]> {
    let text = match token {
        [b'"', inner @ .., b'"'] => inner,
        other => other,
    };
    if !text.contains(&b'\\') {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        if byte != b'\\' {
            out.push(byte);
            at += 1;
            continue;
        }
        at += 2;
        match text.get(at - 1) {
            Some(b'u') => {
                let (unit, next) = code_point(text, at);
                push_wtf8(unit, &mut out);
                at = next;
            }
            Some(b'b') => out.push(8),
            Some(b'f') => out.push(12),
            Some(b'n') => out.push(b'\n'),
            Some(b'r') => out.push(b'\r'),
            Some(b't') => out.push(b'\t'),
            Some(other) => out.push(*other),
            None => {}
        }
    }
    Cow::Owned(out)
}

/// Reads four hexadecimal digits at `at`, and a second escape where they are half of a pair.
fn code_point(text: &[u8], at: usize) -> (u32, usize) {
    let unit = |at: usize| {
        let digits = text.get(at..at + 4)?;
        u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    let first = unit(at).unwrap_or(0xfffd);
    let second = match text.get(at + 4..at + 6) {
        Some(b"\\u") if (0xd800..0xdc00).contains(&first) => unit(at + 6),
        _ => None,
    };
    match second {
        Some(low) if (0xdc00..0xe000).contains(&low) => {
            (0x10000 + ((first - 0xd800) << 10) + (low - 0xdc00), at + 10)
        }
        _ => (first, at + 4),
    }
}

fn push_wtf8(code: u32, out: &mut Vec<u8>) {
    if let Some(c) = char::from_u32(code) {
        let mut buffer = [0; 4];
        out.extend_from_slice(c.encode_utf8(&mut buffer).as_bytes());
        return;
    }
    let low = |shift: u32| 0x80 | u8::try_from((code >> shift) & 0x3f).unwrap_or(0);
    out.push(0xe0 | u8::try_from(code >> 12).unwrap_or(0x0f));
    out.push(low(6));
    out.push(low(0));
}

/// Appends a number in the one form that equal decimal values share: sign, digits without zeros at
/// either end, `e`, exponent.
///
/// Nothing is rounded. A number whose exponent has over 17 digits is its text.
pub(crate) fn canonical_number(text: &[u8], out: &mut Vec<u8>) {
    let (negative, rest) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let e = rest.iter().position(|b| matches!(b, b'e' | b'E'));
    let (mantissa, exponent) = rest.split_at(e.unwrap_or(rest.len()));
    let dot = mantissa.iter().position(|b| *b == b'.');
    let (whole, fraction) = mantissa.split_at(dot.unwrap_or(mantissa.len()));
    let fraction = fraction.get(1..).unwrap_or_default();

    let start = out.len();
    let digits = whole.iter().chain(fraction).skip_while(|b| **b == b'0');
    out.extend(digits);
    if out.len() == start {
        out.push(b'0');
        return;
    }
    let Some(mut shift) = exponent_value(exponent) else {
        out.truncate(start);
        out.push(b'!');
        out.extend_from_slice(text);
        return;
    };
    shift -= i64::try_from(fraction.len()).unwrap_or(i64::MAX);
    while out.len() > start && out.last() == Some(&b'0') {
        out.pop();
        shift += 1;
    }
    if negative {
        out.push(b'-');
    }
    out.push(b'e');
    out.extend_from_slice(shift.to_string().as_bytes());
}

fn exponent_value(text: &[u8]) -> Option<i64> {
    let Some(text) = text.get(1..) else {
        return Some(0);
    };
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] | digits => (false, digits),
    };
    let zeros = digits.iter().take_while(|b| **b == b'0').count();
    let digits = digits.get(zeros..).unwrap_or_default();
    if digits.len() > 17 {
        return None;
    }
    let value = digits.iter().fold(0, |n, b| n * 10 + i64::from(b - b'0'));
    Some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(a: &str, b: &str) -> bool {
        let canonical = |text: &str| {
            let mut out = Vec::new();
            canonical_number(text.as_bytes(), &mut out);
            out
        };
        canonical(a) == canonical(b)
    }

    #[test]
    fn equal_decimal_values_are_the_same_number() {
        for (a, b) in [
            ("1", "1.0"),
            ("100", "1e2"),
            ("0.001", "1E-3"),
            ("-0", "0.000"),
            ("0e999999999999999999999", "0"),
            ("120", "1.2e+02"),
            ("1e00000000000000000000001", "10"),
        ] {
            assert!(same(a, b), "{a} {b}");
        }
    }

    #[test]
    fn other_decimal_values_are_other_numbers() {
        for (a, b) in [
            ("9007199254740993", "9007199254740992"),
            ("0.1", "0.10000000000000001"),
            ("1", "-1"),
            ("1", "10"),
            ("1e999999999999999999999", "1e999999999999999999998"),
            ("12", "1.2"),
            ("1e400", "1e401"),
        ] {
            assert!(!same(a, b), "{a} {b}");
        }
    }

    #[test]
    fn strings_are_what_they_stand_for() {
        let text = |token: &str| unescape(token.as_bytes()).into_owned();
        assert_eq!(text(r#""a\/b\n\u00e9""#), "a/b\né".as_bytes());
        assert_eq!(text(r#""\ud83d\ude00""#), "😀".as_bytes());
        assert_eq!(text(r#""😀""#), "😀".as_bytes());
        assert_ne!(text(r#""\ud83d""#), text(r#""\ud83e""#));
        assert_ne!(text(r#""\ud83d""#), text(r#""\ufffd""#));
        assert_eq!(text(r#""\ud83dx""#).len(), 4);
    }
}
