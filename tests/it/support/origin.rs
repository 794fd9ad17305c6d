//! An application that answers as it is told, byte for byte, and remembers what it was asked.

use super::pause;
use std::io::Read;
use std::io::Write;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) target: String,
    /// Names as sent, in order.
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Seen {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let found = self
            .fields
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

/// What to do with a request.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// Status 200 with this JSON.
    Json(String),
    /// These bytes, and the connection stays.
    Raw(Vec<u8>),
    /// These bytes, and the connection ends.
    RawClose(Vec<u8>),
    /// Nothing, ever; the connection stays open.
    Stall,
    /// The bytes after so many milliseconds.
    After(u64, Box<Reply>),
    /// So many bytes of a 200, in pieces, as fast as they are taken.
    Large(u64),
    /// 101, and then an echo of everything.
    Echo,
}

impl Reply {
    pub(crate) fn json(text: impl Into<String>) -> Self {
        Self::Json(text.into())
    }

    pub(crate) fn status(status: u16, body: &str) -> Self {
        let length = body.len();
        let text = format!("HTTP/1.1 {status} Said So\r\nContent-Length: {length}\r\n\r\n{body}");
        Self::Raw(text.into_bytes())
    }
}

type Handler = dyn Fn(&Seen) -> Reply + Send + Sync;

/// The application.
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    stop: Arc<AtomicBool>,
    open: Arc<Mutex<Vec<TcpStream>>>,
    pub(crate) connections: Arc<AtomicUsize>,
}

impl Origin {
    pub(crate) fn start(handler: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Self::on(listener, handler)
    }

    pub(crate) fn on(
        listener: TcpListener,
        handler: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let address = listener.local_addr().unwrap();
        let origin = Self {
            address,
            seen: Arc::default(),
            stop: Arc::default(),
            open: Arc::default(),
            connections: Arc::default(),
        };
        let handler: Arc<Handler> = Arc::new(handler);
        let (seen, stop, open) = (
            Arc::clone(&origin.seen),
            Arc::clone(&origin.stop),
            Arc::clone(&origin.open),
        );
        let connections = Arc::clone(&origin.connections);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { continue };
                if stop.load(Ordering::Acquire) {
                    return;
                }
                connections.fetch_add(1, Ordering::AcqRel);
                open.lock().unwrap().push(stream.try_clone().unwrap());
                let (handler, seen) = (Arc::clone(&handler), Arc::clone(&seen));
                std::thread::spawn(move || serve(stream, &*handler, &seen));
            }
        });
        origin
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Everything asked so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// Ends as if killed: every connection is cut and the port refuses.
    pub(crate) fn kill(self) {
        drop(self);
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        drop(TcpStream::connect(self.address));
        for stream in self.open.lock().unwrap().drain(..) {
            drop(stream.shutdown(std::net::Shutdown::Both));
        }
    }
}

fn serve(mut stream: TcpStream, handler: &Handler, seen: &Mutex<Vec<Seen>>) {
    stream.set_nodelay(true).unwrap();
    let mut buffer = Vec::new();
    while let Some(request) = read_request(&mut stream, &mut buffer) {
        seen.lock().unwrap().push(request.clone());
        if !answer(&mut stream, handler(&request)) {
            return;
        }
    }
}

fn answer(stream: &mut TcpStream, reply: Reply) -> bool {
    match reply {
        Reply::Json(text) => {
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                text.len()
            );
            stream
                .write_all(&[head.as_bytes(), text.as_bytes()].concat())
                .is_ok()
        }
        Reply::Raw(bytes) => stream.write_all(&bytes).is_ok(),
        Reply::RawClose(bytes) => {
            let _sent = stream.write_all(&bytes);
            let _shut = stream.shutdown(std::net::Shutdown::Both);
            false
        }
        Reply::Stall => {
            let mut sink = [0; 1024];
            while matches!(stream.read(&mut sink), Ok(n) if n > 0) {}
            false
        }
        Reply::After(millis, reply) => {
            pause(millis);
            answer(stream, *reply)
        }
        Reply::Large(bytes) => large(stream, bytes),
        Reply::Echo => {
            let head = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
            if stream.write_all(head.as_bytes()).is_err() {
                return false;
            }
            let mut piece = [0; 4096];
            while let Ok(n @ 1..) = stream.read(&mut piece) {
                if stream.write_all(&piece[..n]).is_err() {
                    return false;
                }
            }
            let _shut = stream.shutdown(std::net::Shutdown::Both);
            false
        }
    }
}

fn large(stream: &mut TcpStream, mut left: u64) -> bool {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {left}\r\n\r\n");
    if stream.write_all(head.as_bytes()).is_err() {
        return false;
    }
    let piece = vec![b'x'; 256 * 1024];
    while left > 0 {
        let n = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
        if stream.write_all(&piece[..n]).is_err() {
            return false;
        }
        left -= n as u64;
    }
    true
}

fn read_request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Seen> {
    let end = loop {
        if let Some(at) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
            break at + 4;
        }
        if !fill(stream, buffer) {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
    buffer.drain(..end);
    let mut lines = head.lines();
    let mut first = lines.next()?.split(' ');
    let (method, target) = (first.next()?.to_owned(), first.next()?.to_owned());
    let fields: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(n, v)| (n.to_owned(), v.trim().to_owned()))
        .collect();
    let mut seen = Seen {
        method,
        target,
        fields,
        body: Vec::new(),
    };
    seen.body = read_body(stream, buffer, &seen)?;
    Some(seen)
}

fn read_body(stream: &mut TcpStream, buffer: &mut Vec<u8>, seen: &Seen) -> Option<Vec<u8>> {
    if seen.field("transfer-encoding").is_some() {
        let mut body = Vec::new();
        loop {
            let line = loop {
                if let Some(at) = buffer.windows(2).position(|w| w == b"\r\n") {
                    break buffer.drain(..at + 2).collect::<Vec<_>>();
                }
                if !fill(stream, buffer) {
                    return None;
                }
            };
            let size = String::from_utf8_lossy(&line);
            let size = usize::from_str_radix(size.trim(), 16).ok()?;
            while buffer.len() < size + 2 {
                if !fill(stream, buffer) {
                    return None;
                }
            }
            body.extend(buffer.drain(..size));
            buffer.drain(..2);
            if size == 0 {
                return Some(body);
            }
        }
    }
    let length = seen
        .field("content-length")
        .map_or(0, |v| v.parse().unwrap());
    while buffer.len() < length {
        if !fill(stream, buffer) {
            return None;
        }
    }
    Some(buffer.drain(..length).collect())
}

fn fill(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> bool {
    let mut piece = [0; 16_384];
    match stream.read(&mut piece) {
        Ok(n @ 1..) => {
            buffer.extend_from_slice(&piece[..n]);
            true
        }
        _ => false,
    }
}
