//! The push half: a package and its provenance as one artifact, written so that Helm pulls it.
//!
//! The manifest holds nothing that changes from one push to the next, so that the same package always has the same digest, and
//! pushing it twice changes nothing.

use std::path::Path;

use reqwest::header::{ACCEPT, HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;

use super::auth::Registry;
use super::manifest::{PLUGIN, TITLE};
use super::{ACCEPTED, DOCUMENT, OciError, registry_tag};
use crate::digest::Sha256Digest;
use crate::error::{Classified as _, ErrorKind};
use crate::intake::source::error::SourceError;
use crate::intake::source::grammar::{OciReference, Source, is_repository_part, is_tag};
use crate::intake::source::http::UploadContent;
use crate::intake::source::options::FetchOptions;
use crate::report::{Report, ReportEvent};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// Helm pulls layers of this type and of the next, and no others.
const PACKAGE: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const PROVENANCE: &str = "application/vnd.oci.image.layer.v1.tar";

/// The configuration of an artifact that needs none (image specification, "guidance for an empty descriptor").
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
const EMPTY_BYTES: &[u8] = b"{}";

/// What is published: a package that could be installed, and what its manifest says.
#[derive(Debug, Clone, Copy)]
pub struct Publication<'a> {
    /// The package's file.
    pub file: &'a Path,
    /// Its digest.
    pub digest: Sha256Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Its provenance, where it has one.
    pub provenance: Option<&'a [u8]>,
    /// The plugin's name.
    pub name: &'a str,
    /// Its version.
    pub version: &'a semver::Version,
    /// One line about it, or nothing.
    pub description: &'a str,
    /// Where its source is.
    pub source_url: Option<&'a str>,
    /// Whether it takes the place of another artifact under its tag.
    pub replaces: bool,
}

/// What was published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// Where, with the tag.
    pub reference: OciReference,
    /// The digest of the manifest, by which it can be pinned.
    pub digest: Sha256Digest,
    /// Whether it was there already, so that nothing was written.
    pub already_there: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest<'a> {
    schema_version: u32,
    media_type: &'static str,
    artifact_type: &'static str,
    config: Layer<'a>,
    layers: Vec<Layer<'a>>,
    annotations: Annotations<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Layer<'a> {
    media_type: &'static str,
    digest: String,
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    annotations: Option<Annotations<'a>>,
}

/// Annotations; the map sorts them.
type Annotations<'a> = std::collections::BTreeMap<&'static str, &'a str>;

/// Writes `publication` to `reference`, in a repository that bears the plugin's name, under a tag that is its version.
///
/// # Errors
/// The reference has another tag or a digest, something else is under the tag, the registry cannot be reached, refuses, or fails. The tag is written last: where
/// something fails before, nobody sees the artifact.
pub fn push(
    reference: &OciReference,
    publication: &Publication<'_>,
    options: &FetchOptions,
    report: &dyn Report,
) -> Result<Pushed, SourceError> {
    let target = target(reference, publication)?;
    options.check(&Source::Oci(OciReference { tag: None, ..target.clone() }))?;
    let options = options.for_registry(&target.registry);
    let mut registry = Registry::open(&target, &options, report)?.for_writing();

    let title = format!("{}-{}.tgz", publication.name, publication.version);
    let (bytes, digest) = manifest(publication, &title)?;
    let tag = registry_tag(target.tag.as_deref().unwrap_or_default());
    let at = registry.url(&format!("manifests/{tag}"));
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static(ACCEPTED));
    match registry.get(&at, &headers, DOCUMENT) {
        Ok(body) if Sha256Digest::of(&body.bytes) == digest => {
            return Ok(Pushed { reference: target, digest, already_there: true });
        }
        Ok(body) => {
            let found = Sha256Digest::of(&body.bytes);
            if !publication.replaces {
                return Err(OciError::Taken { reference: target.to_string(), found }.into());
            }
            report.warning(&format!("{target} held another artifact, sha256:{found}; it is replaced"));
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }

    upload(&mut registry, Sha256Digest::of(EMPTY_BYTES), UploadContent::Bytes(EMPTY_BYTES))?;
    let what = format!("uploading {title}");
    report.event(ReportEvent::Started { what: &what, total: Some(publication.size) });
    let uploaded = upload(&mut registry, publication.digest, UploadContent::File(publication.file, publication.size));
    report.event(ReportEvent::Finished);
    uploaded?;
    if let Some(provenance) = publication.provenance {
        upload(&mut registry, Sha256Digest::of(provenance), UploadContent::Bytes(provenance))?;
    }
    let answer = registry.ask(|client| client.put(&at, MANIFEST, &bytes))?;
    let stated = answer.get(HeaderName::from_static("docker-content-digest")).and_then(|value| value.to_str().ok());
    if let Some(actual) = stated.and_then(|stated| stated.strip_prefix("sha256:")?.parse().ok())
        && actual != digest
    {
        return Err(
            OciError::Digest { what: format!("what the registry keeps as {target}"), expected: digest, actual }.into()
        );
    }
    Ok(Pushed { reference: target, digest, already_there: false })
}

