//! Tables as CSV (RFC 4180), safe to open in a spreadsheet. Pure.

/// Writes a header and rows, lines ended by CRLF.
pub(crate) fn table<const N: usize>(
    header: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut out = String::new();
    line(&mut out, header.iter().copied());
    for row in rows {
        line(&mut out, row.iter().map(String::as_str));
    }
    out
}

fn line<'a>(out: &mut String, fields: impl Iterator<Item = &'a str>) {
    for (place, field) in fields.enumerate() {
        if place > 0 {
            out.push(',');
        }
        push(out, field);
    }
    out.push_str("\r\n");
}

/// A cell that a spreadsheet would take for a formula gets an apostrophe in front, numbers aside.
fn push(out: &mut String, field: &str) {
    let formula =
        field.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) && field.parse::<f64>().is_err();
    let quoted = formula || field.contains(['"', ',', '\r', '\n']);
    if !quoted {
        out.push_str(field);
        return;
    }
    out.push('"');
    if formula {
        out.push('\'');
    }
    out.push_str(&field.replace('"', "\"\""));
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_where_they_must_be() {
        let text = table(
            ["a", "b"],
            [
                ["plain".to_owned(), "1,2".to_owned()],
                ["say \"x\"".to_owned(), "two\nlines".to_owned()],
                ["-1.5".to_owned(), String::new()],
            ],
        );
        assert_eq!(
            text,
            "a,b\r\nplain,\"1,2\"\r\n\"say \"\"x\"\"\",\"two\nlines\"\r\n-1.5,\r\n"
        );
    }

    #[test]
    fn a_formula_stays_text() {
        for evil in ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1"] {
            let text = table(["a"], [[evil.to_owned()]]);
            assert_eq!(text, format!("a\r\n\"'{evil}\"\r\n"));
        }
    }
}
