//! Which proxy a URL is asked through, by the variables that curl, Go and git share. A list of exceptions is read as they read it: a
//! reader that understands less of it sends what must stay inside a house to somebody outside.

use std::net::IpAddr;

use url::{Host, Url};

use super::HttpError;

/// The proxy for `url`; `None` for a direct connection.
///
/// # Errors
/// The variable names no proxy that can be used.
pub(super) fn of(url: &Url) -> Result<Option<Url>, HttpError> {
    choose(url, &|name| std::env::var(name).ok())
}

/// The same, by the variables that `get` knows.
fn choose(url: &Url, get: &dyn Fn(&str) -> Option<String>) -> Result<Option<Url>, HttpError> {
    let first = |names: &[&'static str]| names.iter().find_map(|name| Some((*name, get(name)?)));
    let own = match url.scheme() {
        "https" => first(&["https_proxy", "HTTPS_PROXY"]),
        // A web server hands a request's `Proxy:` header to its scripts in the other variable (CVE-2016-5385).
        _ if get("REQUEST_METHOD").is_some() => first(&["http_proxy"]),
        _ => first(&["http_proxy", "HTTP_PROXY"]),
    };
    // One that is set to nothing says that there is none.
    let Some((variable, value)) = own.or_else(|| first(&["all_proxy", "ALL_PROXY"])) else { return Ok(None) };
    let value = value.trim();
    let exceptions = first(&["no_proxy", "NO_PROXY"]).map(|(_, list)| list).unwrap_or_default();
    if value.is_empty() || is_excepted(&exceptions, url) {
        return Ok(None);
    }
    let proxy = Url::parse(&if value.contains("://") { value.to_owned() } else { format!("http://{value}") });
    let usable = proxy.ok().filter(|proxy| matches!(proxy.scheme(), "http" | "https") && proxy.has_host());
    usable.map(Some).ok_or(HttpError::Proxy { variable })
}

/// Whether `list` says that `url` is asked directly.
fn is_excepted(list: &str, url: &Url) -> bool {
    let Some(host) = url.host() else { return false };
    let port = url.port_or_known_default();
    list.split([',', ' ', '\t', '\r', '\n']).filter(|entry| !entry.is_empty()).any(|entry| {
        let (name, only) = split_port(entry);
        entry == "*" || (only.is_none_or(|only| Some(only) == port) && fits(name, &host))
    })
}

/// An entry without its port, and that. The address in brackets loses them.
fn split_port(entry: &str) -> (&str, Option<u16>) {
    if let Some((address, rest)) = entry.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return (address, rest.strip_prefix(':').and_then(|port| port.parse().ok()));
    }
    match entry.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') => match port.parse() {
            Ok(port) => (name, Some(port)),
            Err(_) => (entry, None),
        },
        // A second colon: an address of IPv6.
        _ => (entry, None),
    }
}