/// Uploads a blob, where the registry does not have it yet.
fn upload(registry: &mut Registry<'_>, digest: Sha256Digest, content: UploadContent<'_>) -> Result<(), SourceError> {
    let digest = format!("sha256:{digest}");
    let blob = registry.url(&format!("blobs/{digest}"));
    if registry.ask(|client| client.is_there(&blob))? {
        return Ok(());
    }
    let start = registry.url("blobs/uploads/");
    registry.ask(|client| client.upload(&start, &digest, content))
}

/// Where a plugin goes that is pushed to `reference`: `<reference>/<name>:<version>`, the name not doubled.
fn target(reference: &OciReference, publication: &Publication<'_>) -> Result<OciReference, SourceError> {
    let bad =
        |reason: String| SourceError::BadReference { argument: reference.to_string(), kind: "place to push to", reason };
    let Publication { name, version, .. } = publication;
    let version = version.to_string();
    if reference.digest.is_some() {
        return Err(bad("a digest is what pushing gives; leave it out".to_owned()));
    }
    if let Some(tag) = reference.tag.as_deref().filter(|tag| registry_tag(tag) != registry_tag(&version)) {
        return Err(bad(format!("the tag is the package's version, {version}, and not {tag}; leave it out")));
    }
    if !is_repository_part(name) {
        return Err(bad(format!(
            "no repository may be called `{name}`: only lower-case letters and digits with single `.`, `_`, `__` or dashes between them"
        )));
    }
    if !is_tag(&version) {
        return Err(bad(format!("no tag may be as long as the version {version}")));
    }
    let own = reference.repository.rsplit('/').next() == Some(*name);
    let repository = if own { reference.repository.clone() } else { format!("{}/{name}", reference.repository) };
    Ok(OciReference { registry: reference.registry.clone(), repository, tag: Some(version), digest: None })
}

