//! Manifests and indexes: what they say, and which layer is the package.
//!
//! A document that could be read in two ways is refused (GHSA-5j5w-g665-5m35), and the package and its provenance are chosen
//! together, by whole titles: choosing them one by one, by the ends of their titles, would let the provenance of one file
//! stand beside another.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::OciError;
use crate::digest::Sha256Digest;
use crate::intake::source::grammar::OciReference;
use crate::intake::source::version::tag_version;
use crate::intake::source::weburl::WebUrl;
use crate::intake::source::{HttpError, SourceError};
use crate::manifest::platform::Platform;
use crate::text;

/// The type of a plugin's artifact.
pub(super) const PLUGIN: &str = "application/vnd.helm.plugin.v1+json";

/// The annotation that names the file in a layer.
pub(super) const TITLE: &str = "org.opencontainers.image.title";

/// Layers and manifests of one document; no plugin has so many.
const ENTRIES: usize = 1000;

/// Content types that say nothing about the kind of a document.
const SILENT: [&str; 4] = ["", "application/json", "application/octet-stream", "text/plain"];

/// What a document names by its digest.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    #[serde(default)]
    media_type: String,
    digest: String,
    pub(super) size: u64,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
    platform: Option<EntryPlatform>,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct EntryPlatform {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
    variant: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    schema_version: u32,
    media_type: Option<String>,
    artifact_type: Option<String>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
}

/// A document of a registry.
#[derive(Debug)]
pub(super) enum Document {
    /// One artifact.
    Manifest(ArtifactManifest),
    /// One for each of several platforms.
    Index(Vec<Descriptor>),
}

/// The manifest of one artifact.
#[derive(Debug)]
pub(super) struct ArtifactManifest {
    artifact_type: String,
    layers: Vec<Descriptor>,
}

/// The layers that matter.
#[derive(Debug)]
pub(super) struct PackageLayers {
    /// The package's file name.
    pub(super) title: String,
    pub(super) layer: Descriptor,
    pub(super) provenance: Option<Descriptor>,
}

impl Document {
    /// Reads a document that came with `content_type`; an error is what is wrong with it.
    pub(super) fn read(bytes: &[u8], content_type: &str) -> Result<Self, String> {
        let raw: Raw = serde_json::from_slice(bytes).map_err(|e| format!("it is no manifest: {e}"))?;
        if raw.schema_version != 2 {
            return Err(format!("its schema version is {}, not 2", raw.schema_version));
        }
        let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if let Some(own) = raw.media_type.as_deref()
            && !SILENT.contains(&essence.as_str())
            && essence != own.to_ascii_lowercase()
        {
            return Err(format!("it calls itself `{own}`, and the registry calls it `{essence}`"));
        }
        let bounded = |entries: Vec<Descriptor>| {
            if entries.len() > ENTRIES { Err(format!("it has more than {ENTRIES} entries")) } else { Ok(entries) }
        };
        match (raw.layers, raw.manifests) {
            (Some(_), Some(_)) => Err("it has layers and manifests, and only one of them can be meant".to_owned()),
            (None, Some(manifests)) => Ok(Self::Index(bounded(manifests)?)),
            (Some(layers), None) => {
                // Before there was a field for the type of an artifact, its configuration bore it.
                let config = raw.config.map(|config| config.media_type).unwrap_or_default();
                let artifact_type = raw.artifact_type.filter(|own| !own.is_empty()).unwrap_or(config);
                Ok(Self::Manifest(ArtifactManifest { artifact_type, layers: bounded(layers)? }))
            }
            (None, None) => Err("it has neither layers nor manifests".to_owned()),
        }
    }
}

