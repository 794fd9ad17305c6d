//! Asks endpoints how they are, on the control runtime; the data plane only reads what came out.

use super::Backend;
use super::endpoint::Endpoint;
use super::error::Error;
use super::error::ErrorKind;
use super::tls::Protocol;
use crate::clock;
use crate::rules::Health;
use crate::tasks::Tasks;
use bytes::Bytes;
use http::Request;
use http::Response;
use http::header;
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper_util::rt::TokioExecutor;
use hyper_util::rt::TokioIo;
use std::sync::Arc;
use std::sync::Weak;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// The most endpoints that are asked at once.
const AT_ONCE: usize = 16;

/// Starts asking a backend's endpoints, if its rules say so and nobody does yet. It ends with the
/// backend, or when the tasks are told to stop.
pub fn tend(backend: &Arc<Backend>, tasks: &Tasks) {
    let Some(health) = backend.config().health.clone() else {
        return;
    };
    if !backend.start_tending() {
        return;
    }
    let backend = Arc::downgrade(backend);
    let stopping = tasks.stopping();
    tasks.spawn(async move {
        // Both may be cancelled: what an endpoint was found to be is kept as it is.
        tokio::select! {
            () = stopping => {}
            () = watch(backend, health) => {}
        }
    });
}

/// What the last answers of an endpoint were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Row {
    good: u32,
    bad: u32,
}

impl Row {
    /// Notes an answer; returns how the endpoint is, once that is clear.
    fn note(&mut self, good: bool, health: &Health) -> Option<bool> {
        if good {
            self.bad = 0;
            self.good = self.good.saturating_add(1);
            (self.good >= health.healthy.max(1)).then_some(true)
        } else {
            self.good = 0;
            self.bad = self.bad.saturating_add(1);
            (self.bad >= health.unhealthy.max(1)).then_some(false)
        }
    }
}

async fn watch(backend: Weak<Backend>, health: Health) {
    let mut rows = Vec::new();
    loop {
        {
            let Some(backend) = backend.upgrade() else {
                return;
            };
            round(&backend, &health, &mut rows).await;
        }
        // Several proxies do not ask at the same moment for ever.
        let interval = health.interval.max(Duration::from_millis(10));
        let spread = u32::try_from(clock::chance() % 100).unwrap_or(0);
        tokio::time::sleep(interval * (950 + spread) / 1_000).await;
    }
}

async fn round(backend: &Arc<Backend>, health: &Health, rows: &mut Vec<(Arc<Endpoint>, Row)>) {
    let endpoints = backend.endpoints().to_vec();
    let row = |endpoint: &Arc<Endpoint>| {
        let known = rows.iter().find(|(known, _)| Arc::ptr_eq(known, endpoint));
        known.map_or_else(Row::default, |(_, row)| *row)
    };
    let now: Vec<_> = endpoints.iter().map(row).collect();
    *rows = endpoints.into_iter().zip(now).collect();
    let mut asking = JoinSet::new();
    let mut next = 0;
    loop {
        while asking.len() < AT_ONCE
            && let Some((endpoint, _)) = rows.get(next)
        {
            let (backend, endpoint) = (Arc::clone(backend), Arc::clone(endpoint));
            let (health, place) = (health.clone(), next);
            asking.spawn(async move { (place, is_good(&backend, &endpoint, &health).await) });
            next += 1;
        }
        let Some(asked) = asking.join_next().await else {
            return;
        };
        let Ok((place, good)) = asked else {
            continue;
        };
        let (endpoint, row) = &mut rows[place];
        let Some(well) = row.note(good, health) else {
            continue;
        };
        if endpoint.probed(well, backend.millis(Instant::now())) {
            let (name, address) = (&*backend.config().name, &endpoint.address);
            if well {
                tracing::info!(backend = name, %address, "an endpoint is well again");
            } else {
                tracing::warn!(backend = name, %address, "an endpoint is ill");
            }
        }
    }
}

