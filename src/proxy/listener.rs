//! Binds, accepts within bounds, serves, drains.

use super::connection::Connections;
use super::connection::Serving;
use super::connection::State;
use super::flow::Watched;
use super::flow::has_arrived;
use super::gate::Gate;
use super::http2;
use super::intake;
use super::plane::Phase;
use super::scan::Bounds;
use super::scan::Scanner;
use super::scanned::Scanned;
use super::service::Proxy;
use super::service::Thread;
use super::stack::stack;
use super::tls::Named;
use super::tls::Tls;
use crate::descriptors;
use crate::upstream::Stream;
use crate::upstream::head::Client;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use prometheus::IntCounter;
use socket2::Domain;
use socket2::Protocol;
use socket2::Socket;
use socket2::Type;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::sync::watch;

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 4_096;

/// hyper bounds trailers by the same number as heads, which the scanner has bounded before.
const HEAD: usize = 64 << 10;

/// How long what has arrived may take to be seen by the runtime.
const HEARD: Duration = Duration::from_millis(50);

/// A thread with fewer connections than this hands none away.
const FEW: usize = 8;

/// Binds an address for several threads. The first bind is exclusive, so that a second instance
/// fails here instead of taking half of the traffic.
pub(super) fn bind(address: SocketAddr, threads: usize) -> io::Result<Vec<std::net::TcpListener>> {
    let first = socket(address, false)?;
    let address = first
        .local_addr()?
        .as_socket()
        .ok_or_else(|| io::Error::other("not an internet address"))?;
    drop(first);
    (0..threads)
        .map(|_| {
            let socket = socket(address, true)?;
            socket.listen(BACKLOG)?;
            Ok(socket.into())
        })
        .collect()
}

/// Shares a socket that somebody else bound among several threads. It has one queue, so each thread
/// is woken for each connection and the first takes it, which costs more than a queue for each
/// thread does.
pub(super) fn share(
    socket: std::net::TcpListener,
    threads: usize,
) -> io::Result<Vec<std::net::TcpListener>> {
    socket.set_nonblocking(true)?;
    let mut all = Vec::with_capacity(threads);
    for _ in 1..threads {
        all.push(socket.try_clone()?);
    }
    all.push(socket);
    Ok(all)
}

fn socket(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    if !shared {
        // Only a socket that listens keeps others out.
        socket.listen(1)?;
    }
    Ok(socket)
}

/// How busy each thread is, and how to hand it a connection.
#[derive(Debug)]
pub(super) struct Loads {
    pub(super) open: Vec<AtomicUsize>,
    /// Listeners that still accept.
    pub(super) listening: AtomicUsize,
    pub(super) hand_over: Vec<mpsc::Sender<Accepted>>,
    pub(super) limit: usize,
    pub(super) gate: Arc<Gate>,
}

/// A connection on its way to the thread that will serve it.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) stream: std::net::TcpStream,
    pub(super) peer: SocketAddr,
    pub(super) listen: Arc<Listen>,
}

/// What the rules say of a listener.
#[derive(Debug)]
pub(super) struct Listen {
    pub(super) address: SocketAddr,
    pub(super) header: Duration,
    pub(super) body: Duration,
    pub(super) idle: Duration,
    pub(super) half_close: bool,
    pub(super) bounds: Bounds,
    /// Streams of an HTTP/2 connection at a time.
    pub(super) streams: u32,
    /// Every connection begins with a PROXY header.
    pub(super) proxy_protocol: bool,
    pub(super) tls: Option<Arc<Tls>>,
}

impl Loads {
    /// Returns whether there is nothing to wait for: nobody is served, on the way to a thread, or may
    /// still be accepted.
    pub(super) fn is_quiet(&self) -> bool {
        let moving = |queue: &mpsc::Sender<_>| queue.capacity() < queue.max_capacity();
        self.listening.load(Relaxed) == 0 && !self.hand_over.iter().any(moving) && self.total() == 0
    }

    /// Returns how many connections are served.
    pub(super) fn total(&self) -> usize {
        self.open.iter().map(|n| n.load(Relaxed)).sum()
    }

