use proptest::prelude::*;

use super::*;
use crate::error::{Classified as _, ErrorKind};

fn known() -> SourceContext {
    SourceContext {
        getters: [("s3".to_owned(), "s3-getter".to_owned()), ("https".to_owned(), "thief".to_owned())].into(),
        indexes: ["corp".to_owned()].into(),
    }
}

fn parse(argument: &str) -> Result<Source, SourceError> {
    Source::parse(argument, &known())
}

#[test]
fn one_order_decides() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("foo-1.0.0.tgz");
    std::fs::write(&archive, b"").unwrap();
    let other = dir.path().join("foo.zip");
    std::fs::write(&other, b"").unwrap();
    let dir_named_as_archive = dir.path().join("dir.tgz");
    std::fs::create_dir(&dir_named_as_archive).unwrap();
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    assert_eq!(parse(&text(dir.path())).unwrap(), Source::Directory(dir.path().to_owned()));
    assert_eq!(parse(&text(&dir_named_as_archive)).unwrap(), Source::Directory(dir_named_as_archive));
    assert_eq!(parse(&text(&archive)).unwrap(), Source::Archive(archive));
    assert!(matches!(parse(&text(&other)), Err(SourceError::NotAPackage { .. })));

    let rows = [
        ("oci://ghcr.io/team/foo:1.0.0", 0),
        ("http://h/a/foo.tgz", 3),
        ("HTTPS://h/a/foo.tar.gz?token=x.zip", 3),
        ("git+https://h/foo.tgz", 4),
        ("git+ssh://git@h/foo", 4),
        ("git+file:///srv/foo.git", 4),
        ("ssh://git@h/foo", 4),
        ("git@h:team/foo", 4),
        ("https://h/team/foo.git", 4),
        ("https://h/team/foo.git/?x", 4),
        ("https://h/team/foo", 5),
        ("https://h/download?file=foo.tgz", 5),
        ("s3://bucket/foo.tgz", 6),
        ("owner/repo", 7),
        ("owner/repo.name@v1.2", 7),
        ("github.com/owner/repo", 7),
        ("https://github.com/owner/repo", 7),
        ("HTTPS://GitHub.com/owner/repo/", 7),
        ("https://github.com:443/owner/repo.git", 7),
        ("https://github.com/owner/repo/releases/tag/v1.2.3", 7),
        ("https://github.com/owner/repo/releases/tag/v1.2.3%2Bb", 7),
        ("https://github.com/owner/repo/releases/download/v1/p.tgz", 3),
        ("https://github.com/owner/repo/archive/v1.tar.gz", 3),
        ("git+https://github.com/owner/repo", 4),
        ("https://github.com/owner/repo.git?x", 4),
        ("https://github.com/owner/repo?tab=readme", 5),
        ("https://github.com/owner/repo/tree/main", 5),
        ("https://github.com/owner", 5),
        ("https://github.com:444/owner/repo", 5),
        ("http://github.com/owner/repo", 5),
        ("https://github.com.evil.example/owner/repo", 5),
        ("corp/foo", 8),
        ("corp/foo@~1.2", 8),
        ("foo", 8),
        ("foo@1.2.3", 8),
    ];
    for (argument, row) in rows {
        let source = parse(argument).unwrap_or_else(|e| panic!("{argument}: {e}"));
        assert_eq!(source.row(), row, "{argument}: {source:?}");
        assert_eq!(source.explain().iter().position(|line| line.starts_with("it is ")), Some(row), "{argument}");
        assert_eq!(parse(&source.asked()).unwrap(), source, "{argument} must survive the receipt");
    }
}

#[test]
fn the_url_of_a_repository_on_github_is_its_short_form() {
    for (url, short) in [
        ("https://github.com/owner/repo", "owner/repo"),
        ("https://github.com/owner/repo/", "owner/repo"),
        ("https://github.com/owner/repo.git", "owner/repo"),
        ("https://github.com/owner/repo.git/", "owner/repo"),
        ("https://github.com/owner/re.po", "owner/re.po"),
        ("https://github.com/owner/repo/releases/tag/v1.2.3", "owner/repo@v1.2.3"),
        ("https://github.com/owner/repo/releases/tag/v1.2.3%2Bb", "owner/repo@v1.2.3+b"),
    ] {
        assert_eq!(parse(url).unwrap(), parse(short).unwrap(), "{url}");
    }
}

