//! The HTTP client that web sources and registries share: redirects by hand, credentials for one origin alone, bounded time
//! and size, back-off, and downloads that go on where a connection broke.
//!
//! Rules and where they come from: credentials stay with the scheme, host and port that they were given for
//! (CVE-2021-32690); https is never left for http; nothing of a URL that could be a secret is in an error.

mod coding;
mod download;
mod error;
mod netrc;
mod proxy;
mod server_message;
mod tls;
mod tls_cause;
mod upload;

use std::hash::{BuildHasher, RandomState};
use std::io::Read;
use std::thread;
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use reqwest::blocking::{RequestBuilder, Response};
use reqwest::header::{
    CONTENT_TYPE, HeaderMap, HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH, LOCATION, RANGE, RETRY_AFTER, WWW_AUTHENTICATE,
};
use url::{Origin, Url};

use self::coding::ContentCoding;
pub(super) use download::Download;
pub use error::HttpError;
pub(super) use error::is_transient;
pub(super) use netrc::find as netrc_entry;
pub use server_message::ServerMessage;
pub use tls_cause::TlsCause;
pub(super) use upload::UploadContent;

use super::options::{Credentials, FetchOptions, Secret};
use super::weburl::{WebUrl, shown};
use crate::report::Report;

/// Redirects that are followed.
const REDIRECTS: usize = 10;

/// The pause before the second attempt; it doubles from there.
const FIRST_PAUSE: Duration = Duration::from_millis(300);

/// No pause of our own choice is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(20);

/// How long a server may ask us to wait.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(60);

/// By so much more than what it holds something small may grow when it is packed.
const SLACK: u64 = 64 << 10;

/// A client for one fetch: its credentials, its limits, its deadline.
pub(super) struct Client<'a> {
    options: &'a FetchOptions,
    report: &'a dyn Report,
    tls: tls::Tls,
    /// Who we are, and the origin that may know.
    login: Option<(Origin, HttpLogin)>,
    /// Headers of every request that has no other of their names.
    default_headers: HeaderMap,
    deadline: Option<Instant>,
}

/// How we show who we are.
pub(super) enum HttpLogin {
    /// A user name and a password.
    Basic(Credentials),
    /// A token.
    Bearer(Secret),
}

/// A body that was read whole, and the headers before it.
pub(super) struct Body {
    pub(super) bytes: Vec<u8>,
    pub(super) headers: HeaderMap,
}

/// A successful answer, and where it came from after all redirects.
struct FinalResponse {
    response: Response,
    url: Url,
}

/// Why an attempt failed, and whether another one makes sense.
enum AttemptError<E> {
    /// It will fail again.
    Fatal(E),
    /// It may succeed next time; `after` is what the server asks for.
    Retry { error: HttpError, after: Option<Duration> },
}

impl<E: From<HttpError>> AttemptError<E> {
    fn map_into<F: From<E>>(self) -> AttemptError<F> {
        match self {
            Self::Fatal(error) => AttemptError::Fatal(error.into()),
            Self::Retry { error, after } => AttemptError::Retry { error, after },
        }
    }
}

impl From<HttpError> for AttemptError<HttpError> {
    fn from(error: HttpError) -> Self {
        Self::Fatal(error)
    }
}

impl<'a> Client<'a> {
    /// A client for the origin of `url`. The options win over the URL's user name and password, and those over `.netrc`.
    pub(super) fn new(url: &WebUrl, options: &'a FetchOptions, report: &'a dyn Report) -> Result<Self, HttpError> {
        let credentials = match (&options.username, url.credentials()) {
            (Some(username), _) => {
                let password = options.password.clone().unwrap_or_default();
                Some(Credentials { username: username.clone(), password })
            }
            (None, Some(credentials)) => Some(credentials.clone()),
            (None, None) => netrc::find(url.url().host_str().unwrap_or_default())?,
        };
        let mut client = Self::anonymous(options, report)?;
        client.login = credentials.map(|credentials| (url.url().origin(), HttpLogin::Basic(credentials)));
        Ok(client)
    }

