//! What changed between two texts, as a unified diff for the history. Pure.

use std::fmt::Write as _;

/// Lines of context around a change.
const CONTEXT: usize = 3;
/// Cells of the table of common subsequences; beyond, the middle is shown as replaced.
const CELLS: usize = 4_000_000;
/// Bytes of a diff that are kept.
const BYTES: usize = 64 * 1_024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    Keep,
    Remove,
    Add,
}

/// Writes a unified diff, cut at 64 KiB; empty if the texts are equal.
pub(super) fn unified(old: &str, new: &str) -> String {
    let old: Vec<&str> = old.lines().collect();
    let new: Vec<&str> = new.lines().collect();
    let ops = script(&old, &new);
    let mut out = String::new();
    let (mut at, mut a, mut b) = (0, 0, 0);
    while let Some(first) = next_change(&ops, at) {
        let start = first.saturating_sub(CONTEXT).max(at);
        // Steps over what is kept in between.
        a += start - at;
        b += start - at;
        let end = hunk_end(&ops, first);
        let hunk = &ops[start..end];
        hunk_head(&mut out, hunk, a, b);
        for op in hunk {
            let (mark, line) = match op {
                Op::Keep => (' ', old[a]),
                Op::Remove => ('-', old[a]),
                Op::Add => ('+', new[b]),
            };
            a += usize::from(*op != Op::Add);
            b += usize::from(*op != Op::Remove);
            if out.len() + line.len() > BYTES {
                out.push_str("… the rest is left out\n");
                return out;
            }
            out.push(mark);
            out.push_str(line);
            out.push('\n');
        }
        at = end;
    }
    out
}

fn hunk_head(out: &mut String, hunk: &[Op], a: usize, b: usize) {
    let removed = hunk.iter().filter(|op| **op != Op::Add).count();
    let added = hunk.iter().filter(|op| **op != Op::Remove).count();
    let line = |at: usize, n: usize| if n == 0 { at } else { at + 1 };
    // Writing to a string cannot fail.
    writeln!(
        out,
        "@@ -{},{removed} +{},{added} @@",
        line(a, removed),
        line(b, added)
    )
    .unwrap_or_default();
}

fn next_change(ops: &[Op], from: usize) -> Option<usize> {
    ops.iter()
        .skip(from)
        .position(|op| *op != Op::Keep)
        .map(|n| from + n)
}

/// Returns where the hunk of the change at `from` ends: changes less than two contexts apart
/// share one.
fn hunk_end(ops: &[Op], from: usize) -> usize {
    let mut last = from;
    while let Some(next) = next_change(ops, last + 1) {
        if next - last > 2 * CONTEXT {
            break;
        }
        last = next;
    }
    (last + 1 + CONTEXT).min(ops.len())
}

/// Returns the steps from `old` to `new`.
fn script(old: &[&str], new: &[&str]) -> Vec<Op> {
    let same = |(a, b): &(&&str, &&str)| a == b;
    let head = old.iter().zip(new).take_while(same).count();
    let (old_rest, new_rest) = (&old[head..], &new[head..]);
    let tail = old_rest
        .iter()
        .rev()
        .zip(new_rest.iter().rev())
        .take_while(same)
        .count();
    let old_mid = &old_rest[..old_rest.len() - tail];
    let new_mid = &new_rest[..new_rest.len() - tail];
    let mut ops = vec![Op::Keep; head];
    if old_mid.len().saturating_mul(new_mid.len()) > CELLS {
        ops.extend(vec![Op::Remove; old_mid.len()]);
        ops.extend(vec![Op::Add; new_mid.len()]);
    } else {
        middle(old_mid, new_mid, &mut ops);
    }
    ops.extend(vec![Op::Keep; tail]);
    ops
}

/// Adds the steps of a longest common subsequence.
fn middle(old: &[&str], new: &[&str], ops: &mut Vec<Op>) {
    let width = new.len() + 1;
    let mut common = vec![0_u32; (old.len() + 1) * width];
    for a in (0..old.len()).rev() {
        for b in (0..new.len()).rev() {
            common[a * width + b] = if old[a] == new[b] {
                common[(a + 1) * width + b + 1] + 1
            } else {
                common[(a + 1) * width + b].max(common[a * width + b + 1])
            };
        }
    }
    let (mut a, mut b) = (0, 0);
    while a < old.len() || b < new.len() {
        let op = if a < old.len() && b < new.len() && old[a] == new[b] {
            Op::Keep
        } else if b >= new.len()
            || (a < old.len() && common[(a + 1) * width + b] >= common[a * width + b + 1])
        {
            Op::Remove
        } else {
            Op::Add
        };
        a += usize::from(op != Op::Add);
        b += usize::from(op != Op::Remove);
        ops.push(op);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_changed_line_is_shown_with_its_surroundings() {
        let old = "a\nb\nc\nd\ne\nf\ng\nh\n";
        let new = "a\nb\nc\nd\nE\nf\ng\nh\n";
        let expected = "@@ -2,7 +2,7 @@\n b\n c\n d\n-e\n+E\n f\n g\n h\n";
        assert_eq!(unified(old, new), expected);
        assert_eq!(unified(old, old), "");
        assert_eq!(unified("", "a\n"), "@@ -0,0 +1,1 @@\n+a\n");
    }

    #[test]
    fn changes_far_apart_have_hunks_of_their_own() {
        let line = |n: usize| format!("{n}\n");
        let old: String = (0..40).map(line).collect();
        let new = old.replace("\n5\n", "\nfive\n").replace("\n30\n", "\n");
        let diff = unified(&old, &new);
        assert!(
            diff.contains("@@ -3,7 +3,7 @@") && diff.contains("@@ -28,7 +28,6 @@"),
            "{diff}"
        );
    }

    proptest! {
        #[test]
        fn the_steps_lead_from_one_text_to_the_other(
            old in prop::collection::vec("[ab]{0,2}", 0..12),
            new in prop::collection::vec("[ab]{0,2}", 0..12),
        ) {
            let old: Vec<&str> = old.iter().map(String::as_str).collect();
            let new: Vec<&str> = new.iter().map(String::as_str).collect();
            let (mut a, mut b, mut made) = (0, 0, Vec::new());
            for op in script(&old, &new) {
                match op {
                    Op::Keep => {
                        prop_assert_eq!(old[a], new[b]);
                        made.push(old[a]);
                        a += 1;
                        b += 1;
                    }
                    Op::Remove => a += 1,
                    Op::Add => {
                        made.push(new[b]);
                        b += 1;
                    }
                }
            }
            prop_assert_eq!(a, old.len());
            prop_assert_eq!(made, new);
        }
    }
}