    /// Returns the thread that should serve a new connection of `here`.
    fn place(&self, here: usize) -> usize {
        let mine = self.open[here].load(Relaxed);
        if mine < FEW || mine * self.open.len() <= 2 * self.total() {
            return here;
        }
        let loads = self.open.iter().map(|n| n.load(Relaxed));
        loads
            .enumerate()
            .min_by_key(|(_, n)| *n)
            .map_or(here, |(i, _)| i)
    }
}

/// One thread's end of everything that is needed to serve connections.
#[derive(Clone, Debug)]
pub(super) struct Server {
    pub(super) thread: Rc<Thread>,
    pub(super) loads: Arc<Loads>,
    pub(super) phase: watch::Receiver<Phase>,
    pub(super) panics: IntCounter,
    /// Connections of this thread.
    pub(super) connections: Rc<Connections>,
}

impl Server {
    /// Accepts until the drain, and then whatever the kernel has accepted already.
    pub(super) async fn accept(self, listener: TcpListener, listen: Arc<Listen>) {
        let mut phase = self.phase.clone();
        loop {
            // Accepting may be cancelled: the connection stays in the kernel's queue.
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = phase.wait_for(|phase| *phase >= Phase::Draining) => break,
            };
            self.accepted(accepted, &listen).await;
            self.loads.gate.paced().await;
        }
        // The kernel is asked itself: the runtime knows only what it was told at its last look.
        let listener = match listener.into_std() {
            Ok(listener) => listener,
            Err(error) => {
                tracing::error!(%error, "clients that wait to be accepted are lost");
                return;
            }
        };
        loop {
            let accepted = match listener.accept() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                accepted => accepted.and_then(|(stream, peer)| {
                    stream.set_nonblocking(true)?;
                    Ok((TcpStream::from_std(stream)?, peer))
                }),
            };
            self.accepted(accepted, &listen).await;
        }
    }

    async fn accepted(&self, accepted: io::Result<(TcpStream, SocketAddr)>, listen: &Arc<Listen>) {
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                self.loads.gate.failed(&error).await;
                return;
            }
        };
        let lack = descriptors::check(&stream).is_err();
        if lack || self.loads.total() >= self.loads.limit {
            let reason = if lack { "descriptors" } else { "limit" };
            self.loads.gate.refused(reason);
            refuse(&stream);
            return;
        }
        let here = self.thread.number;
        let place = self.loads.place(here);
        if place == here {
            self.serve(stream, peer, listen);
            return;
        }
        match stream.into_std() {
            Ok(stream) => {
                let accepted = Accepted {
                    stream,
                    peer,
                    listen: Arc::clone(listen),
                };
                match self.loads.hand_over[place].try_send(accepted) {
                    Ok(()) => {}
                    Err(
                        mpsc::error::TrySendError::Full(a) | mpsc::error::TrySendError::Closed(a),
                    ) => {
                        self.adopt(a);
                    }
                }
            }
            Err(error) => tracing::warn!(%error, "a connection was lost on its way"),
        }
    }

    /// Serves a connection that another thread accepted.
    pub(super) fn adopt(&self, accepted: Accepted) {
        match TcpStream::from_std(accepted.stream) {
            Ok(stream) => self.serve(stream, accepted.peer, &accepted.listen),
            Err(error) => tracing::warn!(%error, "a connection was lost on its way"),
        }
    }

    fn serve(&self, stream: TcpStream, peer: SocketAddr, listen: &Arc<Listen>) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a client left at once");
            return;
        }
        let metrics = self.thread.metrics.clone();
        let state = Rc::new(State::new(listen.idle, listen.header, metrics));
        state.count(Counted::new(self));
        self.connections.add(&state);
        let incoming = Incoming {
            thread: Rc::clone(&self.thread),
            panics: self.panics.clone(),
            listen: Arc::clone(listen),
            client: client(peer, listen),
            state,
        };
        tokio::task::spawn_local(incoming.run(stream));
    }
}

fn client(peer: SocketAddr, listen: &Listen) -> Client {
    Client::new(Some(peer.ip().to_canonical()), listen.address.port())
}

/// A connection on its way to the protocol that it speaks.
struct Incoming {
    thread: Rc<Thread>,
    panics: IntCounter,
    listen: Arc<Listen>,
    client: Client,
    state: Rc<State>,
}

