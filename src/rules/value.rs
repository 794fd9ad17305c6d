//! Scalars of the file: durations, sizes, shares, rates, counts, names. Pure.
//!
//! Units are mandatory, so that a reader of the file never guesses them.

use crate::model::Share;
use crate::rules::parse::short;
use crate::rules::problem::SECRET;
use crate::rules::problem::code;
use std::path::PathBuf;
use std::time::Duration;

/// What is wrong with a scalar: the code, the message, the hint.
pub(super) type Wrong = (&'static str, String, String);

/// Reads a scalar, or says what to write.
pub(super) type Read<T> = Result<T, Wrong>;

/// How often something may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rate {
    Unlimited,
    PerSecond(u32),
}

impl Rate {
    /// Returns the limit, if there is one.
    pub(super) fn limit(self) -> Option<u32> {
        match self {
            Self::Unlimited => None,
            Self::PerSecond(limit) => Some(limit),
        }
    }
}

/// Splits a number from its unit. The number keeps its decimals as text.
fn split(text: &str) -> Option<(&str, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let good = number.starts_with(|c: char| c.is_ascii_digit()) && !number.ends_with('.');
    good.then(|| (number, unit.trim_start()))
}

/// Reads a decimal number as thousandths.
fn thousandths(number: &str) -> Option<u64> {
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    if part.len() > 3 || part.contains('.') {
        return None;
    }
    let whole: u64 = whole.parse().ok()?;
    let part: u64 = format!("{part:0<3}").parse().ok()?;
    whole.checked_mul(1_000)?.checked_add(part)
}

fn unreadable(text: &str, what: &str) -> Wrong {
    (
        code::NUMBER,
        format!("`{}` is not {what}", short(text)),
        String::new(),
    )
}

fn no_unit(text: &str, hint: String) -> Wrong {
    (code::UNIT, format!("`{}` has no unit", short(text)), hint)
}

/// Reads `300ms`, `5s`, `2m`, `1h`, at most 30 days.
pub(super) fn duration(text: &str) -> Read<Duration> {
    let wrong = || {
        let (code, message, _) = unreadable(text, "a duration");
        (
            code,
            message,
            "write it as `300ms`, `5s`, `2m` or `1h`".to_owned(),
        )
    };
    let (number, unit) = split(text).ok_or_else(wrong)?;
    let micros_each: u64 = match unit {
        "" => return Err(no_unit(text, format!("write `{number}s` or `{number}ms`"))),
        "ms" => 1_000,
        "s" => 1_000_000,
        "m" => 60_000_000,
        "h" => 3_600_000_000,
        _ => return Err(wrong()),
    };
    let micros = thousandths(number)
        .and_then(|n| n.checked_mul(micros_each / 1_000))
        .ok_or_else(wrong)?;
    if micros > 30 * 86_400 * 1_000_000 {
        return Err((
            code::NUMBER,
            format!("`{}` is longer than 30 days", short(text)),
            String::new(),
        ));
    }
    Ok(Duration::from_micros(micros))
}

/// Reads a duration that is at least so long.
pub(super) fn duration_from(text: &str, least: Duration) -> Read<Duration> {
    let read = duration(text)?;
    if read < least {
        let message = format!("`{}` is too short", short(text));
        return Err((code::NUMBER, message, format!("write `{least:?}` at least")));
    }
    Ok(read)
}

/// Reads a duration that is not nothing.
pub(super) fn some_duration(text: &str) -> Read<Duration> {
    duration_from(text, Duration::from_millis(1))
}

/// Reads `512B`, `64KiB`, `1MiB`, `2GiB`.
pub(super) fn size(text: &str) -> Read<u64> {
    let wrong = || {
        let (code, message, _) = unreadable(text, "a size");
        (
            code,
            message,
            "write it as `512B`, `64KiB`, `1MiB` or `2GiB`".to_owned(),
        )
    };
    let (number, unit) = split(text).ok_or_else(wrong)?;
    let each: u64 = match unit {
        "" => {
            return Err(no_unit(
                text,
                format!("write `{number}KiB` or `{number}MiB`"),
            ));
        }
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(wrong()),
    };
    thousandths(number)
        .and_then(|n| n.checked_mul(each))
        .map(|n| n / 1_000)
        .filter(|n| *n <= 1 << 40)
        .ok_or_else(wrong)
}

