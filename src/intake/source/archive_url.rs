//! A package on a web server, and the provenance beside it.

use std::path::Path;

use super::error::SourceError;
use super::grammar::Source;
use super::http::{Client, Download, HttpError};
use super::options::FetchOptions;
use super::spool::SpoolFile;
use super::weburl::WebUrl;
use crate::intake::package::{FetchedPackage, PackageOrigin};
use crate::report::Report;

/// Downloads the package at `url`, then its provenance where one is wanted.
pub(super) fn fetch(
    source: &Source,
    url: &WebUrl,
    options: &FetchOptions,
    spool: &Path,
    report: &dyn Report,
) -> Result<FetchedPackage, SourceError> {
    let client = Client::new(url, options, report)?;
    let file = SpoolFile::create(spool)?;
    let (path, digest, size, resolved, validator) = match client.download(
        url,
        &url.file_name(),
        file,
        options.http.max_bytes,
        matches!(source, Source::Web(_)),
        None,
    )? {
        Download::Done { path, digest, size, resolved, validator } => (path, digest, size, resolved, validator),
        Download::NotAPackage { content_type } => {
            return Err(SourceError::NotAnArchive { url: url.to_string(), content_type });
        }
    };
    let mut fetched = FetchedPackage::new(path, url.file_name(), digest, size);
    let provenance = url.with_path_suffix(".prov");
    if options.wanted.provenance() {
        fetched.provenance = get_provenance(&client, &provenance, options.limits.provenance_bytes)?;
    }
    fetched.provenance_at = provenance.to_string();
    fetched.origin = PackageOrigin { asked: source.asked(), resolved, validator, ..PackageOrigin::default() };
    Ok(fetched)
}

/// The provenance at `url`; `None` only where the server says that there is none.
fn get_provenance(client: &Client<'_>, url: &WebUrl, limit: u64) -> Result<Option<Vec<u8>>, SourceError> {
    match client.get(url, limit) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(HttpError::NotFound { .. }) => Ok(None),
        Err(error) => Err(SourceError::provenance(url.to_string(), error)),
    }
}
