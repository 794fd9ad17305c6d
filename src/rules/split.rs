//! Sticky splitting. Pure.
//!
//! A key (a tenant, a user) always falls into the same bucket, and a share admits the buckets
//! below it. So widening a share only adds keys, narrowing removes the newest, and proxies agree
//! without talking. The function is a promise: changing it moves everybody.

use crate::model::Head;
use crate::model::Share;
use http::HeaderName;
use http::header::COOKIE;
use xxhash_rust::xxh3::xxh3_64;

/// How many buckets there are.
const BUCKETS: u128 = 10_000;

/// Returns the bucket of a key, from 0 to 9,999: (XXH3-64, seed 0, of
/// `group ‖ 0x00 ‖ kind ‖ 0x00 ‖ key`, times 10,000) >> 64.
pub fn bucket(group: &str, kind: &str, key: &[u8]) -> u16 {
    let parts = [group.as_bytes(), &[0], kind.as_bytes(), &[0], key];
    let len: usize = parts.iter().map(|p| p.len()).sum();
    let mut near = [0_u8; 256];
    let hash = match near.get_mut(..len) {
        Some(near) => {
            let mut rest = &mut *near;
            for part in parts {
                let (here, after) = rest.split_at_mut(part.len());
                here.copy_from_slice(part);
                rest = after;
            }
            xxh3_64(near)
        }
        None => xxh3_64(&parts.concat()),
    };
    u16::try_from((u128::from(hash) * BUCKETS) >> 64).unwrap_or(u16::MAX)
}

/// Three buckets that stand in the reference: group, kind, key, bucket.
pub(super) const VECTORS: [(&str, &str, &str, u16); 3] = [
    ("orders", "tenant", "acme", 204),
    ("billing-2026", "header:x-user", "42", 8_103),
    ("invoices", "cookie:uid", "ä", 5_242),
];

/// Returns whether a share admits a bucket.
pub(super) fn admits(share: Share, bucket: u16) -> bool {
    bucket < share.hundredths()
}

/// By what a share splits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum By {
    /// The tenant.
    Tenant,
    /// The value of a header field.
    Header(HeaderName),
    /// The value of a cookie.
    Cookie(String),
    /// Each request by itself; nothing sticks.
    Random,
}

impl By {
    /// Returns the kind, as the bucket hashes it.
    pub fn kind(&self) -> String {
        match self {
            Self::Tenant => "tenant".to_owned(),
            Self::Header(name) => format!("header:{name}"),
            Self::Cookie(name) => format!("cookie:{name}"),
            Self::Random => "random".to_owned(),
        }
    }
}

/// Returns the value of a header field, if there is one with something in it.
pub(super) fn header_key<'a>(head: &Head<'a>, name: &HeaderName) -> Option<&'a [u8]> {
    let value = head.headers.get(name)?.as_bytes().trim_ascii();
    (!value.is_empty()).then_some(value)
}

/// Returns the value of the first cookie of this name, if there is something in it.
pub(super) fn cookie_key<'a>(head: &Head<'a>, name: &str) -> Option<&'a [u8]> {
    let fields = head.headers.get_all(COOKIE).iter();
    let mut pairs = fields.flat_map(|f| f.as_bytes().split(|b| *b == b';'));
    pairs.find_map(|pair| {
        let pair = pair.trim_ascii();
        let value = pair.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
        (!value.is_empty()).then_some(value)
    })
}

/// The draws of one request, from its one number of chance.
///
/// Draw `n` is the upper half of the `n`-th output of `SplitMix64` seeded by the number, so that the
/// draws are independent, and the number in the log repeats all of them. Draw 1 splits (`by:
/// random`), 2 samples, 3 is kept for the control, 4 for the half, 5 for the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draws {
    /// Uniform over all `u32`; a control is made if the rate of the moment admits it.
    pub control: u32,
    /// Whether the control, if made, belongs to the sandwiched half; otherwise to the latency half.
    pub sandwiched: bool,
    /// Whether in the latency half the candidate is asked first.
    pub candidate_first: bool,
}

impl Draws {
    /// Draws from the number of chance of a request.
    pub fn of(chance: u64) -> Self {
        Self {
            control: draw(chance, 3),
            sandwiched: draw(chance, 4) >> 31 == 0,
            candidate_first: draw(chance, 5) >> 31 == 0,
        }
    }
}

pub(super) const DRAW_SPLIT: u64 = 1;
pub(super) const DRAW_SAMPLE: u64 = 2;

/// Returns the `n`-th draw of a request.
pub(super) fn draw(chance: u64, n: u64) -> u32 {
    let mut z = chance.wrapping_add(n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    u32::try_from((z ^ (z >> 31)) >> 32).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_buckets_of_the_reference_never_change() {
        for (group, kind, key, expected) in VECTORS {
            assert_eq!(
                bucket(group, kind, key.as_bytes()),
                expected,
                "{group} {kind} {key}"
            );
        }
    }

    #[test]
    fn a_long_key_is_hashed_as_a_short_one() {
        let long = "x".repeat(1_000);
        let mut text = b"g\0tenant\0".to_vec();
        text.extend_from_slice(long.as_bytes());
        let expected = (u128::from(xxh3_64(&text)) * BUCKETS) >> 64;
        assert_eq!(u128::from(bucket("g", "tenant", long.as_bytes())), expected);
    }

    #[test]
    fn draws_are_as_frequent_as_they_should_be() {
        let n = 100_000_u64;
        let quarter = Share::new(2_500).unwrap();
        let both = (0..n)
            .filter(|c| quarter.admits_draw(draw(*c, 1)) && quarter.admits_draw(draw(*c, 2)))
            .count();
        assert!((5_900..6_600).contains(&both), "{both}");
        let half = (0..n).filter(|c| Draws::of(*c).sandwiched).count();
        assert!((49_000..51_000).contains(&half), "{half}");
    }

    proptest! {
        #[test]
        fn widening_never_evicts(group in "[a-z]{1,8}", key: Vec<u8>, a in 0..=10_000_u16, b in 0..=10_000_u16) {
            let (narrow, wide) = (Share::new(a.min(b)).unwrap(), Share::new(a.max(b)).unwrap());
            let bucket = bucket(&group, "tenant", &key);
            prop_assert!(!admits(narrow, bucket) || admits(wide, bucket));
            prop_assert!(admits(Share::ALL, bucket) && !admits(Share::NONE, bucket));
        }
    }
}
