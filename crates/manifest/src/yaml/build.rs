//! From the parser's events to a tree of [`Node`]s.
//!
//! The parser is `saphyr-parser`: its time is linear in nested flow collections, where ports of libyaml take a minute for
//! 200 kB of `[`, and no input was found on which it panics. It reads YAML 1.2; where Helm's parser, of YAML 1.1, differs on
//! what people write, this module makes up for it.

use std::borrow::Cow;
use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError};

use super::{Entry, MAX_DEPTH, Node, Position, Scalar, Value, YamlError};

/// What aliases and merge keys may add to a document: bytes of text, and so many for each node.
const ALIAS_BUDGET: usize = 1 << 20;
const NODE_COST: usize = 64;

/// Mappings up to this size are searched for duplicates key by key; larger ones through a hash map.
const SMALL: usize = 16;

/// How often a document is mended and read again.
const REPAIRS: usize = 100;

pub(super) fn parse(bytes: &[u8]) -> Result<Node, YamlError> {
    let mut text = decode(bytes)?;
    directives(&text)?;
    for _ in 0..REPAIRS {
        match read(&text) {
            Err(YamlError::Syntax { at, reason }) => match repair(&text, at, &reason) {
                Some(mended) => text = mended.into(),
                None => return Err(YamlError::Syntax { at, reason }),
            },
            result => return result,
        }
    }
    read(&text)
}

fn read(text: &str) -> Result<Node, YamlError> {
    let length = text.chars().count();
    let mut parser = Parser::new_from_str(text);
    let mut builder = Builder { open: Vec::new(), anchors: HashMap::new(), budget: ALIAS_BUDGET };
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|e| syntax(&e))?;
        let at = mark(span.start);
        let done = match event {
            Event::Nothing | Event::StreamStart | Event::DocumentStart(_) => None,
            Event::Scalar(value, style, anchor, _) => {
                let mut value = value.into_owned();
                // A block that the end of the file cuts off has no last line break, which the parser adds.
                let block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
                if block && !text.ends_with('\n') && value.ends_with('\n') && span.end.index() >= length {
                    value.pop();
                }
                let scalar = Scalar { text: value, plain: style == ScalarStyle::Plain };
                builder.add(Node { at, value: Value::Scalar(scalar) }, anchor)?
            }
            Event::SequenceStart(anchor, _) => builder.begin(at, anchor, Partial::Sequence(Vec::new()))?,
            Event::MappingStart(anchor, _) => builder.begin(at, anchor, Partial::Mapping(Mapping::default()))?,
            Event::SequenceEnd | Event::MappingEnd => builder.end()?,
            Event::Alias(anchor) => builder.alias(at, anchor)?,
            Event::DocumentEnd | Event::StreamEnd => break,
        };
        if let Some(root) = done {
            // Only what comes before the end of the document counts, and that must still be well-formed.
            return match parser.next_event() {
                Some(Err(e)) => Err(syntax(&e)),
                _ => Ok(root),
            };
        }
    }
    Ok(Node { at: Position::START, value: Value::Scalar(Scalar { text: String::new(), plain: true }) })
}

fn syntax(error: &ScanError) -> YamlError {
    let at = mark(*error.marker());
    match error.info() {
        // The scanner looks ahead, and has a limit of its own above ours.
        "recursion limit exceeded" => YamlError::TooDeep { at },
        reason => YamlError::Syntax { at, reason: reason.to_owned() },
    }
}

/// Refuses what Helm's parser refuses: directives other than `%YAML 1.1` and `%TAG`.
fn directives(text: &str) -> Result<(), YamlError> {
    for (index, line) in text.lines().enumerate() {
        let Some(directive) = line.strip_prefix('%') else {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            break;
        };
        let mut words = directive.split_whitespace();
        let reason = match (words.next(), words.next()) {
            (Some("YAML"), Some("1.1")) | (Some("TAG"), _) => continue,
            (Some("YAML"), _) => "found incompatible YAML document; Helm reads YAML 1.1 alone, so remove this line",
            _ => "found unknown directive name; remove this line",
        };
        let line = u32::try_from(index + 1).unwrap_or(u32::MAX);
        return Err(YamlError::Syntax { at: Position { line, column: 1 }, reason: reason.to_owned() });
    }
    Ok(())
}

