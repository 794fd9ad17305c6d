//! A bare relay: what hyper costs on this execution model when nothing is decided.
//!
//! One thread a core, each with its own current-thread runtime, listener and upstream connections;
//! bodies pass through, hop-by-hop fields are dropped, and that is all. `benches/peers.py` puts it
//! beside the proxy, so that the difference is what the proxy's own code adds. It is a ruler, not a
//! product: no timeouts, no limits, no drain.
//!
//! `cargo run --release --example relay -- LISTEN UPSTREAM THREADS`

use bytes::Bytes;
use http_body_util::Either;
use http_body_util::Full;
use hyper::Request;
use hyper::Response;
use hyper::StatusCode;
use hyper::body::Body;
use hyper::body::Frame;
use hyper::body::Incoming;
use hyper::body::SizeHint;
use hyper::client::conn::http1::SendRequest;
use hyper::header;
use hyper::header::HeaderMap;
use hyper::header::HeaderName;
use hyper::header::HeaderValue;
use hyper_util::rt::TokioIo;
use std::cell::RefCell;
use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Context;
use std::task::Poll;
use std::task::ready;
use tokio::net::TcpListener;
use tokio::net::TcpStream;

type Fault = Box<dyn Error + Send + Sync>;
type Sender = SendRequest<Incoming>;

/// Fields that belong to one connection, beside those that `Connection` names.
const HOP_BY_HOP: [HeaderName; 6] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRANSFER_ENCODING,
];

/// The idle connections of one thread.
#[derive(Clone)]
struct Idle {
    upstream: SocketAddr,
    kept: Rc<RefCell<Vec<Sender>>>,
}

impl Idle {
    async fn take(&self) -> Result<Sender, Fault> {
        loop {
            let kept = self.kept.borrow_mut().pop();
            match kept {
                Some(mut sender) => {
                    if sender.ready().await.is_ok() {
                        return Ok(sender);
                    }
                }
                None => return self.connect().await,
            }
        }
    }

    async fn connect(&self) -> Result<Sender, Fault> {
        let stream = TcpStream::connect(self.upstream).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = hyper::client::conn::http1::Builder::new()
            .preserve_header_case(true)
            .handshake(TokioIo::new(stream))
            .await?;
        // An error of the connection reaches its user through the sender.
        tokio::task::spawn_local(async move { drop(connection.await) });
        Ok(sender)
    }
}

/// A body on its way to the client, which gives its connection back when it ends.
struct Passed {
    body: Incoming,
    back: Option<(Idle, Sender)>,
}

impl Passed {
    fn give_back(&mut self) {
        if let Some((idle, sender)) = self.back.take() {
            idle.kept.borrow_mut().push(sender);
        }
    }
}

impl Body for Passed {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        match &frame {
            Some(Ok(_)) if !self.body.is_end_stream() => {}
            Some(Ok(_)) | None => self.give_back(),
            Some(Err(_)) => self.back = None,
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn strip(fields: &mut HeaderMap) {
    let named: Vec<HeaderName> = fields
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|token| token.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        fields.remove(name);
    }
}

async fn relay(
    mut request: Request<Incoming>,
    idle: &Idle,
    client: &HeaderValue,
) -> Result<Response<Passed>, Fault> {
    strip(request.headers_mut());
    request
        .headers_mut()
        .append("x-forwarded-for", client.clone());
    let mut sender = idle.take().await?;
    let (mut head, body) = sender.send_request(request).await?.into_parts();
    strip(&mut head.headers);
    let mut passed = Passed {
        body,
        back: Some((idle.clone(), sender)),
    };
    if passed.is_end_stream() {
        passed.give_back();
    }
    Ok(Response::from_parts(head, passed))
}

fn bad_gateway() -> Response<Either<Passed, Full<Bytes>>> {
    let mut response = Response::new(Either::Right(Full::default()));
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    response
}

async fn serve(stream: TcpStream, client: SocketAddr, idle: Idle) -> Result<(), Fault> {
    stream.set_nodelay(true)?;
    let client = &HeaderValue::from_str(&client.ip().to_string())?;
    let idle = &idle;
    let service = hyper::service::service_fn(move |request| async move {
        let answer = relay(request, idle, client).await;
        Ok::<_, Infallible>(answer.map_or_else(|_| bad_gateway(), |a| a.map(Either::Left)))
    });
    hyper::server::conn::http1::Builder::new()
        .preserve_header_case(true)
        .serve_connection(TokioIo::new(stream), service)
        .await?;
    Ok(())
}

fn listen(address: SocketAddr) -> Result<std::net::TcpListener, Fault> {
    let socket = socket2::Socket::new(
        socket2::Domain::for_address(address),
        socket2::Type::STREAM,
        None,
    )?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(8192)?;
    Ok(socket.into())
}

fn run(listener: std::net::TcpListener, upstream: SocketAddr) -> Result<(), Fault> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(tokio::runtime::LocalOptions::default())?;
    runtime.block_on(async move {
        let listener = TcpListener::from_std(listener)?;
        let idle = Idle {
            upstream,
            kept: Rc::default(),
        };
        loop {
            let (stream, client) = listener.accept().await?;
            // A client that breaks off is its own affair.
            let served = serve(stream, client, idle.clone());
            tokio::task::spawn_local(async move { drop(served.await) });
        }
    })
}

fn main() -> Result<(), Fault> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [listen_on, upstream, threads] = arguments.as_slice() else {
        return Err("usage: relay LISTEN UPSTREAM THREADS".into());
    };
    let (address, upstream): (SocketAddr, SocketAddr) = (listen_on.parse()?, upstream.parse()?);
    let threads: usize = threads.parse()?;
    let workers: Vec<_> = (0..threads.max(1))
        .map(|_| listen(address).map(|l| std::thread::spawn(move || run(l, upstream))))
        .collect::<Result<_, _>>()?;
    for worker in workers {
        worker.join().map_err(|_| "a thread panicked")??;
    }
    Ok(())
}
