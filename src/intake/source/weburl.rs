//! URLs of the web whose secrets cannot slip out: user name and password are taken off at once, and whatever shows a URL
//! masks its query, since pre-signed links and tokens live there (CVE-2021-32690 and its kin began with a logged URL).

use std::fmt;

use percent_encoding::percent_decode_str;
use url::Url;

use super::options::{Credentials, Secret};
use crate::text;

/// What stands for a query that is not shown.
const MASK: &str = "?***";

/// A URL without user name and password, and these two apart.
#[derive(Clone, PartialEq, Eq)]
pub struct WebUrl {
    url: Url,
    credentials: Option<Credentials>,
}

impl WebUrl {
    /// Takes the user name, the password and the fragment off `url`.
    pub(super) fn new(mut url: Url) -> Self {
        let decoded = |part: &str| percent_decode_str(part).decode_utf8_lossy().into_owned();
        let credentials = (!url.username().is_empty() || url.password().is_some()).then(|| Credentials {
            username: decoded(url.username()),
            password: Secret::new(url.password().map(decoded).unwrap_or_default()),
        });
        // Both fail only for URLs that have no host, and those carry no user either.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        url.set_fragment(None);
        Self { url, credentials }
    }

    /// The URL as it is requested: with its query, without user name and password.
    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    /// The user name and password that stood in it.
    pub(super) fn credentials(&self) -> Option<&Credentials> {
        self.credentials.as_ref()
    }

    /// The text that a receipt keeps: with the query, without user name and password.
    pub fn without_credentials(&self) -> &str {
        self.url.as_str()
    }

    /// The file's name: the last part of the path, decoded, of characters that are harmless in a message or a name.
    pub(super) fn file_name(&self) -> String {
        let last = self.url.path_segments().and_then(|parts| parts.rev().find(|part| !part.is_empty())).unwrap_or_default();
        harmless_name(last)
    }

    /// The same URL with `suffix` at the end of its path, before the query.
    pub(super) fn with_path_suffix(&self, suffix: &str) -> Self {
        let mut url = self.url.clone();
        url.set_path(&format!("{}{suffix}", self.url.path().trim_end_matches('/')));
        Self { url, credentials: self.credentials.clone() }
    }
}

impl WebUrl {
    /// The same URL with another query.
    pub(super) fn with_query(mut self, query: &str) -> Self {
        self.url.set_query(Some(query));
        self
    }
}

impl fmt::Display for WebUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(&self.url))
    }
}

impl fmt::Debug for WebUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A file's name out of the last part of a URL's path: decoded, of characters that are harmless in a message or a name.
pub(super) fn harmless_name(last: &str) -> String {
    let decoded = percent_decode_str(last).decode_utf8_lossy();
    let name: String = decoded
        .chars()
        .map(|c| {
            if matches!(c, '/' | '\\' | ':') || text::sanitized(c.encode_utf8(&mut [0; 4])).len() != c.len_utf8() {
                '_'
            } else {
                c
            }
        })
        .take(255)
        .collect();
    if matches!(name.as_str(), "" | "." | "..") { "download".to_owned() } else { name }
}

/// `url` as it may be shown.
pub(super) fn shown(url: &Url) -> String {
    let mut bare = url.clone();
    let _ = bare.set_username("");
    let _ = bare.set_password(None);
    bare.set_query(None);
    bare.set_fragment(None);
    // The parser percent-encodes what could act on a terminal in paths and refuses it in hosts; opaque paths go through too.
    let mut shown = text::sanitized(bare.as_str()).into_owned();
    if url.query().is_some() {
        shown.push_str(MASK);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn web(text: &str) -> WebUrl {
        WebUrl::new(Url::parse(text).unwrap())
    }

    #[test]
    fn f_secrets_of_a_url_are_never_shown() {
        let url = web("https://ann:s%40cret@h.example:8443/p/foo-1.0.0.tgz?token=abc#frag");
        assert_eq!(url.to_string(), "https://h.example:8443/p/foo-1.0.0.tgz?***");
        assert_eq!(format!("{url:?}"), url.to_string());
        assert_eq!(url.without_credentials(), "https://h.example:8443/p/foo-1.0.0.tgz?token=abc");
        let credentials = url.credentials().unwrap();
        assert_eq!((credentials.username.as_str(), credentials.password.expose()), ("ann", "s@cret"));
        assert!(!format!("{credentials:?}").contains("s@cret"));
    }

    #[test]
    fn f_the_provenance_suffix_goes_before_the_query() {
        assert_eq!(
            web("http://h/a/foo.tgz?v=1").with_path_suffix(".prov").without_credentials(),
            "http://h/a/foo.tgz.prov?v=1"
        );
        assert_eq!(
            web("http://h/download?id=3").with_path_suffix(".prov").without_credentials(),
            "http://h/download.prov?id=3"
        );
    }

    #[test]
    fn f_file_names_are_harmless() {
        for (text, want) in [
            ("http://h/a/foo-1.0.0.tgz?x=/y.zip", "foo-1.0.0.tgz"),
            ("http://h/a/foo%2F..%5Cbar.tgz", "foo_.._bar.tgz"),
            ("http://h/%1b%5B31m.tgz", "_[31m.tgz"),
            ("http://h/a/", "a"),
            ("http://h/", "download"),
            ("http://h/%2e%2e", "download"),
        ] {
            assert_eq!(web(text).file_name(), want, "{text}");
        }
    }
}
