//! Names that say that what they name is a secret, and fields that say that they are not. Pure.

/// Names that are one of these, without case, `_` and `-`.
const WHOLE: [&str; 22] = [
    "auth",
    "pin",
    "pan",
    "otp",
    "totp",
    "cvv",
    "cvc",
    "csc",
    "ssn",
    "sid",
    "sessid",
    "pass",
    "pw",
    "pwd",
    "jwt",
    "cookie",
    "cookies",
    "session",
    "nonce",
    "sig",
    "signature",
    "mfa",
];

/// Names that have one of these in them.
const PARTS: [&str; 25] = [
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "passwort",
    "secret",
    "token",
    "apikey",
    "accesskey",
    "privatekey",
    "signingkey",
    "encryptionkey",
    "authorization",
    "credential",
    "setcookie",
    "sessionid",
    "sessid",
    "csrf",
    "xsrf",
    "cardnumber",
    "creditcard",
    "accountnumber",
    "securitycode",
    "socialsecurity",
    "iban",
];

/// Names that end in one of these speak about a secret and hold none.
const ABOUT: [&str; 8] = [
    "type",
    "count",
    "length",
    "limit",
    "expiresin",
    "expiresat",
    "ttl",
    "issuedat",
];

/// Fields that are shown as they are, but for secrets found in them.
const SHOWN: [&str; 48] = [
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "accept-ranges",
    "age",
    "allow",
    "alt-svc",
    "cache-control",
    "connection",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-length",
    "content-range",
    "content-security-policy",
    "content-type",
    "date",
    "etag",
    "expect",
    "expires",
    "host",
    "keep-alive",
    "last-modified",
    "origin",
    "permissions-policy",
    "pragma",
    "range",
    "referrer-policy",
    "retry-after",
    "server",
    "server-timing",
    "strict-transport-security",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "vary",
    "via",
    "warning",
    "www-authenticate",
    "x-cache",
    "x-content-type-options",
    "x-frame-options",
    "x-powered-by",
    "x-response-time",
    "x-runtime",
    "x-xss-protection",
];

/// Bytes of a name that are looked at.
const NAME_BYTES: usize = 96;

/// Returns whether what a name names is a secret.
pub(crate) fn is_secret_name(name: &str) -> bool {
    let bare: String = name
        .chars()
        .take(NAME_BYTES)
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .collect();
    let about = ABOUT.iter().any(|end| bare.ends_with(end));
    WHOLE.contains(&bare.as_str()) || (!about && PARTS.iter().any(|part| bare.contains(part)))
}

/// Returns whether a name in a concrete place says that its value is a secret.
pub(crate) fn is_secret_place(place: &str) -> bool {
    place.split(['.', '[', ']', '"']).any(is_secret_name)
}

/// How the value of a field is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Show {
    /// As it is, but for secrets found in it.
    Text,
    /// As a URL: its path and query as those of a request.
    Url,
    /// Names of cookies and attributes, values as tokens.
    Cookies,
    /// The scheme, then a token.
    Credentials,
    /// A token.
    Token,
}

/// Returns how the value of a header field is shown; `name` is in lower case.
pub(crate) fn show(name: &str) -> Show {
    match name {
        "location" | "content-location" | "referer" => Show::Url,
        "set-cookie" | "cookie" => Show::Cookies,
        "authorization" | "proxy-authorization" => Show::Credentials,
        _ if SHOWN.contains(&name) => Show::Text,
        _ if name.starts_with("access-control-") || name.starts_with("supplant-") => Show::Text,
        _ => Show::Token,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_secrets_are_known_however_they_are_written() {
        for name in [
            "password",
            "userPassword",
            "api_key",
            "X-Api-Key",
            "access_token",
            "CSRF-Token",
            "pin",
            "sid",
        ] {
            assert!(is_secret_name(name), "{name}");
        }
        for name in [
            "name",
            "spin",
            "inside",
            "token_type",
            "expires_in",
            "company",
            "passenger",
            "design",
        ] {
            assert!(!is_secret_name(name), "{name}");
        }
        assert!(is_secret_place("$.user.credentials[0].value"));
        assert!(!is_secret_place("$.user.items[0].value"));
    }
}
