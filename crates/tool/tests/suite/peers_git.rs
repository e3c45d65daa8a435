//! Real repositories: `git` with its own daemon, tags that `gpg` and `ssh-keygen` sign (cases V).

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use crate::support::peers::{self, Peer};
use crate::support::{Ran, World, finish};

/// A repository with the plugin `p`, in `work/served/p`.
struct Repository<'w> {
    world: &'w World,
}

impl<'w> Repository<'w> {
    fn new(world: &'w World) -> Self {
        let own = Self { world };
        world.plugin("served/p", "0.0.0");
        own.git(&["init", "--quiet", "--initial-branch=main"]);
        own
    }

    fn path(&self) -> PathBuf {
        self.world.path("served/p")
    }

    fn command(&self, program: &str) -> Command {
        let home = self.world.root().join("author");
        fs::create_dir_all(home.join("gnupg")).unwrap();
        fs::set_permissions(home.join("gnupg"), fs::Permissions::from_mode(0o700)).unwrap();
        let mut command = Command::new(program);
        command.current_dir(self.path()).env("HOME", &home).env("GNUPGHOME", home.join("gnupg"));
        command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
        command
    }

    fn run(&self, mut command: Command) -> String {
        let ran = finish(&mut command);
        assert_eq!(ran.code, 0, "{command:?}: {}", ran.stderr);
        ran.stdout.trim_end().to_owned()
    }

    fn git(&self, arguments: &[&str]) -> String {
        let mut command = self.command("git");
        command.args(["-c", "user.name=Ann", "-c", "user.email=ann@example.com"]).args(arguments);
        self.run(command)
    }

    /// Commits the plugin in `version`; gives the commit's id.
    fn commit(&self, version: &str) -> String {
        let manifest = format!("name: p\nversion: {version}\nusage: p\ncommand: $TOOL_PLUGIN_DIR/run.sh\n");
        self.world.write("served/p/plugin.yaml", manifest);
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", version]);
        self.git(&["rev-parse", "HEAD"])
    }

    fn url(&self) -> String {
        format!("git+file://{}", self.path().display())
    }
}

impl Drop for Repository<'_> {
    fn drop(&mut self) {
        let mut command = self.command("gpgconf");
        let _ = command.args(["--kill", "all"]).output();
    }
}

fn installed(world: &World, words: &str) -> serde_json::Value {
    world.ok(&format!("plugin install {words} --force"));
    world.ok("plugin list -o json").json()[0].clone()
}

#[test]
fn v_a_daemon_serves_tags_ranges_branches_and_commits() {
    if !peers::wanted("git daemon") {
        return;
    }
    let world = World::new();
    let repository = Repository::new(&world);
    let first = repository.commit("1.0.0");
    repository.git(&["tag", "v1.0.0"]);
    repository.commit("1.1.0");
    repository.git(&["tag", "v1.1.0"]);
    repository.commit("2.0.0-rc.1");
    repository.git(&["tag", "v2.0.0-rc.1"]);
    repository.commit("3.0.0");
    let programs = repository.git(&["--exec-path"]);
    let daemon = Peer::start(&world.root().join("daemon.log"), |port| {
        // The program itself and not `git daemon`, which would outlive its parent.
        let mut command = Command::new(format!("{programs}/git-daemon"));
        command.args(["--export-all", "--listen=127.0.0.1", "--reuseaddr", &format!("--port={port}")]);
        command.arg(format!("--base-path={}", world.path("served").display()));
        command
    });
    let url = format!("git://127.0.0.1:{}/p", daemon.port);
    for (version, want) in [
        (" --version v1.0.0", "1.0.0"),
        (" --version ~1.0", "1.0.0"),
        (" --version ^1", "1.1.0"),
        (" --version >=2.0.0-0", "2.0.0-rc.1"),
        (" --version main", "3.0.0"),
        ("", "1.1.0"),
    ] {
        let p = installed(&world, &format!("{url}{version} --verify=false"));
        assert_eq!(p["version"], want, "{version}");
    }
    let p = installed(&world, &format!("{url} --version {first}"));
    assert_eq!((p["version"].as_str(), p["verified"]["by"].as_str()), (Some("1.0.0"), Some("digest")));
    let ran = world.fails(4, &format!("plugin install {url} --version 9.0.0 --force"));
    assert!(ran.stderr.contains("v1.1.0"), "{}", ran.stderr);
    let ran = world.fails(3, &format!("plugin install {url} --version v1.0.0 --force"));
    assert!(ran.stderr.contains(&first) && ran.stderr.contains("--verify=false"), "{}", ran.stderr);
    world.fails(4, &format!("plugin install git://127.0.0.1:{}/missing --verify=false", daemon.port));
}

