//! Reads what is fixed at start: `admin`, `store`, `threads`, `drain`, and with `listen.rs` `listen`
//! and `limits`. Pure.

use crate::rules::file::fields::Fields;
use crate::rules::file::fields::each;
use crate::rules::file::fields::members;
use crate::rules::file::listen;
use crate::rules::keys::Section;
use crate::rules::near::nearest;
use crate::rules::parse::Node;
use crate::rules::parse::short;
use crate::rules::problem::At;
use crate::rules::problem::Problems;
use crate::rules::problem::code;
use crate::rules::startup::Startup;
use crate::rules::startup::StartupLines;
use crate::rules::startup::StoreUrl;
use crate::rules::startup::TokenConf;
use crate::rules::startup::TokenRole;
use crate::rules::value;
use crate::rules::value::Read;
use std::net::SocketAddr;
use std::path::Path;

pub(super) fn read(
    top: &Fields<'_>,
    folder: &Path,
    problems: &mut Problems,
) -> (Startup, StartupLines) {
    let mut startup = Startup::default();
    let start = At {
        line: 1,
        column: 1,
        len: 1,
    };
    let lines = StartupLines {
        listen: top.key_at("listen").unwrap_or(start),
        admin: top.key_at("admin").unwrap_or(start),
        store: top.key_at("store").unwrap_or(start),
        threads: top.key_at("threads").unwrap_or(start),
        drain: top.key_at("drain").unwrap_or(start),
        limits: top.key_at("limits").unwrap_or(start),
    };
    if let Some(node) = top.get("listen") {
        let listen = listen::read(node, folder, problems);
        if !listen.is_empty() {
            startup.listen = listen;
        }
    }
    if let Some(node) = top.get("admin") {
        read_admin(node, folder, &mut startup, problems);
    }
    let store = top.read("store", problems, store);
    startup.store = store.map_or(startup.store, |s| s).beside(folder);
    startup.threads = top
        .read("threads", problems, |t| value::count(t, 1, 1024))
        .and_then(|n| usize::try_from(n).ok());
    if let Some(drain) = top
        .get("drain")
        .and_then(|n| Fields::open(Section::Drain, n, "drain", problems))
    {
        for (name, slot) in [
            ("delay", &mut startup.drain.delay),
            ("timeout", &mut startup.drain.timeout),
        ] {
            drain.set(name, problems, slot, value::duration);
        }
    }
    startup.limits = listen::read_limits(top, problems);
    (startup, lines)
}

impl StoreUrl {
    /// Resolves a relative path against the folder of the rules.
    fn beside(self, folder: &Path) -> Self {
        match self.sqlite_path() {
            Some(path) => Self(format!("sqlite:{}", folder.join(path).display())),
            None => self,
        }
    }
}

fn store(text: &str) -> Read<StoreUrl> {
    if text.starts_with("postgres:") || text.starts_with("postgresql:") {
        let message = "PostgreSQL is not supported in this version".to_owned();
        return Err((
            code::LATER,
            message,
            "write `sqlite:supplant.db`".to_owned(),
        ));
    }
    match text.strip_prefix("sqlite:") {
        Some(path) if !path.is_empty() => Ok(StoreUrl(text.to_owned())),
        _ => Err((
            code::ADDRESS,
            format!("`{}` is not a store", short(text)),
            "write `sqlite:supplant.db`".to_owned(),
        )),
    }
}

fn read_admin(node: &Node, folder: &Path, startup: &mut Startup, problems: &mut Problems) {
    let Some(fields) = Fields::open(Section::Admin, node, "admin", problems) else {
        return;
    };
    let admin = &mut startup.admin;
    if let Some(address) = fields.read("address", problems, address) {
        admin.address = address;
    }
    if let Some(hosts) = fields.get("hosts") {
        admin.hosts = each(hosts, "hosts", problems, host_name)
            .into_iter()
            .map(|(h, _)| h)
            .collect();
    }
    let mut broken = false;
    if let Some(tokens) = fields.get("tokens") {
        for item in members(tokens) {
            match read_token(item, folder, problems) {
                Some((token, at)) if admin.tokens.iter().any(|t| t.name == token.name) => {
                    problems.error(
                        code::DUPLICATE_NAME,
                        at,
                        format!("two tokens are named `{}`", token.name),
                        "rename one of the two",
                    );
                }
                Some((token, _)) => admin.tokens.push(token),
                None => broken = true,
            }
        }
    }
    if !admin.address.ip().is_loopback() && admin.tokens.is_empty() && !broken {
        let at = fields.get("address").map_or(node.at, |n| n.at);
        let message = format!(
            "`{}` is open to others, and nobody needs a token",
            admin.address
        );
        problems.error(
            code::OPEN_ADMIN,
            at,
            message,
            "add `tokens: [{ name: …, role: operator, file: … }]`, or listen on 127.0.0.1",
        );
    }
}

fn host_name(text: &str) -> Read<String> {
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    if !text.is_empty() && text.bytes().all(good) {
        return Ok(text.to_ascii_lowercase());
    }
    Err((
        code::HOST,
        format!("`{}` is not a host name", short(text)),
        "write the name alone, without scheme and port".to_owned(),
    ))
}

fn read_token(item: &Node, folder: &Path, problems: &mut Problems) -> Option<(TokenConf, At)> {
    let fields = Fields::open(Section::Token, item, "tokens", problems)?;
    let name = fields.read_must("name", problems, value::name);
    let role = fields.read_must("role", problems, role);
    let file = fields.must_file("file", folder, problems);
    let ((name, at), (role, _), file) = (name?, role?, file?);
    let token = TokenConf {
        name: name.to_owned(),
        role,
        file,
    };
    Some((token, at))
}

fn role(text: &str) -> Read<TokenRole> {
    match text {
        "viewer" => Ok(TokenRole::Viewer),
        "operator" => Ok(TokenRole::Operator),
        _ => {
            let near = nearest(text, ["viewer", "operator"])
                .map_or(String::new(), |n| format!("did you mean `{n}`? "));
            Err((
                code::WORD,
                format!("`{}` is not a role", short(text)),
                format!("{near}write `viewer` or `operator`"),
            ))
        }
    }
}

/// Reads `IP:PORT`.
pub(super) fn address(text: &str) -> Read<SocketAddr> {
    text.parse().map_err(|_| {
        let port = text.rsplit(':').next().filter(|p| p.parse::<u16>().is_ok());
        let hint = match port {
            Some(port) if text.starts_with("localhost") => format!("write `127.0.0.1:{port}`"),
            Some(port) => {
                format!("write `127.0.0.1:{port}`, or `0.0.0.0:{port}` for every interface")
            }
            None => "write it as `127.0.0.1:8080` or `[::1]:8080`".to_owned(),
        };
        (
            code::ADDRESS,
            format!("`{}` is not an address with a port", short(text)),
            hint,
        )
    })
}
