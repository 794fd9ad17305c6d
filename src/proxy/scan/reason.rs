//! Why a request is refused before it is one.

/// A reason; also the label `reason` of `supplant_requests_refused_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Reason {
    /// More than one blank line before a request.
    BlankLines = 1,
    /// A carriage return without a line feed.
    BareCr,
    /// A line feed without a carriage return.
    BareLf,
    /// A zero byte.
    Nul,
    /// Another control byte.
    Control,
    /// The request line is not `METHOD target HTTP/x.y`.
    RequestLine,
    /// The method is not a token.
    Method,
    /// The method is longer than any that is known.
    MethodLong,
    /// The method is CONNECT.
    Connect,
    /// No version: HTTP/0.9.
    Http09,
    /// The version is not written `HTTP/x.y`.
    VersionForm,
    /// A version other than 1.0 and 1.1.
    Version,
    /// The target has bytes that none may have.
    Target,
    /// The target has a form that its method cannot have.
    TargetForm,
    /// The target names a user.
    Userinfo,
    /// The target has a fragment.
    Fragment,
    /// The request line is over the limit.
    LineLong,
    /// The head is over the limit.
    HeadLarge,
    /// There are more fields than the limit.
    Fields,
    /// A name is empty or not a token, or a line has no colon.
    Name,
    /// There is space between a name and its colon.
    Space,
    /// A value goes on in the next line.
    Fold,
    /// HTTP/1.1 without a Host.
    HostMissing,
    /// More than one Host.
    HostSeveral,
    /// Host is not a host with an optional port.
    HostForm,
    /// Host is not the one of the target.
    HostDiffers,
    /// Content-Length is not a number.
    Length,
    /// More than one Content-Length.
    LengthSeveral,
    /// Content-Length beside Transfer-Encoding.
    LengthEncoding,
    /// Transfer-Encoding is not exactly `chunked`.
    Encoding,
    /// Transfer-Encoding in HTTP/1.0.
    EncodingOld,
    /// A chunk's size is not up to 16 hexadecimal digits.
    ChunkSize,
    /// A chunk's extension is over the limit or malformed.
    ChunkExtension,
    /// A chunk is longer than its size.
    ChunkEnd,
    /// A trailer field is malformed.
    Trailer,
    /// The trailers are over the limit.
    TrailersLarge,
    /// The head did not end in time.
    HeadTime,
    /// The body stood still for too long.
    BodyTime,
    /// The first byte is of TLS, on a port without it.
    Tls,
}

const ALL: [Reason; 39] = [
    Reason::BlankLines,
    Reason::BareCr,
    Reason::BareLf,
    Reason::Nul,
    Reason::Control,
    Reason::RequestLine,
    Reason::Method,
    Reason::MethodLong,
    Reason::Connect,
    Reason::Http09,
    Reason::VersionForm,
    Reason::Version,
    Reason::Target,
    Reason::TargetForm,
    Reason::Userinfo,
    Reason::Fragment,
    Reason::LineLong,
    Reason::HeadLarge,
    Reason::Fields,
    Reason::Name,
    Reason::Space,
    Reason::Fold,
    Reason::HostMissing,
    Reason::HostSeveral,
    Reason::HostForm,
    Reason::HostDiffers,
    Reason::Length,
    Reason::LengthSeveral,
    Reason::LengthEncoding,
    Reason::Encoding,
    Reason::EncodingOld,
    Reason::ChunkSize,
    Reason::ChunkExtension,
    Reason::ChunkEnd,
    Reason::Trailer,
    Reason::TrailersLarge,
    Reason::HeadTime,
    Reason::BodyTime,
    Reason::Tls,
];

