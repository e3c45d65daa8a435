//! The text of a policy to its rules, each with its line. An unknown key, a value that is none of those that there are, and a
//! key without a value are errors: a rule that was mistyped must not be no rule.

use std::path::Path;
use std::sync::Arc;

use semver::Version;

use super::{HookPolicy, Pattern, PolicyFile, Rule, RulePosition, SignerRule, VerificationLevel};
use crate::text::Sanitized;
use crate::yaml::{self, Node, Position, YamlError};

type Result<T> = std::result::Result<T, YamlError>;

/// Rules of one kind in a file: more are made by a program that went wrong.
const MAX_RULES: usize = 10_000;

impl PolicyFile {
    /// Reads the policy whose text is `bytes`; `path` is what its rules are called after. An empty one has no rules.
    ///
    /// # Errors
    /// It is no YAML, or has a key or value that means nothing.
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Self> {
        let reader = Reader { file: Arc::from(path) };
        let root = yaml::parse(bytes)?;
        let mut file = Self::default();
        if root.is_null() {
            return Ok(file);
        }
        for (key, at, value) in entries(&root, "a policy")? {
            match key {
                "apiVersion" => match text(value, key)? {
                    "v1" => {}
                    other => {
                        return Err(wrong(
                            value,
                            format!("`{}` is no version of a policy; there is `v1`", Sanitized(other)),
                        ));
                    }
                },
                "sources" => reader.sources(value, &mut file)?,
                "verification" => {
                    let words = [VerificationLevel::Signature, VerificationLevel::Digest, VerificationLevel::None];
                    let word = choice(value, key, &words.map(|word| (word.as_str(), word)))?;
                    file.verification = Some(reader.ruled(at, word));
                }
                "signers" => {
                    for node in list(value, key)? {
                        file.signers.push(reader.signer(node)?);
                    }
                }
                "plugins" => {
                    for (key, _, value) in entries(value, "`plugins`")? {
                        match key {
                            "deny" => file.plugins = reader.patterns(value, key, Pattern::name)?,
                            _ => return Err(unknown(value, key, "deny")),
                        }
                    }
                }
                "hooks" => {
                    let words = [HookPolicy::Allow, HookPolicy::Sandbox, HookPolicy::Forbid];
                    let word = choice(value, key, &words.map(|word| (word.as_str(), word)))?;
                    file.hooks = Some(reader.ruled(at, word));
                }
                "minimumHostVersion" => {
                    let version = Version::parse(text(value, key)?);
                    let version = version.map_err(|e| wrong(value, format!("it is no version such as 1.2.0: {e}")))?;
                    file.minimum_host_version = Some(reader.ruled(at, version));
                }
                "audit" => {
                    choice(value, key, &[("required", ())])?;
                    file.audit = Some(reader.ruled(at, ()));
                }
                _ => {
                    let known = "apiVersion, sources, verification, signers, plugins, hooks, minimumHostVersion, audit";
                    return Err(YamlError::Decode {
                        at,
                        reason: format!("unknown key `{}`; there are {known}", Sanitized(key)),
                    });
                }
            }
        }
        Ok(file)
    }
}

struct Reader {
    file: Arc<Path>,
}

impl Reader {
    fn ruled<T>(&self, at: Position, value: T) -> Rule<T> {
        Rule { value, at: RulePosition { file: self.file.clone(), line: at.line } }
    }

    fn sources(&self, node: &Node, file: &mut PolicyFile) -> Result<()> {
        for (key, at, value) in entries(node, "`sources`")? {
            match key {
                "allow" => file.allow = Some(self.ruled(at, self.patterns(value, key, Pattern::source)?)),
                "deny" => file.deny = self.patterns(value, key, Pattern::source)?,
                _ => return Err(unknown(value, key, "allow and deny")),
            }
        }
        Ok(())
    }

    fn patterns(
        &self,
        node: &Node,
        key: &str,
        read: fn(&str) -> std::result::Result<Pattern, String>,
    ) -> Result<Vec<Rule<Pattern>>> {
        let mut patterns = Vec::new();
        for node in list(node, key)? {
            let pattern = read(text(node, key)?).map_err(|reason| wrong(node, reason))?;
            patterns.push(self.ruled(node.at, pattern));
        }
        Ok(patterns)
    }

