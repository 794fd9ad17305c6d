//! References in answers, as the client can follow them: `Location`, `Content-Location`, `Refresh`,
//! and the `Path` of `Set-Cookie`. Pure.

use super::cookies::path_of;
use super::moved::Moved;
use crate::rules;
use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::header;
use std::borrow::Cow;

const REFRESH: HeaderName = HeaderName::from_static("refresh");

/// How a client reached what it asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// What it speaks, with whoever stands before us.
    pub(super) scheme: &'static str,
    /// The host it asked for, as it knows it.
    pub(super) host: Option<Box<str>>,
    /// The `Host` that came with the request.
    pub(super) asked: Option<Box<str>>,
}

/// A host and perhaps a port, in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Authority {
    host: Box<str>,
    port: Option<u16>,
}

impl Authority {
    /// Reads `host`, `host:port` or `[v6]:port`; nothing of anything else.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (host, port) = match text.rfind(':') {
            Some(at) if !text.ends_with(']') => text.split_at(at),
            _ => (text, ""),
        };
        let port = port.strip_prefix(':').unwrap_or(port);
        let known = |b: u8| b.is_ascii_graphic() && !matches!(b, b'/' | b'?' | b'#' | b'@' | b'"');
        if host.is_empty() || !host.bytes().all(known) {
            return None;
        }
        Some(Self {
            host: host.to_ascii_lowercase().into(),
            port: if port.is_empty() {
                None
            } else {
                Some(port.parse().ok()?)
            },
        })
    }

    /// Returns the authorities of an application: those of its endpoints, and the `Host` it gets.
    pub(super) fn of(backend: &rules::Backend) -> Vec<Self> {
        let endpoints = backend.endpoints.iter().filter_map(|endpoint| {
            let rules::Endpoint::Tcp { host, port, .. } = endpoint else {
                return None;
            };
            Some(Self {
                host: bracketed(host).to_ascii_lowercase().into(),
                port: Some(*port),
            })
        });
        let named = backend
            .host
            .iter()
            .filter_map(|h| Self::parse(h.to_str().ok()?));
        endpoints.chain(named).collect()
    }

    fn is(&self, other: &Self, default: u16) -> bool {
        self.host == other.host && self.port.unwrap_or(default) == other.port.unwrap_or(default)
    }
}

/// Returns a host as it stands in an authority: an address of IPv6 in brackets.
pub(in crate::upstream) fn bracketed(host: &str) -> Cow<'_, str> {
    if host.contains(':') {
        format!("[{host}]").into()
    } else {
        host.into()
    }
}

/// Moves the references of one answer back.
#[derive(Debug)]
pub(super) struct Back<'a> {
    pub(super) moved: Option<&'a Moved>,
    /// The application's own authorities.
    pub(super) own: &'a [Authority],
    pub(super) origin: &'a Origin,
}

