//! Boards made up for tests, and for looking at the pages before anything runs behind them.

use std::sync::Arc;

use crate::admin::Parts;
use crate::admin::Shelf;
use crate::admin::auth::Auth;
use crate::admin::auth::Token;
use crate::compare::BodyKind;
use crate::compare::BodyView;
use crate::control::Board;
use crate::control::BoardReader;
use crate::control::ControlBoard;
use crate::control::Event;
use crate::control::ExcludedView;
use crate::control::RulesBoard;
use crate::control::ServedLatency;
use crate::control::ServedQuantiles;
use crate::control::ShadowBoard;
use crate::control::SliceBoard;
use crate::control::StoreBoard;
use crate::control::StoreState;
use crate::evidence::Band;
use crate::evidence::EndpointView;
use crate::evidence::EpochView;
use crate::evidence::Group;
use crate::evidence::KeyCounts;
use crate::evidence::KeyView;
use crate::evidence::Latency;
use crate::evidence::Parity;
use crate::evidence::Quantiles;
use crate::evidence::Slot;
use crate::evidence::Summary;
use crate::evidence::Verdict;
use crate::model::FieldKey;
use crate::model::Kind;
use crate::model::Masked;
use crate::model::NotComparable;
use crate::model::NotMirrored;
use crate::model::Outcome;
use crate::model::PairId;
use crate::model::Position;
use crate::model::Share;
use crate::model::SliceId;
use crate::model::Stage;
use crate::model::UnixMillis;
use crate::rules::TokenRole;
use crate::store::AnswerView;
use crate::store::Change;
use crate::store::ChangeKind;
use crate::store::Counts;
use crate::store::DifferenceView;
use crate::store::Example;
use crate::store::RequestView;
use tokio::sync::mpsc;

/// 2026-11-24T14:02:07Z.
pub(super) const NOW: UnixMillis = UnixMillis(1_795_528_927_000);
/// A token that the fixture takes.
pub(super) const SECRET: &str = "fixture-token-of-an-operator";
/// The group that has examples.
pub(super) const GROUP: &str = "4f2a9c1e00b17a55";

const RULES: &str = "\
# Everything that no slice takes goes to legacy.
legacy: http://127.0.0.1:3000
backends:
  billing: http://127.0.0.1:4000
slices:
  - name: invoices
    match: [{ path_prefix: /invoices }, { path_prefix: /api/v1/invoices }]
    to: billing
    stage: shadow
    owner: team-billing
";

fn ago(seconds: i64) -> UnixMillis {
    UnixMillis(NOW.0 - seconds * 1_000)
}

fn counts(requests: u64, parts: &[(Outcome, u64)]) -> Counts {
    let mut counts = Counts {
        requests,
        ..Counts::default()
    };
    for (outcome, n) in parts {
        counts.outcomes[outcome.index()] = *n;
    }
    counts
}

fn parity(n: u64, f: u64, lower: f64, upper: f64, needed: Option<u64>) -> Parity {
    let sentence = if needed.is_none() && f == 0 || lower >= 0.999 {
        format!(
            "At least {:.2} % of the comparable GET and HEAD requests get the same answer from the candidate (95 % sure, however often you look).",
            lower * 100.0
        )
    } else {
        format!(
            "At least {:.1} % of {n} comparable requests get the same answer from the candidate; {f} differ, and the target is 99.9 %.",
            lower * 100.0
        )
    };
    Parity {
        n,
        f,
        lower,
        upper,
        target: 0.999,
        needed,
        sentence,
    }
}

fn quantiles(p50: f64, p95: f64, p99: f64, n: u64) -> Quantiles {
    Quantiles {
        p50: Some(p50),
        p95: (n >= 200).then_some(p95),
        p99: (n >= 1_000).then_some(p99),
        n,
    }
}

fn latency() -> Latency {
    Latency {
        pairs: 2_240,
        ratio: Some(Band {
            value: 1.1,
            lower: 1.07,
            upper: 1.12,
        }),
        legacy: Some(quantiles(0.038, 0.102, 0.227, 2_240)),
        candidate: Some(quantiles(0.041, 0.099, 0.188, 2_237)),
        slow_candidate: 1_301,
        slow_legacy: 939,
        errors_candidate: 3,
        log_e: 0.4,
        alarm: false,
        sentence: "On the same requests the candidate is 10 % slower at the median (between 7 % and 12 %).".to_owned(),
    }
}

