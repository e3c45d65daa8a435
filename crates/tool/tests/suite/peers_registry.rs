//! A real registry (`docker-registry`), with `skopeo` and, where it is there, `helm` at the other end (cases O).

use std::fs;
use std::process::Command;

use crate::support::peers::{self, Peer};
use crate::support::{Ran, World, finish, repository};

/// `ann` with the password `hunter2`, as bcrypt.
const HTPASSWD: &str = "ann:$2y$05$abcdefghijklmnopqrstuuoXuKqgZXLiJqzfmMXDDhSFPIvxV7t8.\n";

/// Starts a registry whose files go with `world`.
fn registry(world: &World, tls: bool, private: bool) -> Peer {
    let dir = world.root().join("registry");
    fs::create_dir(&dir).unwrap();
    let path = |name: &str| dir.join(name).display().to_string();
    let mut more = String::new();
    if tls {
        let (certificate, key) = peers::certificate(&dir);
        more += &format!("  tls:\n    certificate: {}\n    key: {}\n", certificate.display(), key.display());
    }
    if private {
        more += &format!("auth:\n  htpasswd:\n    realm: tests\n    path: {}\n", path("htpasswd"));
    }
    fs::write(dir.join("htpasswd"), HTPASSWD).unwrap();
    Peer::start(&dir.join("log"), |port| {
        let config = format!(
            "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: 127.0.0.1:{port}\n{more}",
            path("data")
        );
        fs::write(dir.join("config.yml"), config).unwrap();
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(dir.join("config.yml"));
        command
    })
}

/// A world with signed packages of `p` in these versions, the keyring to verify them, and a plugin that Helm can run too.
fn signed(versions: &[&str]) -> World {
    let mut world = World::new();
    for version in versions {
        world.plugin("p", version);
        let manifest = fs::read_to_string(world.path("p/plugin.yaml")).unwrap();
        world.write("p/plugin.yaml", manifest.replace("$TOOL_PLUGIN_DIR", "$HELM_PLUGIN_DIR"));
        world.ok(&format!("plugin package p --sign --keyring {}", repository("testdata/keys/rsa.secret").display()));
    }
    world.set("TOOL_KEYRING", repository("testdata/keys/rsa.pgp").to_str().unwrap());
    world
}

fn digest(ran: &Ran) -> String {
    ran.stdout.lines().find_map(|line| line.strip_prefix("Digest: ")).unwrap().to_owned()
}

fn skopeo(world: &World, arguments: &[&str]) -> Ran {
    let mut command = Command::new("skopeo");
    command.args(["--insecure-policy"]).args(arguments).env("HOME", world.root().join("home")).current_dir(world.path(""));
    let ran = finish(&mut command);
    assert_eq!(ran.code, 0, "skopeo {arguments:?}: {}", ran.stderr);
    ran
}

#[test]
fn o_what_is_pushed_is_seen_copied_and_installed() {
    if !peers::wanted("docker-registry, skopeo") {
        return;
    }
    let world = signed(&["1.0.0", "1.1.0", "2.0.0-rc.1", "1.1.0+b.1"]);
    let registry = registry(&world, false, false);
    let at = format!("127.0.0.1:{}", registry.port);
    let mut digests = Vec::new();
    for version in ["1.0.0", "1.1.0", "2.0.0-rc.1", "1.1.0+b.1"] {
        digests.push(digest(&world.ok(&format!("plugin push p-{version}.tgz oci://{at}/team --plain-http"))));
    }
    let again = world.ok(&format!("plugin push p-1.0.0.tgz oci://{at}/team/p --plain-http"));
    assert_eq!(digest(&again), digests[0]);

    let seen = skopeo(&world, &["inspect", "--raw", "--tls-verify=false", &format!("docker://{at}/team/p:1.0.0")]).json();
    assert_eq!(seen["artifactType"], "application/vnd.helm.plugin.v1+json");
    assert_eq!(seen["layers"][1]["annotations"]["org.opencontainers.image.title"], "p-1.0.0.tgz.prov");
    let tags = skopeo(&world, &["list-tags", "--tls-verify=false", &format!("docker://{at}/team/p")]).json();
    assert_eq!(tags["Tags"].as_array().unwrap().len(), 4, "{tags}");
    assert!(tags.to_string().contains("1.1.0_b.1"), "{tags}");
    let (from, to) = (format!("docker://{at}/team/p:1.1.0"), format!("docker://{at}/mirror/p:1.1.0"));
    skopeo(&world, &["copy", "--src-tls-verify=false", "--dest-tls-verify=false", &from, &to]);
    skopeo(&world, &["copy", "--src-tls-verify=false", &from, "oci:layout:1.1.0"]);

    let install = |what: &str| {
        world.ok(&format!("plugin install {what} --plain-http --force"));
        let p = world.ok("plugin list -o json").json()[0].clone();
        (p["version"].as_str().unwrap().to_owned(), p["verified"]["by"].as_str().unwrap().to_owned())
    };
    let by = |version: &str, means: &str| (version.to_owned(), means.to_owned());
    let own = format!("oci://{at}/team/p");
    assert_eq!(install(&format!("{own}:1.0.0")), by("1.0.0", "signature"));
    assert_eq!(install(&format!("{own} --version ~1.0")), by("1.0.0", "signature"));
    assert_eq!(install(&format!("{own}:1.1.0+b.1")), by("1.1.0+b.1", "signature"));
    assert_eq!(install(&format!("{own} --version >=2.0.0-0")), by("2.0.0-rc.1", "signature"));
    assert!(install(&own).0.starts_with("1.1.0"), "no pre-release");
    assert_eq!(install(&format!("oci://{at}/mirror/p:1.1.0")), by("1.1.0", "signature"));
    assert_eq!(install(&format!("{own}@{}", digests[0])), by("1.0.0", "digest"));
    assert_eq!(world.ok("p x").stdout.trim_end(), "p 1.0.0 x");
    let ran = world.fails(4, &format!("plugin install {own} --version 3.0.0 --plain-http --force"));
    assert!(ran.stderr.contains("nearest"), "{}", ran.stderr);
    world.fails(4, &format!("plugin install {own}@sha256:{} --plain-http --force", "0".repeat(64)));
    assert_eq!(fs::read(world.path("p-1.0.0.tgz")).unwrap(), {
        world.ok(&format!("get {own}:1.0.0 --plain-http -o got.tgz"));
        fs::read(world.path("got.tgz")).unwrap()
    });
}

