//! What a plugin is told and what it answers, as JSON in the shapes of Go's Helm 4, so that modules made for Helm work here.
//!
//! The shapes alone are here; who sends them, and what becomes of an answer, is the affair of the runtimes. Each has a schema in
//! `schema/message-*.schema.json`. Where Go's decoder is lenient these are too: unknown keys are passed over, `null` is the same as
//! a key that is left out, and the answers' keys may be written with a capital. Where a result is then missing, taking it out is
//! an error: Helm panicked there.

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize};

/// Why a message could not be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// JSON holds text alone.
    #[error("the argument `{}` is not UTF-8, and a message can hold no other", argument.escape_debug())]
    Argument {
        /// The argument, as far as it can be shown.
        argument: String,
    },
    /// JSON holds text alone.
    #[error("the document is not UTF-8, and a message can hold no other")]
    Document,
    /// There was no answer at all.
    #[error("it gave no answer; a plugin of its type answers with {expected}")]
    NoAnswer {
        /// What an answer looks like.
        expected: &'static str,
    },
    /// The answer is no JSON of the right shape.
    #[error("its answer is not {expected}")]
    Shape {
        /// What an answer looks like.
        expected: &'static str,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The answer lacks what it is there for.
    #[error("its answer has no `{key}`; a plugin of its type answers with {expected}")]
    NoResult {
        /// The key.
        key: &'static str,
        /// What an answer looks like.
        expected: &'static str,
    },
    /// The data is not encoded as it must be.
    #[error("the `data` of its answer is not base64")]
    Base64 {
        /// What is wrong with it.
        source: base64::DecodeError,
    },
    /// The message itself could not be made.
    #[error("its message could not be written")]
    Write {
        /// Why.
        source: serde_json::Error,
    },
}

/// What a `cli/v1` plugin is told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CliInput {
    /// The user's arguments.
    #[serde(rename = "extraArgs", default, deserialize_with = "null_as_default")]
    pub extra_args: Vec<String>,
}

/// What a `cli/v1` plugin answers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CliOutput {
    /// What the command prints beyond what it has written to its standard output.
    #[serde(default, alias = "Data")]
    pub data: serde_json::Value,
}

impl CliOutput {
    const EXPECTED: &str = r#"{"data": ...}"#;

    /// The bytes to print: those of a string as they are, nothing for `null` and for `{}`, which Go makes of an empty buffer, and any
    /// other value as one line of JSON.
    pub fn to_bytes(&self) -> Vec<u8> {
        match &self.data {
            serde_json::Value::Null => Vec::new(),
            serde_json::Value::String(text) => text.clone().into_bytes(),
            serde_json::Value::Object(map) if map.is_empty() => Vec::new(),
            other => format!("{other}\n").into_bytes(),
        }
    }
}

/// What a `getter/v1` plugin is told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetterInput {
    /// What to download.
    #[serde(default, deserialize_with = "null_as_default")]
    pub href: String,
    /// The scheme of that.
    #[serde(default, deserialize_with = "null_as_default")]
    pub protocol: String,
    /// How to download it.
    #[serde(default, deserialize_with = "null_as_default")]
    pub options: GetterOptions,
}