async fn is_good(backend: &Backend, endpoint: &Endpoint, health: &Health) -> bool {
    let asked = tokio::time::timeout(health.timeout, ask(backend, endpoint, health)).await;
    let good = match asked {
        Ok(Ok(status)) => (200..400).contains(&status),
        Ok(Err(error)) => {
            tracing::debug!(address = %endpoint.address, %error, "an endpoint did not say how it is");
            false
        }
        Err(_) => false,
    };
    if !good {
        backend.count("supplant_backend_health_failures_total", &[]);
    }
    good
}

/// Asks on a connection of its own, so that being reachable is part of being well.
async fn ask(backend: &Backend, endpoint: &Endpoint, health: &Health) -> Result<u16, Error> {
    let patience = backend.config().timeouts.connect;
    let dialed = tokio::time::timeout(patience, endpoint.dial(backend, false)).await;
    let (stream, protocol) = dialed.map_err(|_| Error::new(ErrorKind::ConnectTimeout))??;
    let stream = TokioIo::new(stream);
    let request = probe(backend, endpoint, health, protocol);
    match protocol {
        Protocol::One => {
            let made = hyper::client::conn::http1::handshake(stream).await;
            let (mut sender, connection) = made.map_err(Error::speaking)?;
            beside(connection, sender.send_request(request)).await
        }
        Protocol::Many => {
            let executor = TokioExecutor::new();
            let made = hyper::client::conn::http2::handshake(executor, stream).await;
            let (mut sender, connection) = made.map_err(Error::speaking)?;
            beside(connection, sender.send_request(request)).await
        }
    }
}

/// Runs a connection for as long as its one answer takes.
async fn beside(
    connection: impl Future<Output = hyper::Result<()>>,
    answer: impl Future<Output = hyper::Result<Response<Incoming>>>,
) -> Result<u16, Error> {
    let mut connection = std::pin::pin!(connection);
    let mut answer = std::pin::pin!(answer);
    // Both may be cancelled: the answer's head is all that is wanted.
    tokio::select! {
        biased;
        answer = &mut answer => {
            return answer.map(|a| a.status().as_u16()).map_err(Error::speaking);
        }
        ended = &mut connection => ended.map_err(Error::speaking)?,
    }
    let answer = answer.await.map_err(Error::speaking)?;
    Ok(answer.status().as_u16())
}

fn probe(
    backend: &Backend,
    endpoint: &Endpoint,
    health: &Health,
    protocol: Protocol,
) -> Request<Empty<Bytes>> {
    let mut request = Request::new(Empty::new());
    let named = backend.config().host.as_ref().and_then(|h| h.to_str().ok());
    let authority = named.map_or_else(|| endpoint.authority(), str::to_owned);
    let target = match protocol {
        Protocol::One => health.path.clone(),
        Protocol::Many => format!("{}://{authority}{}", endpoint.transport(), health.path),
    };
    if let Ok(uri) = target.parse() {
        *request.uri_mut() = uri;
    }
    let headers = request.headers_mut();
    if protocol == Protocol::One
        && let Ok(host) = authority.parse()
    {
        headers.insert(header::HOST, host);
    }
    let agent = http::HeaderValue::from_static("supplant-health");
    headers.insert(header::USER_AGENT, agent);
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_changes_after_so_many_answers_in_a_row() {
        let health = Health {
            path: "/".into(),
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(1),
            healthy: 2,
            unhealthy: 3,
        };
        let mut row = Row::default();
        let told: Vec<_> = [false, false, true, false, false, false, true, true]
            .into_iter()
            .map(|good| row.note(good, &health))
            .collect();
        let nothing = None;
        assert_eq!(
            told,
            [
                nothing,
                nothing,
                nothing,
                nothing,
                nothing,
                Some(false),
                nothing,
                Some(true)
            ]
        );
    }
}
