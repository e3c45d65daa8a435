//! Packages among the files of GitHub releases; where a repository has none, out of the repository itself by git.
//!
//! A repository's releases lead to one release, its files to the package for this machine ([`asset`]) and to what vouches for
//! it: `<file>.prov`, or the release's checksums file ([`checksums`]). Checksums lie where the package lies, and so find damage and
//! not a publisher who was robbed: that is said, and a release that has a provenance is never taken by its checksums alone.
//!
//! Who asks is shown to the interface's own scheme, host and port, and to nobody else: the files of private repositories
//! come from there too, by a redirect that takes no token along.

mod asset;
mod checksums;
mod error;

use std::net::IpAddr;
use std::path::Path;

use reqwest::header::{ACCEPT, HeaderMap, HeaderName, HeaderValue, LINK};
use semver::Version;
use serde::Deserialize;
use url::Url;

pub use error::{GitHubError, TokenState};

use self::asset::NoAsset;
use super::ResolvedVersion;
use super::error::SourceError;
use super::git::{self, GitError};
use super::grammar::{GitUrl, Source, is_object_id};
use super::http::{Body, Client, Download, HttpError, HttpLogin, header, next_page};
use super::options::{FetchOptions, Secret};
use super::spool::SpoolFile;
use super::version::{Range, nearest, tag_version};
use super::weburl::WebUrl;
use crate::digest::Sha256Digest;
use crate::host::Host;
use crate::intake::package::{FetchedPackage, PackageOrigin, ReleaseOrigin, Vouched, is_archive_name};
use crate::manifest::platform::Platform;
use crate::report::Report;
use crate::text;

/// Where the interface is, where nobody says otherwise.
/// No answer of the interface is longer: a hundred releases with many files each.
const ANSWER: u64 = 32 << 20;

/// Pages of a hundred releases: GitHub itself lists no more than a thousand releases.
const PAGES: usize = 20;

/// No checksums file is longer.
const CHECKSUMS: u64 = 1 << 20;

/// Where GitHub is, and who asks there.
#[derive(Debug, Clone, Default)]
pub struct GitHubAccess {
    /// The address of the interface, and the variable that holds it; GitHub's own where there is none.
    pub api: Option<(String, String)>,
    /// A token, and the variable that holds it.
    pub token: Option<(String, Secret)>,
    /// The variable in which `host` looks for a token first: for messages.
    pub variable: String,
}

impl GitHubAccess {
    /// GitHub's own address of its interface.
    pub const API: &str = "https://api.github.com";

    /// What the environment says: `<HOST>_GITHUB_API`; `<HOST>_GITHUB_TOKEN`, `GITHUB_TOKEN` or `GH_TOKEN`, the first that
    /// is set.
    pub fn of(host: &Host) -> Self {
        let text = |(name, value): (String, std::ffi::OsString)| Some((name, value.into_string().ok()?));
        let plain = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty()).map(|v| (name.to_owned(), v));
        let own = host.variable("GITHUB_TOKEN").and_then(text);
        let token = own.or_else(|| plain("GITHUB_TOKEN")).or_else(|| plain("GH_TOKEN"));
        Self {
            api: host.variable("GITHUB_API").and_then(text),
            token: token.map(|(name, value)| (name, Secret::new(value.trim()))),
            variable: host.variable_name("GITHUB_TOKEN"),
        }
    }
}

/// Fetches the package of a release of `owner/repo` into `spool`, and what vouches for it where that is wanted; where there is no
/// release, or none that has a package, makes one from the git repository.
pub(super) fn fetch(
    source: &Source,
    owner: &str,
    repo: &str,
    version: Option<&str>,
    options: &FetchOptions,
    spool: &Path,
    report: &dyn Report,
) -> Result<FetchedPackage, SourceError> {
    let version = options.version.as_deref().or(version);
    let from_release = || from_release(source, owner, repo, version, options, spool, report);
    first_release_then_git(owner, repo, version, options, from_release, |url, options| {
        SpoolFile::discard(spool)?;
        let fetched = git::fetch(source, url, options, spool, report)?;
        report.notice(&format!("{owner}/{repo} has no release with a package; this one was made from its git repository"));
        Ok(fetched)
    })
}

