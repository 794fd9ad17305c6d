//! The overview: does anything need me, and how far is each slice?

mod table;

use maud::Markup;
use maud::html;
use serde::Deserialize;
use serde_json::Value;

use crate::admin::pages::Frame;
use crate::admin::pages::changes;
use crate::admin::pages::parts;
use crate::admin::pages::parts::Panel;
use crate::admin::pages::parts::Tone;
use crate::admin::pages::state;
use crate::admin::pages::text;
use crate::admin::view;
use crate::admin::view::ChangeView;
use crate::admin::view::SliceView;
use crate::control::StoreState;

/// Needs listed before the table; the table holds them all.
const NEEDS_MAX: usize = 6;

/// What the reader asked for; the URL is the whole state.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Filter {
    #[serde(default)]
    pub q: String,
    #[serde(default)]
    pub stage: String,
    #[serde(default)]
    pub owner: String,
    #[serde(default)]
    pub page: usize,
}

impl Filter {
    pub(crate) fn admits(&self, slice: &SliceView) -> bool {
        let q = self.q.trim().to_lowercase();
        let owner = slice.owner.as_deref().unwrap_or("");
        let hit = |text: &str| text.to_lowercase().contains(&q);
        (q.is_empty() || hit(&slice.name) || hit(owner) || hit(&slice.matches))
            && (self.stage.is_empty() || self.stage == slice.stage)
            && (self.owner.is_empty() || self.owner == owner)
    }

    fn is_empty(&self) -> bool {
        self.q.trim().is_empty() && self.stage.is_empty() && self.owner.is_empty()
    }

    fn url(&self, page: usize) -> String {
        format!(
            "/?q={}&stage={}&owner={}&page={page}#slices",
            parts::segment(&self.q),
            parts::segment(&self.stage),
            parts::segment(&self.owner)
        )
    }
}

/// Draws the overview.
pub(crate) fn page(frame: &Frame<'_>, filter: &Filter, changes: &[ChangeView]) -> Markup {
    let board = frame.board;
    let mut slices: Vec<SliceView> = board
        .slices
        .iter()
        .map(|s| SliceView::of(s, board))
        .collect();
    slices.sort_by(|a, b| (a.needs, &a.name).cmp(&(b.needs, &b.name)));
    let unmatched = SliceView::of(&board.unmatched, board);
    let headline = headline(&slices);
    let body = html! {
        section.stack-s id="needs" aria-labelledby="needs-h" {
            div.head {
                h1 id="needs-h" { (headline) }
                p.lede { (lede(&slices, &unmatched)) }
            }
            (needs(frame, &slices))
        }
        (table::table(&slices, &unmatched, filter))
        div.cols {
            (changes::panel("Last changes", changes, board, "/changes"))
            (trust(frame))
        }
    };
    frame.draw(&headline, "/", &body)
}

fn headline(slices: &[SliceView]) -> String {
    let (alerts, offers) = view::needing(slices);
    let says = |n: usize, one: &str, many: &str| {
        format!(
            "{} {}",
            text::count(n as u64),
            if n == 1 { one } else { many }
        )
    };
    match (alerts, offers) {
        (0, 0) => "Nothing needs you".to_owned(),
        (0, n) => format!(
            "Nothing is wrong; {} show parity",
            says(n, "slice", "slices")
        )
        .replace("1 slice show", "1 slice shows"),
        (n, _) => says(n, "slice needs you", "slices need you"),
    }
}

fn sum(slices: &[SliceView], name: &str) -> u64 {
    slices
        .iter()
        .filter_map(|s| s.outcomes.get(name).and_then(Value::as_u64))
        .sum()
}

