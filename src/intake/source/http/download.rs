//! A download into the spool: hashed while it comes, and continued where a connection broke, as long as the server shows by a
//! validator that it is still the same file (RFC 9110, sections 13.1.5 and 15.3.7).

use std::io::{self, Read};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use reqwest::header::{
    CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH,
    IF_RANGE, LAST_MODIFIED, RANGE,
};

use super::coding::{ContentCoding, GZIP};
use super::{AttemptError, Client, FinalResponse, HttpError, SLACK, ServerMessage, header, packed};
use crate::digest::Sha256Digest;
use crate::intake::package::is_archive_name;
use crate::intake::source::error::SourceError;
use crate::intake::source::spool::{Block, SpoolFile};
use crate::intake::source::weburl::{WebUrl, shown};
use crate::report::ReportEvent;
use crate::text;

/// Content types that say gzip, or a gzip of a tarball.
const ARCHIVE_TYPES: [&str; 8] = [
    "application/gzip",
    "application/x-gzip",
    "application/x-gtar",
    "application/x-tgz",
    "application/x-tar+gzip",
    "application/tar+gzip",
    "application/x-compressed-tar",
    "application/x-gtar-compressed",
];

/// As many bytes are waited for to recognise a package by, so that something comes out where they are packed.
const RECOGNISED: usize = 1024;

/// How long a block may wait to be full.
const MOMENT: Duration = Duration::from_millis(100);

/// What a download came to.
pub(in crate::intake::source) enum Download {
    /// The whole file.
    Done {
        /// Where it lies.
        path: PathBuf,
        /// Its digest.
        digest: Sha256Digest,
        /// Its size.
        size: u64,
        /// The URL after all redirects, without user name and password.
        resolved: String,
        /// What tells this version of the file from another, to ask for a newer one by.
        validator: Option<String>,
    },
    /// Not a package, by its type and its first bytes; nothing was kept.
    NotAPackage {
        /// What the server calls it, safe to show.
        content_type: String,
    },
}

/// How far a download got, between attempts.
#[derive(Default)]
struct DownloadState {
    /// The file's name, for the report.
    name: String,
    /// How many bytes are allowed.
    limit: u64,
    /// The size that the server announced.
    total: Option<u64>,
    /// What tells this version of the file from another.
    validator: Option<HeaderValue>,
    /// The digest that it should have, where somebody says one.
    expected: Option<Sha256Digest>,
    /// How it is packed on the way.
    coding: ContentCoding,
    /// What the server calls it.
    content_type: String,
    /// What a later request can ask by whether it is still the same: also a weak tag, which will do for that.
    version: Option<String>,
    /// Whether the report knows that it began.
    reported: bool,
}

impl DownloadState {
    /// How many bytes may be sent: what cannot be packed grows a little by it.
    fn sent_limit(&self) -> u64 {
        match self.coding {
            ContentCoding::Identity => self.limit,
            ContentCoding::Gzip | ContentCoding::Deflate => self.limit.saturating_add(self.limit / 8).saturating_add(SLACK),
        }
    }

    /// Whether the file is packed by itself, as far as its name and type say.
    fn is_packed(&self) -> bool {
        let text = self.content_type.get(..5).is_some_and(|kind| kind.eq_ignore_ascii_case("text/"));
        let named = is_archive_name(&self.name) || self.name.to_ascii_lowercase().ends_with(".gz");
        is_archive_type(&self.content_type) || (named && !text)
    }
}

