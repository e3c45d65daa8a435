//! The client against a server that misbehaves.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::digest::Sha256Digest;
use crate::error::{Classified as _, ErrorKind};
use crate::intake::package::FetchedPackage;
use crate::intake::source::http_server::{self, Server, answer, head, redirect};
use crate::intake::source::{FetchOptions, HttpError, Secret, Source, SourceContext, SourceError, TlsCause, Wanted, fetch};
use crate::report::NoReport;

/// A body that begins as gzip and is longer than one block.
fn body() -> Vec<u8> {
    let mut bytes = vec![0x1f, 0x8b];
    bytes.extend((0..700_000_u32).map(|i| (i % 253) as u8));
    bytes
}

fn options() -> FetchOptions {
    let mut options = FetchOptions { wanted: Wanted::package(), ..FetchOptions::default() };
    options.http.connect_timeout = Duration::from_secs(5);
    options.http.idle_timeout = Duration::from_secs(5);
    options
}

fn get(url: &str, options: &FetchOptions) -> Result<FetchedPackage, SourceError> {
    let spool = tempfile::tempdir().unwrap();
    let source = Source::parse(url, &SourceContext::default()).unwrap();
    let result = fetch(&source, options, spool.path(), &NoReport);
    if let Ok(fetched) = &result {
        let bytes = std::fs::read(&fetched.path).unwrap();
        assert_eq!((fetched.digest, fetched.size), (Sha256Digest::of(&bytes), bytes.len() as u64));
    }
    result
}

fn http(result: Result<FetchedPackage, SourceError>) -> HttpError {
    match result.unwrap_err() {
        SourceError::Http(error) => error,
        other => panic!("{other:?}"),
    }
}

fn length(n: usize) -> (String, String) {
    ("Content-Length".to_owned(), n.to_string())
}

#[test]
fn f_a_package_comes_with_its_provenance_and_its_query() {
    let server = Server::start(|request, to| match request.target.as_str() {
        "/p/foo-1.0.0.tgz?token=abc" => answer(to, "200 OK", &[], &body()),
        "/p/foo-1.0.0.tgz.prov?token=abc" => answer(to, "200 OK", &[], b"signed"),
        _ => answer(to, "404 Not Found", &[], b""),
    });
    let mut options = options();
    options.wanted = Wanted::default();
    let fetched = get(&server.url("/p/foo-1.0.0.tgz?token=abc#frag"), &options).unwrap();
    assert_eq!(fetched.digest, Sha256Digest::of(&body()));
    assert_eq!(fetched.file_name, "foo-1.0.0.tgz");
    assert_eq!(fetched.provenance.as_deref(), Some(&b"signed"[..]));
    assert_eq!(fetched.provenance_at, server.url("/p/foo-1.0.0.tgz.prov?***"));
    assert_eq!(fetched.origin.asked, server.url("/p/foo-1.0.0.tgz?token=abc"));
    assert_eq!(fetched.origin.resolved, fetched.origin.asked);
    assert!(server.requests().iter().all(|request| request.header("accept-encoding") == Some("identity")));
}

/// `bytes`, packed by gzip.
fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// What looks like a package: a packed file that begins as a tar archive, and is longer than a block when it is packed.
fn package() -> Vec<u8> {
    let mut tar = vec![0; 400_000];
    tar[257..262].copy_from_slice(b"ustar");
    let mut state = 1_u32;
    for byte in &mut tar[512..] {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *byte = (state >> 24) as u8;
    }
    gzip(&tar)
}

