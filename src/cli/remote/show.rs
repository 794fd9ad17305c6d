//! What the API says, as text for a terminal.

use serde_json::Value;

/// Groups listed, the most telling first; more would scroll them away.
const GROUPS_MAX: usize = 20;

/// Returns what an act came to.
pub(super) fn done(body: &Value) -> String {
    let said = text(body, "done").unwrap_or_else(|| "done".into());
    match body.get("persisted") {
        Some(Value::Bool(false)) => format!("{said} (in force, but not persisted)\n"),
        _ => format!("{said}\n"),
    }
}

/// Returns the state of the proxy and one row a slice.
pub(super) fn status(status: &Value) -> String {
    let mut out = String::new();
    for line in [rules(status), store(status), trouble(status)] {
        out.push_str(&line);
    }
    let slices = status.get("slices").and_then(Value::as_array);
    let rows = slices.into_iter().flatten().map(slice_row).collect();
    let head = [
        "slice",
        "stage",
        "parity ≥",
        "compared",
        "differ",
        "requests",
        "needs",
    ];
    out + "\n" + &table(&head, rows)
}

fn rules(status: &Value) -> String {
    let rules = status.get("rules").unwrap_or(&Value::Null);
    let path = text(rules, "path").unwrap_or_else(|| "none".into());
    let mut out = match text(rules, "hash") {
        Some(hash) => format!("rules  {path} ({hash})\n"),
        None => format!("rules  {path}\n"),
    };
    if rules.get("successful") == Some(&Value::Bool(false)) {
        let errors = number(rules.get("errors"));
        out.extend([
            "       REFUSED with ",
            &errors,
            " errors: the rules before serve on; `check` lists them\n",
        ]);
    }
    if rules.get("restart_required") == Some(&Value::Bool(true)) {
        out.push_str("       some of it is read at start only: restart when it suits\n");
    }
    out
}

fn store(status: &Value) -> String {
    let store = status.get("store").unwrap_or(&Value::Null);
    let part = |field: &str| text(store, field).unwrap_or_default();
    let mut out = format!("store  {} {}", part("url"), part("state"));
    if let Some(why) = text(store, "because") {
        out.extend([": ", &why]);
    }
    out.trim_end().to_owned() + "\n"
}

/// Returns what somebody should know before the table.
fn trouble(status: &Value) -> String {
    let is = |field: &str| status.get(field) == Some(&Value::Bool(true));
    let mut out = String::new();
    if is("draining") {
        out.push_str("draining: it takes no new connections\n");
    } else if let Some(why) = text(status, "not_ready_because") {
        out.extend(["NOT READY: ", &why, "\n"]);
    }
    if is("all_killed") {
        out.push_str("EVERYTHING IS KILLED: legacy answers all; `resume --all` lifts it\n");
    }
    if is("unpersisted") {
        out.push_str("a kill or rollback is in force, but not persisted\n");
    }
    out
}

fn slice_row(slice: &Value) -> Vec<String> {
    let name = |field: &str| text(slice, field).unwrap_or_default();
    let parity = slice.get("parity").unwrap_or(&Value::Null);
    let needs = name("needs").replace('_', " ");
    vec![
        name("name"),
        stage(slice),
        percent(parity.get("lower")),
        number(parity.get("n")),
        number(parity.get("f")),
        number(slice.get("requests")),
        needs,
    ]
}

/// Returns stage and share, and what the file declares if that is more.
fn stage(slice: &Value) -> String {
    let stage = text(slice, "stage").unwrap_or_else(|| "–".into());
    let share = slice.get("share").and_then(Value::as_f64);
    let mut out = match share {
        Some(share) if stage == "canary" => format!("{stage} {}", ratio(share)),
        _ => stage,
    };
    let is = |field: &str| slice.get(field) == Some(&Value::Bool(true));
    if is("killed") {
        out.push_str(" (killed)");
    } else if is("rolled_back") {
        out.push_str(" (rolled back)");
    }
    out
}

/// Returns a slice's parity and its groups.
pub(super) fn parity(slice: &Value, groups: &[Value]) -> String {
    let parity = slice.get("parity").unwrap_or(&Value::Null);
    let mut out = format!(
        "{}  {}\n{}\n",
        text(slice, "name").unwrap_or_default(),
        stage(slice),
        text(parity, "sentence").unwrap_or_else(|| format!(
            "parity: at least {} of {} comparisons, {} differed",
            percent(parity.get("lower")),
            number(parity.get("n")),
            number(parity.get("f")),
        )),
    );
    if let Some(sentence) = slice.get("latency").and_then(|l| text(l, "sentence")) {
        out = out + &sentence + "\n";
    }
    out.push('\n');
    let (current, earlier): (Vec<&Value>, Vec<&Value>) = groups
        .iter()
        .partition(|group| group.get("current") != Some(&Value::Bool(false)));
    if current.is_empty() {
        out.push_str("No divergence was found.\n");
    } else {
        let rows = current.iter().take(GROUPS_MAX).flat_map(|g| group_rows(g));
        let head = ["endpoint", "differs at", "verdict", "count", "share", "id"];
        out.push_str(&table(&head, rows.collect()));
        let rest = current.len().saturating_sub(GROUPS_MAX);
        if rest > 0 {
            out.extend([
                "\n",
                &rest.to_string(),
                " more; the page and `--json` have them.\n",
            ]);
        }
    }
    if !earlier.is_empty() {
        let count = earlier.len().to_string();
        out.extend([
            "\n",
            &count,
            " of earlier epochs; the page and `--json` have them.\n",
        ]);
    }
    out
}

