//! Keeps a bounded copy of a body that streams by.

use super::memory::Held;
use super::memory::Memory;
use crate::compare::CapturedBody;
use bytes::Bytes;
use bytes::BytesMut;

/// Pieces smaller than this are copied together; larger ones are kept by reference, so that a body
/// that drips in does not hold a read buffer for each of its bytes.
const SMALL: usize = 2_048;

#[derive(Debug, PartialEq, Eq)]
enum State {
    Keeping,
    Over,
    NoMemory,
}

/// A body as far as it has come.
#[derive(Debug)]
pub struct Tee {
    limit: u64,
    len: u64,
    first: Option<Bytes>,
    rest: BytesMut,
    held: Held,
    state: State,
}

impl Tee {
    /// Starts with nothing, to keep at most `limit` bytes.
    pub fn new(limit: u64, memory: &Memory) -> Self {
        Self {
            limit,
            len: 0,
            first: None,
            rest: BytesMut::new(),
            held: memory.hold(),
            state: State::Keeping,
        }
    }

    /// Takes a piece; over the limit, or without memory, what was kept is freed and only its length
    /// is counted on.
    pub fn push(&mut self, piece: &Bytes) {
        self.len += piece.len() as u64;
        if self.state != State::Keeping || piece.is_empty() {
            return;
        }
        if self.len > self.limit {
            self.free(State::Over);
        } else if !self.held.add(piece.len()) {
            self.free(State::NoMemory);
        } else if self.first.is_none() && self.rest.is_empty() && piece.len() >= SMALL {
            self.first = Some(piece.clone());
        } else if self.first.is_none() && self.rest.is_empty() {
            self.first = Some(Bytes::copy_from_slice(piece));
        } else {
            if let Some(first) = self.first.take() {
                self.rest.reserve(first.len() + piece.len());
                self.rest.extend_from_slice(&first);
            }
            self.rest.extend_from_slice(piece);
        }
    }

    fn free(&mut self, state: State) {
        self.first = None;
        self.rest = BytesMut::new();
        self.held.release();
        self.state = state;
    }

    /// Returns how many bytes came by.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Returns whether nothing came by yet.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns whether the body is over the limit.
    pub fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// Ends the capture. Nothing is returned where there was no memory for it.
    pub fn finish(self, complete: bool) -> Option<(CapturedBody, Held)> {
        let body = match self.state {
            State::NoMemory => return None,
            State::Over => CapturedBody::TooLarge {
                len: self.len,
                complete,
            },
            State::Keeping => CapturedBody::Whole(match self.first {
                Some(first) => first,
                None => self.rest.freeze(),
            }),
        };
        Some((body, self.held))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tee(limit: u64, memory: usize, pieces: &[&[u8]]) -> Option<CapturedBody> {
        let mut tee = Tee::new(limit, &Memory::new(memory));
        for piece in pieces {
            tee.push(&Bytes::copy_from_slice(piece));
        }
        tee.finish(true).map(|(body, _)| body)
    }

    #[test]
    fn pieces_are_kept_whole_and_in_order() {
        let whole = tee(10, 10, &[b"abc", b"", b"de", b"f"]);
        assert!(matches!(whole, Some(CapturedBody::Whole(b)) if b == "abcdef"));
        let large = vec![7u8; 3 * SMALL];
        let whole = tee(1 << 20, 1 << 20, &[&large, b"x"]);
        assert!(matches!(whole, Some(CapturedBody::Whole(b)) if b.len() == 3 * SMALL + 1));
    }

    #[test]
    fn over_the_limit_only_the_length_is_kept() {
        let over = tee(4, 100, &[b"abc", b"de", b"fgh"]);
        assert!(matches!(
            over,
            Some(CapturedBody::TooLarge {
                len: 8,
                complete: true
            })
        ));
    }

    #[test]
    fn without_memory_there_is_no_capture_and_nothing_stays_held() {
        assert!(tee(100, 4, &[b"abc", b"de"]).is_none());
        let memory = Memory::new(4);
        let mut tee = Tee::new(100, &memory);
        tee.push(&Bytes::from_static(b"abc"));
        tee.push(&Bytes::from_static(b"de"));
        assert_eq!(memory.held(), 0);
    }
}
