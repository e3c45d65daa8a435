//! Text of others on the way to a terminal: nothing that a plugin, an archive or a server says may move the cursor, change
//! colours, reverse the reading order or forge a line of ours (CVE-2021-21303, CVE-2026-45803).

use std::borrow::Cow;
use std::fmt;

/// Shows the wrapped text with everything that could act on a terminal replaced: control characters, bidirectional
/// overrides, invisible format characters and line separators become `\u{...}`; a tab or line break becomes one space.
pub struct Sanitized<'a>(pub &'a str);

impl fmt::Display for Sanitized<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&sanitized(self.0))
    }
}

/// The text of [`Sanitized`]; borrowed where nothing had to change.
pub fn sanitized(text: &str) -> Cow<'_, str> {
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

/// Like [`sanitized`], but line breaks and tabs stay: for long descriptions that are shown as a block of their own.
pub fn sanitized_block(text: &str) -> String {
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

/// `text` as one word of a shell's command line, safe to show: for commands that are there to be copied.
pub fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%=,~".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) && !text.starts_with('~') {
        return text.to_owned();
    }
    format!("'{}'", sanitized(text).replace('\'', "'\\''"))
}

/// A word of a manifest's command line as a shell would need it, and safe to show: its variables are as they are there, and the
/// lines of a script stay lines. It is there to be read, and no shell would do with it what the plugin's start does.
pub fn shown_word(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%=,${}".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", sanitized_block(word).replace('\'', "'\\''").replace('\n', "\n  "))
}

/// Whether `c` shows as something and does nothing else.
pub fn is_printable(c: char) -> bool {
    !acts_on_a_terminal(c) && c != '\u{ad}'
}

/// Whether a terminal, or a reader's eye, could be misled by `c`.
pub fn acts_on_a_terminal(c: char) -> bool {
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
    sanitized(&shown).into_owned()
}

/// `text` in which every URL is without user name, password, query and fragment.
pub fn bare_urls(text: &str) -> String {
    let ends = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '`' | '"' | '<' | '>');
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, behind) = rest.split_at(at + 3);
        out.push_str(before);
        let url_end = behind.find(ends).unwrap_or(behind.len());
        let (url, after) = behind.split_at(url_end);
        let authority_end = url.find(['/', '\\', '?', '#']).unwrap_or(url.len());
        let (authority, path) = url.split_at(authority_end);
        out.push_str(authority.rsplit_once('@').map_or(authority, |(_, host)| host));
        out.push_str(&path[..path.find(['?', '#']).unwrap_or(path.len())]);
        rest = after;
    }
    out.push_str(rest);
    out
}

/// A source as it may be written down for long: as [`bare_urls`], and without the user name of `user@host:path`.
pub fn bare_source(source: &str) -> String {
    if source.contains("://") {
        return bare_urls(source);
    }
    match source.split_once('@') {
        Some((user, place)) if place.contains(':') && !user.contains(['/', '\\', ':']) => place.to_owned(),
        _ => source.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neutralises_what_acts_on_a_terminal() {
        assert_eq!(sanitized("plain text, übung"), "plain text, übung");
        assert_eq!(sanitized("a\x1b[31mred\x07"), "a\\u{1b}[31mred\\u{7}");
        assert_eq!(sanitized("one\ntwo\tthree"), "one two three");
        assert_eq!(sanitized("\u{202e}txt.exe"), "\\u{202e}txt.exe");
        assert_eq!(sanitized_block("one\r\n\ttwo\x1b"), "one\n\ttwo\\u{1b}");
        assert_eq!(format!("{:>4}|{:<4}|", Sanitized("ab"), Sanitized("cd")), "  ab|cd  |");
    }

    #[test]
    fn f_what_is_written_down_has_no_secrets_of_urls() {
        for (text, bare) in [
            ("https://a:b@h/x.tgz?t=1#f", "https://h/x.tgz"),
            ("cannot get `https://a@h/x?t=1`: 404", "cannot get `https://h/x`: 404"),
            ("url (https://h/x?t=(1)) failed, and http://u:p@h", "url (https://h/x failed, and http://h"),
            ("://a@b ://", "://b ://"),
            ("https://a@b:c@h?x/y", "https://h"),
            ("git+ssh://git@h/r", "git+ssh://h/r"),
            ("oci://h/r@sha256:ab", "oci://h/r@sha256:ab"),
            ("no url? at all@", "no url? at all@"),
        ] {
            assert_eq!(bare_urls(text), bare, "{text}");
        }
        for (source, bare) in [
            ("git@h:r", "h:r"),
            ("ssh://ann@h/r?x", "ssh://h/r"),
            ("./a@b:c", "./a@b:c"),
            ("owner/repo@v1", "owner/repo@v1"),
            ("name@1.0.0", "name@1.0.0"),
            ("./what?.tgz", "./what?.tgz"),
        ] {
            assert_eq!(bare_source(source), bare, "{source}");
        }
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
