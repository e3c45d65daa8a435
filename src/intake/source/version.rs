//! Versions and ranges as Helm's users write them: the syntax of Go's Masterminds/semver, which the `semver` crate reads
//! differently (there `1.2.3` means `^1.2.3`, and `||`, spaces, hyphens and a leading `v` are errors).
//!
//! A version with a pre-release matches only where the range names a pre-release itself.

use std::cmp::Ordering;
use std::fmt;

use semver::{Prerelease, Version};

/// Ranges have no more than this many parts; no person writes so many.
const PARTS: usize = 64;

/// How many versions a message names.
const NEAREST: usize = 5;

/// Why a text is no range of versions.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is neither a version nor a range such as `1.2.3`, `~1.2`, `^1`, `>=1.2 <2` or `1.2 || 2.x`")]
pub struct RangeError {
    /// The text, safe to show.
    text: String,
}

/// A range of versions: one of its groups must match, and of that every comparison.
#[derive(Clone, PartialEq, Eq)]
pub struct Range {
    text: String,
    groups: Vec<Vec<Comparison>>,
}

/// One comparison, such as `>=1.2`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Comparison {
    operator: Operator,
    version: Partial,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Greater,
    Less,
    GreaterEqual,
    LessEqual,
    Tilde,
    Caret,
}

/// A version of which the end may be missing or a wildcard.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Partial {
    /// The version, with zeros for what is missing.
    floor: Version,
    /// How many of the three numbers are given.
    given: usize,
}

/// Reads a version as tags bear it: with or without a leading `v`, of three numbers without leading zeros.
pub fn tag_version(text: &str) -> Option<Version> {
    Version::parse(text.strip_prefix('v').unwrap_or(text)).ok()
}

/// Those of `names` that are nearest to `wanted`, as a sentence: by order where it is a version or a range, else by spelling.
pub(super) fn nearest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    let mut versions: Vec<(Version, &str)> = names.iter().filter_map(|name| Some((tag_version(name)?, *name))).collect();
    versions.sort();
    let range = Range::parse(wanted).ok();
    let near: Vec<&str> = match range.as_ref().and_then(Range::near) {
        Some(wanted) if !versions.is_empty() => {
            let at = versions.partition_point(|(version, _)| version < wanted);
            let end = (at + NEAREST.div_ceil(2)).clamp(NEAREST.min(versions.len()), versions.len());
            let window = versions.get(end.saturating_sub(NEAREST)..end).unwrap_or_default();
            window.iter().map(|(_, name)| *name).collect()
        }
        _ => {
            let mut spelled: Vec<(usize, &str)> =
                names.iter().map(|name| (crate::spelling::distance(wanted, name), *name)).collect();
            spelled.sort_unstable();
            spelled.dedup();
            spelled.into_iter().take(NEAREST).map(|(_, name)| name).collect()
        }
    };
    if near.is_empty() {
        return "there is none at all".to_owned();
    }
    format!("the nearest known ones: {}", crate::text::sanitized(&near.join(", ")))
}

impl Range {
    /// Reads a range.
    ///
    /// # Errors
    /// The text follows no form that is known.
    pub fn parse(text: &str) -> Result<Self, RangeError> {
        let error = || RangeError { text: crate::text::sanitized(text).into_owned() };
        let groups: Option<Vec<_>> = text.split("||").map(group).collect();
        let groups = groups.filter(|groups| groups.iter().map(Vec::len).sum::<usize>() <= PARTS).ok_or_else(error)?;
        Ok(Self { text: text.trim().to_owned(), groups })
    }

    /// Whether `version` lies in the range.
    pub fn matches(&self, version: &Version) -> bool {
        self.groups.iter().any(|group| {
            let names_pre = group.iter().any(|comparison| !comparison.version.floor.pre.is_empty());
            (version.pre.is_empty() || names_pre) && group.iter().all(|comparison| comparison.matches(version))
        })
    }

    /// Whether the range names a pre-release, so that pre-releases are in it.
    pub fn names_pre_release(&self) -> bool {
        self.groups.iter().flatten().any(|comparison| !comparison.version.floor.pre.is_empty())
    }

    /// The one version that the range names, where it is no range at all.
    pub fn exact(&self) -> Option<&Version> {
        match self.groups.as_slice() {
            [group] => match group.as_slice() {
                [Comparison { operator: Operator::Equal, version: Partial { floor, given: 3 } }] => Some(floor),
                _ => None,
            },
            _ => None,
        }
    }