fn slots() -> Vec<Slot> {
    (0..340_i32)
        .filter(|n| !(150..165).contains(n))
        .map(|n| {
            let wave = f64::from(n * 37 % 17) / 17.0;
            Slot {
                at: ago(i64::from(3_590 - n * 10)),
                n: 24,
                f: u64::from(n % 5 == 0),
                legacy_p50: Some(0.036 + wave * 0.005),
                legacy_p95: Some(0.095 + wave * 0.02),
                candidate_p50: Some(0.039 + wave * 0.006),
                candidate_p95: Some(0.090 + wave * 0.025),
                pairs: 5 + u64::from(n.unsigned_abs() % 4),
            }
        })
        .collect()
}

fn key(path: &str, kind: Kind) -> FieldKey {
    FieldKey::new(path, kind)
}

fn group(id: &str, endpoint: &str, path: &str, kind: Kind, count: u64, of: u64) -> Group {
    Group {
        id: id.to_owned(),
        endpoint: Arc::from(endpoint),
        status: (200, 200),
        keys: vec![key(path, kind)],
        verdict: Verdict::Undecided,
        count,
        of,
        share: crate::admin::pages::text::to_f64(count) / crate::admin::pages::text::to_f64(of),
        first_seen: ago(11_400),
        last_seen: ago(90),
        examples: vec![],
        triples: KeyCounts {
            triples: 12,
            b: 1,
            c: 0,
            both: 0,
            log_e: 0.0,
            rank: Some(2),
        },
        sentence: format!(
            "`{path}` differs ({kind}) in {count} of {of} pairs; legacy has not been asked often enough to know why."
        ),
        epoch: 3,
        current: true,
    }
}

fn regression() -> Group {
    Group {
        verdict: Verdict::Regression,
        examples: (1..=3).map(PairId).collect(),
        triples: KeyCounts {
            triples: 676,
            b: 26,
            c: 0,
            both: 0,
            log_e: 13.114,
            rank: Some(1),
        },
        sentence: "`total` is a string on the candidate, a number on legacy, in 312 of 4,018 pairs since 09:40; never in control pairs.".to_owned(),
        first_seen: ago(15_700),
        last_seen: ago(9),
        ..group(GROUP, "GET /invoices/{}", "$.total", Kind::Type, 312, 4_018)
    }
}

fn noise(path: &str, sentence: &str) -> KeyView {
    KeyView {
        endpoint: Arc::from("GET /invoices/{}"),
        key: key(path, Kind::Value),
        verdict: Verdict::Noisy,
        pairs: 4_018,
        of: 4_018,
        triples: KeyCounts {
            triples: 612,
            b: 0,
            c: 0,
            both: 612,
            log_e: 0.0,
            rank: None,
        },
        first_seen: ago(15_725),
        last_seen: ago(1),
        sentence: sentence.to_owned(),
    }
}

fn endpoint(name: &str, n: u64, f: u64, lower: f64) -> EndpointView {
    EndpointView {
        endpoint: Arc::from(name),
        n,
        f,
        masked: n / 8,
        lower,
        upper: 1.0,
        controls: n / 20,
        triples: n / 40,
        templates: 1,
    }
}

/// A slice in stage shadow of which nothing is known.
pub(super) fn plain(name: &str) -> SliceBoard {
    SliceBoard {
        id: SliceId::new(name),
        owner: None,
        backend: "billing".to_owned(),
        matches: format!("/{name}"),
        line: 6,
        declared: Position::SHADOW,
        position: Position::SHADOW,
        ceiling: None,
        killed: false,
        rolled_back: false,
        position_since: ago(40_000),
        counts: Counts::default(),
        pending: 0,
        summary: Arc::new(Summary {
            parity: Parity {
                target: 0.999,
                needed: Some(3_000),
                ..Parity::default()
            },
            ..Summary::default()
        }),
        groups: Arc::default(),
        checking: Arc::default(),
        earlier: Arc::default(),
        keys: Arc::default(),
        excluded: Arc::default(),
        share_served: Some(0.0),
        failing: [0, 0],
        control: ControlBoard::default(),
        served: ServedLatency::default(),
    }
}