/// The entry of an index for `platform`: one that names it, else one that names none.
pub(super) fn for_platform(entries: Vec<Descriptor>, platform: &Platform, reference: &str) -> Result<Descriptor, OciError> {
    let named = |entry: &Descriptor| entry.platform.clone().filter(|own| !own.os.is_empty() || !own.architecture.is_empty());
    let known: Vec<String> =
        entries.iter().filter_map(named).map(|own| format!("{}/{}", own.os, own.architecture)).collect();
    let mut fitting: Vec<(bool, Descriptor)> = entries
        .into_iter()
        .filter_map(|entry| match named(&entry) {
            Some(own) if own.os == platform.os && own.architecture == platform.arch => Some((own.variant.is_some(), entry)),
            Some(_) => None,
            None => Some((true, entry)),
        })
        .collect();
    // A plain entry for the platform before its variants, and both before one for every platform.
    fitting.sort_by_key(|(variant, entry)| (named(entry).is_none(), *variant));
    match fitting.into_iter().next() {
        Some((_, entry)) => Ok(entry),
        None => Err(OciError::Platform {
            reference: reference.to_owned(),
            platform: format!("{}/{}", platform.os, platform.arch),
            known: if known.is_empty() {
                "nothing at all".to_owned()
            } else {
                text::sanitized(&known.join(", ")).into_owned()
            },
        }),
    }
}

impl Descriptor {
    /// The digest as text and as bytes: SHA-256 alone, in the one spelling that the specification allows.
    pub(super) fn digest(&self) -> Result<(&str, Sha256Digest), OciError> {
        let digest = self.digest.strip_prefix("sha256:").filter(|hex| !hex.bytes().any(|b| b.is_ascii_uppercase()));
        let parsed = digest.and_then(|hex| hex.parse().ok());
        parsed.map(|parsed| (self.digest.as_str(), parsed)).ok_or_else(|| OciError::Manifest {
            reference: text::sanitized(&self.digest).into_owned(),
            reason: "a digest must be `sha256:` and 64 lower-case hexadecimal digits".to_owned(),
        })
    }

    /// Compares what came with what was named.
    pub(super) fn check(&self, what: &impl ToString, digest: Sha256Digest, size: u64) -> Result<(), OciError> {
        let (_, expected) = self.digest()?;
        if size != self.size {
            return Err(OciError::Size { what: what.to_string(), expected: self.size, actual: size });
        }
        if digest != expected {
            return Err(OciError::Digest { what: what.to_string(), expected, actual: digest });
        }
        Ok(())
    }

    /// `error`, where it is not this program's limit that was reached but the size that the manifest gives.
    pub(super) fn longer(&self, what: &WebUrl, error: SourceError) -> SourceError {
        match error {
            SourceError::Http(HttpError::TooLarge { limit, .. }) if limit == self.size => {
                OciError::Longer { what: what.to_string(), expected: limit }.into()
            }
            other => other,
        }
    }

    /// The URL of its bytes, under the URL of a repository's blobs.
    pub(super) fn url(&self, blobs: &WebUrl) -> WebUrl {
        blobs.with_path_suffix(&format!("/{}", self.digest))
    }

    fn title(&self) -> Option<&str> {
        self.annotations.as_ref()?.get(TITLE).map(String::as_str)
    }
}