/// Reads a size within bounds.
pub(super) fn size_within(text: &str, (min, max): (u64, u64)) -> Read<u64> {
    let read = size(text)?;
    if (min..=max).contains(&read) {
        return Ok(read);
    }
    let shown = |bytes: u64| match bytes {
        b if b % (1 << 20) == 0 => format!("{}MiB", b >> 20),
        b if b % (1 << 10) == 0 => format!("{}KiB", b >> 10),
        b => format!("{b}B"),
    };
    Err((
        code::NUMBER,
        format!("`{}` is out of range", short(text)),
        format!("write a size from {} to {}", shown(min), shown(max)),
    ))
}

/// Reads `5%` or `0.25%`.
pub(super) fn share(text: &str) -> Read<Share> {
    let wrong = || {
        let (code, message, _) = unreadable(text, "a share");
        (
            code,
            message,
            "write it as `5%`, from `0%` to `100%`, with at most two decimals".to_owned(),
        )
    };
    let (number, unit) = split(text).ok_or_else(wrong)?;
    match unit {
        "%" => {}
        "" => return Err(no_unit(text, format!("write `{number}%`"))),
        _ => return Err(wrong()),
    }
    let thousandths = thousandths(number)
        .filter(|n| n % 10 == 0)
        .ok_or_else(wrong)?;
    u16::try_from(thousandths / 10)
        .ok()
        .and_then(Share::new)
        .ok_or_else(wrong)
}

/// Reads `50/s`, or `none`.
pub(super) fn rate(text: &str) -> Read<Rate> {
    let wrong = || {
        let (code, message, _) = unreadable(text, "a rate");
        (code, message, "write it as `50/s`, or `none`".to_owned())
    };
    if text == "none" {
        return Ok(Rate::Unlimited);
    }
    let (number, unit) = split(text).ok_or_else(wrong)?;
    match unit {
        "/s" => number.parse().map(Rate::PerSecond).map_err(|_| wrong()),
        "" => Err(no_unit(text, format!("write `{number}/s`"))),
        _ => Err(wrong()),
    }
}

/// Reads a whole number within bounds.
pub(super) fn count(text: &str, min: u64, max: u64) -> Read<u64> {
    text.parse()
        .ok()
        .filter(|n| (min..=max).contains(n))
        .ok_or_else(|| {
            let (code, message, _) = unreadable(text, "a number in range");
            (
                code,
                message,
                format!("write a whole number from {min} to {max}"),
            )
        })
}

/// Reads a whole number within bounds.
pub(super) fn count32(text: &str, min: u32, max: u32) -> Read<u32> {
    count(text, min.into(), max.into()).map(|n| u32::try_from(n).unwrap_or(max))
}

/// Reads a value, or `none`.
pub(super) fn or_none<T>(text: &str, read: impl FnOnce(&str) -> Read<T>) -> Read<Option<T>> {
    if text == "none" {
        return Ok(None);
    }
    read(text).map(Some)
}

/// Reads a share that is not nothing.
pub(super) fn some_share(text: &str) -> Read<Share> {
    match share(text)? {
        Share::NONE => Err((
            code::NUMBER,
            format!("`{}` is nothing", short(text)),
            "write a share above `0%`".to_owned(),
        )),
        share => Ok(share),
    }
}

/// Reads `true` or `false`.
pub(super) fn flag(text: &str) -> Read<bool> {
    match text {
        "true" => return Ok(true),
        "false" => return Ok(false),
        _ => {}
    }
    let hint = match text.to_ascii_lowercase().as_str() {
        "yes" | "on" | "1" | "true" => "write `true`",
        "no" | "off" | "0" | "false" => "write `false`",
        _ => "write `true` or `false`",
    };
    Err((
        code::WORD,
        format!("`{}` is neither `true` nor `false`", short(text)),
        hint.to_owned(),
    ))
}

/// Returns whether a text is what a file holds, and not its path.
pub(super) fn is_content(text: &str) -> bool {
    text.contains(SECRET) || text.contains('\n')
}

/// Reads the path of a file.
pub(super) fn file(text: &str) -> Read<PathBuf> {
    let wrong = |message: &str, hint: &str| Err((code::FILE, message.to_owned(), hint.to_owned()));
    if text.trim().is_empty() {
        return wrong("the path is empty", "write the path of the file");
    }
    if is_content(text) {
        return wrong(
            "this is what a file holds, not its path",
            "put it into a file of its own, and write the path of that",
        );
    }
    if text.contains('\0') || text.ends_with('/') {
        return wrong(
            "this is not the path of a file",
            "write the path of the file",
        );
    }
    Ok(PathBuf::from(text))
}

