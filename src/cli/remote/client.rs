//! One request to the admin API of a running proxy.

use anyhow::Context;
use bytes::Bytes;
use http::Method;
use http::Request;
use http::StatusCode;
use http::header;
use http_body_util::BodyExt;
use http_body_util::Full;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;
use tokio::net::TcpStream;

/// The longest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 64 << 20;
const CONNECT: Duration = Duration::from_secs(5);
/// A `resume` may wait for a slow disk.
const WHOLE: Duration = Duration::from_secs(30);

/// The proxy to ask.
#[derive(Clone, Debug, clap::Args)]
pub struct Remote {
    /// Its admin listener.
    #[arg(
        long,
        env = "SUPPLANT_ADMIN",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:9900"
    )]
    pub admin: String,
    /// The file with a token: what the proxy wrote at its start, or one of `admin.tokens`; default
    /// `supplant.token`, if it is there. Without a token the proxy lets this machine look, kill and
    /// roll back.
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
}

/// What the proxy answered.
#[derive(Debug)]
pub(super) struct Answer {
    /// The status.
    pub(super) status: StatusCode,
    /// The JSON of the answer; a string if it was none.
    pub(super) body: Value,
    /// The file of the token that was sent.
    token_file: Option<PathBuf>,
}

impl Answer {
    /// Returns whether it is a yes.
    pub(super) fn is_good(&self) -> bool {
        self.status.is_success()
    }

    /// Returns why it is a no, in a sentence.
    pub(super) fn complaint(&self) -> String {
        let text = self
            .body
            .get("error")
            .and_then(Value::as_str)
            .or_else(|| self.body.as_str())
            .filter(|text| !text.is_empty())
            .map_or_else(
                || format!("the proxy answered {}", self.status),
                str::to_owned,
            );
        match self.status {
            StatusCode::UNAUTHORIZED if let Some(file) = &self.token_file => format!(
                "this proxy does not know the token in `{}`\nhint: it wrote a new \
                 `supplant.token` when it started; is `--admin` the right proxy?",
                file.display()
            ),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => format!(
                "{text}\nhint: `--token-file` names the file with the token; \
                 a proxy writes `supplant.token` beside its store when it starts"
            ),
            _ => text,
        }
    }
}

impl Remote {
    /// Reads what stands at `path`.
    pub(super) fn get(&self, path: &str) -> anyhow::Result<Answer> {
        self.send(Method::GET, path, Bytes::new())
    }

    /// Has the proxy do something.
    pub(super) fn post(&self, path: &str, body: &Value) -> anyhow::Result<Answer> {
        self.send(Method::POST, path, body.to_string().into())
    }

