//! Git repositories as sources, through the built program: what a repository, a user's settings or an argument could make git do
//! (cases V).

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::support::http_server::{Server, answer};
use crate::support::{World, git, snapshot};

/// A repository of the plugin `p` in `version`, tagged, in `work/<directory>`; its URL.
fn repository(world: &World, directory: &str, version: &str) -> (PathBuf, String) {
    let path = world.path(directory);
    world.plugin("p", version);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::rename(world.path("p"), &path).unwrap();
    git(&path, &["init", "--quiet", "--initial-branch=main"]);
    commit(&path, version);
    let url = format!("git+file://{}", path.display());
    (path, url)
}

fn commit(path: &Path, version: &str) {
    git(path, &["add", "--all"]);
    git(path, &["commit", "--quiet", "--allow-empty", "--message", "x"]);
    git(path, &["tag", &format!("v{version}")]);
}

#[test]
fn v_nothing_in_an_argument_becomes_an_option_or_a_program() {
    let world = World::new();
    let (path, url) = repository(&world, "r", "1.0.0");
    let trap = world.path("trapped");
    let touch = format!("touch${{IFS}}{}", trap.display());
    let before = snapshot(&world.path(""));
    for source in [
        format!("ext::sh -c {touch}"),
        format!("git+ext::sh -c {touch}"),
        format!("ext://sh -c {touch}"),
        format!("git+ext://{touch}"),
        format!("--upload-pack={touch}"),
        format!("git+--upload-pack={touch}"),
        format!("ssh://-oProxyCommand={touch}/x"),
        format!("git+ssh://-oProxyCommand={touch}@h/x"),
        format!("git@-oProxyCommand={touch}:x"),
        format!("ssh://h/--upload-pack={touch}"),
        format!("fd::7/{}", path.display()),
        format!("file://{}", path.display()),
    ] {
        let ran = world.tool(["plugin", "install", "--verify=false", "--", &source]);
        assert!((1..=4).contains(&ran.code), "{source}: {}", ran.stderr);
        assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
    }
    for version in
        ["-x", "--output=trapped", "--upload-pack=touch trapped", "-oProxyCommand=touch trapped", "v1.0.0;touch trapped"]
    {
        let version = format!("--version={version}");
        let ran = world.tool(["plugin", "install", "--verify=false", &version, &url]);
        assert!(matches!(ran.code, 2 | 4), "{version}: {}", ran.stderr);
    }
    assert_eq!(snapshot(&world.path("")), before, "nothing ran and nothing was written");
    assert!(!world.plugins().join("p").exists());
}

#[test]
fn v_hooks_and_file_monitors_of_the_user_do_not_run() {
    let mut world = World::new();
    let (_, url) = repository(&world, "r", "1.0.0");
    let trap = world.path("trapped");
    let program = world.script("hooks/trap", &format!("touch {}", trap.display()));
    for hook in
        ["reference-transaction", "post-checkout", "post-index-change", "pre-auto-gc", "fsmonitor-watchman", "post-merge"]
    {
        fs::copy(&program, world.path(&format!("hooks/{hook}"))).unwrap();
    }
    let template = world.path("template/hooks");
    fs::create_dir_all(&template).unwrap();
    fs::copy(&program, template.join("reference-transaction")).unwrap();
    let config = format!(
        "[core]\nhooksPath = {hooks}\nfsmonitor = {program}\n[init]\ntemplateDir = {template}\n[transfer]\nunpackLimit = 1\n",
        hooks = world.path("hooks").display(),
        program = program.display(),
        template = world.path("template").display(),
    );
    let config = world.write("gitconfig", config);
    world.set("GIT_CONFIG_GLOBAL", config.to_str().unwrap());
    world.ok(&format!("plugin install {url} --verify=false"));
    assert_eq!(world.ok("p x").stdout, "p 1.0.0 x\n");
    assert!(!trap.exists());
}

#[test]
fn v_only_the_wanted_commit_is_fetched_and_nothing_is_kept() {
    let mut world = World::new();
    let (path, url) = repository(&world, "one/r", "1.0.0");
    world.write("one/r/large", vec![b'x'; 100_000]);
    commit(&path, "1.1.0");
    fs::remove_file(world.path("one/r/large")).unwrap();
    commit(&path, "1.2.0");
    // Writes down how it is called, and calls git.
    let log = world.path("log");
    let real =
        std::env::split_paths(&std::env::var_os("PATH").unwrap()).map(|dir| dir.join("git")).find(|git| git.is_file());
    let real = real.unwrap();
    world.script("bin/git", &format!("echo \"$@\" >> {}\nexec {} \"$@\"", log.display(), real.display()));
    world.set("PATH", format!("{}:{}", world.path("bin").display(), std::env::var("PATH").unwrap()));
    world.ok(&format!("plugin install {url} --verify=false"));
    let calls = fs::read_to_string(&log).unwrap();
    assert!(calls.lines().count() >= 4, "{calls}");
    for call in calls.lines() {
        for setting in
            ["core.hooksPath=/dev/null", "core.fsmonitor=false", "protocol.ext.allow=never", "submodule.recurse=false"]
        {
            assert!(call.contains(&format!("-c {setting}")), "no {setting} in {call}");
        }
    }
    let fetch: Vec<_> = calls.lines().filter(|call| call.contains(" fetch ")).collect();
    assert_eq!(fetch.len(), 1);
    let address = format!(" -- {} ", url.trim_start_matches("git+"));
    for part in ["--depth=1", "--no-tags", "--no-recurse-submodules", &address, "refs/tags/v1.2.0"] {
        assert!(fetch[0].contains(part), "no {part} in {}", fetch[0]);
    }

    // Nothing is cached: another repository that looks the same is another one, and there is nothing whose loss would matter.
    let cache = world.root().join("home/.cache");
    assert!(!cache.exists() || snapshot(&cache).is_empty());
    assert!(fs::read_dir(world.plugins().join(".state/staging")).unwrap().next().is_none());
    let (_, other) = repository(&world, "two/r", "3.0.0");
    world.ok(&format!("plugin install {other} --verify=false --force"));
    assert_eq!(world.ok("p").stdout, "p 3.0.0\n");
    let _ = fs::remove_dir_all(&cache);
    commit(&world.path("two/r"), "3.1.0");
    assert!(world.ok("plugin outdated").stdout.contains("3.1.0"));
}

