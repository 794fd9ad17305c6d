//! The known word nearest to a mistyped one. Pure.

/// Returns the known name nearest to a mistyped one, if it is near.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > 64 {
        return None;
    }
    let word = word.to_ascii_lowercase().replace('-', "_");
    let near = (word.chars().count() / 3).max(1) + 1;
    known
        .into_iter()
        .map(|k| {
            (
                distance(&word, &k.to_ascii_lowercase().replace('-', "_")),
                k,
            )
        })
        .filter(|(d, k)| *d <= near && *d < k.chars().count())
        .min_by_key(|(d, _)| *d)
        .map(|(_, k)| k)
}

/// Counts the edits between two words; two letters swapped are one.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1; b.len() + 1];
        for (j, y) in b.iter().enumerate() {
            let mut best = (above[j] + usize::from(x != y))
                .min(above[j + 1] + 1)
                .min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                best = best.min(before[j - 1] + 1);
            }
            row[j + 1] = best;
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_word_finds_its_neighbor_and_a_strange_one_none() {
        let known = ["percent", "max_inflight", "timeout", "rate", "sample"];
        assert_eq!(nearest("percnet", known), Some("percent"));
        assert_eq!(nearest("max-inflight", known), Some("max_inflight"));
        assert_eq!(nearest("Timeout", known), Some("timeout"));
        assert_eq!(nearest("zebra", known), None);
        assert_eq!(nearest("x", known), None);
        assert_eq!(distance("abcd", "acbd"), 1);
        assert_eq!(distance("", "abc"), 3);
    }
}