/// How a `getter/v1` plugin is to download. Empty where nobody said anything.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct GetterOptions {
    /// What to download.
    #[serde(rename = "URL", deserialize_with = "null_as_default")]
    pub url: String,
    /// The file with the client's certificate.
    #[serde(deserialize_with = "null_as_default")]
    pub cert_file: String,
    /// The file with the key of that.
    #[serde(deserialize_with = "null_as_default")]
    pub key_file: String,
    /// The file with the certificates of authorities to trust.
    #[serde(rename = "CAFile", deserialize_with = "null_as_default")]
    pub ca_file: String,
    /// Whether the archive is to be unpacked.
    #[serde(rename = "UNTar", deserialize_with = "null_as_default")]
    pub untar: bool,
    /// Whether certificates are not to be checked.
    #[serde(rename = "InsecureSkipVerifyTLS", deserialize_with = "null_as_default")]
    pub insecure_skip_verify_tls: bool,
    /// Whether connections are not to be encrypted.
    #[serde(rename = "PlainHTTP", deserialize_with = "null_as_default")]
    pub plain_http: bool,
    /// The `Accept` header to send.
    #[serde(deserialize_with = "null_as_default")]
    pub accept_header: String,
    /// Who asks.
    #[serde(deserialize_with = "null_as_default")]
    pub username: String,
    /// The password.
    #[serde(deserialize_with = "null_as_default")]
    pub password: String,
    /// Whether credentials may go to other hosts, too.
    #[serde(deserialize_with = "null_as_default")]
    pub pass_credentials_all: bool,
    /// The name that the program gives itself.
    #[serde(deserialize_with = "null_as_default")]
    pub user_agent: String,
    /// The version that is wanted.
    #[serde(deserialize_with = "null_as_default")]
    pub version: String,
    /// How long it may take, in nanoseconds; 0 is without limit.
    #[serde(deserialize_with = "null_as_default")]
    pub timeout: i64,
}

impl fmt::Debug for GetterOptions {
    /// Without the secret: what is printed for debugging is read by others.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secret = if self.password.is_empty() { "" } else { "***" };
        f.debug_struct("GetterOptions")
            .field("url", &self.url)
            .field("username", &self.username)
            .field("password", &secret)
            .finish_non_exhaustive()
    }
}

/// What a `getter/v1` plugin answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetterOutput {
    /// What was downloaded, in base64.
    #[serde(default, alias = "Data")]
    pub data: Option<String>,
}

impl GetterOutput {
    const EXPECTED: &str = r#"{"data": "<base64>"}"#;

    /// Writes what was downloaded to `into`, piece by piece; gives the number of bytes.
    ///
    /// # Errors
    /// There is none, it is not base64, or `into` failed: the inner result.
    pub fn write_to(&self, into: &mut dyn Write) -> Result<io::Result<u64>, MessageError> {
        // Four letters are three bytes.
        const LETTERS: usize = 4 << 14;
        let data = self.data.as_deref().ok_or(MessageError::NoResult { key: "data", expected: Self::EXPECTED })?;
        // Go's decoder passes over line ends.
        let data = match data.contains(['\n', '\r']) {
            true => data.replace(['\n', '\r'], "").into(),
            false => std::borrow::Cow::Borrowed(data),
        };
        let mut bytes = 0;
        for letters in data.as_bytes().chunks(LETTERS) {
            let piece = STANDARD.decode(letters).map_err(|source| MessageError::Base64 { source })?;
            if let Err(error) = into.write_all(&piece) {
                return Ok(Err(error));
            }
            bytes += piece.len() as u64;
        }
        Ok(Ok(bytes))
    }
}

/// What a `postrenderer/v1` plugin is told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostRendererInput {
    /// The document.
    #[serde(default, deserialize_with = "null_as_default")]
    pub manifests: String,
    /// The user's arguments.
    #[serde(rename = "extraArgs", default, deserialize_with = "null_as_default")]
    pub extra_args: Vec<String>,
}

/// What a `postrenderer/v1` plugin answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostRendererOutput {
    /// The changed document.
    #[serde(default, alias = "Manifests")]
    pub manifests: Option<String>,
}

impl PostRendererOutput {
    const EXPECTED: &str = r#"{"manifests": "..."}"#;

    /// The changed document.
    ///
    /// # Errors
    /// [`MessageError::NoResult`].
    pub fn into_manifests(self) -> Result<String, MessageError> {
        self.manifests.ok_or(MessageError::NoResult { key: "manifests", expected: Self::EXPECTED })
    }
}

/// What a `test/v1` plugin is told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct TestInput {
    /// Whom to greet.
    #[serde(deserialize_with = "null_as_default")]
    pub name: String,
}

/// What a `test/v1` plugin answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestOutput {
    /// The greeting.
    #[serde(rename = "Greeting", default, alias = "greeting")]
    pub greeting: Option<String>,
}

