use super::hop::Nominated;
use super::hop::response_fields;
use super::*;
use crate::model::Role;
use crate::model::Side;
use crate::rules::Backend;
use crate::rules::Edits;
use crate::rules::Endpoint;
use crate::rules::FieldEdits;
use crate::rules::Identity;
use crate::rules::Network;
use crate::rules::Rewrite;
use crate::rules::Scheme;
use crate::rules::Underscores;
use http::HeaderMap;
use http::HeaderValue;
use http::Method;
use http::Request;
use http::Version;
use proptest::prelude::*;
use std::net::IpAddr;

const COPY: Leg = Leg::copy(Role::Shadow, Side::Legacy);

fn client() -> Client {
    Client::new(Some(IpAddr::from([192, 0, 2, 7])), 8080)
}

fn parts(uri: &str, fields: &[(&str, &str)]) -> Parts {
    let mut builder = Request::builder().uri(uri);
    for (name, value) in fields {
        builder = builder.header(*name, *value);
    }
    builder.body(()).unwrap().into_parts().0
}

fn made(passage: &Passage, parts: &Parts, leg: Leg) -> (Request<()>, Noticed) {
    let mut noticed = Noticed::default();
    let request = passage.request(parts, &client(), leg, &mut noticed, ());
    (request, noticed)
}

fn request(parts: &Parts, client: &Client, leg: Leg) -> Request<()> {
    Passage::default().request(parts, client, leg, &mut Noticed::default(), ())
}

fn through(passage: &Passage, fields: &[(&str, &str)]) -> (HeaderMap, Noticed) {
    let (request, noticed) = made(passage, &parts("/a?b=c", fields), Leg::SERVED);
    (request.into_parts().0.headers, noticed)
}

fn forwarded(fields: &[(&str, &str)]) -> HeaderMap {
    through(&Passage::default(), fields).0
}

fn backend() -> Backend {
    let endpoint = Endpoint::Tcp {
        scheme: Scheme::Http,
        host: "127.0.0.1".to_owned(),
        port: 4000,
    };
    Backend::new("new", vec![endpoint])
}

/// A passage that believes the peers of these tests and everybody in 10.0.0.0/8.
fn trusting() -> Passage {
    let network = |text: &str, bits| Network::new(text.parse().unwrap(), bits).unwrap();
    let identity = Identity {
        trusted: vec![network("192.0.2.0", 24), network("10.0.0.0", 8)],
        underscores: Underscores::Pass,
    };
    Passage::of(
        identity,
        Edits::default(),
        FieldEdits::default(),
        &backend(),
    )
}

fn underscores(what: Underscores) -> Passage {
    let identity = Identity {
        trusted: Vec::new(),
        underscores: what,
    };
    Passage::of(
        identity,
        Edits::default(),
        FieldEdits::default(),
        &backend(),
    )
}

#[test]
fn hop_by_hop_fields_and_those_they_name_end_here() {
    let out = forwarded(&[
        ("connection", "keep-alive, X-Secret"),
        ("keep-alive", "timeout=5"),
        ("x-secret", "1"),
        ("proxy-authorization", "Basic x"),
        ("te", "gzip"),
        ("transfer-encoding", "chunked"),
        ("x-kept", "2"),
    ]);
    let names: Vec<_> = out.keys().map(HeaderName::as_str).collect();
    let ours = [
        "host",
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-port",
        "via",
    ];
    assert_eq!(names, [&["x-kept"][..], &ours[..]].concat());
}

#[test]
fn an_answer_keeps_the_order_of_its_fields_wherever_hop_by_hop_ones_stand() {
    for place in 0..=3 {
        let mut names = vec!["server", "x-a", "x-b"];
        names.insert(place, "connection");
        names.insert(place, "keep-alive");
        let fields = names.iter().map(|name| {
            let value = if *name == "connection" {
                "keep-alive"
            } else {
                "1"
            };
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        });
        let kept = response_fields(fields.collect());
        let kept: Vec<_> = kept.keys().map(HeaderName::as_str).collect();
        assert_eq!(kept, ["server", "x-a", "x-b"], "{place}");
    }
}

