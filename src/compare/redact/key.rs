//! The key that secrets are replaced under. Pure.

use hmac::Hmac;
use hmac::KeyInit;
use hmac::Mac;
use sha2::Sha256;
use std::fmt;
use std::fmt::Write;

/// The key of an installation's tokens. Whoever rotates it makes old and new tokens unlike.
#[derive(Clone)]
pub struct RedactKey([u8; 32]);

impl RedactKey {
    /// Takes a key as it is.
    pub fn new(key: [u8; 32]) -> Self {
        Self(key)
    }

    /// Returns what stands for a secret: `«token 3f9a1c»`, the same for equal bytes.
    pub(crate) fn token(&self, secret: &[u8]) -> String {
        let mut text = String::from("«token ");
        self.digest(secret, &mut text);
        text.push('»');
        text
    }

    /// Appends six hexadecimal digits of HMAC-SHA-256.
    pub(crate) fn digest(&self, secret: &[u8], text: &mut String) {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(secret);
        for byte in mac.finalize().into_bytes().iter().take(3) {
            // Writing to a string cannot fail.
            let _written = write!(text, "{byte:02x}");
        }
    }
}

impl fmt::Debug for RedactKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RedactKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_secrets_have_equal_tokens_under_one_key_only() {
        let (a, b) = (RedactKey::new([1; 32]), RedactKey::new([2; 32]));
        assert_eq!(a.token(b"x"), a.token(b"x"));
        assert_ne!(a.token(b"x"), a.token(b"y"));
        assert_ne!(a.token(b"x"), b.token(b"x"));
        assert_eq!(
            a.token(b"x").chars().count(),
            "«token 3f9a1c»".chars().count()
        );
        assert!(!format!("{a:?}").contains('1'));
    }
}
