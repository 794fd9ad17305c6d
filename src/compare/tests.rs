use super::*;
use crate::model::NotComparable;
use bytes::Bytes;
use http::HeaderName;
use http::HeaderValue;
use proptest::prelude::*;
use serde::Deserialize;
use std::io::Write;

pub(crate) fn own() -> Vec<OwnField> {
    let field = |value: &str| OwnField {
        name: "supplant-role",
        value: value.to_owned(),
    };
    vec![field("shadow"), field("control")]
}

pub(crate) fn headers(fields: &[(String, String)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        let name: HeaderName = name.parse().unwrap();
        map.append(name, HeaderValue::from_str(value).unwrap());
    }
    map
}

pub(crate) fn json_answer(body: impl Into<Bytes>) -> Answer {
    Answer {
        status: 200,
        headers: headers(&[("content-type".to_owned(), "application/json".to_owned())]),
        body: CapturedBody::Whole(body.into()),
        trailers: None,
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    #[serde(default)]
    ignore: Vec<String>,
    #[serde(default)]
    validators: bool,
    json: Option<(String, String)>,
    #[serde(default)]
    legacy: Side,
    #[serde(default)]
    candidate: Side,
    is: Is,
    places: Option<usize>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Side {
    status: Option<u16>,
    headers: Vec<(String, String)>,
    trailers: Option<Vec<(String, String)>>,
    body: String,
    coding: Option<String>,
    absent: bool,
    over: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Is {
    Word(String),
    Keys(Vec<String>),
}

impl Side {
    fn answer(&self) -> Answer {
        let mut fields = self.headers.clone();
        let mut body = self.body.clone().into_bytes();
        if let Some(coding) = &self.coding {
            fields.push(("content-encoding".to_owned(), coding.clone()));
            body = encode(coding, &body);
        }
        Answer {
            status: self.status.unwrap_or(200),
            headers: headers(&fields),
            body: match self.over {
                Some(len) => CapturedBody::TooLarge {
                    len,
                    complete: true,
                },
                None if self.absent => CapturedBody::Absent,
                None => CapturedBody::Whole(body.into()),
            },
            trailers: self.trailers.as_deref().map(headers),
        }
    }
}

fn encode(coding: &str, body: &[u8]) -> Vec<u8> {
    match coding {
        "gzip" => {
            let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            out.write_all(body).unwrap();
            out.finish().unwrap()
        }
        "br" => {
            let mut out = brotli::CompressorWriter::new(Vec::new(), 4096, 5, 20);
            out.write_all(body).unwrap();
            out.into_inner()
        }
        other => panic!("no coding {other}"),
    }
}

fn words(compared: &Compared) -> Vec<String> {
    match compared {
        Compared::Match => vec!["match".to_owned()],
        Compared::OwnHeader => vec!["own_header".to_owned()],
        Compared::Vacuous => vec!["vacuous".to_owned()],
        Compared::Incomparable(reason) => {
            vec![
                crate::model::Outcome::NotComparable(*reason)
                    .reason()
                    .to_owned(),
            ]
        }
        Compared::Differs(differences) => differences
            .iter()
            .map(|d| format!("{} {}", d.key.path, d.key.kind))
            .collect(),
    }
}

fn check(file: &str, case: &Case) {
    let comparator = Comparator::new(CompareConfig {
        ignore: case
            .ignore
            .iter()
            .map(|p| IgnorePath::parse(p).unwrap())
            .collect(),
        validators: case.validators,
        ..CompareConfig::default()
    });
    let (legacy, candidate) = match &case.json {
        Some((a, b)) => (json_answer(a.clone()), json_answer(b.clone())),
        None => (case.legacy.answer(), case.candidate.answer()),
    };
    let compared = compare(&comparator, &legacy, &candidate, &own());
    let expected = match &case.is {
        Is::Word(word) => vec![word.clone()],
        Is::Keys(keys) => keys.clone(),
    };
    assert_eq!(words(&compared), expected, "{file}: {}", case.name);
    if let Some(places) = case.places {
        let found: usize = compared.differences().iter().map(|d| d.places.len()).sum();
        assert_eq!(found, places, "{file}: {}: places", case.name);
    }
}

#[test]
fn every_case_in_the_files_is_as_it_says() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases/compare");
    let mut cases = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let read: Vec<Case> = serde_yaml::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
        cases += read.len();
        for case in &read {
            check(&name, case);
        }
    }
    assert!(cases > 80, "only {cases} cases");
}

/// The oracle reads with another parser, and knows no order but that of arrays.
fn same_by_oracle(a: &serde_json::Value, b: &serde_json::Value) -> bool {
    use serde_json::Value;
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter()
                    .all(|(k, v)| b.get(k).is_some_and(|w| same_by_oracle(v, w)))
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_by_oracle(a, b))
        }
        (a, b) => a == b,
    }
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    use serde_json::Value;
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3i64..3).prop_map(Value::from),
        "[ab\"\\\\é\n]{0,3}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec(("[abcd7]{1,2}", inner), 0..5)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// Returns a value with its names turned around at every level.
