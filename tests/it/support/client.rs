//! A client that sees every byte of an answer.

use std::io::Read;
use std::io::Write;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::time::Duration;

/// An answer as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) reason: String,
    /// Names as sent, in order.
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Whether the body ended as its framing says.
    pub(crate) whole: bool,
}

impl Answer {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let found = self
            .fields
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// One connection.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).unwrap())
    }

    pub(crate) fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        Self {
            stream,
            buffer: Vec::new(),
        }
    }

    /// Asks once on a connection of its own.
    pub(crate) fn get(address: SocketAddr, target: &str) -> Answer {
        Self::connect(address).ask("GET", target, &[], b"")
    }

    /// Sends a request and reads its answer.
    pub(crate) fn ask(
        &mut self,
        method: &str,
        target: &str,
        fields: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: app.example\r\n");
        for (name, value) in fields {
            head += &format!("{name}: {value}\r\n");
        }
        if !body.is_empty() {
            head += &format!("Content-Length: {}\r\n", body.len());
        }
        head += "\r\n";
        self.send(&[head.as_bytes(), body].concat());
        self.read(method == "HEAD").expect("an answer")
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Reads one answer; nothing if the connection ended before its head was whole.
    pub(crate) fn read(&mut self, headless: bool) -> Option<Answer> {
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
            if !self.fill() {
                return None;
            }
        };
        let head = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
        self.buffer.drain(..end);
        let mut lines = head.lines();
        let mut first = lines.next()?.splitn(3, ' ');
        first.next()?;
        let status = first.next()?.parse().ok()?;
        let reason = first.next().unwrap_or("").to_owned();
        let fields = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(n, v)| (n.to_owned(), v.trim().to_owned()))
            .collect();
        let mut answer = Answer {
            status,
            reason,
            fields,
            body: Vec::new(),
            whole: true,
        };
        if !headless && status >= 200 && status != 204 && status != 304 {
            self.read_body(&mut answer);
        }
        Some(answer)
    }

    fn read_body(&mut self, answer: &mut Answer) {
        if answer.field("transfer-encoding").is_some() {
            return self.read_chunks(answer);
        }
        let length: Option<usize> = answer.field("content-length").map(|v| v.parse().unwrap());
        while length.is_none_or(|length| self.buffer.len() < length) {
            if !self.fill() {
                answer.whole = length.is_none();
                answer.body = std::mem::take(&mut self.buffer);
                return;
            }
        }
        answer.body = self.buffer.drain(..length.unwrap()).collect();
    }

    fn read_chunks(&mut self, answer: &mut Answer) {
        loop {
            let Some(line) = self.line() else {
                answer.whole = false;
                return;
            };
            let size = line.split(';').next().unwrap().trim().to_owned();
            let size = usize::from_str_radix(&size, 16).expect("a chunk size");
            while self.buffer.len() < size + 2 {
                if !self.fill() {
                    answer.whole = false;
                    return;
                }
            }
            answer.body.extend(self.buffer.drain(..size));
            self.buffer.drain(..2);
            if size == 0 {
                return;
            }
        }
    }

    fn line(&mut self) -> Option<String> {
        loop {
            if let Some(at) = self.buffer.windows(2).position(|w| w == b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..at + 2).collect();
                return Some(String::from_utf8_lossy(&line).trim().to_owned());
            }
            if !self.fill() {
                return None;
            }
        }
    }

    fn fill(&mut self) -> bool {
        let mut piece = [0; 16_384];
        match self.stream.read(&mut piece) {
            Ok(n @ 1..) => {
                self.buffer.extend_from_slice(&piece[..n]);
                true
            }
            _ => false,
        }
    }
}
