//! Whole pulls, from a registry that does as it is told.

#![allow(clippy::type_complexity, reason = "tables")]

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::sync::{Arc, Mutex};

use crate::digest::Sha256Digest;
use crate::error::{Classified as _, ErrorKind};
use crate::intake::package::FetchedPackage;
use crate::intake::source::http_server::{Connection, Request, Server, answer, redirect};
use crate::intake::source::{FetchOptions, OciError, Secret, Source, SourceContext, SourceError, Wanted, fetch, resolve};
use crate::report::NoReport;
use crate::settings::RegistrySettings;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const PLUGIN: &str = "application/vnd.helm.plugin.v1+json";

/// Answers by path below `/v2/plugins/foo/`: a content type and a body.
#[derive(Clone, Default)]
struct Content(Arc<Mutex<BTreeMap<String, (String, Vec<u8>)>>>);

impl Content {
    fn put(&self, path: &str, content_type: &str, body: &[u8]) {
        self.0.lock().unwrap().insert(format!("/v2/plugins/foo/{path}"), (content_type.to_owned(), body.to_vec()));
    }

    fn blob(&self, body: &[u8]) -> String {
        let digest = format!("sha256:{}", Sha256Digest::of(body));
        self.put(&format!("blobs/{digest}"), "application/octet-stream", body);
        digest
    }