/// What the version stands for now. Nothing is fetched; `directory` is a private place to work in.
pub(super) fn resolve(
    owner: &str,
    repo: &str,
    version: Option<&str>,
    options: &FetchOptions,
    directory: &Path,
    report: &dyn Report,
) -> Result<ResolvedVersion, SourceError> {
    let version = options.version.as_deref().or(version);
    let from_release = || resolve_release(owner, repo, version, options, report);
    first_release_then_git(owner, repo, version, options, from_release, |url, options| git::resolve(url, options, directory))
}

/// What a release gives; where there is none to give it, what `from_git` does.
fn first_release_then_git<T>(
    owner: &str,
    repo: &str,
    version: Option<&str>,
    options: &FetchOptions,
    from_release: impl Fn() -> Result<T, SourceError>,
    from_git: impl Fn(&GitUrl, &FetchOptions) -> Result<T, SourceError>,
) -> Result<T, SourceError> {
    // No release is called by the id of a commit.
    let no_release = match version.filter(|version| is_object_id(version)) {
        Some(_) => None,
        None => match from_release() {
            Err(SourceError::GitHub(error)) if error.leaves_git() => Some(error),
            other => return other,
        },
    };
    let tag = match &no_release {
        Some(GitHubError::NoPackages { tag, .. }) => Some(tag.clone()),
        _ => version.filter(|version| *version != "latest").map(str::to_owned),
    };
    let url = GitUrl::Web(WebUrl::new(repository_url(owner, repo, &options.github)?));
    let options = FetchOptions { version: tag, ..options.clone() };
    options.check(&Source::Git(url.clone()))?;
    match (from_git(&url, &options), no_release) {
        // Without git nobody knows.
        (Err(no_git @ SourceError::Git(GitError::NoProgram { .. })), Some(no_release))
            if !matches!(no_release, GitHubError::NotFound { .. }) =>
        {
            Err(no_git)
        }
        // Neither: what GitHub says of it is what the user can do something with.
        (Err(error), Some(no_release)) if error.is_no_repository() || error.is_refusal() => Err(no_release.into()),
        (other, _) => other,
    }
}

/// Where the repository is, beside the interface.
fn repository_url(owner: &str, repo: &str, access: &GitHubAccess) -> Result<Url, SourceError> {
    let mut url = api(access)?;
    if let Some(host) = url.host_str().and_then(|host| host.strip_prefix("api.")).map(str::to_owned) {
        // A host without its first part is one still.
        let _ = url.set_host(Some(&host));
    }
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(path.strip_suffix("/api/v3").or_else(|| path.strip_suffix("/api")).unwrap_or(&path));
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend([owner, repo]);
    }
    Ok(url)
}

/// The address of the interface.
fn api(access: &GitHubAccess) -> Result<Url, SourceError> {
    let (variable, address) = access.api.clone().unwrap_or_else(|| (String::new(), GitHubAccess::API.to_owned()));
    let wrong = |reason: String| GitHubError::Api { variable: variable.clone(), reason };
    let mut base = Url::parse(&address).map_err(|e| wrong(e.to_string()))?;
    if !matches!(base.scheme(), "http" | "https") || base.host_str().is_none_or(str::is_empty) {
        return Err(wrong("it is no http(s) URL".to_owned()).into());
    }
    if !base.username().is_empty() || base.password().is_some() || base.query().is_some() {
        return Err(wrong("it holds a user name, a password or a query".to_owned()).into());
    }
    base.set_fragment(None);
    Ok(base)
}

