//! Which hosts a module may call: the patterns of `allowedHosts`.
//!
//! Both sides of a comparison are brought to one form, the one that URLs are read into: lower case, Punycode for other alphabets, numbers
//! of IPv4 addresses in decimal, no dot at the end. Extism compares what people wrote.

use std::net::Ipv6Addr;

use globset::{GlobBuilder, GlobMatcher};
use url::{Host, Url};

use crate::text::Sanitized;

/// What makes a text a glob.
const GLOB: [char; 6] = ['*', '?', '[', ']', '{', '}'];

/// A pattern: a host, or a glob for hosts, and perhaps a port.
#[derive(Debug, Clone)]
pub struct HostPattern {
    hosts: Hosts,
    /// `None` is any port.
    port: Option<u16>,
}

#[derive(Debug, Clone)]
enum Hosts {
    One(String),
    Glob(GlobMatcher),
}

/// Why a text is no pattern for hosts.
#[derive(Debug, thiserror::Error)]
#[error("`{}` names no host: {reason}", Sanitized(pattern))]
pub struct HostPatternError {
    pattern: String,
    reason: String,
}

impl HostPattern {
    /// Reads a pattern: `example.com`, `*.example.com`, `10.0.?.7`, `[::1]`, each with or without `:8443`. `*` stands for any characters,
    /// dots too.
    ///
    /// # Errors
    /// It is more than a host and a port, or no valid glob.
    pub fn parse(pattern: &str) -> Result<Self, HostPatternError> {
        Self::read(pattern).map_err(|reason| HostPatternError { pattern: pattern.to_owned(), reason })
    }

    fn read(pattern: &str) -> Result<Self, String> {
        if pattern.contains(['/', '@', '\\', '#', '%']) || pattern.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err("write the host alone, without scheme, user or path".to_owned());
        }
        // Here brackets hold an address; anywhere else they hold characters to choose from.
        let (literal, rest) = match pattern.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((literal, rest)) => (literal, rest),
            None => (pattern, ""),
        };
        if let Ok(address) = literal.parse::<Ipv6Addr>() {
            let port = match rest.strip_prefix(':') {
                Some(port) => port_of(port)?,
                None if rest.is_empty() => None,
                None => return Err("nothing but a port can follow an address".to_owned()),
            };
            return Ok(Self { hosts: Hosts::One(format!("[{address}]")), port });
        }
        let (host, port) = match pattern.rsplit_once(':') {
            Some((host, port)) => (host, port_of(port)?),
            None => (pattern, None),
        };
        let host = host.strip_suffix('.').unwrap_or(host);
        if !host.contains(GLOB) {
            let host = Host::parse(host).map_err(|error| error.to_string())?;
            return Ok(Self { hosts: Hosts::One(host.to_string()), port });
        }
        // Only whole labels can be brought into Punycode.
        let labels = host.split('.').map(|label| match label.is_ascii() {
            true => Ok(label.to_owned()),
            false if label.contains(GLOB) => {
                Err("a part that is not ASCII must be written out, or in Punycode (`xn--...`)".to_owned())
            }
            false => Host::parse(label).map(|label| label.to_string()).map_err(|error| error.to_string()),
        });
        let host = labels.collect::<Result<Vec<_>, _>>()?.join(".");
        let glob = GlobBuilder::new(&host).case_insensitive(true).build().map_err(|error| error.kind().to_string())?;
        Ok(Self { hosts: Hosts::Glob(glob.compile_matcher()), port })
    }

    /// Whether the host and port of `url` are among those that are meant. User names in it are no hosts.
    pub fn matches(&self, url: &Url) -> bool {
        let Some(host) = url.host_str() else { return false };
        let host = host.strip_suffix('.').unwrap_or(host);
        let named = match &self.hosts {
            Hosts::One(own) => own.eq_ignore_ascii_case(host),
            Hosts::Glob(glob) => glob.is_match(host),
        };
        named && self.port.is_none_or(|port| url.port_or_known_default() == Some(port))
    }
}

