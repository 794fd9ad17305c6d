//! The rules of the demo, written where a user can edit them and watch the reload.

use std::net::SocketAddr;

/// Where the parts of a demo listen.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// The proxy.
    pub listen: SocketAddr,
    /// The dashboard and the API.
    pub admin: SocketAddr,
    /// The legacy application.
    pub legacy: SocketAddr,
    /// Its rewrite.
    pub candidate: SocketAddr,
}

/// Returns the text of `routes.yaml`.
pub(super) fn text(at: &Addresses) -> String {
    let Addresses {
        listen,
        admin,
        legacy,
        candidate,
    } = at;
    format!(
        r#"# The rules of the demo. Edit them and save: what is right is in force within a second,
# what is wrong is refused whole, shown on the dashboard, and the old rules serve on.
version: 1
listen:
  - {{ address: "{listen}" }}
admin: {{ address: "{admin}" }}

legacy: http://{legacy}
backends:
  rewrite: http://{candidate}

defaults:
  shadow: {{ sample: 100%, rate: none }}
  # Legacy is asked again for every second copy, to learn what it changes by itself. A demo can bear
  # that; the default is 5 % under a cap.
  compare: {{ control: 50%, control_rate: none }}

slices:
  # Compared, legacy answers. A total became a string.
  - {{ name: orders, match: /api/orders, to: rewrite, stage: shadow, owner: team-orders }}

  # A fifth of the users gets the rewrite already. A field is missing there.
  - name: products
    match: {{ path_prefix: /api/products, methods: [GET, HEAD] }}
    to: rewrite
    stage: canary
    ramp: {{ by: "header:X-User", percent: 20% }}
    owner: team-catalog

  # Some discounts are off by a cent.
  - {{ name: prices, match: "/api/prices", to: rewrite, stage: shadow, owner: team-catalog }}

  # The same hits in another order.
  - {{ name: search, match: /api/search, to: rewrite, stage: shadow, owner: team-catalog }}

  # The same report, but slower.
  - {{ name: reports, match: /api/reports, to: rewrite, stage: shadow, owner: team-finance }}

  # The rewrite answers, legacy gets copies: the way back stays open.
  - {{ name: sessions, match: /api/sessions, to: rewrite, stage: cutover, owner: team-login }}

  # Not built yet: legacy answers, nobody gets a copy.
  - {{ name: stock, match: /api/stock, to: rewrite, stage: legacy, owner: team-warehouse }}

  # Done: legacy is not asked any more.
  - {{ name: currencies, match: /api/currencies, to: rewrite, stage: retired, owner: team-finance }}

# Everything else, such as /, goes to legacy.
"#
    )
}