/// Downloads the package of a release.
fn from_release(
    source: &Source,
    owner: &str,
    repo: &str,
    version: Option<&str>,
    options: &FetchOptions,
    spool: &Path,
    report: &dyn Report,
) -> Result<FetchedPackage, SourceError> {
    let repository = Repository::open(owner, repo, options, report)?;
    let release = repository.choose(version)?;
    let package = repository.package(&release)?;

    let limit = options.http.max_bytes;
    let url = repository.url(package)?;
    if package.size.is_some_and(|size| size > limit) {
        return Err(HttpError::TooLarge { url: url.to_string(), limit }.into());
    }
    let client = &repository.client;
    let (path, digest, size) =
        match client.download(&url, &package.name, SpoolFile::create(spool)?, limit, false, package.sha256())? {
            Download::Done { path, digest, size, .. } => (path, digest, size),
            Download::NotAPackage { content_type } => {
                return Err(SourceError::NotAnArchive { url: url.to_string(), content_type });
            }
        };
    let check = |stated_by: &str, expected: Sha256Digest| {
        let (file, stated_by) = (package.name.clone(), stated_by.to_owned());
        if expected == digest { Ok(()) } else { Err(GitHubError::Digest { file, stated_by, expected, actual: digest }) }
    };
    if let Some(expected) = package.sha256() {
        check("GitHub", expected)?;
    }

    let mut fetched = FetchedPackage::new(path, package.name.clone(), digest, size);
    let provenance = format!("{}.prov", package.name);
    fetched.provenance_at = format!(
        "`{provenance}` in release {} of {owner}/{repo}, or a checksums file there that lists it,",
        release.tag_name
    );
    if options.wanted.provenance() {
        if let Some(asset) = release.asset(&provenance) {
            let url = repository.url(asset)?;
            let bytes = client.get(&url, options.limits.provenance_bytes);
            fetched.provenance = Some(bytes.map_err(|e| SourceError::provenance(url.to_string(), e))?);
            fetched.provenance_at = url.to_string();
        }
        if let Some((called, expected)) = repository.checksum(&release, &package.name)? {
            check(&format!("`{called}`"), expected)?;
            fetched.vouched = Vouched::Checksum;
            if fetched.provenance.is_none() {
                report.notice(&format!(
                    "{} has no provenance; `{called}` of the same release finds damage, but not whoever may publish there",
                    package.name
                ));
            }
        }
    }
    fetched.origin = PackageOrigin {
        asked: source.asked(),
        resolved: package.browser_download_url.clone(),
        release: Some(ReleaseOrigin { tag: release.tag_name.clone() }),
        ..PackageOrigin::default()
    };
    Ok(fetched)
}

/// What the version stands for among the releases.
fn resolve_release(
    owner: &str,
    repo: &str,
    version: Option<&str>,
    options: &FetchOptions,
    report: &dyn Report,
) -> Result<ResolvedVersion, SourceError> {
    let repository = Repository::open(owner, repo, options, report)?;
    let release = repository.choose(version)?;
    let archive = repository.package(&release)?.sha256();
    let exact = version.is_some_and(|version| {
        version == release.tag_name || Range::parse(version).is_ok_and(|range| range.exact().is_some())
    });
    Ok(ResolvedVersion { version: Some(release.tag_name), revision: None, archive, exact })
}

/// Whether the package at `url` is for every platform, as far as its name says.
pub(super) fn is_for_any_platform(url: &str) -> bool {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    asset::is_for_any_platform(path.rsplit('/').next().unwrap_or_default())
}

/// A release, as far as we read it.
#[derive(Debug, Deserialize)]
struct Release {
    tag_name: String,
    #[serde(default)]
    draft: bool,
    #[serde(default)]
    prerelease: bool,
    #[serde(default)]
    assets: Vec<Asset>,
}

/// A file of a release.
#[derive(Debug, Deserialize)]
struct Asset {
    name: String,
    /// Where the interface hands it out.
    url: String,
    /// Where everybody gets it, where everybody may.
    browser_download_url: String,
    size: Option<u64>,
    digest: Option<String>,
    state: Option<String>,
}

impl Asset {
    /// Whether it is all there, under a name that can be one.
    fn is_usable(&self) -> bool {
        let harmless = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'+' | b'~');
        self.state.as_deref().is_none_or(|state| state == "uploaded")
            && (1..=255).contains(&self.name.len())
            && !self.name.starts_with(['.', '-'])
            && self.name.bytes().all(harmless)
    }

    /// What GitHub took as its digest when it came.
    fn sha256(&self) -> Option<Sha256Digest> {
        self.digest.as_deref()?.strip_prefix("sha256:")?.parse().ok()
    }
}

