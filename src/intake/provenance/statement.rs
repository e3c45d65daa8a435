//! What a provenance says: the signed text, read and written.
//!
//! It is YAML twice, with a line `...` between: the package's metadata, then its files and their digests. Only text that a
//! valid signature covers comes here.

use std::fmt::Write as _;

use crate::digest::Sha256Digest;
use crate::manifest::{ApiVersion, Metadata};
use crate::text::Sanitized;
use crate::yaml::{self, Node, YamlError};

/// What a provenance says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Statement {
    /// The plugin's name.
    pub(super) name: String,
    /// The plugin's version; empty where there is none.
    pub(super) version: String,
    /// File names with what stands for their digest, in the order of the text.
    files: Vec<(String, String)>,
}

/// Why a signed text is not what a provenance says.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StatementError {
    /// The text has not exactly two parts.
    #[error("the signed text has {found} parts; it must have two, with one line `...` between them")]
    Parts {
        /// How many there are.
        found: usize,
    },
    /// A part is not YAML.
    #[error("the {part} of the signed text cannot be parsed")]
    Yaml {
        /// Which part: `metadata` or `list of files`.
        part: &'static str,
        /// Why.
        #[source]
        source: YamlError,
    },
    /// A field is missing or of another kind.
    #[error("the signed text has no `{field}`")]
    Field {
        /// The field's name.
        field: &'static str,
    },
    /// A field stands there in both spellings.
    #[error("the signed metadata has both `{field}` and `{other}`")]
    Twice {
        /// One spelling.
        field: &'static str,
        /// The other.
        other: &'static str,
    },
}

/// What the list of files says about a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum StatementMatch {
    /// Its digest stands under its own name.
    Own,
    /// Its digest stands under another name.
    Other(String),
    /// Another digest stands under its name.
    Mismatch(Sha256Digest),
    /// What stands under its name is no SHA-256 digest.
    Unsupported(String),
    /// It stands under no name; these are the names.
    Not(Vec<String>),
}

impl Statement {
    /// Reads a signed text.
    pub(super) fn read(text: &str) -> Result<Self, StatementError> {
        let lines: Vec<_> = text.split('\n').collect();
        let parts: Vec<_> = lines.split(|line| *line == "...").map(|lines| lines.join("\n")).collect();
        let [metadata, files] = &parts[..] else { return Err(StatementError::Parts { found: parts.len() }) };
        let metadata = parse("metadata", metadata)?;
        let files = parse("list of files", files)?;
        let files = files.get("files").and_then(Node::as_mapping).ok_or(StatementError::Field { field: "files" })?;
        Ok(Self {
            name: field(&metadata, "name", "Name")?
                .filter(|name| !name.is_empty())
                .ok_or(StatementError::Field { field: "name" })?,
            version: field(&metadata, "version", "Version")?.unwrap_or_default(),
            // What is no text is no digest either.
            files: files.iter().map(|e| (e.key.clone(), e.value.as_str().unwrap_or_default().to_owned())).collect(),
        })
    }

    /// What it says about a file with this name and digest. The entry of the file's own name decides where there is one: the
    /// signer then spoke of this very file. Otherwise any entry with the digest will do, since files get renamed.
    pub(super) fn look_up(&self, file_name: &str, digest: &Sha256Digest) -> StatementMatch {
        if let Some((_, text)) = self.files.iter().find(|(name, _)| name == file_name) {
            return match parse_digest(text) {
                Some(listed) if listed == *digest => StatementMatch::Own,
                Some(listed) => StatementMatch::Mismatch(listed),
                None => StatementMatch::Unsupported(text.clone()),
            };
        }
        match self.files.iter().find(|(_, text)| parse_digest(text) == Some(*digest)) {
            Some((name, _)) => StatementMatch::Other(name.clone()),
            None => StatementMatch::Not(self.files.iter().map(|(name, _)| name.clone()).collect()),
        }
    }
}