#[test]
fn a_client_cannot_name_identity_away() {
    let out = forwarded(&[
        ("connection", "authorization, cookie, host, x-forwarded-for"),
        ("host", "a.example"),
        ("authorization", "Bearer x"),
        ("cookie", "a=b"),
    ]);
    for name in ["authorization", "cookie", "host", "x-forwarded-for"] {
        assert!(out.contains_key(name), "{name}");
    }
}

#[test]
fn forwarding_fields_of_a_client_are_replaced() {
    let out = forwarded(&[
        ("host", "a.example"),
        ("x-forwarded-for", "203.0.113.9"),
        ("x-forwarded-user", "root"),
        ("forwarded", "for=203.0.113.9"),
    ]);
    assert_eq!(out["x-forwarded-for"], "192.0.2.7");
    assert_eq!(out["x-forwarded-host"], "a.example");
    assert!(!out.contains_key("forwarded") && !out.contains_key("x-forwarded-user"));
}

#[test]
fn sessions_of_the_dashboard_never_reach_an_application() {
    let out = forwarded(&[("cookie", "a=1; supplant_session_9900=secret; b=2")]);
    assert_eq!(out["cookie"], "a=1; b=2");
    let out = forwarded(&[("cookie", "supplant_session_9900=secret")]);
    assert!(!out.contains_key("cookie"));
    let out = forwarded(&[("cookie", "a=x supplant_session_ y")]);
    assert_eq!(out["cookie"], "a=x supplant_session_ y");
}

#[test]
fn trailers_may_be_announced_and_nothing_else_in_te() {
    assert_eq!(forwarded(&[("te", "gzip, trailers")])["te"], "trailers");
}

#[test]
fn an_absolute_target_goes_in_origin_form_and_names_the_host() {
    let (parts, ()) = Request::builder()
        .uri("http://b.example:81/x?y")
        .header("host", "a.example")
        .body(())
        .unwrap()
        .into_parts();
    let out = request(&parts, &client(), Leg::SERVED);
    assert_eq!(out.uri(), "/x?y");
    assert_eq!(out.headers()["host"], "b.example:81");
}

#[test]
fn copies_are_marked_and_a_served_request_keeps_the_mark_it_came_with() {
    let (parts, ()) = Request::builder()
        .header("supplant-role", "control")
        .body(())
        .unwrap()
        .into_parts();
    let role = |leg| request(&parts, &client(), leg).headers()["supplant-role"].clone();
    assert_eq!(role(COPY), "shadow");
    assert_eq!(role(Leg::SERVED), "control");
}

#[test]
fn an_upgrade_to_websocket_passes_and_no_other_does() {
    let out = forwarded(&[("connection", "Upgrade"), ("upgrade", "websocket")]);
    assert_eq!(out["upgrade"], "websocket");
    for other in ["h2c", "h2c, websocket", "websocket,H2C", "h2c/2", "TLS/1.0"] {
        let out = forwarded(&[("connection", "Upgrade"), ("upgrade", other)]);
        let kept = out.contains_key("upgrade") || out.contains_key("connection");
        assert!(!kept, "{other}");
    }
    let twice = [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("upgrade", "h2c"),
    ];
    assert!(!forwarded(&twice).contains_key("upgrade"));
}

#[test]
fn a_long_list_in_connection_is_looked_through_once() {
    let list = format!("{}X-Secret", "a,".repeat(30_000));
    let names: Vec<String> = (0..97).map(|i| format!("x{i}")).collect();
    let mut fields = vec![("connection", list.as_str()), ("x-secret", "1")];
    fields.extend(names.iter().map(|name| (name.as_str(), "1")));
    let out = forwarded(&fields);
    assert!(!out.contains_key("x-secret") && out.contains_key("x96"));
    let nominated = Nominated::of(&HeaderMap::from_iter([(
        header::CONNECTION,
        HeaderValue::from_str(&list).unwrap(),
    )]));
    assert_eq!(nominated.len(), 0, "only fields that are there");
}