/// Returns one row for each place of a group; only the first names the group.
fn group_rows(group: &Value) -> Vec<Vec<String>> {
    let places = group.get("differences").and_then(Value::as_array);
    let mut places: Vec<String> = places
        .into_iter()
        .flatten()
        .map(|place| {
            let part = |name: &str| text(place, name).unwrap_or_default();
            format!("{} {}", part("path"), part("kind"))
        })
        .collect();
    if places.is_empty() {
        places.push("no answer from the candidate".into());
    }
    let name = |field: &str| text(group, field).unwrap_or_default();
    let mut rows: Vec<Vec<String>> = places
        .into_iter()
        .map(|place| vec![String::new(), place])
        .collect();
    if let Some(first) = rows.first_mut() {
        first[0] = name("endpoint");
        let verdict = match group.get("checking") {
            Some(Value::Bool(true)) => format!("{}, being checked", name("verdict")),
            _ => name("verdict"),
        };
        first.extend([
            verdict,
            number(group.get("count")),
            percent(group.get("share")),
            name("id"),
        ]);
    }
    rows
}

/// Lays rows out in columns; the last column is not padded.
fn table(head: &[&str], rows: Vec<Vec<String>>) -> String {
    let head: Vec<String> = head.iter().map(|&cell| cell.to_owned()).collect();
    let all: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    let columns = all.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = all.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for row in &all {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        out.push_str(cells.join("  ").trim_end());
        out.push('\n');
    }
    out
}

fn text(value: &Value, field: &str) -> Option<String> {
    value.get(field)?.as_str().map(clean)
}

/// Takes out what would steer a terminal: some of it comes from the applications.
fn clean(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

fn number(value: Option<&Value>) -> String {
    value
        .and_then(Value::as_u64)
        .map_or_else(|| "–".into(), |n| n.to_string())
}

fn percent(value: Option<&Value>) -> String {
    value
        .and_then(Value::as_f64)
        .map_or_else(|| "–".into(), ratio)
}

/// Writes a ratio as a percentage, cut and never rounded up: 99.96 is not 100.
fn ratio(ratio: f64) -> String {
    let hundredths = (ratio * 10_000.0 + 1e-6).floor() / 100.0;
    format!("{hundredths} %")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_status_has_one_row_a_slice() {
        let slices = [
            json!({"name": "orders", "stage": "shadow", "share": 0.0, "requests": 18_354,
                "parity": {"n": 8606, "f": 320, "lower": 0.955_19}, "needs": "regression"}),
            json!({"name": "p", "stage": "canary", "share": 0.255, "parity": {"n": 0, "f": 0},
                "rolled_back": false, "needs": "no_pairs"}),
            json!({"name": "q", "stage": "legacy", "killed": true}),
        ];
        let state = json!({"rules": {"path": "routes.yaml", "hash": "ab12", "successful": false,
            "errors": 2}, "store": {"url": "sqlite:a.db", "state": "failing", "because": "full"},
            "ready": true, "all_killed": false, "unpersisted": true, "slices": slices});
        assert_eq!(
            status(&state),
            "\
rules  routes.yaml (ab12)
       REFUSED with 2 errors: the rules before serve on; `check` lists them
store  sqlite:a.db failing: full
a kill or rollback is in force, but not persisted

slice   stage            parity ≥  compared  differ  requests  needs
orders  shadow           95.51 %   8606      320     18354     regression
p       canary 25.5 %    –         0         0       –         no pairs
q       legacy (killed)  –         –         –       –
"
        );
    }

    #[test]
    fn a_group_names_every_place_where_it_differs() {
        let groups = [
            json!({"id": "0f", "endpoint": "GET /a", "verdict": "regression", "count": 7,
                "share": 0.5, "differences": [{"path": "status", "kind": "value"},
                {"path": "body", "kind": "value"}]}),
            json!({"id": "1f", "endpoint": "GET /b\u{1b}[2J", "verdict": "undecided", "count": 1,
                "share": 0.001, "differences": []}),
            json!({"id": "2f", "endpoint": "GET /old", "current": false}),
        ];
        let text = parity(&json!({"name": "s", "stage": "shadow"}), &groups);
        assert!(
            text.ends_with(
                "\
endpoint   differs at                    verdict     count  share  id
GET /a     status value                  regression  7      50 %   0f
           body value
GET /b[2J  no answer from the candidate  undecided   1      0.1 %  1f

1 of earlier epochs; the page and `--json` have them.
"
            ),
            "{text}"
        );
    }

    #[test]
    fn a_share_is_never_rounded_up() {
        assert_eq!(ratio(0.999_999), "99.99 %");
        assert_eq!(ratio(1.0), "100 %");
        assert_eq!(ratio(0.29), "29 %");
    }

    #[test]
    fn what_is_not_persisted_says_so() {
        assert_eq!(
            done(&json!({"done": "`a` is killed", "persisted": true})),
            "`a` is killed\n"
        );
        assert!(done(&json!({"done": "x", "persisted": false})).contains("not persisted"));
    }
}
