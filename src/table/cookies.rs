//! Which cookies the sides of a slice set. Where both set one of the same name and path, each takes
//! away what the other had stored in a client that meets both. Bounded, and never waited for.

use crate::model::Side;
use crate::upstream::head;
use http::HeaderMap;
use std::sync::Mutex;
use std::sync::TryLockError;

/// How many cookies are remembered.
const MOST: usize = 64;

/// Names and paths longer than this are not remembered.
const LONGEST: usize = 256;

#[derive(Debug)]
struct Cookie {
    name: Box<[u8]>,
    path: Box<[u8]>,
    by: [bool; 2],
}

/// The cookies of one slice.
#[derive(Debug, Default)]
pub(super) struct Cookies(Mutex<Vec<Cookie>>);

impl Cookies {
    /// Remembers which cookies an answer of a side sets; returns how many of them are known from
    /// the other side only since now. When another thread holds them, this is given up.
    pub(super) fn set(&self, side: Side, answer: &HeaderMap) -> u64 {
        let mut cookies = match self.0.try_lock() {
            Ok(cookies) => cookies,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return 0,
        };
        let mut shared = 0;
        for (name, path) in head::set_cookies(answer) {
            let known = cookies
                .iter_mut()
                .find(|c| &*c.name == name && &*c.path == path);
            if let Some(cookie) = known {
                let before = cookie.by;
                cookie.by[side as usize] = true;
                shared += u64::from(before != cookie.by);
            } else if cookies.len() < MOST && name.len() + path.len() <= LONGEST {
                let mut by = [false; 2];
                by[side as usize] = true;
                cookies.push(Cookie {
                    name: name.into(),
                    path: path.into(),
                    by,
                });
            }
        }
        shared
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use http::header;

    fn answer(cookies: &[&str]) -> HeaderMap {
        let values = cookies.iter().map(|c| HeaderValue::from_str(c).unwrap());
        values.map(|v| (header::SET_COOKIE, v)).collect()
    }

    #[test]
    fn a_cookie_that_both_sides_set_counts_once() {
        let cookies = Cookies::default();
        let both = answer(&["sid=1; Path=/", "lang=de"]);
        assert_eq!(cookies.set(Side::Legacy, &both), 0);
        assert_eq!(cookies.set(Side::Legacy, &both), 0);
        assert_eq!(
            cookies.set(Side::Candidate, &answer(&["sid=2; path=/new"])),
            0
        );
        assert_eq!(
            cookies.set(Side::Candidate, &answer(&["sid=2; Secure; PATH=/"])),
            1
        );
        assert_eq!(cookies.set(Side::Candidate, &both), 1, "lang");
        assert_eq!(cookies.set(Side::Candidate, &both), 0);
    }

    #[test]
    fn the_cookies_remembered_are_bounded() {
        let cookies = Cookies::default();
        for i in 0..1_000 {
            cookies.set(Side::Legacy, &answer(&[&format!("c{i}=1")]));
        }
        cookies.set(Side::Legacy, &answer(&[&format!("{}=1", "x".repeat(300))]));
        assert_eq!(cookies.0.lock().unwrap().len(), MOST);
    }
}
