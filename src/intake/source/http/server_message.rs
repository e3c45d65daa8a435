//! What a server says about its refusal: the one place where the reason stands, as long as nobody throws it away.

use std::fmt;
use std::io::Read;

use serde_json::Value;

use crate::text;

/// As much of an answer that refuses is read.
const LIMIT: u64 = 16 << 10;

/// As many characters of it are shown.
const SHOWN: usize = 300;

/// The server's own words, safe to show and short; often none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServerMessage(String);

impl ServerMessage {
    /// Takes the words out of the body of an answer: `errors[].message` as registries write it, or what other interfaces have in its
    /// place. A page for a browser says nothing.
    pub(super) fn of(body: &[u8]) -> Self {
        let Ok(Value::Object(answer)) = serde_json::from_slice(body) else { return Self::default() };
        let text = |value: &Value| value.as_str().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
        let first_of = |object: &serde_json::Map<String, Value>, keys: &[&str]| {
            keys.iter().find_map(|key| object.get(*key).and_then(text))
        };
        let errors = answer.get("errors").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let mut words: Vec<String> = errors
            .iter()
            .filter_map(|error| text(error).or_else(|| first_of(error.as_object()?, &["message", "code"])))
            .collect();
        if words.is_empty() {
            words.extend(first_of(&answer, &["message", "error_description", "details", "error"]));
        }
        words.dedup();
        let mut joined = text::sanitized(&words.join("; ")).into_owned();
        if let Some((end, _)) = joined.char_indices().nth(SHOWN) {
            joined.truncate(end);
            joined.push_str("...");
        }
        Self(joined)
    }
}

/// `: "the words"`, or nothing.
impl fmt::Display for ServerMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, ": \"{}\"", self.0) }
    }
}

/// The beginning of the body of an answer that refuses. One that breaks off has said enough.
pub(super) fn read(body: impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = body.take(LIMIT).read_to_end(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_quoted_safely_and_briefly() {
        let long = "x".repeat(1000);
        for (body, said) in [
            (r#"{"errors":[{"code":"TAG_INVALID","message":"tag 1 is immutable"}]}"#, ": \"tag 1 is immutable\""),
            (r#"{"errors":[{"code":"DENIED","message":""},{"message":"b"}]}"#, ": \"DENIED; b\""),
            (r#"{"errors":[{"message":"a"},{"message":"a"}],"message":"c"}"#, ": \"a\""),
            (r#"{"errors":["plain words"]}"#, ": \"plain words\""),
            (r#"{"message":"Not Found","documentation_url":"x"}"#, ": \"Not Found\""),
            (r#"{"error":"invalid_grant","error_description":"token expired"}"#, ": \"token expired\""),
            (r#"{"details":"incorrect username or password"}"#, ": \"incorrect username or password\""),
            (r#"{"errors":[{"message":"a\u001b[31m\nb\u202e"}]}"#, ": \"a\\u{1b}[31m b\\u{202e}\""),
            (&format!(r#"{{"errors":[{{"message":"{long}"}}]}}"#), &format!(": \"{}...\"", &long[..SHOWN])),
            (r#"{"errors":{"message":"a"}}"#, ""),
            (r#"{"errors":[]}"#, ""),
            (r#"["a"]"#, ""),
            ("<html><title>404</title>", ""),
            ("", ""),
        ] {
            assert_eq!(ServerMessage::of(body.as_bytes()).to_string(), said, "{body}");
        }
    }
}
