//! Whole fetches, with repositories that the `git` program makes.

#![allow(clippy::print_stderr, clippy::type_complexity, reason = "a skipped test says so")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write as _};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use crate::error::{Classified as _, ErrorKind};
use crate::intake::package::{FetchedPackage, GitOrigin};
use crate::intake::source::{
    FetchOptions, GitError, Secret, Source, SourceContext, SourceError, fetch, http_server, resolve,
};
use crate::report::{NoReport, Report, ReportEvent};

struct Repo {
    dir: tempfile::TempDir,
}

impl Repo {
    fn new() -> Self {
        let repo = Self { dir: tempfile::tempdir().unwrap() };
        repo.git(&["init", "--quiet", "--initial-branch=main"]);
        repo.write("plugin.yaml", "name: foo\n");
        repo
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn git(&self, arguments: &[&str]) -> String {
        self.git_with(arguments, "")
    }

    fn git_with(&self, arguments: &[&str], input: &str) -> String {
        let mut child = Command::new("git")
            .args([
                "-c",
                "user.name=A",
                "-c",
                "user.email=a@example.com",
                "-c",
                "commit.gpgSign=false",
                "-c",
                "tag.gpgSign=false",
            ])
            .args(["-c", "protocol.file.allow=always"])
            .args(arguments)
            .current_dir(self.dir.path())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "git {arguments:?}");
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    /// Commits everything; gives the commit's id.
    fn commit(&self) -> String {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message", "x"]);
        self.git(&["rev-parse", "HEAD"])
    }

    fn source(&self) -> Source {
        Source::parse(&format!("git+file://{}", self.dir.path().display()), &SourceContext::default()).unwrap()
    }

    fn fetch(
        &self,
        version: Option<&str>,
    ) -> Result<(BTreeMap<String, (String, u32)>, GitOrigin, FetchedPackage), SourceError> {
        get(&self.source(), &FetchOptions { version: version.map(str::to_owned), ..FetchOptions::default() }, &NoReport)
    }

    fn error(&self, version: Option<&str>) -> GitError {
        git_error(self.fetch(version).map(drop))
    }

    /// Copies the repository to what any web server can hand out.
    fn serve(&self, path: &str) -> BTreeMap<String, Vec<u8>> {
        let bare = tempfile::tempdir().unwrap();
        let target = bare.path().join("r.git");
        self.git(&["clone", "--quiet", "--bare", ".", target.to_str().unwrap()]);
        self.git(&["-C", target.to_str().unwrap(), "update-server-info"]);
        walkdir::WalkDir::new(&target)
            .into_iter()
            .map(Result::unwrap)
            .filter(|entry| entry.file_type().is_file())
            .map(|entry| {
                let name = entry.path().strip_prefix(&target).unwrap().to_str().unwrap();
                (format!("{path}/{name}"), fs::read(entry.path()).unwrap())
            })
            .collect()
    }
}

fn git_error(result: Result<(), SourceError>) -> GitError {
    match result.unwrap_err() {
        SourceError::Git(error) => error,
        other => panic!("{other:?}"),
    }
}

/// The package's files with text and mode, what is known of the commit, and the package.
fn get(
    source: &Source,
    options: &FetchOptions,
    report: &dyn Report,
) -> Result<(BTreeMap<String, (String, u32)>, GitOrigin, FetchedPackage), SourceError> {
    let spool = tempfile::tempdir().unwrap();
    let fetched = fetch(source, options, spool.path(), report)?;
    assert_eq!(fs::read_dir(spool.path()).unwrap().count(), 1, "the repository does not stay");
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(fs::File::open(&fetched.path).unwrap()));
    let mut files = BTreeMap::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        let mode = entry.header().mode().unwrap();
        files.insert(entry.path().unwrap().to_str().unwrap().to_owned(), (text, mode));
    }
    let origin = fetched.origin.git.clone().unwrap();
    Ok((files, origin, fetched))
}

