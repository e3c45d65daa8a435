//! YAML of others, read strictly: located, budgeted, without duplicates. The one place that knows the parser.
//!
//! [`parse`] gives a tree of [`Node`]s in which every scalar keeps its text as written (`1.10` stays `1.10`) and every part its
//! place. What a text means (a boolean, a number, nothing) is decided by whoever asks for one: [`Node::as_bool`] and its
//! neighbours, or [`from_node`] for types that derive `Deserialize`. [`to_string`] writes.
//!
//! How many bytes a document may have is for callers to say, before they read it. Everything else is bounded here: depth, what
//! aliases may add, and time (linear in the size).

mod build;
mod decode;

use std::fmt;

use serde::Serialize;

use crate::text::Sanitized;

pub use decode::from_node;

/// How deep sequences and mappings may lie in each other.
pub const MAX_DEPTH: usize = 100;

/// A place in a document; both count from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: u32,
    /// The column.
    pub column: u32,
}

impl Position {
    /// The first character of a document.
    pub const START: Position = Position { line: 1, column: 1 };
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// A part of a document: what it is and where it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Where it begins. A part that came through an alias has the place of what the alias stands for.
    pub at: Position,
    /// What it is.
    pub value: Value,
}

/// What a [`Node`] is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A text.
    Scalar(Scalar),
    /// A list.
    Sequence(Vec<Node>),
    /// Keys and values in the order of the document, merge keys (`<<`) resolved, each key once.
    Mapping(Vec<Entry>),
}

/// A key of a mapping and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key's text.
    pub key: String,
    /// Where the key stands.
    pub at: Position,
    /// The value.
    pub value: Node,
}

/// A scalar as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scalar {
    /// Its text, with quotes, escapes and line folding resolved.
    pub text: String,
    /// Whether it stands there plainly, without quotes or a block style: only such a one can mean nothing, or a number.
    pub plain: bool,
}

impl Node {
    /// Its text, where it is a scalar.
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(scalar) => Some(&scalar.text),
            _ => None,
        }
    }

    /// Whether it says nothing: left empty, `~` or `null`.
    pub fn is_null(&self) -> bool {
        match &self.value {
            Value::Scalar(scalar) => scalar.plain && matches!(&*scalar.text, "" | "~" | "null" | "Null" | "NULL"),
            _ => false,
        }
    }

    /// It as a boolean, with the words of YAML 1.1. As with Go's parser those count in quotes too, and `"true"` in quotes does
    /// not: that one is a text.
    pub fn as_bool(&self) -> Option<bool> {
        let Value::Scalar(scalar) = &self.value else { return None };
        match &*scalar.text {
            "true" | "True" | "TRUE" if scalar.plain => Some(true),
            "false" | "False" | "FALSE" if scalar.plain => Some(false),
            "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Some(true),
            "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Some(false),
            _ => None,
        }
    }

    /// It as a whole number: decimal, or with the prefix `0x`, `0o` or `0b`; `_` between digits is fine.
    pub fn as_integer(&self) -> Option<i128> {
        match &self.value {
            Value::Scalar(scalar) if scalar.plain => integer(&scalar.text),
            _ => None,
        }
    }

    /// Its items, where it is a list.
    pub fn as_sequence(&self) -> Option<&[Node]> {
        match &self.value {
            Value::Sequence(items) => Some(items),
            _ => None,
        }
    }

    /// Its entries, where it is a mapping.
    pub fn as_mapping(&self) -> Option<&[Entry]> {
        match &self.value {
            Value::Mapping(entries) => Some(entries),
            _ => None,
        }
    }

    /// The value of `key`, where this is a mapping that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.as_mapping()?.iter().find(|entry| entry.key == key).map(|entry| &entry.value)
    }

    /// What it is, with an article, for messages.
    pub fn kind(&self) -> &'static str {
        match &self.value {
            _ if self.is_null() => "nothing",
            Value::Scalar(_) => "a text",
            Value::Sequence(_) => "a list",
            Value::Mapping(_) => "a mapping",
        }
    }
}