    /// Puts a manifest of these files under its digest; gives that.
    fn manifest(&self, files: &[(&str, &[u8])]) -> String {
        let layers: Vec<String> = files
            .iter()
            .map(|(title, body)| {
                let (digest, size) = (self.blob(body), body.len());
                format!(r#"{{"mediaType":"x","digest":"{digest}","size":{size},"annotations":{{"org.opencontainers.image.title":"{title}"}}}}"#)
            })
            .collect();
        let text = format!(
            r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","artifactType":"{PLUGIN}","config":{{"mediaType":"application/vnd.oci.empty.v1+json","digest":"x","size":2}},"layers":[{}]}}"#,
            layers.join(",")
        );
        self.document(MANIFEST, &text)
    }

    fn document(&self, content_type: &str, text: &str) -> String {
        let digest = format!("sha256:{}", Sha256Digest::of(text.as_bytes()));
        self.put(&format!("manifests/{digest}"), content_type, text.as_bytes());
        digest
    }

    fn tag(&self, tag: &str, digest: &str) {
        let mut all = self.0.lock().unwrap();
        let document = all[&format!("/v2/plugins/foo/manifests/{digest}")].clone();
        all.insert(format!("/v2/plugins/foo/manifests/{tag}"), document);
    }

    fn release(&self, version: &str) -> String {
        let name = format!("foo-{version}.tgz");
        let signature = format!("{name}.prov");
        let digest = self.manifest(&[(&name, version.as_bytes()), (&signature, b"signed")]);
        self.tag(&version.replace('+', "_"), &digest);
        digest
    }

    fn answer(&self, request: &Request, to: &mut dyn Connection) -> io::Result<()> {
        match self.0.lock().unwrap().get(&request.target) {
            Some((content_type, body)) => answer(to, "200 OK", &[("Content-Type", content_type)], body),
            None => answer(to, "404 Not Found", &[], b"{}"),
        }
    }

    fn serve(&self) -> Server {
        let content = self.clone();
        Server::start(move |request, to| content.answer(request, to))
    }
}

fn options() -> FetchOptions {
    FetchOptions { plain_http: true, ..FetchOptions::default() }
}

fn version(version: &str) -> FetchOptions {
    FetchOptions { version: Some(version.to_owned()), ..options() }
}

fn host(server: &Server) -> String {
    server.url("").trim_start_matches("http://").to_owned()
}

fn pull(server: &Server, rest: &str, options: &FetchOptions) -> Result<(String, FetchedPackage), SourceError> {
    let spool = tempfile::tempdir().unwrap();
    let argument = format!("oci://{}/plugins/foo{rest}", host(server));
    let fetched = fetch(&Source::parse(&argument, &SourceContext::default()).unwrap(), options, spool.path(), &NoReport)?;
    Ok((std::fs::read_to_string(&fetched.path).unwrap(), fetched))
}

fn error(server: &Server, rest: &str, options: &FetchOptions) -> OciError {
    match pull(server, rest, options).unwrap_err() {
        SourceError::Oci(error) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn o_a_package_comes_with_its_provenance_and_its_digest() {
    let content = Content::default();
    let digest = content.release("1.0.0");
    content.release("1.0.0+b.1");
    let server = content.serve();
    let (text, fetched) = pull(&server, ":1.0.0", &options()).unwrap();
    assert_eq!((text.as_str(), fetched.file_name.as_str()), ("1.0.0", "foo-1.0.0.tgz"));
    assert_eq!(fetched.digest, Sha256Digest::of(b"1.0.0"));
    assert_eq!(fetched.provenance.as_deref(), Some(&b"signed"[..]));
    assert_eq!(fetched.origin.asked, format!("oci://{}/plugins/foo:1.0.0", host(&server)));
    assert_eq!(fetched.origin.resolved, format!("oci://{}/plugins/foo:1.0.0@{digest}", host(&server)));
    assert_eq!((fetched.origin.revision.as_ref(), fetched.is_named_by_id()), (Some(&digest), false));
    let (_, exact) = pull(&server, &format!("@{digest}"), &options()).unwrap();
    assert!(exact.is_named_by_id());
    assert_eq!(pull(&server, ":1.0.0+b.1", &options()).unwrap().0, "1.0.0+b.1", "`+` is stored as `_`");
    let silent = FetchOptions { wanted: Wanted::package(), ..options() };
    assert_eq!(pull(&server, ":1.0.0", &silent).unwrap().1.provenance, None);
}

#[test]
fn o_a_version_is_a_tag_or_the_highest_of_a_range() {
    let content = Content::default();
    for version in ["1.0.0", "1.2.0", "1.2.3+b.1", "1.10.0", "2.0.0-rc.1"] {
        content.release(version);
    }
    content.tag("stable", &content.release("1.2.0"));
    // Two pages, and the second link would lead elsewhere.
    content.put("tags/list?n=1000", "application/json", b"");
    let copy = content;
    let server = Server::start(move |request, to| match request.target.as_str() {
        "/v2/plugins/foo/tags/list?n=1000" => {
            let link = [("Link", "</v2/plugins/foo/tags/list?n=1000&last=x>; rel=\"next\"")];
            answer(to, "200 OK", &link, br#"{"name":"plugins/foo","tags":["1.0.0","1.2.0","stable","../evil"]}"#)
        }
        "/v2/plugins/foo/tags/list?n=1000&last=x" => {
            let link = [("Link", "<http://127.0.0.1:1/v2/x>; rel=\"next\"")];
            answer(to, "200 OK", &link, br#"{"tags":["1.2.3_b.1","1.10.0","2.0.0-rc.1"]}"#)
        }
        _ => copy.answer(request, to),
    });
    for (wanted, got) in [
        ("1.2.0", "1.2.0"),
        ("stable", "1.2.0"),
        ("~1.2", "1.2.3+b.1"),
        ("1.2", "1.2.3+b.1"),
        ("v1.0.0", "1.0.0"),
        ("^1", "1.10.0"),
        (">=2.0.0-0", "2.0.0-rc.1"),
    ] {
        assert_eq!(pull(&server, "", &version(wanted)).unwrap().0, got, "{wanted}");
    }
    assert_eq!(pull(&server, "", &options()).unwrap().0, "1.10.0", "the highest release");
    let source = Source::parse(&format!("oci://{}/plugins/foo", host(&server)), &SourceContext::default()).unwrap();
    let resolved = resolve(&source, &version("~1.0"), std::path::Path::new("/nowhere"), &NoReport).unwrap().unwrap();
    assert_eq!(resolved.version.as_deref(), Some("1.0.0"));
    assert!(resolved.revision.unwrap().starts_with("sha256:"));
    for wanted in ["3.0.0", "~3", "unknown"] {
        let error = pull(&server, "", &version(wanted)).unwrap_err();
        assert!(error.kind() == ErrorKind::NotFound && error.to_string().contains("nearest known ones: "), "{error}");
    }
    assert!(matches!(error(&server, ":9.9.9", &options()), OciError::UnknownVersion { .. }));
    assert_eq!(pull(&server, ":1.0.0", &version("1.0.0")).unwrap_err().kind(), ErrorKind::Usage);
}

#[test]
fn o_an_index_leads_to_this_platform() {
    let content = Content::default();
    let digest = content.release("1.0.0");
    let platform = crate::manifest::platform::Platform::current();
    let size = content.0.lock().unwrap()[&format!("/v2/plugins/foo/manifests/{digest}")].1.len();
    let index = |os: &str, size: usize| {
        format!(
            r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"{MANIFEST}","digest":"{digest}","size":{size},"platform":{{"os":"{os}","architecture":"{}"}}}}]}}"#,
            platform.arch
        )
    };
    content.tag("good", &content.document(INDEX, &index(&platform.os, size)));
    content.tag("other", &content.document(INDEX, &index("plan9", size)));
    content.tag("size", &content.document(INDEX, &index(&platform.os, size + 1)));
    let server = content.serve();
    assert_eq!(pull(&server, ":good", &options()).unwrap().0, "1.0.0");
    assert!(matches!(error(&server, ":other", &options()), OciError::Platform { .. }));
    assert!(matches!(error(&server, ":size", &options()), OciError::Size { .. }));
}

