//! What a byte may be, as one table, and how to run over bytes that may be in a place.

/// May stand in a token (RFC 9110 section 5.6.2).
pub(super) const TOKEN: u8 = 1;
/// May stand in a field's value: visible, a space, a tab, or above ASCII.
pub(super) const VALUE: u8 = 2;
/// May stand in a path that `http::Uri` holds.
pub(super) const PATH: u8 = 4;
/// May stand in a query that `http::Uri` holds.
pub(super) const QUERY: u8 = 8;
/// May stand in the name of a host; no comma, since a list is several hosts, and no percent sign.
pub(super) const HOST: u8 = 16;

const TABLE: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < u8::MAX {
        table[byte as usize] = class(byte);
        byte += 1;
    }
    table[u8::MAX as usize] = class(u8::MAX);
    table
};

const fn class(byte: u8) -> u8 {
    let mut class = 0;
    let word = byte.is_ascii_alphanumeric();
    if word
        || matches!(
            byte,
            b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
        )
    {
        class |= TOKEN;
    }
    if matches!(byte, b'\t' | b' '..=b'~' | 0x80..) {
        class |= VALUE;
    }
    if matches!(byte, b'!'..=b'~' | 0x80..) {
        if !matches!(byte, b'#' | b'<' | b'>' | b'?' | b'`') {
            class |= PATH;
        }
        if !matches!(byte, b'"' | b'#' | b'<' | b'>') {
            class |= QUERY;
        }
    }
    if word
        || matches!(
            byte,
            b'-' | b'.'
                | b'_'
                | b'~'
                | b'!'
                | b'$'
                | b'&'
                | b'\''
                | b'('
                | b')'
                | b'*'
                | b'+'
                | b';'
                | b'='
        )
    {
        class |= HOST;
    }
    class
}

/// Returns whether a byte is of a class.
#[inline]
pub(super) fn is(byte: u8, class: u8) -> bool {
    TABLE[usize::from(byte)] & class != 0
}

/// Returns the first place from `at` on whose byte is not of a class; the length if there is none.
#[inline]
pub(super) fn run(bytes: &[u8], mut at: usize, class: u8) -> usize {
    while let Some(byte) = bytes.get(at)
        && is(*byte, class)
    {
        at += 1;
    }
    at
}

/// Returns the first place from `at` on that cannot be in a field's value. Eight bytes at a time.
#[inline]
pub(super) fn value(bytes: &[u8], mut at: usize) -> usize {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES << 7;
    while let Some((eight, _)) = bytes.get(at..).and_then(<[u8]>::split_first_chunk) {
        let word = u64::from_ne_bytes(*eight);
        let low = word.wrapping_sub(ONES * 0x20) & !word;
        let delete = word ^ (ONES * 0x7f);
        let delete = delete.wrapping_sub(ONES) & !delete;
        if (low | delete) & HIGH != 0 {
            // A tab is one of these and may stay.
            let next = run(bytes, at, VALUE);
            if next < at + 8 {
                return next;
            }
            at = next;
        } else {
            at += 8;
        }
    }
    run(bytes, at, VALUE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_ends_at_the_first_byte_that_cannot_be_in_it_wherever_that_stands() {
        for bad in (0..=255).filter(|b| !is(*b, VALUE)) {
            for at in 0..40 {
                let mut bytes = vec![b'a'; 48];
                bytes[at / 2] = b'\t';
                bytes[40 - at / 2] = 0xe9;
                bytes[at] = bad;
                assert_eq!(value(&bytes, 0), at, "{bad} at {at}");
            }
        }
        for good in (0..=255).filter(|b| is(*b, VALUE)) {
            assert_eq!(value(&[good; 19], 3), 19, "{good}");
        }
    }
}