fn integer(text: &str) -> Option<i128> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (radix, digits) = match digits.get(..2) {
        Some("0x") => (16, &digits[2..]),
        Some("0o") => (8, &digits[2..]),
        Some("0b") => (2, &digits[2..]),
        _ => (10, digits),
    };
    // `from_str_radix` would take another sign.
    if !digits.starts_with(|c: char| c.is_ascii_hexdigit()) || digits.ends_with('_') {
        return None;
    }
    let number = i128::from_str_radix(&digits.replace('_', ""), radix).ok()?;
    Some(if negative { -number } else { number })
}

/// Why a document cannot be read, or does not decode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum YamlError {
    /// Bytes that are no UTF-8, nor UTF-16 behind a byte order mark.
    #[error("{at}: {what}; save the file as UTF-8")]
    Encoding {
        /// Where.
        at: Position,
        /// What it is.
        what: &'static str,
    },
    /// A character that YAML does not allow, such as NUL.
    #[error("{at}: control character U+{code:04X}; remove it, or write it as an escape in double quotes")]
    ControlCharacter {
        /// Where.
        at: Position,
        /// The character.
        code: u32,
    },
    /// The text is not YAML.
    #[error("{at}: {reason}")]
    Syntax {
        /// Where.
        at: Position,
        /// What the parser says.
        reason: String,
    },
    /// A key twice in one mapping.
    #[error("{at}: mapping key `{}` already defined at line {}; keep one of the two", Sanitized(.key), .first.line)]
    DuplicateKey {
        /// Where it stands the second time.
        at: Position,
        /// The key.
        key: String,
        /// Where it stands the first time.
        first: Position,
    },
    /// A key that is a list or a mapping.
    #[error("{at}: a key must be a text, not {found}")]
    ComplexKey {
        /// Where.
        at: Position,
        /// What is there.
        found: &'static str,
    },
    /// Lists and mappings too deep in each other.
    #[error("{at}: nested deeper than {MAX_DEPTH} levels")]
    TooDeep {
        /// Where.
        at: Position,
    },
    /// Aliases that would blow the document up ("billion laughs").
    #[error("{at}: aliases repeat too much of the document; write the parts out")]
    AliasBudget {
        /// The alias over the budget.
        at: Position,
    },
    /// An alias inside the part that it stands for, or of no anchor.
    #[error("{at}: the alias stands for nothing that is complete before it")]
    UnknownAlias {
        /// Where.
        at: Position,
    },
    /// A merge key (`<<`) whose value is no mapping and no list of mappings.
    #[error("{at}: `<<` takes a mapping or a list of mappings, not {found}")]
    Merge {
        /// Where.
        at: Position,
        /// What is there.
        found: &'static str,
    },
    /// The document does not fit the type that is wanted.
    #[error("{at}: {}", Sanitized(.reason))]
    Decode {
        /// Where.
        at: Position,
        /// What does not fit.
        reason: String,
    },
}

impl YamlError {
    /// Where in the document it is.
    pub fn at(&self) -> Position {
        match self {
            Self::Encoding { at, .. }
            | Self::ControlCharacter { at, .. }
            | Self::Syntax { at, .. }
            | Self::DuplicateKey { at, .. }
            | Self::ComplexKey { at, .. }
            | Self::TooDeep { at }
            | Self::AliasBudget { at }
            | Self::UnknownAlias { at }
            | Self::Merge { at, .. }
            | Self::Decode { at, .. } => *at,
        }
    }

    /// The message without the place, for those who show that in their own way.
    pub fn reason(&self) -> String {
        let text = self.to_string();
        let prefix = format!("{}: ", self.at());
        text.strip_prefix(&prefix).unwrap_or(&text).to_owned()
    }
}

/// Reads the first document of `bytes`; whatever follows it (`---`, or text after `...`) is not looked at. Where there is none
/// the node is null, at the beginning.
///
/// # Errors
/// Whatever [`YamlError`] lists, but for [`YamlError::Decode`].
pub fn parse(bytes: &[u8]) -> Result<Node, YamlError> {
    build::parse(bytes)
}

/// Writes `value` as YAML 1.1, in which U+0085, U+2028 and U+2029 are line breaks: a text with one of these is read back with
/// other white space by [`parse`], which takes them as characters.
///
/// # Errors
/// What the writer gives, such as a map with keys that are no scalars.
pub fn to_string<T: Serialize>(value: &T) -> Result<String, serde_yaml::Error> {
    serde_yaml::to_string(value)
}

#[cfg(test)]
mod tests;
