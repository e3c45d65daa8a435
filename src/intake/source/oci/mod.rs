//! Packages in OCI registries: the distribution specification, as much of it as a plugin needs to be pulled and pushed.
//!
//! A reference leads to a manifest, the manifest to the layer that is the package and the one that is its provenance. Each
//! step is checked against the digest and size that the step before it named, so that the manifest's digest stands for
//! everything. Who may see the registry's credentials is decided in [`auth`].

mod auth;
mod docker;
mod error;
mod manifest;
mod push;

use std::path::Path;

use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue, LINK};

pub use error::OciError;
pub use push::{Publication, Pushed, push};

use self::auth::Registry;
use self::manifest::{ArtifactManifest, Descriptor, Document};
use super::ResolvedVersion;
use super::error::SourceError;
use super::grammar::OciReference;
use super::http::{Body, Download, HttpError, header, next_page};
use super::options::FetchOptions;
use super::spool::SpoolFile;
use super::version::{Range, nearest, tag_version};
use super::weburl::WebUrl;
use crate::digest::Sha256Digest;
use crate::error::{Classified as _, ErrorKind};
use crate::intake::package::{FetchedPackage, PackageOrigin, Vouched};
use crate::manifest::platform::Platform;
use crate::report::Report;
use crate::text;

/// No manifest or list is larger; registries themselves stop at this size.
const DOCUMENT: u64 = 4 << 20;

/// Pages of a list of tags: with the usual thousand to a page, more tags than anybody has.
const PAGES: usize = 200;

/// Manifests and indexes that we read.
const ACCEPTED: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, \
                        application/vnd.docker.distribution.manifest.v2+json, \
                        application/vnd.docker.distribution.manifest.list.v2+json";

/// Pulls the package that `reference` and `options.version` name, and its provenance where one is wanted.
pub(super) fn fetch(
    reference: &OciReference,
    options: &FetchOptions,
    spool: &Path,
    report: &dyn Report,
) -> Result<FetchedPackage, SourceError> {
    let options = options.for_registry(&reference.registry);
    let mut registry = Registry::open(reference, &options, report)?;
    let found = find(&mut registry, reference, options.version.as_deref())?;
    let package = found.chosen.package(reference, found.tag.as_deref())?;

    let limit = options.http.max_bytes;
    if package.layer.size > limit {
        return Err(HttpError::TooLarge { url: registry.blob(&package.layer).to_string(), limit }.into());
    }
    let file = SpoolFile::create(spool)?;
    let url = registry.blob(&package.layer);
    let (path, digest, size) =
        match registry.download(&package.layer, &package.title, file).map_err(|error| package.layer.longer(&url, error))? {
            Download::Done { path, digest, size, .. } => (path, digest, size),
            Download::NotAPackage { content_type } => {
                return Err(SourceError::NotAnArchive { url: url.to_string(), content_type });
            }
        };
    package.layer.check(&url, digest, size)?;

    let at = found.digest;
    let mut fetched = FetchedPackage::new(path, package.title.clone(), digest, size);
    fetched.provenance_at = format!("layer `{}.prov` of {reference}", package.title);
    if let Some(layer) = package.provenance.filter(|_| options.wanted.provenance()) {
        fetched.provenance = Some(get_provenance(&mut registry, &layer, &options)?);
    }
    let bare = OciReference { tag: None, digest: Some(at), ..reference.clone() };
    fetched.origin = PackageOrigin {
        asked: reference.to_string(),
        resolved: OciReference { tag: found.tag, ..bare }.to_string(),
        revision: Some(format!("sha256:{at}")),
        ..PackageOrigin::default()
    };
    if reference.digest.is_some() {
        fetched.vouched = Vouched::ObjectId;
    }
    Ok(fetched)
}