impl Release {
    fn version(&self) -> Option<Version> {
        tag_version(&self.tag_name)
    }

    fn asset(&self, name: &str) -> Option<&Asset> {
        self.assets.iter().find(|asset| asset.name == name && asset.is_usable())
    }

    fn names(&self) -> Vec<&str> {
        self.assets.iter().filter(|asset| asset.is_usable()).map(|asset| asset.name.as_str()).collect()
    }
}

/// A repository on GitHub, and a client that knows who asks.
struct Repository<'a> {
    client: Client<'a>,
    /// `<api>/repos/<owner>/<repo>/`.
    base: Url,
    owner: &'a str,
    repo: &'a str,
    token: TokenState,
}

impl<'a> Repository<'a> {
    /// Turns to `owner/repo`; nothing is sent yet. A user name wins over a token, and that over `.netrc`.
    fn open(owner: &'a str, repo: &'a str, options: &'a FetchOptions, report: &'a dyn Report) -> Result<Self, SourceError> {
        let access = &options.github;
        let mut base = api(access)?;
        if let Ok(mut path) = base.path_segments_mut() {
            path.pop_if_empty().extend(["repos", owner, repo, ""]);
        }
        let url = WebUrl::new(base.clone());
        let mut client = Client::new(&url, options, report)?;
        let mut token = TokenState::Absent(access.variable.clone());
        match (&options.username, &access.token) {
            (Some(_), _) => token = TokenState::Password,
            (None, Some((variable, secret))) => {
                if !may_carry_a_token(&base) {
                    return Err(GitHubError::OpenLine { variable: variable.clone(), url: url.to_string() }.into());
                }
                if secret.expose().is_empty() || !secret.expose().bytes().all(|b| b.is_ascii_graphic()) {
                    // It goes into a header as it is.
                    return Err(GitHubError::Token { variable: variable.clone() }.into());
                }
                client.log_in(&base, Some(HttpLogin::Bearer(secret.clone())));
                token = TokenState::Shown(variable.clone());
            }
            (None, None) if client.has_login() => token = TokenState::Password,
            (None, None) => {}
        }
        // What is no answer of the interface is a file.
        let mut standing = HeaderMap::new();
        standing.insert(ACCEPT, HeaderValue::from_static("application/octet-stream"));
        standing.insert(HeaderName::from_static("x-github-api-version"), HeaderValue::from_static("2022-11-28"));
        client.always_send(standing);
        Ok(Self { client, base, owner, repo, token })
    }

    fn shown(&self) -> String {
        format!("{}/{}", self.owner, self.repo)
    }

    /// The release that `version` stands for: the one of that tag, else the highest that fits the range; without a version the
    /// highest, else the newest. Pre-releases only where the range names one.
    fn choose(&self, version: Option<&str>) -> Result<Release, SourceError> {
        let version = version.filter(|version| *version != "latest");
        let range = version.map(Range::parse).transpose();
        // A tag is asked for by its name: that is one request, however many releases there are.
        if let Some(version) = version
            && range.as_ref().map_or(true, |range| range.as_ref().is_some_and(|range| range.exact().is_some()))
        {
            let other = version.strip_prefix('v').map_or_else(|| format!("v{version}"), str::to_owned);
            let tags: Vec<String> =
                [Some(version.to_owned()), tag_version(version).map(|_| other)].into_iter().flatten().collect();
            for tag in &tags {
                if let Some(release) = self.tagged(tag)? {
                    return Ok(release);
                }
            }
            // Servers that only look like GitHub may know no more than the list.
            let mut releases = self.some_releases()?;
            let at = tags.iter().find_map(|tag| releases.iter().position(|release| release.tag_name == *tag));
            return at.map(|at| releases.swap_remove(at)).ok_or_else(|| self.unknown(version, &releases));
        }
        let mut releases = self.some_releases()?;
        let chosen = match (version, range) {
            (None, _) => {
                let release = |release: &Release| !release.prerelease;
                highest(&releases, |version, it| version.pre.is_empty() && release(it))
                    .or_else(|| releases.iter().position(release))
            }
            (Some(tag), Ok(Some(range))) => releases.iter().position(|release| release.tag_name == tag).or_else(|| {
                highest(&releases, |version, release| {
                    range.matches(version) && (!release.prerelease || range.names_pre_release())
                })
            }),
            _ => None,
        };
        match chosen.and_then(|at| releases.get(at).map(|_| at)) {
            Some(at) => Ok(releases.swap_remove(at)),
            None => Err(self.unknown(version.unwrap_or("that is no pre-release"), &releases)),
        }
    }