    /// A version near the range, to find what is near it.
    fn near(&self) -> Option<&Version> {
        self.groups.first()?.first().map(|comparison| &comparison.version.floor)
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::text::sanitized(&self.text))
    }
}

impl fmt::Debug for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Range({self})")
    }
}

impl Comparison {
    fn matches(&self, version: &Version) -> bool {
        let Partial { floor, given } = &self.version;
        let order = version.cmp_precedence(floor);
        let within = self.version.within(version, *given);
        match self.operator {
            // A version that is given in part stands for all that begin with it.
            Operator::Equal if *given < 3 => within,
            Operator::Equal => order == Ordering::Equal,
            Operator::NotEqual if *given < 3 => !within,
            Operator::NotEqual => order != Ordering::Equal,
            Operator::Greater if *given < 3 => order == Ordering::Greater && !within,
            Operator::Greater => order == Ordering::Greater,
            Operator::Less => order == Ordering::Less,
            Operator::GreaterEqual => order != Ordering::Less,
            Operator::LessEqual if *given < 3 => order != Ordering::Greater || within,
            Operator::LessEqual => order != Ordering::Greater,
            // `~1.2.3` and `~1.2` keep the second number, `~1` the first.
            Operator::Tilde => order != Ordering::Less && self.version.within(version, (*given).min(2)),
            // `^` keeps up to the first number that is not zero, as far as numbers are given.
            Operator::Caret => {
                let zeros = [floor.major, floor.minor, floor.patch].iter().take_while(|number| **number == 0).count();
                order != Ordering::Less && self.version.within(version, (zeros + 1).min(*given))
            }
        }
    }
}

impl Partial {
    /// Whether the first `count` numbers of `version` are ours.
    fn within(&self, version: &Version, count: usize) -> bool {
        let own = [self.floor.major, self.floor.minor, self.floor.patch];
        let other = [version.major, version.minor, version.patch];
        own.iter().zip(other).take(count).all(|(a, b)| *a == b)
    }
}

/// Comparisons that must hold together: divided by commas or spaces, or two versions with a hyphen between spaces.
fn group(text: &str) -> Option<Vec<Comparison>> {
    let mut out = Vec::new();
    for part in text.split(',') {
        let words: Vec<&str> = part.split_whitespace().collect();
        if words.is_empty() {
            return None;
        }
        let mut words = words.as_slice();
        while let [first, rest @ ..] = words {
            if let ["-", upper, after @ ..] = rest {
                out.push(Comparison { operator: Operator::GreaterEqual, version: partial(first)? });
                out.push(Comparison { operator: Operator::LessEqual, version: partial(upper)? });
                words = after;
                continue;
            }
            let (operator, version) = operator(first);
            // An operator may stand apart from its version.
            let (version, after) = match (version, rest) {
                ("", [version, after @ ..]) => (*version, after),
                (version, rest) => (version, rest),
            };
            out.push(Comparison { operator, version: partial(version)? });
            words = after;
        }
    }
    Some(out)
}

/// The operator at the beginning of `word`, and the rest.
fn operator(word: &str) -> (Operator, &str) {
    let operators = [
        (">=", Operator::GreaterEqual),
        ("=>", Operator::GreaterEqual),
        ("<=", Operator::LessEqual),
        ("=<", Operator::LessEqual),
        ("!=", Operator::NotEqual),
        ("~>", Operator::Tilde),
        ("~", Operator::Tilde),
        ("^", Operator::Caret),
        (">", Operator::Greater),
        ("<", Operator::Less),
        ("=", Operator::Equal),
    ];
    operators
        .into_iter()
        .find_map(|(sign, operator)| Some((operator, word.strip_prefix(sign)?)))
        .unwrap_or((Operator::Equal, word))
}

