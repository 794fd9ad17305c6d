//! Chooses among endpoints: the less loaded of two drawn at random, among those that are well.
//!
//! Two draws keep the load nearly as even as looking at all of them, and threads that choose at the
//! same moment do not all run to the same endpoint (Mitzenmacher: *The Power of Two Choices in
//! Randomized Load Balancing*, 2001). Where none is well, all are used: an answer that may fail is
//! better than one that certainly does.

use super::endpoint::FULL;

/// Chooses a place below `count`, which is at least one.
///
/// `share` tells which part of its due an endpoint may get, `load` how much it has to do; `avoid`
/// holds a bit for each of the first 64 places that this request has tried already.
pub(super) fn choose(
    count: usize,
    share: impl Fn(usize) -> u32,
    load: impl Fn(usize) -> u32,
    avoid: u64,
    chance: u64,
) -> usize {
    if count <= 1 {
        return 0;
    }
    let first = below(chance, count);
    let second = (first + 1 + below(mixed(chance, 1), count - 1)) % count;
    let lesser = |a: usize, b: usize| if load(b) < load(a) { b } else { a };
    if avoid == 0 && share(first) == FULL && share(second) == FULL {
        return lesser(first, second);
    }
    let untried = |place: usize| place >= 64 || avoid & (1 << place) == 0;
    let admitted = |place: usize| {
        let share = share(place);
        share > 0 && below(mixed(chance, place as u64 + 2), FULL as usize) < share as usize
    };
    let two_of = |fits: &dyn Fn(usize) -> bool| {
        let fitting = (0..count).filter(|place| fits(*place)).count();
        let nth = |n: usize| (0..count).filter(|place| fits(*place)).nth(n);
        let one = nth(below(chance, fitting))?;
        let other = nth(below(mixed(chance, 1), fitting))?;
        Some(lesser(one, other))
    };
    two_of(&|place| untried(place) && admitted(place))
        .or_else(|| two_of(&|place| untried(place) && share(place) > 0))
        .or_else(|| two_of(&untried))
        .unwrap_or(first)
}

fn below(chance: u64, end: usize) -> usize {
    let end = end as u64;
    usize::try_from((u128::from(chance) * u128::from(end)) >> 64).unwrap_or(0)
}

fn mixed(chance: u64, salt: u64) -> u64 {
    let mut z = chance ^ salt.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn many(count: usize, share: &[u32], load: &[u32], avoid: u64) -> Vec<u32> {
        let mut hits = vec![0; count];
        for seed in 0..10_000 {
            let chance = mixed(seed, 77);
            hits[choose(count, |p| share[p], |p| load[p], avoid, chance)] += 1;
        }
        hits
    }

    #[test]
    fn the_less_loaded_of_two_is_chosen_and_equals_share_evenly() {
        let hits = many(2, &[FULL; 2], &[5, 4], 0);
        assert_eq!(hits, [0, 10_000]);
        let hits = many(4, &[FULL; 4], &[0; 4], 0);
        assert!(hits.iter().all(|h| (2_200..2_800).contains(h)), "{hits:?}");
        let hits = many(3, &[FULL; 3], &[9, 0, 0], 0);
        assert_eq!(hits[0], 0, "{hits:?}");
    }

    #[test]
    fn an_endpoint_that_is_not_well_gets_nothing_unless_none_is() {
        let hits = many(3, &[0, FULL, FULL], &[0, 9, 9], 0);
        assert_eq!(hits[0], 0);
        let hits = many(3, &[0; 3], &[0; 3], 0);
        assert!(hits.iter().all(|h| *h > 3_000), "{hits:?}");
    }

    #[test]
    fn an_endpoint_that_comes_back_gets_its_part() {
        let hits = many(2, &[FULL / 2, FULL], &[0, 0], 0);
        assert!((2_200..3_000).contains(&hits[0]), "{hits:?}");
    }

    #[test]
    fn what_was_tried_is_avoided_while_anything_else_is_left() {
        let hits = many(3, &[FULL, 0, FULL], &[0; 3], 0b001);
        assert_eq!(hits, [0, 0, 10_000]);
        let hits = many(3, &[FULL, 0, FULL], &[0; 3], 0b101);
        assert_eq!(hits, [0, 10_000, 0], "an ill one before one that failed");
        let hits = many(2, &[FULL; 2], &[0; 2], 0b11);
        assert!(hits.iter().all(|h| *h > 4_000));
        assert_eq!(choose(1, |_| 0, |_| 0, 1, 7), 0);
    }
}