fn reversed(value: &serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::Object(fields) => Value::Object(
            fields
                .iter()
                .rev()
                .map(|(k, v)| (k.clone(), reversed(v)))
                .collect(),
        ),
        Value::Array(members) => Value::Array(members.iter().map(reversed).collect()),
        other => other.clone(),
    }
}

fn compare_json(a: &[u8], b: &[u8]) -> Compared {
    let answer = |body: &[u8]| json_answer(Bytes::copy_from_slice(body));
    compare(&Comparator::default(), &answer(a), &answer(b), &[])
}

fn swapped(key: &crate::model::FieldKey) -> (String, Kind) {
    let kind = match key.kind {
        Kind::Missing => Kind::Extra,
        Kind::Extra => Kind::Missing,
        kind => kind,
    };
    (key.path.to_string(), kind)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_value_matches_itself_in_any_order_of_names_and_any_layout(value in json()) {
        let text = value.to_string();
        let pretty = serde_json::to_string_pretty(&reversed(&value)).unwrap();
        prop_assert_eq!(compare_json(text.as_bytes(), pretty.as_bytes()), Compared::Match);
    }

    #[test]
    fn two_values_match_if_and_only_if_they_are_equal(a in json(), b in json()) {
        let same = same_by_oracle(&a, &b);
        let (a, b) = (a.to_string(), serde_json::to_string_pretty(&reversed(&b)).unwrap());
        let compared = compare_json(a.as_bytes(), b.as_bytes());
        prop_assert_eq!(compared == Compared::Match, same, "{} {}", a, b);
    }

    #[test]
    fn two_texts_that_share_parts_match_if_and_only_if_they_are_equal(
        pool in prop::collection::vec(json(), 1..4),
        a in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
        b in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
        array: bool,
    ) {
        let made = |picks: &[prop::sample::Index]| {
            let parts: Vec<_> = picks.iter().map(|pick| pool[pick.index(pool.len())].clone()).collect();
            let names = ["p", "q", "r", "s"].map(str::to_owned);
            if array { serde_json::json!({"before": 1, "all": parts, "after": [1, {"x": pool[0]}]}) } else { serde_json::Value::Object(names.into_iter().zip(parts).collect()) }
        };
        let (a, b) = (made(&a), reversed(&made(&b)));
        let same = same_by_oracle(&a, &b);
        let (a, b) = (a.to_string(), b.to_string());
        let there = compare_json(a.as_bytes(), b.as_bytes());
        prop_assert_eq!(there == Compared::Match, same, "{} {}", a, b);
        let back = compare_json(b.as_bytes(), a.as_bytes());
        prop_assert_eq!(there.differences().len(), back.differences().len());
    }

    #[test]
    fn swapping_the_sides_swaps_missing_and_extra(a in json(), b in json()) {
        let (a, b) = (a.to_string(), b.to_string());
        let there = compare_json(a.as_bytes(), b.as_bytes());
        let back = compare_json(b.as_bytes(), a.as_bytes());
        let keys = |compared: &Compared| -> Vec<((String, Kind), Vec<u64>)> {
            compared.differences().iter()
                .map(|d| ((d.key.path.to_string(), d.key.kind), d.places.clone())).collect()
        };
        let mut turned: Vec<_> = back.differences().iter()
            .map(|d| (swapped(&d.key), d.places.clone())).collect();
        turned.sort();
        prop_assert_eq!(keys(&there), turned);
    }

    #[test]
    fn one_changed_leaf_is_one_key(value in json(), pick in any::<prop::sample::Index>()) {
        let text = value.to_string();
        let digits: Vec<usize> = text.char_indices().filter(|(i, c)| {
            c.is_ascii_digit() && !text.get(..*i).unwrap().ends_with(|c: char| c != ':' && c != ',' && c != '[' && c != '-')
        }).map(|(i, _)| i).collect();
        if digits.is_empty() || text.contains("\\\"") {
            return Ok(());
        }
        let at = digits[pick.index(digits.len())];
        let mut changed = text.clone();
        changed.replace_range(at..=at, "8");
        let compared = compare_json(text.as_bytes(), changed.as_bytes());
        prop_assert_eq!(compared.differences().len(), 1, "{} {}", text, changed);
        prop_assert_eq!(compared.differences()[0].key.kind, Kind::Value);
    }

    #[test]
    fn numbers_are_equal_exactly_when_their_decimal_values_are(a in 0u64.., zeros in 0usize..4) {
        let spelled = format!("{a}.{}", "0".repeat(zeros + 1));
        prop_assert_eq!(compare_json(a.to_string().as_bytes(), spelled.as_bytes()), Compared::Match);
        let next = format!("{}", u128::from(a) + 1);
        prop_assert_ne!(compare_json(a.to_string().as_bytes(), next.as_bytes()), Compared::Match);
    }

    #[test]
    fn no_bytes_make_it_panic(a: Vec<u8>, b: Vec<u8>, coding in "gzip|br|deflate|identity|gzip, br|x") {
        let mut legacy = json_answer(a.clone());
        let mut candidate = json_answer(b);
        candidate.headers.insert("content-encoding", HeaderValue::from_str(&coding).unwrap());
        compare(&Comparator::default(), &legacy, &candidate, &own());
        legacy.headers = candidate.headers.clone();
        compare(&Comparator::default(), &legacy, &candidate, &own());
        let key = RedactKey::new([7; 32]);
        body_view(&legacy, &key);
        body_view(&candidate, &key);
    }

    #[test]
    fn no_text_that_is_nearly_json_makes_it_panic(a in r#"[\[\]{}:,"\\ueab0-9.-]{0,40}"#, b in r#"[\[\]{}:,"\\ueab0-9.-]{0,40}"#) {
        let compared = compare_json(a.as_bytes(), b.as_bytes());
        let key = RedactKey::new([7; 32]);
        for difference in compared.differences() {
            let shown = difference.shown(&key).unwrap();
            prop_assert!(shown.legacy.len() <= 256 && shown.candidate.len() <= 256);
        }
        prop_assert_eq!(compare_json(a.as_bytes(), a.as_bytes()), Compared::Match);
    }
}

