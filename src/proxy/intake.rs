//! What comes before the first request: the PROXY header of a load balancer, and the letters that tell
//! which protocol is spoken. Only the header is taken from the socket.

use super::scan::Proxied;
use super::scan::proxied;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// The longest line of version 1, and what stands before the length in version 2.
const LINE: usize = 107;
const HEAD: usize = 16;

/// The first letters of HTTP/2 (RFC 9113 section 3.4), with which no method of HTTP/1 begins.
const HTTP2: &[u8] = b"PRI ";
/// The first byte of TLS: the type of a handshake record (RFC 8446 section 5.1).
const TLS: u8 = 0x16;

/// What a client without TLS begins to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum First {
    /// HTTP/1, or nothing that is known.
    Http1,
    /// HTTP/2 with prior knowledge.
    Http2,
    /// TLS, though nobody here speaks it.
    Tls,
}

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

/// Returns what a client begins to speak; takes nothing from the socket. May be cancelled.
pub(super) async fn first(stream: &TcpStream) -> First {
    loop {
        let mut bytes = [0; HTTP2.len()];
        match stream.peek(&mut bytes).await {
            Ok(n @ 1..) if bytes.get(..n) == HTTP2.get(..n) => {
                if n == HTTP2.len() {
                    return First::Http2;
                }
                // What is there already would be reported again at once.
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Ok(1..) if bytes.first() == Some(&TLS) => return First::Tls,
            // A failure shows again where the connection is served.
            _ => return First::Http1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap());
        let (client, accepted) = tokio::join!(client, listener.accept());
        (client.unwrap(), accepted.unwrap().0)
    }

    const SECOND: Duration = Duration::from_secs(1);

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
            assert!(client(&mut ours, SECOND).await.is_err());
        }
        let (mut theirs, mut ours) = pair().await;
        theirs.write_all(b"PROXY").await.unwrap();
        let told = client(&mut ours, Duration::from_millis(50)).await;
        assert_eq!(told.unwrap_err().kind(), io::ErrorKind::TimedOut);
        drop(theirs);
        assert!(client(&mut ours, SECOND).await.is_err());
    }

    #[tokio::test]
    async fn the_first_letters_tell_the_protocol() {
        for (bytes, wanted) in [
            (&b"GET /"[..], First::Http1),
            (b"PRI * HTTP/2.0\r\n", First::Http2),
            (b"PRINT / HTTP/1.1", First::Http1),
            (b"\x16\x03\x01", First::Tls),
            (b"P", First::Http1),
        ] {
            let (mut theirs, ours) = pair().await;
            theirs.write_all(bytes).await.unwrap();
            let told = tokio::time::timeout(Duration::from_millis(50), first(&ours)).await;
            if bytes == b"P" {
                assert!(told.is_err(), "it waits for more");
                theirs.write_all(b"OST").await.unwrap();
                assert_eq!(first(&ours).await, wanted);
            } else {
                assert_eq!(told, Ok(wanted));
            }
        }
    }
}