    fn unknown(&self, version: &str, releases: &[Release]) -> SourceError {
        let nearest = nearest(version, releases.iter().map(|release| release.tag_name.as_str()));
        let (repository, version) = (self.shown(), text::sanitized(version).into_owned());
        GitHubError::UnknownVersion { repository, version, nearest }.into()
    }

    /// The release of the tag `tag`, where there is one.
    fn tagged(&self, tag: &str) -> Result<Option<Release>, SourceError> {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(["releases", "tags", tag]);
        }
        let url = WebUrl::new(url);
        match self.ask(&url) {
            Ok(body) => read(&url, &body).map(Some),
            Err(SourceError::Http(HttpError::NotFound { .. })) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// All releases, where there is one.
    fn some_releases(&self) -> Result<Vec<Release>, SourceError> {
        match self.releases()? {
            none if none.is_empty() => Err(GitHubError::NoReleases { repository: self.shown() }.into()),
            releases => Ok(releases),
        }
    }

    /// All releases, newest first, but for drafts.
    fn releases(&self) -> Result<Vec<Release>, SourceError> {
        let mut all = Vec::new();
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().push("releases");
        }
        url.set_query(Some("per_page=100"));
        let mut page = WebUrl::new(url);
        for _ in 0..PAGES {
            let body = match self.ask(&page) {
                Err(SourceError::Http(HttpError::NotFound { .. })) => {
                    return Err(GitHubError::NotFound { repository: self.shown(), token: self.token.clone() }.into());
                }
                other => other?,
            };
            all.extend(read::<Vec<Release>>(&page, &body)?.into_iter().filter(|release| !release.draft));
            // The next page is the interface's own, or there is none: a list is no reason to go elsewhere.
            let next = header(&body.headers, LINK).and_then(|link| next_page(page.url(), link));
            match next.filter(|next| next.origin() == page.url().origin()) {
                Some(next) => page = WebUrl::new(next),
                None => return Ok(all),
            }
        }
        let reason = "its list of releases has no end".to_owned();
        Err(GitHubError::Answer { url: page.to_string(), reason }.into())
    }

