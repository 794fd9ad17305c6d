//! Who may look, who may act, and from where.
//!
//! On loopback a page without a token may look (shapes only), kill and roll back. Everything that
//! raises, reloads or shows values needs a token, on loopback too. Tokens are kept as hashes and
//! compared in constant time. Three checks keep foreign pages of the same browser out: an
//! allow-list for `Host` (DNS rebinding), same-origin for every POST, and a token in each form.

mod token;

#[cfg(test)]
mod tests;

pub use token::Token;
pub use token::write_token;

use axum::http::HeaderMap;
use axum::http::Method;
use axum::http::header;
use hmac::Hmac;
use hmac::KeyInit;
use hmac::Mac;
use sha2::Digest;
use sha2::Sha256;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use subtle::ConstantTimeEq;

use crate::admin::auth::token::hex;
use crate::admin::auth::token::random;
use crate::admin::auth::token::unhex;
use crate::model::UnixMillis;
use crate::rules::TokenRole;

/// Sessions kept; the oldest makes room.
const SESSIONS_MAX: usize = 256;
/// How long a session lasts.
const SESSION_AGE: Duration = Duration::from_hours(12);

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    /// The name of the token, or none for somebody on this machine without one.
    pub token: Option<Arc<str>>,
    /// What the token allows; [`TokenRole::Viewer`] without one.
    pub role: TokenRole,
    /// Whether the listener is on loopback, so that everybody who reaches it may kill.
    pub local: bool,
    session: Option<[u8; 32]>,
}

impl Who {
    /// Returns the name for the history.
    pub fn actor(&self) -> String {
        match &self.token {
            Some(name) => format!("token {name}"),
            None => "someone on this machine".to_owned(),
        }
    }

    /// Returns whether values may be shown, not only shapes.
    pub fn sees_values(&self) -> bool {
        self.token.is_some() && self.role >= TokenRole::Operator
    }

    /// Returns whether kills and rollbacks are allowed.
    pub fn may_lower(&self) -> bool {
        self.local || self.role >= TokenRole::Operator
    }

    /// Returns whether `resume`, `deploys` and `reload` are allowed.
    pub fn may_raise(&self) -> bool {
        self.token.is_some() && self.role >= TokenRole::Operator
    }
}

/// Why a request was turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// `Host` is not one of ours.
    #[error("this `Host` is not served here: use a loopback name, or list it under `admin.hosts`")]
    Host,
    /// A page of another origin sent it.
    #[error("another site may not ask this")]
    Origin,
    /// The form lacks its token, or it is an old one.
    #[error("the page was too old: load it again and repeat")]
    Form,
    /// No token, or an unknown one.
    #[error("a token is needed: send `Authorization: Bearer …`, or sign in on the page")]
    Token,
    /// The token does not reach that far.
    #[error("the token's role does not allow this")]
    Role,
}

struct Session {
    id: [u8; 32],
    token: Arc<str>,
    role: TokenRole,
    until: UnixMillis,
}

struct Inner {
    local: bool,
    port: u16,
    hosts: Vec<String>,
    tokens: Vec<Token>,
    key: [u8; 32],
    sessions: Mutex<VecDeque<Session>>,
}

/// Decides who may do what on the admin listener. Cheap to clone.
#[derive(Clone)]
pub struct Auth(Arc<Inner>);

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auth")
            .field("local", &self.0.local)
            .field("tokens", &self.0.tokens)
            .finish_non_exhaustive()
    }
}

/// Returns why `address` must not be listened on with these tokens, or nothing.
///
/// Loopback is always fine. Anywhere else the listener answers nobody without a token, so one has
/// to be there.
pub fn refuse_open(address: IpAddr, tokens: usize) -> Option<String> {
    (!address.is_loopback() && tokens == 0).then(|| {
        format!(
            "admin listens on `{address}`, which is not loopback, without a token; add \
             `tokens: [{{ name: …, role: operator, file: … }}]` under `admin`, or use 127.0.0.1"
        )
    })
}

impl Auth {
    /// Makes the gate of a listener on `address`; `hosts` are names accepted beside loopback.
    ///
    /// # Errors
    /// Fails if the system gives no random bytes.
    pub fn new(address: SocketAddr, hosts: &[String], tokens: Vec<Token>) -> io::Result<Self> {
        let mut hosts: Vec<String> = hosts.iter().map(|h| h.to_ascii_lowercase()).collect();
        if !address.ip().is_unspecified() {
            hosts.push(bracketed(address.ip()));
        }
        Ok(Self(Arc::new(Inner {
            local: address.ip().is_loopback(),
            port: address.port(),
            hosts,
            tokens,
            key: random()?,
            sessions: Mutex::default(),
        })))
    }

    /// Checks that `Host` names this listener.
    pub fn check_host(&self, headers: &HeaderMap) -> Result<(), Denied> {
        let host = one(headers, header::HOST.as_str()).ok_or(Denied::Host)?;
        let name = host_name(host).to_ascii_lowercase();
        let loopback = name == "localhost"
            || name.ends_with(".localhost")
            || name
                .trim_matches(['[', ']'])
                .parse::<IpAddr>()
                .is_ok_and(|ip| ip.is_loopback());
        let listed = self
            .0
            .hosts
            .iter()
            .any(|h| *h == name || h.eq_ignore_ascii_case(host));
        if loopback || listed {
            Ok(())
        } else {
            Err(Denied::Host)
        }
    }

