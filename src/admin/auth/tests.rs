//! The gate, tried from both sides.

use super::*;
use std::os::unix::fs::PermissionsExt;

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const NOW: UnixMillis = UnixMillis(1_000_000);

fn auth(address: &str) -> Auth {
    let tokens = vec![
        Token::new("viewer", TokenRole::Viewer, "a viewer's own secret").unwrap(),
        Token::new("ops", TokenRole::Operator, SECRET).unwrap(),
    ];
    Auth::new(
        address.parse().unwrap(),
        &["admin.example.com".to_owned()],
        tokens,
    )
    .unwrap()
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs
        .iter()
        .map(|(k, v)| (k.parse().unwrap(), v.parse().unwrap()))
        .collect::<Vec<(header::HeaderName, header::HeaderValue)>>()
        .into_iter()
        .collect()
}

#[test]
fn only_loopback_names_and_listed_hosts_are_served() {
    let auth = auth("127.0.0.1:9900");
    for host in [
        "localhost:9900",
        "127.0.0.1:9900",
        "127.0.0.9",
        "[::1]:9900",
        "[::1]",
        "LOCALHOST",
        "admin.example.com",
        "Admin.example.com:443",
    ] {
        assert_eq!(
            auth.check_host(&headers(&[("host", host)])),
            Ok(()),
            "{host}"
        );
    }
    for host in [
        "evil.example",
        "localhost.evil.example",
        "10.0.0.1:9900",
        "127.0.0.1.evil.example",
        "",
        ":9900",
    ] {
        assert_eq!(
            auth.check_host(&headers(&[("host", host)])),
            Err(Denied::Host),
            "{host}"
        );
    }
    assert_eq!(auth.check_host(&HeaderMap::new()), Err(Denied::Host));
}

#[test]
fn foreign_pages_cannot_post() {
    let auth = auth("127.0.0.1:9900");
    let post = |pairs: &[(&'static str, &str)]| {
        let mut all = vec![("host", "127.0.0.1:9900")];
        all.extend(pairs);
        auth.check_origin(&Method::POST, &headers(&all))
    };
    assert_eq!(post(&[]), Ok(()), "curl sends neither");
    assert_eq!(post(&[("origin", "http://127.0.0.1:9900")]), Ok(()));
    assert_eq!(
        post(&[
            ("origin", "http://127.0.0.1:9900"),
            ("sec-fetch-site", "same-origin")
        ]),
        Ok(())
    );
    for origin in [
        "null",
        "http://evil.example",
        "http://127.0.0.1:8080",
        "127.0.0.1:9900",
    ] {
        assert_eq!(post(&[("origin", origin)]), Err(Denied::Origin), "{origin}");
    }
    assert_eq!(
        post(&[("sec-fetch-site", "cross-site")]),
        Err(Denied::Origin)
    );
    assert_eq!(
        post(&[("sec-fetch-site", "same-site")]),
        Err(Denied::Origin)
    );
}

#[test]
fn without_a_token_loopback_may_lower_and_nobody_else_may_anything() {
    let who = auth("127.0.0.1:9900").who(&HeaderMap::new(), NOW).unwrap();
    assert!(who.may_lower() && !who.may_raise() && !who.sees_values());
    let far = auth("0.0.0.0:9900").who(&HeaderMap::new(), NOW);
    assert_eq!(far, Err(Denied::Token));
}

#[test]
fn a_bearer_token_says_who_and_a_wrong_one_is_refused_on_loopback_too() {
    let auth = auth("127.0.0.1:9900");
    let bearer = |secret: &str| {
        auth.who(
            &headers(&[("authorization", &format!("Bearer {secret}"))]),
            NOW,
        )
    };
    let who = bearer(SECRET).unwrap();
    assert_eq!(who.actor(), "token ops");
    assert!(who.may_raise() && who.sees_values());
    let viewer = bearer("a viewer's own secret").unwrap();
    assert!(!viewer.may_raise() && !viewer.sees_values() && viewer.may_lower());
    assert_eq!(bearer("wrong").err(), Some(Denied::Token));
    let basic = auth.who(&headers(&[("authorization", "Basic YTpi")]), NOW);
    assert_eq!(basic, Err(Denied::Token));
}

#[test]
fn a_viewers_token_off_loopback_lowers_nothing() {
    let auth = auth("0.0.0.0:9900");
    let who = auth
        .who(
            &headers(&[("authorization", "Bearer a viewer's own secret")]),
            NOW,
        )
        .unwrap();
    assert!(!who.may_lower());
}

#[test]
fn a_session_lasts_until_it_ends_and_its_forms_are_its_own() {
    let auth = auth("127.0.0.1:9900");
    assert_eq!(auth.sign_in("wrong", NOW), Err(Denied::Token));
    let set = auth.sign_in(SECRET, NOW).unwrap();
    assert!(set.contains("HttpOnly") && set.contains("SameSite=Strict"));
    let cookie = set.split(';').next().unwrap().to_owned();
    let jar = headers(&[("cookie", &format!("a=b; {cookie}"))]);
    let who = auth.who(&jar, NOW).unwrap();
    assert!(who.may_raise() && Auth::by_session(&who));

    let anonymous = auth.who(&HeaderMap::new(), NOW).unwrap();
    let form = auth.form_token(&who);
    assert_eq!(auth.check_form(&who, &form), Ok(()));
    assert_eq!(auth.check_form(&anonymous, &form), Err(Denied::Form));
    assert_eq!(auth.check_form(&who, ""), Err(Denied::Form));

    let late = NOW.plus(SESSION_AGE);
    assert!(!auth.who(&jar, late).unwrap().may_raise());
    let set = auth.sign_in(SECRET, NOW).unwrap();
    let jar = headers(&[("cookie", set.split(';').next().unwrap())]);
    let who = auth.who(&jar, NOW).unwrap();
    assert!(auth.sign_out(&who).contains("Max-Age=0"));
    assert!(!auth.who(&jar, NOW).unwrap().may_raise());
}

#[test]
fn sessions_are_bounded() {
    let auth = auth("127.0.0.1:9900");
    for _ in 0..SESSIONS_MAX + 10 {
        auth.sign_in(SECRET, NOW).unwrap();
    }
    assert_eq!(auth.sessions().len(), SESSIONS_MAX);
}

#[test]
fn an_open_address_needs_a_token() {
    assert!(refuse_open("0.0.0.0".parse().unwrap(), 0).is_some());
    assert!(refuse_open("0.0.0.0".parse().unwrap(), 1).is_none());
    assert!(refuse_open("127.0.0.1".parse().unwrap(), 0).is_none());
    assert!(refuse_open("::1".parse().unwrap(), 0).is_none());
}

#[test]
fn the_token_file_is_fresh_at_each_start_and_private() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("supplant.token");
    let first = write_token(&path).unwrap();
    let second = write_token(&path).unwrap();
    assert!(first.len() == 64 && first != second);
    assert_eq!(std::fs::read_to_string(&path).unwrap().trim(), second);
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn nothing_secret_is_debugged() {
    let text = format!("{:?}", auth("127.0.0.1:9900"));
    assert!(!text.contains(SECRET) && !text.contains("key"), "{text}");
}