/// Reads `1`, `1.2`, `1.x`, `*` or a whole version, with or without a leading `v`.
fn partial(text: &str) -> Option<Partial> {
    let text = text.strip_prefix('v').unwrap_or(text);
    if let Ok(floor) = Version::parse(text) {
        return Some(Partial { floor, given: 3 });
    }
    let (numbers, pre) = match text.split_once('-') {
        Some((numbers, pre)) => (numbers, Prerelease::new(pre).ok().filter(|pre| !pre.is_empty())?),
        None => (text, Prerelease::EMPTY),
    };
    let mut given = Vec::new();
    let mut wild = false;
    for (at, part) in numbers.split('.').enumerate() {
        match part {
            "x" | "X" | "*" if at < 3 => wild = true,
            part if !wild && at < 3 && !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()) => {
                given.push(part.parse().ok()?);
            }
            _ => return None,
        }
    }
    let number = |at: usize| given.get(at).copied().unwrap_or(0);
    let floor = Version { pre, ..Version::new(number(0), number(1), number(2)) };
    Some(Partial { floor, given: given.len() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ranges_mean_what_helm_users_mean() {
        let table = [
            ("1.2.3", "1.2.3", "1.2.4 1.2.3-rc.1 1.3.0"),
            ("v1.2.3", "1.2.3 1.2.3+build", "1.2.4"),
            ("=1.2.3", "1.2.3", "1.2.4"),
            ("1.2", "1.2.0 1.2.9", "1.3.0 1.2.0-rc.1"),
            ("1", "1.0.0 1.9.9", "2.0.0 0.9.9"),
            ("1.2.x", "1.2.0 1.2.9", "1.3.0"),
            ("1.X", "1.0.0 1.9.9", "2.0.0"),
            ("*", "0.0.1 9.9.9", "1.0.0-rc.1"),
            ("~1.2", "1.2.0 1.2.9", "1.3.0 1.1.9"),
            ("~1.2.3", "1.2.3 1.2.9", "1.2.2 1.3.0"),
            ("~1", "1.0.0 1.9.0", "2.0.0"),
            ("~> 1.2", "1.2.7", "1.3.0"),
            ("^1.2.3", "1.2.3 1.9.0", "1.2.2 2.0.0"),
            ("^0.2.3", "0.2.3 0.2.9", "0.3.0"),
            ("^0.0.3", "0.0.3", "0.0.4"),
            ("^0", "0.1.0 0.9.0", "1.0.0"),
            ("^0.0", "0.0.1 0.0.9", "0.1.0"),
            (">=1.2 <2", "1.2.0 1.9.9", "2.0.0 1.1.9"),
            (">= 1.2, < 2", "1.2.0", "2.0.0"),
            (">1.2", "1.3.0", "1.2.0 1.2.9"),
            ("<=1.2", "1.2.9 1.1.0", "1.3.0"),
            ("!=1.2.3", "1.2.4", "1.2.3"),
            ("!=1.2", "1.3.0", "1.2.9"),
            ("1.2 - 2.3", "1.2.0 2.3.9", "1.1.9 2.4.0"),
            ("^1 || ^2", "1.1.0 2.2.0", "3.0.0"),
            ("^1 || ^2.0.0-0", "2.0.0-rc.1 1.0.0", "1.1.0-rc.1"),
            (">=1.2.3-rc.1", "1.2.3-rc.2 1.2.3 2.0.0", "1.2.3-beta"),
            ("~1.2-0", "1.2.0-rc.1 1.2.5-alpha", "1.3.0-rc.1"),
        ];
        for (range, inside, outside) in table {
            let range = Range::parse(range).unwrap();
            for version in inside.split(' ') {
                assert!(range.matches(&Version::parse(version).unwrap()), "{range} should take {version}");
            }
            for version in outside.split(' ') {
                assert!(!range.matches(&Version::parse(version).unwrap()), "{range} should not take {version}");
            }
        }
    }

    #[test]
    fn only_one_whole_version_is_exact() {
        for (text, exact) in [
            ("1.2.3", true),
            ("v1.2.3", true),
            ("=1.2.3-rc.1", true),
            ("1.2", false),
            ("~1.2.3", false),
            ("1.2.3 || 1.2.4", false),
        ] {
            assert_eq!(Range::parse(text).unwrap().exact().is_some(), exact, "{text}");
        }
    }

    #[test]
    fn what_is_no_range_is_an_error() {
        for text in [
            "",
            " ",
            "main",
            "1.2.3.4",
            "1..2",
            "x.1",
            ">=",
            "1.2 -",
            "|| 1",
            "1,,2",
            "~~1",
            "1.2-",
            "vv1",
            "-1",
            "1.2.3 foo",
            "01.x y",
        ] {
            assert!(Range::parse(text).is_err(), "{text}");
        }
        assert!(Range::parse(&"1 ".repeat(65)).is_err());
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[0-9xv.*~^<>=!|, a-]{0,24}") {
            if let Ok(range) = Range::parse(&text) {
                let _ = range.matches(&Version::new(1, 2, 3));
            }
        }

        #[test]
        fn carets_and_tildes_take_their_own_version(major in 0..3_u64, minor in 0..3_u64, patch in 0..3_u64) {
            let version = Version::new(major, minor, patch);
            for sign in ["", "=", "~", "^", ">=", "<="] {
                let range = Range::parse(&format!("{sign}{version}")).unwrap();
                prop_assert!(range.matches(&version), "{range}");
            }
        }
    }
}
