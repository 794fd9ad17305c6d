//! Numbers, shares and times as people read them. Pure.
//!
//! A narrow space stands before units, a minus is a minus, and what is not known is a dash.

use maud::Markup;
use maud::html;

use crate::model::UnixMillis;

/// The narrow space that no line breaks at.
pub(crate) const NARROW: char = '\u{202f}';
/// What stands for an unknown figure.
pub(crate) const DASH: &str = "–";

/// Writes a count with separators: `18,354`.
pub(crate) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Writes a count and the word that fits it: `1 slice`, `2 slices`.
pub(crate) fn plural(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(n), if n == 1 { one } else { many })
}

/// Writes a share, rounded to what matters: `57.7 %`, `0.02 %`.
pub(crate) fn share(ratio: f64) -> String {
    let percent = ratio * 100.0;
    let places = match percent {
        p if p == 0.0 || p >= 100.0 => 0,
        p if p < 1.0 => 2,
        _ => 1,
    };
    format!("{percent:.places$}{NARROW}%")
}

/// Writes a parity: cut, never rounded up, with more places the nearer it is to the whole.
pub(crate) fn parity(ratio: f64) -> String {
    let ratio = ratio.clamp(0.0, 1.0);
    let places = match ratio {
        r if r >= 1.0 => return format!("100{NARROW}%"),
        r if r >= 0.9999 => 3_usize,
        r if r >= 0.99 => 2,
        _ => 1,
    };
    let scale = match places {
        3 => 1e5,
        2 => 1e4,
        _ => 1e3,
    };
    // A hair is added before cutting, so that 0.999 written in binary stays 99.90.
    let cut = (ratio * scale + 1e-6).floor() / scale * 100.0;
    format!("{cut:.places$}{NARROW}%")
}

/// Writes the target as the file would: `99.9 %`.
pub(crate) fn target(ratio: f64) -> String {
    let text = format!("{:.3}", ratio * 100.0);
    format!(
        "{}{NARROW}%",
        text.trim_end_matches('0').trim_end_matches('.')
    )
}

/// Writes a time: `0.42 ms`, `41 ms`, `1.20 s`.
pub(crate) fn seconds(value: f64) -> String {
    let ms = value * 1_000.0;
    match ms {
        ms if ms < 1.0 => format!("{ms:.2}{NARROW}ms"),
        ms if ms < 10.0 => format!("{ms:.1}{NARROW}ms"),
        ms if ms < 1_000.0 => format!("{ms:.0}{NARROW}ms"),
        ms => format!("{:.2}{NARROW}s", ms / 1_000.0),
    }
}

/// Writes a change of a ratio: `+10 %`, `−6 %`.
pub(crate) fn change(ratio: f64) -> String {
    let percent = (ratio - 1.0) * 100.0;
    let size = percent.abs();
    if size < 0.5 {
        return format!("±0{NARROW}%");
    }
    if ratio >= 10.0 {
        return format!("×{ratio:.0}");
    }
    let sign = if percent < 0.0 { '−' } else { '+' };
    format!("{sign}{size:.0}{NARROW}%")
}