fn unmatched(requests: u64) -> SliceBoard {
    let stage = Outcome::NotMirrored(NotMirrored::Stage);
    SliceBoard {
        backend: String::new(),
        matches: String::new(),
        line: 0,
        declared: Position::LEGACY,
        position: Position::LEGACY,
        counts: counts(requests, &[(stage, requests)]),
        summary: Arc::default(),
        ..plain(SliceId::UNMATCHED)
    }
}

fn served(p50: f64, n: u64) -> ServedQuantiles {
    ServedQuantiles {
        p50,
        p95: p50 * 2.5,
        p99: p50 * 5.0,
        n,
    }
}

fn invoices_summary() -> Summary {
    Summary {
        epoch: EpochView {
            number: 3,
            since: ago(15_727),
            reason: "deploy of billing 2.14.0".to_owned(),
            legacy: Arc::from("unknown"),
            candidate: Arc::from("2.14.0"),
        },
        parity: parity(8_606, 320, 0.942, 0.978, None),
        legacy_self: Parity {
            sentence: "At least 99.71 % of legacy's answers are the same when it is asked again."
                .to_owned(),
            ..parity(1_204, 0, 0.9971, 1.0, Some(2_000))
        },
        latency: latency(),
        reclassified: 212,
        masked: 1_144,
        masked_share: 0.133,
        learning: false,
        endpoints: vec![
            endpoint("GET /invoices/{}", 4_018, 312, 0.861),
            endpoint("GET /invoices", 2_904, 5, 0.995),
            endpoint("GET /api/v1/invoices/{}", 1_266, 2, 0.993),
            endpoint("GET /invoices/{}/pdf", 418, 1, 0.984),
        ],
        slots: slots(),
        counts: crate::evidence::Counts::default(),
    }
}

const OUTCOMES: [(Outcome, u64); 12] = [
    (Outcome::Match, 7_142),
    (Outcome::Masked(Masked::Noise), 1_144),
    (Outcome::Divergence, 318),
    (Outcome::Timeout, 2),
    (Outcome::SampledOut, 8_888),
    (Outcome::UnsafeMethod, 604),
    (Outcome::NotComparable(NotComparable::Excluded), 151),
    (Outcome::NotComparable(NotComparable::Streaming), 18),
    (Outcome::NotComparable(NotComparable::TooLarge), 17),
    (Outcome::Vacuous, 46),
    (Outcome::Aborted, 20),
    (Outcome::LegacyError, 1),
];

fn checked() -> Vec<Group> {
    vec![
        group(
            "aa00000000000001",
            "GET /invoices",
            "$.items[*].dueDate",
            Kind::Value,
            3,
            2_904,
        ),
        group(
            "aa00000000000002",
            "GET /api/v1/invoices/{}",
            "$.lines[*].discount",
            Kind::Extra,
            2,
            1_266,
        ),
        Group {
            triples: KeyCounts::default(),
            verdict: Verdict::Unchecked,
            ..group(
                "aa00000000000003",
                "GET /invoices/{}/pdf",
                "body",
                Kind::Value,
                1,
                418,
            )
        },
    ]
}

/// The slice that most pages are about.
pub(super) fn invoices() -> SliceBoard {
    SliceBoard {
        owner: Some("team-billing".to_owned()),
        matches: "[{ path_prefix: /invoices }, { path_prefix: /api/v1/invoices }]".to_owned(),
        counts: counts(18_354, &OUTCOMES),
        pending: 3,
        summary: Arc::new(invoices_summary()),
        groups: Arc::new(vec![regression()]),
        checking: Arc::new(checked()),
        earlier: Arc::new(vec![Group {
            current: false,
            epoch: 2,
            ..group(
                "aa00000000000004",
                "GET /invoices/{}",
                "$.net",
                Kind::Value,
                41,
                6_640,
            )
        }]),
        keys: Arc::new(vec![
            noise(
                "$.meta.generatedAt",
                "`meta.generatedAt` differs between two calls to legacy itself 100 % of the time, so its value is not compared; its type still is.",
            ),
            noise(
                "header:x-instance",
                "`x-instance` differs between two calls to legacy itself 49 % of the time, so its value is not compared; its type still is.",
            ),
        ]),
        excluded: Arc::new(vec![ExcludedView {
            endpoint: "GET /invoices/{}/cancel".to_owned(),
            count: 151,
            why: "`cancel` in the path".to_owned(),
            allow_line: "shadow: { allow: [{ path: \"/invoices/{p1}/cancel\" }] }".to_owned(),
        }]),
        control: ControlBoard {
            pairs: 1_204,
            failed: 2,
            rested: vec!["GET /invoices/{}/pdf".to_owned()],
        },
        served: ServedLatency {
            legacy: Some(served(0.036, 18_354)),
            candidate: None,
        },
        ..plain("invoices")
    }
}

