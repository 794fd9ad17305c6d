//! A client of HTTP/2 that writes and reads frame by frame, right or wrong.

use std::io::Read;
use std::io::Write;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::time::Duration;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PUSH_PROMISE: u8 = 5;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const PADDED: u8 = 8;
pub(crate) const PRIORITIZED: u8 = 32;

/// A frame as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    fn code(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }

    /// The `:status` that a block of fields begins with, read without a table of its own.
    pub(crate) fn status(&self) -> u16 {
        const INDEXED: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];
        let mut block = &self.payload[..];
        // A change of the table's size may come first.
        while block[0] & 0xe0 == 0x20 {
            block = &block[1..];
        }
        if block[0] & 0x80 != 0 {
            return INDEXED[usize::from(block[0] & 0x7f) - 8];
        }
        let length = usize::from(block[1] & 0x7f);
        let text = &block[2..2 + length];
        if block[1] & 0x80 == 0 {
            return std::str::from_utf8(text).unwrap().parse().unwrap();
        }
        let bits = text
            .iter()
            .flat_map(|b| (0..8).rev().map(move |i| u16::from(*b) >> i & 1));
        let bits: Vec<u16> = bits.collect();
        let mut bits = bits.as_slice();
        let number = |bits: &[u16]| bits.iter().fold(0, |n, bit| n << 1 | bit);
        let mut status = 0;
        for _ in 0..3 {
            let (digit, length) = match number(&bits[..5]) {
                short @ 0..=2 => (short, 5),
                _ => (number(&bits[..6]) - 0x19 + 3, 6),
            };
            status = status * 10 + digit;
            bits = &bits[length..];
        }
        status
    }
}

/// What became of something that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reaction {
    /// The stream was answered with this status.
    Answer(u16),
    /// The stream was reset with this code.
    Reset(u32),
    /// The connection was ended with this code.
    Away(u32),
    /// The connection was ended without a word.
    Closed,
}

pub(crate) trait Socket: Read + Write + Send {}

impl<S: Read + Write + Send> Socket for S {}

/// One connection.
pub(crate) struct Wire {
    socket: Box<dyn Socket>,
    buffer: Vec<u8>,
}

impl Wire {
    /// Connects and begins as a client does that keeps no table of fields.
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let mut wire = Self::bare(address);
        wire.begin(&[(1, 0)]);
        wire
    }

    /// Connects and sends nothing.
    pub(crate) fn bare(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        let patience = Some(Duration::from_secs(20));
        stream.set_read_timeout(patience).unwrap();
        stream.set_write_timeout(patience).unwrap();
        Self::over(Box::new(stream))
    }

    pub(crate) fn over(socket: Box<dyn Socket>) -> Self {
        Self {
            socket,
            buffer: Vec::new(),
        }
    }

    /// Sends the preface with these settings.
    pub(crate) fn begin(&mut self, settings: &[(u16, u32)]) {
        self.bytes(PREFACE);
        self.settings(settings);
    }

    pub(crate) fn settings(&mut self, settings: &[(u16, u32)]) {
        let mut payload = Vec::new();
        for (name, value) in settings {
            payload.extend(name.to_be_bytes());
            payload.extend(value.to_be_bytes());
        }
        self.frame(SETTINGS, 0, 0, &payload);
    }

    /// Sends bytes; a connection that is gone already shows when it is read.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> bool {
        self.socket.write_all(bytes).is_ok() && self.socket.flush().is_ok()
    }

    pub(crate) fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> bool {
        self.bytes(&encoded(kind, flags, stream, payload))
    }

    /// Sends a block of fields.
    pub(crate) fn fields(&mut self, stream: u32, ends: bool, fields: &[(&str, &str)]) -> bool {
        let flags = END_HEADERS | if ends { END_STREAM } else { 0 };
        self.frame(HEADERS, flags, stream, &block(fields))
    }

    /// Asks for a path without a body.
    pub(crate) fn get(&mut self, stream: u32, path: &str) -> bool {
        self.fields(stream, true, &request("GET", path))
    }

    /// Reads a frame; nothing when the connection has ended.
    pub(crate) fn read(&mut self) -> Option<Frame> {
        loop {
            if let Some(head) = self.buffer.get(..9) {
                let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
                if self.buffer.len() >= 9 + length {
                    let bytes: Vec<u8> = self.buffer.drain(..9 + length).collect();
                    return Some(Frame {
                        kind: bytes[3],
                        flags: bytes[4],
                        stream: u32::from_be_bytes(bytes[5..9].try_into().unwrap()) & 0x7fff_ffff,
                        payload: bytes[9..].to_vec(),
                    });
                }
            }
            let mut piece = [0; 16_384];
            match self.socket.read(&mut piece) {
                Ok(n @ 1..) => self.buffer.extend_from_slice(&piece[..n]),
                _ => return None,
            }
        }
    }

    /// Reads until a frame is the one meant.
    pub(crate) fn until(&mut self, meant: impl Fn(&Frame) -> bool) -> Option<Frame> {
        loop {
            let frame = self.read()?;
            if meant(&frame) {
                return Some(frame);
            }
        }
    }

    /// Reads what becomes of a stream.
    pub(crate) fn reaction(&mut self, stream: u32) -> Reaction {
        loop {
            let Some(frame) = self.read() else {
                return Reaction::Closed;
            };
            match frame.kind {
                GOAWAY => return Reaction::Away(frame.code(4)),
                RST_STREAM if frame.stream == stream => return Reaction::Reset(frame.code(0)),
                HEADERS if frame.stream == stream => return Reaction::Answer(frame.status()),
                _ => {}
            }
        }
    }

    /// Asks once, and reads what becomes of it.
    pub(crate) fn reaction_of_get(&mut self) -> Reaction {
        self.get(1, "/");
        self.reaction(1)
    }

    /// Reads the rest of a stream's answer; whether it ended whole, and its body.
    pub(crate) fn body(&mut self, stream: u32) -> (bool, Vec<u8>) {
        let mut body = Vec::new();
        loop {
            let Some(frame) = self.read() else {
                return (false, body);
            };
            if frame.stream != stream {
                continue;
            }
            match frame.kind {
                DATA => body.extend(&frame.payload),
                RST_STREAM => return (false, body),
                _ => {}
            }
            if matches!(frame.kind, DATA | HEADERS) && frame.flags & END_STREAM != 0 {
                return (true, body);
            }
        }
    }
}

pub(crate) fn encoded(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut out = length[1..].to_vec();
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend(payload);
    out
}

/// The fields of a plain request.
pub(crate) fn request<'a>(method: &'a str, path: &'a str) -> [(&'a str, &'a str); 4] {
    [
        (":method", method),
        (":scheme", "http"),
        (":path", path),
        (":authority", "app.example"),
    ]
}

/// Writes fields as literals without a table (RFC 7541 section 6.2.2).
pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let raw: Vec<_> = fields
        .iter()
        .map(|(name, value)| (name.as_bytes(), value.as_bytes()))
        .collect();
    raw_block(&raw)
}

/// Writes fields of any bytes.
pub(crate) fn raw_block(fields: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        out.push(0);
        for text in [name, value] {
            number(&mut out, text.len());
            out.extend(*text);
        }
    }
    out
}

/// RFC 7541 section 5.1, with seven bits in front.
fn number(out: &mut Vec<u8>, mut n: usize) {
    if n < 127 {
        return out.push(u8::try_from(n).unwrap());
    }
    out.push(127);
    n -= 127;
    while n >= 128 {
        out.push(u8::try_from(n % 128).unwrap() | 128);
        n /= 128;
    }
    out.push(u8::try_from(n).unwrap());
}