/// What the reference and the version stand for now.
pub(super) fn resolve(
    reference: &OciReference,
    options: &FetchOptions,
    report: &dyn Report,
) -> Result<ResolvedVersion, SourceError> {
    let options = options.for_registry(&reference.registry);
    let mut registry = Registry::open(reference, &options, report)?;
    let found = find(&mut registry, reference, options.version.as_deref())?;
    let revision = Some(format!("sha256:{}", found.digest));
    Ok(ResolvedVersion { version: found.tag, revision, archive: None, exact: reference.digest.is_some() })
}

/// The manifest that a reference led to.
struct ResolvedManifest {
    /// The tag that was asked for, where one was; with `+` as users write it.
    tag: Option<String>,
    /// The digest of what the registry has under the tag: of the index, where it is one.
    digest: Sha256Digest,
    chosen: ArtifactManifest,
}

/// Finds the manifest for a reference and a version, for this platform.
fn find(
    registry: &mut Registry<'_>,
    reference: &OciReference,
    version: Option<&str>,
) -> Result<ResolvedManifest, SourceError> {
    let (tag, body) = match (&reference.digest, &reference.tag, version) {
        (Some(digest), tag, _) => (tag.clone(), manifest(registry, &format!("sha256:{digest}"))?),
        (None, Some(tag), _) => (Some(tag.clone()), tagged(registry, tag)?),
        (None, None, version) => {
            let (tag, body) = versioned(registry, version)?;
            (Some(tag), body)
        }
    };
    let digest = Sha256Digest::of(&body.bytes);
    if let Some(exact) = reference.digest.filter(|exact| *exact != digest) {
        let what = format!("the manifest of {reference}");
        return Err(OciError::Digest { what, expected: exact, actual: digest }.into());
    }
    let chosen = match read(registry, &body)? {
        Document::Manifest(chosen) => chosen,
        Document::Index(entries) => {
            let entry = manifest::for_platform(entries, &Platform::current(), &reference.to_string())?;
            let inner = manifest(registry, entry.digest()?.0)?;
            entry.check(
                &format!("the manifest of {reference} for this platform"),
                Sha256Digest::of(&inner.bytes),
                inner.bytes.len() as u64,
            )?;
            match read(registry, &inner)? {
                Document::Manifest(chosen) => chosen,
                Document::Index(_) => {
                    let reason = "an index in an index".to_owned();
                    return Err(OciError::Manifest { reference: reference.to_string(), reason }.into());
                }
            }
        }
    };
    Ok(ResolvedManifest { tag, digest, chosen })
}

fn read(registry: &Registry<'_>, body: &Body) -> Result<Document, OciError> {
    let content_type = header(&body.headers, CONTENT_TYPE).unwrap_or_default();
    Document::read(&body.bytes, content_type)
        .map_err(|reason| OciError::Manifest { reference: registry.shown(), reason: text::sanitized(&reason).into_owned() })
}

/// The manifest under a tag or digest.
fn manifest(registry: &mut Registry<'_>, name: &str) -> Result<Body, SourceError> {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static(ACCEPTED));
    registry.get(&registry.url(&format!("manifests/{name}")), &headers, DOCUMENT)
}

/// The manifest under the tag of a reference; an unknown one names the nearest known ones.
fn tagged(registry: &mut Registry<'_>, tag: &str) -> Result<Body, SourceError> {
    match manifest(registry, &registry_tag(tag)) {
        Err(error) if error.kind() == ErrorKind::NotFound => match tags(registry) {
            Ok(known) => Err(unknown(registry, tag, &known)),
            Err(missing @ SourceError::Oci(OciError::NoRepository { .. })) => Err(missing),
            Err(_) => Err(error),
        },
        other => other,
    }
}

