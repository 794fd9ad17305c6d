//! What a client's connection says about it. Pure.

use http::HeaderValue;
use std::net::IpAddr;

/// What a client's connection says about it, written once for all its requests.
#[derive(Clone, Debug)]
pub struct Client {
    address: Option<IpAddr>,
    pub(super) forwarded_for: Option<HeaderValue>,
    pub(super) forwarded_port: HeaderValue,
    secure: bool,
}

impl Client {
    /// Describes a client by its address (none on a socket file) and the port it connected to.
    pub fn new(address: Option<IpAddr>, port: u16) -> Self {
        let text = address.map(|address| address.to_string());
        Self {
            address,
            forwarded_for: text.and_then(|text| HeaderValue::try_from(text).ok()),
            forwarded_port: HeaderValue::from(port),
            secure: false,
        }
    }

    /// Says that the connection is encrypted.
    #[must_use]
    pub fn over_tls(mut self) -> Self {
        self.secure = true;
        self
    }

    /// Returns the address at the other end of the connection, which may be a proxy's.
    pub fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// Returns what is spoken on the connection.
    pub fn scheme(&self) -> &'static str {
        if self.secure { "https" } else { "http" }
    }

    /// Returns the same as a value of a field.
    pub(super) fn forwarded_proto(&self) -> HeaderValue {
        if self.secure {
            const { HeaderValue::from_static("https") }
        } else {
            const { HeaderValue::from_static("http") }
        }
    }
}
