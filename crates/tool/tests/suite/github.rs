//! `owner/repo[@version]`: packages from GitHub releases (cases F, P25).

use std::collections::BTreeMap;
use std::fs;
use std::sync::{Arc, Mutex};

use plugsmith::digest::Sha256Digest;
use serde_json::{Value, json};

use crate::support::http_server::{Connection, Request, Server, answer, redirect};
use crate::support::{World, git, repository};

/// A file of a release: its name and bytes.
type File = (String, Vec<u8>);

/// A release of `acme/helm-p`.
#[derive(Clone, Default)]
struct Release {
    tag: &'static str,
    prerelease: bool,
    draft: bool,
    files: Vec<File>,
    /// Whether the interface knows the digests of the files.
    digests: bool,
}

/// What the server is to do.
#[derive(Default)]
struct GitHub {
    releases: Vec<Release>,
    /// How many releases there are to a page.
    page: usize,
    /// The only token that may see anything.
    token: Option<&'static str>,
    /// The only server that private files are handed out by.
    storage: Option<String>,
    /// The git repository `acme/helm-p`, as files that any web server can hand out.
    repository: BTreeMap<String, Vec<u8>>,
    /// Answers instead of the usual ones, by the end of the path.
    instead: Vec<(&'static str, &'static str)>,
}

impl GitHub {
    fn answer(&self, base: &str, request: &Request, to: &mut dyn Connection) -> std::io::Result<()> {
        let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
        if let Some((_, status)) = self.instead.iter().find(|(end, _)| path.ends_with(end)) {
            let headers = [("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", "1893456000")];
            let headers = if status.starts_with("403") { &headers[..] } else { &[("Retry-After", "0")] };
            return answer(to, status, headers, b"{}");
        }
        let all: Vec<&File> = self.releases.iter().flat_map(|release| &release.files).collect();
        if let Some(token) = self.token {
            match request.header("authorization") {
                Some(given) if given == format!("Bearer {token}") => {}
                Some(_) => return answer(to, "401 x", &[], b"{}"),
                None => return answer(to, "404 x", &[], b"{}"),
            }
        }
        if let Some(number) = path.strip_prefix("/api/repos/acme/helm-p/releases/assets/") {
            assert_eq!(request.header("accept"), Some("application/octet-stream"));
            let storage = self.storage.as_deref().unwrap_or(base);
            return redirect(to, &format!("{storage}/storage/{number}"));
        }
        if let Some(number) = path.strip_prefix("/storage/").or_else(|| path.strip_prefix("/download/")) {
            return match number.split('/').next().and_then(|n| n.parse().ok()).and_then(|at: usize| all.get(at)) {
                Some((_, bytes)) => answer(to, "200 OK", &[], bytes),
                None => answer(to, "404 x", &[], b""),
            };
        }
        if let Some(file) = path.strip_prefix("/acme/helm-p/").and_then(|path| self.repository.get(path)) {
            return answer(to, "200 OK", &[], file);
        }
        let mut number = 0;
        let json: Vec<Value> = self.releases.iter().map(|release| release.json(base, &mut number)).collect();
        if let Some(tag) = path.strip_prefix("/api/repos/acme/helm-p/releases/tags/") {
            return match json.iter().find(|release| release["tag_name"] == tag && release["draft"] == false) {
                Some(release) => answer(to, "200 OK", &[], release.to_string().as_bytes()),
                None => answer(to, "404 x", &[], b"{}"),
            };
        }
        if path == "/api/repos/acme/helm-p/releases" {
            let per_page = if self.page == 0 { 100 } else { self.page };
            let page: usize = query.split('&').find_map(|pair| pair.strip_prefix("page=")).map_or(1, |n| n.parse().unwrap());
            let begin = (page - 1) * per_page;
            let end = (begin + per_page).min(json.len());
            let next = format!("<{base}{path}?per_page=100&page={}>; rel=\"next\", <x>; rel=\"last\"", page + 1);
            let headers = [("Link", next.as_str())];
            let headers = if end < json.len() { &headers[..] } else { &[] };
            return answer(to, "200 OK", headers, Value::from(json[begin..end].to_vec()).to_string().as_bytes());
        }
        answer(to, "404 x", &[], b"{}")
    }
}