    /// A client that shows nobody who it is.
    pub(super) fn anonymous(options: &'a FetchOptions, report: &'a dyn Report) -> Result<Self, HttpError> {
        Ok(Self {
            options,
            report,
            tls: tls::Tls::load(options)?,
            login: None,
            default_headers: HeaderMap::new(),
            deadline: options.total_timeout().and_then(|timeout| Instant::now().checked_add(timeout)),
        })
    }

    /// From now on shows `login` to the scheme, host and port of `url`, and to nobody else.
    pub(super) fn log_in(&mut self, url: &Url, login: Option<HttpLogin>) {
        self.login = login.map(|login| (url.origin(), login));
    }

    /// Whether anybody will be shown who we are.
    pub(super) fn has_login(&self) -> bool {
        self.login.is_some()
    }

    /// From now on sends `headers` with every request, but where a request has others of their names.
    pub(super) fn always_send(&mut self, headers: HeaderMap) {
        self.default_headers = headers;
    }

    /// The body at `url`, of at most `limit` bytes.
    pub(super) fn get(&self, url: &WebUrl, limit: u64) -> Result<Vec<u8>, HttpError> {
        self.get_as(url, &HeaderMap::new(), limit).map(|body| body.bytes)
    }

    /// The body at `url`, of at most `limit` bytes, asked for with `headers`.
    pub(super) fn get_as(&self, url: &WebUrl, headers: &HeaderMap, limit: u64) -> Result<Body, HttpError> {
        self.retrying(url, || self.read_body(self.request(url.url(), headers)?, limit))
    }