/// Mends what YAML 1.2 forbids and Helm's parser, of YAML 1.1, takes; `None` where it is no such thing.
///
/// These are lines of a quoted text that are not indented, and tabs behind a colon. In both places white space means nothing,
/// so it can be changed without changing the document.
fn repair(text: &str, at: Position, reason: &str) -> Option<String> {
    let line_start = match at.line {
        0 | 1 => 0,
        line => text.match_indices('\n').nth(line as usize - 2)?.0 + 1,
    };
    let place = line_start + text[line_start..].char_indices().nth(at.column as usize - 1)?.0;
    let (before, after) = text.split_at(place);
    let mended = if reason.contains("indentation in quoted scalar") {
        let quoted = &after[..quoted_length(after)?];
        let deepest = text.lines().map(|line| line.len() - line.trim_start_matches(' ').len()).max().unwrap_or(0);
        let indent = " ".repeat(deepest.min(MAX_DEPTH * 8) + 1);
        let mut mended = String::with_capacity(text.len() + 1024);
        mended.push_str(before);
        for (index, line) in quoted.split('\n').enumerate() {
            if index > 0 {
                // The one thing at a line's beginning that has a meaning in quotes too: it is an error.
                if line.starts_with("---") || line.starts_with("...") {
                    return None;
                }
                mended.push('\n');
                mended.push_str(&indent);
            }
            mended.push_str(if index > 0 { line.trim_start_matches([' ', '\t']) } else { line });
        }
        mended + &after[quoted.len()..]
    } else if reason.contains("must be followed by a valid YAML whitespace") {
        let blanks = before.len() - before.trim_end_matches([' ', '\t']).len();
        let (before, _) = before.split_at(before.len() - blanks);
        format!("{before}{:blanks$}{after}", "")
    } else {
        return None;
    };
    (mended != text).then_some(mended)
}

/// How long the quoted text is with which `text` begins, quotes included.
fn quoted_length(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let quote = *bytes.first().filter(|&&b| b == b'"' || b == b'\'')?;
    let mut i = 1;
    loop {
        match *bytes.get(i)? {
            b'\\' if quote == b'"' => i += 2,
            b if b != quote => i += 1,
            _ if quote == b'\'' && bytes.get(i + 1) == Some(&quote) => i += 2,
            _ => return Some(i + 1),
        }
    }
}

fn mark(marker: Marker) -> Position {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Position { line: number(marker.line()).max(1), column: number(marker.col()).saturating_add(1) }
}

/// The text of a document without a byte order mark, without lone carriage returns and without characters that YAML 1.1 forbids.
fn decode(bytes: &[u8]) -> Result<Cow<'_, str>, YamlError> {
    let text = characters(bytes)?;
    if let Some((index, c)) = text.char_indices().find(|&(_, c)| forbidden(c)) {
        return Err(YamlError::ControlCharacter { at: end_of(&text[..index]), code: c.into() });
    }
    // The parser knows a lone carriage return as a line break in some places and not in others.
    let bytes = text.as_bytes();
    let lone = |i: usize| bytes[i] == b'\r' && bytes.get(i + 1) != Some(&b'\n');
    if !(0..bytes.len()).any(lone) {
        return Ok(text);
    }
    Ok(Cow::Owned(text.replace("\r\n", "\n").replace('\r', "\n")))
}

/// What `bytes` say in UTF-8, or in UTF-16 behind its byte order mark, as some programs of Windows write it.
fn characters(bytes: &[u8]) -> Result<Cow<'_, str>, YamlError> {
    let wrong = |what| Err(YamlError::Encoding { at: Position::START, what });
    match bytes {
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => wrong("UTF-32 text"),
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes).map(Cow::Owned),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes).map(Cow::Owned),
        [0, 1..=255, 0, 1..=255, ..] | [1..=255, 0, 1..=255, 0, ..] => wrong("UTF-16 text without a byte order mark"),
        _ => {
            let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
            std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(|e| {
                let good = String::from_utf8_lossy(&bytes[..e.valid_up_to()]);
                YamlError::Encoding { at: end_of(&good), what: "not UTF-8 text" }
            })
        }
    }
}

fn utf16(bytes: &[u8], unit: impl Fn([u8; 2]) -> u16) -> Result<String, YamlError> {
    let units = bytes.chunks(2).map(|pair| pair.try_into().map(&unit));
    let mut text = String::with_capacity(bytes.len());
    // Half a unit at the end is half a character like any other: the first half of a pair, without the second.
    for c in char::decode_utf16(units.map(|unit| unit.unwrap_or(0xd800))) {
        match c {
            Ok(c) => text.push(c),
            Err(_) => return Err(YamlError::Encoding { at: end_of(&text), what: "half a character of UTF-16" }),
        }
    }
    Ok(text)
}

/// What `c-printable` of YAML 1.1 leaves out.
fn forbidden(c: char) -> bool {
    !matches!(c, '\t' | '\n' | '\r' | ' '..='~' | '\u{85}' | '\u{a0}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}' | '\u{10000}'..)
}

fn end_of(text: &str) -> Position {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let line = text.matches('\n').count() + 1;
    let column = text.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Position { line: number(line), column: number(column) }
}

/// A sequence or mapping whose end has not come yet.
enum Partial {
    Sequence(Vec<Node>),
    Mapping(Mapping),
}

#[derive(Default)]
struct Mapping {
    entries: Vec<Entry>,
    /// Where each key is in `entries`, once there are more than [`SMALL`].
    index: HashMap<String, usize>,
    /// A key whose value has not come yet, and whether it is a merge key.
    key: Option<(String, Position, bool)>,
    /// Where `<<` stands, and its value.
    merge: Option<(Position, Node)>,
}

struct Builder {
    open: Vec<(Position, usize, Partial)>,
    anchors: HashMap<usize, Node>,
    budget: usize,
}

