//! What comes before the first request: the PROXY header of a load balancer, and the letters that tell
//! which protocol is spoken. Only the header is taken from the socket.

use super::flow::Flow;
use super::scan::Proxied;
use super::scan::proxied;
use super::scan::proxied::HEAD;
use super::scan::proxied::LINE;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// The first letters of HTTP/2 (RFC 9113 section 3.4), with which no method of HTTP/1 begins.
const HTTP2: &[u8] = b"PRI ";
/// How long the rest of those letters is waited for before the socket is looked at again: at first, and
/// at most. What is there already would be reported again at once.
const LETTERS: Duration = Duration::from_millis(10);
const LETTERS_MAX: Duration = Duration::from_millis(320);

/// Takes the PROXY header off a connection, and returns the client that it names; none where the
/// balancer speaks for itself.
pub(super) async fn client(
    stream: &mut TcpStream,
    patience: Duration,
) -> io::Result<Option<SocketAddr>> {
    match tokio::time::timeout(patience, header(stream)).await {
        Ok(done) => done,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

async fn header(stream: &mut TcpStream) -> io::Result<Option<SocketAddr>> {
    let mut first = [0];
    stream.peek(&mut first).await?;
    let mut taken = Vec::with_capacity(LINE);
    if first[0] == b'\r' {
        take(stream, &mut taken, HEAD).await?;
        if told(&taken)?.is_none() {
            let length = match taken.get(HEAD - 2..) {
                Some(&[high, low]) => u16::from_be_bytes([high, low]),
                _ => 0,
            };
            take(stream, &mut taken, usize::from(length)).await?;
        }
    } else {
        while told(&taken)?.is_none() {
            let mut seen = [0; LINE];
            let left = LINE.saturating_sub(taken.len()).max(1);
            let window = seen.get_mut(..left).unwrap_or_default();
            let n = stream.peek(window).await?;
            if n == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let here = seen.get(..n).unwrap_or_default();
            let wanted = memchr::memchr(b'\n', here).map_or(n, |at| at + 1);
            take(stream, &mut taken, wanted).await?;
        }
    }
    match told(&taken)? {
        Some(told) => Ok(told.client),
        None => Err(io::ErrorKind::InvalidData.into()),
    }
}

fn told(taken: &[u8]) -> io::Result<Option<Proxied>> {
    if taken.is_empty() {
        return Ok(None);
    }
    proxied(taken).map_err(|_| io::ErrorKind::InvalidData.into())
}

async fn take(stream: &mut TcpStream, taken: &mut Vec<u8>, wanted: usize) -> io::Result<()> {
    let from = taken.len();
    taken.resize(from + wanted, 0);
    let into = taken.get_mut(from..).unwrap_or_default();
    stream.read_exact(into).await?;
    Ok(())
}

/// Returns whether a client begins to speak HTTP/2, with prior knowledge; takes nothing from the socket.
/// Letters that may yet become so are the beginning of a head, and one of HTTP/1 when they are late.
/// May be cancelled.
pub(super) async fn is_http2(stream: &TcpStream, flow: &Flow) -> bool {
    let mut wait = LETTERS;
    loop {
        let mut bytes = [0; HTTP2.len()];
        match stream.peek(&mut bytes).await {
            Ok(n @ 1..) if bytes.get(..n) == HTTP2.get(..n) => {
                if n == HTTP2.len() {
                    flow.head_ended();
                    return true;
                }
                if flow.is_late() {
                    return false;
                }
                flow.head_began();
                tokio::time::sleep(wait).await;
                wait = (2 * wait).min(LETTERS_MAX);
            }
            // A failure shows again where the connection is served.
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Metrics;
    use std::sync::atomic::Ordering::Relaxed;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap());
        let (client, accepted) = tokio::join!(client, listener.accept());
        (client.unwrap(), accepted.unwrap().0)
    }

    const SECOND: Duration = Duration::from_secs(1);

    fn flow() -> Flow {
        Flow::new(Metrics::new())
    }

    #[tokio::test]
    async fn only_the_header_is_taken_however_it_comes() {
        let block = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\xc0\0\x02\x02\x13\x88\0\x50";
        let line = b"PROXY TCP4 192.0.2.1 192.0.2.2 5000 80\r\n";
        for header in [&block[..], &line[..]] {
            for cut in [0, 1, 5, 14, 17, header.len() - 1, header.len()] {
                let (mut client_side, mut ours) = pair().await;
                let (one, two) = header.split_at(cut);
                let two = [two, b"GET"].concat();
                let sent = async {
                    client_side.write_all(one).await.unwrap();
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    client_side.write_all(&two).await.unwrap();
                };
                let (client, ()) = tokio::join!(client(&mut ours, SECOND), sent);
                let named = Some("192.0.2.1:5000".parse().unwrap());
                assert_eq!(client.unwrap(), named, "{cut}");
                let mut rest = [0; 3];
                ours.read_exact(&mut rest).await.unwrap();
                assert_eq!(&rest, b"GET");
            }
        }
    }

    #[tokio::test]
    async fn what_is_no_header_is_refused_and_silence_ends() {
        let line = [b"PROXY TCP4 ".to_vec(), vec![b'1'; 200]].concat();
        let bad: [&[u8]; 4] = [
            b"GET / HTTP/1.1\r\n\r\n",
            b"PROXY TCP4 x\r\n",
            b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\0",
            &line,
        ];
        for bytes in bad {
            let (mut theirs, mut ours) = pair().await;
            theirs.write_all(bytes).await.unwrap();
            let told = client(&mut ours, 20 * SECOND).await;
            assert_eq!(told.unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
        let (mut theirs, mut ours) = pair().await;
        theirs.write_all(b"PROXY").await.unwrap();
        let told = client(&mut ours, Duration::from_millis(50)).await;
        assert_eq!(told.unwrap_err().kind(), io::ErrorKind::TimedOut);
        drop(theirs);
        let told = client(&mut ours, 20 * SECOND).await;
        assert_eq!(told.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn the_first_letters_tell_the_protocol() {
        for (bytes, wanted) in [
            (&b"GET /"[..], false),
            (b"PRI * HTTP/2.0\r\n", true),
            (b"PRINT / HTTP/1.1", false),
            (b"\x16\x03\x01", false),
        ] {
            let (mut theirs, ours) = pair().await;
            theirs.write_all(bytes).await.unwrap();
            assert_eq!(is_http2(&ours, &flow()).await, wanted, "{bytes:?}");
        }
    }

    #[tokio::test]
    async fn letters_that_may_be_either_are_waited_for_until_they_are_late() {
        for (rest, wanted) in [(&b"OST"[..], false), (b"RI ", true)] {
            let ((mut theirs, ours), flow) = (pair().await, flow());
            theirs.write_all(b"P").await.unwrap();
            let told = is_http2(&ours, &flow);
            assert!(
                tokio::time::timeout(SECOND / 20, told).await.is_err(),
                "it waits for more"
            );
            assert!(flow.head().is_some(), "a head has begun");
            theirs.write_all(rest).await.unwrap();
            assert_eq!(is_http2(&ours, &flow).await, wanted);
            assert_eq!(flow.head().is_none(), wanted, "its scanner ends it");
        }
        let ((mut theirs, ours), flow) = (pair().await, flow());
        theirs.write_all(b"PRI").await.unwrap();
        flow.late.store(true, Relaxed);
        assert!(!is_http2(&ours, &flow).await);
    }
}