#[test]
fn o_what_is_not_what_it_should_be_is_refused() {
    let content = Content::default();
    let good = content.release("1.0.0");
    content.release("2.0.0");
    let server = content.serve();
    // A tag that moved between two pulls, or a registry that lies about a digest.
    let other = content.0.lock().unwrap()["/v2/plugins/foo/manifests/2.0.0"].clone();
    content.0.lock().unwrap().insert(format!("/v2/plugins/foo/manifests/{good}"), other);
    assert!(matches!(error(&server, &format!("@{good}"), &options()), OciError::Digest { .. }));
    // Blobs of other bytes, of other lengths.
    for (name, bytes) in [("1.0.0", &b"9.9.9"[..]), ("1.0.0", b"1.0"), ("2.0.0", b"2.0.0 and more")] {
        content.put(&format!("blobs/sha256:{}", Sha256Digest::of(name.as_bytes())), "x", bytes);
        let failed = pull(&server, &format!(":{name}"), &options()).unwrap_err();
        let expected = match bytes.len().cmp(&name.len()) {
            Ordering::Less => matches!(failed, SourceError::Oci(OciError::Size { .. })),
            Ordering::Equal => matches!(failed, SourceError::Oci(OciError::Digest { .. })),
            Ordering::Greater => matches!(failed, SourceError::Oci(OciError::Longer { .. })),
        };
        assert!(expected && failed.kind() == ErrorKind::Unverified, "{failed:?}");
    }
    // A tag that says another version than its package.
    content.tag("3.0.0", &content.release("1.0.0"));
    assert!(matches!(error(&server, ":3.0.0", &options()), OciError::NoPackage { .. }));
}

#[test]
fn o_a_provenance_that_is_named_but_cannot_be_had_is_not_a_missing_one() {
    let content = Content::default();
    content.release("1.0.0");
    let server = content.serve();
    let path = format!("/v2/plugins/foo/blobs/sha256:{}", Sha256Digest::of(b"signed"));
    content.0.lock().unwrap().remove(&path);
    let failed = pull(&server, ":1.0.0", &options()).unwrap_err();
    assert!(matches!(failed, SourceError::ProvenanceFailing { status: 404, .. }), "{failed:?}");
    content.tag("2.0.0", &content.manifest(&[("foo-2.0.0.tgz", b"x"), ("foo-1.0.0.tgz.prov", b"for another")]));
    assert_eq!(pull(&server, ":2.0.0", &options()).unwrap().1.provenance, None);
}