/// Whether `name` is `host`: an address or a network by number, a name by itself and for everything below it.
fn fits(name: &str, host: &Host<&str>) -> bool {
    match host {
        Host::Ipv4(address) => holds(name, IpAddr::V4(*address)),
        Host::Ipv6(address) => holds(name, IpAddr::V6(*address)),
        Host::Domain(host) => {
            let name = name.trim_start_matches("*.").trim_matches('.').to_lowercase();
            // Names of other alphabets stand in a URL as machines write them.
            let name = match Host::parse(&name) {
                Ok(Host::Domain(name)) => name,
                Ok(Host::Ipv4(_) | Host::Ipv6(_)) | Err(_) => name,
            };
            let host = host.trim_end_matches('.');
            !name.is_empty() && host.strip_suffix(name.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        }
    }
}

/// Whether `address` is `name`, or lies in the network `name` (`10.0.0.0/8`).
fn holds(name: &str, address: IpAddr) -> bool {
    let bits = |address: IpAddr| match address.to_canonical() {
        IpAddr::V4(address) => (u128::from(u32::from(address)) << 96, 32),
        IpAddr::V6(address) => (u128::from(address), 128),
    };
    let (own, width) = bits(address);
    let (network, length) = match name.split_once('/') {
        Some((network, length)) => (network, length.parse::<u32>().ok()),
        None => (name, Some(width)),
    };
    let (Ok(network), Some(length)) = (network.parse::<IpAddr>(), length) else { return false };
    let (network, other_width) = bits(network);
    // What lies behind the length does not count; a shift by all bits leaves none to compare.
    let mask = u128::MAX.checked_shl(128 - length.min(128)).unwrap_or(0);
    width == other_width && length <= width && own & mask == network & mask
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches_no_proxy(list: &str, url: &str) -> bool {
        is_excepted(list, &Url::parse(url).unwrap())
    }

    #[test]
    fn exceptions_are_read_as_curl_go_and_git_read_them() {
        // The list, the URL, and whether that is asked directly.
        for (list, url, direct) in [
            ("*", "http://example.com/", true),
            ("*", "http://127.0.0.1:8080/", true),
            ("*", "http://[::1]/", true),
            (" a.example , * ", "https://b.example/", true),
            ("", "http://example.com/", false),
            (" , ,", "http://example.com/", false),
            ("example.com", "http://example.com/", true),
            ("example.com", "http://EXAMPLE.com./", true),
            ("Example.COM", "https://www.example.com/", true),
            ("example.com", "http://badexample.com/", false),
            ("example.com", "http://example.com.evil.org/", false),
            (".example.com", "http://www.example.com/", true),
            (".example.com", "http://example.com/", true),
            (".example.com", "http://badexample.com/", false),
            ("*.example.com", "http://www.example.com/", true),
            ("*.example.com", "http://badexample.com/", false),
            ("example.com.", "http://www.example.com/", true),
            ("a.example b.example", "http://b.example/", true),
            ("a.example\tb.example", "http://b.example/", true),
            ("bücher.example", "http://xn--bcher-kva.example/", true),
            ("example.com:8080", "http://example.com:8080/", true),
            ("example.com:8080", "http://example.com/", false),
            ("example.com:80", "http://example.com/", true),
            ("example.com:443", "https://www.example.com/", true),
            ("example.com:443", "http://example.com/", false),
            ("localhost", "http://localhost:3128/", true),
            ("localhost", "http://127.0.0.1/", false),
            ("127.0.0.1", "http://127.0.0.1:8080/", true),
            ("127.0.0.1", "http://127.0.0.11/", false),
            ("127.0.0.1:8080", "http://127.0.0.1:8080/", true),
            ("127.0.0.1:8080", "http://127.0.0.1:8081/", false),
            ("0.0.1", "http://127.0.0.1/", false),
            ("10.0.0.0/8", "http://10.200.3.4/", true),
            ("10.0.0.0/8", "http://11.0.0.1/", false),
            ("10.1.2.3/8", "http://10.200.3.4/", true),
            ("192.168.1.128/25", "http://192.168.1.127/", false),
            ("0.0.0.0/0", "http://8.8.8.8/", true),
            ("0.0.0.0/0", "http://[::1]/", false),
            ("10.0.0.0/33", "http://10.0.0.0/", false),
            ("10.0.0.0/8", "http://ten.example/", false),
            ("::1", "http://[::1]/", true),
            ("[::1]", "http://[::1]:8080/", true),
            ("[::1]:8080", "http://[::1]:8080/", true),
            ("[::1]:8080", "http://[::1]:8081/", false),
            ("0:0:0:0:0:0:0:1", "http://[::1]/", true),
            ("fe80::/10", "http://[fe80::1]/", true),
            ("fe80::/10", "http://[fec0::1]/", false),
            ("::/0", "http://[fec0::1]/", true),
            ("127.0.0.1", "http://[::ffff:127.0.0.1]/", true),
            (".", "http://example.com/", false),
        ] {
            assert_eq!(matches_no_proxy(list, url), direct, "{list:?} {url}");
        }
    }

    #[test]
    fn variables_are_looked_at_in_their_order() {
        let proxy = |url: &str, variables: &[(&str, &str)]| {
            let get = |name: &str| variables.iter().find(|(own, _)| *own == name).map(|(_, value)| (*value).to_owned());
            choose(&Url::parse(url).unwrap(), &get).map(|proxy| proxy.map(String::from))
        };
        let (plain, secure) = ("http://h/", "https://h/");
        let some = |url: &str| Some(url.to_owned());
        for (url, variables, want) in [
            (plain, &[("http_proxy", "http://a:1"), ("HTTP_PROXY", "http://b:1")][..], some("http://a:1/")),
            (plain, &[("HTTP_PROXY", "b:1")], some("http://b:1/")),
            (plain, &[("HTTP_PROXY", "b:1"), ("REQUEST_METHOD", "GET")], None),
            (secure, &[("http_proxy", "a:1")], None),
            (secure, &[("HTTPS_PROXY", "https://u:p@c:1")], some("https://u:p@c:1/")),
            (secure, &[("https_proxy", ""), ("all_proxy", "d:1")], None),
            (secure, &[("ALL_PROXY", "d:1")], some("http://d:1/")),
            (plain, &[("all_proxy", "d:1"), ("no_proxy", ""), ("NO_PROXY", "h")], some("http://d:1/")),
            (plain, &[("all_proxy", "d:1"), ("NO_PROXY", "h")], None),
        ] {
            assert_eq!(proxy(url, variables).unwrap(), want, "{url} {variables:?}");
        }
        for unusable in ["socks5://u:hunter2@s:1", "http://", "http://a b:hunter2"] {
            let error = proxy(plain, &[("all_proxy", unusable)]).unwrap_err().to_string();
            assert!(error.contains("all_proxy") && !error.contains("hunter2"), "{error}");
        }
        assert_eq!(proxy(plain, &[("all_proxy", "socks5://s:1"), ("no_proxy", "*")]).unwrap(), None);
    }
}
