//! Why a body or a query cannot be read, in our own words: the parser's name types of its language, quote what the
//! client wrote, and change with its version.

use std::borrow::Cow;

use serde::de::IgnoredAny;
use serde_json::error::Category;
use serde_path_to_error::{Path, Segment};

use crate::field_error::{FieldCode, FieldError, token};

/// What is said of a value that no other sentence fits.
const OTHER: &str = "expected another value: the OpenAPI document says which";

/// The error of the JSON body `text`, at its field.
pub(crate) fn of_body(path: &Path, error: &serde_json::Error, text: &str) -> FieldError {
    let said = error.to_string();
    let (line, column) = (error.line(), error.column());
    match error.classify() {
        Category::Data => {
            let place = format!(" at line {line} column {column}");
            let Wording { code, detail, name } =
                in_words(said.strip_suffix(&place).unwrap_or(&said), "field");
            FieldError::coded(code, pointer(tokens(path).chain(name.map(Cow::from))), detail)
        }
        _ if said.starts_with("number out of range") => {
            let detail = "expected a number that 64 bits can hold";
            FieldError::coded(FieldCode::OutOfRange, pointer(tokens(path)), detail)
        }
        _ if said.starts_with("recursion limit exceeded") => {
            FieldError::new("", "expected values within each other, at most 127 deep")
        }
        // So the parser says, too, that it looked for one of several words and found no text.
        _ if said.starts_with("expected value") => match serde_json::from_str::<IgnoredAny>(text) {
            Ok(_) => {
                FieldError::coded(FieldCode::WrongType, pointer(tokens(path)), "expected a text")
            }
            Err(broken) => not_json(broken.line(), broken.column()),
        },
        Category::Syntax | Category::Eof | Category::Io => not_json(line, column),
    }
}

/// The error of a body that is not JSON from there on.
pub(crate) fn not_json(line: usize, column: usize) -> FieldError {
    // At a line break, and where there is nothing, the parser has no column yet.
    let (line, column) = (line.max(1), column.max(1));
    let detail = format!("the body is not JSON at line {line}, column {column}");
    FieldError::coded(FieldCode::NotJson, "", detail)
}

/// The error of a parameter, of which the parser says `said`. Where that is only that the value is of another form,
/// `expected` is what it has to be.
pub(crate) fn of_query(name: Option<&str>, said: &str, expected: Option<&str>) -> FieldError {
    let Wording { code, detail, name: said_name } = in_words(said, "parameter");
    let is_value = matches!(code, FieldCode::InvalidValue | FieldCode::WrongType);
    let pointer = format!("?{}", name.or(said_name).unwrap_or_default());
    match expected.filter(|_| is_value) {
        Some(expected) => FieldError::new(pointer, expected),
        None => FieldError::coded(code, pointer, detail),
    }
}

struct Wording<'a> {
    code: FieldCode,
    detail: Cow<'static, str>,
    /// The field's name, where the parser's path does not have it.
    name: Option<&'a str>,
}

/// What serde says by `said` of a `thing`, which is a field or a parameter.
fn in_words<'a>(said: &'a str, thing: &str) -> Wording<'a> {
    let fault = |code, detail: Cow<'static, str>| Wording { code, detail, name: None };
    let quoted = |begin: &str| said.strip_prefix(begin)?.split_once('`').map(|(name, _)| name);
    if let Some(name) = quoted("missing field `") {
        let detail = "is required".into();
        return Wording { name: Some(name), ..fault(FieldCode::Required, detail) };
    }
    if let Some(name) = quoted("duplicate field `") {
        let detail = "is there twice".into();
        return Wording { name: Some(name), ..fault(FieldCode::Duplicate, detail) };
    }
    let expected = said.rsplit_once(", expected ").map(|(_, expected)| expected);
    if said.starts_with("unknown field `") {
        let known = expected.map(names).filter(|known| !known.is_empty());
        let known = known.map_or_else(
            || "there is none here".to_owned(),
            |known| format!("there are {}", known.join(", ")),
        );
        return fault(FieldCode::UnknownField, format!("unknown {thing}: {known}").into());
    }
    if said.starts_with("unknown variant `") {
        let known = expected.map(names).unwrap_or_default().join(", ");
        return fault(FieldCode::UnknownValue, format!("expected one of {known}").into());
    }
    let other_type = said.starts_with("invalid type: ");
    if other_type || said.starts_with("invalid value: ") || said.starts_with("invalid length ") {
        let code = if other_type { FieldCode::WrongType } else { FieldCode::InvalidValue };
        let detail = expected.and_then(type_in_words);
        return fault(
            code,
            detail.map_or_else(|| OTHER.into(), |kind| format!("expected {kind}").into()),
        );
    }
    if said.starts_with("UUID parsing failed") {
        return fault(FieldCode::InvalidValue, "expected a UUID".into());
    }
    // Our own types say what they expected.
    match said.starts_with("expected ") {
        true => fault(FieldCode::WrongType, said.to_owned().into()),
        false => fault(FieldCode::InvalidValue, OTHER.into()),
    }
}

/// The names that serde lists, each in backticks.
fn names(listed: &str) -> Vec<&str> {
    listed.split('`').skip(1).step_by(2).collect()
}

