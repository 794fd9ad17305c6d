//! What can be wrong with a store.

/// Why the store did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A lock of somebody else outlived our patience.
    #[error("another process holds a lock on it")]
    Busy,
    /// There is no room.
    #[error("the disk is full")]
    Full,
    /// What is there is not a store any more.
    #[error("it is damaged: {0}")]
    Damaged(String),
    /// A later version wrote it; it is left alone.
    #[error("a later version of supplant wrote it (schema {0})")]
    Later(i64),
    /// The directory it lies in is not there.
    #[error("its directory `{0}` does not exist")]
    NoDirectory(String),
    /// The path is not a store's, or not the open file's any more.
    #[error("{0}")]
    Other(String),
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        let sqlx::Error::Database(inner) = &error else {
            return Self::Other(error.to_string());
        };
        // Extended result codes keep the primary one in their low byte.
        let code = inner.code().and_then(|c| c.parse::<i64>().ok());
        match code.map(|c| c & 0xff) {
            Some(5 | 6) => Self::Busy,
            Some(13) => Self::Full,
            Some(11 | 26) => Self::Damaged(inner.message().to_owned()),
            _ => Self::Other(inner.message().to_owned()),
        }
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::StorageFull => Self::Full,
            _ => Self::Other(error.to_string()),
        }
    }
}