impl TestOutput {
    const EXPECTED: &str = r#"{"Greeting": "..."}"#;

    /// The greeting.
    ///
    /// # Errors
    /// [`MessageError::NoResult`].
    pub fn into_greeting(self) -> Result<String, MessageError> {
        self.greeting.ok_or(MessageError::NoResult { key: "Greeting", expected: Self::EXPECTED })
    }
}

/// An answer of a plugin.
pub trait OutputMessage: Sized + for<'de> Deserialize<'de> {
    /// What it looks like, for messages.
    const SHAPE: &'static str;

    /// Reads an answer from what the plugin gave back.
    ///
    /// # Errors
    /// It is nothing, `null`, or no JSON of this shape.
    fn parse(bytes: &[u8]) -> Result<Self, MessageError> {
        let expected = Self::SHAPE;
        match bytes.trim_ascii() {
            b"" | b"null" => Err(MessageError::NoAnswer { expected }),
            // A struct could be read from a list, too.
            json if !json.starts_with(b"{") => {
                let source = serde::de::Error::custom("it is no object");
                Err(MessageError::Shape { expected, source })
            }
            json => serde_json::from_slice(json).map_err(|source| MessageError::Shape { expected, source }),
        }
    }
}

impl OutputMessage for CliOutput {
    const SHAPE: &'static str = Self::EXPECTED;
}

impl OutputMessage for GetterOutput {
    const SHAPE: &'static str = Self::EXPECTED;
}

impl OutputMessage for PostRendererOutput {
    const SHAPE: &'static str = Self::EXPECTED;
}

impl OutputMessage for TestOutput {
    const SHAPE: &'static str = Self::EXPECTED;
}

/// The bytes of a message.
///
/// # Errors
/// [`MessageError::Write`].
pub fn to_bytes(message: &impl Serialize) -> Result<Vec<u8>, MessageError> {
    serde_json::to_vec(message).map_err(|source| MessageError::Write { source })
}

/// Arguments as a message holds them.
///
/// # Errors
/// [`MessageError::Argument`].
pub fn texts(arguments: &[OsString]) -> Result<Vec<String>, MessageError> {
    let text = |argument: &OsString| match argument.to_str() {
        Some(text) => Ok(text.to_owned()),
        None => Err(MessageError::Argument { argument: argument.to_string_lossy().into_owned() }),
    };
    arguments.iter().map(text).collect()
}