    fn send(&self, method: Method, path: &str, body: Bytes) -> anyhow::Result<Answer> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, self.authority())
            .header(header::ACCEPT, "application/json")
            .header(header::USER_AGENT, "supplant");
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let token = self.token()?;
        let token_file = token.as_ref().map(|(file, _)| file.clone());
        if let Some((_, token)) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request
            .body(Full::new(body))
            .with_context(|| format!("cannot ask `{}` for `{path}`", self.admin))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let answer = runtime.block_on(async {
            tokio::time::timeout(WHOLE, self.exchange(request))
                .await
                .with_context(|| format!("`{}` did not answer within {WHOLE:?}", self.admin))?
        })?;
        Ok(Answer {
            token_file,
            ..answer
        })
    }

    /// Returns the token and where it stands. A file that was asked for must be there.
    fn token(&self) -> anyhow::Result<Option<(PathBuf, String)>> {
        let default = PathBuf::from("supplant.token");
        let file = self.token_file.as_ref().unwrap_or(&default);
        match std::fs::read_to_string(file) {
            Ok(token) if token.trim().is_empty() => Ok(None),
            Ok(token) => Ok(Some((file.clone(), token.trim().to_owned()))),
            Err(error) if self.token_file.is_none() && error.kind() == ErrorKind::NotFound => {
                Ok(None)
            }
            Err(error) => Err(error).with_context(|| format!("cannot read `{}`", file.display())),
        }
    }

    /// Returns host and port, whether or not they were given as an URL.
    fn authority(&self) -> &str {
        let admin = self.admin.strip_prefix("http://").unwrap_or(&self.admin);
        admin.trim_end_matches('/')
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> anyhow::Result<Answer> {
        let nobody = || {
            format!(
                "nothing answers at `{}`; is the proxy running, and is this its admin address \
                 (`--admin`, or SUPPLANT_ADMIN)?",
                self.admin
            )
        };
        let stream = tokio::time::timeout(CONNECT, TcpStream::connect(self.authority()))
            .await
            .with_context(nobody)?
            .with_context(nobody)?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let exchange = async {
            let mut answer = sender.send_request(request).await?;
            let mut bytes = Vec::new();
            while let Some(frame) = answer.body_mut().frame().await {
                if let Ok(data) = frame?.into_data() {
                    anyhow::ensure!(
                        bytes.len() + data.len() <= ANSWER_BYTES_MAX,
                        "the answer is longer than {ANSWER_BYTES_MAX} bytes"
                    );
                    bytes.extend_from_slice(&data);
                }
            }
            anyhow::Ok((answer.status(), bytes))
        };
        let mut exchange = std::pin::pin!(exchange);
        // The connection has to be driven as long as it lasts; its end is no loss by itself, since
        // what it brought may still wait to be read.
        let done = tokio::select! {
            biased;
            done = &mut exchange => done,
            _ended = connection => exchange.await,
        };
        let (status, bytes) = done.with_context(|| {
            format!("`{}` did not answer as an admin listener does", self.admin)
        })?;
        let body = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).trim().to_owned()));
        Ok(Answer {
            status,
            body,
            token_file: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::io::Read;
    use std::io::Write;
    use std::path::Path;

    fn remote(admin: String, folder: &Path) -> Remote {
        let file = folder.join("supplant.token");
        Remote {
            admin,
            token_file: file.exists().then_some(file),
        }
    }

    /// Answers one request with `answer` and returns what it read.
    fn server(answer: &'static str) -> (String, std::thread::JoinHandle<String>) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let served = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut read = vec![0; 4096];
            let count = stream.read(&mut read).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8_lossy(&read[..count]).into_owned()
        });
        (address, served)
    }

    #[test]
    fn a_request_carries_the_token_and_the_answer_is_read() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("supplant.token"), "secret-secret\n").unwrap();
        let (admin, served) = server(
            "HTTP/1.1 200 OK\r\ncontent-length: 29\r\n\r\n{\"done\":\"x\",\"persisted\":true}",
        );
        let admin = format!("http://{admin}/");
        let answer = remote(admin, folder.path())
            .post("/api/v1/slices/a/kill", &json!({}))
            .unwrap();
        assert!(answer.is_good());
        assert_eq!(answer.body, json!({"done": "x", "persisted": true}));
        let read = served.join().unwrap();
        assert!(
            read.starts_with("POST /api/v1/slices/a/kill HTTP/1.1\r\n"),
            "{read}"
        );
        assert!(
            read.contains("authorization: Bearer secret-secret\r\n"),
            "{read}"
        );
    }

    #[test]
    fn a_no_is_told_with_its_reason_and_a_hint() {
        let folder = tempfile::tempdir().unwrap();
        let (admin, served) = server(
            "HTTP/1.1 401 Unauthorized\r\ncontent-length: 29\r\n\r\n{\"error\":\"a token is needed\"}",
        );
        let answer = remote(admin, folder.path()).get("/api/v1/status").unwrap();
        assert!(!answer.is_good());
        let text = answer.complaint();
        assert!(
            text.starts_with("a token is needed\nhint: `--token-file`"),
            "{text}"
        );
        assert!(!served.join().unwrap().contains("authorization"));
    }

    #[test]
    fn a_wrong_token_is_named_and_a_missing_file_is_no_silence() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("supplant.token"), "of-another-proxy").unwrap();
        let (admin, served) = server("HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\n\r\n{}");
        let mut asked = remote(admin, folder.path());
        let text = asked.get("/api/v1/status").unwrap().complaint();
        assert!(text.contains("does not know the token in"), "{text}");
        served.join().unwrap();
        asked.token_file = Some(folder.path().join("typo"));
        let text = format!("{:#}", asked.get("/").unwrap_err());
        assert!(
            text.contains("cannot read") && text.contains("typo"),
            "{text}"
        );
    }

    #[test]
    fn nobody_there_is_said_with_the_address_and_the_option() {
        let folder = tempfile::tempdir().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let admin = listener.local_addr().unwrap().to_string();
        drop(listener);
        let error = remote(admin.clone(), folder.path()).get("/").unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains(&admin) && text.contains("`--admin`"),
            "{text}"
        );
    }
}