    fn signer(&self, node: &Node) -> Result<Rule<SignerRule>> {
        let mut rule = SignerRule { source: None, name: None, fingerprints: Vec::new() };
        for (key, _, value) in entries(node, "a rule for signers")? {
            match key {
                "source" => rule.source = Some(Pattern::source(text(value, key)?).map_err(|e| wrong(value, e))?),
                "name" => rule.name = Some(Pattern::name(text(value, key)?).map_err(|e| wrong(value, e))?),
                "fingerprints" => {
                    for node in list(value, key)? {
                        rule.fingerprints.push(fingerprint(text(node, key)?).map_err(|e| wrong(node, e))?);
                    }
                }
                _ => return Err(unknown(value, key, "source, name and fingerprints")),
            }
        }
        if rule.source.is_none() && rule.name.is_none() {
            return Err(wrong(node, "a rule for signers needs a `source` or a `name` that it is about".to_owned()));
        }
        if rule.fingerprints.is_empty() {
            return Err(wrong(node, "a rule for signers needs `fingerprints`: the keys that may sign".to_owned()));
        }
        Ok(self.ruled(node.at, rule))
    }
}

/// A fingerprint without the spaces between its digits, in upper case; that of an SSH key as it is.
fn fingerprint(text: &str) -> std::result::Result<String, String> {
    if text.is_empty() || text.chars().any(|c| !c.is_ascii_graphic() && c != ' ') {
        return Err("a fingerprint is made of hexadecimal digits, as `gpg --fingerprint` shows it".to_owned());
    }
    if text.starts_with("SHA256:") {
        return Ok(text.to_owned());
    }
    let bare: String = text.chars().filter(|c| *c != ' ').collect();
    Ok(bare.trim_start_matches("0x").to_ascii_uppercase())
}

/// The keys of a mapping, their places and values; each says something.
fn entries<'n>(node: &'n Node, what: &str) -> Result<impl Iterator<Item = (&'n str, Position, &'n Node)>> {
    let Some(entries) = node.as_mapping() else {
        return Err(wrong(node, format!("{what} is a mapping of keys, not {}", node.kind())));
    };
    if let Some(empty) = entries.iter().find(|entry| entry.value.is_null()) {
        let reason = format!("`{}` has no value; give it one, or take it out", Sanitized(&empty.key));
        return Err(YamlError::Decode { at: empty.at, reason });
    }
    Ok(entries.iter().map(|entry| (entry.key.as_str(), entry.at, &entry.value)))
}

fn list<'n>(node: &'n Node, key: &str) -> Result<&'n [Node]> {
    match node.as_sequence() {
        Some(items) if items.len() <= MAX_RULES => Ok(items),
        Some(_) => Err(wrong(node, format!("`{key}` has more than {MAX_RULES} rules"))),
        None => Err(wrong(node, format!("`{key}` is a list, not {}", node.kind()))),
    }
}

fn text<'n>(node: &'n Node, key: &str) -> Result<&'n str> {
    match node.as_str() {
        Some(text) if !node.is_null() => Ok(text),
        _ => Err(wrong(node, format!("`{key}` takes a text, not {}", node.kind()))),
    }
}

fn choice<T: Copy>(node: &Node, key: &str, words: &[(&str, T)]) -> Result<T> {
    let given = text(node, key)?;
    words.iter().find(|(word, _)| *word == given).map(|(_, value)| *value).ok_or_else(|| {
        let words: Vec<_> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
        wrong(node, format!("`{key}` is {}, not `{}`", words.join(" or "), Sanitized(given)))
    })
}

fn unknown(node: &Node, key: &str, known: &str) -> YamlError {
    wrong(node, format!("unknown key `{}`; there are {known}", Sanitized(key)))
}

fn wrong(node: &Node, reason: String) -> YamlError {
    YamlError::Decode { at: node.at, reason }
}
