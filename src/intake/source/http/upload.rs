//! What a registry is told: questions without a body, small documents, and files that are streamed from disk.
//!
//! A request that changes something follows no redirect: only the answer to an upload's first request says where the rest goes.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use reqwest::blocking::Body;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, LOCATION};
use reqwest::{Method, StatusCode};
use url::Url;

use super::{AttemptError, Client, FinalResponse, HttpError, ServerMessage, redirect_target};
use crate::intake::source::weburl::{WebUrl, shown};

/// No upload is slower: one that is stands still.
const BYTES_PER_SECOND: u64 = 16 << 10;

/// What is uploaded.
#[derive(Debug, Clone, Copy)]
pub(in crate::intake::source) enum UploadContent<'a> {
    /// A file of so many bytes.
    File(&'a Path, u64),
    /// Something small.
    Bytes(&'a [u8]),
}

impl UploadContent<'_> {
    /// How many bytes it has.
    fn size(self) -> u64 {
        match self {
            Self::File(_, size) => size,
            Self::Bytes(bytes) => bytes.len() as u64,
        }
    }

    /// Its bytes, from the beginning.
    fn body(self) -> Result<Body, HttpError> {
        match self {
            Self::File(path, size) => {
                let file = File::open(path).map_err(|source| HttpError::Upload { path: path.to_owned(), source })?;
                Ok(Body::sized(file, size))
            }
            Self::Bytes(bytes) => Ok(Body::from(bytes.to_vec())),
        }
    }
}

impl Client<'_> {
    /// Whether something is at `url`.
    pub(in crate::intake::source) fn is_there(&self, url: &WebUrl) -> Result<bool, HttpError> {
        let asked = self.retrying(url, || self.follow(&Method::HEAD, url.url(), &HeaderMap::new()).map(drop));
        match asked {
            Ok(()) => Ok(true),
            Err(HttpError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Puts `bytes` at `url`, and gives the headers of the answer.
    pub(in crate::intake::source) fn put(
        &self,
        url: &WebUrl,
        content_type: &str,
        bytes: &[u8],
    ) -> Result<HeaderMap, HttpError> {
        self.retrying(url, || {
            let answer = self.send(&Method::PUT, url.url(), Some((content_type, UploadContent::Bytes(bytes))))?;
            Ok(answer.response.headers().clone())
        })
    }

    /// Uploads `content` as the blob `digest`: `start` is where uploads begin. A broken one begins anew.
    pub(in crate::intake::source) fn upload(
        &self,
        start: &WebUrl,
        digest: &str,
        content: UploadContent<'_>,
    ) -> Result<(), HttpError> {
        self.retrying(start, || {
            let begun = self.send(&Method::POST, start.url(), None)?;
            if begun.response.status() != StatusCode::ACCEPTED || !begun.response.headers().contains_key(LOCATION) {
                let status = begun.response.status().as_u16();
                return Err(HttpError::Status { url: shown(&begun.url), status, said: ServerMessage::default() }.into());
            }
            let mut place = redirect_target(&begun.url, begun.response.headers())?;
            place.query_pairs_mut().append_pair("digest", digest);
            self.send(&Method::PUT, &place, Some(("application/octet-stream", content))).map(drop)
        })
    }

    /// Sends one request, with its content type and content where it has any.
    fn send(
        &self,
        method: &Method,
        url: &Url,
        content: Option<(&str, UploadContent<'_>)>,
    ) -> Result<FinalResponse, AttemptError<HttpError>> {
        self.check_deadline(url)?;
        let (request, logged_in) = self.prepare(method.clone(), url)?;
        let request = match content {
            Some((content_type, content)) => {
                // The time for a request counts for all of it: the silence that is borne between bytes must not end an upload.
                let patience = self.options.http.idle_timeout + Duration::from_secs(content.size() / BYTES_PER_SECOND);
                let left = self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
                let patience = left.map_or(patience, |left| left.min(patience));
                request.header(CONTENT_TYPE, content_type).timeout(patience).body(content.body()?)
            }
            None => request.header(CONTENT_LENGTH, 0),
        };
        let response = self.transmit(request, method.as_str(), url)?;
        self.judge(FinalResponse { response, url: url.clone() }, logged_in, false)
    }
}
