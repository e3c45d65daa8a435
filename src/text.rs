//! Text of others on the way to a terminal: nothing that a plugin, an archive or a server says may move the cursor, change
//! colours, reverse the reading order or forge a line of ours (CVE-2021-21303, CVE-2026-45803).

use std::borrow::Cow;
use std::fmt;

/// Shows the wrapped text with everything that could act on a terminal replaced: control characters, bidirectional
/// overrides, invisible format characters and line separators become `\u{...}`; a tab or line break becomes one space.
pub struct Plain<'a>(pub &'a str);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&plain(self.0))
    }
}

/// The text of [`Plain`]; borrowed where nothing had to change.
pub fn plain(text: &str) -> Cow<'_, str> {
    if !text.chars().any(acts_on_a_terminal) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\t' | '\n' | '\r' => out.push(' '),
            c if acts_on_a_terminal(c) => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// Like [`plain`], but line breaks and tabs stay: for long descriptions that are shown as a block of their own.
pub fn plain_block(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => out.push(c),
            '\r' => {}
            c if acts_on_a_terminal(c) => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out
}

/// Whether `c` shows as something and does nothing else.
pub fn prints(c: char) -> bool {
    !acts_on_a_terminal(c) && c != '\u{ad}'
}

/// Whether a terminal, or a reader's eye, could be misled by `c`.
pub(crate) fn acts_on_a_terminal(c: char) -> bool {
    c.is_control()
        || matches!(c,
            // Arabic letter mark, zero-width characters and direction marks; line and paragraph separators, embeddings and
            // overrides; invisible operators and isolates; byte order mark; interlinear annotation; tags.
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// `source` without the user name and password of a URL. The conventional `git@` of ssh stays: it is nobody's name, and the
/// source would not work without it.
pub fn without_credentials(source: &str) -> String {
    let Some((scheme, rest)) = source.split_once("://") else { return source.to_owned() };
    let end = rest.find(['/', '\\', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    match authority.rsplit_once('@') {
        Some(("git", _)) if scheme.to_ascii_lowercase().ends_with("ssh") => source.to_owned(),
        Some((_, host)) => format!("{scheme}://{host}{path}"),
        None => source.to_owned(),
    }
}

/// `source` as it may be shown: the query of a URL, which may hold a token, is masked, and what acts on a terminal too.
pub fn masked_source(source: &str) -> String {
    let bare = without_credentials(source);
    let shown = match bare.find(['?', '#']).filter(|_| bare.contains("://")) {
        Some(end) if bare[end..].contains('?') => format!("{}?***", &bare[..end]),
        Some(end) => bare[..end].to_owned(),
        None => bare,
    };
    plain(&shown).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neutralises_what_acts_on_a_terminal() {
        assert_eq!(plain("plain text, übung"), "plain text, übung");
        assert_eq!(plain("a\x1b[31mred\x07"), "a\\u{1b}[31mred\\u{7}");
        assert_eq!(plain("one\ntwo\tthree"), "one two three");
        assert_eq!(plain("\u{202e}txt.exe"), "\\u{202e}txt.exe");
        assert_eq!(plain_block("one\r\n\ttwo\x1b"), "one\n\ttwo\\u{1b}");
        assert_eq!(format!("{:>4}|{:<4}|", Plain("ab"), Plain("cd")), "  ab|cd  |");
    }

    #[test]
    fn f_urls_lose_their_credentials_and_hide_their_query() {
        for (text, stored, shown) in [
            ("https://a:b@h/x.tgz?t=1", "https://h/x.tgz?t=1", "https://h/x.tgz?***"),
            ("https://a:b@h:notaport/x?y", "https://h:notaport/x?y", "https://h:notaport/x?***"),
            ("https://h/x.tgz#t?", "https://h/x.tgz#t?", "https://h/x.tgz?***"),
            ("https://h/a@b/x.tgz", "https://h/a@b/x.tgz", "https://h/a@b/x.tgz"),
            ("git+https://tok@h:8/r", "git+https://h:8/r", "git+https://h:8/r"),
            ("https://a@b:c@h", "https://h", "https://h"),
            ("ssh://git@h/r", "ssh://git@h/r", "ssh://git@h/r"),
            ("ssh://ann:pw@h/r", "ssh://h/r", "ssh://h/r"),
            ("git@h:r", "git@h:r", "git@h:r"),
            ("./what?.tgz", "./what?.tgz", "./what?.tgz"),
        ] {
            assert_eq!(without_credentials(text), stored);
            assert_eq!(masked_source(text), shown);
        }
    }
}
