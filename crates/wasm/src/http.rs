//! HTTP for modules: `http_request`, to the hosts that the manifest allows, at every hop.
//!
//! Extism compares the host of the first URL and follows redirects wherever they lead. Here each hop is judged before it is asked, https
//! is never left for http, and what may be a secret stays with the origin that it was meant for. An address in a private network is a
//! host like any other: who allows `*` allows those too.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::thread;
use std::time::{Duration, Instant};

use reqwest::Method;
use reqwest::blocking::{Client, Response as Raw};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, LOCATION};
use serde::Deserialize;
use url::Url;

use plugsmith::host::{CallLimits, WasmError};
use plugsmith::manifest::HostPattern;
use plugsmith::text::masked_source;

/// How many redirects are followed.
const REDIRECTS: usize = 10;

/// How long to wait for a connection.
const CONNECT: Duration = Duration::from_secs(30);

/// What goes along to another origin: nothing that could be a secret, whatever the module called it.
const HARMLESS: [&str; 7] =
    ["accept", "accept-encoding", "accept-language", "content-type", "range", "user-agent", "if-none-match"];

/// What a request cannot set, since it is about the connection.
const CONNECTION: [&str; 6] = ["connection", "content-length", "keep-alive", "te", "transfer-encoding", "upgrade"];

/// What a module asks for.
#[derive(Deserialize)]
struct Request {
    url: String,
    #[serde(default)]
    headers: Option<BTreeMap<String, String>>,
    #[serde(default)]
    method: Option<String>,
}

/// What it gets.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// By their names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

/// Sends what the JSON `request` describes, with `body`, to one of `hosts`, until the clock says `until`.
pub(crate) fn request(
    request: &[u8],
    body: Option<Vec<u8>>,
    hosts: &[HostPattern],
    limits: &CallLimits,
    until: Instant,
) -> Result<Response, WasmError> {
    let misuse = |reason: String| WasmError::Misuse { function: "http_request", reason };
    let request: Request = serde_json::from_slice(request).map_err(|error| misuse(error.to_string()))?;
    let url = Url::parse(&request.url).map_err(|error| misuse(format!("its URL is none: {error}")))?;
    let method = request.method.filter(|method| !method.is_empty()).unwrap_or_else(|| "GET".to_owned()).to_uppercase();
    let method = Method::from_bytes(method.as_bytes()).map_err(|_| misuse("its method is none".to_owned()))?;
    let mut headers = HeaderMap::new();
    for (name, value) in request.headers.unwrap_or_default() {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| misuse(format!("`{name}` is no header")))?;
        if name == "host" {
            return Err(misuse("the header `Host` would name another host than the URL".to_owned()));
        }
        if CONNECTION.contains(&name.as_str()) {
            continue;
        }
        let value = HeaderValue::from_str(&value)
            .map_err(|_| misuse(format!("the header `{name}` has characters that none may have")))?;
        headers.append(name, value);
    }
    let call = Call { hosts, limits, until };
    // The blocking client must not run in a thread that drives other tasks.
    thread::scope(|scope| {
        let answer = scope.spawn(|| call.follow(url, method, headers, body)).join();
        answer.unwrap_or_else(|_| Err(WasmError::Engine { reason: "the HTTP client broke down".to_owned() }))
    })
}

/// What holds for all hops.
struct Call<'a> {
    hosts: &'a [HostPattern],
    limits: &'a CallLimits,
    until: Instant,
}

impl Call<'_> {
    fn follow(
        &self,
        mut url: Url,
        mut method: Method,
        mut headers: HeaderMap,
        mut body: Option<Vec<u8>>,
    ) -> Result<Response, WasmError> {
        for _ in 0..=REDIRECTS {
            self.check(&url)?;
            let response = self.send(&url, &method, &headers, body.as_ref())?;
            let status = response.status().as_u16();
            let location = response.headers().get(LOCATION).filter(|_| matches!(status, 301 | 302 | 303 | 307 | 308));
            let Some(location) = location else { return self.read(&url, response) };
            let next = next_hop(&url, location.as_bytes()).map_err(|reason| failed(&url, reason))?;
            if next.origin() != url.origin() {
                let secret: Vec<_> = headers.keys().filter(|name| !HARMLESS.contains(&name.as_str())).cloned().collect();
                for name in secret {
                    headers.remove(name);
                }
            }
            // What every browser does, and RFC 9110 (15.4) allows: only 307 and 308 send the body again.
            if status == 303 && method != Method::HEAD || matches!(status, 301 | 302) && method == Method::POST {
                method = Method::GET;
                body = None;
                headers.remove("content-type");
            }
            url = next;
        }
        Err(failed(&url, &format!("it redirects more than {REDIRECTS} times")))
    }

    /// Refuses a URL whose host is not allowed.
    fn check(&self, url: &Url) -> Result<(), WasmError> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(failed(url, "modules speak http and https alone"));
        }
        if self.hosts.iter().any(|host| host.matches(url)) {
            return Ok(());
        }
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        Err(WasmError::HostNotAllowed { host: format!("{}{port}", url.host_str().unwrap_or_default()) })
    }

    fn send(&self, url: &Url, method: &Method, headers: &HeaderMap, body: Option<&Vec<u8>>) -> Result<Raw, WasmError> {
        let client = client(url.scheme()).map_err(|error| failed(url, &chain(&error.without_url())))?;
        let mut request = client.request(method.clone(), url.clone()).headers(headers.clone()).timeout(self.left()?);
        if let Some(body) = body {
            request = request.body(body.clone());
        }
        request.send().map_err(|error| match error.is_timeout() && self.left().is_err() {
            true => self.timed_out(),
            false => failed(url, &chain(&error.without_url())),
        })
    }

    /// Reads a response, and no byte more than it may have.
    fn read(&self, url: &Url, response: Raw) -> Result<Response, WasmError> {
        let limit = self.limits.response_bytes;
        let status = response.status().as_u16();
        let mut headers: BTreeMap<String, String> = BTreeMap::new();
        for (name, value) in response.headers() {
            let value = String::from_utf8_lossy(value.as_bytes());
            headers
                .entry(name.as_str().to_owned())
                .and_modify(|all| *all = format!("{all}, {value}"))
                .or_insert(value.into());
        }
        let mut body = Vec::new();
        // What could not be handed over need not be read.
        let room = self.limits.exchange_bytes() as u64;
        response.take(limit.min(room).saturating_add(1)).read_to_end(&mut body).map_err(|error| match self.left() {
            Ok(_) => failed(url, &error.to_string()),
            Err(timed_out) => timed_out,
        })?;
        if body.len() as u64 > limit {
            return Err(WasmError::ResponseTooLarge { url: masked_source(url.as_str()), limit });
        }
        if body.len() as u64 > room {
            return Err(WasmError::Exchange { limit: self.limits.pages });
        }
        Ok(Response { status, headers, body })
    }

    /// The time that is left.
    fn left(&self) -> Result<Duration, WasmError> {
        match self.until.saturating_duration_since(Instant::now()) {
            Duration::ZERO => Err(self.timed_out()),
            left => Ok(left),
        }
    }

    fn timed_out(&self) -> WasmError {
        WasmError::TimedOut { limit: self.limits.time }
    }
}