impl Release {
    fn new(tag: &'static str, files: &[(&str, &[u8])]) -> Self {
        let files = files.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec())).collect();
        Self { tag, files, ..Self::default() }
    }

    fn json(&self, base: &str, number: &mut usize) -> Value {
        let assets: Vec<Value> = self
            .files
            .iter()
            .map(|(name, bytes)| {
                let at = *number;
                *number += 1;
                let digest = self.digests.then(|| format!("sha256:{}", Sha256Digest::of(bytes)));
                json!({
                    "name": name, "size": bytes.len(), "state": "uploaded", "digest": digest, "unknown": {"x": 1},
                    "url": format!("{base}/api/repos/acme/helm-p/releases/assets/{at}"),
                    "browser_download_url": format!("{base}/download/{at}/{name}"),
                })
            })
            .collect();
        json!({"tag_name": self.tag, "prerelease": self.prerelease, "draft": self.draft, "assets": assets})
    }
}

/// GitHub as `state` has it at the moment.
fn serve(state: &Arc<Mutex<GitHub>>) -> Server {
    let state = state.clone();
    Server::start(move |request, to| {
        let base = format!("http://{}", request.header("host").unwrap());
        state.lock().unwrap().answer(&base, request, to)
    })
}

/// A world that takes `server` for GitHub.
fn world(server: &Server) -> World {
    let mut world = World::new();
    world.set("TOOL_GITHUB_API", server.url("/api"));
    world
}

fn state(releases: Vec<Release>) -> Arc<Mutex<GitHub>> {
    Arc::new(Mutex::new(GitHub { releases, ..GitHub::default() }))
}

/// The package of the plugin `p` in `version`, and its provenance by the key `key`.
fn package(version: &str, key: &str) -> (Vec<u8>, Vec<u8>) {
    let world = World::new();
    world.plugin("p", version);
    world.ok(&format!("plugin package p --sign --keyring {}", repository("testdata/keys").join(key).display()));
    let read = |suffix: &str| fs::read(world.path(&format!("p-{version}.tgz{suffix}"))).unwrap();
    (read(""), read(".prov"))
}

/// A release with `p-<version>.tgz` and its provenance.
fn signed(tag: &'static str) -> Release {
    let version = tag.trim_start_matches('v');
    let (package, provenance) = package(version, "tour.sec.asc");
    let name = format!("p-{version}.tgz");
    Release::new(tag, &[(&name, &package), (&format!("{name}.prov"), &provenance)])
}

/// A release with an archive for this platform, one for another, and checksums.
fn platforms(tag: &'static str) -> Release {
    let (bytes, _) = package(tag.trim_start_matches('v'), "tour.sec.asc");
    let arch = if cfg!(target_arch = "x86_64") { "x86_64" } else { "arm64" };
    let os = if cfg!(target_os = "macos") { "Darwin" } else { "Linux" };
    let name = format!("helm-p_{os}_{arch}.tar.gz");
    let sums = format!("{}  other.tar.gz\n{} *{name}\n", "0".repeat(64), Sha256Digest::of(&bytes));
    Release::new(tag, &[(&name, &bytes), ("helm-p_Windows_mips.tar.gz", b"x"), ("checksums.txt", sums.as_bytes())])
}

fn keyring(world: &mut World) {
    let keys = ["tour.asc", "rsa.asc"].map(|name| repository("testdata/keys").join(name).to_str().unwrap().to_owned());
    world.set("TOOL_KEYRING", keys.join(":"));
}

fn receipt(world: &World) -> Value {
    let text = fs::read_to_string(world.plugins().join(".state/p.json")).unwrap();
    serde_json::from_str::<Value>(&text).unwrap()["current"].clone()
}