impl Back<'_> {
    /// Moves all of them. Values of one name keep their order.
    pub(super) fn all(&self, headers: &mut HeaderMap) {
        for name in [header::LOCATION, header::CONTENT_LOCATION] {
            Self::each(headers, &name, |text| self.reference(text));
        }
        Self::each(headers, &REFRESH, |text| self.refresh(text));
        Self::each(headers, &header::SET_COOKIE, |text| self.cookie(text));
    }

    fn each(headers: &mut HeaderMap, name: &HeaderName, change: impl Fn(&str) -> Option<Vec<u8>>) {
        if let http::header::Entry::Occupied(mut entry) = headers.entry(name) {
            for value in entry.iter_mut() {
                let text = std::str::from_utf8(value.as_bytes()).ok();
                let new = text.and_then(&change);
                if let Some(new) = new.and_then(|new| HeaderValue::from_bytes(&new).ok()) {
                    *value = new;
                }
            }
        }
    }

    /// Returns a reference as the client can follow it; nothing if it stays as it is.
    fn reference(&self, text: &str) -> Option<Vec<u8>> {
        if let Some(rest) = text.strip_prefix("//") {
            return self.absolute(None, rest);
        }
        if text.starts_with('/') {
            return self.path(text).map(String::into_bytes);
        }
        let (scheme, rest) = text.split_once("://")?;
        let scheme = ["http", "https"]
            .into_iter()
            .find(|known| scheme.eq_ignore_ascii_case(known))?;
        self.absolute(Some(scheme), rest)
    }

    /// Moves what stands after `//`.
    fn absolute(&self, scheme: Option<&'static str>, rest: &str) -> Option<Vec<u8>> {
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        let named = Authority::parse(authority)?;
        let default = match scheme.unwrap_or(self.origin.scheme) {
            "https" => 443,
            _ => 80,
        };
        let path = if target.starts_with('/') {
            self.path(target)
        } else {
            // `http://host` and `http://host?q` mean the root.
            self.path(&format!("/{target}"))
        };
        let hosts = [&self.origin.host, &self.origin.asked];
        let asked = hosts
            .into_iter()
            .flatten()
            .filter_map(|h| Authority::parse(h));
        if asked.into_iter().any(|host| host.is(&named, default)) {
            let path = path?;
            let scheme = scheme.map_or(String::new(), |s| format!("{s}:"));
            return Some(format!("{scheme}//{authority}{path}").into_bytes());
        }
        if !self.own.iter().any(|own| own.is(&named, default)) {
            return None;
        }
        let path = path.unwrap_or_else(|| target.to_owned());
        let moved = match (&self.origin.host, scheme) {
            (Some(host), Some(_)) => format!("{}://{host}{path}", self.origin.scheme),
            (Some(host), None) => format!("//{host}{path}"),
            (None, _) if path.starts_with('/') => path,
            (None, _) => format!("/{path}"),
        };
        Some(moved.into_bytes())
    }

    /// Moves a path with whatever follows it.
    fn path(&self, text: &str) -> Option<String> {
        let end = text.find(['?', '#']).unwrap_or(text.len());
        let (path, after) = text.split_at(end);
        let mut moved = self.moved?.back(path)?;
        moved.push_str(after);
        // What begins with two slashes would name a host.
        (!moved.starts_with("//")).then_some(moved)
    }

    /// `5; url=/there`, with or without quotes.
    fn refresh(&self, text: &str) -> Option<Vec<u8>> {
        let at = text.find([';', ','])? + 1;
        let (before, rest) = text.split_at(at);
        let named = rest.trim_start();
        let url = strip_word(named, "url")
            .and_then(|rest| rest.trim_start().strip_prefix('='))
            .map_or(named, str::trim_start);
        let quote = url.chars().next().filter(|c| matches!(c, '"' | '\''));
        let inner = quote.map_or(url, |_| url.get(1..).unwrap_or(""));
        let end = match quote {
            Some(quote) => inner.find(quote).unwrap_or(inner.len()),
            None => inner.trim_end().len(),
        };
        let (inner, after) = inner.split_at(end);
        let moved = self.reference(inner)?;
        let skipped = rest.len() - url.len() + quote.map_or(0, char::len_utf8);
        let opening = rest.get(..skipped)?;
        Some(
            [
                before.as_bytes(),
                opening.as_bytes(),
                &moved,
                after.as_bytes(),
            ]
            .concat(),
        )
    }

    fn cookie(&self, text: &str) -> Option<Vec<u8>> {
        let moved = self.moved?;
        let mut changed = false;
        let mut out: Vec<u8> = Vec::with_capacity(text.len() + 32);
        for (i, part) in text.split(';').enumerate() {
            if i > 0 {
                out.push(b';');
            }
            let path = path_of(part.as_bytes()).filter(|_| i > 0);
            let path = path.and_then(|path| std::str::from_utf8(path).ok());
            let Some(back) = path.and_then(|path| cookie_path(moved, path)) else {
                out.extend_from_slice(part.as_bytes());
                continue;
            };
            changed = true;
            let (name, _) = part.split_once('=').unwrap_or((part, ""));
            out.extend_from_slice(name.as_bytes());
            out.push(b'=');
            out.extend_from_slice(back.as_bytes());
        }
        changed.then_some(out)
    }
}

/// The root of an application is its prefix for a cookie: with a slash at its end, the prefix itself
/// would not get it (RFC 6265 section 5.1.4).
fn cookie_path(moved: &Moved, path: &str) -> Option<String> {
    let mut back = moved.back(path)?;
    if path == "/" && back.len() > 1 && back.ends_with('/') {
        back.pop();
    }
    Some(back)
}