fn canary(percent: u16) -> Position {
    Position::new(Stage::Canary, Share::new(percent * 100).unwrap())
}

fn good(n: u64, lower: f64) -> Summary {
    Summary {
        epoch: EpochView {
            number: 1,
            since: ago(200_000),
            reason: "first seen".to_owned(),
            ..EpochView::default()
        },
        parity: parity(n, 0, lower, 1.0, Some(0)),
        latency: latency(),
        slots: slots(),
        ..Summary::default()
    }
}

fn others() -> Vec<SliceBoard> {
    let half = [(Outcome::Match, 18_204), (Outcome::SampledOut, 20_000)];
    vec![
        SliceBoard {
            owner: Some("team-checkout".to_owned()),
            declared: canary(25),
            ceiling: Some(Position::SHADOW),
            rolled_back: true,
            position_since: ago(1_267),
            counts: counts(38_204, &half),
            summary: Arc::new(good(18_204, 0.9994)),
            share_served: Some(0.1),
            failing: [0, 0],
            ..plain("payments")
        },
        invoices(),
        SliceBoard {
            owner: Some("team-orders".to_owned()),
            declared: canary(25),
            position: canary(25),
            counts: counts(38_204, &half),
            summary: Arc::new(good(18_204, 0.9991)),
            share_served: Some(0.25),
            failing: [0, 0],
            ..plain("orders-read")
        },
        SliceBoard {
            owner: Some("team-catalog".to_owned()),
            counts: counts(
                3_300,
                &[(Outcome::Match, 3_120), (Outcome::SampledOut, 180)],
            ),
            summary: Arc::new(Summary {
                parity: parity(3_120, 0, 0.9985, 1.0, Some(1_621)),
                latency: Latency {
                    ratio: None,
                    legacy: Some(quantiles(0.004_2, 0.0, 0.0, 41)),
                    candidate: Some(quantiles(0.003_9, 0.0, 0.0, 41)),
                    pairs: 41,
                    sentence: "59 more latency pairs are needed to compare speed.".to_owned(),
                    ..Latency::default()
                },
                ..good(0, 0.0)
            }),
            ..plain("reviews")
        },
        SliceBoard {
            declared: Position::new(Stage::Cutover, Share::ALL),
            position: Position::new(Stage::Cutover, Share::ALL),
            owner: Some("team-catalog".to_owned()),
            counts: counts(
                1_198_520,
                &[(Outcome::Match, 96_430), (Outcome::SampledOut, 1_102_090)],
            ),
            summary: Arc::new(good(96_430, 0.9998)),
            share_served: Some(1.0),
            failing: [0, 0],
            ..plain("product-page")
        },
        SliceBoard {
            declared: Position::LEGACY,
            position: Position::LEGACY,
            counts: counts(
                389_066,
                &[(Outcome::NotMirrored(NotMirrored::Stage), 389_066)],
            ),
            ..plain("search")
        },
        plain("shipping-quotes"),
    ]
}

