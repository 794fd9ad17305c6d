//! Relays that get things wrong, each in one way.

use crate::support::Seen;
use std::io::Read;
use std::io::Write;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

/// A way to be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    /// Bytes go on as they are, both ways.
    Bytes,
    /// Everything is a 400.
    Refuses,
    /// Answers are read until they end somehow, and framed anew as if whole.
    Frames,
}

/// What reached the application.
pub(super) type Reached = Arc<Mutex<Vec<u8>>>;

impl Wrong {
    /// Starts a relay before an application that answers anything by these bytes and then closes
    /// its side.
    pub(super) fn start(self, answer: &[u8]) -> (SocketAddr, Reached) {
        let reached = Reached::default();
        let (application, kept) = (listen(), Arc::clone(&reached));
        let answer = answer.to_vec();
        let upstream = application.local_addr().unwrap();
        std::thread::spawn(move || {
            let Ok((mut stream, _)) = application.accept() else {
                return;
            };
            let mut piece = [0; 4096];
            let mut answered = false;
            while let Ok(n @ 1..) = stream.read(&mut piece) {
                kept.lock().unwrap().extend_from_slice(&piece[..n]);
                if !answered {
                    answered = true;
                    let _sent = stream.write_all(&answer);
                    let _shut = stream.shutdown(std::net::Shutdown::Write);
                }
            }
        });
        let relay = listen();
        let address = relay.local_addr().unwrap();
        std::thread::spawn(move || {
            if let Ok((client, _)) = relay.accept() {
                self.serve(client, upstream);
            }
        });
        (address, reached)
    }

    fn serve(self, mut client: TcpStream, upstream: SocketAddr) {
        if self == Self::Refuses {
            let mut piece = [0; 4096];
            let _read = client.read(&mut piece);
            let text =
                b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
            let _sent = client.write_all(text);
            return;
        }
        let mut side = TcpStream::connect(upstream).unwrap();
        let (mut from, mut to) = (client.try_clone().unwrap(), side.try_clone().unwrap());
        std::thread::spawn(move || {
            let _copied = std::io::copy(&mut from, &mut to);
        });
        side.set_read_timeout(Some(Duration::from_millis(300)))
            .unwrap();
        if self == Self::Bytes {
            let _copied = std::io::copy(&mut side, &mut client);
            return;
        }
        let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
        while let Ok(n @ 1..) = side.read(&mut piece) {
            bytes.extend_from_slice(&piece[..n]);
        }
        let end = bytes.windows(4).position(|w| w == b"\r\n\r\n");
        let body = end.map_or(&bytes[..], |end| &bytes[end + 4..]);
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        let _sent = client.write_all(&[head.as_bytes(), body].concat());
    }
}

fn listen() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

/// What reached an application that takes whatever comes for one request.
pub(super) fn seen(reached: &Reached) -> Vec<Seen> {
    let bytes = reached.lock().unwrap().clone();
    if bytes.is_empty() {
        return Vec::new();
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let mut lines = head.trim_start().split("\r\n");
    let mut words = lines.next().unwrap_or("").split(' ');
    let mut word = || words.next().unwrap_or("").to_owned();
    let (method, target) = (word(), word());
    let fields = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(n, v)| (n.to_owned(), v.trim().to_owned()))
        .collect();
    vec![Seen {
        method,
        target,
        fields,
        body: body.as_bytes().to_vec(),
    }]
}
