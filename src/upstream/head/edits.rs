//! Edits of fields as the file has them: remove, then set, then add. Pure.

use crate::rules::FieldEdits;
use http::HeaderMap;
use http::HeaderName;

/// Applies edits. The order of what stays is kept; what is set or added stands at the end.
pub(super) fn apply(edits: &FieldEdits, headers: &mut HeaderMap) {
    let goes = |name: &HeaderName| {
        edits.remove.contains(name) || edits.set.iter().any(|(set, _)| set == name)
    };
    if headers.keys().any(goes) {
        let mut kept = HeaderMap::with_capacity(headers.len() + edits.set.len() + edits.add.len());
        for (name, value) in headers.iter().filter(|(name, _)| !goes(name)) {
            kept.append(name, value.clone());
        }
        *headers = kept;
    }
    for (name, value) in edits.set.iter().chain(&edits.add) {
        // The map is full only with more fields than any limit on heads lets in.
        let _whether = headers.try_append(name, value.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn field(name: &'static str, value: &'static str) -> (HeaderName, HeaderValue) {
        (
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        )
    }

    #[test]
    fn edits_remove_then_set_then_add_and_keep_the_order_of_the_rest() {
        let mut headers: HeaderMap = [field("x-a", "1"), field("x-b", "1"), field("x-c", "1")]
            .into_iter()
            .collect();
        headers.append("x-c", HeaderValue::from_static("2"));
        let edits = FieldEdits {
            remove: vec![HeaderName::from_static("x-a")],
            set: vec![field("x-b", "9"), field("x-a", "8")],
            add: vec![field("x-c", "3"), field("x-d", "1")],
        };
        apply(&edits, &mut headers);
        let found: Vec<_> = headers
            .iter()
            .map(|(n, v)| format!("{n}={}", v.to_str().unwrap()))
            .collect();
        let want = ["x-c=1", "x-c=2", "x-c=3", "x-b=9", "x-a=8", "x-d=1"];
        assert_eq!(found, want);
    }
}