#[test]
fn userinfo_of_a_target_reaches_nobody() {
    let (parts, ()) = Request::builder()
        .uri("http://a.example:secret@b.example:81/x")
        .body(())
        .unwrap()
        .into_parts();
    assert_eq!(host(&parts), Some("b.example:81"));
    let out = request(&parts, &client(), Leg::SERVED);
    assert_eq!(out.headers()["host"], "b.example:81");
    assert_eq!(out.headers()["x-forwarded-host"], "b.example:81");
}

#[test]
fn fields_that_look_like_managed_ones_end_here_and_are_counted() {
    let (out, noticed) = through(
        &Passage::default(),
        &[
            ("x_forwarded_for", "203.0.113.9"),
            ("X-Forwarded.Proto", "https"),
            ("X-Forwarded_Host", "a"),
            ("supplant_role", "shadow"),
            ("content_length", "7"),
            ("transfer.encoding", "chunked"),
            ("x_other", "1"),
        ],
    );
    assert_eq!(out["x-forwarded-for"], "192.0.2.7");
    assert_eq!(out["x_other"], "1");
    assert!(
        out.keys()
            .all(|n| n == "x_other" || !n.as_str().contains(['_', '.']))
    );
    let want = Noticed {
        lookalikes: 6,
        ..Noticed::default()
    };
    assert_eq!(noticed, want);
}

#[test]
fn a_twin_with_an_underscore_falls_beside_its_original() {
    let fields = [
        ("x-user", "1"),
        ("x_user", "2"),
        ("x.user", "3"),
        ("x_b", "4"),
    ];
    let (out, noticed) = through(&Passage::default(), &fields);
    assert!(out.contains_key("x-user") && out.contains_key("x_b"));
    assert!(!out.contains_key("x_user") && !out.contains_key("x.user"));
    assert_eq!(noticed.twins, 2);
}

#[test]
fn underscores_are_dropped_or_refused_where_the_rules_say_so() {
    let fields = [("x_b", "4"), ("x.c", "1")];
    let (out, noticed) = through(&underscores(Underscores::Drop), &fields);
    assert!(!out.contains_key("x_b") && out.contains_key("x.c"));
    assert_eq!(noticed.underscores, 1);
    let headers = parts("/", &fields).headers;
    assert!(underscores(Underscores::Reject).refuses(&headers));
    assert!(!underscores(Underscores::Drop).refuses(&headers));
    assert!(!underscores(Underscores::Reject).refuses(&parts("/", &[("x-b", "1")]).headers));
}

#[test]
fn what_a_trusted_peer_says_goes_on_with_our_own_link() {
    let fields = [
        ("host", "in.example:81"),
        ("x-forwarded-for", "203.0.113.9"),
        ("x-forwarded-for", "10.0.0.1"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "shop.example"),
        ("x-forwarded-user", "eva"),
        ("forwarded", "for=203.0.113.9;proto=https"),
        ("forwarded", "for=10.0.0.1"),
    ];
    let (out, noticed) = through(&trusting(), &fields);
    assert_eq!(out["x-forwarded-for"], "203.0.113.9, 10.0.0.1, 192.0.2.7");
    assert_eq!(out.get_all("x-forwarded-for").iter().count(), 1);
    assert_eq!(out["x-forwarded-proto"], "https");
    assert_eq!(out["x-forwarded-host"], "shop.example");
    assert_eq!(out["x-forwarded-port"], "443");
    assert_eq!(out["x-forwarded-user"], "eva");
    let chain = "for=203.0.113.9;proto=https, for=10.0.0.1, for=192.0.2.7;host=\"in.example:81\";proto=http";
    assert_eq!(out["forwarded"], chain);
    assert!(noticed.is_empty());
}

#[test]
fn a_peer_that_says_nothing_of_the_client_is_the_client() {
    let (out, _) = through(&trusting(), &[("host", "a.example")]);
    assert_eq!(out["x-forwarded-for"], "192.0.2.7");
    assert_eq!(out["x-forwarded-port"], "8080");
    assert!(!out.contains_key("forwarded"));
}