#[test]
fn a_signed_release_is_installed_updated_and_locked() {
    let github = state(vec![signed("v1.2.0"), signed("v1.10.0"), signed("v2.0.0-rc.1")]);
    let server = serve(&github);
    let mut world = world(&server);
    keyring(&mut world);
    let ran = world.ok("plugin install acme/helm-p");
    assert!(ran.stdout.contains("Installed p 1.10.0: signed by"), "{}", ran.stdout);
    assert_eq!(world.ok("p x").stdout, "p 1.10.0 x\n");
    let receipt = receipt(&world);
    assert_eq!((&receipt["source"]["asked"], &receipt["verified"]["by"]), (&"acme/helm-p".into(), &"signature".into()));
    assert!(receipt["source"]["resolved"].as_str().unwrap().ends_with("/p-1.10.0.tgz"), "{receipt}");
    world.ok("plugin verify p");
    assert!(world.ok("plugin outdated").stderr.contains("up to date"));
    assert!(world.ok("plugin update p").stderr.contains("up to date"));

    github.lock().unwrap().releases.push(signed("v1.11.0"));
    let outdated = world.ok("plugin outdated -o json").json();
    assert_eq!((&outdated[0]["wanted"], &outdated[0]["source"]), (&"1.11.0".into(), &"acme/helm-p".into()));
    assert!(world.ok("plugin update p").stdout.contains("Updated p 1.10.0 -> 1.11.0: signed by"));
    world.ok("plugin update p --pre");
    assert_eq!(world.ok("p").stdout, "p 2.0.0-rc.1\n");
    world.ok("plugin update p --to 1.2.0");
    assert_eq!(world.ok("p").stdout, "p 1.2.0\n");
    world.ok("plugin rollback p");

    world.ok("plugin update p --to v1.10.0");
    world.ok("plugin lock");
    let lock = fs::read_to_string(world.path("plugins.lock")).unwrap();
    for part in ["source = \"acme/helm-p\"", "version = \"1.10.0\"", "any = \"sha256:", "[plugin.signer]"] {
        assert!(lock.contains(part), "no {part} in\n{lock}");
    }
    world.ok("plugin uninstall p");
    world.ok("plugin sync --frozen");
    assert_eq!(world.ok("p").stdout, "p 1.10.0\n");
    world.ok("plugin pull acme/helm-p@1.2.0 -d pulled");
    assert!(world.path("pulled/p-1.2.0.tgz.prov").is_file());
    world.ok("plugin install acme/helm-p@1.10.0 --force");
    let outdated = world.ok("plugin outdated -o json").json();
    let of = |key: &str| outdated[0][key].as_str().unwrap_or("-").to_owned();
    assert_eq!([of("wanted"), of("latest"), of("held")], ["1.10.0", "1.11.0", "exact version"], "{outdated}");
}

#[test]
fn versions_are_tags_ranges_and_names() {
    let mut nightly = signed("v9.0.0");
    nightly.tag = "nightly";
    let mut early = signed("v3.0.0");
    early.prerelease = true;
    let mut draft = signed("v4.0.0");
    draft.draft = true;
    let releases = vec![draft, early, nightly, signed("1.0.0"), signed("v1.1.0"), signed("v2.0.0"), signed("v2.1.0-rc.1")];
    let github = state(releases);
    // One to a page: the whole list is read.
    github.lock().unwrap().page = 1;
    let server = serve(&github);
    let mut world = world(&server);
    keyring(&mut world);
    for (words, version) in [
        ("acme/helm-p", "2.0.0"),
        ("acme/helm-p@latest", "2.0.0"),
        ("github.com/acme/helm-p@1.0.0", "1.0.0"),
        ("acme/helm-p@v1.0.0", "1.0.0"),
        ("acme/helm-p@1.1.0", "1.1.0"),
        ("acme/helm-p@~1", "1.1.0"),
        ("acme/helm-p --version ~1.0", "1.0.0"),
        ("acme/helm-p --version >=2.1.0-0", "3.0.0"),
        ("acme/helm-p@v3.0.0", "3.0.0"),
        ("acme/helm-p@nightly", "9.0.0"),
    ] {
        world.ok(&format!("plugin install {words}"));
        assert_eq!(world.ok("p").stdout, format!("p {version}\n"), "{words}");
        world.ok("plugin uninstall p");
    }
    for (words, code, part) in [
        ("acme/helm-p@1.2.0", 4, "v1.1.0"),
        ("acme/helm-p@~5", 4, "`~5`"),
        ("acme/helm-p@v4.0.0", 4, "v3.0.0"),
        ("acme/helm-p@nightli", 4, "nightly"),
        ("acme/helm-p@1.0.0 --version 1.0.0", 2, "--version"),
        ("acme/helm-p --plain-http", 2, "--plain-http"),
        ("acme/nothing", 4, "acme/nothing"),
    ] {
        let ran = world.fails(code, &format!("plugin install {words}"));
        assert!(ran.stderr.contains(part), "{words}: {}", ran.stderr);
    }
    // A tag that is no version is locked by its name.
    world.ok("plugin install acme/helm-p@nightly");
    world.ok("plugin lock");
    world.ok("plugin uninstall p");
    world.ok("plugin sync --frozen");
    assert_eq!(world.ok("p").stdout, "p 9.0.0\n");
    assert!(world.ok("plugin update p").stderr.contains("exactly `nightly`"), "an exact tag does not move");

    github.lock().unwrap().releases.clear();
    let ran = world.fails(4, "plugin install acme/helm-p");
    assert!(ran.stderr.contains("git+https://github.com/acme/helm-p"), "{}", ran.stderr);
}

