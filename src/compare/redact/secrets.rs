//! Finding secrets in text. Pure.
//!
//! E-mail addresses, card and account numbers by their check digits, tokens by their form, and
//! values behind a name that says so. What is taken too much costs a reader a word; what is taken
//! too little cannot be taken back.

use crate::compare::redact::RedactKey;
use crate::compare::redact::names::is_secret_name;
use std::borrow::Cow;

type Span = (usize, usize);

/// Beginnings of tokens that their makers marked.
const MARKS: [&str; 14] = [
    "eyJ",
    "sk_",
    "pk_",
    "rk_",
    "sk-",
    "ghp_",
    "gho_",
    "ghs_",
    "github_pat_",
    "glpat-",
    "xox",
    "AKIA",
    "ASIA",
    "AIza",
];

/// Bytes that a marked token has at least.
const MARKED_BYTES: usize = 16;

/// Returns whether a name, or a segment of a path, is itself a secret.
pub(crate) fn looks_secret(name: &str) -> bool {
    // The shortest card numbers have 13 digits.
    if name.len() < 13 && !name.contains('@') {
        return false;
    }
    let mut spans = Vec::new();
    forms(name.as_bytes(), &mut spans);
    !spans.is_empty()
}

/// Returns `text` with tokens in place of secrets.
pub(crate) fn scrub<'t>(text: &'t str, key: &RedactKey) -> Cow<'t, str> {
    scrub_from(text, 0, usize::MAX, key)
}

/// Returns `text` from `from` on, with tokens in place of secrets. All of the text is looked at;
/// what is written stops somewhere after `max` bytes.
pub(crate) fn scrub_from<'t>(
    text: &'t str,
    from: usize,
    max: usize,
    key: &RedactKey,
) -> Cow<'t, str> {
    let mut spans = Vec::new();
    forms(text.as_bytes(), &mut spans);
    named(text.as_bytes(), &mut spans);
    let from = text.floor_char_boundary(from);
    spans.retain(|span| span.1 > from);
    if spans.is_empty() {
        return Cow::Borrowed(text.get(from..).unwrap_or_default());
    }
    spans.sort_unstable();
    let mut out = String::with_capacity(text.len() - from);
    let mut at = from;
    let mut spans = spans.into_iter().peekable();
    while let Some((start, mut end)) = spans.next() {
        while let Some(next) = spans.next_if(|next| next.0 < end) {
            end = end.max(next.1);
        }
        out.push_str(text.get(at..start.max(at)).unwrap_or_default());
        out.push_str(&key.token(text.as_bytes().get(start..end).unwrap_or_default()));
        at = end;
        if out.len() > max {
            return Cow::Owned(out);
        }
    }
    out.push_str(text.get(at..).unwrap_or_default());
    Cow::Owned(out)
}

/// Returns whether a JSON number is a card number.
pub(crate) fn is_card(digits: &[u8]) -> bool {
    (13..=19).contains(&digits.len())
        && digits.iter().all(u8::is_ascii_digit)
        // The first digit of payment cards; most timestamps in milliseconds begin with 1.
        && matches!(digits.first(), Some(b'2'..=b'6'))
        && luhn(digits)
}

fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(i, b)| match (i % 2, u32::from(b - b'0')) {
            (0, digit) => digit,
            (_, digit) => digit * 2 / 10 + digit * 2 % 10,
        })
        .sum();
    sum.is_multiple_of(10)
}

/// Adds what is a secret by its form.
fn forms(text: &[u8], spans: &mut Vec<Span>) {
    emails(text, spans);
    userinfo(text, spans);
    cards(text, spans);
    runs(text, spans);
}

fn emails(text: &[u8], spans: &mut Vec<Span>) {
    let local = |b: &u8| b.is_ascii_alphanumeric() || b".!#$%*+-_~".contains(b) || !b.is_ascii();
    let domain = |b: &u8| b.is_ascii_alphanumeric() || b".-".contains(b) || !b.is_ascii();
    let mut from = 0;
    while let Some((at, wide)) = at_sign(text, from) {
        let before = text.get(from..at).unwrap_or_default();
        let after = text.get(at + wide..).unwrap_or_default();
        let left = before
            .iter()
            .rev()
            .take(320)
            .take_while(|b| local(b))
            .count();
        let right = after.iter().take_while(|b| domain(b)).count();
        let host = after.get(..right).unwrap_or_default();
        let dotted = host.iter().skip(1).any(|b| *b == b'.');
        if left > 0 && dotted {
            spans.push((at - left, at + wide + right));
        }
        from = at + wide;
    }
}

