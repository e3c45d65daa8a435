//! A package behind a scheme that a getter plugin serves, and the provenance that the same getter fetches.
//!
//! Plugins are none of this room's business: the caller downloads, into the writer that it is given here.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::SourceError;
use super::grammar::{GetterUrl, Source};
use super::options::{Credentials, FetchOptions, Secret};
use super::spool::{SpoolFile, SpoolWriter};
use super::weburl::harmless_name;
use crate::intake::package::{FetchedPackage, PackageOrigin};
use crate::report::{Report, ReportEvent};
use crate::text::masked_source;

/// What a getter is asked for.
#[derive(Debug, Clone)]
pub struct GetterDownload {
    /// The URL, without user name and password: arguments of programs can be seen by everyone.
    pub url: String,
    /// Who asks.
    pub username: Option<String>,
    /// The password.
    pub password: Option<Secret>,
    /// The client's certificate, absolute: a getter works in a directory of its own.
    pub cert_file: Option<PathBuf>,
    /// The key of that, absolute.
    pub key_file: Option<PathBuf>,
    /// Certificates of authorities to trust, absolute.
    pub ca_file: Option<PathBuf>,
    /// How many bytes may come.
    pub max_bytes: u64,
    /// How long it may take.
    pub timeout: Option<Duration>,
    /// Whether it is the provenance that is asked for, and not the package.
    pub is_provenance: bool,
}

impl GetterDownload {
    /// The URL as it may be shown.
    pub fn shown(&self) -> String {
        masked_source(&self.url)
    }
}

/// Fetches the package at the URL of a getter plugin into `spool`, then its provenance where one is wanted. `download` lets
/// the plugin write what is asked for into the writer.
///
/// # Errors
/// As [`super::fetch`], and whatever `download` gives: a provenance that does not come is never taken for one that is not
/// there, since a getter cannot tell the two apart.
pub fn fetch_by_getter<E: From<SourceError>>(
    source: &Source,
    url: &GetterUrl,
    options: &FetchOptions,
    spool: &Path,
    report: &dyn Report,
    mut download: impl FnMut(&GetterDownload, &mut dyn Write) -> Result<(), E>,
) -> Result<FetchedPackage, E> {
    options.check(source)?;
    let mut request = request(url, options);
    let file_name = harmless_name(last_part(&request.url));

    let mut file = SpoolWriter::new(SpoolFile::create(spool)?, report);
    let what = format!("downloading {file_name}");
    report.event(ReportEvent::Started { what: &what, total: None });
    let outcome = download(&request, &mut file);
    report.event(ReportEvent::Finished);
    outcome?;
    let (path, digest, size) = file.finish()?;

    let mut fetched = FetchedPackage::new(path, file_name, digest, size);
    let resolved = std::mem::take(&mut request.url);
    request.url = provenance_of(&resolved);
    fetched.provenance_at = request.shown();
    fetched.origin = PackageOrigin { asked: source.asked(), resolved, ..PackageOrigin::default() };
    if options.wanted.provenance() {
        request.is_provenance = true;
        request.max_bytes = options.limits.provenance_bytes;
        let mut bytes = Vec::new();
        download(&request, &mut bytes)?;
        fetched.provenance = Some(bytes);
    }
    Ok(fetched)
}

/// The request for the package.
fn request(url: &GetterUrl, options: &FetchOptions) -> GetterDownload {
    let (bare, own) = url.split();
    let credentials = match &options.username {
        Some(username) => {
            let password = options.password.clone().unwrap_or_default();
            Some(Credentials { username: username.clone(), password })
        }
        None => own,
    };
    let absolute = |path: &Option<PathBuf>| path.as_ref().map(|path| std::path::absolute(path).unwrap_or(path.clone()));
    let (username, password) = credentials.map(|own| (own.username, own.password)).unzip();
    GetterDownload {
        url: bare,
        username,
        password,
        cert_file: absolute(&options.cert_file),
        key_file: absolute(&options.key_file),
        ca_file: absolute(&options.ca_file),
        max_bytes: options.http.max_bytes,
        timeout: options.total_timeout(),
        is_provenance: false,
    }
}