/// Commits the plugin `p` in `version` to the repository in `work/made`, tagged; gives that as files for a web server.
fn committed(world: &World, version: &str) -> BTreeMap<String, Vec<u8>> {
    let made = world.path("made");
    if !made.exists() {
        fs::create_dir(&made).unwrap();
        git(&made, &["init", "--quiet", "--initial-branch=main"]);
    }
    let plugin = world.plugin("p", version);
    for name in ["plugin.yaml", "run.sh"] {
        fs::copy(plugin.join(name), made.join(name)).unwrap();
    }
    fs::remove_dir_all(plugin).unwrap();
    git(&made, &["add", "--all"]);
    git(&made, &["commit", "--quiet", "--message", version]);
    git(&made, &["tag", &format!("v{version}")]);
    let bare = world.path("bare");
    let _ = fs::remove_dir_all(&bare);
    git(&made, &["clone", "--quiet", "--bare", ".", bare.to_str().unwrap()]);
    git(&bare, &["update-server-info"]);
    walkdir::WalkDir::new(&bare)
        .into_iter()
        .map(Result::unwrap)
        .filter(|entry| entry.file_type().is_file())
        .map(|entry| {
            let name = entry.path().strip_prefix(&bare).unwrap().to_str().unwrap();
            (name.to_owned(), fs::read(entry.path()).unwrap())
        })
        .collect()
}

#[test]
fn where_there_is_no_release_the_git_repository_is_taken() {
    let github = state(Vec::new());
    let server = serve(&github);
    let world = world(&server);
    github.lock().unwrap().repository = committed(&world, "1.0.0");
    for source in ["acme/helm-p", "https://github.com/acme/helm-p", "https://github.com/acme/helm-p.git", "acme/helm-p@~1"] {
        world.ok(&format!("plugin install --verify=false {source}"));
        assert_eq!(world.ok("p").stdout, "p 1.0.0\n", "{source}");
        assert!(receipt(&world)["source"]["resolved"].as_str().unwrap().starts_with("git+http://"), "{}", receipt(&world));
        world.ok("plugin uninstall p");
    }
    world.fails(4, "plugin install --verify=false acme/helm-p@2.0.0");
    world.ok("plugin install --verify=false https://github.com/acme/helm-p/");
    github.lock().unwrap().repository = committed(&world, "1.1.0");
    assert!(world.ok("plugin outdated").stdout.contains("1.1.0"));
    world.ok("plugin update p");
    assert_eq!(world.ok("p").stdout, "p 1.1.0\n");
    world.ok("plugin lock");
    world.ok("plugin uninstall p");
    github.lock().unwrap().repository = committed(&world, "1.2.0");
    world.ok("plugin sync --frozen");
    assert_eq!(world.ok("p").stdout, "p 1.1.0\n", "the commit that was locked");
    let commit = git(&world.path("made"), &["rev-parse", "v1.0.0"]).trim().to_owned();
    world.ok(&format!("plugin install --force acme/helm-p@{commit}"));
    assert_eq!(world.ok("p").stdout, "p 1.0.0\n", "a full id of a commit needs no key");
    // A release comes first, where it has packages; one that has none names the tag.
    github.lock().unwrap().releases = vec![Release::new("v1.0.0", &[("notes.txt", b"x")])];
    world.ok("plugin install --verify=false --force acme/helm-p");
    assert_eq!(world.ok("p").stdout, "p 1.0.0\n");
    github.lock().unwrap().releases = vec![signed("v3.0.0")];
    world.ok("plugin install --verify=false --force https://github.com/acme/helm-p");
    assert_eq!(world.ok("p").stdout, "p 3.0.0\n");
    assert!(receipt(&world)["source"]["resolved"].as_str().unwrap().contains("/download/"));
}

