//! A pull tokenizer over JSON text that borrows everything. Pure.
//!
//! It checks the grammar of RFC 8259 as it goes, keeps no tree, and is `Copy`: a copy of it is a
//! place to come back to. Strings are found, not decoded; numbers stay text.

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Null,
    False,
    True,
    Number,
    String,
    Key,
    ArrayOpen,
    ArrayClose,
    ObjectOpen,
    ObjectClose,
    End,
}

/// A token and where it stands; strings and keys with their quotes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// Why a text cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// It is not JSON.
    Syntax,
    /// It is over the limit for depth or for values.
    Complex,
}

/// What the grammar allows next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Value,
    ValueOrClose,
    KeyOrClose,
    CommaOrClose,
    End,
}

/// Where a walk over one text stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tokens<'a> {
    text: &'a [u8],
    at: usize,
    /// One bit for each open container, the innermost lowest: set for an object.
    objects: u128,
    depth: u32,
    depth_max: u32,
    nodes_left: u32,
    next: Next,
}

impl<'a> Tokens<'a> {
    /// Begins a text that is valid UTF-8.
    pub(crate) fn new(text: &'a [u8], depth_max: u32, nodes_max: u32) -> Self {
        Self {
            text,
            at: 0,
            objects: 0,
            depth: 0,
            depth_max: depth_max.min(u128::BITS),
            nodes_left: nodes_max,
            next: Next::Value,
        }
    }

    /// Returns the bytes of a token.
    pub(crate) fn slice(&self, token: Token) -> &'a [u8] {
        self.text.get(token.start..token.end).unwrap_or_default()
    }

    /// Returns the whole text.
    pub(crate) fn text(&self) -> &'a [u8] {
        self.text
    }

    /// Returns how many bytes were taken.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// Returns the bytes that are left.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Takes the same bytes that another walk took between `before` and `after`, without reading
    /// them; both walks are in step, and one byte more than was taken is equal. Returns the token.
    pub(crate) fn follow(
        &mut self,
        before: &Self,
        after: &Self,
        token: Token,
    ) -> Result<Token, Broken> {
        let (start, end) = (token.start - before.at, token.end - before.at);
        let at = self.at;
        self.at += after.at - before.at;
        self.objects = after.objects;
        self.depth = after.depth;
        self.next = after.next;
        // Values are counted by each side for itself.
        let values = before.nodes_left - after.nodes_left;
        self.nodes_left = self.nodes_left.checked_sub(values).ok_or(Broken::Complex)?;
        Ok(Token {
            kind: token.kind,
            start: at + start,
            end: at + end,
        })
    }

    /// Returns the next token; [`Kind::End`] once the one value and the space after it are over.
    pub(crate) fn pull(&mut self) -> Result<Token, Broken> {
        let byte = self.peek();
        match (self.next, byte) {
            (Next::ValueOrClose, Some(b']')) | (Next::KeyOrClose, Some(b'}')) => Ok(self.close()),
            (Next::Value | Next::ValueOrClose, Some(byte)) => self.value(byte),
            (Next::KeyOrClose, Some(b'"')) => self.key(),
            (Next::CommaOrClose, Some(b',')) => {
                self.at += 1;
                match (self.in_object(), self.peek()) {
                    (true, Some(b'"')) => self.key(),
                    (false, Some(byte)) => self.value(byte),
                    _ => Err(Broken::Syntax),
                }
            }
            (Next::CommaOrClose, Some(b'}')) if self.in_object() => Ok(self.close()),
            (Next::CommaOrClose, Some(b']')) if !self.in_object() => Ok(self.close()),
            (Next::End, None) => Ok(self.token(Kind::End, self.at)),
            _ => Err(Broken::Syntax),
        }
    }

    fn in_object(&self) -> bool {
        self.objects & 1 == 1
    }

    /// Skips space and returns the byte after it.
    #[inline]
    fn peek(&mut self) -> Option<u8> {
        loop {
            match self.text.get(self.at) {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                other => return other.copied(),
            }
        }
    }

    fn token(&self, kind: Kind, start: usize) -> Token {
        Token {
            kind,
            start,
            end: self.at,
        }
    }

    fn value(&mut self, byte: u8) -> Result<Token, Broken> {
        self.nodes_left = self.nodes_left.checked_sub(1).ok_or(Broken::Complex)?;
        let start = self.at;
        let kind = match byte {
            b'"' => {
                self.at = string_end(self.text, start + 1).ok_or(Broken::Syntax)?;
                Kind::String
            }
            b'{' => return self.open(Kind::ObjectOpen),
            b'[' => return self.open(Kind::ArrayOpen),
            b't' => self.word(b"true", Kind::True)?,
            b'f' => self.word(b"false", Kind::False)?,
            b'n' => self.word(b"null", Kind::Null)?,
            b'-' | b'0'..=b'9' => {
                self.at = number_end(self.text, start).ok_or(Broken::Syntax)?;
                Kind::Number
            }
            _ => return Err(Broken::Syntax),
        };
        self.after_value();
        Ok(self.token(kind, start))
    }

    fn after_value(&mut self) {
        self.next = match self.depth {
            0 => Next::End,
            _ => Next::CommaOrClose,
        };
    }

    fn word(&mut self, word: &[u8], kind: Kind) -> Result<Kind, Broken> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        if !rest.starts_with(word) {
            return Err(Broken::Syntax);
        }
        self.at += word.len();
        Ok(kind)
    }

    fn open(&mut self, kind: Kind) -> Result<Token, Broken> {
        if self.depth >= self.depth_max {
            return Err(Broken::Complex);
        }
        let object = kind == Kind::ObjectOpen;
        self.objects = (self.objects << 1) | u128::from(object);
        self.depth += 1;
        self.at += 1;
        self.next = if object {
            Next::KeyOrClose
        } else {
            Next::ValueOrClose
        };
        Ok(self.token(kind, self.at - 1))
    }

    fn close(&mut self) -> Token {
        let kind = if self.in_object() {
            Kind::ObjectClose
        } else {
            Kind::ArrayClose
        };
        self.objects >>= 1;
        self.depth -= 1;
        self.at += 1;
        self.after_value();
        self.token(kind, self.at - 1)
    }

    fn key(&mut self) -> Result<Token, Broken> {
        let start = self.at;
        self.at = string_end(self.text, start + 1).ok_or(Broken::Syntax)?;
        let token = self.token(Kind::Key, start);
        if self.peek() != Some(b':') {
            return Err(Broken::Syntax);
        }
        self.at += 1;
        self.next = Next::Value;
        Ok(token)
    }
}