/// Returns the next `@`, or `%40`, and its width.
fn at_sign(text: &[u8], from: usize) -> Option<(usize, usize)> {
    let rest = text.get(from..)?;
    let at = rest
        .iter()
        .enumerate()
        .position(|(i, b)| *b == b'@' || (*b == b'%' && rest.get(i + 1..i + 3) == Some(b"40")))?;
    let wide = if rest.get(at) == Some(&b'@') { 1 } else { 3 };
    Some((from + at, wide))
}

/// Adds `user:password` of URLs.
fn userinfo(text: &[u8], spans: &mut Vec<Span>) {
    for (at, _) in text.windows(3).enumerate().filter(|(_, w)| *w == b"://") {
        let start = at + 3;
        let authority = text.get(start..).unwrap_or_default();
        let end = authority
            .iter()
            .position(|b| b"/?# \t\r\n\"'<>".contains(b))
            .unwrap_or(authority.len());
        let authority = authority.get(..end).unwrap_or_default();
        match authority.iter().rposition(|b| *b == b'@') {
            Some(len) if len > 0 => spans.push((start, start + len)),
            _ => {}
        }
    }
}

/// Adds card numbers, with single spaces or hyphens between their digits, and IBANs.
fn cards(text: &[u8], spans: &mut Vec<Span>) {
    let mut at = 0;
    while at < text.len() {
        let word = at == 0 || !text.get(at - 1).is_some_and(u8::is_ascii_alphanumeric);
        let found = match text.get(at) {
            Some(b'0'..=b'9') if word => card(text, at),
            Some(b'A'..=b'Z') if word => iban(text, at),
            _ => None,
        };
        match found {
            Some(end) => {
                spans.push((at, end));
                at = end;
            }
            None => at += 1,
        }
    }
}

/// Takes the characters of a number written in groups: the number, and where it ends.
fn grouped(text: &[u8], start: usize, max: usize, fits: fn(&u8) -> bool) -> (Vec<u8>, usize) {
    let mut number = Vec::new();
    let mut end = start;
    let mut at = start;
    while let Some(byte) = text.get(at) {
        if fits(byte) {
            number.push(*byte);
            end = at + 1;
        } else if !(b" -".contains(byte) && text.get(at + 1).is_some_and(fits)) {
            break;
        }
        at += 1;
        if number.len() > max {
            break;
        }
    }
    (number, end)
}

fn card(text: &[u8], start: usize) -> Option<usize> {
    let (number, end) = grouped(text, start, 19, u8::is_ascii_digit);
    let whole = !text.get(end).is_some_and(u8::is_ascii_alphanumeric);
    (whole && is_card(&number)).then_some(end)
}

/// ISO 13616: two letters, two check digits, up to 30 characters; mod 97 is 1.
fn iban(text: &[u8], start: usize) -> Option<usize> {
    let head = text.get(start..start + 4)?;
    let [b'A'..=b'Z', b'A'..=b'Z', b'0'..=b'9', b'0'..=b'9'] = head else {
        return None;
    };
    let fits = |b: &u8| b.is_ascii_uppercase() || b.is_ascii_digit();
    let (number, end) = grouped(text, start, 34, fits);
    let whole = !text.get(end).is_some_and(u8::is_ascii_alphanumeric);
    if !whole || !(15..=34).contains(&number.len()) {
        return None;
    }
    let turned = number.iter().skip(4).chain(number.iter().take(4));
    let rest = turned.fold(0, |rest: u32, b| match b {
        b'0'..=b'9' => (rest * 10 + u32::from(b - b'0')) % 97,
        b => (rest * 100 + u32::from(b - b'A') + 10) % 97,
    });
    (rest == 1).then_some(end)
}

/// Adds tokens that are known by their form: marked by their maker, or long and random.
fn runs(text: &[u8], spans: &mut Vec<Span>) {
    let in_run = |b: &u8| b.is_ascii_alphanumeric() || b"_-+=".contains(b);
    let mut at = 0;
    while at < text.len() {
        let rest = text.get(at..).unwrap_or_default();
        let len = rest.iter().take_while(|b| in_run(b)).count();
        let run = rest.get(..len).unwrap_or_default();
        if is_marked(run) {
            // The parts of a JWT are joined by dots.
            let more = |b: &u8| in_run(b) || *b == b'.';
            let len = rest.iter().take_while(|b| more(b)).count();
            spans.push((at, at + len));
            at += len;
            continue;
        }
        if is_random(run) {
            spans.push((at, at + len));
        } else {
            let mut start = at;
            for part in run.split(|b| b"_-=+".contains(b)) {
                if is_marked(part) || is_random(part) {
                    spans.push((start, start + part.len()));
                }
                start += part.len() + 1;
            }
        }
        at += len.max(1);
    }
}

