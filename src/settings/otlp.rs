//! Where spans go and which are made, as the `OTEL_*` variables of the OpenTelemetry specification
//! say it. Reads a look-up instead of the environment, so that it can be tested.

use http::HeaderName;
use http::HeaderValue;
use std::time::Duration;

/// Which requests that no parent has decided about are sampled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Root {
    /// All.
    On,
    /// None.
    Off,
    /// A share, from 0 to 1, by the trace's id.
    Ratio(f64),
}

/// Which requests are sampled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampler {
    /// A parent's decision counts.
    pub by_parent: bool,
    /// What decides without one.
    pub root: Root,
}

/// An exporter of spans.
#[derive(Clone, Debug, PartialEq)]
pub struct Otlp {
    /// The collector's URL, with its path.
    pub endpoint: http::Uri,
    /// Fields of each request to it, such as a key.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// How long one export may take.
    pub timeout: Duration,
    /// What the process is called, and further attributes of it.
    pub resource: Vec<(String, String)>,
    /// Which requests are sampled.
    pub sampler: Sampler,
    /// How long spans wait for others.
    pub delay: Duration,
    /// How many go in one export.
    pub batch: usize,
    /// How many may wait; more are dropped and counted.
    pub queue: usize,
}

impl Otlp {
    /// Reads the variables. Nothing is returned unless an endpoint is named; what cannot be read is
    /// told and left out, since traces are no reason not to serve.
    pub fn read(get: impl Fn(&str) -> Option<String>) -> (Option<Self>, Vec<String>) {
        let get = |name: &str| {
            get(name)
                .map(|v| v.trim().to_owned())
                .filter(|v| !v.is_empty())
        };
        let mut complaints = Vec::new();
        let off = get("OTEL_SDK_DISABLED").is_some_and(|v| v.eq_ignore_ascii_case("true"))
            || get("OTEL_TRACES_EXPORTER").is_some_and(|v| v == "none");
        let whole = get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
        let base = get("OTEL_EXPORTER_OTLP_ENDPOINT")
            .map(|base| format!("{}/v1/traces", base.trim_end_matches('/')));
        let Some(url) = whole.or(base).filter(|_| !off) else {
            return (None, complaints);
        };
        let traces = |name: &str| {
            get(&format!("OTEL_EXPORTER_OTLP_TRACES_{name}"))
                .or_else(|| get(&format!("OTEL_EXPORTER_OTLP_{name}")))
        };
        if let Some(other) = traces("PROTOCOL").filter(|p| p != "http/protobuf") {
            complaints.push(format!(
                "no spans are sent: OTEL_EXPORTER_OTLP_PROTOCOL is `{other}`, and only `http/protobuf` is spoken"
            ));
            return (None, complaints);
        }
        let Some(endpoint) = endpoint(&url) else {
            complaints.push(format!(
                "no spans are sent: `{url}` is not an `http://` URL, and TLS to a collector is not supported in this version"
            ));
            return (None, complaints);
        };
        let mut number = |name: &str, default: u64| match get(name).map(|v| (v.parse(), v)) {
            None => default,
            Some((Ok(n), _)) => n,
            Some((Err(_), text)) => {
                complaints.push(format!(
                    "{name} is `{text}`, not a number; {default} is used"
                ));
                default
            }
        };
        let delay = number("OTEL_BSP_SCHEDULE_DELAY", 5_000).clamp(1, 3_600_000);
        let queue = number("OTEL_BSP_MAX_QUEUE_SIZE", 2_048).clamp(1, 1 << 20);
        let batch = number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512).clamp(1, queue);
        let default = number("OTEL_EXPORTER_OTLP_TIMEOUT", 10_000);
        let timeout = number("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", default);
        let (name, share) = (get("OTEL_TRACES_SAMPLER"), get("OTEL_TRACES_SAMPLER_ARG"));
        let (sampler, complaint) = sampler(name.as_deref(), share.as_deref());
        complaints.extend(complaint);
        let mut resource = pairs(&get("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default());
        let named = resource.iter().any(|(name, _)| name == "service.name");
        if let Some(name) = get("OTEL_SERVICE_NAME") {
            resource.retain(|(known, _)| known != "service.name");
            resource.push(("service.name".to_owned(), name));
        } else if !named {
            resource.push(("service.name".to_owned(), "supplant".to_owned()));
        }
        let otlp = Self {
            endpoint,
            headers: fields(&traces("HEADERS").unwrap_or_default(), &mut complaints),
            timeout: Duration::from_millis(timeout.max(1)),
            resource,
            sampler,
            delay: Duration::from_millis(delay),
            batch: usize::try_from(batch).unwrap_or(512),
            queue: usize::try_from(queue).unwrap_or(2_048),
        };
        (Some(otlp), complaints)
    }
}

fn endpoint(url: &str) -> Option<http::Uri> {
    let uri: http::Uri = url.parse().ok()?;
    (uri.scheme_str() == Some("http") && uri.host().is_some()).then_some(uri)
}

fn sampler(name: Option<&str>, share: Option<&str>) -> (Sampler, Option<String>) {
    let default = Sampler {
        by_parent: true,
        root: Root::On,
    };
    let Some(name) = name else {
        return (default, None);
    };
    let (by_parent, rest) = match name.strip_prefix("parentbased_") {
        Some(rest) => (true, rest),
        None => (false, name),
    };
    let ratio = share.map_or(Some(1.0), |s| {
        s.parse().ok().filter(|r| (0.0..=1.0).contains(r))
    });
    let root = match (rest, ratio) {
        ("always_on", _) => Root::On,
        ("always_off", _) => Root::Off,
        ("traceidratio", Some(ratio)) => Root::Ratio(ratio),
        ("traceidratio", None) => {
            let text = "OTEL_TRACES_SAMPLER_ARG is not a share from 0 to 1; 1 is used";
            return (
                Sampler {
                    by_parent,
                    root: Root::On,
                },
                Some(text.to_owned()),
            );
        }
        _ => {
            let text = format!(
                "OTEL_TRACES_SAMPLER `{name}` is not known; `parentbased_always_on` is used"
            );
            return (default, Some(text));
        }
    };
    (Sampler { by_parent, root }, None)
}

/// Reads `name=value,name=value`, the values percent-encoded.
fn pairs(text: &str) -> Vec<(String, String)> {
    let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
    pairs
        .map(|(name, value)| (name.trim().to_owned(), unescaped(value.trim())))
        .filter(|(name, _)| !name.is_empty())
        .collect()
}

/// Reads the fields of a request. Those that HTTP cannot carry are told without their values, which
/// may be secrets.
fn fields(text: &str, complaints: &mut Vec<String>) -> Vec<(HeaderName, HeaderValue)> {
    let mut fields = Vec::new();
    for (name, value) in pairs(text) {
        let read = HeaderName::try_from(&name).ok();
        if let Some((name, mut value)) = read.zip(HeaderValue::try_from(value).ok()) {
            value.set_sensitive(true);
            fields.push((name, value));
            continue;
        }
        // Written as `name: value`, it has a value inside what stands before `=`.
        let ends = |c: char| c == ':' || c.is_whitespace();
        let shown = name.split(ends).next().unwrap_or_default();
        complaints.push(format!(
            "the field `{}` of OTEL_EXPORTER_OTLP_HEADERS cannot be sent and is left out",
            shown.escape_debug()
        ));
    }
    fields
}

fn unescaped(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let code = bytes.get(at + 1..at + 3).filter(|_| byte == b'%');
        let code = code.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        out.push(code.unwrap_or(byte));
        at += if code.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> (Option<Otlp>, Vec<String>) {
        Otlp::read(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn nothing_is_sent_unless_an_endpoint_is_named() {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/");
        assert_eq!(read(&[("OTEL_SERVICE_NAME", "x")]), (None, vec![]));
        let off = ("OTEL_SDK_DISABLED", "true");
        assert_eq!(read(&[endpoint, off]), (None, vec![]));
        let (found, complaints) = read(&[endpoint]);
        let found = found.unwrap();
        assert_eq!(found.endpoint, "http://collector:4318/v1/traces");
        assert_eq!(found.resource, [("service.name".into(), "supplant".into())]);
        assert_eq!(
            (found.batch, found.queue, complaints.len()),
            (512, 2_048, 0)
        );
        for (name, value) in [
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "collector:4318"),
        ] {
            let (found, complaints) = read(&[endpoint, (name, value)]);
            assert_eq!((found, complaints.len()), (None, 1), "{name}");
        }
    }

    #[test]
    fn the_variables_mean_what_the_specification_says() {
        let (found, complaints) = read(&[
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://c:1/x"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%20b, empty"),
            ("OTEL_RESOURCE_ATTRIBUTES", "service.name=a,zone=b"),
            ("OTEL_SERVICE_NAME", "shop"),
            ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
            ("OTEL_BSP_SCHEDULE_DELAY", "soon"),
        ]);
        let found = found.unwrap();
        assert_eq!(found.endpoint.path(), "/x");
        let field = (
            HeaderName::from_static("api-key"),
            HeaderValue::from_static("a b"),
        );
        assert_eq!(found.headers, [field]);
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(
            found.resource,
            [pair("zone", "b"), pair("service.name", "shop")]
        );
        let wanted = Sampler {
            by_parent: true,
            root: Root::Ratio(0.25),
        };
        assert_eq!(found.sampler, wanted);
        assert_eq!((found.delay.as_secs(), complaints.len()), (5, 1));
    }

    #[test]
    fn a_field_that_cannot_be_sent_is_told_without_its_value() {
        let (found, complaints) = read(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:1"),
            (
                "OTEL_EXPORTER_OTLP_HEADERS",
                "a=1,Authorization: Basic secret==,b=secret%0A,C=2",
            ),
        ]);
        let found = found.unwrap();
        let names: Vec<_> = found
            .headers
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        assert_eq!((names, complaints.len()), (vec!["a", "c"], 2));
        let told = complaints.join("\n");
        assert!(told.contains("`Authorization`") && told.contains("`b`"));
        assert!(!told.contains("secret") && !format!("{found:?}").contains("\"1\""));
    }
}
