//! The smaller tables of a slice: noise, endpoints, what is left out.

use maud::Markup;
use maud::html;

use super::Page;
use crate::admin::pages::parts::Panel;
use crate::admin::pages::state::ticked;
use crate::admin::pages::text;
use crate::admin::view;

/// Rows of a table; the API has them all.
const ROWS_MAX: usize = 50;

impl Page<'_> {
    pub(super) fn noise(&self) -> Markup {
        let rows = view::noise(self.slice);
        if rows.is_empty() {
            let body = html! { p.panel-body.dim { "No field is known to change by itself." } };
            return Panel {
                id: "noise",
                title: "Noise",
                json: None,
                csv: None,
            }
            .draw(&html! {}, &body);
        }
        let sentence = html! {
            (text::plural(rows.len() as u64, "field", "fields"))
            " that legacy changes by itself; masked and counted, not hidden."
        };
        let body = html! {
            div.scroll { table.rows role="table" {
                caption.vh { "Fields that legacy changes by itself" }
                thead role="rowgroup" { tr role="row" {
                    th scope="col" role="columnheader" { "Field" }
                    th scope="col" role="columnheader" { "In words" }
                    th.n scope="col" role="columnheader" { "Pairs" }
                    th.n scope="col" role="columnheader" { "Repeat calls" }
                } }
                tbody.hover role="rowgroup" { @for row in rows.iter().take(ROWS_MAX) {
                    tr role="row" {
                        th scope="row" role="rowheader" {
                            code { (row.path) } " " (row.kind) small { (row.endpoint) }
                        }
                        td.wide role="cell" { (ticked(&row.sentence)) }
                        td.n role="cell" data-label="Pairs" { (text::count(row.pairs))
                            small { "of " (text::count(row.of)) } }
                        td.n role="cell" data-label="Repeat calls" {
                            (text::count(row.legacy_only + row.both)) " of " (text::count(row.repeats))
                            small { "legacy against itself" } }
                    }
                } }
            } }
            @if rows.len() > ROWS_MAX { p.panel-foot { (rows.len() - ROWS_MAX) " more by the API." } }
        };
        Panel {
            id: "noise",
            title: "Noise",
            json: Some(&self.url("/noise")),
            csv: Some(&self.url("/noise?format=csv")),
        }
        .draw(&sentence, &body)
    }

    pub(super) fn endpoints(&self) -> Markup {
        let rows = view::endpoints(self.slice);
        let share = |r: Option<f64>| r.map_or(text::DASH.to_owned(), text::parity);
        let body = html! {
            @if rows.is_empty() { p.panel-body.dim { "No endpoint was compared yet." } }
            @else { div.scroll tabindex="0" role="region" aria-label="Endpoints, table" { table {
                caption.vh { "Endpoints" }
                thead { tr {
                    th scope="col" { "Endpoint" } th.n scope="col" { "Compared" } th.n scope="col" { "Against" }
                    th.n scope="col" { "Masked" } th.n scope="col" { "Parity at least" }
                    th.n scope="col" { "Controls" }
                } }
                tbody.hover { @for row in rows.iter().take(ROWS_MAX) {
                    tr {
                        th scope="row" {
                            @if row.endpoint == "_other" { "others" small { (row.templates) " endpoints" } }
                            @else { code { (row.endpoint) } }
                        }
                        td.n { (text::count(row.n)) } td.n { (text::count(row.f)) }
                        td.n { (text::count(row.masked)) } td.n { (share(row.lower)) }
                        td.n { (text::count(row.controls)) }
                    }
                } }
            } } }
            @if rows.len() > ROWS_MAX { p.panel-foot { (rows.len() - ROWS_MAX) " more by the API." } }
        };
        Panel {
            id: "endpoints",
            title: "Endpoints",
            json: Some(&self.url("/endpoints")),
            csv: Some(&self.url("/endpoints?format=csv")),
        }
        .draw(
            &html! { "The worst one first: the slice is as safe as it." },
            &body,
        )
    }

    pub(super) fn excluded(&self) -> Markup {
        let rows = &self.view.excluded;
        let sentence = html! {
            @if rows.is_empty() { "Nothing was left out by a word of its path or query, or by a session cookie." }
            @else { "Never sent twice, because it may have an effect. If it has none, the line lets it in." }
        };
        let body = html! {
            @if !rows.is_empty() { div.scroll { table.rows role="table" {
                caption.vh { "Endpoints left out of mirroring" }
                thead role="rowgroup" { tr role="row" {
                    th scope="col" role="columnheader" { "Endpoint" } th.n scope="col" role="columnheader" { "Requests" }
                    th scope="col" role="columnheader" { "Why" } th scope="col" role="columnheader" { "To let it in" }
                } }
                tbody role="rowgroup" { @for row in rows.iter().take(ROWS_MAX) {
                    tr role="row" {
                        th scope="row" role="rowheader" { code { (row.endpoint) } }
                        td.n role="cell" data-label="Requests" { (text::count(row.count)) }
                        td role="cell" data-label="Why" { (ticked(&row.why)) }
                        td.wide role="cell" data-label="To let it in" { code.all { (row.allow_line) } }
                    }
                } }
            } } }
        };
        Panel {
            id: "excluded",
            title: "Left out of mirroring",
            json: Some(&self.url("")),
            csv: None,
        }
        .draw(&sentence, &body)
    }
}
