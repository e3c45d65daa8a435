//! What can be wrong with a manifest, as data, and the collector that goes over one and notes all of it.

use std::fmt;

use serde::ser::{Serialize, SerializeStruct, Serializer};

use crate::text::Sanitized;
use crate::yaml::{Entry, Node, Position, Value};

/// How bad a [`Problem`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The plugin cannot be loaded, packaged or run.
    Error,
    /// It works, but hardly as its author means it.
    Warning,
}

/// Something wrong with a plugin, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// A stable word for its kind, in kebab-case.
    pub code: &'static str,
    /// What is wrong; safe to show.
    pub message: String,
    /// Which file, relative to the plugin's directory.
    pub file: String,
    /// Where in the file, where it is about a place.
    pub at: Option<Position>,
    /// What to do; safe to show.
    pub help: String,
}

impl Serialize for Problem {
    /// The keys of `plugin lint -o json`; line and column are null where the problem is about a whole file.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut problem = serializer.serialize_struct("Problem", 7)?;
        problem.serialize_field("severity", &self.severity)?;
        problem.serialize_field("code", self.code)?;
        problem.serialize_field("message", &self.message)?;
        problem.serialize_field("file", &self.file)?;
        problem.serialize_field("line", &self.at.map(|at| at.line))?;
        problem.serialize_field("column", &self.at.map(|at| at.column))?;
        problem.serialize_field("help", &self.help)?;
        problem.end()
    }
}

impl fmt::Display for Problem {
    /// Place, message, help, without the file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(at) = self.at {
            write!(f, "{}:{}: ", at.line, at.column)?;
        }
        write!(f, "{}; {}", self.message, self.help)
    }
}

/// Reads parts of one document and keeps what does not fit, so that everything is reported in one go. What does not fit
/// reads as if it were not there.
pub(super) struct Checker {
    file: &'static str,
    problems: Vec<Problem>,
}

impl Checker {
    pub(super) fn new(file: &'static str) -> Self {
        Self { file, problems: Vec::new() }
    }

    /// What was found, in the order of the document.
    pub(super) fn finish(mut self) -> Vec<Problem> {
        self.problems.sort_by_key(|problem| problem.at);
        self.problems
    }

    pub(super) fn error(&mut self, at: Position, code: &'static str, message: impl Into<String>, help: impl Into<String>) {
        self.add(Severity::Error, at, code, message.into(), help.into());
    }

    pub(super) fn warning(&mut self, at: Position, code: &'static str, message: impl Into<String>, help: impl Into<String>) {
        self.add(Severity::Warning, at, code, message.into(), help.into());
    }

    fn add(&mut self, severity: Severity, at: Position, code: &'static str, message: String, help: String) {
        self.problems.push(Problem { severity, code, message, file: self.file.to_owned(), at: Some(at), help });
    }

    /// A key that means nothing there.
    pub(super) fn unknown(&mut self, severity: Severity, entry: &Entry, place: &str, known: &[&str]) {
        let plain = |text: &str| text.replace(['_', '-'], "").to_ascii_lowercase();
        let meant = known.iter().find(|known| plain(known) == plain(&entry.key));
        let help = match (meant, severity) {
            (Some(meant), _) => format!("write `{meant}`"),
            (None, _) if known.is_empty() => "remove it".to_owned(),
            (None, Severity::Error) => format!("remove it; the keys here are: {}", known.join(", ")),
            (None, Severity::Warning) => format!("it is ignored; the keys here are: {}", known.join(", ")),
        };
        let message = format!("unknown key `{}` in {place}", Sanitized(&entry.key));
        self.add(severity, entry.at, "unknown-key", message, help);
    }

    fn wrong_kind(&mut self, node: &Node, what: &str, wanted: &str) {
        let found = match &node.value {
            Value::Scalar(scalar) => format!("`{}`", Sanitized(shorten(&scalar.text))),
            _ => node.kind().to_owned(),
        };
        self.error(node.at, "wrong-kind", format!("`{what}` must be {wanted}, not {found}"), format!("write {wanted}"));
    }

    /// A text; nothing is an empty one.
    pub(super) fn text(&mut self, node: &Node, what: &str) -> String {
        match node.as_str() {
            _ if node.is_null() => String::new(),
            Some(text) => text.to_owned(),
            None => {
                self.wrong_kind(node, what, "a text");
                String::new()
            }
        }
    }

    /// A truth value; nothing is `false`.
    pub(super) fn boolean(&mut self, node: &Node, what: &str) -> bool {
        match node.as_bool() {
            _ if node.is_null() => false,
            Some(value) => value,
            None => {
                self.wrong_kind(node, what, "true or false");
                false
            }
        }
    }

    /// A whole number that `T` holds.
    pub(super) fn number<T: TryFrom<i128>>(&mut self, node: &Node, what: &str) -> Option<T> {
        if node.is_null() {
            return None;
        }
        let number = node.as_integer().and_then(|number| T::try_from(number).ok());
        if number.is_none() {
            self.wrong_kind(node, what, "a whole number in range");
        }
        number
    }

    /// The items of a list, without those that say nothing.
    pub(super) fn items<'a>(&mut self, node: &'a Node, what: &str) -> impl Iterator<Item = &'a Node> + use<'a> {
        let items = node.as_sequence();
        if items.is_none() && !node.is_null() {
            self.wrong_kind(node, what, "a list");
        }
        items.unwrap_or_default().iter().filter(|node| !node.is_null())
    }

    /// A list of texts.
    pub(super) fn texts(&mut self, node: &Node, what: &str) -> Vec<String> {
        self.items(node, what).map(|node| self.text(node, what)).collect()
    }

    /// The entries of a mapping.
    pub(super) fn entries<'a>(&mut self, node: &'a Node, what: &str) -> &'a [Entry] {
        let entries = node.as_mapping();
        if entries.is_none() && !node.is_null() {
            self.wrong_kind(node, what, "a mapping");
        }
        entries.unwrap_or_default()
    }
}

/// The beginning of a text: enough to find it by.
pub(super) fn shorten(text: &str) -> &str {
    text.char_indices().nth(60).map_or(text, |(end, _)| &text[..end])
}
