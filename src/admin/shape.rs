//! Shapes in place of values, for those who may look but not read. Pure.

/// Returns the shape of one line of pretty JSON: names and punctuation stay, values go.
pub(crate) fn json_line(line: &str) -> String {
    let indent_len = line.len() - line.trim_start().len();
    let (indent, rest) = line.split_at(indent_len);
    let Some(end) = string_end(rest) else {
        return format!("{indent}{}", json_value(rest));
    };
    let (name, after) = rest.split_at(end);
    match after.strip_prefix(':') {
        Some(value) => format!("{indent}{name}: {}", json_value(value.trim_start())),
        None => format!("{indent}{}", json_value(rest)),
    }
}

/// Returns the shape of a JSON text: an excerpt, a scalar, or what stands after a name.
pub(crate) fn json_value(text: &str) -> String {
    let text = text.trim_end();
    let (body, comma) = match text.strip_suffix(',') {
        Some(body) => (body, ","),
        None => (text, ""),
    };
    let shape = match body.bytes().next() {
        None => String::new(),
        Some(b'"') => string_shape(body),
        Some(b'-' | b'0'..=b'9') => "number".to_owned(),
        Some(b't' | b'f') => "boolean".to_owned(),
        Some(b'n') => "null".to_owned(),
        Some(_) if body.bytes().all(|b| b"{}[]".contains(&b)) => body.to_owned(),
        Some(b'{') => "object".to_owned(),
        Some(b'[') => "array".to_owned(),
        Some(_) => text_line(body),
    };
    shape + comma
}

/// Returns the shape of any other text.
pub(crate) fn text_line(text: &str) -> String {
    match text.chars().count() {
        0 => String::new(),
        n => format!("string({n})"),
    }
}

/// Returns a header value as the reader may see it; what says how to read a body stays.
pub(crate) fn header(name: &str, value: &str, values: bool) -> String {
    let plain = ["content-type", "content-encoding", "content-length"];
    if values || plain.iter().any(|p| p.eq_ignore_ascii_case(name)) {
        value.to_owned()
    } else {
        text_line(value)
    }
}

fn string_shape(body: &str) -> String {
    match serde_json::from_str::<String>(body) {
        Ok(text) => format!("string({})", text.chars().count()),
        Err(_) => format!("string({})", body.chars().count()),
    }
}

/// Returns where the string that `text` begins with ends, quotes included.
fn string_end(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    if bytes.first() != Some(&b'"') {
        return None;
    }
    let mut escaped = false;
    for (at, byte) in bytes.iter().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_line_keeps_its_name_and_loses_its_value() {
        for (line, shape) in [
            (r#"  "total": 12.50,"#, r#"  "total": number,"#),
            (r#"  "total": "12.50""#, r#"  "total": string(5)"#),
            (r#"  "a\"b": "x\ty","#, r#"  "a\"b": string(3),"#),
            (r#"  "on": true"#, r#"  "on": boolean"#),
            (r#"  "on": null,"#, r#"  "on": null,"#),
            (r#"  "list": ["#, r#"  "list": ["#),
            (r#"  "empty": {},"#, r#"  "empty": {},"#),
            ("  }],", "  }],"),
            ("  },", "  },"),
            ("    -1.5e3", "    number"),
            (r#"    "Köln""#, "    string(4)"),
            ("", ""),
        ] {
            assert_eq!(json_line(line), shape);
        }
    }

    #[test]
    fn a_colon_within_a_string_is_no_name() {
        assert_eq!(json_line(r#"  "secret: yes","#), "  string(11),");
    }

    proptest! {
        #[test]
        fn no_value_survives(value in "[a-zA-Z0-9äß:{}\\[\\]\", \\\\]{8,40}") {
            let line = format!("  \"name\": {},", serde_json::to_string(&value).unwrap());
            prop_assert!(!json_line(&line).contains(&value));
        }

        #[test]
        fn any_text_is_taken(text in ".{0,80}") {
            json_line(&text);
            json_value(&text);
            text_line(&text);
        }
    }
}
