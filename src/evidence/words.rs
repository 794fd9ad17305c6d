//! The sentences that figures are said in. Pure.

use crate::evidence::parity::floor;
use crate::evidence::parity::real;
use crate::evidence::summary::KeyCounts;
use crate::evidence::summary::KeyView;
use crate::evidence::summary::Latency;
use crate::evidence::summary::Parity;
use crate::evidence::summary::Verdict;
use crate::model::FieldKey;
use crate::model::Kind;
use crate::model::UnixMillis;
use std::fmt::Write;

/// Writes a count with commas, `4,741`.
pub(super) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Writes a share that is a lower bound, rounded down so that it never says more than is known.
pub(super) fn at_least(share: f64) -> String {
    let decimals: u32 = match share {
        s if s < 0.9 => 1,
        s if s < 0.9999 => 2,
        s if s < 0.99999 => 3,
        _ => 4,
    };
    let unit = 10u64.pow(decimals);
    // A hair upward, or 0.9993 would read 99.92 %.
    let parts = floor(share.clamp(0.0, 1.0) * 100.0 * real(unit) + 1e-7);
    let width = usize::try_from(decimals).unwrap_or(2);
    format!("{}.{:0width$} %", parts / unit, parts % unit)
}

/// Writes a share, `41 %`, `0.4 %`; never 0 or 100 % where it is not.
pub(super) fn share(share: f64) -> String {
    let percent = share * 100.0;
    if share <= 0.0 {
        "0 %".to_owned()
    } else if share >= 1.0 {
        "100 %".to_owned()
    } else if percent < 0.01 {
        "under 0.01 %".to_owned()
    } else if percent > 99.99 {
        "over 99.99 %".to_owned()
    } else if !(0.1..=99.9).contains(&percent) {
        format!("{percent:.2} %")
    } else if !(10.0..=99.0).contains(&percent) {
        format!("{percent:.1} %")
    } else {
        format!("{percent:.0} %")
    }
}

/// Writes a time of day in UTC, `09:40`.
fn clock(at: UnixMillis) -> String {
    let (_, _, _, hour, minute, _, _) = at.civil();
    format!("{hour:02}:{minute:02} UTC")
}

/// Writes a span, `42 minutes`.
fn span(seconds: f64) -> String {
    let (number, unit) = match seconds {
        s if s < 90.0 => (s.ceil(), "second"),
        s if s < 5_400.0 => ((s / 60.0).ceil(), "minute"),
        s if s < 172_800.0 => ((s / 3_600.0).ceil(), "hour"),
        s if s < 86_400.0 * 730.0 => ((s / 86_400.0).ceil(), "day"),
        _ => return "more than two years".to_owned(),
    };
    let number = floor(number).max(1);
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {unit}{plural}", count(number))
}

/// Says what is known of parity; `what` names the requests, as in `comparable GET and HEAD
/// requests (41 % of this slice's traffic)`.
pub fn parity(parity: &Parity, what: &str, per_second: Option<f64>) -> String {
    if parity.n == 0 {
        return "Nothing was compared yet.".to_owned();
    }
    if parity.f == 0
        && parity.lower < parity.target
        && let Some(needed) = parity.needed
    {
        let mut text = format!(
            "{} clean comparisons are needed, {} so far",
            count(parity.n.saturating_add(needed)),
            count(parity.n)
        );
        if let Some(rate) = per_second.filter(|&rate| rate > 0.0) {
            let eta = span(real(needed) / rate);
            let said = write!(text, "; at today's traffic that is {eta}");
            debug_assert!(said.is_ok(), "a string takes everything");
        }
        text.push('.');
        return text;
    }
    format!(
        "At least {} of the {what} get the same answer from the candidate (95 % sure, however \
         often you look).",
        at_least(parity.lower)
    )
}

/// Says what is known of legacy's parity with itself.
pub(super) fn legacy_self(parity: &Parity) -> String {
    if parity.n == 0 {
        return "Legacy was not asked twice yet.".to_owned();
    }
    let equal = parity.n - parity.f.min(parity.n);
    let mut text = format!(
        "Legacy agrees with itself in {} of {} control pairs, known noise aside",
        count(equal),
        count(parity.n)
    );
    if parity.upper < parity.target {
        text.push_str(
            "; that is less than the target, which the candidate can not reach before legacy's \
             noise is known or ignored",
        );
    }
    text.push('.');
    text
}

/// Says that there are too many sets to know parity.
pub(super) fn learning() -> String {
    "Parity is not known yet: learning noise. Counting begins anew once it is told apart."
        .to_owned()
}

/// Says how much slower or faster the candidate is.
pub(super) fn latency(latency: &Latency, from: u64) -> String {
    let Some(ratio) = latency.ratio else {
        return match latency.pairs {
            0 => "No latency pairs yet.".to_owned(),
            n => format!("Not known yet: {n} of {from} latency pairs."),
        };
    };
    let percent = |r: f64| match (r - 1.0) * 100.0 {
        p if p > 99_999.0 => "over 99,999 %".to_owned(),
        p => format!("{:.0} %", p.abs()),
    };
    let word = |r: f64| if r < 1.0 { "faster" } else { "slower" };
    let (low, high) = (ratio.lower, ratio.upper);
    let same = (ratio.value - 1.0).abs() < 0.005;
    let band = if (low < 1.0) == (high < 1.0) {
        let (near, far) = if low < 1.0 { (high, low) } else { (low, high) };
        format!("between {} and {}", percent(near), percent(far))
    } else {
        let (low, high) = (percent(low), percent(high));
        format!("between {low} faster and {high} slower")
    };
    let how = if same {
        "as fast".to_owned()
    } else {
        format!("{} {}", percent(ratio.value), word(ratio.value))
    };
    format!("On the same requests the candidate is {how} at the median ({band}).")
}