#[test]
fn forwarded_alone_speaks_for_the_other_fields_too() {
    let fields = [(
        "forwarded",
        "for=unknown, for=\"[2001:db8::1]:7\";host=\"a.example:8443\";proto=https, for=10.0.0.1;proto=http",
    )];
    let (out, _) = through(&trusting(), &fields);
    assert_eq!(
        out["x-forwarded-for"],
        "unknown, 2001:db8::1, 10.0.0.1, 192.0.2.7"
    );
    assert_eq!(out["x-forwarded-proto"], "https");
    assert_eq!(out["x-forwarded-host"], "a.example:8443");
    assert_eq!(out["x-forwarded-port"], "8443");
}

#[test]
fn forwarded_that_is_malformed_or_contradicts_is_dropped_and_counted() {
    for forwarded in ["for=", "for=198.51.100.1", "for=10.0.0.1"] {
        let fields = [("x-forwarded-for", "203.0.113.9"), ("forwarded", forwarded)];
        let (out, noticed) = through(&trusting(), &fields);
        assert!(!out.contains_key("forwarded"), "{forwarded}");
        assert_eq!(out["x-forwarded-for"], "203.0.113.9, 192.0.2.7");
        assert_eq!(noticed.forwarded, 1);
    }
}

#[test]
fn the_client_is_the_first_from_the_right_that_is_not_trusted() {
    let passage = trusting();
    for (list, want) in [
        ("203.0.113.9", "203.0.113.9"),
        ("198.51.100.1, 203.0.113.9, 10.0.0.1", "203.0.113.9"),
        ("203.0.113.9:4711, 10.0.0.1:80", "203.0.113.9"),
        ("[2001:db8::1]:80 , 10.0.0.1", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("203.0.113.9, unknown, 10.0.0.2", "10.0.0.2"),
        ("203.0.113.9, ", "192.0.2.7"),
        ("nonsense", "192.0.2.7"),
    ] {
        let parts = parts("/", &[("x-forwarded-for", list)]);
        let found = passage.address(&parts.headers, &client()).unwrap();
        assert_eq!(found.to_string(), want, "{list}");
        let stranger = Client::new(Some(IpAddr::from([198, 51, 100, 77])), 80);
        let found = passage.address(&parts.headers, &stranger);
        assert_eq!(found, stranger.address());
        let found = Passage::default().address(&parts.headers, &client());
        assert_eq!(found, client().address());
    }
}

#[test]
fn a_client_over_tls_is_said_to_speak_https() {
    let client = client().over_tls();
    let out = request(&parts("/", &[]), &client, Leg::SERVED);
    assert_eq!(out.headers()["x-forwarded-proto"], "https");
}

#[test]
fn via_names_the_protocol_and_a_request_that_was_here_is_noticed() {
    let mut parts = parts("/", &[("via", "1.1 a, 1.1 b")]);
    parts.version = Version::HTTP_2;
    let (out, noticed) = made(&Passage::default(), &parts, Leg::SERVED);
    let via: Vec<_> = out.headers().get_all("via").iter().collect();
    assert_eq!(via, ["1.1 a, 1.1 b", "2.0 supplant"]);
    assert!(!noticed.looped);
    let (_, noticed) = through(&Passage::default(), &[("via", "1.0 a, 1.1 supplant (x)")]);
    assert!(noticed.looped);
}

#[test]
fn hops_are_counted_down_for_options_and_trace_only() {
    let ask = |method: Method, text| {
        let mut parts = parts("/", &[("max-forwards", text)]);
        parts.method = method;
        let out = request(&parts, &client(), Leg::SERVED);
        let left = hops_left(&parts);
        (
            left,
            out.headers()["max-forwards"].to_str().unwrap().to_owned(),
        )
    };
    assert_eq!(ask(Method::TRACE, "3"), (Some(3), "2".to_owned()));
    assert_eq!(ask(Method::OPTIONS, "1"), (Some(1), "0".to_owned()));
    assert_eq!(ask(Method::OPTIONS, "0").0, Some(0));
    assert_eq!(ask(Method::GET, "0"), (None, "0".to_owned()));
    assert_eq!(ask(Method::TRACE, "-1"), (None, "-1".to_owned()));
    let huge = "9".repeat(40);
    assert_eq!(ask(Method::TRACE, &huge).0, Some(u64::MAX));
}

#[test]
fn a_reflection_shows_the_way_and_no_secret() {
    let mut parts = parts(
        "/a?b",
        &[
            ("host", "x"),
            ("authorization", "s"),
            ("cookie", "s"),
            ("via", "1.1 a"),
        ],
    );
    parts.method = Method::TRACE;
    let text = String::from_utf8(reflection(&parts)).unwrap();
    assert_eq!(text, "TRACE /a?b HTTP/1.1\r\nhost: x\r\nvia: 1.1 a\r\n\r\n");
}

#[test]
fn trace_context_and_announced_trailers_pass_unchanged() {
    let fields = [
        (
            "traceparent",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ),
        ("tracestate", "a=1"),
        ("trailer", "x-sum"),
        ("connection", "trailer, traceparent-not"),
    ];
    let out = forwarded(&fields);
    for (name, value) in &fields[..3] {
        assert_eq!(out[*name], *value);
    }
}

fn field(name: &'static str, value: &'static str) -> (HeaderName, HeaderValue) {
    (
        HeaderName::from_static(name),
        HeaderValue::from_static(value),
    )
}

fn moving(from: &str, to: &str) -> Edits {
    Edits {
        rewrite: Some(Rewrite {
            from: from.to_owned(),
            to: to.to_owned(),
        }),
        ..Edits::default()
    }
}

#[test]
fn a_rewrite_moves_the_target_and_tells_the_prefix() {
    let passage = Passage::of(
        trusting_identity(),
        moving("/shop", ""),
        FieldEdits::default(),
        &backend(),
    );
    let (out, _) = made(&passage, &parts("/shop/a%2Fb?q", &[]), Leg::SERVED);
    assert_eq!(out.uri(), "/a%2Fb?q");
    assert_eq!(out.headers()["x-forwarded-prefix"], "/shop");
    let outer = parts("http://x/shop", &[("x-forwarded-prefix", "/outer/")]);
    let (out, _) = made(&passage, &outer, COPY);
    assert_eq!(out.uri(), "/");
    assert_eq!(out.headers()["x-forwarded-prefix"], "/outer/shop");
}

fn trusting_identity() -> Identity {
    Identity {
        trusted: vec![Network::new(IpAddr::from([192, 0, 2, 0]), 24).unwrap()],
        underscores: Underscores::Pass,
    }
}

#[test]
fn a_host_of_its_own_replaces_the_clients_which_stays_known() {
    let mut backend = backend();
    backend.host = Some(HeaderValue::from_static("app.internal"));
    let passage = Passage::of(
        Identity::default(),
        Edits::default(),
        FieldEdits::default(),
        &backend,
    );
    let parts = parts("/", &[("host", "shop.example")]);
    let (out, _) = made(&passage, &parts, Leg::SERVED);
    assert_eq!(out.headers()["host"], "app.internal");
    assert_eq!(out.headers()["x-forwarded-host"], "shop.example");
    let origin = passage.origin(&parts, &client());
    let answer = HeaderMap::from_iter([field("location", "http://app.internal/login")]);
    let answer = passage.answer(answer, origin.as_ref());
    assert_eq!(answer["location"], "http://shop.example/login");
}

#[test]
fn edits_reach_requests_copies_and_answers_each_in_its_place() {
    let edits = |name, value| FieldEdits {
        set: vec![field(name, value)],
        ..FieldEdits::default()
    };
    let all = Edits {
        request: edits("x-key", "both"),
        response: FieldEdits {
            remove: vec![HeaderName::from_static("server")],
            ..FieldEdits::default()
        },
        ..Edits::default()
    };
    let copy = FieldEdits {
        remove: vec![header::AUTHORIZATION],
        set: vec![field("supplant-role", "control")],
        add: Vec::new(),
    };
    let passage = Passage::of(Identity::default(), all, copy, &backend());
    let parts = parts(
        "/",
        &[
            ("x-key", "client"),
            ("x_key", "client"),
            ("authorization", "s"),
        ],
    );
    let (served, noticed) = made(&passage, &parts, Leg::SERVED);
    assert_eq!(served.headers()["x-key"], "both");
    assert!(served.headers().contains_key("authorization"));
    assert_eq!(noticed.lookalikes, 1, "an edited name is a managed one");
    let (copy, _) = made(&passage, &parts, COPY);
    assert_eq!(copy.headers()["x-key"], "both");
    assert_eq!(
        copy.headers()["supplant-role"],
        "shadow",
        "the mark is not edited"
    );
    assert!(!copy.headers().contains_key("authorization"));
    let (control, _) = made(&passage, &parts, Leg::copy(Role::Control, Side::Legacy));
    assert!(control.headers().contains_key("authorization"));
    let (again, _) = made(&passage, &parts, Leg::copy(Role::Shadow, Side::Candidate));
    assert!(again.headers().contains_key("authorization"));
    let answer = HeaderMap::from_iter([field("server", "x"), field("x-a", "1")]);
    let answer = passage.answer(answer, None);
    assert_eq!(answer.len(), 1);
}

#[test]
fn an_answer_or_a_101_cannot_name_its_own_meaning_away() {
    let answer = || {
        HeaderMap::from_iter([
            field(
                "connection",
                "upgrade, set-cookie, location, x-gone, content-length",
            ),
            field("upgrade", "websocket"),
            field("set-cookie", "a=1"),
            field("x-gone", "1"),
            field("content-length", "2"),
        ])
    };
    let passage = Passage::default();
    let out = passage.answer(answer(), None);
    assert!(out.contains_key("set-cookie") && out.contains_key("content-length"));
    assert!(!out.contains_key("x-gone") && !out.contains_key("upgrade"));
    let out = passage.switching(answer(), None);
    assert_eq!(out["upgrade"], "websocket");
    assert_eq!(out["connection"], "Upgrade");
    assert!(!out.contains_key("x-gone") && out.contains_key("set-cookie"));
}

proptest! {
    #[test]
    fn both_sides_see_the_same_but_for_the_mark(
        fields in prop::collection::vec(("[a-z_.-]{1,12}|x-forwarded-[a-z]{3,5}|forwarded|connection|via", "[ -~]{0,24}"), 0..12)
    ) {
        let fields = fields.iter().filter(|(n, _)| HeaderName::try_from(n.as_str()).is_ok());
        let fields: Vec<_> = fields.map(|(n, v)| (n.as_str(), v.trim())).collect();
        let parts = parts("/a", &fields);
        for passage in [Passage::default(), trusting(), underscores(Underscores::Drop)] {
            let (served, seen) = made(&passage, &parts, Leg::SERVED);
            let (mut copy, again) = made(&passage, &parts, COPY);
            copy.headers_mut().remove(ROLE);
            let mut served = served.into_parts().0.headers;
            served.remove(ROLE);
            prop_assert_eq!(&served, copy.headers());
            prop_assert_eq!(seen, again);
            for (name, value) in &served {
                prop_assert!(value.as_bytes().iter().all(|b| !matches!(b, b'\r' | b'\n' | 0)));
                let folded = name.as_str().replace(['_', '.'], "-");
                prop_assert!(folded == name.as_str() || !folded.starts_with("x-forwarded-"));
            }
            let _address = passage.address(&parts.headers, &client());
        }
    }

    #[test]
    fn equal_names_keep_their_order(values in prop::collection::vec("[a-z]{1,4}", 1..8), at in 0_usize..8) {
        let mut fields: Vec<_> = values.iter().map(|v| ("x-a", v.as_str())).collect();
        fields.insert(at.min(fields.len()), ("connection", "x-b"));
        fields.push(("x-b", "1"));
        let edits = Edits {
            request: FieldEdits { remove: vec![HeaderName::from_static("x-c")], set: vec![field("x-d", "1")], add: vec![field("x-a", "last")] },
            ..Edits::default()
        };
        let passage = Passage::of(Identity::default(), edits, FieldEdits::default(), &backend());
        let (out, _) = through(&passage, &fields);
        let found: Vec<_> = out.get_all("x-a").iter().map(|v| v.to_str().unwrap()).collect();
        let mut want: Vec<_> = values.iter().map(String::as_str).collect();
        want.push("last");
        prop_assert_eq!(found, want);
    }
}