fn strip_word<'t>(text: &'t str, word: &str) -> Option<&'t str> {
    let (head, rest) = text.split_at_checked(word.len())?;
    head.eq_ignore_ascii_case(word).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Rewrite;
    use proptest::prelude::*;

    fn back(name: &'static str, value: &str) -> String {
        let moved = Moved::new(&Rewrite {
            from: "/api".to_owned(),
            to: "/v2".to_owned(),
        });
        let origin = Origin {
            scheme: "https",
            host: Some("shop.example".into()),
            asked: Some("inner.example:8080".into()),
        };
        let own = ["127.0.0.1:4000", "app.internal"].map(|a| Authority::parse(a).unwrap());
        let back = Back {
            moved: Some(&moved),
            own: &own,
            origin: &origin,
        };
        let mut headers = HeaderMap::new();
        headers.append(name, HeaderValue::from_str(value).unwrap());
        back.all(&mut headers);
        headers[name].to_str().unwrap().to_owned()
    }

    #[test]
    fn references_to_the_application_follow_and_all_others_stay() {
        for (sent, want) in [
            ("/v2/x?y#z", "/api/x?y#z"),
            ("/v2", "/api"),
            ("/v20", "/v20"),
            ("/login", "/login"),
            ("x/y", "x/y"),
            ("../v2/x", "../v2/x"),
            ("?page=2", "?page=2"),
            ("#v2", "#v2"),
            ("", ""),
            ("http://127.0.0.1:4000/v2/x", "https://shop.example/api/x"),
            ("http://127.0.0.1:4000/other", "https://shop.example/other"),
            ("http://127.0.0.1:4000", "https://shop.example"),
            ("http://127.0.0.1:4001/v2/x", "http://127.0.0.1:4001/v2/x"),
            ("http://app.internal:80/v2?q", "https://shop.example/api?q"),
            ("https://APP.internal/v2/", "https://shop.example/api/"),
            ("//app.internal/v2/x", "//shop.example/api/x"),
            ("https://shop.example/v2/x", "https://shop.example/api/x"),
            ("http://SHOP.example/v2/x", "http://SHOP.example/api/x"),
            (
                "https://shop.example:443/v2",
                "https://shop.example:443/api",
            ),
            (
                "http://inner.example:8080/v2/x",
                "http://inner.example:8080/api/x",
            ),
            ("https://shop.example/x", "https://shop.example/x"),
            (
                "https://foreign.example/v2/x",
                "https://foreign.example/v2/x",
            ),
            ("https://a@shop.example/v2/x", "https://a@shop.example/v2/x"),
            ("ftp://shop.example/v2/x", "ftp://shop.example/v2/x"),
            ("mailto:v2@shop.example", "mailto:v2@shop.example"),
            (
                "javascript://shop.example/v2/x",
                "javascript://shop.example/v2/x",
            ),
        ] {
            assert_eq!(back("location", sent), want, "{sent}");
            assert_eq!(back("content-location", sent), want, "{sent}");
        }
    }

    #[test]
    fn a_refresh_follows_in_any_of_its_spellings() {
        for (sent, want) in [
            ("5; url=/v2/x", "5; url=/api/x"),
            ("5;URL = \"/v2/x\"", "5;URL = \"/api/x\""),
            ("0, '/v2/x' ", "0, '/api/x' "),
            ("5; url='/v2/x", "5; url='/api/x"),
            (
                "5; url=http://127.0.0.1:4000/v2",
                "5; url=https://shop.example/api",
            ),
            ("5", "5"),
            ("5; url=x", "5; url=x"),
            (
                "5; url=https://foreign.example/v2",
                "5; url=https://foreign.example/v2",
            ),
        ] {
            assert_eq!(back("refresh", sent), want, "{sent}");
        }
    }

    #[test]
    fn the_path_of_a_cookie_follows() {
        for (sent, want) in [
            ("a=1; Path=/v2; HttpOnly", "a=1; Path=/api; HttpOnly"),
            ("a=1;path = /v2/x", "a=1;path =/api/x"),
            ("a=1; Path=/", "a=1; Path=/"),
            ("a=1; Path=/v20", "a=1; Path=/v20"),
            ("path=/v2", "path=/v2"),
            ("a=1; Domain=x; Path=", "a=1; Domain=x; Path="),
        ] {
            assert_eq!(back("set-cookie", sent), want, "{sent}");
        }
    }

    #[test]
    fn the_root_of_an_application_is_its_prefix_for_a_cookie() {
        let moved = Moved::new(&Rewrite {
            from: "/shop".to_owned(),
            to: String::new(),
        });
        assert_eq!(cookie_path(&moved, "/").as_deref(), Some("/shop"));
        assert_eq!(cookie_path(&moved, "/cart").as_deref(), Some("/shop/cart"));
    }

    proptest! {
        #[test]
        fn whatever_is_sent_gives_a_value_without_line_ends(
            bytes in prop::collection::vec(any::<u8>(), 0..80),
            form in 0..4,
        ) {
            let Ok(tail) = HeaderValue::from_bytes(&bytes) else { return Ok(()) };
            let front: &[u8] = match form {
                0 => b"/v2/",
                1 => b"http://app.internal/v2",
                2 => b"1;url=/v2",
                _ => b"a=b; path=/v2",
            };
            let value = HeaderValue::from_bytes(&[front, tail.as_bytes()].concat()).unwrap();
            let moved = Moved::new(&Rewrite { from: "/api".into(), to: "/v2".into() });
            let origin = Origin { scheme: "http", host: Some("h".into()), asked: None };
            let own = [Authority::parse("app.internal").unwrap()];
            let back = Back { moved: Some(&moved), own: &own, origin: &origin };
            for name in [header::LOCATION, REFRESH, header::SET_COOKIE] {
                let mut headers = HeaderMap::new();
                headers.append(&name, value.clone());
                headers.append(&name, HeaderValue::from_static("second"));
                back.all(&mut headers);
                let all: Vec<_> = headers.get_all(&name).iter().collect();
                prop_assert_eq!(all.len(), 2);
                prop_assert_eq!(all[1], "second");
                let clean = |b: &u8| !matches!(b, b'\r' | b'\n' | 0);
                prop_assert!(all[0].as_bytes().iter().all(clean));
            }
        }
    }
}