    /// Checks that a request with effects was not sent by a page of another origin.
    ///
    /// Programs send neither field and pass; browsers always send one with a POST.
    pub fn check_origin(&self, method: &Method, headers: &HeaderMap) -> Result<(), Denied> {
        if method.is_safe() {
            return Ok(());
        }
        let site = one(headers, "sec-fetch-site").unwrap_or("none");
        if !matches!(site, "same-origin" | "none") {
            return Err(Denied::Origin);
        }
        let Some(origin) = headers.get(header::ORIGIN) else {
            return Ok(());
        };
        let host = one(headers, header::HOST.as_str()).unwrap_or("");
        let origin = origin.to_str().map_err(|_| Denied::Origin)?;
        let own = origin
            .strip_prefix("http://")
            .or_else(|| origin.strip_prefix("https://"));
        match own {
            Some(own) if own.eq_ignore_ascii_case(host) => Ok(()),
            _ => Err(Denied::Origin),
        }
    }

    /// Says who asks: by bearer token, by session, or nobody in particular on loopback.
    ///
    /// # Errors
    /// An unknown token is refused even where none is needed, so that a typing error is seen.
    pub fn who(&self, headers: &HeaderMap, now: UnixMillis) -> Result<Who, Denied> {
        if let Some(value) = headers.get(header::AUTHORIZATION) {
            let value = value.to_str().map_err(|_| Denied::Token)?;
            let secret = value
                .split_once(' ')
                .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
                .map(|(_, secret)| secret)
                .ok_or(Denied::Token)?;
            let token = self.token(secret).ok_or(Denied::Token)?;
            return Ok(self.named(token.name.clone(), token.role, None));
        }
        if let Some(id) = cookie(headers, &self.cookie_name()).and_then(unhex)
            && let Some((name, role)) = self.session(&id, now)
        {
            return Ok(self.named(name, role, Some(id)));
        }
        if self.0.local {
            return Ok(Who {
                token: None,
                role: TokenRole::Viewer,
                local: true,
                session: None,
            });
        }
        Err(Denied::Token)
    }

    fn named(&self, name: Arc<str>, role: TokenRole, session: Option<[u8; 32]>) -> Who {
        Who {
            token: Some(name),
            role,
            local: self.0.local,
            session,
        }
    }

    /// Looks at every token, so that the time taken says nothing about which one came close.
    fn token(&self, secret: &str) -> Option<&Token> {
        let hash: [u8; 32] = Sha256::digest(secret.trim().as_bytes()).into();
        let mut found = None;
        for token in &self.0.tokens {
            if bool::from(token.hash.ct_eq(&hash)) {
                found = Some(token);
            }
        }
        found
    }

    fn session(&self, id: &[u8; 32], now: UnixMillis) -> Option<(Arc<str>, TokenRole)> {
        let hash: [u8; 32] = Sha256::digest(id).into();
        let mut sessions = self.sessions();
        sessions.retain(|s| s.until > now);
        sessions
            .iter()
            .find(|s| bool::from(s.id.ct_eq(&hash)))
            .map(|s| (s.token.clone(), s.role))
    }

    fn sessions(&self) -> std::sync::MutexGuard<'_, VecDeque<Session>> {
        self.0
            .sessions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a token once and returns the `Set-Cookie` value of a session.
    ///
    /// # Errors
    /// [`Denied::Token`] if it is unknown.
    pub fn sign_in(&self, secret: &str, now: UnixMillis) -> Result<String, Denied> {
        let token = self.token(secret).ok_or(Denied::Token)?;
        let id = random().map_err(|_| Denied::Token)?;
        let mut sessions = self.sessions();
        if sessions.len() >= SESSIONS_MAX {
            sessions.pop_front();
        }
        sessions.push_back(Session {
            id: Sha256::digest(id).into(),
            token: token.name.clone(),
            role: token.role,
            until: now.plus(SESSION_AGE),
        });
        Ok(format!(
            "{}={}; Path=/; Max-Age={}; HttpOnly; SameSite=Strict",
            self.cookie_name(),
            hex(&id),
            SESSION_AGE.as_secs()
        ))
    }

    /// Ends the session of `who` and returns the `Set-Cookie` value that forgets it.
    pub fn sign_out(&self, who: &Who) -> String {
        if let Some(id) = &who.session {
            let hash: [u8; 32] = Sha256::digest(id).into();
            self.sessions().retain(|s| s.id != hash);
        }
        format!(
            "{}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict",
            self.cookie_name()
        )
    }

    /// Returns the token that forms of `who` carry.
    pub fn form_token(&self, who: &Who) -> String {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.0.key).expect("HMAC takes keys of any length");
        mac.update(b"form");
        mac.update(&who.session.unwrap_or_default());
        hex(&mac.finalize().into_bytes())
    }

    /// Checks the token of a form.
    pub fn check_form(&self, who: &Who, token: &str) -> Result<(), Denied> {
        let own = self.form_token(who);
        if bool::from(own.as_bytes().ct_eq(token.as_bytes())) {
            Ok(())
        } else {
            Err(Denied::Form)
        }
    }

    /// Returns whether `who` came by a session, so that an API call needs the form token too.
    pub fn by_session(who: &Who) -> bool {
        who.session.is_some()
    }

    /// Cookies know no ports: the name keeps two proxies on one machine apart.
    fn cookie_name(&self) -> String {
        format!("supplant_session_{}", self.0.port)
    }
}

fn one<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

/// Returns the value of the cookie `name`.
pub(crate) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

fn host_name(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

fn bracketed(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}