/// A board of these slices.
pub(super) fn board(slices: Vec<SliceBoard>, unclaimed: u64) -> Board {
    Board {
        at: NOW,
        started: ago(52_000),
        node: "proxy-1".to_owned(),
        rules: RulesBoard {
            path: Some("/etc/supplant/routes.yaml".to_owned()),
            hash: "4f2a9c1b77e0".to_owned(),
            taken_at: ago(9_127),
            successful: true,
            problems: Vec::new(),
            warnings: Vec::new(),
            restart_required: false,
            text: Arc::from(RULES),
            refused_text: None,
            refused_at: None,
        },
        store: StoreBoard {
            url: "sqlite:supplant.db".to_owned(),
            state: StoreState::Ok,
            write_errors: 0,
            dropped: 0,
            bytes: 43_000_000,
            positions_persisted: true,
        },
        ready: Ok(()),
        draining: false,
        all_killed: false,
        killed_unpersisted: false,
        shadow: ShadowBoard {
            queue_len: 0,
            queue_capacity: 1_024,
            inflight: 3,
            shed: 0,
            buffered_bytes: 40_960,
        },
        slices: slices.into_iter().map(Arc::new).collect(),
        unmatched: Arc::new(unmatched(unclaimed)),
    }
}

/// Eight slices in every state.
pub(super) fn full() -> Board {
    board(others(), 118_277)
}

/// No slice and no traffic.
pub(super) fn none() -> Board {
    let mut board = board(Vec::new(), 0);
    board.rules.path = None;
    board
}

/// One slice of which nothing is known.
pub(super) fn one() -> Board {
    board(vec![plain("orders")], 12)
}

/// Two hundred slices with fifty groups each.
pub(super) fn many() -> Board {
    let slices = (0..200)
        .map(|n| {
            let groups = (0..50)
                .map(|g| {
                    let id = format!("{:016x}", n * 100 + g);
                    let path = format!("$.field_{g}.with_a_rather_long_name.value");
                    group(
                        &id,
                        "GET /things/{}/parts",
                        &path,
                        Kind::Value,
                        50 - g,
                        4_018,
                    )
                })
                .collect();
            SliceBoard {
                owner: Some(format!("team-{}", n % 7)),
                checking: Arc::new(groups),
                groups: Arc::default(),
                earlier: Arc::default(),
                ..SliceBoard {
                    id: SliceId::new(format!("slice-with-a-long-name-{n:03}")),
                    ..invoices()
                }
            }
        })
        .collect();
    board(slices, 1_000_000)
}

/// The full board after a wrong edit of the file, with everything else wrong, too.
pub(super) fn refused() -> Board {
    let text = RULES.replace(
        "    owner: team-billing\n",
        "    ramp: { percnet: 20% }\n    ownr: team-billing\n",
    );
    let mut board = full();
    board.rules.successful = false;
    board.rules.problems = crate::rules::load("routes.yaml", &text).unwrap_err();
    board.rules.refused_text = Some(Arc::from(text));
    board.rules.refused_at = Some(ago(36));
    board.all_killed = true;
    board.killed_unpersisted = true;
    board.store.state = StoreState::Failing("the disk is full".to_owned());
    board.store.dropped = 1_204;
    board
}

fn body(total: &str, at: &str, more: &str) -> BodyView {
    let lines: Vec<String> = (0..30)
        .map(|n| format!("    {{\n      \"sku\": \"AX-{n:04}\",\n      \"qty\": {n},\n      \"net\": {n}.50\n    }}"))
        .collect();
    let text = format!(
        "{{\n  \"id\": \"8c1f0e42\",\n  \"customer\": {{\n    \"name\": \"Tolkien <b>Werkzeuge</b> GmbH\",\n    \"email\": \"«email 7d1c»\"\n  }},\n  \"lines\": [\n{}\n  ],\n  \"currency\": \"EUR\",\n  \"net\": 10.50,\n  \"total\": {total},\n{more}  \"meta\": {{\n    \"generatedAt\": \"{at}\",\n    \"schema\": 3\n  }}\n}}",
        lines.join(",\n")
    );
    BodyView {
        kind: BodyKind::Json,
        bytes: text.len() as u64,
        text,
        truncated: false,
    }
}

fn fields(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect()
}

fn answer(total: &str, at: &str, more: &str, instance: &str, duration_us: u64) -> AnswerView {
    AnswerView {
        status: 200,
        headers: fields(&[
            ("content-type", "application/json"),
            ("cache-control", "private, max-age=0"),
            ("x-instance", instance),
            ("date", at),
        ]),
        body: body(total, at, more),
        duration_us,
    }
}