#[test]
fn v_the_highest_release_is_taken_and_ranges_move() {
    let repo = Repo::new();
    let first = repo.commit();
    repo.git(&["tag", "v1.0.0"]);
    repo.write("plugin.yaml", "name: foo\n# 1.2\n");
    let second = repo.commit();
    repo.git(&["tag", "--annotate", "--message", "m", "v1.2.0"]);
    repo.write("plugin.yaml", "name: foo\n# rc\n");
    let third = repo.commit();
    repo.git(&["tag", "v2.0.0-rc.1"]);
    repo.git(&["branch", "dev"]);

    for (version, commit, reference, exact) in [
        (None, &second, Some("v1.2.0"), false),
        (Some("~1.0"), &first, Some("v1.0.0"), false),
        (Some("1.0.0"), &first, Some("v1.0.0"), false),
        (Some(">=2.0.0-0"), &third, Some("v2.0.0-rc.1"), false),
        (Some("dev"), &third, Some("dev"), false),
        (Some(first.as_str()), &first, None, true),
        (Some(third.as_str()), &third, None, true),
    ] {
        let (files, origin, fetched) = repo.fetch(version).unwrap_or_else(|e| panic!("{version:?}: {e}"));
        assert_eq!(
            (&origin.commit, origin.reference.as_deref(), fetched.is_named_by_id()),
            (commit, reference, exact),
            "{version:?}"
        );
        assert_eq!(fetched.origin.revision.as_ref(), Some(commit));
        assert_eq!(origin.signed, None);
        assert!(files.contains_key("plugin.yaml"));
    }
    assert!(repo.fetch(None).unwrap().0["plugin.yaml"].0.contains("# 1.2"));
    let options = FetchOptions { version: Some("~1.0".to_owned()), ..FetchOptions::default() };
    let resolved = resolve(&repo.source(), &options, tempfile::tempdir().unwrap().path(), &NoReport).unwrap().unwrap();
    assert_eq!((resolved.version.as_deref(), resolved.revision), (Some("v1.0.0"), Some(first)));
    match repo.error(Some("1.1.0")) {
        GitError::UnknownVersion { nearest, .. } => {
            assert_eq!(nearest, "the nearest known ones: v1.0.0, v1.2.0, v2.0.0-rc.1");
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(repo.error(Some("--output=x")), GitError::BadVersion { .. }));
    assert!(matches!(repo.error(Some(&"0".repeat(40))), GitError::UnknownVersion { .. } | GitError::Failed { .. }));
}

#[test]
fn v_a_commit_without_a_name_is_found_and_a_tag_is_no_commit() {
    let repo = Repo::new();
    let old = repo.commit();
    repo.write("more", "x");
    repo.commit();
    repo.git(&["tag", "--annotate", "--message", "m", "v1.0.0"]);
    assert_eq!(repo.fetch(Some(&old)).unwrap().1.commit, old);
    let tag = repo.git(&["rev-parse", "v1.0.0"]);
    assert!(matches!(repo.error(Some(&tag)), GitError::NotACommit { .. }));
}

#[test]
fn v_without_tags_the_default_branch_is_taken_and_an_empty_repository_says_so() {
    let repo = Repo::new();
    assert!(matches!(repo.error(None), GitError::Empty { .. }));
    let commit = repo.commit();
    let (_, origin, _) = repo.fetch(None).unwrap();
    assert_eq!((origin.commit, origin.reference.as_deref()), (commit, Some("main")));
    let missing = Source::parse("git+file:///no/such/repository", &SourceContext::default()).unwrap();
    let error = get(&missing, &FetchOptions::default(), &NoReport).map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
}

#[test]
fn v_files_come_from_the_commit_without_filters_attributes_or_line_ends() {
    let repo = Repo::new();
    repo.write("unix.txt", "a\nb\n");
    repo.write("dos.txt", "a\r\nb\r\n");
    repo.write("bin/run", "#!/bin/sh\n");
    repo.git(&["add", "--all"]);
    repo.git(&["update-index", "--chmod=+x", "bin/run"]);
    repo.git(&["commit", "--quiet", "--message", "x"]);
    repo.write(".gitattributes", "*.txt text eol=crlf export-subst ident\nbin export-ignore\n");
    repo.write("id.txt", "$Id$ $Format:%H$\n");
    // Not `--all`: this would change line ends for good.
    repo.git(&["add", ".gitattributes", "id.txt"]);
    repo.git(&["commit", "--quiet", "--message", "x"]);
    symlink("bin/run", repo.path("tool")).unwrap();
    symlink("bin", repo.path("programs")).unwrap();
    repo.git(&["add", "tool", "programs"]);
    repo.git(&["commit", "--quiet", "--message", "x"]);
    let (files, ..) = repo.fetch(None).unwrap();
    assert_eq!(files["unix.txt"], ("a\nb\n".to_owned(), 0o644));
    assert_eq!(files["dos.txt"].0, "a\r\nb\r\n");
    assert_eq!(files["id.txt"].0, "$Id$ $Format:%H$\n");
    for path in ["bin/run", "tool", "programs/run"] {
        assert_eq!(files[path], ("#!/bin/sh\n".to_owned(), 0o755), "{path}");
    }
    assert!(!files.keys().any(|path| path.starts_with(".git/")));
}

#[test]
fn v_links_that_leave_and_pointers_of_git_lfs_are_refused() {
    let repo = Repo::new();
    symlink("../../etc/passwd", repo.path("link")).unwrap();
    repo.commit();
    assert!(matches!(repo.error(None), GitError::Link { .. }));
    fs::remove_file(repo.path("link")).unwrap();
    symlink(".git/config", repo.path("link")).unwrap();
    repo.commit();
    assert!(matches!(repo.error(None), GitError::Link { .. }));
    fs::remove_file(repo.path("link")).unwrap();
    repo.write("model.bin", "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n");
    repo.commit();
    match repo.error(None) {
        GitError::LargeFile { path } => assert_eq!(path, "model.bin"),
        other => panic!("{other:?}"),
    }
}

/// Keeps warnings.
#[derive(Default)]
struct Warnings(Mutex<Vec<String>>);

impl Report for Warnings {
    fn event(&self, event: ReportEvent<'_>) {
        if let ReportEvent::Warning(text) = event {
            self.0.lock().unwrap().push(text.to_owned());
        }
    }
}

#[test]
fn v_submodules_are_left_out_with_a_warning_and_hooks_never_run() {
    let other = Repo::new();
    other.commit();
    let repo = Repo::new();
    repo.git(&["submodule", "--quiet", "add", other.dir.path().to_str().unwrap(), "sub"]);
    repo.commit();
    let trap = repo.path("trapped");
    for hook in ["post-checkout", "pre-receive", "reference-transaction", "post-update", "upload-pack"] {
        repo.write(&format!(".git/hooks/{hook}"), &format!("#!/bin/sh\ntouch {}\n", trap.display()));
        fs::set_permissions(repo.path(&format!(".git/hooks/{hook}")), std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .unwrap();
    }
    let warnings = Warnings::default();
    let (files, ..) = get(&repo.source(), &FetchOptions::default(), &warnings).unwrap();
    assert!(!files.keys().any(|path| path.starts_with("sub")));
    assert!(warnings.0.lock().unwrap()[0].contains("`sub` is a git submodule"));
    assert!(!trap.exists());
}

#[test]
fn v_signed_tags_come_along_and_must_bear_their_own_name() {
    let repo = Repo::new();
    let commit = repo.commit();
    let tag = |own: &str| {
        let text = format!(
            "object {commit}\ntype commit\ntag {own}\ntagger A <a@example.com> 1700000000 +0000\n\nrelease\n\
             -----BEGIN PGP SIGNATURE-----\n\nabc\n-----END PGP SIGNATURE-----\n"
        );
        repo.git_with(&["hash-object", "-t", "tag", "-w", "--stdin"], &text)
    };
    let id = tag("v1.0.0");
    repo.git(&["update-ref", "refs/tags/v1.0.0", &id]);
    let signed = repo.fetch(None).unwrap().1.signed.unwrap();
    assert_eq!(signed.what, "tag `v1.0.0`");
    assert!(signed.payload.ends_with(b"release\n") && signed.signature.ends_with(b"-----END PGP SIGNATURE-----\n"));
    repo.git(&["update-ref", "refs/tags/v2.0.0", &id]);
    match repo.error(Some("v2.0.0")) {
        GitError::TagName { reference, own } => assert_eq!((reference.as_str(), own.as_str()), ("v2.0.0", "v1.0.0")),
        other => panic!("{other:?}"),
    }
}

#[test]
fn v_repositories_with_sha256_ids_work() {
    let repo = Repo { dir: tempfile::tempdir().unwrap() };
    repo.git(&["init", "--quiet", "--initial-branch=main", "--object-format=sha256"]);
    repo.write("plugin.yaml", "name: foo\n");
    let commit = repo.commit();
    assert_eq!(commit.len(), 64);
    assert_eq!(repo.fetch(None).unwrap().1.commit, commit);
    assert_eq!(repo.fetch(Some(&commit)).unwrap().1.commit, commit);
}

#[test]
fn v_a_web_address_without_a_suffix_may_be_a_repository() {
    let repo = Repo::new();
    let commit = repo.commit();
    let mut files = repo.serve("/page");
    files.extend(repo.serve("/nopage"));
    files.insert("/page".to_owned(), b"<html>".to_vec());
    let server = http_server::Server::start(move |request, to| {
        let path = request.target.split('?').next().unwrap();
        match files.get(path) {
            Some(body) => http_server::answer(to, "200 OK", &[], body),
            None => http_server::answer(to, "404 Not Found", &[], b""),
        }
    });
    for path in ["/page", "/nopage"] {
        let source = Source::parse(&server.url(path), &SourceContext::default()).unwrap();
        let (_, origin, fetched) = get(&source, &FetchOptions::default(), &NoReport).unwrap();
        assert_eq!(origin.commit, commit, "{path}");
        assert_eq!(fetched.origin.asked, server.url(path));
    }
    let gone = Source::parse(&server.url("/gone"), &SourceContext::default()).unwrap();
    let error = get(&gone, &FetchOptions::default(), &NoReport).map(drop).unwrap_err();
    assert!(matches!(error, SourceError::Http(_)) && error.kind() == ErrorKind::NotFound, "{error:?}");
}

/// Options with the user name `ann` and a password.
fn ann() -> FetchOptions {
    FetchOptions { username: Some("ann".to_owned()), password: Some(Secret::new("hunter2")), ..FetchOptions::default() }
}

/// A server that hands out `files` to `ann` alone, and answers strangers with `hidden`.
fn private(files: BTreeMap<String, Vec<u8>>, hidden: &'static str) -> http_server::Server {
    http_server::Server::start(move |request, to| match request.header("authorization") {
        Some("Basic YW5uOmh1bnRlcjI=") => match files.get(request.target.split('?').next().unwrap()) {
            Some(body) => http_server::answer(to, "200 OK", &[], body),
            None => http_server::answer(to, "404 x", &[], b""),
        },
        _ => http_server::answer(to, hidden, &[("WWW-Authenticate", "Basic realm=\"x\"")], b""),
    })
}

#[test]
fn v_credentials_go_with_the_first_request_and_to_no_other_server() {
    let repo = Repo::new();
    let commit = repo.commit();
    let server = private(repo.serve("/r.git"), "404 Not Found");
    let source = |server: &http_server::Server| Source::parse(&server.url("/r.git"), &SourceContext::default()).unwrap();
    assert_eq!(get(&source(&server), &ann(), &NoReport).unwrap().1.commit, commit);
    assert!(server.requests().iter().all(|request| request.header("authorization").is_some()));
    // A server that leads on: git follows without them, and they are given where the way began alone.
    let public = http_server::Server::start({
        let files = repo.serve("/r.git");
        move |request, to| match files.get(request.target.split('?').next().unwrap()) {
            Some(body) => http_server::answer(to, "200 OK", &[], body),
            None => http_server::answer(to, "404 x", &[], b""),
        }
    });
    let target = public.url("");
    let leading =
        http_server::Server::start(move |request, to| http_server::redirect(to, &format!("{target}{}", request.target)));
    assert_eq!(get(&source(&leading), &ann(), &NoReport).unwrap().1.commit, commit);
    assert!(!public.requests().is_empty());
    assert!(public.requests().iter().all(|request| request.header("authorization").is_none()), "{:?}", public.requests());
    let strict = FetchOptions { refuse_git_redirects: true, ..ann() };
    let before = public.requests().len();
    assert!(matches!(git_error(get(&source(&leading), &strict, &NoReport).map(drop)), GitError::Moved { .. }));
    assert_eq!(public.requests().len(), before);
}

#[test]
fn v_a_private_or_mistyped_repository_says_so_and_names_the_ways_in() {
    let server = private(BTreeMap::new(), "401 x");
    let source = Source::parse(&server.url("/r.git"), &SourceContext::default()).unwrap();
    let error = git_error(get(&source, &FetchOptions::default(), &NoReport).map(drop));
    let message = error.to_string();
    for part in ["`--username`", "`--password-stdin`", "credential helper", "ssh", "spelling"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert!(!message.contains("prompts"), "{message}");
    let wrong = FetchOptions { password: Some(Secret::new("wrong")), ..ann() };
    let error = git_error(get(&source, &wrong, &NoReport).map(drop));
    assert!(matches!(&error, GitError::Refused { .. }) && error.to_string().contains("that were given"), "{error:?}");
}

#[test]
fn v_servers_that_fail_may_work_later_and_others_will_not() {
    for (status, later) in [("503 x", true), ("429 x", true), ("500 x", true), ("404 x", false), ("403 x", false)] {
        let server = http_server::Server::start(move |_, to| http_server::answer(to, status, &[], b""));
        let source = Source::parse(&server.url("/r.git"), &SourceContext::default()).unwrap();
        let error = get(&source, &FetchOptions::default(), &NoReport).map(drop).unwrap_err();
        assert_eq!(error.kind() == ErrorKind::Unavailable, later, "{status}: {error:?}");
    }
    let nobody = Source::parse("http://127.0.0.1:1/r.git", &SourceContext::default()).unwrap();
    assert_eq!(get(&nobody, &FetchOptions::default(), &NoReport).map(drop).unwrap_err().kind(), ErrorKind::Unavailable);
}

#[test]
fn v_a_head_without_its_branch_names_the_branches_that_are_there() {
    let repo = Repo::new();
    repo.commit();
    repo.git(&["symbolic-ref", "HEAD", "refs/heads/master"]);
    let error = repo.error(None);
    assert!(error.to_string().contains("--version main") && !error.to_string().contains("empty"), "{error}");
    assert!(repo.fetch(Some("main")).is_ok(), "the next step works");
}

#[test]
fn v_credentials_reach_git_and_no_message() {
    let repo = Repo::new();
    let commit = repo.commit();
    let files = repo.serve("/r.git");
    let server = http_server::Server::start(move |request, to| {
        if request.header("authorization") != Some("Basic YW5uOmh1bnRlcjI=") {
            return http_server::answer(to, "401 x", &[("WWW-Authenticate", "Basic realm=\"x\"")], b"");
        }
        match files.get(request.target.split('?').next().unwrap()) {
            Some(body) => http_server::answer(to, "200 OK", &[], body),
            None => http_server::answer(to, "404 x", &[], b""),
        }
    });
    let url = server.url("/r.git?secret=hunter2");
    let user =
        Source::parse(&server.url("/r.git").replace("http://", "http://ann:hunter2@"), &SourceContext::default()).unwrap();
    assert_eq!(get(&user, &FetchOptions::default(), &NoReport).unwrap().1.commit, commit);
    let plain = Source::parse(&server.url("/r.git"), &SourceContext::default()).unwrap();
    let options =
        FetchOptions { username: Some("ann".to_owned()), password: Some(Secret::new("hunter2")), ..FetchOptions::default() };
    assert_eq!(get(&plain, &options, &NoReport).unwrap().1.commit, commit);
    for (source, options) in [
        (plain, FetchOptions::default()),
        (Source::parse(&format!("git+{url}"), &SourceContext::default()).unwrap(), options),
        (user, FetchOptions { username: Some("bob\nhost=evil".to_owned()), ..FetchOptions::default() }),
    ] {
        let error = get(&source, &options, &NoReport).map(drop).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
}

#[test]
fn v_a_server_that_never_answers_runs_into_the_time_limit() {
    let server = http_server::Server::start(|_, _| {
        std::thread::sleep(Duration::from_secs(5));
        Ok(())
    });
    let source = Source::parse(&format!("git+{}", server.url("/r")), &SourceContext::default()).unwrap();
    let options = FetchOptions { timeout: Some(Duration::from_millis(500)), ..FetchOptions::default() };
    let started = std::time::Instant::now();
    assert!(matches!(git_error(get(&source, &options, &NoReport).map(drop)), GitError::Timeout { .. }));
    assert!(started.elapsed() < Duration::from_secs(3));
}

#[test]
fn v_options_of_http_are_refused_for_ssh_and_files() {
    let spool = tempfile::tempdir().unwrap();
    let source = Source::parse("ssh://git@127.0.0.1:1/r", &SourceContext::default()).unwrap();
    let options = FetchOptions { username: Some("ann".to_owned()), ..FetchOptions::default() };
    assert_eq!(fetch(&source, &options, spool.path(), &NoReport).unwrap_err().kind(), ErrorKind::Usage);
    assert!(Path::new(spool.path()).read_dir().unwrap().next().is_none());
}