/// Reads a name of a slice, a backend, a cohort, a group or a token.
pub(super) fn name(text: &str) -> Read<&str> {
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    if !text.is_empty() && text.len() <= 64 && text.bytes().all(good) && !text.starts_with('_') {
        return Ok(text);
    }
    let mended: String = text
        .to_ascii_lowercase()
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '_' {
                c
            } else {
                '-'
            }
        })
        .take(64)
        .collect();
    let mended = mended.trim_start_matches('_');
    let hint = if mended.bytes().any(|b| b.is_ascii_alphanumeric()) {
        format!("write `{mended}`; names have a to z, 0 to 9, `-` and `_`, at most 64")
    } else {
        "names have a to z, 0 to 9, `-` and `_`, at most 64, and do not start with `_`".to_owned()
    };
    Err((code::NAME, format!("`{}` is not a name", short(text)), hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_read_exactly() {
        assert_eq!(duration("300ms"), Ok(Duration::from_millis(300)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1_500)));
        assert_eq!(duration("2m"), Ok(Duration::from_mins(2)));
        assert_eq!(duration("0s"), Ok(Duration::ZERO));
        assert_eq!(size("64KiB"), Ok(65_536));
        assert_eq!(size("0.5MiB"), Ok(524_288));
        assert_eq!(share("0.25%").map(Share::hundredths), Ok(25));
        assert_eq!(share("100%"), Ok(Share::ALL));
        assert_eq!(rate("50/s"), Ok(Rate::PerSecond(50)));
        assert_eq!(rate("none"), Ok(Rate::Unlimited));
        assert_eq!(count("8", 1, 10), Ok(8));
    }

    #[test]
    fn a_number_without_its_unit_is_told_which_to_write() {
        for (wrong, hint) in [
            (duration("5").unwrap_err(), "write `5s` or `5ms`"),
            (size("64").unwrap_err(), "write `64KiB` or `64MiB`"),
            (share("5").unwrap_err(), "write `5%`"),
            (rate("5").unwrap_err(), "write `5/s`"),
        ] {
            assert_eq!((wrong.0, wrong.2.as_str()), (code::UNIT, hint));
        }
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in [
            "",
            "-1s",
            "s",
            "1.2345s",
            "1.s",
            "99999999999999999999s",
            "1 week",
            "5S",
            "1e3s",
            "1..2s",
            "1000h",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
        for text in ["", "101%", "0.001%", "5 %%", "-5%", "100.01%"] {
            assert!(share(text).is_err(), "{text}");
        }
        for text in ["1KB", "9999999GiB", ""] {
            assert!(size(text).is_err(), "{text}");
        }
        assert!(rate("1.5/s").is_err() && rate("5/m").is_err());
        assert!(count("11", 1, 10).is_err() && count("-1", 0, 10).is_err());
    }

    #[test]
    fn bounds_are_told_where_they_are_passed() {
        assert_eq!(some_duration("0s").unwrap_err().2, "write `1ms` at least");
        assert_eq!(some_duration("1ms"), Ok(Duration::from_millis(1)));
        assert_eq!(
            size_within("1GiB", (256, 1 << 20)).unwrap_err().2,
            "write a size from 256B to 1MiB"
        );
        assert_eq!(size_within("1KiB", (1 << 10, 1 << 20)), Ok(1_024));
        assert_eq!(or_none("none", share), Ok(None));
        assert!(or_none("nothing", share).is_err());
        assert_eq!(some_share("0%").unwrap_err().0, code::NUMBER);
    }

    #[test]
    fn flags_are_true_or_false_and_nothing_else() {
        assert_eq!((flag("true"), flag("false")), (Ok(true), Ok(false)));
        for (text, hint) in [
            ("yes", "write `true`"),
            ("Off", "write `false`"),
            ("x", "write `true` or `false`"),
        ] {
            assert_eq!(flag(text).unwrap_err().2, hint);
        }
    }

    #[test]
    fn a_path_is_a_path_and_no_secret_is_shown() {
        assert_eq!(file("tls/a.pem"), Ok(PathBuf::from("tls/a.pem")));
        for text in [
            "",
            "  ",
            "tls/",
            "a\0b",
            "-----BEGIN PRIVATE KEY-----\nMIIE",
        ] {
            let (code, message, hint) = file(text).unwrap_err();
            assert_eq!(code, code::FILE);
            assert!(!message.contains("MIIE") && !hint.contains("MIIE"));
        }
    }

    #[test]
    fn names_are_mended_in_the_hint() {
        assert_eq!(name("orders-2"), Ok("orders-2"));
        for text in ["Orders", "_x", "", "a b", "ä"] {
            assert!(name(text).is_err(), "{text}");
        }
        assert!(name("Order Items").unwrap_err().2.contains("`order-items`"));
        assert!(name(&"x".repeat(65)).is_err());
    }
}