    /// The answer to a form that is sent to `url`. It goes nowhere else, since it may hold a secret.
    pub(super) fn post_form(&self, url: &Url, form: &str, limit: u64) -> Result<Vec<u8>, HttpError> {
        self.retrying(&WebUrl::new(url.clone()), || {
            self.check_deadline(url)?;
            let request = self.prepare(reqwest::Method::POST, url)?.0;
            let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form.to_owned());
            let response = self.transmit(request, "POST", url)?;
            let answer = self.judge(FinalResponse { response, url: url.clone() }, true, false)?;
            self.read_body(answer, limit).map(|body| body.bytes)
        })
    }

    /// Reads the body of `answer`, of at most `limit` bytes.
    fn read_body(&self, answer: FinalResponse, limit: u64) -> Result<Body, AttemptError<HttpError>> {
        let FinalResponse { response, url } = answer;
        if response.status() != StatusCode::OK {
            let status = response.status().as_u16();
            return Err(HttpError::Status { url: shown(&url), status, said: ServerMessage::default() }.into());
        }
        let headers = response.headers().clone();
        let coding = packed(&url, &headers)?;
        // What comes packed is smaller, or hardly larger.
        let sent = response.take(limit.saturating_mul(2).saturating_add(SLACK));
        let mut reader = coding.undo(sent).map_err(|e| self.broken_body(e, &url))?.take(limit.saturating_add(1));
        let mut bytes = Vec::new();
        let mut block = vec![0; 64 * 1024];
        loop {
            self.check_deadline(&url)?;
            match reader.read(&mut block) {
                Ok(0) => break,
                Ok(n) => bytes.extend_from_slice(block.get(..n).unwrap_or_default()),
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) if coding != ContentCoding::Identity && !is_of_the_connection(&e) => {
                    return Err(HttpError::Coding { url: shown(&url), coding: format!("{coding:?}: {e}") }.into());
                }
                Err(e) => return Err(self.broken_body(e, &url)),
            }
        }
        if bytes.len() as u64 > limit {
            return Err(HttpError::TooLarge { url: shown(&url), limit }.into());
        }
        Ok(Body { bytes, headers })
    }

    /// A request to `url`, and whether it shows who we are.
    fn prepare(&self, method: reqwest::Method, url: &Url) -> Result<(RequestBuilder, bool), HttpError> {
        let mut request = self.tls.client(url, &self.options.http)?.request(method, url.clone());
        if !self.default_headers.is_empty() {
            request = request.headers(self.default_headers.clone());
        }
        if let Some(remaining) = self.remaining() {
            request = request.timeout(remaining);
        }
        Ok(match self.login.as_ref().filter(|(origin, _)| *origin == url.origin()) {
            Some((_, HttpLogin::Basic(Credentials { username, password }))) => {
                (request.basic_auth(username, Some(password.expose())), true)
            }
            Some((_, HttpLogin::Bearer(token))) => (request.bearer_auth(token.expose()), true),
            None => (request, false),
        })
    }

    /// Sends `request`, and tells of it.
    fn transmit(&self, request: RequestBuilder, method: &str, url: &Url) -> Result<Response, AttemptError<HttpError>> {
        let began = Instant::now();
        let sent = request.send();
        let ended = sent.as_ref().map_or_else(|_| "no answer".to_owned(), |response| response.status().as_u16().to_string());
        self.report.step(&format!("{method} {}: {ended} after {} ms", shown(url), began.elapsed().as_millis()));
        sent.map_err(|e| self.failed_request(e, url))
    }

    /// Calls `attempt` until it succeeds, fails for good, or the attempts are used up.
    fn retrying<T, E: From<HttpError>>(
        &self,
        url: &WebUrl,
        mut attempt: impl FnMut() -> Result<T, AttemptError<E>>,
    ) -> Result<T, E> {
        let retries = self.options.http.retries;
        let mut pause = FIRST_PAUSE;
        for number in 1..=retries {
            let (error, after) = match attempt() {
                Ok(value) => return Ok(value),
                Err(AttemptError::Fatal(error)) => return Err(error),
                Err(AttemptError::Retry { error, after }) => (error, after),
            };
            // What the server asks for, else up to half as much again as our own pause: many clients that failed at once
            // must not come back at once.
            let wait = after.unwrap_or_else(|| pause + pause.mul_f64(random() / 2.0));
            if wait > LONGEST_RETRY_AFTER {
                return Err(match error {
                    HttpError::Status { url, status, said } => {
                        HttpError::RetryLater { url, status, said, seconds: wait.as_secs() }
                    }
                    other => other,
                }
                .into());
            }
            if self.deadline.is_some_and(|deadline| Instant::now() + wait >= deadline) {
                return Err(self.timed_out(url.url()).into());
            }
            self.report.notice(&format!(
                "{error}; attempt {} of {} in {:.1} s",
                number + 1,
                retries + 1,
                wait.as_secs_f64()
            ));
            thread::sleep(wait);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        attempt().map_err(|trouble| match trouble {
            AttemptError::Fatal(error) => error,
            AttemptError::Retry { error, .. } => error.into(),
        })
    }

    /// Asks for `start`, follows its redirects, and gives an answer of the 2xx class, or 416 where a range was asked for.
    fn request(&self, start: &Url, headers: &HeaderMap) -> Result<FinalResponse, AttemptError<HttpError>> {
        self.follow(&reqwest::Method::GET, start, headers)
    }

    /// [`Client::request`] with another method that changes nothing.
    fn follow(
        &self,
        method: &reqwest::Method,
        start: &Url,
        headers: &HeaderMap,
    ) -> Result<FinalResponse, AttemptError<HttpError>> {
        let mut url = start.clone();
        for _ in 0..=REDIRECTS {
            self.check_deadline(&url)?;
            let (request, logged_in) = self.prepare(method.clone(), &url)?;
            let response = self.transmit(request.headers(headers.clone()), method.as_str(), &url)?;
            let status = response.status();
            if !matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
                let conditional = headers.contains_key(IF_NONE_MATCH) || headers.contains_key(IF_MODIFIED_SINCE);
                if conditional && status == StatusCode::NOT_MODIFIED {
                    return Ok(FinalResponse { response, url });
                }
                return self.judge(FinalResponse { response, url }, logged_in, headers.contains_key(RANGE));
            }
            url = redirect_target(&url, response.headers())?;
            self.report.step(&format!("redirected to {}", shown(&url)));
        }
        Err(HttpError::TooManyRedirects { url: shown(start), limit: REDIRECTS }.into())
    }

    /// Sorts an answer by its status.
    fn judge(&self, answer: FinalResponse, logged_in: bool, ranged: bool) -> Result<FinalResponse, AttemptError<HttpError>> {
        let status = answer.response.status().as_u16();
        if (200..=299).contains(&status) || (status == 416 && ranged) {
            return Ok(answer);
        }
        let FinalResponse { response, url } = answer;
        let (shown, headers) = (shown(&url), response.headers().clone());
        let body =
            ContentCoding::of(&headers).unwrap_or_default().undo(response).map(server_message::read).unwrap_or_default();
        if let Some(cause) = TlsCause::of_answer(status, &body).filter(|_| url.scheme() == "https") {
            return Err(
                HttpError::Tls { url: shown, cause, source: format!("the server answered HTTP {status}").into() }.into()
            );
        }
        let said = ServerMessage::of(&body);
        Err(match status {
            404 | 410 => HttpError::NotFound { url: shown, status, said }.into(),
            401 if logged_in => HttpError::Refused { url: shown, said }.into(),
            401 => HttpError::Unauthorized { url: shown, said, challenge: challenge(&headers) }.into(),
            403 | 429 if is_limited(&headers) => {
                HttpError::RateLimit { url: shown, status, until: limited_until(&headers) }.into()
            }
            403 => HttpError::Forbidden { url: shown, logged_in, said }.into(),
            status if is_transient(status) => {
                AttemptError::Retry { error: HttpError::Status { url: shown, status, said }, after: retry_after(&headers) }
            }
            _ => HttpError::Status { url: shown, status, said }.into(),
        })
    }

    /// The time that is left for the whole, where it is shorter than the patience with silence: a request's own timeout counts
    /// for all of it and takes the place of the client's, which counts from byte to byte.
    fn remaining(&self) -> Option<Duration> {
        let remaining = self.deadline?.saturating_duration_since(Instant::now());
        (remaining < self.options.http.idle_timeout).then_some(remaining)
    }

    /// Refuses to go on where the time for the whole is over.
    fn check_deadline(&self, url: &Url) -> Result<(), HttpError> {
        match self.deadline {
            Some(deadline) if Instant::now() >= deadline => Err(self.timed_out(url)),
            _ => Ok(()),
        }
    }

    fn timed_out(&self, url: &Url) -> HttpError {
        HttpError::Timeout { url: shown(url), seconds: whole_seconds(self.options.total_timeout().unwrap_or_default()) }
    }

    /// Silence, for one step or for the whole.
    fn silent(&self, url: &Url) -> HttpError {
        match self.check_deadline(url) {
            Err(timeout) => timeout,
            Ok(()) => HttpError::Idle { url: shown(url), seconds: whole_seconds(self.options.http.idle_timeout) },
        }
    }

    /// What a request that got no answer died of.
    fn failed_request(&self, error: reqwest::Error, url: &Url) -> AttemptError<HttpError> {
        let error = error.without_url();
        let shown = shown(url);
        if error.is_connect() && error.is_timeout() {
            let seconds = whole_seconds(self.options.http.connect_timeout);
            return HttpError::ConnectTimeout { url: shown, seconds }.into();
        }
        if error.is_timeout() {
            return self.silent(url).into();
        }
        match tls_error(&error) {
            // What a server that speaks plain http answers to a greeting in TLS.
            Some(rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType)) => {
                return HttpError::NotTls { url: shown, source: error.into() }.into();
            }
            Some(failed) => {
                let cause = TlsCause::of(failed, self.options);
                return HttpError::Tls { url: shown, cause, source: error.into() }.into();
            }
            None => {}
        }
        if error.is_connect() {
            return HttpError::Unreachable { url: shown, source: error.into() }.into();
        }
        if error.is_builder() {
            return HttpError::Client { source: error.into() }.into();
        }
        AttemptError::Retry { error: HttpError::Broken { url: shown, source: error.into() }, after: None }
    }

    /// What a body that did not end well died of.
    fn broken_body(&self, error: std::io::Error, url: &Url) -> AttemptError<HttpError> {
        let timed_out = error.kind() == std::io::ErrorKind::TimedOut
            || error.get_ref().and_then(|e| e.downcast_ref::<reqwest::Error>()).is_some_and(reqwest::Error::is_timeout);
        if timed_out {
            return self.silent(url).into();
        }
        AttemptError::Retry { error: HttpError::Broken { url: shown(url), source: error.into() }, after: None }
    }
}