impl ArtifactManifest {
    /// The package: the layer that is titled `<name>-<version>.tgz` after the last part of the repository, and the one that is
    /// titled `<that>.prov`. Where the tag is a version, it must be this one.
    pub(super) fn package(self, reference: &OciReference, tag: Option<&str>) -> Result<PackageLayers, OciError> {
        let shown = || reference.to_string();
        if self.artifact_type != PLUGIN {
            let found = text::sanitized(&self.artifact_type).into_owned();
            return Err(OciError::ArtifactType { reference: shown(), found, expected: PLUGIN });
        }
        let name = reference.repository.rsplit('/').next().unwrap_or_default();
        let wanted = tag.and_then(tag_version);
        let is_package = |title: &str| {
            let version = title.strip_prefix(name).and_then(|rest| rest.strip_prefix('-')?.strip_suffix(".tgz"));
            let version = version.and_then(|version| semver::Version::parse(version).ok());
            version.is_some_and(|version| wanted.as_ref().is_none_or(|wanted| *wanted == version))
        };
        let mut packages = self.layers.iter().filter(|layer| layer.title().is_some_and(is_package));
        let (layer, title) = match packages.next().and_then(|layer| Some((layer, layer.title()?))) {
            Some(found) => found,
            None => {
                let version = wanted.map_or_else(|| "<version>".to_owned(), |version| version.to_string());
                let titles: Vec<String> =
                    self.layers.iter().filter_map(Descriptor::title).map(|title| format!("`{title}`")).collect();
                let titles =
                    if titles.is_empty() { "none".to_owned() } else { text::sanitized(&titles.join(", ")).into_owned() };
                return Err(OciError::NoPackage { reference: shown(), expected: format!("{name}-{version}.tgz"), titles });
            }
        };
        let ambiguous = |title: &str| OciError::Ambiguous { reference: shown(), title: text::sanitized(title).into_owned() };
        if packages.next().is_some() {
            return Err(ambiguous(title));
        }
        let signature = format!("{title}.prov");
        let mut provenances = self.layers.iter().filter(|layer| layer.title() == Some(signature.as_str()));
        let provenance = provenances.next().cloned();
        if provenances.next().is_some() {
            return Err(ambiguous(&signature));
        }
        layer.digest()?;
        Ok(PackageLayers { title: title.to_owned(), layer: layer.clone(), provenance })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn layer(title: &str) -> String {
        format!(r#"{{"mediaType":"x","digest":"sha256:{}","size":1,"annotations":{{"{TITLE}":"{title}"}}}}"#, "a".repeat(64))
    }

    fn chosen(artifact: &str, titles: &[&str]) -> ArtifactManifest {
        let layers: Vec<String> = titles.iter().map(|title| layer(title)).collect();
        let text = format!(r#"{{"schemaVersion":2,{artifact}"layers":[{}]}}"#, layers.join(","));
        match Document::read(text.as_bytes(), "").unwrap() {
            Document::Manifest(chosen) => chosen,
            Document::Index(_) => panic!("no index"),
        }
    }

    fn package(artifact: &str, titles: &[&str], tag: Option<&str>) -> Result<(String, bool), OciError> {
        let reference = OciReference::parse("oci://h/plugins/foo").unwrap();
        chosen(artifact, titles).package(&reference, tag).map(|layers| (layers.title, layers.provenance.is_some()))
    }

    const TYPED: &str = r#""artifactType":"application/vnd.helm.plugin.v1+json","#;

    #[test]
    fn o_the_package_and_its_provenance_are_chosen_together() {
        let good = |titles: &[&str], tag| package(TYPED, titles, tag).unwrap();
        assert_eq!(good(&["foo-1.0.0.tgz", "foo-1.0.0.tgz.prov"], Some("1.0.0")), ("foo-1.0.0.tgz".to_owned(), true));
        assert_eq!(good(&["foo-1.0.0.tgz", "foo-2.0.0.tgz.prov"], None), ("foo-1.0.0.tgz".to_owned(), false), "for another");
        assert_eq!(good(&["foo-1.0.0.tgz", "foo-2.0.0.tgz"], Some("v2.0.0")).0, "foo-2.0.0.tgz");
        assert_eq!(good(&["readme.md", "foo-bar-1.0.0.tgz", "foo-1.0.0+b.1.tgz"], Some("1.0.0+b.1")).0, "foo-1.0.0+b.1.tgz");
        assert_eq!(good(&["foo-1.0.0.tgz"], Some("latest")).0, "foo-1.0.0.tgz");
        for titles in [
            &["foo-1.0.0.tgz", "foo-2.0.0.tgz"][..],
            &["foo-1.0.0.tgz", "foo-1.0.0.tgz"],
            &["foo-1.0.0.tgz", "foo-1.0.0.tgz.prov", "foo-1.0.0.tgz.prov"],
        ] {
            assert!(matches!(package(TYPED, titles, None), Err(OciError::Ambiguous { .. })), "{titles:?}");
        }
        for title in [
            "bar-1.0.0.tgz",
            "../foo-1.0.0.tgz",
            "foo-1.0.0.tgz/x",
            "foo-../../x-1.0.0.tgz",
            "foo-1.tgz",
            "foo.tgz",
            "foo-1.0.1.tgz",
        ] {
            assert!(matches!(package(TYPED, &[title], Some("1.0.0")), Err(OciError::NoPackage { .. })), "{title}");
        }
    }

    #[test]
    fn o_the_type_is_the_artifacts_or_else_the_configurations() {
        let config = |kind: &str| format!(r#""config":{{"mediaType":"{kind}","digest":"x","size":2}},"#);
        assert!(package(&config(PLUGIN), &["foo-1.0.0.tgz"], None).is_ok());
        assert!(package(&format!(r#""artifactType":"",{}"#, config(PLUGIN)), &["foo-1.0.0.tgz"], None).is_ok());
        for artifact in [
            String::new(),
            config("application/vnd.cncf.helm.config.v1+json"),
            format!(r#""artifactType":"x",{}"#, config(PLUGIN)),
        ] {
            assert!(
                matches!(package(&artifact, &["foo-1.0.0.tgz"], None), Err(OciError::ArtifactType { .. })),
                "{artifact}"
            );
        }
    }

    #[test]
    fn o_ambiguous_documents_are_refused() {
        let oci = "application/vnd.oci.image.manifest.v1+json";
        let good = format!(r#"{{"schemaVersion":2,"mediaType":"{oci}","layers":[]}}"#);
        for content_type in ["", oci, "application/json", "Application/VND.oci.image.manifest.v1+json; charset=utf-8"] {
            assert!(Document::read(good.as_bytes(), content_type).is_ok(), "{content_type}");
        }
        assert!(Document::read(good.as_bytes(), "application/vnd.oci.image.index.v1+json").is_err());
        for bad in [
            "",
            "[]",
            "{}",
            r#"{"schemaVersion":1,"layers":[]}"#,
            r#"{"schemaVersion":2}"#,
            r#"{"schemaVersion":2,"layers":[],"manifests":[]}"#,
            r#"{"schemaVersion":2,"layers":[],"layers":[]}"#,
            r#"{"schemaVersion":2,"layers":[{"digest":"sha256:00","size":-1}]}"#,
        ] {
            assert!(Document::read(bad.as_bytes(), "").is_err(), "{bad}");
        }
        let many = vec![layer("x"); ENTRIES + 1].join(",");
        assert!(Document::read(format!(r#"{{"schemaVersion":2,"layers":[{many}]}}"#).as_bytes(), "").is_err());
    }

    #[test]
    fn o_digests_are_sha256_in_one_spelling() {
        for digest in ["sha512:00", "sha256:", &format!("sha256:{}", "A".repeat(64)), &"a".repeat(64), "sha256:../../x"] {
            let text = format!(r#"{{"digest":"{digest}","size":1}}"#);
            assert!(serde_json::from_str::<Descriptor>(&text).unwrap().digest().is_err(), "{digest}");
        }
    }

    #[test]
    fn o_an_index_is_resolved_by_platform() {
        let entry = |size: u64, platform: &str| {
            serde_json::from_str::<Descriptor>(&format!(r#"{{"digest":"x","size":{size}{platform}}}"#)).unwrap()
        };
        let on = |os: &str, arch: &str, more: &str| format!(r#","platform":{{"os":"{os}","architecture":"{arch}"{more}}}"#);
        let pick =
            |entries: Vec<Descriptor>| for_platform(entries, &Platform::new("linux", "arm64"), "r").map(|entry| entry.size);
        let variant = on("linux", "arm64", r#","variant":"v9""#);
        let entries =
            vec![entry(1, ""), entry(2, &on("linux", "amd64", "")), entry(3, &variant), entry(4, &on("linux", "arm64", ""))];
        assert_eq!(pick(entries.clone()).unwrap(), 4);
        assert_eq!(pick(entries[..3].to_vec()).unwrap(), 3);
        assert_eq!(pick(entries[..2].to_vec()).unwrap(), 1);
        match pick(entries[1..2].to_vec()).unwrap_err() {
            OciError::Platform { known, .. } => assert_eq!(known, "linux/amd64"),
            other => panic!("{other:?}"),
        }
        assert!(pick(Vec::new()).is_err());
    }

    proptest! {
        #[test]
        fn o_no_document_panics(text in "[{}\\[\\]\":,a-z0-9]{0,40}") {
            let _ = Document::read(text.as_bytes(), "");
        }
    }
}