/// Writes a size: `1,204 B`, `41 MiB`.
pub(crate) fn bytes(n: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if n < 10_000 {
        return format!("{}{NARROW}B", count(n));
    }
    let mut value = to_f64(n) / 1024.0;
    let mut unit = UNITS[0];
    for next in &UNITS[1..] {
        if value < 1_000.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    let places = usize::from(value < 10.0);
    format!("{value:.places$}{NARROW}{unit}")
}

/// Counts are far below 2^53.
#[expect(clippy::cast_precision_loss, reason = "figures for people")]
pub(crate) fn to_f64(n: u64) -> f64 {
    n as f64
}

/// Writes a span: `42 s`, `4 min`, `4 h 22 min`, `3 days`.
pub(crate) fn span(seconds: u64) -> String {
    match seconds {
        s if s < 90 => format!("{s}{NARROW}s"),
        s if s < 5_400 => format!("{}{NARROW}min", s / 60),
        s if s < 172_800 => format!("{}{NARROW}h {}{NARROW}min", s / 3_600, s / 60 % 60),
        s => format!("{} days", s / 86_400),
    }
}

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// Writes a moment as `<time>`: the time of day, or the day if it is not that of `now`. In UTC.
pub(crate) fn moment(at: UnixMillis, now: UnixMillis) -> Markup {
    let (_, month, day, hour, minute, second, _) = at.civil();
    let (_, now_month, now_day, ..) = now.civil();
    let old = now.since(at).as_secs() >= 86_400 || (month, day) != (now_month, now_day);
    let name = MONTHS
        .get(usize::from(month).saturating_sub(1))
        .copied()
        .unwrap_or("");
    let full = at.to_string();
    html! {
        time datetime=(full) title=(full) {
            @if old { (day) " " (name) " " (format!("{hour:02}:{minute:02}")) }
            @else { (format!("{hour:02}:{minute:02}:{second:02}")) }
        }
    }
}

/// Writes hours and minutes.
pub(crate) fn clock(at: UnixMillis) -> String {
    let (_, _, _, hour, minute, ..) = at.civil();
    format!("{hour:02}:{minute:02}")
}

/// Writes hours, minutes and seconds.
pub(crate) fn clock_seconds(at: UnixMillis) -> String {
    let (_, _, _, hour, minute, second, _) = at.civil();
    format!("{hour:02}:{minute:02}:{second:02}")
}

/// Writes a power of ten: `10²³`.
pub(crate) fn power(exponent: u64) -> String {
    const RAISED: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    let digits = exponent.to_string();
    let raised = digits
        .bytes()
        .filter_map(|digit| RAISED.get(usize::from(digit - b'0')));
    format!("10{}", raised.collect::<String>())
}

/// Returns the last step of a path, for a headline: `total` of `$.order.total`.
pub(crate) fn tail(path: &str) -> &str {
    path.rsplit_once('.')
        .map(|(_, tail)| tail)
        .filter(|tail| !tail.is_empty() && !tail.contains(['"', '{']))
        .unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_as_people_write_them() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_000), "1,000");
        assert_eq!(count(2_974_898), "2,974,898");
        assert_eq!(share(0.577), "57.7\u{202f}%");
        assert_eq!(share(1.0), "100\u{202f}%");
        assert_eq!(share(0.000_2), "0.02\u{202f}%");
        assert_eq!(seconds(0.041), "41\u{202f}ms");
        assert_eq!(seconds(0.000_42), "0.42\u{202f}ms");
        assert_eq!(seconds(1.2), "1.20\u{202f}s");
        assert_eq!(change(1.1), "+10\u{202f}%");
        assert_eq!(change(0.94), "−6\u{202f}%");
        assert_eq!(change(30.0), "×30");
        assert_eq!(bytes(1_204), "1,204\u{202f}B");
        assert_eq!(bytes(41 * 1024 * 1024), "41\u{202f}MiB");
        assert_eq!(target(0.999), "99.9\u{202f}%");
        assert_eq!(span(15_720), "4\u{202f}h 22\u{202f}min");
        assert_eq!(power(83), "10⁸³");
        assert_eq!(tail("$.order.total"), "total");
        assert_eq!(tail("$[*]"), "$[*]");
        assert_eq!(tail("status"), "status");
    }

    #[test]
    fn parity_is_never_rounded_up() {
        assert_eq!(parity(0.999_999_9), "99.999\u{202f}%");
        assert_eq!(parity(0.999), "99.90\u{202f}%");
        assert_eq!(parity(0.998_999), "99.89\u{202f}%");
        assert_eq!(parity(0.861_3), "86.1\u{202f}%");
        assert_eq!(parity(0.0), "0.0\u{202f}%");
        assert_eq!(parity(1.0), "100\u{202f}%");
    }
}