fn with_limits(change: impl FnOnce(&mut Limits)) -> Comparator {
    let mut config = CompareConfig::default();
    change(&mut config.limits);
    Comparator::new(config)
}

fn nested(depth: usize, leaf: &str) -> Answer {
    json_answer(format!("{}{leaf}{}", "[".repeat(depth), "]".repeat(depth)))
}

#[test]
fn too_complex_counts_for_legacy_or_both_and_is_a_difference_of_the_candidate_alone() {
    let comparator = Comparator::default();
    let complex = Compared::Incomparable(NotComparable::TooComplex);
    let run = |a: &Answer, b: &Answer| compare(&comparator, a, b, &[]);
    assert_eq!(run(&nested(129, "1"), &nested(129, "2")), complex);
    assert_eq!(run(&nested(129, "1"), &nested(3, "2")), complex);
    assert_eq!(
        words(&run(&nested(3, "1"), &nested(129, "2"))),
        ["body length"]
    );
    assert_eq!(words(&run(&nested(128, "1"), &nested(128, "2"))).len(), 1);
    assert_eq!(run(&nested(129, "1"), &nested(129, "1")), Compared::Match);

    let few = with_limits(|limits| limits.steps = 50);
    let long = |n: usize| json_answer(format!("[0{}]", ",1".repeat(n)));
    assert_eq!(compare(&few, &long(100), &long(101), &[]), complex);
    let nodes = with_limits(|limits| limits.nodes = 50);
    assert_eq!(
        words(&compare(&nodes, &long(10), &long(100), &[])),
        ["body length"]
    );
    assert_eq!(compare(&nodes, &long(100), &long(10), &[]), complex);
}

