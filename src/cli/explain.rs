//! `supplant explain`: the decision about a request, step by step, with the rules that lost.

use super::check;
use crate::model::Head;
use crate::model::PairId;
use crate::rules;
use crate::rules::Refused;
use anyhow::Context;
use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::Method;
use http::header::HOST;
use std::io::Write as _;
use std::path::PathBuf;

/// Arguments of `supplant explain`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  supplant explain GET /api/orders/7
  supplant explain GET 'http://app.example.com/orders?page=2' -H 'X-Tenant: acme'
  supplant explain GET /orders --chance 712f3c0a5be1d948    repeats a request of the access log")]
pub(super) struct Args {
    /// The method.
    #[arg(value_parser = method)]
    method: Method,
    /// A URL, or a path.
    #[arg(value_parser = url)]
    url: String,
    /// A header field, `Name: value`; may be given several times.
    #[arg(short = 'H', long = "header", value_name = "FIELD", value_parser = field)]
    headers: Vec<(HeaderName, HeaderValue)>,
    /// The chance to draw with: the `id` of the access log (16 hexadecimal digits), or a number;
    /// without it draws are told as shares.
    #[arg(long, value_name = "N", value_parser = chance)]
    chance: Option<u64>,
    /// The rules.
    #[arg(
        long,
        value_name = "FILE",
        env = "SUPPLANT_CONFIG",
        default_value = "routes.yaml"
    )]
    config: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

fn method(text: &str) -> Result<Method, String> {
    Method::from_bytes(text.as_bytes()).map_err(|_| "a method is a word such as GET".to_owned())
}

fn url(text: &str) -> Result<String, String> {
    let rooted = text == "*" || text.starts_with('/');
    let whole = ["http://", "https://"].iter().any(|scheme| {
        let rest = text.strip_prefix(scheme);
        rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
    });
    if rooted || whole {
        return Ok(text.to_owned());
    }
    Err("write a path, such as `/orders/7`, or `http://HOST/PATH`".to_owned())
}

/// Reads what the access log calls `id`, or a number in decimal.
fn chance(text: &str) -> Result<u64, String> {
    let id = PairId::parse(text).map(|id| id.0);
    id.or_else(|| text.parse().ok())
        .ok_or_else(|| "give the 16 digits of an id, or a number below 2^64".to_owned())
}

fn field(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let wrong = || "write it as 'Name: value'".to_owned();
    let (name, value) = text.split_once(':').ok_or_else(wrong)?;
    let name = HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| wrong())?;
    let value = HeaderValue::from_str(value.trim()).map_err(|_| wrong())?;
    Ok((name, value))
}

/// Explains a request; returns the exit code.
pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    let (problems, snapshot) = check::read(&args.config);
    let Some(snapshot) = snapshot else {
        let path = args.config.display().to_string();
        let mut out = std::io::stderr().lock();
        for problem in problems {
            writeln!(out, "{}", problem.render(&path)).context("cannot print")?;
        }
        return Ok(2);
    };
    let target = Target::parse(&args.url);
    let mut headers = HeaderMap::new();
    for (name, value) in &args.headers {
        headers.append(name.clone(), value.clone());
    }
    let host = headers
        .get(HOST)
        .and_then(|v| v.to_str().ok())
        .or(target.host);
    let head = Head {
        method: &args.method,
        path: target.path,
        query: target.query,
        host,
        headers: &headers,
    };
    let text = match rules::explain(&snapshot, &head, args.chance) {
        Ok(found) if args.json => format!(
            "{:#}\n",
            serde_json::to_value(&found).context("cannot write JSON")?
        ),
        Ok(found) if found.slice.is_none() => found.to_string(),
        Ok(found) => format!(
            "{found}\nThe position is that of the file; `supplant status` tells what operators hold down.\n"
        ),
        Err(refused) => refusal(refused, args.json),
    };
    std::io::stdout()
        .write_all(text.as_bytes())
        .context("cannot print")?;
    Ok(0)
}

fn refusal(refused: Refused, json: bool) -> String {
    if json {
        format!(
            "{:#}\n",
            serde_json::json!({ "refused": refused.to_string(), "status": 400 })
        )
    } else {
        format!("refused with 400: {refused}\n")
    }
}

/// The parts of a URL, as a client would send them.
#[derive(Debug, PartialEq, Eq)]
struct Target<'u> {
    host: Option<&'u str>,
    path: &'u str,
    query: Option<&'u str>,
}

impl<'u> Target<'u> {
    fn parse(url: &'u str) -> Self {
        let url = url.split_once('#').map_or(url, |(url, _)| url);
        let (rest, query) = url
            .split_once('?')
            .map_or((url, None), |(rest, query)| (rest, Some(query)));
        let Some((_, rest)) = rest.split_once("://") else {
            return Self {
                host: None,
                path: rest,
                query,
            };
        };
        let end = rest.find('/').unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let host = authority
            .rsplit_once('@')
            .map_or(authority, |(_, host)| host);
        Self {
            host: Some(host),
            path: if path.is_empty() { "/" } else { path },
            query,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_that_no_client_sends_is_refused() {
        for good in ["/", "/a?u=http://x", "*", "http://h", "https://h/a"] {
            assert_eq!(url(good), Ok(good.to_owned()));
        }
        for bad in ["", "api/orders", "http:///x", "http://", "h:80/a"] {
            assert!(url(bad).unwrap_err().contains("/orders/7"), "{bad}");
        }
    }

    #[test]
    fn a_url_is_taken_apart_as_a_client_would() {
        for (url, host, path, query) in [
            ("/a/b?c=d#e", None, "/a/b", Some("c=d")),
            ("http://h:1/a", Some("h:1"), "/a", None),
            ("https://u:p@h?x", Some("h"), "/", Some("x")),
            ("/a?u=http://x/y", None, "/a", Some("u=http://x/y")),
            ("*", None, "*", None),
        ] {
            assert_eq!(Target::parse(url), Target { host, path, query }, "{url}");
        }
    }

    #[test]
    fn chance_is_an_id_of_the_log_or_a_number() {
        assert_eq!(chance("0000000000000010"), Ok(16));
        assert_eq!(chance("ffffffffffffffff"), Ok(u64::MAX));
        assert_eq!(chance("18446744073709551615"), Ok(u64::MAX));
        assert_eq!(chance("7"), Ok(7));
        assert!(chance("abc").is_err() && chance("18446744073709551616").is_err());
    }

    #[test]
    fn a_field_needs_its_colon() {
        assert!(field("X-Tenant: acme").is_ok() && field("X-Tenant:").is_ok());
        assert!(field("X-Tenant").is_err() && field("a b: c").is_err());
    }
}