#[test]
fn a_directory_of_that_name_comes_first() {
    let server = serve(&state(vec![signed("v1.0.0")]));
    let world = world(&server);
    world.plugin("p", "7.0.0");
    fs::create_dir(world.path("acme")).unwrap();
    fs::rename(world.path("p"), world.path("acme/helm-p")).unwrap();
    world.ok("plugin install acme/helm-p");
    assert_eq!(world.ok("p").stdout, "p 7.0.0\n");
    assert!(server.requests().is_empty());
    let explained = world.ok("plugin install --explain github.com/acme/helm-p@~1").stdout;
    assert!(explained.contains("https://github.com/acme/helm-p") && explained.contains("checksums"), "{explained}");
}

#[test]
fn checksums_verify_an_archive_for_this_platform() {
    let github = state(vec![platforms("v1.0.0")]);
    let server = serve(&github);
    // No keyring is there, and none is needed.
    let mut world = world(&server);
    let ran = world.ok("plugin install acme/helm-p");
    assert!(
        ran.stdout.contains("verified by digest") && ran.stderr.contains("checksums.txt"),
        "{}{}",
        ran.stdout,
        ran.stderr
    );
    assert_eq!(receipt(&world)["verified"]["by"], "digest");
    github.lock().unwrap().releases.push(platforms("v1.1.0"));
    assert!(world.ok("plugin update p").stdout.contains("1.1.0: verified by digest"));
    world.ok("plugin lock");
    let lock = fs::read_to_string(world.path("plugins.lock")).unwrap();
    assert!(lock.contains(std::env::consts::OS.replace("macos", "darwin").as_str()), "{lock}");
    assert!(!lock.contains("any ="), "the archive is one of several: {lock}");
    // On a machine of another kind the checksums of the release settle it, but not with `--frozen`.
    world.write("plugins.lock", lock.replace("linux/", "plan9/").replace("darwin/", "plan9/"));
    world.ok("plugin uninstall p");
    world.fails(3, "plugin sync --frozen");
    world.ok("plugin sync");
    world.ok("plugin uninstall p");

    // Checksums that do not fit, say two things, are not there to be had, or say nothing.
    let sums = |text: String| {
        let mut github = github.lock().unwrap();
        github.releases[1].files[2].1 = text.into_bytes();
    };
    let name = github.lock().unwrap().releases[1].files[0].0.clone();
    sums(format!("{}  {name}\n", "0".repeat(64)));
    let ran = world.fails(3, "plugin install acme/helm-p");
    assert!(ran.stderr.contains("`checksums.txt`") && ran.stderr.contains(&name), "{}", ran.stderr);
    sums(format!("{}  {name}\n{}  {name}\n", "0".repeat(64), "1".repeat(64)));
    assert!(world.fails(3, "plugin install acme/helm-p").stderr.contains("two digests"));
    github.lock().unwrap().instead.push(("/checksums.txt", "500 x"));
    assert!(world.fails(5, "plugin install acme/helm-p").stderr.contains("checksums"));
    github.lock().unwrap().instead.clear();
    sums("nothing\n".to_owned());
    keyring(&mut world);
    let ran = world.fails(3, "plugin install acme/helm-p");
    for part in [&format!("{name}.prov"), "--digest", "--verify=false", "checksums"] {
        assert!(ran.stderr.contains(part), "no {part} in {}", ran.stderr);
    }
    assert!(!world.plugins().join("p").exists());
    world.ok("plugin install acme/helm-p --verify=false");
}