impl Builder {
    fn begin(&mut self, at: Position, anchor: usize, partial: Partial) -> Result<Option<Node>, YamlError> {
        if self.open.len() >= MAX_DEPTH {
            return Err(YamlError::TooDeep { at });
        }
        self.open.push((at, anchor, partial));
        Ok(None)
    }

    fn end(&mut self) -> Result<Option<Node>, YamlError> {
        let Some((at, anchor, partial)) = self.open.pop() else { return Ok(None) };
        let value = match partial {
            Partial::Sequence(items) => Value::Sequence(items),
            Partial::Mapping(mapping) => Value::Mapping(self.finish(mapping)?),
        };
        self.add(Node { at, value }, anchor)
    }

    /// Puts a finished node where it belongs; the root comes back.
    fn add(&mut self, node: Node, anchor: usize) -> Result<Option<Node>, YamlError> {
        if anchor != 0 {
            let copy = self.copy(&node, node.at)?;
            self.anchors.insert(anchor, copy);
        }
        match self.open.last_mut() {
            None => return Ok(Some(node)),
            Some((_, _, Partial::Sequence(items))) => items.push(node),
            Some((_, _, Partial::Mapping(mapping))) => mapping.push(node)?,
        }
        Ok(None)
    }

    fn alias(&mut self, at: Position, anchor: usize) -> Result<Option<Node>, YamlError> {
        let node = self.anchors.remove(&anchor).ok_or(YamlError::UnknownAlias { at })?;
        let copy = self.copy(&node, at);
        self.anchors.insert(anchor, node);
        let copy = copy?;
        // What an alias brings in must not lie deeper than what is written out.
        if self.open.len() + depth(&copy) > MAX_DEPTH {
            return Err(YamlError::TooDeep { at });
        }
        self.add(copy, 0)
    }

    fn copy(&mut self, node: &Node, at: Position) -> Result<Node, YamlError> {
        self.budget = self.budget.checked_sub(cost(node)).ok_or(YamlError::AliasBudget { at })?;
        Ok(node.clone())
    }

    /// Adds what `<<` brings; keys that are written out win, then earlier mappings of its list.
    fn finish(&mut self, mapping: Mapping) -> Result<Vec<Entry>, YamlError> {
        let Mapping { mut entries, merge, .. } = mapping;
        let Some((at, source)) = merge else { return Ok(entries) };
        let found = source.kind();
        let sources = match source.value {
            Value::Mapping(_) => vec![source],
            Value::Sequence(items) => items,
            Value::Scalar(_) => return Err(YamlError::Merge { at, found }),
        };
        let mut known: HashMap<String, ()> = entries.iter().map(|entry| (entry.key.clone(), ())).collect();
        for source in sources {
            let found = source.kind();
            let Value::Mapping(more) = source.value else { return Err(YamlError::Merge { at, found }) };
            for entry in more {
                if known.insert(entry.key.clone(), ()).is_none() {
                    entries.push(entry);
                }
            }
        }
        Ok(entries)
    }
}

impl Mapping {
    fn push(&mut self, node: Node) -> Result<(), YamlError> {
        let Some((key, at, merge)) = self.key.take() else {
            let (at, found) = (node.at, node.kind());
            let Value::Scalar(scalar) = node.value else { return Err(YamlError::ComplexKey { at, found }) };
            let merge = scalar.plain && scalar.text == "<<";
            if let Some(first) = self.find(&scalar.text, merge) {
                return Err(YamlError::DuplicateKey { at, key: scalar.text, first });
            }
            self.key = Some((scalar.text, at, merge));
            return Ok(());
        };
        if merge {
            self.merge = Some((at, node));
            return Ok(());
        }
        self.entries.push(Entry { key, at, value: node });
        match self.entries.len() {
            n if n == SMALL + 1 => {
                self.index = self.entries.iter().enumerate().map(|(i, entry)| (entry.key.clone(), i)).collect();
            }
            n if n > SMALL => {
                if let Some(entry) = self.entries.last() {
                    self.index.insert(entry.key.clone(), n - 1);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Where `key` stands already.
    fn find(&self, key: &str, merge: bool) -> Option<Position> {
        if merge {
            return self.merge.as_ref().map(|(at, _)| *at);
        }
        if self.entries.len() > SMALL {
            return self.index.get(key).and_then(|&i| self.entries.get(i)).map(|entry| entry.at);
        }
        self.entries.iter().find(|entry| entry.key == key).map(|entry| entry.at)
    }
}

/// What a copy of `node` takes out of the budget.
fn cost(node: &Node) -> usize {
    NODE_COST
        + match &node.value {
            Value::Scalar(scalar) => scalar.text.len(),
            Value::Sequence(items) => items.iter().map(cost).sum(),
            Value::Mapping(entries) => entries.iter().map(|e| NODE_COST + e.key.len() + cost(&e.value)).sum(),
        }
}

fn depth(node: &Node) -> usize {
    match &node.value {
        Value::Scalar(_) => 0,
        Value::Sequence(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Mapping(entries) => 1 + entries.iter().map(|entry| depth(&entry.value)).max().unwrap_or(0),
    }
}