const BASIC: &str = "Basic YW5uOmh1bnRlcjI=";

fn user() -> FetchOptions {
    FetchOptions { username: Some("ann".to_owned()), password: Some(Secret::new("hunter2")), ..options() }
}

/// A registry that wants a token from `realm`, which is its own `/token` where it is empty.
fn guarded(realm: &str) -> Server {
    let content = Content::default();
    content.release("1.0.0");
    let realm = realm.to_owned();
    Server::start(move |request, to| {
        if request.target.starts_with("/token?") {
            assert_eq!(request.target, "/token?service=reg&scope=repository%3Aplugins%2Ffoo%3Apull");
            let body = if request.header("authorization") == Some(BASIC) {
                r#"{"token":"t1"}"#
            } else {
                r#"{"access_token":"t0"}"#
            };
            return answer(to, "200 OK", &[], body.as_bytes());
        }
        if request.header("authorization") != Some("Bearer t1") {
            let own = format!("http://{}/token", request.header("host").unwrap());
            let realm = if realm.is_empty() { own } else { realm.clone() };
            let challenge = format!(r#"Bearer realm="{realm}",service="reg",scope="repository:secret:push""#);
            return answer(to, "401 Unauthorized", &[("WWW-Authenticate", &challenge)], b"");
        }
        content.answer(request, to)
    })
}

#[test]
fn o_a_token_is_fetched_with_the_credentials_and_for_this_repository_alone() {
    let server = guarded("");
    assert_eq!(pull(&server, ":1.0.0", &user()).unwrap().0, "1.0.0");
    let wrong = FetchOptions { username: Some("eve".to_owned()), ..user() };
    let failed = error(&server, ":1.0.0", &wrong);
    assert!(matches!(failed, OciError::Refused { status: 401, .. }), "{failed:?}");
    assert!(
        server.url("").starts_with("http://"),
        "a token of the registry's own origin needs no TLS where nothing else has it"
    );
}

#[test]
fn o_a_refusal_names_only_credentials_that_somebody_gave_and_quotes_the_registry() {
    // How the registry answers after the login that it asks for, by its token's realm or by the registry itself.
    for (token, status, told) in
        [("200 OK", "401 x", 401), ("200 OK", "403 x", 403), ("401 x", "401 x", 401), ("403 x", "401 x", 403)]
    {
        let server = Server::start(move |request, to| {
            let said = br#"{"errors":[{"code":"DENIED","message":"ask \u001b[31m the team"}]}"#;
            if request.target.starts_with("/token?") {
                let body: &[u8] = if token.starts_with("200") { br#"{"token":"t"}"# } else { said };
                return answer(to, token, &[], body);
            }
            let realm = format!(r#"Bearer realm="http://{}/token""#, request.header("host").unwrap());
            let status = if request.header("authorization").is_none() { "401 x" } else { status };
            answer(to, status, &[("WWW-Authenticate", &realm)], said)
        });
        let anonymous = error(&server, ":1.0.0", &options());
        let message = anonymous.to_string();
        assert!(matches!(anonymous, OciError::Unknown { status, .. } if status == told), "{token} {status}: {anonymous:?}");
        for part in ["docker login 127.0.0.1:", "`--username`", "spelling", "ask \\u{1b}[31m the team"] {
            assert!(message.contains(part), "{part}: {message}");
        }
        assert!(!message.contains("that were given"), "{message}");
        let named = error(&server, ":1.0.0", &user());
        assert!(matches!(named, OciError::Refused { status, .. } if status == told), "{token} {status}: {named:?}");
        assert!(named.to_string().contains("that were given"), "{named}");
    }
}

#[test]
fn o_what_is_packed_on_the_way_is_what_its_digest_says() {
    let content = Content::default();
    content.release("1.0.0");
    let server = Server::start(move |request, to| match content.0.lock().unwrap().get(&request.target) {
        Some((content_type, body)) => {
            let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            packed.write_all(body)?;
            answer(to, "200 OK", &[("Content-Type", content_type), ("Content-Encoding", "gzip")], &packed.finish()?)
        }
        None => answer(to, "404 x", &[], b"{}"),
    });
    let (text, fetched) = pull(&server, ":1.0.0", &options()).unwrap();
    assert_eq!((text.as_str(), fetched.provenance.as_deref()), ("1.0.0", Some(&b"signed"[..])));
}

#[test]
fn o_credentials_that_were_named_are_shown_to_a_registry_that_hides_from_strangers() {
    for hidden in ["404 x", "403 x"] {
        let content = Content::default();
        content.release("1.0.0");
        let server = Server::start(move |request, to| match request.header("authorization") {
            Some(BASIC) => content.answer(request, to),
            _ if request.target == "/v2/" => answer(to, "401 x", &[("WWW-Authenticate", "Basic realm=\"x\"")], b""),
            _ => answer(to, hidden, &[], b"{}"),
        });
        assert_eq!(pull(&server, ":1.0.0", &user()).unwrap().0, "1.0.0", "{hidden}");
        assert!(pull(&server, ":1.0.0", &options()).is_err());
    }
}

#[test]
fn o_credentials_go_to_no_realm_of_somebody_else() {
    let thief = Server::start(|_, to| answer(to, "200 OK", &[], br#"{"token":"t1"}"#));
    let realm = thief.url("/token");
    let server = guarded(&realm);
    let failed = error(&server, ":1.0.0", &user());
    assert!(matches!(failed, OciError::TokenHost { .. }), "{failed:?}");
    assert!(failed.to_string().contains("tokenHosts") && !failed.to_string().contains("hunter2"), "{failed}");
    assert!(thief.requests().is_empty());
    // Named in the settings it is no stranger.
    let settings = RegistrySettings { token_hosts: vec!["127.0.0.1".to_owned()], ..RegistrySettings::default() };
    let trusting = FetchOptions { registries: [(host(&server), settings)].into(), ..user() };
    assert_eq!(pull(&server, ":1.0.0", &trusting).unwrap().0, "1.0.0");
    assert_eq!(thief.requests().last().unwrap().header("authorization"), Some(BASIC));
    for realm in ["ftp://x/", "no url", "file:///etc/passwd"] {
        assert!(matches!(error(&guarded(realm), ":1.0.0", &user()), OciError::Challenge { .. }), "{realm}");
    }
}

#[test]
fn o_basic_and_redirected_blobs_keep_credentials_at_home() {
    let content = Content::default();
    content.release("1.0.0");
    let blobs = content.serve();
    let elsewhere = blobs.url("");
    let server = Server::start(move |request, to| {
        if request.header("authorization") != Some(BASIC) {
            return answer(to, "401 x", &[("WWW-Authenticate", "Basic realm=\"x\"")], b"");
        }
        if request.target.contains("/blobs/") {
            return redirect(to, &format!("{elsewhere}{}", request.target));
        }
        content.answer(request, to)
    });
    assert_eq!(pull(&server, ":1.0.0", &user()).unwrap().0, "1.0.0");
    assert!(!blobs.requests().is_empty());
    assert!(blobs.requests().iter().all(|request| request.header("authorization").is_none()));
}

#[test]
fn o_settings_of_a_registry_hold_and_https_is_the_rule() {
    let content = Content::default();
    content.release("1.0.0");
    let server = content.serve();
    let mut secure = FetchOptions { plain_http: false, ..options() };
    secure.http.retries = 0;
    assert!(matches!(pull(&server, ":1.0.0", &secure), Err(SourceError::Http(_))), "https is the rule");
    secure.registries.insert(host(&server), RegistrySettings { plain_http: true, ..RegistrySettings::default() });
    assert_eq!(pull(&server, ":1.0.0", &secure).unwrap().0, "1.0.0");
}
