//! Looks at the raw bytes of HTTP/1 requests before the parser does. Pure.
//!
//! hyper is a good server and by itself no intermediary: it takes a `Content-Length` beside a
//! `Transfer-Encoding`, equal lengths twice, bare line feeds, a missing Host. What one side of a proxy
//! reads differently from the other side is how requests are smuggled, so whatever can be read in two
//! ways is refused here, before a byte of it goes anywhere. Nothing is copied and nothing allocated.

mod bytes;
mod chunked;
mod head;
pub(in crate::proxy) mod host;
mod line;
pub(in crate::proxy) mod proxied;
mod reason;

pub use proxied::Malformed;
pub use proxied::Proxied;
pub use proxied::proxied;
pub use reason::Reason;

use crate::rules;
use chunked::Chunked;
use head::Framing;
use head::Head;

/// What a head may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of a request line.
    pub line: usize,
    /// Bytes of a head.
    pub head: usize,
    /// Fields.
    pub fields: usize,
}

impl From<&rules::Limits> for Bounds {
    fn from(limits: &rules::Limits) -> Self {
        Self {
            line: limits.request_line,
            head: limits.head,
            fields: limits.fields,
        }
    }
}

impl Default for Bounds {
    fn default() -> Self {
        Self::from(&rules::Limits::default())
    }
}

/// Follows the requests of one connection.
#[derive(Clone, Debug)]
pub struct Scanner {
    bounds: Bounds,
    place: Place,
    /// The request that we are in is the last one.
    last: bool,
    head: Head,
}

#[derive(Clone, Debug)]
enum Place {
    Head,
    Length(u64),
    Chunked(Chunked),
    End,
}

/// What was found in some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scan {
    /// How many of them may pass.
    pub passed: usize,
    /// How many heads ended in these.
    pub heads: u32,
    /// What the others are.
    pub rest: Rest,
}

/// What the bytes are that may not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// There are none.
    Nothing,
    /// The beginning of a head. They must stand in front of what comes, next time.
    Partial,
    /// They follow the last request, and mean nothing.
    Ended,
    /// They are refused, and all that follows them.
    Refused(Reason),
}

impl Scanner {
    /// Begins before the first request.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            place: Place::Head,
            last: false,
            head: Head::default(),
        }
    }

    /// Returns whether the body of a request has not ended.
    pub fn is_in_body(&self) -> bool {
        matches!(self.place, Place::Length(_) | Place::Chunked(_))
    }

    /// Returns whether a head has begun and not ended.
    pub fn is_in_head(&self) -> bool {
        matches!(self.place, Place::Head) && self.head.has_begun()
    }

    /// Returns whether the last request has ended.
    pub fn has_ended(&self) -> bool {
        matches!(self.place, Place::End)
    }

    /// Looks at what follows the bytes that passed before.
    pub fn scan(&mut self, bytes: &[u8]) -> Scan {
        let mut scan = Scan {
            passed: 0,
            heads: 0,
            rest: Rest::Nothing,
        };
        while let Some(rest) = bytes.get(scan.passed..).filter(|rest| !rest.is_empty()) {
            match &mut self.place {
                Place::Head => match self.head.read(rest, &self.bounds) {
                    Ok(Some(whole)) => {
                        scan.passed += whole.len;
                        scan.heads += 1;
                        self.head = Head::default();
                        self.last = whole.last;
                        self.place = match whole.framing {
                            Framing::Length(0) => self.after(),
                            Framing::Length(length) => Place::Length(length),
                            Framing::Chunked => Place::Chunked(Chunked::new()),
                        };
                    }
                    Ok(None) => {
                        scan.rest = Rest::Partial;
                        return scan;
                    }
                    Err(reason) => {
                        scan.rest = Rest::Refused(reason);
                        return scan;
                    }
                },
                Place::Length(left) => {
                    let here = rest.len();
                    let skip = usize::try_from(*left).map_or(here, |left| left.min(here));
                    *left -= skip as u64;
                    scan.passed += skip;
                    if *left == 0 {
                        self.place = self.after();
                    }
                }
                Place::Chunked(chunked) => {
                    let (passed, found) = chunked.read(rest, &self.bounds);
                    scan.passed += passed;
                    match found {
                        Ok(true) => self.place = self.after(),
                        Ok(false) => {}
                        Err(reason) => {
                            scan.rest = Rest::Refused(reason);
                            return scan;
                        }
                    }
                }
                Place::End => {
                    scan.rest = Rest::Ended;
                    return scan;
                }
            }
        }
        scan
    }

    fn after(&self) -> Place {
        if self.last { Place::End } else { Place::Head }
    }
}

#[cfg(test)]
mod tests;