/// A port, or `*` for any.
fn port_of(text: &str) -> Result<Option<u16>, String> {
    match text.parse() {
        _ if text == "*" => Ok(None),
        Ok(port) if port > 0 => Ok(Some(port)),
        _ => Err("what follows the colon is no port".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn w6_hosts_are_compared_as_urls_have_them() {
        for (pattern, yes, no) in [
            (
                "example.com",
                "http://example.com http://EXAMPLE.com:81/x https://example.com. https://a:b@example.com",
                "http://example.com.evil.org http://example.com@evil.org http://a.example.com http://evil.org/example.com",
            ),
            ("Example.COM.", "http://example.com", "http://example.co"),
            (
                "*.example.com",
                "http://a.example.com http://a.b.example.com http://A.Example.Com",
                "http://example.com http://aexample.com",
            ),
            ("example.com:8443", "https://example.com:8443", "https://example.com http://example.com:80"),
            ("example.com:443", "https://example.com", "http://example.com"),
            ("example.com:*", "https://example.com http://example.com:1", "http://other.com:1"),
            ("127.0.0.1", "http://127.0.0.1:9 http://0x7f.1 http://2130706433", "http://127.0.0.2 http://127.0.0.1.nip.io"),
            ("127.1", "http://127.0.0.1", "http://127.1.0.1"),
            ("[::1]", "http://[::1] http://[0:0::1]:8", "http://[::2] http://1"),
            ("::1", "http://[::1]:80", "http://[::2]"),
            ("[::1]:80", "http://[::1]", "https://[::1]"),
            ("bücher.example", "http://xn--bcher-kva.example http://BÜCHER.example", "http://bucher.example"),
            ("*.bücher.example", "http://a.xn--bcher-kva.example", "http://xn--bcher-kva.example"),
            ("*", "http://anything http://127.0.0.1 http://[::1]:1", ""),
            ("10.0.[12].?", "http://10.0.1.7", "http://10.0.3.7"),
            ("{a,b}.example", "http://a.example http://b.example", "http://c.example"),
        ] {
            let pattern = HostPattern::parse(pattern).unwrap();
            for url in yes.split_whitespace() {
                assert!(pattern.matches(&Url::parse(url).unwrap()), "{pattern:?} {url}");
            }
            for url in no.split_whitespace() {
                assert!(!pattern.matches(&Url::parse(url).unwrap()), "{pattern:?} {url}");
            }
        }
        assert!(!HostPattern::parse("*").unwrap().matches(&Url::parse("file:///etc/passwd").unwrap()));
    }

    proptest::proptest! {
        #[test]
        fn w6_no_pattern_breaks_the_reader(pattern in "[a-zA-Z0-9.:*?\\[\\]{},!^ü%@/ -]{0,24}", url in "https?://[a-z0-9.\\[\\]:@ü]{0,24}") {
            if let (Ok(pattern), Ok(url)) = (HostPattern::parse(&pattern), Url::parse(&url)) {
                pattern.matches(&url);
            }
        }
    }

    #[test]
    fn w6_what_is_no_host_is_refused() {
        for bad in [
            "",
            " ",
            "a b",
            "http://a",
            "a/b",
            "user@host",
            "a@b.com",
            "[",
            "a[",
            "{a",
            "a:",
            "a:0",
            "a:x",
            "a:70000",
            "[::1]x",
            "[::1]:x",
            "*ü.example",
            "a\\*",
            "a%20b",
            "a\nb",
            "1.2.3.999",
            "::g",
        ] {
            assert!(HostPattern::parse(bad).is_err(), "{bad:?}");
        }
        let error = HostPattern::parse("https://example.com").unwrap_err();
        assert_eq!(
            error.to_string(),
            "`https://example.com` names no host: write the host alone, without scheme, user or path"
        );
    }
}
