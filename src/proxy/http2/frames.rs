//! Follows the frames of one direction by their heads (RFC 9113 section 4.1), without a copy and
//! without a look at what they carry. Pure.

/// Octets of a frame's head.
const HEAD: usize = 9;

/// The head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) length: u32,
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
}

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

impl Frame {
    fn of(head: [u8; HEAD]) -> Self {
        let [length @ .., kind, flags, _, _, _, _] = head;
        let [_, _, _, _, _, stream @ ..] = head;
        let length = length.iter().fold(0, |n, byte| (n << 8) | u32::from(*byte));
        Self {
            length,
            kind,
            flags,
            stream: u32::from_be_bytes(stream) & 0x7fff_ffff,
        }
    }

    /// Returns whether a block of fields goes on after this frame.
    pub(super) fn leaves_fields_open(&self) -> bool {
        matches!(self.kind, HEADERS | CONTINUATION) && self.flags & END_HEADERS == 0
    }

    /// Returns whether a block of fields ends with this frame.
    pub(super) fn ends_fields(&self) -> bool {
        matches!(self.kind, HEADERS | CONTINUATION) && self.flags & END_HEADERS != 0
    }

    /// Returns whether it is a `DATA` frame that carries nothing and ends nothing.
    pub(super) fn is_empty_data(&self) -> bool {
        self.kind == DATA && self.length == 0 && self.flags & END_STREAM == 0
    }
}

/// Where in the frames of one direction the next byte belongs.
#[derive(Debug)]
pub(super) struct Frames {
    head: [u8; HEAD],
    have: usize,
    /// Bytes of the payload, or of the preface, that are still to come.
    skip: usize,
}

impl Frames {
    /// Starts after so many bytes that belong to no frame.
    pub(super) fn after(preface: usize) -> Self {
        Self {
            head: [0; HEAD],
            have: 0,
            skip: preface,
        }
    }

    /// Returns whether the last frame is whole.
    pub(super) fn between(&self) -> bool {
        self.have == 0 && self.skip == 0
    }

    /// Passes bytes and tells of each head that is whole with them.
    pub(super) fn pass(&mut self, mut bytes: &[u8], mut seen: impl FnMut(Frame)) {
        while !bytes.is_empty() {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = bytes.get(skipped..).unwrap_or_default();
            let wanted = (HEAD - self.have).min(bytes.len());
            let (new, rest) = bytes.split_at(wanted);
            if let Some(room) = self.head.get_mut(self.have..self.have + wanted) {
                room.copy_from_slice(new);
            }
            self.have += wanted;
            bytes = rest;
            if self.have == HEAD {
                self.have = 0;
                let frame = Frame::of(self.head);
                self.skip = usize::try_from(frame.length).unwrap_or(usize::MAX);
                seen(frame);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut out = length[1..].to_vec();
        out.extend([kind, flags]);
        out.extend(stream.to_be_bytes());
        out.extend(payload);
        out
    }

    #[test]
    fn heads_are_found_however_the_bytes_are_cut() {
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        bytes.extend(raw(SETTINGS, 0, 0, &[7; 12]));
        bytes.extend(raw(DATA, 0, 3, b""));
        bytes.extend(raw(HEADERS, 4, 0x8000_0005, &[1; 300]));
        bytes.extend(raw(PING, 0, 0, &[0; 8]));
        for size in [1, 2, 7, 9, 10, 64, bytes.len()] {
            let mut frames = Frames::after(24);
            let mut seen = Vec::new();
            for piece in bytes.chunks(size) {
                frames.pass(piece, |frame| {
                    seen.push((frame.kind, frame.length, frame.stream));
                });
            }
            let all = [
                (SETTINGS, 12, 0),
                (DATA, 0, 3),
                (HEADERS, 300, 5),
                (PING, 8, 0),
            ];
            assert_eq!(seen, all, "{size}");
            assert!(frames.between());
        }
    }

    #[test]
    fn a_frame_that_is_not_whole_is_known() {
        let mut frames = Frames::after(0);
        frames.pass(&raw(DATA, 0, 1, &[0; 100])[..50], |_| {});
        assert!(!frames.between());
    }
}
