//! The files that pages load: embedded, and named by their content so that they may be kept.

use axum::http::HeaderValue;
use axum::http::header;
use axum::response::IntoResponse;
use axum::response::Response;
use sha2::Digest;
use sha2::Sha256;
use std::fmt::Write as _;
use std::sync::LazyLock;

/// One embedded file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asset {
    path: &'static str,
    kind: &'static str,
    text: &'static str,
}

/// The style sheet.
pub(crate) const STYLE: Asset = Asset {
    path: "/assets/style.css",
    kind: "text/css; charset=utf-8",
    text: include_str!("assets/style.css"),
};
/// The script: an ES module.
pub(crate) const SCRIPT: Asset = Asset {
    path: "/assets/app.js",
    kind: "text/javascript; charset=utf-8",
    text: include_str!("assets/app.js"),
};
/// The icon of the tab.
pub(crate) const ICON: Asset = Asset {
    path: "/assets/icon.svg",
    kind: "image/svg+xml",
    text: include_str!("assets/icon.svg"),
};

const ALL: [Asset; 3] = [STYLE, SCRIPT, ICON];

static VERSION: LazyLock<String> = LazyLock::new(|| {
    let mut hash = Sha256::new();
    for asset in ALL {
        hash.update(asset.text);
    }
    hash.finalize()
        .iter()
        .take(6)
        .fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").expect("a string takes everything");
            text
        })
});

impl Asset {
    /// Returns its URL; another content has another one.
    pub(crate) fn url(self) -> String {
        format!("{}?v={}", self.path, *VERSION)
    }
}

/// Answers with the file at `path`, or nothing.
pub(crate) fn find(path: &str) -> Option<Response> {
    let asset = ALL.into_iter().find(|a| a.path == path)?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(asset.kind)),
        (
            header::CACHE_CONTROL,
            HeaderValue::from_static("public, max-age=31536000, immutable"),
        ),
    ];
    Some((headers, asset.text).into_response())
}