impl Client<'_> {
    /// Downloads `url` into `file`, `limit` bytes at most. Where `recognise` is set, what is no package by content type and first
    /// bytes is left alone. The `expected` digest, else the user's, says which bytes are meant where a server packs them on the way.
    pub(in crate::intake::source) fn download(
        &self,
        url: &WebUrl,
        name: &str,
        mut file: SpoolFile,
        limit: u64,
        recognise: bool,
        expected: Option<Sha256Digest>,
    ) -> Result<Download, SourceError> {
        let expected = expected.or(self.options.wanted.digest());
        let mut progress = DownloadState { name: name.to_owned(), limit, expected, ..DownloadState::default() };
        let outcome = self.retrying(url, || self.attempt(url, &mut file, &mut progress, recognise));
        if progress.reported {
            self.report.event(ReportEvent::Finished);
        }
        match outcome? {
            Err(content_type) => Ok(Download::NotAPackage { content_type }),
            Ok(resolved) => {
                let file = self.decode_transfer(url, file, &progress)?;
                let (path, digest, size) = file.finish()?;
                Ok(Download::Done { path, digest, size, resolved, validator: progress.version })
            }
        }
    }

    /// Whether the server says that `url` is still what bore `validator`. It is asked once, for the head alone; where it does not
    /// answer as it should, nothing is known, and a download will tell.
    pub(in crate::intake::source) fn is_unchanged(&self, url: &WebUrl, validator: &str) -> bool {
        let tag = validator.starts_with(['"', 'W']);
        let Ok(value) = HeaderValue::from_str(validator) else { return false };
        let name = if tag { IF_NONE_MATCH } else { IF_MODIFIED_SINCE };
        let headers = HeaderMap::from_iter([(name, value)]);
        let Ok(answer) = self.follow(&reqwest::Method::HEAD, url.url(), &headers) else { return false };
        match answer.response.status() {
            StatusCode::NOT_MODIFIED => true,
            // Some servers know their tags and not what they are for.
            StatusCode::OK => tag && version(answer.response.headers()).as_deref() == Some(validator),
            _ => false,
        }
    }

    /// One attempt: the rest of the file where a part is there and can be continued, else the whole. Gives the resolved URL,
    /// or the content type of what is no package.
    fn attempt(
        &self,
        url: &WebUrl,
        file: &mut SpoolFile,
        progress: &mut DownloadState,
        recognise: bool,
    ) -> Result<Result<String, String>, AttemptError<SourceError>> {
        let mut headers = HeaderMap::new();
        if let Some(validator) = progress.validator.as_ref().filter(|_| file.size() > 0) {
            let range = HeaderValue::from_str(&format!("bytes={}-", file.size()));
            headers.insert(RANGE, range.map_err(|_| again(url, "the range cannot be asked for"))?);
            headers.insert(IF_RANGE, validator.clone());
        }
        let answer = self.request(url.url(), &headers).map_err(AttemptError::map_into)?;
        let ranged = !headers.is_empty();
        match answer.response.status() {
            StatusCode::OK => {
                if file.size() > 0 {
                    file.restart().map_err(AttemptError::Fatal)?;
                }
                progress.total = length(answer.response.headers());
                progress.coding =
                    packed(&answer.url, answer.response.headers()).map_err(|e| AttemptError::Fatal(e.into()))?;
                progress.validator = validator(answer.response.headers());
                progress.version = version(answer.response.headers());
            }
            StatusCode::PARTIAL_CONTENT if ranged => {
                if let Err(reason) = continues(answer.response.headers(), file.size(), progress) {
                    return Err(self.start_again(url, file, progress, reason));
                }
            }
            StatusCode::RANGE_NOT_SATISFIABLE => {
                return Err(self.start_again(url, file, progress, "the rest of the file is not there any more"));
            }
            status => {
                let error =
                    HttpError::Status { url: shown(&answer.url), status: status.as_u16(), said: ServerMessage::default() };
                return Err(AttemptError::Fatal(error.into()));
            }
        }
        self.receive(url, answer, file, progress, recognise)
    }

    /// Takes the body of `answer`.
    fn receive(
        &self,
        url: &WebUrl,
        mut answer: FinalResponse,
        file: &mut SpoolFile,
        progress: &mut DownloadState,
        recognise: bool,
    ) -> Result<Result<String, String>, AttemptError<SourceError>> {
        let (limit, allowed) = (progress.sent_limit(), progress.limit);
        let too_large = || AttemptError::Fatal(HttpError::TooLarge { url: url.to_string(), limit: allowed }.into());
        if progress.total.is_some_and(|total| total > limit) {
            return Err(too_large());
        }
        progress.content_type = header(answer.response.headers(), CONTENT_TYPE).unwrap_or_default().to_owned();
        // What was recognised before a connection broke need not be recognised again.
        let mut unknown = recognise && file.size() == 0 && !is_archive_type(&progress.content_type);
        if !unknown {
            self.announce(progress);
        }
        loop {
            let mut block = file.block();
            let mut ended = fill(&mut answer.response, &mut block);
            if unknown {
                while block.used().len() < RECOGNISED && matches!(ended, Ok(false)) {
                    ended = fill(&mut answer.response, &mut block);
                }
                let head = progress.coding.head(block.used());
                if !head.starts_with(&GZIP) && !progress.coding.is_label_alone(&head, false) {
                    return match ended {
                        Err(e) => Err(self.broken_body(e, &answer.url).map_into()),
                        Ok(_) => Ok(Err(text::sanitized(&progress.content_type).into_owned())),
                    };
                }
                unknown = false;
                self.announce(progress);
            }
            if file.size() + block.used().len() as u64 > limit {
                return Err(too_large());
            }
            file.write(block).map_err(AttemptError::Fatal)?;
            self.report.event(ReportEvent::Advanced { done: file.size() });
            match ended {
                Ok(false) => self.check_deadline(&answer.url).map_err(|e| AttemptError::Fatal(e.into()))?,
                Ok(true) => break,
                Err(e) => {
                    let trouble = self.broken_body(e, &answer.url).map_into();
                    return Err(incomplete(trouble, url, file.size(), progress.total));
                }
            }
        }
        match progress.total {
            Some(expected) if expected > file.size() => {
                let error = HttpError::Short { url: url.to_string(), expected, got: file.size(), source: None };
                Err(AttemptError::Retry { error, after: None })
            }
            Some(expected) if expected < file.size() => {
                Err(self.start_again(url, file, progress, "more bytes came than were announced"))
            }
            _ => Ok(Ok(answer.url.into())),
        }
    }

    /// The file as its author meant it: what a server packed on the way is unpacked. It is done once all is there, so that a broken
    /// download goes on in the bytes that the server sends.
    fn decode_transfer(&self, url: &WebUrl, file: SpoolFile, progress: &DownloadState) -> Result<SpoolFile, SourceError> {
        let coding = progress.coding;
        if coding == ContentCoding::Identity {
            return Ok(file);
        }
        let as_sent = match progress.expected {
            Some(expected) => Sha256Digest::of_reader(file.reopen()?).is_ok_and(|(digest, _)| digest == expected),
            None => coding.is_label_alone(&coding.head(&file.reopen()?), progress.is_packed()),
        };
        if as_sent {
            return Ok(file);
        }
        let damaged = |e: io::Error| HttpError::Coding { url: url.to_string(), coding: format!("{coding:?}: {e}") };
        let mut body = coding.undo(file.reopen()?).map_err(damaged)?;
        let mut unpacked = file.replaced()?;
        loop {
            self.check_deadline(url.url())?;
            let mut block = unpacked.block();
            let ended = fill(&mut body, &mut block).map_err(damaged)?;
            if unpacked.size() + block.used().len() as u64 > progress.limit {
                return Err(HttpError::TooLarge { url: url.to_string(), limit: progress.limit }.into());
            }
            unpacked.write(block)?;
            if ended {
                return Ok(unpacked);
            }
        }
    }

    /// Tells the report, once, that bytes are coming.
    fn announce(&self, progress: &mut DownloadState) {
        if !progress.reported {
            progress.reported = true;
            let what = format!("downloading {}", text::Sanitized(&progress.name));
            self.report.event(ReportEvent::Started { what: &what, total: progress.total });
        }
    }

    /// Forgets what came so far.
    fn start_again(
        &self,
        url: &WebUrl,
        file: &mut SpoolFile,
        progress: &mut DownloadState,
        reason: &'static str,
    ) -> AttemptError<SourceError> {
        progress.total = None;
        progress.validator = None;
        progress.version = None;
        match file.restart() {
            Ok(()) => again(url, reason),
            Err(error) => AttemptError::Fatal(error),
        }
    }
}