#[test]
fn p25_checksums_never_stand_for_a_provenance() {
    let mut both = signed("v1.0.0");
    let sums = |release: &Release| format!("{}  {}\n", Sha256Digest::of(&release.files[0].1), release.files[0].0);
    let text = sums(&both);
    both.files.push(("checksums.txt".to_owned(), text.into_bytes()));
    let github = state(vec![both]);
    let server = serve(&github);
    let mut world = world(&server);
    // A key is needed where there is a signature, whatever the checksums say.
    let ran = world.tool(["plugin", "install", "acme/helm-p"]);
    assert!(ran.code != 0 && !world.plugins().join("p").exists(), "{}", ran.stderr);
    github.lock().unwrap().instead.push((".prov", "500 x"));
    keyring(&mut world);
    world.fails(5, "plugin install acme/helm-p");
    github.lock().unwrap().instead.clear();
    world.ok("plugin install acme/helm-p");

    // What was signed is not updated to what only has checksums, nor is it taken for locked.
    let mut unsigned = signed("v1.1.0");
    unsigned.files.remove(1);
    let text = sums(&unsigned);
    unsigned.files.push(("checksums.txt".to_owned(), text.into_bytes()));
    github.lock().unwrap().releases.push(unsigned.clone());
    let ran = world.fails(3, "plugin update p");
    assert!(ran.stderr.contains("provenance"), "{}", ran.stderr);
    assert_eq!(world.ok("p").stdout, "p 1.0.0\n");
    world.ok("plugin lock");
    let lock = fs::read_to_string(world.path("plugins.lock")).unwrap();
    world.write("plugins.lock", lock.replace("any =", "\"plan9/mips\" =").replace("1.0.0", "1.1.0"));
    world.ok("plugin uninstall p");
    world.fails(3, "plugin sync");
    assert!(!world.plugins().join("p").exists());

    // Another signer is another signer here too.
    github.lock().unwrap().releases.pop();
    world.ok("plugin install acme/helm-p");
    let (bytes, provenance) = package("1.2.0", "rsa.secret");
    github
        .lock()
        .unwrap()
        .releases
        .push(Release::new("v1.2.0", &[("p-1.2.0.tgz", &bytes), ("p-1.2.0.tgz.prov", &provenance)]));
    let ran = world.fails(3, "plugin update p");
    assert!(ran.stderr.contains("--accept-signer"), "{}", ran.stderr);
}

#[test]
fn f_the_token_goes_to_the_interface_alone() {
    let github = state(vec![signed("v1.0.0")]);
    let server = serve(&github);
    let files = github.lock().unwrap().releases[0].files.clone();
    let storage = Server::start(move |request, to| {
        assert_eq!(request.header("authorization"), None, "a redirect takes no token along");
        let at: usize = request.target.rsplit('/').next().unwrap().parse().unwrap();
        answer(to, "200 OK", &[], &files[at].1)
    });
    {
        let mut github = github.lock().unwrap();
        github.token = Some("t0ken");
        github.storage = Some(storage.url(""));
    }
    let mut world = world(&server);
    keyring(&mut world);
    let ran = world.fails(4, "plugin install acme/helm-p");
    assert!(ran.stderr.contains("TOOL_GITHUB_TOKEN"), "{}", ran.stderr);
    for variable in ["GH_TOKEN", "GITHUB_TOKEN", "TOOL_GITHUB_TOKEN"] {
        // Each wins over those before it.
        world.set(variable, "wr0ng");
        let ran = world.fails(1, "plugin install acme/helm-p --debug");
        assert!(ran.stderr.contains(variable) && !ran.stderr.contains("wr0ng"), "{}", ran.stderr);
        world.set(variable, "t0ken");
        let ran = world.ok("plugin install acme/helm-p --debug");
        assert!(!format!("{}{}", ran.stdout, ran.stderr).contains("t0ken"));
        world.ok("plugin uninstall p");
    }
    assert!(!storage.requests().is_empty());
    world.ok("plugin install acme/helm-p");
    assert!(!fs::read_to_string(world.plugins().join(".state/p.json")).unwrap().contains("t0ken"));

    // A user name takes its place, and goes nowhere else either.
    let before = server.requests().len();
    let ran =
        world.tool_with_input("plugin install acme/helm-p --force --username ann --password-stdin".split(' '), b"hunter2\n");
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("user name") && !ran.stderr.contains("hunter2"), "{}", ran.stderr);
    let seen: Vec<_> = server.requests().split_off(before);
    assert!(seen.iter().all(|request| request.header("authorization") == Some("Basic YW5uOmh1bnRlcjI=")), "{seen:?}");

    // A token goes over no open line but one that stays on this machine.
    let count = server.requests().len();
    world.set("TOOL_GITHUB_API", "http://github.invalid/api");
    let ran = world.fails(1, "plugin update p");
    assert!(ran.stderr.contains("TOOL_GITHUB_TOKEN") && ran.stderr.contains("https"), "{}", ran.stderr);
    for wrong in ["github.example.com", "ftp://h/", "https://a:hunter2@h/", "https://h/?t=hunter2"] {
        world.set("TOOL_GITHUB_API", wrong);
        let ran = world.fails(2, "plugin install acme/helm-p --force");
        assert!(ran.stderr.contains("TOOL_GITHUB_API") && !ran.stderr.contains("hunter2"), "{wrong}: {}", ran.stderr);
    }
    assert_eq!(server.requests().len(), count);
}