/// What serde calls a type, as JSON has it.
fn type_in_words(expected: &str) -> Option<&'static str> {
    Some(match expected {
        "a string" | "a borrowed string" | "string or map" => "a text",
        "a boolean" => "true or false",
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number of 0 or more",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a sequence" => "a list",
        "a map" => "an object",
        kind if kind.starts_with("struct ") => "an object",
        _ => return None,
    })
}

fn tokens(path: &Path) -> impl Iterator<Item = Cow<'_, str>> {
    path.iter().filter_map(|segment| match segment {
        Segment::Seq { index } => Some(Cow::from(index.to_string())),
        Segment::Map { key } => Some(Cow::from(key)),
        Segment::Enum { .. } | Segment::Unknown => None,
    })
}

/// JSON Pointer of a path (RFC 6901, section 3).
fn pointer<'a>(tokens: impl Iterator<Item = Cow<'a, str>>) -> String {
    tokens.map(|name| token(&name)).collect()
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use uuid::Uuid;

    use super::*;
    use crate::extract::parse_json;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "snake_case")]
    #[expect(dead_code, reason = "only what cannot be read is of interest")]
    struct Everything {
        text: Option<String>,
        number: Option<u32>,
        ratio: Option<f64>,
        truth: Option<bool>,
        list: Option<Vec<String>>,
        object: Option<Inner>,
        id: Option<Uuid>,
        word: Option<Word>,
        any: Option<serde_json::Value>,
        needed: String,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {}

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Word {
        OptedIn,
        OptedOut,
    }

    #[test]
    fn what_cannot_be_read_is_said_in_our_words_at_its_place() {
        let deep = format!("{{\"any\": {}1{}}}", "[".repeat(200), "]".repeat(200));
        for (body, code, pointer, detail) in [
            (r#"{"text": }"#, "not_json", "", "the body is not JSON at line 1, column 10"),
            ("{\n \"text\": \"a\nb\"}", "not_json", "", "the body is not JSON at line 3, column 1"),
            (r#"{"text": "a""#, "not_json", "", "the body is not JSON at line 1, column 12"),
            (r#"{"needed": "a"} x"#, "not_json", "", "the body is not JSON at line 1, column 17"),
            ("hello", "not_json", "", "the body is not JSON at line 1, column 1"),
            ("[]", "wrong_type", "", "expected a JSON object"),
            (r#"{"text": {}}"#, "wrong_type", "/text", "expected a text"),
            (r#"{"text": 1}"#, "wrong_type", "/text", "expected a text"),
            (
                r#"{"number": -1}"#,
                "invalid_value",
                "/number",
                "expected a whole number of 0 or more",
            ),
            (r#"{"number": "1"}"#, "wrong_type", "/number", "expected a whole number of 0 or more"),
            (
                r#"{"ratio": 1e999}"#,
                "out_of_range",
                "/ratio",
                "expected a number that 64 bits can hold",
            ),
            (r#"{"ratio": []}"#, "wrong_type", "/ratio", "expected a number"),
            (r#"{"truth": "yes"}"#, "wrong_type", "/truth", "expected true or false"),
            (r#"{"list": {}}"#, "wrong_type", "/list", "expected a list"),
            (r#"{"list": ["a", 1]}"#, "wrong_type", "/list/1", "expected a text"),
            (r#"{"object": "a"}"#, "wrong_type", "/object", "expected an object"),
            (
                r#"{"object": {"a/b": 1}}"#,
                "unknown_field",
                "/object/a~1b",
                "unknown field: there is none here",
            ),
            (r#"{"id": "a"}"#, "invalid_value", "/id", "expected a UUID"),
            (
                r#"{"word": "a, expected b"}"#,
                "unknown_value",
                "/word",
                "expected one of opted_in, opted_out",
            ),
            (r#"{"word": 1}"#, "wrong_type", "/word", "expected a text"),
            (r#"{"word": {}}"#, "wrong_type", "/word", "expected a text"),
            (r#"{"word": 1"#, "not_json", "", "the body is not JSON at line 1, column 10"),
            (r#"{}"#, "required", "/needed", "is required"),
            (r#"{"text": "a", "text": "b"}"#, "duplicate", "/text", "is there twice"),
            (&deep, "invalid_value", "", "expected values within each other, at most 127 deep"),
        ] {
            let error = parse_json::<Everything>(body.as_bytes()).expect_err(body);
            let said = serde_json::to_value(&error).expect("JSON");
            let expected = serde_json::json!({"pointer": pointer, "code": code, "detail": detail});
            assert_eq!(said, expected, "{body}");
        }
    }

    #[test]
    fn a_sentence_that_is_not_known_is_not_passed_on() {
        for said in [
            "invalid type: map, expected a tuple of size 2",
            "data did not match any variant of untagged enum Recipients",
            "invalid digit found in string",
        ] {
            assert_eq!(in_words(said, "field").detail, OTHER, "{said}");
        }
        let known = in_words("unknown field `a`, expected `limit` or `cursor`", "parameter");
        assert_eq!(known.detail, "unknown parameter: there are limit, cursor");
    }
}
