//! Patterns for sources: `*` stands for any text without a `/`, `**` for any text at all; everything else for itself.
//!
//! A pattern must match the whole of a [`SourceLocation`]. Both are brought into one normal form first, so that one place cannot be
//! written in a way that a pattern misses: scheme and host in lower case, no user name, no port where it is the usual one, no
//! dot behind the host, harmless percent-encodings decoded.
//!
//! Two questions are asked of a pattern, and each is answered on the safe side where a server could read a path in another
//! way than we do: [`Pattern::surely_matches`] for what allows, [`Pattern::may_match`] for what forbids.

use std::fmt;

use url::Host;

use super::location::{self, LocationTexts, SourceLocation};

/// Bytes of a pattern: more is no pattern that anybody could read.
const MAX_BYTES: usize = 2048;

/// A pattern for sources, or for names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// As it was written.
    text: String,
    /// To be compared with a place as it is written.
    plain: Vec<Token>,
    /// To be compared with a place that was read as freely as a server could.
    decoded: Vec<Token>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Text(char),
    /// Any text without a `/`.
    Part,
    /// Any text.
    Any,
}

impl Pattern {
    /// Reads a pattern for sources.
    ///
    /// # Errors
    /// Why it is none, or could never match, or would match far more than it seems to.
    pub fn source(text: &str) -> Result<Self, String> {
        check(text)?;
        let (head, path) = head(text)?;
        let raw = head.starts_with("file://") || head.starts_with("git+file://");
        let of = |read: fn(&str) -> String| {
            let mut tokens = tokens_of(&head, str::to_owned);
            tokens.extend(tokens_of(&path, if raw { str::to_owned } else { read }));
            tokens
        };
        Ok(Self { text: text.to_owned(), plain: of(location::decoded_once), decoded: of(location::decoded_fully) })
    }

    /// Reads a pattern for names of plugins.
    ///
    /// # Errors
    /// Why it is none.
    pub fn name(text: &str) -> Result<Self, String> {
        check(text)?;
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '*');
        if !text.chars().all(fits) {
            return Err(format!(
                "`{}` can be no plugin's name: names are made of letters, digits, `-` and `_`",
                crate::text::Sanitized(text)
            ));
        }
        let tokens = tokens_of(text, str::to_owned);
        Ok(Self { text: text.to_owned(), plain: tokens.clone(), decoded: tokens })
    }

    /// Whether it matches `place` in every way in which the place can be read: for rules that allow something.
    pub fn surely_matches(&self, location: &SourceLocation) -> bool {
        location.texts().iter().any(|LocationTexts { plain, decoded }| {
            matches(&self.plain, plain, CaseRule::Sensitive) && matches(&self.decoded, decoded, CaseRule::Sensitive)
        })
    }

    /// Whether it matches `place` in one of the ways in which it can be read, in upper or lower case: for rules that
    /// forbid something, or ask for more.
    pub fn may_match(&self, location: &SourceLocation) -> bool {
        location.texts().iter().any(|LocationTexts { plain, decoded }| {
            matches(&self.plain, plain, CaseRule::Insensitive) || matches(&self.decoded, decoded, CaseRule::Insensitive)
        })
    }

    /// Whether it matches the name of a plugin as it is written: for rules that allow something.
    pub fn matches_exact_name(&self, name: &str) -> bool {
        matches(&self.plain, name, CaseRule::Sensitive)
    }

    /// Whether it matches the name of a plugin, in upper or lower case: some file systems know no difference.
    pub fn matches_name(&self, name: &str) -> bool {
        matches(&self.plain, name, CaseRule::Insensitive)
    }
}

/// As it was written; not yet safe to show.
impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

fn check(text: &str) -> Result<(), String> {
    if text.is_empty() || text.trim() != text {
        return Err("a pattern is neither empty nor begins or ends with a space".to_owned());
    }
    if text.len() > MAX_BYTES {
        return Err(format!("a pattern has at most {MAX_BYTES} bytes"));
    }
    if text.chars().any(|c| !crate::text::is_printable(c)) {
        return Err("it holds a character that cannot be seen".to_owned());
    }
    Ok(())
}

