//! What the data plane hands over: a request to copy, and the answer that the client got.

use super::memory::Held;
use crate::compare::Answer;
use crate::model::PairId;
use crate::model::Side;
use crate::model::UnixMillis;
use crate::rules::Draws;
use crate::table::Lane;
use crate::table::Open;
use crate::telemetry::trace::Copies;
use crate::upstream::head::Client;
use bytes::Bytes;
use http::HeaderValue;
use http::request::Parts;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The request, as the client sent it.
#[derive(Debug)]
pub struct Asked {
    /// Its head.
    pub parts: Parts,
    /// Its body, whole.
    pub body: Bytes,
    /// Who sent it.
    pub client: Client,
}

/// One request to mirror.
#[derive(Debug)]
pub struct Job {
    /// The request's id.
    pub id: PairId,
    /// When its head arrived.
    pub at: UnixMillis,
    /// The slice that took it.
    pub lane: Arc<Lane>,
    /// The request whose outcome this job decides; none where the head has decided it and only
    /// legacy is asked again.
    pub open: Option<Open>,
    /// What was asked.
    pub asked: Asked,
    /// Who answered the client.
    pub side: Side,
    /// What the client got.
    pub served: Answer,
    /// What named the version of that side, which clients may not see.
    pub version: Option<HeaderValue>,
    /// How long that took, from the request sent to the end of the answer.
    pub took: Duration,
    /// What chance drew before any answer was known.
    pub draws: Draws,
    /// The bytes that this job holds.
    pub held: Vec<Held>,
    /// When it was offered.
    pub offered: Instant,
    /// How its calls are traced, where they are.
    pub trace: Option<Copies>,
}
