//! Bodies beside each other, by example and by property.

use super::*;
use proptest::prelude::*;

fn shown(legacy: &str, candidate: &str) -> Vec<String> {
    let (a, b) = lines(legacy, candidate, true);
    rows(&a, &b, |_, _| Mark::Differs)
        .into_iter()
        .filter(|row| row.mark != Mark::Equal)
        .map(|row| {
            let text = |cell: Option<Cell>| {
                cell.map_or("-".to_owned(), |c| {
                    c.text.get(c.marked.clone()).unwrap().to_owned()
                        + c.tag.map(|t| format!(" ({t})")).as_deref().unwrap_or("")
                        + if c.marked.is_empty() {
                            c.text.trim()
                        } else {
                            ""
                        }
                })
            };
            format!("{} | {}", text(row.legacy), text(row.candidate))
        })
        .collect()
}

#[test]
fn a_changed_type_is_one_row_with_both_types() {
    assert_eq!(
        shown(
            r#"{"id":1,"total":12.50,"x":true}"#,
            r#"{"x":true,"total":"12.50","id":1}"#
        ),
        [r#"12.50 (number) | "12.50" (string)"#]
    );
}

#[test]
fn a_missing_member_stands_alone() {
    assert_eq!(
        shown(r#"{"a":1,"gone":{"b":2},"z":3}"#, r#"{"a":1,"z":3}"#),
        [r#""gone": { | -"#, r#""b": 2 | -"#, "}, | -"]
    );
    assert_eq!(
        shown(r#"{"a":1}"#, r#"{"a":1,"more":2}"#),
        [r#"- | "more": 2"#]
    );
}

#[test]
fn a_longer_list_shows_what_came_in_between() {
    assert_eq!(shown("[1,2,4]", "[1,2,3,4]"), ["- | 3,"]);
}

#[test]
fn texts_that_are_no_json_are_compared_by_line() {
    assert_eq!(shown("one\ntwo\nthree", "one\n2\nthree"), ["two | 2"]);
}

#[test]
fn paths_fold_as_keys_do() {
    for (place, folded) in [
        ("$", "$"),
        ("$.a.b", "$.a.b"),
        ("$.items[17].id", "$.items[*].id"),
        ("$[0][1]", "$[*][*]"),
        ("$.byId.4711.name", "$.byId.{}.name"),
        ("$.x.0123456789abcdef", "$.x.{}"),
        (r#"$["a.b[0]"].c"#, r#"$["a.b[0]"].c"#),
        (r#"$["say \"]\""][3]"#, r#"$["say \"]\""][*]"#),
    ] {
        assert_eq!(fold(place), folded);
    }
}

#[test]
fn a_path_covers_itself_and_what_lies_in_it() {
    assert!(covers("$.a", "$.a") && covers("$.a", "$.a.b[*]") && covers("$", "$.a"));
    assert!(!covers("$.a", "$.ab") && !covers("$.a.b", "$.a") && !covers("body", "$.a"));
    assert!(covers("$.by.{}.x", "$.by.anna.x") && !covers("$.by.{}", "$.by[*]"));
}

#[test]
fn equal_lines_far_away_are_folded() {
    let list: Vec<u32> = (0..40).collect();
    let mut other = list.clone();
    other[20] = 999;
    let text = |l: &[u32]| serde_json::to_string(l).unwrap();
    let (a, b) = lines(&text(&list), &text(&other), true);
    let parts = segments(rows(&a, &b, |_, _| Mark::Differs));
    let sizes: Vec<_> = parts
        .iter()
        .map(|s| match s {
            Segment::Shown(r) => format!("+{}", r.len()),
            Segment::Folded(r) => format!("-{}", r.len()),
        })
        .collect();
    assert_eq!(sizes, ["+1", "-17", "+7", "-16", "+1"]);
}

#[test]
fn a_huge_pair_is_still_laid_out() {
    let text = |step: u32| {
        let list: Vec<u32> = (0..4_000).map(|n| n * step).collect();
        serde_json::to_string(&list).unwrap()
    };
    let (a, b) = lines(&text(2), &text(3), true);
    let rows = rows(&a, &b, |_, _| Mark::Differs);
    assert_eq!(rows.len(), 4_002);
}

proptest! {
    #[test]
    fn every_line_appears_once_and_in_order(
        a in proptest::collection::vec("[a-c]{1,2},?", 0..30),
        b in proptest::collection::vec("[a-c]{1,2},?", 0..30),
    ) {
        let (left, right) = lines(&a.join("\n"), &b.join("\n"), false);
        let rows = rows(&left, &right, |_, _| Mark::Differs);
        let numbers = |side: fn(&Row) -> Option<&Cell>| -> Vec<usize> {
            rows.iter().filter_map(side).map(|c| c.number).collect()
        };
        let all = |n: usize| (1..=n).collect::<Vec<_>>();
        prop_assert_eq!(numbers(|r| r.legacy.as_ref()), all(left.len()));
        prop_assert_eq!(numbers(|r| r.candidate.as_ref()), all(right.len()));
        let count = rows.len();
        let kept: usize = segments(rows)
            .iter()
            .map(|s| match s { Segment::Shown(r) | Segment::Folded(r) => r.len() })
            .sum();
        prop_assert_eq!(kept, count);
    }

    #[test]
    fn marks_lie_on_characters(a in ".{0,20}", b in ".{0,20}") {
        let (x, y) = marks(&a, &b);
        prop_assert!(a.get(x).is_some() && b.get(y).is_some());
    }
}