/// Fills `block` for a moment, and says whether the body has ended. What came before an error is in the block. A slow body is
/// handed on in small pieces, so that progress is seen and the deadline is kept.
fn fill(body: &mut impl Read, block: &mut Block) -> io::Result<bool> {
    let started = Instant::now();
    while !block.free().is_empty() {
        match body.read(block.free()) {
            Ok(0) => return Ok(true),
            Ok(n) => block.advance(n),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
        if started.elapsed() > MOMENT {
            break;
        }
    }
    Ok(false)
}

fn again<E>(url: &WebUrl, reason: &'static str) -> AttemptError<E> {
    AttemptError::Retry { error: HttpError::Changed { url: url.to_string(), reason }, after: None }
}

/// A broken connection whose body had an announced length is a short body: says how short.
fn incomplete(trouble: AttemptError<SourceError>, url: &WebUrl, got: u64, total: Option<u64>) -> AttemptError<SourceError> {
    match (trouble, total) {
        (AttemptError::Retry { error: HttpError::Broken { source, .. }, after }, Some(expected)) => {
            let error = HttpError::Short { url: url.to_string(), expected, got, source: Some(source) };
            AttemptError::Retry { error, after }
        }
        (other, _) => other,
    }
}

/// Whether a partial answer goes on exactly where the part that is there ends, in the same file.
fn continues(headers: &HeaderMap, have: u64, progress: &DownloadState) -> Result<(), &'static str> {
    if ContentCoding::of(headers) != Ok(progress.coding) {
        return Err("it is packed in another way now");
    }
    let range = header(headers, CONTENT_RANGE).and_then(content_range).ok_or("a part came without saying which")?;
    let (start, end, total) = range;
    if start != have || end < start {
        return Err("another part came than was asked for");
    }
    if total.is_some_and(|total| end >= total) || (total.is_some() && progress.total.is_some() && total != progress.total) {
        return Err("its size is another one now");
    }
    let etag = headers.get(ETAG);
    if etag.is_some() && progress.validator.as_ref().is_some_and(|own| is_etag(own) && Some(own) != etag) {
        return Err("its version is another one now");
    }
    Ok(())
}

