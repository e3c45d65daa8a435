//! `.netrc`: user names and passwords by host, in the form that curl and ftp share.
//!
//! The file is searched for the host of the URL that the user gave, never for that of a redirect: an entry `default`, or one
//! for a name that a server chose, must not be lured out.

use std::io;
use std::path::PathBuf;

use super::HttpError;
use crate::files;
use crate::host::user_home;
use crate::intake::source::options::{Credentials, Secret};

/// A file with more than this is no netrc.
const LIMIT: u64 = 1 << 20;

/// The entry for `host` in the user's file; `None` where there is no file or no entry.
///
/// # Errors
/// The file is there and cannot be read.
pub(in crate::intake::source) fn find(host: &str) -> Result<Option<Credentials>, HttpError> {
    for path in candidates() {
        match files::read_bounded(&path, LIMIT) {
            Ok(Some(bytes)) => return Ok(lookup(&String::from_utf8_lossy(&bytes), host)),
            Ok(None) => return Err(HttpError::Netrc { path, source: io::Error::other("it is larger than 1 MiB") }),
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
            Err(source) => return Err(HttpError::Netrc { path, source }),
        }
    }
    Ok(None)
}

/// Where the file may be: `NETRC` alone where it is set.
fn candidates() -> Vec<PathBuf> {
    match std::env::var_os("NETRC").filter(|path| !path.is_empty()) {
        Some(path) => vec![path.into()],
        None if cfg!(windows) => vec![user_home().join(".netrc"), user_home().join("_netrc")],
        None => vec![user_home().join(".netrc")],
    }
}

/// The first entry for `host`, or a `default` that stands before one.
fn lookup(text: &str, host: &str) -> Option<Credentials> {
    let mut tokens = Tokens { rest: text };
    let mut found: Option<Credentials> = None;
    while let Some(token) = tokens.next() {
        match token.as_str() {
            "machine" | "default" if found.as_ref().is_some_and(|entry| !entry.username.is_empty()) => break,
            "machine" => {
                let name = tokens.next()?;
                found = name.eq_ignore_ascii_case(host).then(empty);
            }
            "default" => found = Some(empty()),
            "login" => {
                let login = tokens.next()?;
                if let Some(entry) = &mut found {
                    entry.username = login;
                }
            }
            "password" => {
                let password = tokens.next()?;
                if let Some(entry) = &mut found {
                    entry.password = Secret::new(password);
                }
            }
            "account" => {
                tokens.next();
            }
            "macdef" => tokens.skip_macro(),
            _ => {}
        }
    }
    found.filter(|entry| !entry.username.is_empty() || !entry.password.expose().is_empty())
}

fn empty() -> Credentials {
    Credentials { username: String::new(), password: Secret::default() }
}

/// Words divided by white space; quotes hold one together, a backslash inside them takes the next character as it is, and
/// `#` at the beginning of a word makes the rest of the line a comment.
struct Tokens<'a> {
    rest: &'a str,
}

impl Tokens<'_> {
    /// A macro goes up to the next empty line.
    fn skip_macro(&mut self) {
        let unix = self.rest.find("\n\n").map(|at| at + 2);
        let dos = self.rest.find("\n\r\n").map(|at| at + 3);
        let end = unix.into_iter().chain(dos).min().unwrap_or(self.rest.len());
        self.rest = self.rest.get(end..).unwrap_or_default();
    }
}

impl Iterator for Tokens<'_> {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        loop {
            self.rest = self.rest.trim_start();
            if !self.rest.starts_with('#') {
                break;
            }
            self.rest = self.rest.split_once('\n').map_or("", |(_, rest)| rest);
        }
        let mut word = String::new();
        let mut quoted = false;
        let mut escaped = false;
        let mut end = self.rest.len();
        for (at, c) in self.rest.char_indices() {
            match c {
                c if escaped => {
                    escaped = false;
                    word.push(c);
                }
                '\\' if quoted => escaped = true,
                '"' if quoted || at == 0 => {
                    if quoted {
                        end = at + 1;
                        break;
                    }
                    quoted = true;
                }
                c if c.is_whitespace() && !quoted => {
                    end = at;
                    break;
                }
                c => word.push(c),
            }
        }
        if self.rest.is_empty() {
            return None;
        }
        self.rest = self.rest.get(end..).unwrap_or_default();
        Some(word)
    }
}

/// Part of [`crate::intake::source::read_foreign`].
pub(super) fn read_foreign(text: &str) {
    let _ = lookup(text, "example.com");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn look(text: &str, host: &str) -> Option<(String, String)> {
        lookup(text, host).map(|entry| (entry.username, entry.password.expose().to_owned()))
    }

    #[test]
    fn f_netrc_entries_are_found_by_host() {
        let text = "# mine\nmachine a.example login ann password \"p w\\\"1\"\n\
                    machine b.example\n  login bob\n  account x\n  password pw2\n\
                    macdef init\nmachine evil login no password no\n\n\
                    machine c.example login cy\ndefault login anon password guest\nmachine late login l password l\n";
        let pair = |name: &str, password: &str| Some((name.to_owned(), password.to_owned()));
        assert_eq!(look(text, "a.example"), pair("ann", "p w\"1"));
        assert_eq!(look(text, "A.EXAMPLE"), pair("ann", "p w\"1"));
        assert_eq!(look(text, "b.example"), pair("bob", "pw2"));
        assert_eq!(look(text, "evil"), pair("anon", "guest"));
        assert_eq!(look(text, "c.example"), pair("cy", ""));
        assert_eq!(look(text, "late"), pair("anon", "guest"), "`default` ends the search");
        assert_eq!(look("machine a login", "a"), None);
        assert_eq!(look("", "a"), None);
        assert_eq!(look("machine a password p login l", "a"), pair("l", "p"));
    }

    proptest! {
        #[test]
        fn f_no_netrc_panics(text in "(machine|default|login|macdef|\"|\\\\|#|é| |\n|a){0,40}") {
            let _ = lookup(&text, "a");
        }
    }
}