#[test]
fn f_what_github_can_answer_instead() {
    let github = state(vec![signed("v1.0.0")]);
    let server = serve(&github);
    let mut world = world(&server);
    keyring(&mut world);
    let instead = |end: &'static str, status: &'static str| github.lock().unwrap().instead = vec![(end, status)];
    instead("/releases", "403 x");
    let ran = world.fails(5, "plugin install acme/helm-p");
    for part in ["limit", "2030-01-01T00:00:00Z", "TOOL_GITHUB_TOKEN"] {
        assert!(ran.stderr.contains(part), "no {part} in {}", ran.stderr);
    }
    assert_eq!(server.requests().len(), 1, "it is not asked again and again");
    instead("/releases", "200 OK");
    assert!(world.fails(1, "plugin install acme/helm-p").stderr.contains("cannot be used"));
    instead(".tgz", "404 x");
    world.fails(4, "plugin install acme/helm-p");
    instead(".prov", "404 x");
    let ran = world.fails(3, "plugin install acme/helm-p");
    assert!(ran.stderr.contains("p-1.0.0.tgz.prov"), "the list says that there is one: {}", ran.stderr);
    github.lock().unwrap().instead.clear();

    // Other bytes than GitHub took, nothing for this platform, or too much of it.
    github.lock().unwrap().releases[0].digests = true;
    world.ok("plugin install acme/helm-p");
    let (other, _) = package("1.0.1", "tour.sec.asc");
    let at_storage = Server::start(move |_, to| answer(to, "200 OK", &[], &other));
    let api = {
        let github = github.lock().unwrap();
        let mut release = github.releases[0].json(&server.url(""), &mut 0);
        release["assets"][0]["browser_download_url"] = at_storage.url("/p-1.0.0.tgz").into();
        release["assets"][0]["size"] = Value::Null;
        Value::from(vec![release]).to_string()
    };
    let lying = Server::start(move |_, to| answer(to, "200 OK", &[], api.as_bytes()));
    world.set("TOOL_GITHUB_API", lying.url(""));
    let ran = world.fails(3, "plugin install acme/helm-p --verify=false --force");
    assert!(ran.stderr.contains("GitHub says"), "{}", ran.stderr);
    world.set("TOOL_GITHUB_API", server.url("/api"));
    github.lock().unwrap().releases = vec![Release::new("v1.0.0", &[("p-plan9-mips.tgz", b"x"), ("a.txt", b"x")])];
    let ran = world.fails(4, "plugin install acme/helm-p --force");
    assert!(ran.stderr.contains("p-plan9-mips.tgz") && ran.stderr.contains("git+https://"), "{}", ran.stderr);
    github.lock().unwrap().releases = vec![Release::new("v1.0.0", &[("a-1.0.0.tgz", b"x"), ("b-1.0.0.tgz", b"x")])];
    let ran = world.fails(1, "plugin install acme/helm-p --force");
    assert!(ran.stderr.contains("a-1.0.0.tgz, b-1.0.0.tgz"), "{}", ran.stderr);
}
