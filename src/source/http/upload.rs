//! What a registry is told: questions without a body, small documents, and files that are streamed from disk.
//!
//! A request that changes something follows no redirect: only the answer to an upload's first request says where the rest goes.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use reqwest::blocking::Body;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION};
use reqwest::{Method, StatusCode};
use url::Url;

use super::{Answer, Client, HttpError, Trouble, moved};
use crate::source::weburl::{WebUrl, shown};

/// No upload is slower: one that is stands still.
const BYTES_PER_SECOND: u64 = 16 << 10;

impl Client<'_> {
    /// Whether something is at `url`.
    pub(in crate::source) fn is_there(&self, url: &WebUrl) -> Result<bool, HttpError> {
        let asked = self.retrying(url, || self.follow(Method::HEAD, url.url(), &HeaderMap::new()).map(drop));
        match asked {
            Ok(()) => Ok(true),
            Err(HttpError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Puts `bytes` at `url`, and gives the headers of the answer.
    pub(in crate::source) fn put(&self, url: &WebUrl, content_type: &str, bytes: &[u8]) -> Result<HeaderMap, HttpError> {
        self.retrying(url, || {
            let body = Some((content_type, Body::from(bytes.to_vec()), bytes.len() as u64));
            self.send(Method::PUT, url.url(), body).map(|answer| answer.response.headers().clone())
        })
    }

    /// Uploads the file at `path`, of `size` bytes, as the blob `digest`: `start` is where uploads begin. A broken one begins
    /// anew.
    pub(in crate::source) fn upload(&self, start: &WebUrl, digest: &str, path: &Path, size: u64) -> Result<(), HttpError> {
        self.retrying(start, || {
            let begun = self.send(Method::POST, start.url(), None)?;
            if begun.response.status() != StatusCode::ACCEPTED || !begun.response.headers().contains_key(LOCATION) {
                let status = begun.response.status().as_u16();
                return Err(HttpError::Status { url: shown(&begun.url), status }.into());
            }
            let mut place = moved(&begun.url, begun.response.headers())?;
            place.query_pairs_mut().append_pair("digest", digest);
            let unreadable = |source| HttpError::Upload { path: path.to_owned(), source };
            let file = File::open(path).map_err(unreadable)?;
            let body = Body::sized(file, size);
            self.send(Method::PUT, &place, Some(("application/octet-stream", body, size))).map(drop)
        })
    }

    /// Sends one request, with its content type, body and size where it has any.
    fn send(&self, method: Method, url: &Url, body: Option<(&str, Body, u64)>) -> Result<Answer, Trouble<HttpError>> {
        self.in_time(url)?;
        let (request, logged_in) = self.prepare(method, url)?;
        let request = match body {
            Some((content_type, body, size)) => {
                let content_type =
                    HeaderValue::from_str(content_type).map_err(|e| HttpError::Client { source: e.into() })?;
                // The time for a request counts for all of it: the silence that is borne between bytes must not end an upload.
                let patience = self.options.http.idle_timeout + Duration::from_secs(size / BYTES_PER_SECOND);
                let left = self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
                let patience = left.map_or(patience, |left| left.min(patience));
                request.header(CONTENT_TYPE, content_type).timeout(patience).body(body)
            }
            None => request.header(CONTENT_LENGTH, 0),
        };
        let response = request.send().map_err(|e| self.failed_request(e, url))?;
        self.judge(Answer { response, url: url.clone() }, logged_in, false)
    }
}