/// How the body of an answer from `url` was packed on the way.
fn packed(url: &Url, headers: &HeaderMap) -> Result<ContentCoding, HttpError> {
    ContentCoding::of(headers).map_err(|coding| HttpError::Coding { url: shown(url), coding })
}

/// Whether reading failed since the connection did, and not what came over it.
fn is_of_the_connection(error: &std::io::Error) -> bool {
    error.get_ref().is_some_and(|within| within.is::<reqwest::Error>()) || error.kind() == std::io::ErrorKind::TimedOut
}

/// Where an answer from `from` with these headers sends us, if we may go there.
fn redirect_target(from: &Url, headers: &HeaderMap) -> Result<Url, HttpError> {
    let refuse = |reason: String| HttpError::BadRedirect { url: shown(from), reason };
    let location = headers.get(LOCATION).ok_or_else(|| refuse("the answer names no location".to_owned()))?;
    let location = std::str::from_utf8(location.as_bytes()).map_err(|_| refuse("the location is not UTF-8".to_owned()))?;
    let mut to = from.join(location).map_err(|e| refuse(e.to_string()))?;
    // Credentials that a server makes up for another server are nobody's.
    let _ = to.set_username("");
    let _ = to.set_password(None);
    match (from.scheme(), to.scheme()) {
        ("https", "http") => Err(HttpError::Downgrade { from: shown(from), to: shown(&to) }),
        (_, "http" | "https") => Ok(to),
        (_, other) => Err(refuse(format!("`{}` is neither http nor https", crate::text::sanitized(other)))),
    }
}