/// One pair of the regression.
pub(super) fn example(n: u64) -> Example {
    Example {
        id: PairId(n),
        slice: SliceId::new("invoices"),
        at: ago(240 + i64::try_from(n).unwrap()),
        endpoint: "GET /invoices/{}".to_owned(),
        set_keys: vec![
            key("$.total", Kind::Type),
            key("$.meta.generatedAt", Kind::Value),
        ],
        request: RequestView {
            method: "GET".to_owned(),
            target: format!("/invoices/8c1f0e4{n}?currency=«query 9a10»&expand=meta"),
            headers: fields(&[
                ("host", "shop.example.com"),
                ("accept", "application/json"),
                ("authorization", "«token 3e0a»"),
                ("user-agent", "billing-ui/5.2 (it's)"),
            ]),
        },
        legacy: Some(answer("12.50", "2026-11-24T13:58:07.412Z", "", "a", 41_200)),
        candidate: Some(answer(
            "\"12.50\"",
            "2026-11-24T13:58:07.455Z",
            "  \"paid\": false,\n",
            "b",
            38_100,
        )),
        error: None,
        differences: vec![
            difference("$.total", Kind::Type, "12.50", "\"12.50\""),
            difference("$.paid", Kind::Extra, "", "false"),
            difference(
                "$.meta.generatedAt",
                Kind::Value,
                "\"2026-11-24T13:58:07.412Z\"",
                "\"2026-11-24T13:58:07.455Z\"",
            ),
        ],
    }
}

fn difference(path: &str, kind: Kind, legacy: &str, candidate: &str) -> DifferenceView {
    DifferenceView {
        path: path.to_owned(),
        kind,
        place: path.to_owned(),
        legacy: legacy.to_owned(),
        candidate: candidate.to_owned(),
    }
}

fn changes() -> Vec<Change> {
    let change = |id, seconds, kind, slice: &str, text: &str, actor: &str| {
        Change {
        id,
        at: ago(seconds),
        actor: actor.to_owned(),
        kind,
        slice: (!slice.is_empty()).then(|| SliceId::new(slice)),
        text: text.to_owned(),
        diff: (kind == ChangeKind::RulesTaken).then(|| {
            "--- before\n+++ after\n@@ -8,2 +8,2 @@\n-    shadow: { rate: 30/s }\n+    shadow: { rate: 50/s }\n".to_owned()
        }),
        hash: None,
    }
    };
    vec![
        change(
            7,
            1_267,
            ChangeKind::Rollback,
            "payments",
            "rolled back to shadow",
            "page",
        ),
        change(
            6,
            9_127,
            ChangeKind::RulesTaken,
            "",
            "rules `4f2a9c1` taken",
            "file",
        ),
        change(
            5,
            15_727,
            ChangeKind::Epoch,
            "invoices",
            "new epoch: billing 2.14.0",
            "supplant",
        ),
        change(
            4,
            15_730,
            ChangeKind::Deploy,
            "",
            "billing `2.14.0` is out",
            "token ci",
        ),
        change(3, 40_000, ChangeKind::RulesRefused, "", "2 errors", "file"),
        change(
            2,
            90_000,
            ChangeKind::Kill,
            "search",
            "killed: legacy answers every request",
            "token ops",
        ),
        change(1, 400_000, ChangeKind::Started, "", "started", "supplant"),
    ]
}

/// Everything but the board and the end of the channel of acts.
pub(super) fn parts(board: BoardReader, events: mpsc::Sender<Event>, address: &str) -> Parts {
    let viewer = Token::new("looker", TokenRole::Viewer, "fixture-token-of-a-viewer").unwrap();
    let operator = Token::new("ops", TokenRole::Operator, SECRET).unwrap();
    let admin = format!("http://{address}");
    Parts {
        board,
        shelf: Shelf::Fixed(Arc::new(((1..=3).map(example).collect(), changes()))),
        events,
        metrics: Arc::new(|| "supplant_up 1\n".to_owned()),
        auth: Auth::new(address.parse().unwrap(), &[], vec![viewer, operator]).unwrap(),
        data: "http://127.0.0.1:8080".to_owned(),
        admin,
    }
}