/// Returns the place after the closing quote; `at` is the place after the opening one.
fn string_end(text: &[u8], mut at: usize) -> Option<usize> {
    loop {
        while let Some(chunk) = text.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
            match special(u64::from_le_bytes(*chunk)) {
                8 => at += 8,
                offset => {
                    at += offset;
                    break;
                }
            }
        }
        match text.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => match text.get(at + 1)? {
                b'u' => {
                    let digits = text.get(at + 2..at + 6)?;
                    if !digits.iter().all(u8::is_ascii_hexdigit) {
                        return None;
                    }
                    at += 6;
                }
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => at += 2,
                _ => return None,
            },
            0..=0x1f => return None,
            _ => at += 1,
        }
    }
}

/// Returns the place of the first quote, backslash or control byte among eight, or 8.
///
/// Bytes are tested all at once, as in Mycroft's test for a zero byte: a false hit can only stand
/// above a true one, so the lowest is true.
fn special(word: u64) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let zero = |w: u64| w.wrapping_sub(ONES) & !w & HIGH;
    let quote = zero(word ^ (ONES * 0x22));
    let backslash = zero(word ^ (ONES * 0x5c));
    let control = word.wrapping_sub(ONES * 0x20) & !word & HIGH;
    (quote | backslash | control).trailing_zeros() as usize / 8
}

fn number_end(text: &[u8], mut at: usize) -> Option<usize> {
    let digits = |mut at: usize| {
        let start = at;
        while text.get(at).is_some_and(u8::is_ascii_digit) {
            at += 1;
        }
        (at > start).then_some(at)
    };
    if text.get(at) == Some(&b'-') {
        at += 1;
    }
    at = match text.get(at) {
        Some(b'0') => at + 1,
        _ => digits(at)?,
    };
    if text.get(at) == Some(&b'.') {
        at = digits(at + 1)?;
    }
    if let Some(b'e' | b'E') = text.get(at) {
        at += 1;
        if let Some(b'+' | b'-') = text.get(at) {
            at += 1;
        }
        at = digits(at)?;
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(text: &[u8]) -> Result<usize, Broken> {
        let mut tokens = Tokens::new(text, 128, 200_000);
        let mut count = 0;
        while tokens.pull()?.kind != Kind::End {
            count += 1;
        }
        Ok(count)
    }

    #[test]
    fn texts_that_are_json_are_read_to_their_end() {
        for (text, tokens) in [
            ("null", 1),
            (" [ ] ", 2),
            ("{}", 2),
            ("{\"a\":1,\"a\":[true,false]}", 9),
            ("\"\\u00e9\\ud800 \\\" é\"", 1),
            ("-0.5e+10", 1),
        ] {
            assert_eq!(check(text.as_bytes()), Ok(tokens), "{text}");
        }
    }

    #[test]
    fn texts_that_are_not_json_are_refused() {
        for text in [
            "",
            " ",
            "nul",
            "[1,]",
            "{\"a\"}",
            "{\"a\":}",
            "{a:1}",
            "[1 2]",
            "01",
            "1.",
            "-",
            "1e",
            "+1",
            "\"\\x\"",
            "\"\\u12g4\"",
            "\"a\nb\"",
            "\"a",
            "[1}",
            "{\"a\":1]",
            "1 1",
            "{,}",
            "[,1]",
            "NaN",
            "{\"a\":1,}",
            ".5",
            "'a'",
            "]",
        ] {
            assert_eq!(check(text.as_bytes()), Err(Broken::Syntax), "{text}");
        }
    }

    #[test]
    fn depth_and_values_are_bounded() {
        let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert_eq!(check(nested(128).as_bytes()), Ok(256));
        assert_eq!(check(nested(129).as_bytes()), Err(Broken::Complex));
        assert_eq!(check(nested(100_000).as_bytes()), Err(Broken::Complex));
        let flat = |n: usize| format!("[0{}]", ",0".repeat(n - 2));
        assert!(check(flat(200_000).as_bytes()).is_ok());
        assert_eq!(check(flat(200_001).as_bytes()), Err(Broken::Complex));
    }

    proptest! {
        #[test]
        fn it_accepts_what_a_reader_of_json_accepts(text in r#"[\[\]{},:"\\a0-9.eE+tru n-]{0,24}"#) {
            let known = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
            prop_assert_eq!(check(text.as_bytes()).is_ok(), known);
        }

        #[test]
        fn the_first_special_byte_is_found(bytes: [u8; 8]) {
            let slow = bytes.iter().position(|b| *b < 0x20 || *b == b'"' || *b == b'\\').unwrap_or(8);
            prop_assert_eq!(special(u64::from_le_bytes(bytes)), slow);
        }
    }
}