/// The tag that a version stands for, and its manifest: the tag itself where there is one, else the highest that fits the
/// range; without a version the highest release, else `latest`.
fn versioned(registry: &mut Registry<'_>, version: Option<&str>) -> Result<(String, Body), SourceError> {
    if let Some(version) = version.filter(|version| super::grammar::is_tag(version)) {
        match manifest(registry, &registry_tag(version)) {
            Ok(body) => return Ok((version.to_owned(), body)),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    let known = tags(registry)?;
    let range = version.map(Range::parse).transpose();
    let fits = |version: &semver::Version| match &range {
        Ok(Some(range)) => range.matches(version),
        Ok(None) => version.pre.is_empty(),
        Err(_) => false,
    };
    let mut versions: Vec<_> = known.iter().filter_map(|tag| Some((tag_version(tag)?, tag))).collect();
    versions.sort();
    let highest = versions.into_iter().rev().find(|(version, _)| fits(version)).map(|(_, tag)| tag);
    let latest = || known.iter().find(|tag| version.is_none() && *tag == "latest");
    match highest.or_else(latest) {
        Some(tag) => Ok((tag.clone(), manifest(registry, &registry_tag(tag))?)),
        None => Err(unknown(registry, version.unwrap_or("a release"), &known)),
    }
}

fn unknown(registry: &Registry<'_>, version: &str, known: &[String]) -> SourceError {
    let nearest = nearest(version, known.iter().map(String::as_str));
    OciError::UnknownVersion { reference: registry.shown(), version: text::sanitized(version).into_owned(), nearest }.into()
}

/// A tag as registries store it: they know no `+`.
fn registry_tag(tag: &str) -> String {
    tag.replace('+', "_")
}

/// All tags of the repository, with `+` where a `_` of a version stands for one.
fn tags(registry: &mut Registry<'_>) -> Result<Vec<String>, SourceError> {
    #[derive(serde::Deserialize)]
    struct Tags {
        tags: Option<Vec<String>>,
    }
    let mut all = Vec::new();
    let mut page = registry.url("tags/list?n=1000");
    for _ in 0..PAGES {
        let body = registry.get(&page, &HeaderMap::new(), DOCUMENT).map_err(|error| match error {
            error if error.kind() == ErrorKind::NotFound => OciError::NoRepository { reference: registry.shown() }.into(),
            error => error,
        })?;
        let tags: Tags = serde_json::from_slice(&body.bytes).map_err(|e| OciError::Manifest {
            reference: registry.shown(),
            reason: format!("its list of tags is no JSON: {e}"),
        })?;
        let readable = tags.tags.unwrap_or_default().into_iter().filter(|tag| super::grammar::is_tag(tag));
        all.extend(readable.map(|tag| {
            let written = tag.replace('_', "+");
            if tag_version(&written).is_some() { written } else { tag }
        }));
        // The next page is the registry's own, or there is none: a list is no reason to go elsewhere.
        let next = header(&body.headers, LINK).and_then(|link| next_page(page.url(), link));
        match next.filter(|next| next.origin() == page.url().origin()) {
            Some(next) => page = WebUrl::new(next),
            None => return Ok(all),
        }
    }
    Err(OciError::Manifest { reference: registry.shown(), reason: "its list of tags has no end".to_owned() }.into())
}

/// The provenance's bytes. The manifest says that there is one, so not having it is never taken for its absence.
fn get_provenance(registry: &mut Registry<'_>, layer: &Descriptor, options: &FetchOptions) -> Result<Vec<u8>, SourceError> {
    layer.digest()?;
    let url = registry.blob(layer);
    let at = url.to_string();
    let limit = options.limits.provenance_bytes;
    if layer.size > limit {
        return Err(SourceError::ProvenanceTooLarge { at, limit });
    }
    let bytes = match registry.get(&url, &HeaderMap::new(), layer.size) {
        Ok(body) => body.bytes,
        Err(error) => match layer.longer(&url, error) {
            SourceError::Http(error) => return Err(SourceError::provenance(at, error)),
            other => return Err(other),
        },
    };
    layer.check(&url, Sha256Digest::of(&bytes), bytes.len() as u64)?;
    Ok(bytes)
}

/// Part of [`crate::intake::source::read_foreign`].
pub(super) fn read_foreign(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let _ = manifest::Document::read(data, "application/vnd.oci.image.manifest.v1+json");
    let _ = OciReference::parse(&text);
    auth::read_foreign(&text);
    docker::read_foreign(data);
}

#[cfg(test)]
mod tests;
