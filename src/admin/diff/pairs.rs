//! Which line stands beside which: the longest common subsequence, then the same place. Pure.

use super::Line;
use super::same;

/// Cells of the table of the longest common subsequence; beyond it lines are paired by place.
const TABLE_MAX: usize = 4_000_000;

/// The places of two lines beside each other.
pub(super) type Pair = (Option<usize>, Option<usize>);

/// Puts every line of both sides into a row, each once and in order.
pub(super) fn pairs(a: &[Line], b: &[Line]) -> Vec<Pair> {
    let start = a.iter().zip(b).take_while(|(x, y)| same(x, y)).count();
    let (rest_a, rest_b) = (&a[start..], &b[start..]);
    let end = rest_a
        .iter()
        .rev()
        .zip(rest_b.iter().rev())
        .take_while(|(x, y)| same(x, y))
        .count();
    let (mid_a, mid_b) = (&rest_a[..rest_a.len() - end], &rest_b[..rest_b.len() - end]);
    let mut out: Vec<Pair> = (0..start).map(|at| (Some(at), Some(at))).collect();
    let mut hunk = Hunk::default();
    let small = mid_a
        .len()
        .checked_mul(mid_b.len())
        .is_some_and(|cells| cells <= TABLE_MAX);
    let common = if small {
        common(mid_a, mid_b)
    } else {
        Vec::new()
    };
    let (mut i, mut j) = (0, 0);
    for (x, y) in common.into_iter().chain([(mid_a.len(), mid_b.len())]) {
        hunk.left.extend((i..x).map(|at| start + at));
        hunk.right.extend((j..y).map(|at| start + at));
        hunk.close(a, b, &mut out);
        if x < mid_a.len() || y < mid_b.len() {
            out.push((Some(start + x), Some(start + y)));
        }
        (i, j) = (x + 1, y + 1);
    }
    let tail = (a.len() - end).max(start)..a.len();
    out.extend(tail.zip(b.len() - end..).map(|(x, y)| (Some(x), Some(y))));
    out
}

/// Returns the places of the longest common subsequence.
fn common(a: &[Line], b: &[Line]) -> Vec<(usize, usize)> {
    let width = b.len() + 1;
    let mut table = vec![0_u32; (a.len() + 1) * width];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            table[i * width + j] = if same(&a[i], &b[j]) {
                table[(i + 1) * width + j + 1] + 1
            } else {
                table[(i + 1) * width + j].max(table[i * width + j + 1])
            };
        }
    }
    let mut out = Vec::new();
    let (mut i, mut j) = (0, 0);
    while i < a.len() && j < b.len() {
        if same(&a[i], &b[j]) {
            out.push((i, j));
            (i, j) = (i + 1, j + 1);
        } else if table[(i + 1) * width + j] >= table[i * width + j + 1] {
            i += 1;
        } else {
            j += 1;
        }
    }
    out
}

/// Lines between two equal ones.
#[derive(Default)]
struct Hunk {
    left: Vec<usize>,
    right: Vec<usize>,
}

impl Hunk {
    /// Pairs lines of the same place; texts without places are paired in order.
    fn close(&mut self, a: &[Line], b: &[Line], out: &mut Vec<Pair>) {
        let mut next = 0;
        for &left in &self.left {
            let found = self.right.get(next..).and_then(|rest| {
                rest.iter()
                    .position(|&right| a[left].place == b[right].place)
            });
            match found {
                Some(skip) => {
                    let end = next + skip;
                    out.extend(self.right[next..end].iter().map(|&r| (None, Some(r))));
                    out.push((Some(left), Some(self.right[end])));
                    next = end + 1;
                }
                None => out.push((Some(left), None)),
            }
        }
        out.extend(self.right[next..].iter().map(|&r| (None, Some(r))));
        self.left.clear();
        self.right.clear();
    }
}