fn lede(slices: &[SliceView], unmatched: &SliceView) -> Markup {
    let requests: u64 = slices.iter().map(|s| s.requests).sum::<u64>() + unmatched.requests;
    let compared: u64 = slices.iter().map(|s| s.compared).sum();
    let retired = slices.iter().filter(|s| s.stage == "retired").count();
    html! {
        @if let Some(share) = served(slices, unmatched) {
            "The candidates served " b { (text::share(share)) } " of requests since the start · "
        }
        b { (text::count(compared)) } " of " (text::count(requests)) " requests were compared · "
        b { (retired) " of " (text::plural(slices.len() as u64, "slice", "slices")) } " retired"
    }
}

/// Returns the share of all requests that candidates answered, weighted by requests.
fn served(slices: &[SliceView], unmatched: &SliceView) -> Option<f64> {
    let mut all = text::to_f64(unmatched.requests);
    let mut candidate = 0.0;
    for slice in slices {
        let requests = text::to_f64(slice.requests);
        all += requests;
        if slice.requests > 0 {
            candidate += requests * slice.share_served?;
        }
    }
    (all > 0.0).then(|| candidate / all)
}

fn needs(frame: &Frame<'_>, slices: &[SliceView]) -> Markup {
    let asking: Vec<&SliceView> = slices.iter().filter(|s| s.needs.needs_you()).collect();
    if asking.is_empty() {
        return html! {};
    }
    html! {
        ul.need-list {
            @for slice in asking.iter().take(NEEDS_MAX) {
                @let groups = frame.board.slice(&slice.name).map(|s| view::groups(s)).unwrap_or_default();
                @let (sentence, link, word) = state::sentence(slice, &groups);
                li.need.need-act[!slice.needs.is_alert()] id={ "need-" (slice.name) } {
                    (state::status(slice))
                    b { (slice.name) }
                    p { (sentence) }
                    a.btn href=(link) aria-label={ (word) ": " (slice.name) } { (word) }
                }
            }
        }
        @if asking.len() > NEEDS_MAX {
            p.small { a href="#slices" { (asking.len() - NEEDS_MAX) " more in the table" } }
        }
    }
}

fn trust(frame: &Frame<'_>) -> Markup {
    let board = frame.board;
    let shadow = &board.shadow;
    let all: Vec<SliceView> = board
        .slices
        .iter()
        .map(|s| SliceView::of(s, board))
        .collect();
    let (shed, compared) = (
        sum(&all, "shed"),
        all.iter().map(|s| s.compared).sum::<u64>(),
    );
    let waiting = format!(
        "{} of {} waiting, {} on their way",
        text::count(shadow.queue_len),
        text::count(shadow.queue_capacity),
        text::count(shadow.inflight)
    );
    let shed = match shed {
        0 => "none dropped".to_owned(),
        n => format!(
            "{} dropped, {} compared",
            text::count(n),
            text::count(compared)
        ),
    };
    let dropped = match board.store.dropped {
        0 => "everything written".to_owned(),
        n => format!("{} samples dropped", text::count(n)),
    };
    let store_ok = board.store.state == StoreState::Ok;
    let ok = |fine: bool, says: &str| {
        let (tone, icon) = if fine {
            (Tone::Plain, "ok")
        } else {
            (Tone::Alert, "alert")
        };
        parts::status(tone, icon, says)
    };
    let body = html! {
        dl.trust {
            div { dt { "Copies" } dd { (ok(shed == "none dropped", &shed)) } }
            div { dt { "Queue of copies" } dd {
                (ok(shadow.queue_len < shadow.queue_capacity.max(1), &waiting)) } }
            div { dt { "Store" } dd { (ok(store_ok && board.store.dropped == 0, &dropped)) } }
            div { dt { "Positions" } dd { (ok(board.store.positions_persisted,
                if board.store.positions_persisted { "on disk" } else { "not on disk yet" })) } }
            div { dt { "Running for" } dd {
                (text::span(board.at.since(board.started).as_secs())) } }
        }
    };
    Panel {
        id: "trust",
        title: "Can these numbers be trusted?",
        json: Some("/api/v1/status"),
        csv: None,
    }
    .draw(&html! {}, &body)
}