    /// An answer of the interface.
    fn ask(&self, url: &WebUrl) -> Result<Body, SourceError> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/vnd.github+json"));
        self.client.get_as(url, &headers, ANSWER).map_err(|error| match (error, &self.token) {
            (HttpError::RateLimit { until, .. }, token) => GitHubError::RateLimit { until, token: token.clone() }.into(),
            (HttpError::Refused { .. }, TokenState::Shown(variable)) => {
                GitHubError::Token { variable: variable.clone() }.into()
            }
            (error, _) => error.into(),
        })
    }

    /// The package for this machine.
    fn package<'r>(&self, release: &'r Release) -> Result<&'r Asset, SourceError> {
        let platform = Platform::current();
        let names = release.names();
        let (repository, tag) = (self.shown(), release.tag_name.clone());
        let named = |name: &str| release.asset(name);
        match asset::choose(&names, self.repo, &tag, &platform) {
            Ok(name) => named(name).ok_or(NoAsset::None),
            Err(none) => Err(none),
        }
        .map_err(|why| match why {
            NoAsset::None => {
                let platform = format!("{}/{}", platform.os, platform.arch);
                let files = match names.as_slice() {
                    [] => "it has no files at all".to_owned(),
                    names => {
                        format!("it has {}", text::sanitized(&names.iter().take(20).copied().collect::<Vec<_>>().join(", ")))
                    }
                };
                if names.iter().any(|name| is_archive_name(name)) {
                    GitHubError::NoPackage { repository, tag, platform, files }.into()
                } else {
                    GitHubError::NoPackages { repository, tag, files }.into()
                }
            }
            NoAsset::Several(files) => {
                let first = files.first().and_then(|name| named(name));
                let url = first.map(|asset| text::masked_source(&asset.browser_download_url)).unwrap_or_default();
                GitHubError::SeveralPackages { repository, tag, files: text::sanitized(&files.join(", ")).into_owned(), url }
                    .into()
            }
        })
    }

    /// Where to get `asset`: from the interface where it knows who asks, which is the only way to private files, else from
    /// where everybody gets it, which does not count against anybody's limit.
    fn url(&self, asset: &Asset) -> Result<WebUrl, SourceError> {
        let text = if self.client.has_login() { &asset.url } else { &asset.browser_download_url };
        let wrong = |reason: &str| {
            let url = WebUrl::new(self.base.clone()).to_string();
            GitHubError::Answer { url, reason: format!("the address of `{}` {reason}", asset.name) }
        };
        let mut url = Url::parse(text).map_err(|_| wrong("is no URL"))?;
        // Credentials that a server makes up are nobody's.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        match (self.base.scheme(), url.scheme()) {
            (_, "https") | ("http", "http") => Ok(WebUrl::new(url)),
            _ => Err(wrong("is not https").into()),
        }
    }

    /// The digest that a checksums file of the release gives the file `name`, and how that file is called.
    fn checksum(&self, release: &Release, name: &str) -> Result<Option<(String, Sha256Digest)>, SourceError> {
        for called in checksums::candidates(&release.names(), name) {
            let Some(asset) = release.asset(called) else { continue };
            let url = self.url(asset)?;
            let at = url.to_string();
            let bytes = self
                .client
                .get(&url, CHECKSUMS)
                .map_err(|source| GitHubError::Checksums { at: at.clone(), source: Box::new(source) })?;
            let bad = |reason: String| GitHubError::BadChecksums { at: at.clone(), reason };
            let text = String::from_utf8(bytes).map_err(|_| bad("they are no text".to_owned()))?;
            match checksums::digest_of(&text, called, name) {
                Ok(Some(digest)) => return Ok(Some((called.to_owned(), digest))),
                Ok(None) => {}
                Err(contradiction) => return Err(bad(contradiction.to_string()).into()),
            }
        }
        Ok(None)
    }
}

/// The place of the highest version that is wanted.
fn highest(releases: &[Release], wanted: impl Fn(&Version, &Release) -> bool) -> Option<usize> {
    let versions = releases.iter().enumerate().filter_map(|(at, release)| Some((release.version()?, at, release)));
    versions.filter(|(version, _, release)| wanted(version, release)).max_by(|a, b| a.0.cmp(&b.0)).map(|(_, at, _)| at)
}

/// Whether nobody can listen: https, or a line that never leaves this machine.
fn may_carry_a_token(url: &Url) -> bool {
    let loopback = match url.host() {
        Some(url::Host::Ipv4(address)) => IpAddr::V4(address).is_loopback(),
        Some(url::Host::Ipv6(address)) => IpAddr::V6(address).is_loopback(),
        _ => false,
    };
    url.scheme() == "https" || loopback
}

fn read<T: for<'d> Deserialize<'d>>(url: &WebUrl, body: &Body) -> Result<T, SourceError> {
    serde_json::from_slice(&body.bytes).map_err(|e| {
        GitHubError::Answer { url: url.to_string(), reason: text::sanitized(&e.to_string()).into_owned() }.into()
    })
}

/// Part of [`crate::intake::source::read_foreign`].
pub(super) fn read_foreign(data: &[u8]) {
    for release in serde_json::from_slice::<Vec<Release>>(data).unwrap_or_default() {
        let _ = (release.version(), release.names());
        let _ = release.assets.iter().map(Asset::sha256).count();
    }
    let _ = checksums::digest_of(&String::from_utf8_lossy(data), "checksums.txt", "p-1.0.0.tgz");
}