/// All that the server says about how it wants to be asked.
fn challenge(headers: &HeaderMap) -> String {
    let values: Vec<&str> = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok()).collect();
    values.join(", ")
}

/// What `Retry-After` asks for: seconds, or a date (RFC 9110, section 10.2.3).
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    Some(Duration::try_from(date.duration_since(jiff::Timestamp::now())).unwrap_or_default())
}

/// Whether a server says that we have asked for more than our share. One that says how soon to come back is asked again then.
fn is_limited(headers: &HeaderMap) -> bool {
    let remaining = headers.get("x-ratelimit-remaining").and_then(|value| value.to_str().ok());
    remaining.is_some_and(|remaining| remaining.trim() == "0") && !headers.contains_key(RETRY_AFTER)
}

/// When the server will answer again, as ISO 8601.
fn limited_until(headers: &HeaderMap) -> Option<String> {
    let seconds = headers.get("x-ratelimit-reset")?.to_str().ok()?.trim().parse().ok()?;
    jiff::Timestamp::from_second(seconds).ok().map(|until| until.to_string())
}

/// A header's text, where it is text.
pub(in crate::intake::source) fn header(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// The target of `<...>; rel="next"`.
pub(in crate::intake::source) fn next_page(base: &Url, link: &str) -> Option<Url> {
    let (target, rest) = link.trim().strip_prefix('<')?.split_once('>')?;
    if !rest.contains("rel=\"next\"") && !rest.contains("rel=next") {
        return None;
    }
    base.join(target).ok()
}

/// Whether TLS is what failed: the certificate, the protocol, a handshake that the other side refused.
fn tls_error(error: &reqwest::Error) -> Option<&rustls::Error> {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        // An I/O error hides what it wraps from `source`, which skips to the cause of that.
        next = match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            Some(within) => Some(within),
            None => error.source(),
        };
    }
    None
}

/// Whole seconds, rounded up: `0 seconds` would puzzle.
fn whole_seconds(duration: Duration) -> u64 {
    duration.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX)
}

/// A number from 0 up to 1. The standard library's hash keys are random enough for a pause.
fn random() -> f64 {
    (RandomState::new().hash_one(0) >> 11) as f64 / (1_u64 << 53) as f64
}

/// Part of [`crate::intake::source::read_foreign`].
pub(super) fn read_foreign(text: &str) {
    netrc::read_foreign(text);
    download::read_foreign(text);
}

#[cfg(test)]
mod tests;