#[test]
fn keys_beyond_the_bound_share_one_for_each_kind() {
    let object = |value: u8| {
        let fields: Vec<String> = (0..5_000).map(|i| format!("\"k{i}x\":{value}")).collect();
        json_answer(format!("{{{}}}", fields.join(",")))
    };
    let compared = compare(&Comparator::default(), &object(1), &object(2), &[]);
    let differences = compared.differences();
    assert_eq!(differences.len(), 2_001);
    assert!(differences.iter().any(|d| &*d.key.path == "_other"));
    assert_eq!(
        differences.iter().filter(|d| d.sample.is_some()).count(),
        100
    );
}

#[test]
fn a_wrong_column_of_a_long_list_has_as_many_places_as_the_list_has_members() {
    let list = |wrong: u32| {
        let rows: Vec<String> = (0..500)
            .map(|i| format!("{{\"id\":{i},\"p\":{}}}", i + wrong))
            .collect();
        json_answer(format!("{{\"rows\":[{}]}}", rows.join(",")))
    };
    let compared = compare(&Comparator::default(), &list(0), &list(1), &[]);
    assert_eq!(words(&compared), ["$.rows[*].p value"]);
    assert_eq!(compared.differences()[0].places.len(), 500);
    let key = RedactKey::new([7; 32]);
    let shown = compared.differences()[0].shown(&key).unwrap();
    assert_eq!(
        (&*shown.place, &*shown.legacy, &*shown.candidate),
        ("$.rows[0].p", "0", "1")
    );
}

#[test]
fn a_candidate_that_decodes_to_far_more_is_too_long_and_not_a_guess() {
    let steps = with_limits(|limits| limits.steps = 10_000);
    let zip = |n: usize| {
        let mut answer = json_answer(encode("gzip", "7".repeat(n).as_bytes()));
        answer
            .headers
            .insert("content-encoding", HeaderValue::from_static("gzip"));
        answer
    };
    assert_eq!(
        words(&compare(&steps, &zip(10), &zip(60_000), &[])),
        ["body length"]
    );
    let complex = Compared::Incomparable(NotComparable::TooComplex);
    assert_eq!(compare(&steps, &zip(60_000), &zip(10), &[]), complex);
    assert_eq!(compare(&steps, &zip(6_000), &zip(6_001), &[]), complex);
}

#[test]
fn the_candidate_between_the_limit_and_four_times_legacy_is_too_large() {
    let over = |len: u64| Answer {
        body: CapturedBody::TooLarge {
            len,
            complete: false,
        },
        ..json_answer("")
    };
    let legacy = json_answer(vec![b' '; 500_000]);
    let run = |len: u64| compare(&Comparator::default(), &legacy, &over(len), &[]);
    assert_eq!(
        run(2_000_000),
        Compared::Incomparable(NotComparable::TooLarge)
    );
    assert_eq!(words(&run(2_000_001)), ["body length"]);
}