fn parse(part: &'static str, text: &str) -> Result<Node, StatementError> {
    yaml::parse(text.as_bytes()).map_err(|source| StatementError::Yaml { part, source })
}

/// The text of a field in the manifest's spelling or in that of Helm, which writes the names of Go's fields.
fn field(node: &Node, ours: &'static str, gos: &'static str) -> Result<Option<String>, StatementError> {
    let value = match (node.get(ours), node.get(gos)) {
        (Some(_), Some(_)) => return Err(StatementError::Twice { field: ours, other: gos }),
        (Some(value), None) | (None, Some(value)) => value,
        (None, None) => return Ok(None),
    };
    if value.is_null() {
        return Ok(None);
    }
    value.as_str().map(|text| Some(text.to_owned())).ok_or(StatementError::Field { field: ours })
}

/// A digest as it stands in `files`: the algorithm's name is required there.
fn parse_digest(text: &str) -> Option<Sha256Digest> {
    if text.starts_with("sha256:") { text.parse().ok() } else { None }
}

/// Writes the text to sign for a package.
pub(super) fn write(metadata: &Metadata, file_name: &str, digest: &Sha256Digest) -> String {
    let mut out = String::new();
    let mut line = |key: &str, value: &str| {
        let _ = writeln!(out, "{key}: {}", scalar(value));
    };
    line(
        "apiVersion",
        match metadata.api_version {
            ApiVersion::Legacy => "legacy",
            ApiVersion::V1 => "v1",
        },
    );
    line("name", metadata.name.as_str());
    line("type", metadata.plugin_type());
    line("runtime", metadata.runtime_name());
    if metadata.version.is_some() {
        line("version", &metadata.version_text());
    }
    if let Some(url) = metadata.source_url.as_deref().filter(|url| !url.is_empty()) {
        line("sourceURL", url);
    }
    let _ = write!(out, "...\nfiles:\n  {}: sha256:{digest}\n", scalar(file_name));
    out
}

