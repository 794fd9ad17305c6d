//! W3C trace context: the field `traceparent`, read and written.

use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;

/// The field that names a request's place in a trace.
pub(super) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// What vendors add to it.
pub(super) const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// A place in a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    /// The trace.
    pub trace: u128,
    /// The span in it.
    pub span: u64,
    /// Whether it is recorded.
    pub sampled: bool,
}

impl Context {
    /// Reads the context that a request came with; nothing if there is none, if there are two, or if
    /// it is not valid.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut all = headers.get_all(TRACEPARENT).iter();
        let value = all.next()?;
        if all.next().is_some() {
            return None;
        }
        Self::parse(value.as_bytes())
    }

    /// Reads `00-TRACE-SPAN-FLAGS`. A later version may be longer (W3C Trace Context section 3.2).
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (head, rest) = text.split_at_checked(55)?;
        let dashes = [2, 35, 52];
        if dashes.iter().any(|at| head.get(*at) != Some(&b'-')) {
            return None;
        }
        let field = |from: usize, to: usize| hex(head.get(from..to)?);
        let version = field(0, 2)?;
        let more = version > 0 && rest.first() == Some(&b'-');
        if version == 0xff || !(rest.is_empty() || more) {
            return None;
        }
        let (trace, span) = (field(3, 35)?, u64::try_from(field(36, 52)?).ok()?);
        if trace == 0 || span == 0 {
            return None;
        }
        Some(Self {
            trace,
            span,
            sampled: field(53, 55)? & 1 == 1,
        })
    }

    /// Writes the field's value.
    pub fn to_value(self) -> Option<HeaderValue> {
        let flags = u8::from(self.sampled);
        let text = format!("00-{:032x}-{:016x}-{flags:02x}", self.trace, self.span);
        HeaderValue::try_from(text).ok()
    }
}

/// Reads lower-case hexadecimal digits, which are all that the field may have.
fn hex(text: &[u8]) -> Option<u128> {
    text.iter().try_fold(0, |sum, byte| {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => return None,
        };
        Some(sum << 4 | u128::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_context_is_read_and_written_as_the_recommendation_says() {
        let context = Context::parse(GOOD.as_bytes()).unwrap();
        assert!(context.sampled);
        assert_eq!(context.to_value().unwrap(), GOOD);
        let off = Context::parse(GOOD.replace("-01", "-02").as_bytes()).unwrap();
        assert!(!off.sampled);
        assert!(Context::parse(GOOD.replace("00-0", "01-0").as_bytes()).is_some());
        let later = GOOD.replace("00-0", "cc-0") + "-more";
        assert!(Context::parse(later.as_bytes()).is_some());
    }

    #[test]
    fn what_is_not_a_context_is_none() {
        for bad in [
            String::new(),
            GOOD.replace("00-0", "ff-0"),
            GOOD.to_owned() + "-more",
            GOOD.to_owned() + "0",
            GOOD.to_uppercase(),
            GOOD.replace("b7ad6b7169203331", "0000000000000000"),
            GOOD.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            GOOD.replace('-', "_"),
        ] {
            assert_eq!(Context::parse(bad.as_bytes()), None, "{bad}");
        }
        let mut headers = HeaderMap::new();
        headers.append(TRACEPARENT, HeaderValue::from_static(GOOD));
        assert!(Context::of(&headers).is_some());
        headers.append(TRACEPARENT, HeaderValue::from_static(GOOD));
        assert!(Context::of(&headers).is_none());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>, text in "[0-9a-f-]{50,60}") {
            Context::parse(&bytes);
            Context::parse(text.as_bytes());
        }
    }
}