fn is_marked(run: &[u8]) -> bool {
    run.len() >= MARKED_BYTES && MARKS.iter().any(|mark| run.starts_with(mark.as_bytes()))
}

fn is_random(run: &[u8]) -> bool {
    if run.len() < 20 {
        return false;
    }
    let count = |fits: fn(&u8) -> bool| run.iter().filter(|b| fits(b)).count();
    let (digits, upper) = (count(u8::is_ascii_digit), count(u8::is_ascii_uppercase));
    let lower = count(u8::is_ascii_lowercase);
    let alone = digits + upper + lower == run.len();
    let groups = run
        .split(|b| !b.is_ascii_digit())
        .filter(|group| !group.is_empty())
        .count();
    let mixed = upper > 1 && lower > 1;
    if alone {
        let hex = run.len() >= 32 && run.iter().all(u8::is_ascii_hexdigit) && digits < run.len();
        return hex
            || (mixed && digits > 0)
            || (run.len() >= 24 && groups >= 3 && upper + lower > 3);
    }
    let padded = run.ends_with(b"=") && upper + lower + digits + 2 >= run.len() && mixed;
    padded || (run.len() >= 24 && groups >= 3 && mixed)
}

/// Adds values behind a name that says they are secret: `token=…`, `"token": "…"`, `<token>…`,
/// `Bearer …`.
fn named(text: &[u8], spans: &mut Vec<Span>) {
    // Everything up to here is taken already, so that a row of names is looked through once.
    let (mut taken, mut line_taken) = (0, 0);
    for (at, byte) in text.iter().enumerate() {
        if !b"=:> ".contains(byte) {
            continue;
        }
        // A name stands right before its sign, or a few blanks away.
        let before = text.get(at.saturating_sub(128)..at).unwrap_or_default();
        let before = before.trim_ascii_end();
        let quoted = before
            .strip_suffix(b"\"")
            .or_else(|| before.strip_suffix(b"'"));
        let before = quoted.unwrap_or(before);
        let wide = before.iter().rev().take(64);
        let len = wide
            .take_while(|b| b.is_ascii_alphanumeric() || b"_-".contains(b))
            .count();
        let (lead, name) = before.split_at(before.len() - len);
        let name = String::from_utf8_lossy(name);
        let scheme = ["bearer", "basic", "digest"]
            .iter()
            .any(|s| name.eq_ignore_ascii_case(s));
        let fits = match byte {
            b'>' => lead.ends_with(b"<") && is_secret_name(&name),
            b' ' => scheme,
            _ => is_secret_name(&name),
        };
        let line = is_line(&name);
        let covered = if line {
            line_taken
        } else {
            line_taken.max(taken)
        };
        if fits
            && at + 1 >= covered
            && let Some(span) = value(text, at + 1, line)
        {
            *(if line { &mut line_taken } else { &mut taken }) = span.1;
            spans.push(span);
        }
    }
}

/// Returns whether the value of a name goes on after a space.
fn is_line(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.ends_with("authorization") || name.ends_with("cookie")
}

/// Returns where the value behind a name stands.
fn value(text: &[u8], at: usize, line: bool) -> Option<Span> {
    let rest = text.get(at..)?;
    let start = rest.iter().position(|b| !b" \t\"'".contains(b))?;
    let rest = rest.get(start..)?;
    let ends = if line {
        &b"\r\n\"<"[..]
    } else {
        &b" \t\r\n\"'<>&;,)}]"[..]
    };
    let len = rest
        .iter()
        .position(|b| ends.contains(b))
        .unwrap_or(rest.len());
    let word = matches!(rest.get(..len)?, b"true" | b"false" | b"null" | b"{" | b"[");
    (len > 0 && !word).then_some((at + start, at + start + len))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scrubbed(text: &str) -> String {
        scrub(text, &RedactKey::new([0; 32])).into_owned()
    }

    #[test]
    fn rows_of_names_and_blanks_hide_nothing_and_cost_little() {
        for row in [
            "token=",
            "cookie: ",
            "%40",
            " ",
            "password=\"",
            "token=cookie=",
        ] {
            let text = format!("{}hunter2", row.repeat(70_000 / row.len()));
            let started = tokio::time::Instant::now();
            let out = scrubbed(&text);
            assert!(started.elapsed().as_secs() < 5, "{row:?}");
            let named = row.contains(['=', ':']);
            assert!(!named || !out.contains("hunter2"), "{row:?}");
        }
        for text in [
            "token=password=\"hunter2\"",
            "cookie=token=\"hunter2\"",
            "token=a password: hunter2",
            "token=a;secret=hunter2",
            "\"password\"    :   \"hunter2\"",
        ] {
            assert!(!scrubbed(text).contains("hunter2"), "{text}");
        }
    }
}