#[test]
fn v_tags_that_gpg_signs_are_verified() {
    if !peers::wanted("git, gpg") {
        return;
    }
    let world = World::new();
    let repository = Repository::new(&world);
    let mut command = repository.command("gpg");
    command.args(["--quiet", "--batch", "--pinentry-mode", "loopback", "--passphrase", ""]);
    repository.run({
        command.args(["--quick-generate-key", "Ann <ann@example.com>", "ed25519", "sign", "never"]);
        command
    });
    let mut command = repository.command("gpg");
    command.args(["--quiet", "--export", "--output"]).arg(world.path("ann.pgp"));
    repository.run(command);
    repository.commit("1.0.0");
    repository.git(&["tag", "--sign", "--message", "1.0.0", "v1.0.0"]);
    repository.git(&["tag", "v1.0.1"]);
    let commit = repository.commit("1.1.0");
    repository.git(&["commit", "--quiet", "--amend", "--gpg-sign", "--message", "signed"]);
    assert_ne!(commit, repository.git(&["rev-parse", "HEAD"]));

    let url = repository.url();
    let p = installed(&world, &format!("{url} --version v1.0.0 --keyring ann.pgp"));
    assert_eq!(p["verified"]["by"], "signature");
    assert_eq!(p["verified"]["signer"], "Ann <ann@example.com>");
    let ran = world.ok("plugin verify p --keyring ann.pgp");
    assert!(ran.stdout.contains("ann@example.com"), "{}", ran.stdout);
    let p = installed(&world, &format!("{url} --version main --keyring ann.pgp"));
    assert_eq!((p["version"].as_str(), p["verified"]["by"].as_str()), (Some("1.1.0"), Some("signature")));
    world.fails(3, &format!("plugin install {url} --version v1.0.1 --keyring ann.pgp --force"));
    world.fails(3, &format!("plugin install {url} --version v1.0.0 --force"));
    // A good signature of another release under this one's name.
    repository.git(&["tag", "-d", "v1.0.1"]);
    repository.git(&["update-ref", "refs/tags/v1.0.1", "refs/tags/v1.0.0"]);
    world.fails(3, &format!("plugin install {url} --version v1.0.1 --keyring ann.pgp --force"));
}

#[test]
fn v_tags_that_ssh_keys_sign_are_verified() {
    if !peers::wanted("git, ssh-keygen") || !peers::has("ssh-keygen") {
        return eprintln!("skipped: there is no ssh-keygen");
    }
    let world = World::new();
    let repository = Repository::new(&world);
    let key = world.path("key");
    let mut command = repository.command("ssh-keygen");
    command.args(["-q", "-t", "ed25519", "-N", "", "-C", "", "-f"]).arg(&key);
    repository.run(command);
    let public = fs::read_to_string(world.path("key.pub")).unwrap();
    world.write("allowed", format!("ann@example.com namespaces=\"git\" {public}"));
    repository.commit("1.0.0");
    let signing = format!("user.signingKey={}", key.display());
    repository.git(&["-c", "gpg.format=ssh", "-c", &signing, "tag", "--sign", "--message", "1.0.0", "v1.0.0"]);
    let install = format!("plugin install {} --version v1.0.0 --force", repository.url());
    let fails = |more: &str| -> Ran { world.fails(3, &format!("{install}{more}")) };
    let ran = fails("");
    assert!(ran.stderr.contains("--allowed-signers"), "{}", ran.stderr);
    let p = installed(&world, &format!("{} --version v1.0.0 --allowed-signers allowed", repository.url()));
    assert_eq!(
        (p["verified"]["by"].as_str(), p["verified"]["signer"].as_str()),
        (Some("signature"), Some("ann@example.com"))
    );
    assert!(p["verified"]["fingerprint"].as_str().unwrap().starts_with("SHA256:"), "{p}");
    world.write(
        "nobody",
        "bob@example.com ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n",
    );
    let ran = fails(" --allowed-signers nobody");
    assert!(ran.stderr.contains("SHA256:") && ran.stderr.contains("nobody"), "{}", ran.stderr);
    world.fails(4, &format!("{install} --allowed-signers missing"));
    world.write("mail", format!("ann@example.com namespaces=\"email\" {public}"));
    fails(" --allowed-signers mail");
    fs::create_dir_all(world.root().join("home/.config/tool")).unwrap();
    fs::copy(world.path("allowed"), world.root().join("home/.config/tool/allowed_signers")).unwrap();
    world.ok(&install);
}