impl Reason {
    /// Returns every reason.
    pub fn all() -> &'static [Self] {
        &ALL
    }

    /// Returns the reason of a number.
    pub(in crate::proxy) fn of(number: u8) -> Option<Self> {
        ALL.get(usize::from(number).checked_sub(1)?).copied()
    }

    /// Returns the label, the status, and what the client is told.
    pub fn told(self) -> (&'static str, u16, &'static str) {
        match self {
            Self::BlankLines => ("blank_lines", 400, "blank lines before a request"),
            Self::BareCr => ("bare_cr", 400, "a carriage return without a line feed"),
            Self::BareLf => ("bare_lf", 400, "a line feed without a carriage return"),
            Self::Nul => ("nul", 400, "a zero byte"),
            Self::Control => ("control", 400, "a control byte"),
            Self::RequestLine => ("request_line", 400, "the request line is malformed"),
            Self::Method => ("method", 400, "the method is not a token"),
            Self::MethodLong => ("method_long", 501, "the method is not known"),
            Self::Connect => ("connect", 405, "CONNECT"),
            Self::Http09 => ("http09", 400, "HTTP/0.9"),
            Self::VersionForm => ("version_form", 400, "the version is malformed"),
            Self::Version => ("version", 505, "neither HTTP/1.0 nor HTTP/1.1"),
            Self::Target => ("target", 400, "the target has bytes that must be encoded"),
            Self::TargetForm => ("target_form", 400, "the target is malformed"),
            Self::Userinfo => ("userinfo", 400, "the target names a user"),
            Self::Fragment => ("fragment", 400, "the target has a fragment"),
            Self::LineLong => ("line_long", 414, "the request line is over the limit"),
            Self::HeadLarge => ("head_large", 431, "the head is over the limit"),
            Self::Fields => ("fields", 431, "too many fields"),
            Self::Name => ("name", 400, "the name of a field is malformed"),
            Self::Space => ("space", 400, "space before the colon of a field"),
            Self::Fold => ("fold", 400, "a field over several lines"),
            Self::HostMissing => ("host_missing", 400, "no Host"),
            Self::HostSeveral => ("host_several", 400, "more than one Host"),
            Self::HostForm => ("host_form", 400, "the host is malformed"),
            Self::HostDiffers => ("host_differs", 400, "Host is not the host of the target"),
            Self::Length => ("length", 400, "Content-Length is malformed"),
            Self::LengthSeveral => ("length_several", 400, "more than one Content-Length"),
            Self::LengthEncoding => (
                "length_encoding",
                400,
                "Content-Length beside Transfer-Encoding",
            ),
            Self::Encoding => ("encoding", 400, "Transfer-Encoding other than chunked"),
            Self::EncodingOld => ("encoding_old", 400, "Transfer-Encoding in HTTP/1.0"),
            Self::ChunkSize => ("chunk_size", 400, "the size of a chunk is malformed"),
            Self::ChunkExtension => (
                "chunk_extension",
                400,
                "the extension of a chunk is malformed or too long",
            ),
            Self::ChunkEnd => ("chunk_end", 400, "a chunk does not end where its size says"),
            Self::Trailer => ("trailer", 400, "a trailer field is malformed"),
            Self::TrailersLarge => ("trailers_large", 431, "the trailers are over the limit"),
            Self::HeadTime => ("head_time", 408, "the head did not arrive"),
            Self::BodyTime => ("body_time", 408, "the body did not arrive"),
            Self::Tls => ("tls", 400, "TLS was sent to a port without TLS"),
        }
    }

    /// Returns the label.
    pub fn as_str(self) -> &'static str {
        self.told().0
    }

    /// Returns the status.
    pub fn status(self) -> u16 {
        self.told().1
    }

    /// Returns what the client is told, with the name of the status in front.
    pub fn text(self) -> String {
        let (_, status, text) = self.told();
        format!("{}: {text}\n", phrase(status).to_ascii_lowercase())
    }

    /// Returns the answer, head and body.
    pub(in crate::proxy) fn answer(self) -> String {
        let (status, text) = (self.status(), self.text());
        let (phrase, length) = (phrase(status), text.len());
        // RFC 9110 section 15.5.6 wants the field with 405; an empty one names no method.
        let allow = if status == 405 { "Allow: \r\n" } else { "" };
        format!(
            "HTTP/1.1 {status} {phrase}\r\nContent-Type: text/plain; charset=utf-8\r\nProxy-Status: supplant; error=http_request_error\r\n{allow}Content-Length: {length}\r\nConnection: close\r\n\r\n{text}"
        )
    }
}

fn phrase(status: u16) -> &'static str {
    http::StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or("Refused")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_found_by_its_number_and_has_a_label_of_its_own() {
        let mut labels = Vec::new();
        for reason in Reason::all() {
            assert_eq!(Reason::of(*reason as u8), Some(*reason));
            assert!(reason.status() >= 400);
            labels.push(reason.as_str());
        }
        labels.sort_unstable();
        labels.dedup();
        assert_eq!(labels.len(), Reason::all().len());
        assert_eq!(Reason::of(0), None);
    }
}