#[test]
fn nothing_there_and_nothing_understood_are_told_apart() {
    for missing in [
        "./foo",
        "../foo",
        "/no/such",
        "foo-1.0.0.tgz",
        "./foo.tgz",
        "a/b/c",
        "owner/foo.tgz",
        "foo.txt",
        "-rf",
        "a\\b",
        "x/..",
    ] {
        let error = parse(missing).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{missing}: {error}");
    }
    for malformed in ["", " foo", "foo\n", "foo\u{7}", "a b\t"] {
        assert!(matches!(parse(malformed), Err(SourceError::Malformed { .. })), "{malformed:?}");
    }
    assert!(matches!(parse("file:///etc/foo.tgz"), Err(SourceError::FileUrl { .. })));
    let error = parse("gs://bucket/foo").unwrap_err();
    assert!(error.to_string().contains("known schemes: git, git+..., http, https, oci, s3, ssh"), "{error}");
}

#[test]
fn a_getter_never_takes_over_a_scheme_of_ours() {
    assert!(matches!(parse("https://h/foo.tgz").unwrap(), Source::Http(_)));
    let mut known = known();
    for scheme in ["oci", "git+ext", "ssh", "file", "git+https"] {
        known.getters.insert(scheme.to_owned(), "thief".to_owned());
        assert!(!matches!(Source::parse(&format!("{scheme}://h/foo"), &known), Ok(Source::Getter { .. })), "{scheme}");
    }
}

#[test]
fn v_arguments_that_git_or_ssh_would_take_for_options_are_refused() {
    for bad in [
        "ext::sh -c touch% /tmp/x",
        "git+ext::sh -c x",
        "git+ext://sh -c x",
        "git+fd://7",
        "ssh://-oProxyCommand=x/y",
        "git+ssh://-oProxyCommand=x/y",
        "ssh://-oProxyCommand=x@h/y",
        "-oProxyCommand=x@h:y",
        "git@-oProxyCommand:x",
        "git@h:-x",
        "git@h:",
        "ssh://h/--upload-pack=x",
        "ssh://git:secret@h/y",
        "git+file://host/x",
        "git+https://",
    ] {
        let error = parse(bad).unwrap_err();
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}

#[test]
fn o_references_follow_the_distribution_specification() {
    let digest = "a".repeat(64);
    let good = OciReference::parse(&format!("oci://localhost:5000/a/b-c/d_e:1.0.0+b1@sha256:{digest}")).unwrap();
    assert_eq!(
        (good.registry.as_str(), good.repository.as_str(), good.tag.as_deref()),
        ("localhost:5000", "a/b-c/d_e", Some("1.0.0+b1"))
    );
    assert_eq!(good.to_string(), format!("oci://localhost:5000/a/b-c/d_e:1.0.0+b1@sha256:{digest}"));
    assert!(OciReference::parse("oci://[::1]:5000/a").is_ok());
    for bad in [
        "oci://",
        "oci://h",
        "oci://h/",
        "oci://h/A",
        "oci://h/a//b",
        "oci://h/a:",
        "oci://h/a:.x",
        "oci://h/a:b:c",
        "oci://h/../a",
        "oci://h/a@md5:x",
        "oci://h/a@sha256:12",
        "oci://user:pw@h/a",
        "oci://h/a?x",
        "oci://h/a___b",
        "oci://h/a-",
        "oci://-h/a",
        "oci:///a",
        "oci://h:port/a",
    ] {
        let error = OciReference::parse(bad).unwrap_err();
        assert!(!error.to_string().contains("pw"), "{error}");
    }
}

#[test]
fn f_no_secret_of_an_argument_is_shown() {
    for argument in [
        "https://ann:hunter2@h/foo.tgz?token=hunter2",
        "https://ann:hunter2@h/foo?token=hunter2",
        "git+https://ann:hunter2@h/foo",
        "s3://ann:hunter2@h/foo?token=hunter2",
    ] {
        let source = parse(argument).unwrap();
        let shown = format!("{source} {source:?} {}", source.explain().join("\n"));
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(!source.asked().contains("ann"), "{}", source.asked());
    }
    for argument in
        ["gs://ann:hunter2@h/foo", "ssh://ann:hunter2@h/x", "https://ann:hunter2@/x", "https://ann:hunter2@h:bad/"]
    {
        let error = parse(argument).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
    }
}

proptest! {
    #[test]
    fn no_argument_panics_or_shows_control_characters(argument in any::<String>()) {
        let shown = match parse(&argument) {
            Ok(source) => format!("{source} {}", source.explain().join(" ")),
            Err(error) => error.to_string(),
        };
        prop_assert!(!shown.chars().any(char::is_control), "{shown:?}");
    }

    #[test]
    fn what_looks_like_a_source_survives_the_receipt(argument in "(https?|git\\+https|s3|ssh)://[a-z]{1,5}(/[a-z%0-9.-]{1,6}){1,3}(\\?[a-z=&]{0,9})?") {
        if let Ok(source) = parse(&argument) {
            prop_assert_eq!(parse(&source.asked()).unwrap(), source);
        }
    }
}