#[test]
fn f_what_a_server_packs_on_the_way_is_unpacked_and_what_it_only_calls_packed_is_not() {
    let coded = ("Content-Encoding", "gzip");
    let server = Server::start(move |request, to| match request.target.as_str() {
        "/plain.tgz" => answer(to, "200 OK", &[], &package()),
        "/label.tgz" | "/label" => answer(to, "200 OK", &[coded], &package()),
        "/coded.tgz" | "/coded" => answer(to, "200 OK", &[coded], &gzip(&package())),
        "/typed" => answer(to, "200 OK", &[coded, ("Content-Type", "application/gzip")], &gzip(&package())),
        "/wrong.tgz.prov" => answer(to, "200 OK", &[coded], b"signed"),
        path if path.ends_with(".prov") => answer(to, "200 OK", &[coded], &gzip(b"signed")),
        "/wrong.tgz" => answer(to, "200 OK", &[("Content-Encoding", "deflate")], &package()),
        "/page" => answer(to, "200 OK", &[coded, ("Content-Type", "text/html")], &gzip(b"<html>")),
        "/refused.tgz" => answer(to, "403 x", &[coded], &gzip(br#"{"message":"full moon"}"#)),
        "/brotli.tgz" => answer(to, "200 OK", &[("Content-Encoding", "br")], b"x"),
        "/broken.tgz" => answer(to, "200 OK", &[coded], &gzip(&package())[..5000]),
        _ => answer(to, "404 x", &[], b""),
    });
    let mut options = options();
    options.wanted = Wanted::default();
    options.http.retries = 0;
    for path in ["/plain.tgz", "/label.tgz", "/label", "/coded.tgz", "/coded", "/typed", "/wrong.tgz"] {
        let fetched = get(&server.url(path), &options).unwrap();
        assert_eq!(fetched.digest, Sha256Digest::of(&package()), "{path}");
        assert_eq!(fetched.provenance.as_deref(), Some(&b"signed"[..]), "{path}");
    }
    assert!(matches!(get(&server.url("/page"), &options), Err(SourceError::NotAnArchive { .. })));
    assert!(http(get(&server.url("/refused.tgz"), &options)).to_string().contains("full moon"));
    for path in ["/brotli.tgz", "/broken.tgz"] {
        let error = http(get(&server.url(path), &options));
        assert!(matches!(error, HttpError::Coding { .. }) && error.kind() != ErrorKind::Unavailable, "{path}: {error:?}");
    }
}

#[test]
fn f_nothing_packed_grows_beyond_its_limit() {
    let coded = ("Content-Encoding", "gzip");
    let bomb = gzip(&gzip(&vec![0; 50_000_000]));
    let server = Server::start(move |request, to| match request.target.as_str() {
        "/foo.tgz" => answer(to, "200 OK", &[coded], &gzip(&bomb)),
        "/small.tgz" => answer(to, "200 OK", &[], &package()),
        _ => answer(to, "200 OK", &[coded], &gzip(&vec![b' '; 5_000_000])),
    });
    let mut options = options();
    options.http.max_bytes = 100;
    let error = http(get(&server.url("/foo.tgz"), &options));
    assert!(matches!(error, HttpError::TooLarge { limit: 100, .. }), "{error:?}");
    options.http.max_bytes = 1 << 20;
    options.wanted = Wanted::default();
    assert!(matches!(get(&server.url("/small.tgz"), &options), Err(SourceError::ProvenanceTooLarge { .. })));
}

#[test]
fn f_a_broken_download_of_packed_bytes_goes_on_in_them() {
    let sent = gzip(&package());
    let half = sent.len() / 2;
    for (coding, requests) in [("gzip", 2), ("identity", 3)] {
        let (sent, count) = (sent.clone(), AtomicUsize::new(0));
        let server = Server::start(move |request, to| {
            let coded = ("Content-Encoding".to_owned(), "gzip".to_owned());
            if count.fetch_add(1, Ordering::SeqCst) == 0 {
                head(to, "200 OK", &[length(sent.len()), ("ETag".to_owned(), "\"v1\"".to_owned()), coded])?;
                return to.write_all(&sent[..half]);
            }
            if request.header("range").is_none() {
                return answer(to, "200 OK", &[], &package());
            }
            let range = format!("bytes {half}-{}/{}", sent.len() - 1, sent.len());
            let headers = [("Content-Range", &*range), ("ETag", "\"v1\""), ("Content-Encoding", coding)];
            answer(to, "206 Partial Content", &headers, &sent[half..])
        });
        assert_eq!(get(&server.url("/foo.tgz"), &options()).unwrap().digest, Sha256Digest::of(&package()), "{coding}");
        assert_eq!(server.requests().len(), requests, "{coding}");
    }
}

#[test]
fn f_what_has_no_suffix_is_recognised_by_type_or_first_bytes() {
    let server = Server::start(|request, to| match request.target.as_str() {
        "/typed?id=1" => answer(to, "200 OK", &[("Content-Type", "application/gzip; x=y")], b"whatever"),
        "/bytes?id=1" => answer(to, "200 OK", &[("Content-Type", "application/octet-stream")], &body()),
        _ => answer(to, "200 OK", &[("Content-Type", "text/html")], b"<html>"),
    });
    assert_eq!(get(&server.url("/typed?id=1"), &options()).unwrap().size, 8);
    assert_eq!(get(&server.url("/bytes?id=1"), &options()).unwrap().size, body().len() as u64);
    match get(&server.url("/page"), &options()).unwrap_err() {
        SourceError::NotAnArchive { content_type, .. } => assert_eq!(content_type, "text/html"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn f_credentials_stay_with_their_scheme_host_and_port() {
    let other = Server::files(&[("/foo.tgz", &body())]);
    let other_url = other.url("/foo.tgz");
    let server = Server::start(move |request, to| match request.target.as_str() {
        "/port" => redirect(to, &other_url),
        "/host" => redirect(to, &other_url.replace("127.0.0.1", "localhost")),
        "/user" => redirect(to, &other_url.replace("http://", "http://eve:trap@")),
        "/same" => redirect(to, "/foo.tgz"),
        _ => answer(to, "200 OK", &[], &body()),
    });
    let with_user = |path: &str| server.url(path).replace("http://", "http://ann:s%40crêt@");
    for path in ["/port", "/host", "/user"] {
        get(&format!("{}?.tgz", with_user(path)), &options()).ok();
        get(&with_user(path), &options()).unwrap();
    }
    assert!(!other.requests().is_empty());
    assert!(other.requests().iter().all(|request| request.header("authorization").is_none()), "{:?}", other.requests());
    let before = server.requests().len();
    get(&with_user("/same"), &options()).unwrap();
    let basic = Some("Basic YW5uOnNAY3LDqnQ=");
    assert!(server.requests()[before..].iter().all(|request| request.header("authorization") == basic));
    let mut options = options();
    options.username = Some("bob".to_owned());
    options.password = Some(Secret::new("pw"));
    get(&with_user("/foo.tgz"), &options).unwrap();
    assert_eq!(
        server.requests().last().unwrap().header("authorization"),
        Some("Basic Ym9iOnB3"),
        "a flag wins over the URL"
    );
}

#[test]
fn f_redirects_end_and_lead_to_the_web_alone() {
    let server = Server::start(|request, to| match request.target.as_str() {
        "/circle.tgz" => redirect(to, "/circle.tgz"),
        "/file.tgz" => redirect(to, "file:///etc/passwd"),
        "/nowhere.tgz" => answer(to, "302 Found", &[], b""),
        "/chain.tgz" => redirect(to, "chain2?secret=1"),
        _ => answer(to, "200 OK", &[], &body()),
    });
    assert!(matches!(http(get(&server.url("/circle.tgz"), &options())), HttpError::TooManyRedirects { .. }));
    assert!(matches!(http(get(&server.url("/file.tgz"), &options())), HttpError::BadRedirect { .. }));
    assert!(matches!(http(get(&server.url("/nowhere.tgz"), &options())), HttpError::BadRedirect { .. }));
    assert_eq!(get(&server.url("/chain.tgz"), &options()).unwrap().origin.resolved, server.url("/chain2?secret=1"));
}

#[test]
fn f_statuses_have_errors_of_their_own() {
    let server = Server::start(|request, to| {
        let status = request.target.get(1..4).unwrap();
        answer(to, &format!("{status} x"), &[], b"")
    });
    let mut options = options();
    options.http.retries = 0;
    let error = |status: u16, user: bool| {
        let url = server.url(&format!("/{status}.tgz?token=hunter2"));
        http(get(&if user { url.replace("http://", "http://ann:hunter2@") } else { url }, &options))
    };
    assert!(matches!(error(404, false), HttpError::NotFound { .. }));
    assert!(matches!(error(410, false), HttpError::NotFound { .. }));
    assert!(matches!(error(401, false), HttpError::Unauthorized { .. }));
    assert!(matches!(error(401, true), HttpError::Refused { .. }));
    assert!(matches!(error(403, false), HttpError::Forbidden { .. }));
    assert!(matches!(error(500, false), HttpError::Status { status: 500, .. }));
    assert!(matches!(error(204, false), HttpError::Status { status: 204, .. }));
    for status in [404, 401, 403, 500, 418] {
        let error = error(status, true);
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
}

#[test]
fn f_later_is_advised_only_where_later_may_help() {
    let server = Server::start(|request, to| {
        let status = request.target.get(1..4).unwrap();
        answer(to, &format!("{status} x"), &[("Retry-After", "0")], br#"{"errors":[{"message":"it is full moon"}]}"#)
    });
    let mut options = options();
    options.http.retries = 0;
    for (status, later) in [
        (400, false),
        (401, false),
        (403, false),
        (404, false),
        (405, false),
        (409, false),
        (412, false),
        (418, false),
        (429, true),
        (500, true),
        (502, true),
        (503, true),
    ] {
        let error = get(&server.url(&format!("/{status}.tgz")), &options).unwrap_err();
        let message = error.to_string();
        assert!(message.contains("it is full moon") && message.contains(&format!("HTTP {status}")), "{message}");
        assert_eq!(message.contains("try again later"), later, "{message}");
        assert_eq!(error.kind() == ErrorKind::Unavailable, later, "{status}");
    }
}

#[test]
fn f_what_may_pass_is_told_from_what_will_not() {
    let silent = Server::start(|_, _| {
        std::thread::sleep(Duration::from_secs(3));
        Ok(())
    });
    let short = Server::start(|_, to| head(to, "200 OK", &[length(10)]));
    let broken = Server::start(|_, _| Ok(()));
    let mut options = options();
    options.http.retries = 0;
    options.http.idle_timeout = Duration::from_millis(300);
    for url in [
        "http://127.0.0.1:1/foo.tgz".to_owned(),
        "http://no-such-host.invalid/foo.tgz".to_owned(),
        silent.url("/foo.tgz"),
        short.url("/foo.tgz"),
        broken.url("/foo.tgz"),
    ] {
        let error = get(&url, &options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    }
    let circle = Server::start(|_, to| redirect(to, "/circle.tgz"));
    assert!(get(&circle.url("/circle.tgz"), &options).unwrap_err().kind() != ErrorKind::Unavailable);
}

#[test]
fn f_the_four_ways_not_to_get_a_provenance_are_four_errors() {
    let server = Server::start(|request, to| match request.target.as_str() {
        path if path.ends_with(".tgz") => answer(to, "200 OK", &[], &body()),
        "/401.tgz.prov" => answer(to, "401 x", &[], b""),
        "/403.tgz.prov" => answer(to, "403 x", &[], b""),
        "/503.tgz.prov" => answer(to, "503 x", &[], b""),
        "/broken.tgz.prov" => Ok(()),
        "/large.tgz.prov" => answer(to, "200 OK", &[], &vec![b'x'; 3_000_000]),
        "/gone.tgz.prov" => redirect(to, "http://127.0.0.1:1/foo.prov"),
        _ => answer(to, "404 x", &[], b""),
    });
    let mut options = options();
    options.wanted = Wanted::default();
    options.http.retries = 1;
    assert_eq!(get(&server.url("/404.tgz"), &options).unwrap().provenance, None);
    let error = |path: &str| {
        let error = get(&server.url(path), &options).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Unverified | ErrorKind::ProofUnavailable), "{error:?}");
        error
    };
    assert!(matches!(error("/401.tgz"), SourceError::ProvenanceForbidden { status: 401, .. }));
    assert!(matches!(error("/403.tgz"), SourceError::ProvenanceForbidden { status: 403, .. }));
    assert!(matches!(error("/503.tgz"), SourceError::ProvenanceFailing { status: 503, .. }));
    assert!(matches!(error("/broken.tgz"), SourceError::ProvenanceUnreachable { .. }));
    assert!(matches!(error("/gone.tgz"), SourceError::ProvenanceUnreachable { .. }));
    assert!(matches!(error("/large.tgz"), SourceError::ProvenanceTooLarge { .. }));
}

#[test]
fn f_credentials_are_asked_for_only_where_none_were_given() {
    let server = Server::start(|request, to| match request.target.as_str() {
        path if path.contains("401") => answer(to, "401 x", &[], b""),
        path if path.contains("403") => answer(to, "403 x", &[], b""),
        _ => answer(to, "200 OK", &[], &body()),
    });
    let provenance = Server::start(|request, to| match request.target.as_str() {
        path if path.ends_with(".tgz") => answer(to, "200 OK", &[], &body()),
        path => answer(to, path.get(1..4).unwrap(), &[], b""),
    });
    let mut options = options();
    options.wanted = Wanted::default();
    for server in [&server, &provenance] {
        for (status, user) in [("401", false), ("401", true), ("403", false), ("403", true)] {
            let url = server.url(&format!("/{status}.tgz"));
            let url = if user { url.replace("http://", "http://ann:pw@") } else { url };
            let message = get(&url, &options).unwrap_err().to_string();
            assert_eq!(message.contains("give `--username`"), !user, "{message}");
        }
    }
}

#[test]
fn f_failing_servers_are_asked_again() {
    for failing in ["500 x", "503 x", "429 x", "drop"] {
        let count = AtomicUsize::new(0);
        let server = Server::start(move |_, to| match (count.fetch_add(1, Ordering::SeqCst), failing) {
            (0, "drop") => Ok(()),
            (0, status) => answer(to, status, &[("Retry-After", "1")], b""),
            _ => answer(to, "200 OK", &[], &body()),
        });
        let started = Instant::now();
        get(&server.url("/foo.tgz"), &options()).unwrap();
        assert_eq!(server.requests().len(), 2, "{failing}");
        assert!(failing == "drop" || started.elapsed() >= Duration::from_secs(1), "Retry-After is honoured");
    }
    let server = Server::start(|_, to| answer(to, "429 x", &[("Retry-After", "3600")], b""));
    assert!(matches!(http(get(&server.url("/foo.tgz"), &options())), HttpError::RetryLater { seconds: 3600, .. }));
    assert_eq!(server.requests().len(), 1);
}

/// A server that breaks off the first answer after `sent` bytes, and whose later behaviour `rest` decides.
fn breaking(
    sent: usize,
    etag: &'static str,
    rest: impl Fn(&http_server::Request, &mut dyn http_server::Connection) -> std::io::Result<()> + Send + Sync + 'static,
) -> Server {
    let count = AtomicUsize::new(0);
    Server::start(move |request, to| {
        if count.fetch_add(1, Ordering::SeqCst) == 0 {
            head(to, "200 OK", &[length(body().len()), ("ETag".to_owned(), etag.to_owned())])?;
            return to.write_all(&body()[..sent]);
        }
        rest(request, to)
    })
}

fn partial(
    to: &mut dyn http_server::Connection,
    from: usize,
    total: usize,
    etag: &str,
    bytes: &[u8],
) -> std::io::Result<()> {
    let range = format!("bytes {from}-{}/{total}", from + bytes.len() - 1);
    answer(to, "206 Partial Content", &[("Content-Range", &range), ("ETag", etag)], bytes)
}

#[test]
fn f_a_broken_download_goes_on_where_it_broke() {
    let server = breaking(300_001, "\"v1\"", |_, to| partial(to, 300_001, body().len(), "\"v1\"", &body()[300_001..]));
    assert_eq!(get(&server.url("/foo.tgz"), &options()).unwrap().digest, Sha256Digest::of(&body()));
    let requests = server.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!((requests[1].header("range"), requests[1].header("if-range")), (Some("bytes=300001-"), Some("\"v1\"")));
}

#[test]
fn f_a_file_that_changed_is_begun_again() {
    let changed: Vec<u8> = body().iter().rev().copied().collect();
    let copy = changed.clone();
    let server = breaking(300_001, "\"v1\"", move |_, to| answer(to, "200 OK", &[("ETag", "\"v2\"")], &copy));
    assert_eq!(get(&server.url("/foo.tgz"), &options()).unwrap().digest, Sha256Digest::of(&changed));

    // Servers that answer a range although the file changed, with a wrong range, or not at all.
    type Rest = fn(&http_server::Request, &mut dyn http_server::Connection) -> std::io::Result<()>;
    let rests: [Rest; 5] = [
        |_, to| partial(to, 300_001, body().len(), "\"v2\"", &body()[300_001..]),
        |_, to| partial(to, 300_000, body().len(), "\"v1\"", &body()[300_000..]),
        |_, to| partial(to, 300_001, body().len() + 1, "\"v1\"", &body()[300_001..]),
        |_, to| answer(to, "206 Partial Content", &[], &body()[300_001..]),
        |_, to| answer(to, "416 Range Not Satisfiable", &[], b""),
    ];
    for (number, rest) in rests.into_iter().enumerate() {
        let server = breaking(300_001, "\"v1\"", move |request, to| {
            if request.header("range").is_some() { rest(request, to) } else { answer(to, "200 OK", &[], &body()) }
        });
        assert_eq!(get(&server.url("/foo.tgz"), &options()).unwrap().digest, Sha256Digest::of(&body()), "{number}");
        assert_eq!(server.requests().len(), 3, "{number}");
    }
    // Without a strong validator nothing says that the rest belongs to the same file.
    let server = breaking(300_001, "W/\"v1\"", |request, to| {
        assert_eq!(request.header("range"), None);
        answer(to, "200 OK", &[], &body())
    });
    assert_eq!(get(&server.url("/foo.tgz"), &options()).unwrap().digest, Sha256Digest::of(&body()));
}

#[test]
fn f_short_bodies_are_errors() {
    let mut options = options();
    options.http.retries = 1;
    let server = Server::start(|_, to| {
        head(to, "200 OK", &[length(body().len())])?;
        to.write_all(&body()[..1000])
    });
    let error = http(get(&server.url("/foo.tgz"), &options));
    assert!(matches!(error, HttpError::Short { got: 1000, .. }), "{error:?}");
    let chunked = Server::start(|_, to| {
        head(to, "200 OK", &[("Transfer-Encoding".to_owned(), "chunked".to_owned())])?;
        to.write_all(b"5\r\nhello\r\n9\r\nwor")
    });
    assert!(matches!(http(get(&chunked.url("/foo.tgz"), &options)), HttpError::Broken { .. }));
    let two_lengths = Server::start(|_, to| {
        head(to, "200 OK", &[length(5), length(6)])?;
        to.write_all(b"hello!")
    });
    assert!(get(&two_lengths.url("/foo.tgz"), &options).is_err());
}

#[test]
fn f_the_size_is_capped_whether_announced_or_not() {
    let server = Server::start(|request, to| match request.target.as_str() {
        "/announced.tgz" => head(to, "200 OK", &[length(1 << 40)]),
        _ => {
            head(to, "200 OK", &[])?;
            loop {
                to.write_all(&[0; 4096])?;
            }
        }
    });
    let mut options = options();
    options.http.max_bytes = 600_000;
    assert!(matches!(http(get(&server.url("/announced.tgz"), &options)), HttpError::TooLarge { limit: 600_000, .. }));
    assert!(matches!(http(get(&server.url("/endless.tgz"), &options)), HttpError::TooLarge { .. }));
    assert_eq!(server.requests().len(), 2, "a file that is too large is not asked for again");
}

#[test]
fn f_silence_and_slowness_have_limits() {
    let server = Server::start(|request, to| {
        if request.target.starts_with("/trickle") {
            head(to, "200 OK", &[length(100)])?;
            for _ in 0..100 {
                to.write_all(b"x")?;
                to.flush()?;
                std::thread::sleep(Duration::from_millis(100));
            }
        } else if request.target.starts_with("/stall") {
            head(to, "200 OK", &[length(100)])?;
            to.write_all(b"x")?;
            std::thread::sleep(Duration::from_secs(5));
        } else {
            std::thread::sleep(Duration::from_secs(5));
        }
        Ok(())
    });
    let mut options = options();
    options.http.idle_timeout = Duration::from_millis(400);
    for path in ["/silent.tgz", "/stall.tgz"] {
        let started = Instant::now();
        assert!(matches!(http(get(&server.url(path), &options)), HttpError::Idle { seconds: 1, .. }), "{path}");
        assert!(started.elapsed() < Duration::from_secs(2));
    }
    options.timeout = Some(Duration::from_secs(1));
    let started = Instant::now();
    let error = http(get(&server.url("/trickle.tgz"), &options));
    assert!(matches!(error, HttpError::Timeout { seconds: 1, .. }), "{error:?}");
    assert!(started.elapsed() < Duration::from_secs(3));
}

#[test]
fn f_an_unreachable_server_says_so_at_once() {
    let started = Instant::now();
    let error = http(get("http://ann:hunter2@127.0.0.1:1/foo.tgz?token=hunter2", &options()));
    assert!(matches!(error, HttpError::Unreachable { .. }), "{error:?}");
    let mut shown = format!("{error:?}");
    let mut next: Option<&dyn std::error::Error> = Some(&error);
    while let Some(error) = next {
        shown.push_str(&error.to_string());
        next = error.source();
    }
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(started.elapsed() < Duration::from_secs(2));
}

#[test]
fn options_that_cannot_be_honoured_are_refused() {
    let spool = tempfile::tempdir().unwrap();
    let file = spool.path().join("foo.tgz");
    std::fs::write(&file, b"x").unwrap();
    let local = Source::parse(file.to_str().unwrap(), &SourceContext::default()).unwrap();
    let refused = |source: &Source, options: FetchOptions| {
        let error = fetch(source, &options, spool.path(), &NoReport).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage, "{error:?}");
        match error {
            SourceError::Option { option, .. } => option,
            other => panic!("{other:?}"),
        }
    };
    let user = || FetchOptions { username: Some("ann".to_owned()), ..options() };
    assert_eq!(refused(&local, user()), "--username");
    assert_eq!(refused(&local, FetchOptions { insecure_skip_tls_verify: true, ..options() }), "--insecure-skip-tls-verify");
    let web = Source::parse("https://127.0.0.1:1/foo.tgz", &SourceContext::default()).unwrap();
    assert_eq!(refused(&web, FetchOptions { plain_http: true, ..options() }), "--plain-http");
    assert_eq!(refused(&web, FetchOptions { password: Some(Secret::new("x")), ..options() }), "--password-stdin");
    assert_eq!(refused(&web, FetchOptions { key_file: Some(file), ..options() }), "--key-file");
}

/// A certificate authority, a server's certificate by it, and a client's.
struct Authority {
    dir: tempfile::TempDir,
    server: Arc<ServerConfig>,
    server_for_known_clients: Arc<ServerConfig>,
}

impl Authority {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let _ = rustls::crypto::ring::default_provider().install_default();
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let ca = params.self_signed(&key).unwrap();
        let issuer = rcgen::Issuer::from_params(&params, &key);
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        write("ca.pem", &ca.pem());

        let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
        let server_key = rcgen::KeyPair::generate().unwrap();
        let server_cert = rcgen::CertificateParams::new(names).unwrap().signed_by(&server_key, &issuer).unwrap();
        let client_key = rcgen::KeyPair::generate().unwrap();
        let mut client = rcgen::CertificateParams::new(vec!["ann".to_owned()]).unwrap();
        client.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        write("client.pem", &client.signed_by(&client_key, &issuer).unwrap().pem());
        write("client.key", &client_key.serialize_pem());

        let mut roots = rustls::RootCertStore::empty();
        roots.add(ca.der().clone()).unwrap();
        let known = rustls::server::WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap();
        let chain = || vec![server_cert.der().clone()];
        let key = || PrivateKeyDer::try_from(server_key.serialize_der()).unwrap();
        let plain = ServerConfig::builder().with_no_client_auth().with_single_cert(chain(), key()).unwrap();
        let strict = ServerConfig::builder().with_client_cert_verifier(known).with_single_cert(chain(), key()).unwrap();
        Self { dir, server: Arc::new(plain), server_for_known_clients: Arc::new(strict) }
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        Some(self.dir.path().join(name))
    }
}

fn serve_body(_: &http_server::Request, to: &mut dyn http_server::Connection) -> std::io::Result<()> {
    answer(to, "200 OK", &[], &body())
}

#[test]
fn f_tls_is_checked_and_a_private_authority_can_be_named() {
    let authority = Authority::new();
    let server = Server::start_tls(authority.server.clone(), serve_body);
    let url = server.url("/foo.tgz");
    assert!(matches!(http(get(&url, &options())), HttpError::Tls { cause: TlsCause::UnknownIssuer, .. }));
    let named = FetchOptions { ca_file: authority.path("ca.pem"), ..options() };
    get(&url, &named).unwrap();
    get(&url.replace("127.0.0.1", "localhost"), &named).unwrap();
    get(&url, &FetchOptions { insecure_skip_tls_verify: true, ..options() }).unwrap();
    for bad in ["client.key", "missing.pem"] {
        let options = FetchOptions { ca_file: authority.path(bad), ..options() };
        assert!(matches!(http(get(&url, &options)), HttpError::TlsFile { .. }), "{bad}");
        let plain = Server::files(&[("/foo.tgz", &body())]);
        assert!(get(&plain.url("/foo.tgz"), &options).is_err(), "a file that is of no use is never passed over in silence");
    }
}

#[test]
fn f_a_client_certificate_is_shown_where_one_is_asked_for() {
    let authority = Authority::new();
    let server = Server::start_tls(authority.server_for_known_clients.clone(), serve_body);
    let url = server.url("/foo.tgz");
    let mut options = FetchOptions { ca_file: authority.path("ca.pem"), ..options() };
    options.http.retries = 0;
    let refused = http(get(&url, &options));
    assert!(matches!(refused, HttpError::Tls { cause: TlsCause::ClientWanted, .. }), "{refused:?}");
    let message = refused.to_string();
    assert!(message.contains("`--cert-file`") && !message.contains("--ca-file"), "{message}");
    options.cert_file = authority.path("client.pem");
    assert!(matches!(http(get(&url, &options)), HttpError::TlsFile { .. }), "the key is missing");
    options.key_file = authority.path("client.key");
    get(&url, &options).unwrap();
    options.ca_file = None;
    options.insecure_skip_tls_verify = true;
    get(&url, &options).unwrap();
}

#[test]
fn f_a_self_signed_authority_may_be_the_server_itself() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let dir = tempfile::tempdir().unwrap();
    let make = |names: &[&str]| {
        let key = rcgen::KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = rcgen::CertificateParams::new(names).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let cert = params.self_signed(&key).unwrap();
        let chain: Vec<CertificateDer<'static>> = vec![cert.der().clone()];
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap();
        (cert.pem(), Server::start_tls(Arc::new(config), serve_body))
    };
    let trusting = |pem: &str, path: &Path| {
        std::fs::write(path, pem).unwrap();
        FetchOptions { ca_file: Some(path.to_owned()), ..options() }
    };
    let (pem, server) = make(&["127.0.0.1"]);
    get(&server.url("/foo.tgz"), &trusting(&pem, &dir.path().join("own.pem"))).unwrap();
    let (_, other) = make(&["127.0.0.1"]);
    let error = http(get(&other.url("/foo.tgz"), &trusting(&pem, &dir.path().join("other.pem"))));
    assert!(matches!(error, HttpError::Tls { cause: TlsCause::OtherIssuer, .. }), "{error:?}");
    let (pem, server) = make(&["elsewhere.example"]);
    let error = http(get(&server.url("/foo.tgz"), &trusting(&pem, &dir.path().join("name.pem"))));
    assert!(matches!(error, HttpError::Tls { cause: TlsCause::WrongName, .. }), "{error:?}");
}

#[test]
fn f_https_is_never_left_for_http() {
    let authority = Authority::new();
    let plain = Server::files(&[("/foo.tgz", &body())]);
    let target = plain.url("/foo.tgz?token=hunter2");
    let server = Server::start_tls(authority.server.clone(), move |_, to| redirect(to, &target));
    let options = FetchOptions { ca_file: authority.path("ca.pem"), ..options() };
    let error = http(get(&server.url("/foo.tgz"), &options));
    assert!(matches!(error, HttpError::Downgrade { .. }) && !error.to_string().contains("hunter2"), "{error}");
    assert!(plain.requests().is_empty());
    let up = Server::start(move |_, to| redirect(to, &server.url("/bar.tgz")));
    assert!(matches!(http(get(&up.url("/foo.tgz"), &options)), HttpError::Downgrade { .. }), "not on a detour either");
}