#[test]
fn o_tls_and_credentials() {
    if !peers::wanted("docker-registry") {
        return;
    }
    let world = signed(&["1.0.0"]);
    let registry = registry(&world, true, true);
    let at = format!("127.0.0.1:{}", registry.port);
    let ca = world.root().join("registry/tls.crt").display().to_string();
    let push = format!("plugin push p-1.0.0.tgz oci://{at}/team");
    let ran = world.fails(1, &push);
    assert!(ran.stderr.contains("--ca-file"), "{}", ran.stderr);
    let push = format!("{push} --ca-file {ca}");
    let ran = world.fails(1, &push);
    assert!(ran.stderr.contains("--username"), "{}", ran.stderr);
    let with_password = |words: &str, password: &str| {
        let ran = world.tool_with_input(format!("{words} --username ann --password-stdin").split(' '), password.as_bytes());
        assert!(!ran.stderr.contains(password), "{}", ran.stderr);
        ran
    };
    assert_eq!(with_password(&push, "hunter3").code, 1);
    let ran = with_password(&format!("{push} --debug"), "hunter2");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let install = format!("plugin install oci://{at}/team/p:1.0.0 --ca-file {ca}");
    world.fails(1, &install);
    assert_eq!(with_password(&install, "hunter2").code, 0);

    // The same from Docker's file, and with settings for the registry.
    let home = world.root().join("home");
    fs::create_dir_all(home.join(".docker")).unwrap();
    let config = format!(r#"{{"auths":{{"{at}":{{"auth":"YW5uOmh1bnRlcjI="}}}}}}"#);
    fs::write(home.join(".docker/config.json"), config).unwrap();
    fs::create_dir_all(home.join(".config/tool")).unwrap();
    fs::write(home.join(".config/tool/config.yaml"), format!("registries:\n  \"{at}\":\n    caFile: {ca}\n")).unwrap();
    world.ok(&format!("plugin install oci://{at}/team/p --force"));
    world.ok(&format!("plugin push p-1.0.0.tgz oci://{at}/other"));
}

#[test]
fn o_helm_installs_what_is_pushed() {
    if !peers::wanted("docker-registry, helm") || !peers::has("helm") {
        return eprintln!("skipped: there is no helm");
    }
    let world = signed(&["1.0.0"]);
    let registry = registry(&world, false, false);
    let at = format!("127.0.0.1:{}", registry.port);
    world.ok(&format!("plugin push p-1.0.0.tgz oci://{at}/team --plain-http"));
    let helm = |words: &str| {
        let mut command = Command::new("helm");
        command.args(words.split(' ')).env_clear().env("PATH", std::env::var_os("PATH").unwrap());
        let ran = finish(command.env("HOME", world.root().join("helm-home")).current_dir(world.path("")));
        assert_eq!(ran.code, 0, "helm {words}: {}{}", ran.stdout, ran.stderr);
        ran
    };
    let keyring = repository("testdata/keys/rsa.pgp");
    let ran = helm(&format!("plugin install oci://{at}/team/p:1.0.0 --plain-http --keyring {}", keyring.display()));
    assert!(format!("{}{}", ran.stdout, ran.stderr).contains("Verified"), "{ran:?}");
    assert_eq!(helm("p x").stdout.trim_end(), "p 1.0.0 x");
}