/// The scheme and host of a pattern in normal form with what joins them, and the path behind.
fn head(text: &str) -> Result<(String, String), String> {
    let shown = crate::text::sanitized(text);
    if text.starts_with('/') {
        return Ok(("file://".to_owned(), text.to_owned()));
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        if let Some((host, path)) = location::scp_parts(text) {
            return Ok((format!("ssh://{}", host.to_ascii_lowercase()), format!("/{}", path.trim_start_matches('/'))));
        }
        let end = text.find('*').unwrap_or(text.len());
        return Ok((text[..end].to_ascii_lowercase(), text[end..].to_owned()));
    };
    let scheme = scheme.to_ascii_lowercase();
    if scheme.ends_with("file") {
        return if rest.starts_with('/') || rest == "**" {
            Ok((format!("{scheme}://"), rest.to_owned()))
        } else {
            Err(format!("`{shown}` matches nothing: a path behind `file://` begins with `/`"))
        };
    }
    if text.contains(['?', '#']) {
        return Err(format!("`{shown}` has a query or a fragment, which are never compared; leave them out"));
    }
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    if authority == "**" && path.is_empty() {
        return Ok((format!("{scheme}://"), "**".to_owned()));
    }
    if authority.contains("**") {
        return Err(format!(
            "in `{shown}` the `**` would match other hosts too; write `*` for a part of a host's name, and `**` behind a `/`"
        ));
    }
    if path.is_empty() && location::has_path(&scheme) {
        return Err(format!("`{shown}` matches nothing, since it has no path; write `{shown}/**` for all of it"));
    }
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let authority = match authority.is_ascii() {
        true => authority.to_owned(),
        false => match Host::parse(authority) {
            Ok(host) if !authority.contains('*') => host.to_string(),
            _ => return Err(format!("the host in `{shown}` cannot be read; write it as `xn--...`")),
        },
    };
    Ok((format!("{scheme}://{}", location::authority(&scheme, &authority)), path.to_owned()))
}

/// The tokens of `text`, whose literal parts are read by `read`.
fn tokens_of(text: &str, read: fn(&str) -> String) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let literal = rest.find('*').unwrap_or(rest.len());
        tokens.extend(read(&rest[..literal]).chars().map(Token::Text));
        rest = &rest[literal..];
        let stars = rest.find(|c| c != '*').unwrap_or(rest.len());
        match stars {
            0 => {}
            1 => tokens.push(Token::Part),
            _ => tokens.push(Token::Any),
        }
        rest = &rest[stars..];
    }
    tokens
}

/// Whether upper and lower case differ.
#[derive(Clone, Copy, PartialEq, Eq)]
enum CaseRule {
    Sensitive,
    Insensitive,
}

/// Whether the whole of `text` matches: in time proportional to the product of both lengths, whatever the pattern.
fn matches(tokens: &[Token], text: &str, case: CaseRule) -> bool {
    let same = |a: char, b: char| match case {
        CaseRule::Sensitive => a == b,
        CaseRule::Insensitive => a == b || a.to_lowercase().eq(b.to_lowercase()),
    };
    // Which prefixes of the pattern match the text so far.
    let mut reached = vec![false; tokens.len() + 1];
    if let Some(first) = reached.first_mut() {
        *first = true;
    }
    skip_stars(tokens, &mut reached);
    for c in text.chars() {
        let mut next = vec![false; tokens.len() + 1];
        for (at, token) in tokens.iter().enumerate() {
            if !reached.get(at).copied().unwrap_or_default() {
                continue;
            }
            let to = match token {
                Token::Text(own) if same(*own, c) => at + 1,
                Token::Part if c != '/' => at,
                Token::Any => at,
                Token::Text(_) | Token::Part => continue,
            };
            if let Some(to) = next.get_mut(to) {
                *to = true;
            }
        }
        skip_stars(tokens, &mut next);
        reached = next;
    }
    reached.last().copied().unwrap_or_default()
}