/// `bytes start-end/total`, where the total may be unknown.
fn content_range(text: &str) -> Option<(u64, u64, Option<u64>)> {
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (start, end) = range.split_once('-')?;
    let total = if total == "*" { None } else { Some(total.parse().ok()?) };
    Some((start.parse().ok()?, end.parse().ok()?, total))
}

fn length(headers: &HeaderMap) -> Option<u64> {
    header(headers, CONTENT_LENGTH)?.parse().ok()
}

/// A strong entity tag, else a date: a weak tag does not promise the same bytes.
fn validator(headers: &HeaderMap) -> Option<HeaderValue> {
    headers.get(ETAG).filter(|etag| is_etag(etag)).or_else(|| headers.get(LAST_MODIFIED)).cloned()
}

/// The entity tag, weak or strong, else the date; of characters and a length that can be kept.
fn version(headers: &HeaderMap) -> Option<String> {
    let text = |name: HeaderName| header(headers, name).filter(|text| (1..=256).contains(&text.len()));
    let tag = text(ETAG).filter(|tag| tag.trim_start_matches("W/").starts_with('"'));
    let date = || text(LAST_MODIFIED).filter(|date| jiff::fmt::rfc2822::parse(date).is_ok());
    tag.or_else(date).map(str::to_owned)
}

fn is_etag(value: &HeaderValue) -> bool {
    value.as_bytes().starts_with(b"\"")
}

fn is_archive_type(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    ARCHIVE_TYPES.iter().any(|known| known.eq_ignore_ascii_case(essence))
}

/// Part of [`crate::intake::source::read_foreign`].
pub(super) fn read_foreign(text: &str) {
    let _ = content_range(text);
}