/// `text` as a YAML scalar that every reader takes for this text: plain where no version of YAML could see a number, a
/// boolean, nothing or a date in it, else in double quotes.
fn scalar(text: &str) -> String {
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '+');
    let harmless = text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.chars().all(word) && {
        let lower = text.to_ascii_lowercase();
        !matches!(&*lower, "y" | "n" | "yes" | "no" | "on" | "off" | "true" | "false" | "null")
    };
    // Two dots and more make no number in any version of YAML, so a version can stand as it is.
    if harmless || semver::Version::parse(text).is_ok() {
        return text.to_owned();
    }
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if Sanitized(c.encode_utf8(&mut [0; 4])).to_string() != c.to_string() => {
                let _ = write!(out, "\\U{:08X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEX: &str = "c6841b3a895f1444a6738b5d04564a57e860ce42f8519c3be807fb6d9bee7888";

    fn digest() -> Sha256Digest {
        HEX.parse().unwrap()
    }

    fn files(files: &str) -> Result<Statement, StatementError> {
        Statement::read(&format!("name: a\nversion: 1.0.0\n\n...\n{files}"))
    }

    #[test]
    fn both_spellings_are_read() {
        for text in [
            "name: a\nversion: 1.0.0",
            "APIVersion: v1\nName: a\nVersion: 1.0.0\nConfig: {}",
            "Name: \"a\"\nVersion: '1.0.0'",
        ] {
            let statement = Statement::read(&format!("{text}\n...\nfiles: {{}}")).unwrap();
            assert_eq!((&*statement.name, &*statement.version), ("a", "1.0.0"), "{text}");
        }
        assert_eq!(Statement::read("Name: a\nVersion: 1.10\n...\nfiles: {}").unwrap().version, "1.10");
        assert_eq!(Statement::read("Name: a\nVersion: \"\"\n...\nfiles: {}").unwrap().version, "");
    }

    #[test]
    fn p20_the_own_name_decides_and_any_other_will_do() {
        let wrong = "0".repeat(64);
        let look_up = |text: &str| files(text).unwrap().look_up("a.tgz", &digest());
        assert_eq!(look_up(&format!("files:\n  a.tgz: sha256:{HEX}")), StatementMatch::Own);
        assert_eq!(look_up(&format!("files:\n  b.tgz: sha256:{HEX}")), StatementMatch::Other("b.tgz".into()));
        assert_eq!(
            look_up(&format!("files:\n  c.tgz: sha256:{wrong}\n  b.tgz: sha256:{HEX}")),
            StatementMatch::Other("b.tgz".into())
        );
        assert!(matches!(
            look_up(&format!("files:\n  a.tgz: sha256:{wrong}\n  b.tgz: sha256:{HEX}")),
            StatementMatch::Mismatch(_)
        ));
        assert_eq!(look_up(&format!("files:\n  b.tgz: sha256:{wrong}")), StatementMatch::Not(vec!["b.tgz".into()]));
        assert_eq!(look_up("files: {}"), StatementMatch::Not(Vec::new()));
    }

    #[test]
    fn p21_odd_lists() {
        let look_up = |text: &str| files(text).unwrap().look_up("a.tgz", &digest());
        assert_eq!(look_up(&format!("files:\n  a.tgz: sha256:{}", HEX.to_uppercase())), StatementMatch::Own);
        assert!(matches!(look_up(&format!("files:\n  a.tgz: sha512:{HEX}{HEX}")), StatementMatch::Unsupported(_)));
        assert!(matches!(look_up(&format!("files:\n  a.tgz: {HEX}")), StatementMatch::Unsupported(_)));
        assert!(matches!(look_up("files:\n  a.tgz: [x]"), StatementMatch::Unsupported(_)));
        assert!(matches!(files("other: {}"), Err(StatementError::Field { field: "files" })));
        assert!(matches!(files("files: text"), Err(StatementError::Field { field: "files" })));
        assert!(matches!(files(&format!("files:\n  a: sha256:{HEX}\n  a: sha256:{HEX}")), Err(StatementError::Yaml { .. })));
        assert!(matches!(files("files: {}\n...\nfiles: {}"), Err(StatementError::Parts { found: 3 })));
        assert!(matches!(Statement::read("name: a"), Err(StatementError::Parts { found: 1 })));
        assert!(matches!(Statement::read("name: a\nname: b\n...\nfiles: {}"), Err(StatementError::Yaml { .. })));
        assert!(matches!(Statement::read("name: a\nName: b\n...\nfiles: {}"), Err(StatementError::Twice { .. })));
        assert!(matches!(Statement::read("version: a\n...\nfiles: {}"), Err(StatementError::Field { field: "name" })));
    }

    #[test]
    fn what_yaml_would_misread_is_quoted() {
        for plain in ["foo", "foo-1.0.0.tgz", "1.0.0", "1.2.3-rc.1+b", "cli/v1"] {
            assert_eq!(scalar(plain), plain);
        }
        for quoted in
            ["yes", "NO", "On", "null", "y", "1e3", "0x10", "1.5", "2001-12-14", "_", "-a", "", "a: b", "a #b", "~", "12:30"]
        {
            assert_eq!(scalar(quoted), format!("\"{quoted}\""));
        }
        assert_eq!(scalar("a\"b\\c\n\u{85}\u{202e}"), "\"a\\\"b\\\\c\\U0000000A\\U00000085\\U0000202E\"");
    }

    proptest! {
        #[test]
        fn a_scalar_reads_as_it_was(text: String) {
            let node = yaml::parse(format!("files: {}\n", scalar(&text)).as_bytes());
            // Control characters cannot be written in every YAML; they are refused, never read as something else.
            if let Ok(node) = node {
                prop_assert_eq!(node.get("files").unwrap().as_str(), Some(&*text));
            }
        }
    }
}