#[test]
fn v_names_that_no_package_may_have_are_refused() {
    for name in [&b"a\rb"[..], b"a\nb", b"caf\xe9", b"a:b", b"con.txt", b"end."] {
        let world = World::new();
        let (path, url) = repository(&world, "r", "1.0.0");
        fs::write(path.join(std::ffi::OsStr::from_bytes(name)), "x").unwrap();
        git(&path, &["add", "--all"]);
        git(&path, &["commit", "--quiet", "--message", "x"]);
        let ran = world.fails(1, &format!("plugin install {url} --verify=false --version main"));
        assert!(!ran.stderr.contains('\r'), "{:?}", ran.stderr);
        assert!(!world.plugins().join("p").exists(), "{name:?}");
    }
}

#[test]
fn v_links_in_a_repository_stay_inside() {
    for target in ["/etc/passwd", "../../x", ".git/config", "loop"] {
        let world = World::new();
        let (path, url) = repository(&world, "r", "1.0.0");
        std::os::unix::fs::symlink(target, path.join("loop")).unwrap();
        git(&path, &["add", "--all"]);
        git(&path, &["commit", "--quiet", "--message", "x"]);
        world.fails(1, &format!("plugin install {url} --verify=false --version main"));
        assert!(!world.plugins().join("p").exists(), "{target}");
    }
}

#[test]
fn v_a_server_that_cannot_be_reached_is_not_a_missing_repository() {
    let ran = World::new().fails(5, "plugin install git+http://127.0.0.1:1/p");
    assert!(ran.stderr.contains("cannot reach `http://127.0.0.1:1/p`"), "{}", ran.stderr);
}

#[test]
fn v_the_options_for_certificates_win_over_gits_own_variables() {
    let mut world = World::new();
    let seen = world.path("seen");
    let git = world.script("bin/git", &format!("env | grep ^GIT_SSL_ | sort > {}\nexit 1\n", seen.display()));
    world.set("PATH", format!("{}:{}", git.parent().unwrap().display(), std::env::var("PATH").unwrap()));
    for name in ["GIT_SSL_CAINFO", "GIT_SSL_CERT", "GIT_SSL_KEY"] {
        world.set(name, "/of/the/user");
    }
    let files: Vec<String> = ["ca", "cert", "key"].iter().map(|name| world.write(name, "").display().to_string()).collect();
    world.fails(1, "plugin install git+https://h.example/p --ca-file ca --cert-file cert --key-file key");
    let expected = format!("GIT_SSL_CAINFO={}\nGIT_SSL_CERT={}\nGIT_SSL_KEY={}\n", files[0], files[1], files[2]);
    assert_eq!(fs::read_to_string(seen).unwrap(), expected);
}

#[test]
fn v_info_shows_the_commit_and_what_is_followed() {
    let world = World::new();
    let (path, url) = repository(&world, "r", "1.0.0");
    let commit = git(&path, &["rev-parse", "HEAD"]).trim().to_owned();
    world.ok(&format!("plugin install {url} --version ~1 --verify=false"));
    let info = world.ok("plugin info p -o json").json();
    assert_eq!((&info["constraint"], &info["revision"]), (&"~1".into(), &commit.clone().into()));
    assert!(info["digest"].as_str().unwrap().starts_with("sha256:"), "{info}");
    let shown = world.ok("plugin info p").stdout;
    assert!(shown.contains("Follows:     ~1\n") && shown.contains(&format!("Revision:    {commit}\n")), "{shown}");
}

#[test]
fn v_a_private_repository_a_lost_head_and_another_owner_are_told_apart() {
    let world = World::new();
    let private = Server::start(|_, to| answer(to, "401 x", &[("WWW-Authenticate", "Basic realm=\"git\"")], b""));
    let ran = world.fails(1, &format!("plugin install --verify=false {}", private.url("/team/p.git")));
    assert!(ran.stderr.contains("`--username`") && !ran.stderr.contains("prompts"), "{}", ran.stderr);

    let (path, url) = repository(&world, "r", "1.0.0-rc.1");
    git(&path, &["symbolic-ref", "HEAD", "refs/heads/master"]);
    let ran = world.fails(4, &format!("plugin install --verify=false {url}"));
    assert!(ran.stderr.contains("--version main") && !ran.stderr.contains("is empty"), "{}", ran.stderr);
    world.ok(&format!("plugin install --verify=false {url} --version main"));

    // Git looks at the owner, whom only root can change.
    let mut chown = std::process::Command::new("chown");
    if chown.args(["-R", "54321"]).arg(&path).output().is_ok_and(|ran| ran.status.success()) {
        let ran = world.fails(1, &format!("plugin install --verify=false --force {url} --version main"));
        assert!(ran.stderr.contains("another user owns it"), "{}", ran.stderr);
        let next = ran.stderr.split('`').find(|part| part.starts_with("git config")).unwrap();
        let mut command = std::process::Command::new("sh");
        command.args(["-c", next]).env("HOME", world.root().join("home"));
        assert!(command.status().unwrap().success());
        world.ok(&format!("plugin install --verify=false --force {url} --version main"));
    }
}
