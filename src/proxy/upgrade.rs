//! WebSocket and other tunnels: bytes both ways, until one side ends or all is silent for too long.

use super::body::Body;
use super::connection::State;
use super::ending::Ending;
use crate::upstream::Lease;
use http::Response;
use http::StatusCode;
use http::header;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::io::AsyncWriteExt;
use tokio::io::ReadBuf;
use tokio::time::Instant;

/// How long what was said before an end may take to be sent.
const FAREWELL: Duration = Duration::from_secs(1);

/// Joins both sides once they have become what the client asked for, and returns what the client is
/// told: over HTTP/2 a plain success (RFC 8441 section 5).
pub(super) fn switch(
    mut ending: Ending,
    mut response: Response<Incoming>,
    (client, idle, http2): (OnUpgrade, Duration, bool),
    held: Option<Lease>,
) -> Response<Body> {
    // A tunnel is a connection, which has a limit of its own.
    ending.place = None;
    let side = hyper::upgrade::on(&mut response);
    let (mut parts, _) = response.into_parts();
    if http2 {
        parts.status = StatusCode::OK;
        parts.headers.remove(header::SEC_WEBSOCKET_ACCEPT);
        parts.headers.remove(header::CONTENT_LENGTH);
    } else {
        ending.becomes_tunnel();
    }
    tokio::task::spawn_local(async move {
        tunnel(client, side, idle).await;
        drop(held);
        ending.completed();
    });
    Response::from_parts(parts, Body::empty())
}

/// Joins a client and a side once both have become something else.
async fn tunnel(client: OnUpgrade, side: OnUpgrade, idle: Duration) {
    let (client, side) = match tokio::try_join!(client, side) {
        Ok(both) => both,
        Err(error) => {
            tracing::debug!(%error, "an upgrade did not come about");
            return;
        }
    };
    let moved = Rc::new(Cell::new(Instant::now()));
    let mut client = Watched::new(client, &moved);
    let mut side = Watched::new(side, &moved);
    // Both branches may be cancelled: when one ends, the tunnel is over.
    tokio::select! {
        done = tokio::io::copy_bidirectional(&mut client, &mut side) => {
            if let Err(error) = done {
                tracing::debug!(%error, "a tunnel ended");
                // Many applications end a WebSocket by closing a connection of TLS without its
                // farewell, or by a reset: what they said before is still on its way.
                let both = async { tokio::join!(client.shutdown(), side.shutdown()) };
                let _late = tokio::time::timeout(FAREWELL, both).await;
            }
        }
        () = silence(&moved, idle) => tracing::debug!("a silent tunnel was closed"),
    }
}

/// Sees to the end of a connection that asked for another protocol and went on with HTTP: hyper hands
/// the socket to whoever waits for the upgrade, and without anybody drops it with what is still to be
/// said. Until then the connection counts.
pub(super) fn declined(client: OnUpgrade, connection: &Rc<State>) {
    let connection = Rc::clone(connection);
    tokio::task::spawn_local(async move {
        // An error means that the connection has ended otherwise, or asked once more.
        if let Ok(socket) = client.await {
            let mut socket = TokioIo::new(socket);
            let ended = tokio::time::timeout(2 * FAREWELL, socket.shutdown()).await;
            tracing::trace!(?ended, "a client's connection ended");
        }
        drop(connection);
    });
}

async fn silence(moved: &Cell<Instant>, idle: Duration) {
    loop {
        let due = moved.get() + idle;
        tokio::time::sleep_until(due).await;
        if moved.get() + idle <= due {
            return;
        }
    }
}

struct Watched {
    inner: TokioIo<Upgraded>,
    moved: Rc<Cell<Instant>>,
}

impl Watched {
    fn new(inner: Upgraded, moved: &Rc<Cell<Instant>>) -> Self {
        Self {
            inner: TokioIo::new(inner),
            moved: Rc::clone(moved),
        }
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let done = Pin::new(&mut self.inner).poll_read(cx, buf);
        if done.is_ready() {
            self.moved.set(Instant::now());
        }
        done
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