impl Incoming {
    async fn run(mut self, mut stream: TcpStream) {
        if self.listen.proxy_protocol {
            // Boxed, as all that is rare, so that a plain connection carries no room for it.
            match Box::pin(intake::client(&mut stream, self.listen.header)).await {
                Ok(Some(peer)) => self.client = client(peer, &self.listen),
                Ok(None) => {}
                Err(error) => {
                    tracing::debug!(%error, "a connection began without a PROXY header");
                    self.thread.gate.refused("proxy_header");
                    return;
                }
            }
        }
        if self.listen.tls.is_some() {
            return Box::pin(self.secured(stream)).await;
        }
        let state = Rc::clone(&self.state);
        let flow = state.flow();
        // Both branches may be cancelled: nothing is taken from the socket.
        let is_http2 = tokio::select! {
            is_http2 = intake::is_http2(&stream, &flow) => is_http2,
            () = state.cut() => {
                if !has_arrived(&stream) {
                    return;
                }
                // It may be half of the letters.
                match tokio::time::timeout(HEARD, intake::is_http2(&stream, &flow)).await {
                    Ok(is_http2) => is_http2,
                    Err(_) => return,
                }
            }
        };
        state.is_heard();
        let socket = Watched::new(Stream::Tcp(stream), &state);
        if is_http2 {
            Box::pin(self.http2(socket, None, None)).await;
        } else {
            self.http1(socket, None).await;
        }
    }

    async fn secured(mut self, stream: TcpStream) {
        let Some(tls) = self.listen.tls.clone() else {
            return;
        };
        let socket = Watched::new(Stream::Tcp(stream), &self.state);
        let Some(done) = tls.accept(socket).await else {
            return;
        };
        self.client = self.client.over_tls();
        let version = Some(done.version);
        if done.http2 {
            self.http2(done.stream, version, done.named).await;
        } else {
            self.http1(done.stream, version).await;
        }
    }

    fn proxy(self, tls: Option<&'static str>, http2: Option<http2::Terms>) -> Proxy {
        Proxy {
            thread: self.thread,
            client: self.client,
            body_idle: self.listen.body,
            connection: self.state,
            tls,
            http2,
        }
    }

    async fn http1<I>(self, socket: I, tls: Option<&'static str>)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (state, listen) = (Rc::clone(&self.state), Arc::clone(&self.listen));
        let scanner = Scanner::new(listen.bounds);
        let socket = Scanned::new(socket, &state, scanner, listen.half_close);
        let panics = self.panics.clone();
        let serving = http1::Builder::new()
            .preserve_header_case(true)
            .auto_date_header(false)
            .max_headers(listen.bounds.fields)
            .max_header_size(listen.bounds.head.max(HEAD) + 1)
            .header_read_timeout(None)
            .serve_connection(TokioIo::new(socket), stack(self.proxy(tls, None), panics))
            .with_upgrades();
        if let Err(error) = Serving::new(serving, state).await {
            tracing::trace!(%error, "a client's connection ended");
        }
    }

    async fn http2<I>(self, socket: I, tls: Option<&'static str>, named: Option<Named>)
    where
        I: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let listen = Arc::clone(&self.listen);
        let panics = self.panics.clone();
        let terms = http2::Terms {
            fields: listen.bounds.fields,
            named,
        };
        http2::serve(socket, self.proxy(tls, Some(terms)), &listen, panics).await;
    }
}

/// Counts a listener for as long as it accepts.
#[derive(Debug)]
pub(super) struct Listening(Arc<Loads>);

impl Listening {
    pub(super) fn new(loads: &Arc<Loads>) -> Self {
        loads.listening.fetch_add(1, Relaxed);
        Self(Arc::clone(loads))
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.listening.fetch_sub(1, Relaxed);
    }
}

/// Counts a connection for as long as it lives, or the tunnel that it became.
#[derive(Debug)]
pub(super) struct Counted {
    loads: Arc<Loads>,
    number: usize,
}

impl Counted {
    fn new(server: &Server) -> Self {
        let number = server.thread.number;
        server.loads.open[number].fetch_add(1, Relaxed);
        Self {
            loads: Arc::clone(&server.loads),
            number,
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.loads.open[self.number].fetch_sub(1, Relaxed);
    }
}

fn refuse(stream: &TcpStream) {
    let text = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 1\r\nProxy-Status: supplant; error=proxy_internal_response\r\nConnection: close\r\n\r\n";
    // The socket is new, so its buffer has room; a client that is gone needs no answer.
    drop(stream.try_write(text));
}