/// Where a redirect of `url` leads to.
fn next_hop(url: &Url, location: &[u8]) -> Result<Url, &'static str> {
    let location = std::str::from_utf8(location).map_err(|_| "it redirects to something that is no URL")?;
    let next = url.join(location).map_err(|_| "it redirects to something that is no URL")?;
    match url.scheme() == "https" && next.scheme() != "https" {
        true => Err("it redirects from https to a connection without encryption"),
        false => Ok(next),
    }
}

/// A client that follows nothing. Loading the system's certificates takes time, and plain http needs none.
fn client(scheme: &str) -> Result<Client, reqwest::Error> {
    // Somebody else's provider is as good as ours: only the first call of a process counts.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = Client::builder()
        .user_agent(concat!("plugsmith/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .connect_timeout(CONNECT);
    if scheme == "https" { builder.build() } else { builder.tls_certs_only([]).build() }
}

fn failed(url: &Url, reason: &str) -> WasmError {
    WasmError::Http { url: masked_source(url.as_str()), reason: reason.to_owned() }
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn w6_https_is_never_left_for_http() {
        let next = |from: &str, to: &str| next_hop(&Url::parse(from).unwrap(), to.as_bytes()).map(|url| url.to_string());
        assert_eq!(next("https://a/x/y", "z").as_deref(), Ok("https://a/x/z"));
        assert_eq!(next("http://a/x", "https://b/").as_deref(), Ok("https://b/"));
        assert_eq!(next("https://a/x", "//b").as_deref(), Ok("https://b/"));
        for to in ["http://a/x", "ftp://a/x", "file:///etc/passwd"] {
            assert!(next("https://a/x", to).is_err(), "{to}");
        }
        assert!(next("http://a/", "http://[").is_err());
        assert!(next_hop(&Url::parse("http://a/").unwrap(), b"\xff").is_err());
    }

    #[test]
    fn w6_what_makes_no_sense_is_an_error() {
        let hosts = [HostPattern::parse("127.0.0.1").unwrap()];
        let limits = CallLimits::of(&plugsmith::manifest::Extism::default());
        let until = Instant::now() + Duration::from_secs(5);
        for bad in [
            "",
            "{}",
            "[]",
            r#"{"url": 1}"#,
            r#"{"url": "relative"}"#,
            r#"{"url": "http://127.0.0.1:1/", "method": "G E T"}"#,
            r#"{"url": "http://127.0.0.1:1/", "headers": {"Host": "other"}}"#,
            r#"{"url": "http://127.0.0.1:1/", "headers": {"a b": "c"}}"#,
            r#"{"url": "http://127.0.0.1:1/", "headers": {"a": "b\r\nc: d"}}"#,
        ] {
            let error = request(bad.as_bytes(), None, &hosts, &limits, until).unwrap_err();
            assert!(matches!(error, WasmError::Misuse { .. }), "{bad}: {error}");
        }
        let over = Instant::now();
        let error = request(br#"{"url": "http://127.0.0.1:1/"}"#, None, &hosts, &limits, over).unwrap_err();
        assert!(matches!(error, WasmError::TimedOut { .. }), "{error}");
        // Nobody listens there; and what is in the URL is not for everybody.
        let error =
            request(br#"{"url": "http://u:hunter2@127.0.0.1:1/?t=hunter2"}"#, None, &hosts, &limits, until).unwrap_err();
        assert!(matches!(error, WasmError::Http { .. }) && !error.to_string().contains("hunter2"), "{error}");
    }
}