/// A star may stand for nothing.
fn skip_stars(tokens: &[Token], reached: &mut [bool]) {
    for (at, token) in tokens.iter().enumerate() {
        if reached.get(at).copied().unwrap_or_default()
            && matches!(token, Token::Part | Token::Any)
            && let Some(next) = reached.get_mut(at + 1)
        {
            *next = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::source(text).unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    #[test]
    fn one_star_stays_in_a_part_and_two_go_on() {
        for (text, source, fits) in [
            ("https://h.example/**", "https://h.example/a/b/c.tgz", true),
            ("https://h.example/**", "https://h.example/", true),
            ("https://h.example/*", "https://h.example/a.tgz", true),
            ("https://h.example/*", "https://h.example/a/b.tgz", false),
            ("https://h.example/a*.tgz", "https://h.example/abc.tgz", true),
            ("https://h.example/a*.tgz", "https://h.example/a.tgz", true),
            ("https://*.example/**", "https://h.example/x", true),
            ("https://*.example/**", "https://a.h.example/x", true),
            ("https://*.example/**", "https://evil.test/h.example/x", false),
            ("https://h.example/**/x/*", "https://h.example/a/b/x/c", true),
            ("https://**", "https://anything.test/at/all", true),
            ("https://**", "http://anything.test/at/all", false),
            ("**", "oci://h/p", true),
            ("git+**", "git+https://h/r", true),
            ("git+**", "https://h/r.tgz", false),
            ("*://h.example/**", "git+https://h.example/r", true),
            ("s3://bucket/**", "s3://bucket/a/b.tgz", true),
            ("s3://bucket/**", "s3://other/a/b.tgz", false),
            ("/srv/plugins/**", "/srv/plugins/foo", true),
            ("file:///srv/plugins/**", "/srv/plugins/foo", true),
            ("file:///srv/plugins/**", "/srv/plugins-of-others/foo", false),
            ("https://h.example/***", "https://h.example/a/b", true),
        ] {
            let location = SourceLocation::of(source);
            assert_eq!(pattern(text).surely_matches(&location), fits, "{text} {source}");
            assert_eq!(pattern(text).may_match(&location), fits, "{text} {source}");
        }
    }

    #[test]
    fn s_a_place_has_one_form_however_it_is_written() {
        for (text, source) in [
            ("https://h.example/bad/**", "HTTPS://H.Example/bad/x"),
            ("https://h.example/bad/**", "https://ann:pw@h.example/bad/x"),
            ("https://h.example/bad/**", "https://h.example:443/bad/x"),
            ("https://h.example:443/bad/**", "https://h.example/bad/x"),
            ("https://h.example/bad/**", "https://h.example./bad/x"),
            ("https://h.example/bad/**", "https://h.example/good/../bad/x"),
            ("https://h.example/bad/**", "https://h.example/good/%2e%2E/bad/x"),
            ("https://h.example/bad/**", "https://h.example/b%61d/x"),
            ("https://h.example/bad/**", "https://h.example/bad/x?y=/good/"),
            ("https://h.example/bad/**", "https://h.example/bad/x#y"),
            ("https://h.example/b%61d/**", "https://h.example/bad/x"),
            ("https://h.example/\u{fc}/**", "https://h.example/%C3%BC/x"),
            ("https://b\u{fc}cher.example/**", "https://xn--bcher-kva.example/x"),
            ("https://127.0.0.1/**", "https://0x7f.1/x"),
            ("oci://h.example/team/**", "oci://H.Example:443/team/x:1.0.0"),
            ("oci://h.example/team/x", "oci://h.example/team/x:1.0.0"),
            ("oci://h.example/team/x:1.*", "oci://h.example/team/x:1.0.0"),
            ("ssh://h.example/team/**", "git@h.example:team/x.git"),
            ("ssh://h.example/team/**", "ssh://git@H.example:22/team/x.git"),
            ("git@h.example:team/*", "ssh://git@h.example/team/x.git"),
            ("git+**", "ssh://git@h.example/team/x.git"),
            ("git+**", "git@h.example:team/x.git"),
            ("git+**", "git+file:///srv/r"),
            ("file:///srv/**", "git+file:///srv/r"),
            ("https://h.example/**", "git+https://h.example/r"),
        ] {
            let location = SourceLocation::of(source);
            assert!(pattern(text).may_match(&location), "{text} {source}: {:?}", location.texts());
            assert!(pattern(text).surely_matches(&location), "{text} {source}: {:?}", location.texts());
        }
    }

    #[test]
    fn s_where_a_server_may_read_a_path_otherwise_both_readings_count() {
        for (text, source) in [
            ("https://h.example/bad/**", "https://h.example/good/..%2fbad/x"),
            ("https://h.example/bad/**", "https://h.example/good/%252e%252e/bad/x"),
            ("https://h.example/bad/**", "https://h.example//bad/x"),
            ("https://h.example/bad/**", "https://h.example/BAD/x"),
            ("https://h.example/bad/**", "https://h.example/bad%2Fx"),
            ("https://h.example/bad/**", "https://h.example/b%2561d/x"),
            ("s3://h/bad/**", "s3://h/good/../bad/x"),
        ] {
            let location = SourceLocation::of(source);
            assert!(pattern(text).may_match(&location), "forbidden: {text} {source}: {:?}", location.texts());
            assert!(!pattern(text).surely_matches(&location), "not allowed by it: {text} {source}");
        }
        // Allowed by its looks, but not by what it may come to mean.
        let decoded = SourceLocation::of("https://h.example/good/..%2fbad/x");
        assert!(!pattern("https://h.example/good/**").surely_matches(&decoded));
        assert!(
            !pattern("https://h.example/good/**")
                .surely_matches(&SourceLocation::of("https://h.example/good/..%5c..%5cbad"))
        );
    }

    #[test]
    fn what_would_match_nothing_or_too_much_is_no_pattern() {
        for (text, why) in [
            ("", "empty"),
            (" https://h/**", "space"),
            ("https://h.example", "no path"),
            ("oci://h.example", "no path"),
            ("https://h.example**", "other hosts"),
            ("https://**.example/x", "other hosts"),
            ("https://h.example**/x", "other hosts"),
            ("https://h.example/x?y", "query"),
            ("file://srv/x", "begins with `/`"),
            ("https://h/\u{202e}x", "cannot be seen"),
            ("https://\u{fc}*.example/x", "xn--"),
        ] {
            let error = Pattern::source(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
        assert!(Pattern::source(&"x".repeat(MAX_BYTES + 1)).is_err());
        for bad in ["a b", "a/b", "../x", "a.b"] {
            assert!(Pattern::name(bad).is_err(), "{bad}");
        }
        assert!(Pattern::name("kube*").unwrap().matches_name("KubeVal"));
        assert!(!Pattern::name("kube").unwrap().matches_name("kubeval"));
    }

    proptest! {
        #[test]
        fn any_pattern_and_any_place_end_in_an_answer(text in ".{0,40}", source in ".{0,60}") {
            if let Ok(pattern) = Pattern::source(&text) {
                let location = SourceLocation::of(&source);
                // What surely matches may match.
                prop_assert!(!pattern.surely_matches(&location) || pattern.may_match(&location));
            }
        }

        #[test]
        fn a_place_matches_itself(path in "[a-z0-9._/-]{0,30}") {
            let text = format!("https://h.example/{path}");
            let location = SourceLocation::of(&text);
            let normal = location.texts()[0].plain.clone();
            if let Ok(pattern) = Pattern::source(&normal) {
                prop_assert!(pattern.may_match(&location), "{normal}");
            }
        }
    }
}