/// Where the path of a URL ends: at its query or fragment, letter for letter, since only its getter knows what it means.
fn path_end(url: &str) -> usize {
    url.find(['?', '#']).unwrap_or(url.len())
}

/// The URL with `.prov` at the end of its path, before the query.
fn provenance_of(url: &str) -> String {
    let (path, query) = url.split_at(path_end(url));
    format!("{}.prov{query}", path.trim_end_matches('/'))
}

/// The last part of a URL's path, or nothing.
fn last_part(url: &str) -> &str {
    let (path, _) = url.split_at(path_end(url));
    let path = path.split_once("://").map_or(path, |(_, rest)| rest);
    match path.trim_end_matches('/').rsplit_once('/') {
        Some((_, last)) => last,
        None => path.trim_end_matches('/'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Sha256Digest;
    use crate::intake::source::{SourceContext, Wanted};
    use crate::report::NoReport;

    fn source(argument: &str) -> Source {
        let known = SourceContext { getters: [("s3".to_owned(), "aws".to_owned())].into(), ..SourceContext::default() };
        Source::parse(argument, &known).unwrap()
    }

    fn fetch(argument: &str, options: &FetchOptions) -> (FetchedPackage, Vec<GetterDownload>) {
        let spool = tempfile::tempdir().unwrap();
        let source = source(argument);
        let Source::Getter { url, .. } = &source else { panic!("{source:?}") };
        let mut seen = Vec::new();
        let fetched = fetch_by_getter(&source, url, options, spool.path(), &NoReport, |request, into| {
            seen.push(request.clone());
            into.write_all(if request.is_provenance { b"signed" } else { b"package" }).unwrap();
            Ok::<_, SourceError>(())
        });
        (fetched.unwrap(), seen)
    }

    #[test]
    fn f_the_same_getter_fetches_package_and_provenance() {
        let options = FetchOptions { ca_file: Some("ca.pem".into()), ..FetchOptions::default() };
        let (fetched, seen) = fetch("s3://ann:p%40w@bucket/a/foo-1.0.0.tgz?v=1#f", &options);
        assert_eq!(fetched.digest(), Sha256Digest::of(b"package"));
        assert_eq!((fetched.file_name(), fetched.provenance.as_deref()), ("foo-1.0.0.tgz", Some(&b"signed"[..])));
        assert_eq!(fetched.origin.asked, "s3://bucket/a/foo-1.0.0.tgz?v=1#f");
        let urls: Vec<_> = seen.iter().map(|request| request.url.as_str()).collect();
        assert_eq!(urls, ["s3://bucket/a/foo-1.0.0.tgz?v=1#f", "s3://bucket/a/foo-1.0.0.tgz.prov?v=1#f"]);
        for request in &seen {
            assert_eq!(request.username.as_deref(), Some("ann"));
            assert_eq!(request.password.as_ref().unwrap().expose(), "p@w");
            assert!(request.ca_file.as_ref().unwrap().is_absolute());
        }
        assert_eq!(fetched.provenance_at, "s3://bucket/a/foo-1.0.0.tgz.prov?***");
    }

    #[test]
    fn f_flags_win_over_the_url_and_nothing_is_asked_that_nobody_wants() {
        let options = FetchOptions {
            username: Some("bob".to_owned()),
            password: Some(Secret::new("x")),
            wanted: Wanted::package(),
            ..FetchOptions::default()
        };
        let (fetched, seen) = fetch("s3://ann@bucket", &options);
        assert_eq!((seen.len(), fetched.file_name(), fetched.provenance.is_none()), (1, "bucket", true));
        assert_eq!((seen[0].username.as_deref(), seen[0].url.as_str()), (Some("bob"), "s3://bucket"));
    }

    #[test]
    fn f_options_that_no_getter_can_be_told_are_refused() {
        let source = source("s3://bucket/foo.tgz");
        for options in [
            FetchOptions { plain_http: true, ..FetchOptions::default() },
            FetchOptions { insecure_skip_tls_verify: true, ..FetchOptions::default() },
            FetchOptions { version: Some("main".to_owned()), ..FetchOptions::default() },
        ] {
            assert!(matches!(options.check(&source), Err(SourceError::Option { .. })), "{options:?}");
        }
    }
}