/// The manifest's bytes and digest.
fn manifest(publication: &Publication<'_>, title: &str) -> Result<(Vec<u8>, Sha256Digest), SourceError> {
    let signature = format!("{title}.prov");
    let version = publication.version.to_string();
    let layer = |media_type, digest, size, title: Option<_>| Layer {
        media_type,
        digest: format!("sha256:{digest}"),
        size,
        annotations: title.map(|title| Annotations::from([(TITLE, title)])),
    };
    let mut layers = vec![layer(PACKAGE, publication.digest, publication.size, Some(title))];
    if let Some(provenance) = publication.provenance {
        layers.push(layer(PROVENANCE, Sha256Digest::of(provenance), provenance.len() as u64, Some(&signature)));
    }
    let mut annotations = Annotations::from([(TITLE, publication.name), ("org.opencontainers.image.version", &*version)]);
    if !publication.description.is_empty() {
        annotations.insert("org.opencontainers.image.description", publication.description);
    }
    if let Some(url) = publication.source_url {
        annotations.insert("org.opencontainers.image.source", url);
    }
    let manifest = Manifest {
        schema_version: 2,
        media_type: MANIFEST,
        artifact_type: PLUGIN,
        config: layer(EMPTY, Sha256Digest::of(EMPTY_BYTES), EMPTY_BYTES.len() as u64, None),
        layers,
        annotations,
    };
    let bytes = serde_json::to_vec(&manifest)
        .map_err(|e| OciError::Manifest { reference: title.to_owned(), reason: e.to_string() })?;
    let digest = Sha256Digest::of(&bytes);
    Ok((bytes, digest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publication<'a>(name: &'a str, version: &'a semver::Version) -> Publication<'a> {
        Publication {
            file: Path::new("x"),
            digest: Sha256Digest::of(b"package"),
            size: 7,
            provenance: Some(b"signed"),
            name,
            version,
            description: "",
            source_url: None,
            replaces: false,
        }
    }

    fn to(reference: &str, name: &str, version: &str) -> Result<String, SourceError> {
        let version = semver::Version::parse(version).unwrap();
        target(&OciReference::parse(reference).unwrap(), &publication(name, &version)).map(|target| target.to_string())
    }

    #[test]
    fn o_a_plugin_goes_to_a_repository_of_its_name_and_a_tag_of_its_version() {
        for (reference, want) in [
            ("oci://h/team", "oci://h/team/foo:1.0.0+b.1"),
            ("oci://h/team/foo", "oci://h/team/foo:1.0.0+b.1"),
            ("oci://h/team/foo:1.0.0_b.1", "oci://h/team/foo:1.0.0+b.1"),
            ("oci://h/team/foo:1.0.0+b.1", "oci://h/team/foo:1.0.0+b.1"),
            ("oci://h/foo-bar", "oci://h/foo-bar/foo:1.0.0+b.1"),
            ("oci://h:5000/foo", "oci://h:5000/foo:1.0.0+b.1"),
        ] {
            assert_eq!(to(reference, "foo", "1.0.0+b.1").unwrap(), want, "{reference}");
        }
        let digest = "a".repeat(64);
        for reference in ["oci://h/foo:latest", "oci://h/foo:1.0.1", &format!("oci://h/foo@sha256:{digest}")] {
            assert!(to(reference, "foo", "1.0.0").is_err(), "{reference}");
        }
        for name in ["Foo", "foo-_bar", "-foo", "foo_"] {
            assert!(to("oci://h/x", name, "1.0.0").is_err(), "{name}");
        }
        assert!(to("oci://h/x", "foo", &format!("1.0.0-{}", "a".repeat(128))).is_err());
    }

    #[test]
    fn o_the_manifest_is_what_helm_pulls_and_always_the_same() {
        let version = semver::Version::new(1, 2, 3);
        let publication = publication("foo", &version);
        let (bytes, digest) = manifest(&publication, "foo-1.2.3.tgz").unwrap();
        assert_eq!(manifest(&publication, "foo-1.2.3.tgz").unwrap(), (bytes.clone(), digest));
        let json: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(json["artifactType"], "application/vnd.helm.plugin.v1+json");
        assert_eq!(json["config"]["digest"], "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a");
        let titles: Vec<_> =
            json["layers"].as_array().unwrap().iter().map(|layer| layer["annotations"][TITLE].as_str().unwrap()).collect();
        assert_eq!(titles, ["foo-1.2.3.tgz", "foo-1.2.3.tgz.prov"]);
        assert_eq!(json["layers"][0]["mediaType"], "application/vnd.oci.image.layer.v1.tar+gzip");
        assert_eq!(json["annotations"]["org.opencontainers.image.version"], "1.2.3");
    }
}