/// Says what is different at a key, without its name.
fn how(key: &FieldKey, status: (u16, u16)) -> String {
    if &*key.path == "status" && status.1 > 0 {
        return format!("is {} on the candidate, {} on legacy,", status.1, status.0);
    }
    match key.kind {
        Kind::Value => "has another value on the candidate",
        Kind::Type => "has another type on the candidate",
        Kind::Missing => "is missing on the candidate",
        Kind::Extra => "is there on the candidate only",
        Kind::Order => "has its members in another order on the candidate",
        Kind::Length => "has another length on the candidate",
        Kind::Format => "is written differently by the candidate",
        Kind::Digest => "has another digest on the candidate",
    }
    .to_owned()
}

/// What a sentence about a group is made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Said<'a> {
    pub(super) keys: &'a [FieldKey],
    pub(super) status: (u16, u16),
    pub(super) timeout: bool,
    pub(super) verdict: Verdict,
    pub(super) count: u64,
    pub(super) of: u64,
    pub(super) since: UnixMillis,
    pub(super) triples: KeyCounts,
}

/// Says what a group is.
pub(super) fn group(said: Said<'_>) -> String {
    let (n, of) = (count(said.count), count(said.of));
    let since = clock(said.since);
    let Some(key) = said.keys.first() else {
        let what = if said.timeout {
            "did not answer in time"
        } else {
            "gave no complete answer"
        };
        return format!("The candidate {what} in {n} of {of} pairs since {since}.");
    };
    let more = match said.keys.len() {
        1 => String::new(),
        2 => ", and 1 more place differs,".to_owned(),
        keys => format!(", and {} more places differ,", keys - 1),
    };
    let head = format!(
        "`{}` {}{more} in {n} of {of} pairs since {since}",
        key.path,
        how(key, said.status)
    );
    let triples = said.triples;
    let controls = triples.c.saturating_add(triples.both).min(triples.triples);
    match said.verdict {
        Verdict::Regression if controls == 0 => {
            format!("{head}; never in {} control pairs.", count(triples.triples))
        }
        Verdict::Regression | Verdict::Noisy | Verdict::Expected => format!(
            "{head}; in {} of {} control pairs.",
            count(controls),
            count(triples.triples)
        ),
        Verdict::Stable => format!(
            "{n} of {of} pairs, {} of {} controls: `{}` {}, too seldom to tell why.",
            count(controls),
            count(triples.triples),
            key.path,
            how(key, said.status).trim_end_matches(',')
        ),
        Verdict::Undecided => format!(
            "{head}; being checked: of {} repeated calls {} differ on the candidate only, {} on \
             legacy only.",
            count(triples.triples),
            count(triples.b),
            count(triples.c)
        ),
        Verdict::Unchecked => {
            format!("{head}; unchecked, since without controls noise can not be told apart.")
        }
    }
}

/// Says what is known of a key.
pub(super) fn key(view: &KeyView) -> String {
    let triples = view.triples;
    let controls = triples.c.saturating_add(triples.both).min(triples.triples);
    if view.verdict == Verdict::Noisy {
        let rate = real(controls) / real(triples.triples.max(1));
        let (what, still) = match view.key.kind {
            Kind::Value => ("value", "; its type still is"),
            Kind::Type => ("type", ""),
            Kind::Missing | Kind::Extra => ("presence", ""),
            Kind::Order => ("order", "; its members still are"),
            Kind::Length => ("length", ""),
            Kind::Format => ("format", ""),
            Kind::Digest => ("digest", ""),
        };
        return format!(
            "`{}` differs between two calls to legacy itself {} of the time, so its {what} is not \
             compared{still}.",
            view.key.path,
            share(rate)
        );
    }
    group(Said {
        keys: std::slice::from_ref(&view.key),
        status: (0, 0),
        timeout: false,
        verdict: view.verdict,
        count: view.pairs,
        of: view.of,
        since: view.first_seen,
        triples,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_shares_read_well() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(at_least(0.861_29), "86.1 %");
        assert_eq!(at_least(0.999_37), "99.93 %");
        assert_eq!(at_least(0.9993), "99.93 %");
        assert_eq!(at_least(0.999_999_9), "99.9999 %");
        assert_eq!(share(0.41), "41 %");
        assert_eq!(share(0.004), "0.4 %");
        assert_eq!(share(0.999_99), "over 99.99 %");
        assert_eq!(share(1.0), "100 %");
    }

    #[test]
    fn parity_is_said_as_the_pages_say_it() {
        let mut known = Parity {
            n: 3_120,
            f: 0,
            lower: 0.9985,
            upper: 1.0,
            target: 0.999,
            needed: Some(1_621),
            sentence: String::new(),
        };
        assert_eq!(
            parity(&known, "comparable requests", Some(1_621.0 / 2_500.0)),
            "4,741 clean comparisons are needed, 3,120 so far; at today's traffic that is 42 minutes."
        );
        known.lower = 0.999_37;
        assert_eq!(
            parity(
                &known,
                "comparable GET and HEAD requests (41 % of this slice's traffic)",
                None
            ),
            "At least 99.93 % of the comparable GET and HEAD requests (41 % of this slice's traffic) \
             get the same answer from the candidate (95 % sure, however often you look)."
        );
    }
}
