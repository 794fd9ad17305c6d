//! Tokens: kept by their hash, and written for the commands on this machine.

use crate::rules::TokenRole;
use sha2::Digest;
use sha2::Sha256;
use std::fmt;
use std::fmt::Write as _;
use std::io;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

/// The shortest token that is taken, in characters.
const TOKEN_CHARS_MIN: usize = 16;

/// A token by its hash; the text itself is not kept.
#[derive(Clone)]
pub struct Token {
    pub(super) name: Arc<str>,
    pub(super) role: TokenRole,
    pub(super) hash: [u8; 32],
}

impl Token {
    /// Hashes `secret`, surrounding white space aside; none if it is too short to be one.
    pub fn new(name: &str, role: TokenRole, secret: &str) -> Option<Self> {
        let secret = secret.trim();
        (secret.len() >= TOKEN_CHARS_MIN).then(|| Self {
            name: Arc::from(name),
            role,
            hash: Sha256::digest(secret.as_bytes()).into(),
        })
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({}, {})", self.name, self.role.as_str())
    }
}

/// Writes a fresh token (64 hexadecimal digits) to `path`, readable by its owner only.
///
/// # Errors
/// What the file system says; the file is replaced whole or not at all.
pub fn write_token(path: &Path) -> io::Result<String> {
    let token = hex(&random()?);
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let fresh = Path::new(&name);
    match std::fs::remove_file(fresh) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(fresh)?;
    file.write_all(token.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    std::fs::rename(fresh, path)?;
    Ok(token)
}

pub(super) fn random() -> io::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|e| io::Error::other(e.to_string()))?;
    Ok(bytes)
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(64), |mut text, byte| {
            write!(text, "{byte:02x}").expect("a string takes everything");
            text
        })
}

pub(super) fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}