/// Go writes `null` for a list or text that nobody set.
fn null_as_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn w10_messages_have_gos_shapes() {
        assert_eq!(serde_json::to_value(CliInput::default()).unwrap(), json!({"extraArgs": []}));
        assert_eq!(serde_json::to_value(TestInput { name: "Ann".into() }).unwrap(), json!({"Name": "Ann"}));
        let rendering = PostRendererInput { manifests: "a: b\n".into(), extra_args: vec!["x".into()] };
        assert_eq!(serde_json::to_value(rendering).unwrap(), json!({"manifests": "a: b\n", "extraArgs": ["x"]}));
        let options = GetterOptions { url: "s3://b/o".into(), timeout: 1_500_000_000, ..GetterOptions::default() };
        let input = GetterInput { href: "s3://b/o".into(), protocol: "s3".into(), options };
        assert_eq!(
            serde_json::to_value(input).unwrap(),
            json!({"href": "s3://b/o", "protocol": "s3", "options": {
                "URL": "s3://b/o", "CertFile": "", "KeyFile": "", "CAFile": "", "UNTar": false, "InsecureSkipVerifyTLS": false,
                "PlainHTTP": false, "AcceptHeader": "", "Username": "", "Password": "", "PassCredentialsAll": false,
                "UserAgent": "", "Version": "", "Timeout": 1_500_000_000}})
        );
    }

    #[test]
    fn w10_null_and_missing_are_what_go_takes_them_for() {
        let read = |text: &str| serde_json::from_str::<GetterInput>(text).unwrap();
        assert_eq!(read(r#"{"href": null, "options": {"Timeout": null, "URL": null}, "other": 1}"#), GetterInput::default());
        assert_eq!(read("{}"), read(r#"{"options": null}"#));
        assert_eq!(serde_json::from_str::<CliInput>(r#"{"extraArgs": null}"#).unwrap(), CliInput::default());
        for (answer, printed) in [
            ("{}", ""),
            (r#"{"data": null}"#, ""),
            (r#"{"data": {}}"#, ""),
            (r#"{"data": "a\n"}"#, "a\n"),
            (r#"{"Data": "a"}"#, "a"),
            (r#"{"data": {"z": [1], "a": 2}}"#, "{\"z\":[1],\"a\":2}\n"),
            (r#"{"data": 7}"#, "7\n"),
        ] {
            assert_eq!(CliOutput::parse(answer.as_bytes()).unwrap().to_bytes(), printed.as_bytes(), "{answer}");
        }
    }

    #[test]
    fn w3_a_missing_result_is_an_error() {
        for nothing in ["", " ", "null", "{", "[]", "7", "\"x\"", "{\"data\": 1, \"manifests\": 1, \"Greeting\": 1}"] {
            assert!(GetterOutput::parse(nothing.as_bytes()).is_err(), "{nothing}");
            assert!(PostRendererOutput::parse(nothing.as_bytes()).is_err(), "{nothing}");
            assert!(TestOutput::parse(nothing.as_bytes()).is_err(), "{nothing}");
        }
        for missing in ["{}", r#"{"data": null, "manifests": null, "Greeting": null}"#] {
            let got = GetterOutput::parse(missing.as_bytes()).unwrap().write_to(&mut Vec::new());
            assert!(matches!(got, Err(MessageError::NoResult { key: "data", .. })), "{missing}");
            let got = PostRendererOutput::parse(missing.as_bytes()).unwrap().into_manifests();
            assert!(matches!(got, Err(MessageError::NoResult { key: "manifests", .. })), "{missing}");
            let got = TestOutput::parse(missing.as_bytes()).unwrap().into_greeting();
            assert!(matches!(got, Err(MessageError::NoResult { key: "Greeting", .. })), "{missing}");
        }
        assert!(matches!(CliOutput::parse(b"null"), Err(MessageError::NoAnswer { .. })));
    }

    #[test]
    fn w9_base64_is_decoded_in_pieces() {
        let data: Vec<u8> = (0..=255).cycle().take(200_001).collect();
        let mut encoded = STANDARD.encode(&data);
        for _ in 0..2 {
            let output = GetterOutput { data: Some(encoded.clone()) };
            let mut got = Vec::new();
            assert_eq!(output.write_to(&mut got).unwrap().unwrap(), 200_001);
            assert_eq!(got, data);
            encoded.insert_str(76, "\r\n");
        }
        for bad in ["*", "YQ", "YQ=a", "YQ==YQ=="] {
            let output = GetterOutput { data: Some(bad.to_owned()) };
            assert!(matches!(output.write_to(&mut Vec::new()), Err(MessageError::Base64 { .. })), "{bad}");
        }
        let empty = GetterOutput { data: Some(String::new()) };
        assert_eq!(empty.write_to(&mut Vec::new()).unwrap().unwrap(), 0);
    }

    #[test]
    fn passwords_are_not_for_debugging() {
        let options = GetterOptions { username: "ann".into(), password: "hunter2".into(), ..GetterOptions::default() };
        let shown = format!("{options:?}");
        assert!(shown.contains("ann") && !shown.contains("hunter2"), "{shown}");
    }

    #[test]
    #[cfg(unix)]
    fn arguments_are_text() {
        use std::os::unix::ffi::OsStringExt as _;
        assert_eq!(texts(&["ä".into(), "".into()]).unwrap(), ["ä", ""]);
        assert!(matches!(texts(&[OsString::from_vec(vec![b'a', 0xff])]), Err(MessageError::Argument { .. })));
    }
}
