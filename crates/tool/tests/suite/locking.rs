//! `plugin lock`, `sync`, `export`, `pull`.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use plugsmith::digest::Sha256Digest;

use crate::support::http_server::{Server, answer};
use crate::support::{World, git, repository, snapshot};

const TOUR: &str = "E73208FE0133B7C8A809E83E27415E8C12120722";

fn world() -> World {
    let mut world = World::new();
    world.set("TOOL_KEYRING", repository("testdata/keys/tour.asc").to_str().unwrap());
    world
}

/// A signed package in the working directory; its bytes and those of its provenance.
fn package(world: &World, name: &str, version: &str) -> (Vec<u8>, Vec<u8>) {
    world.plugin(name, version);
    world.ok(&format!("plugin package {name} --sign --keyring {}", repository("testdata/keys/tour.sec.asc").display()));
    let read = |suffix: &str| fs::read(world.path(&format!("{name}-{version}.tgz{suffix}"))).unwrap();
    (read(""), read(".prov"))
}

fn lock_file(world: &World) -> String {
    fs::read_to_string(world.path("plugins.lock")).unwrap()
}

/// A fresh machine with the lock file of `of`.
fn machine(of: &World) -> World {
    let world = World::new();
    world.write("plugins.lock", lock_file(of));
    world
}

/// Names and versions of what is installed.
fn installed(world: &World) -> Vec<String> {
    let list = world.ok("plugin list -o json").json();
    let row = |row: &serde_json::Value| format!("{} {}", row["name"].as_str().unwrap(), row["version"].as_str().unwrap());
    list.as_array().unwrap().iter().map(row).collect()
}

#[test]
fn another_machine_gets_the_same_plugins() {
    let world = world();
    let (zeta, zeta_prov) = package(&world, "zeta", "1.0.0");
    let (alpha, _) = package(&world, "alpha", "2.0.0");
    let server = Server::files(&[("/zeta.tgz", &zeta), ("/zeta.tgz.prov", &zeta_prov), ("/a/alpha-2.0.0.tgz", &alpha)]);
    world.ok(&format!("plugin install {}", server.url("/zeta.tgz")));
    world.ok(&format!("plugin install {} --digest sha256:{}", server.url("/a/alpha-2.0.0.tgz"), Sha256Digest::of(&alpha)));
    world.ok("plugin lock");
    let text = lock_file(&world);
    for part in [&server.url("/zeta.tgz"), TOUR, &format!("sha256:{}", Sha256Digest::of(&alpha)), "version = \"2.0.0\""] {
        assert!(text.contains(part), "no {part} in\n{text}");
    }
    assert!(text.find("alpha").unwrap() < text.find("zeta").unwrap(), "sorted");
    world.ok("plugin lock");
    world.ok("plugin lock --lock-file other.toml");
    assert_eq!(lock_file(&world), text, "the same bytes each time");
    assert_eq!(fs::read_to_string(world.path("other.toml")).unwrap(), text);
    assert!(world.ok("plugin sync").stderr.contains("every plugin is as"));

    // Without keys there are the digests, and no more is said.
    let other = machine(&world);
    for frozen in ["--frozen", ""] {
        let ran = other.ok(format!("plugin sync {frozen}").trim_end());
        assert_eq!(ran.stdout.lines().count(), if frozen.is_empty() { 0 } else { 2 }, "{}", ran.stdout);
        assert_eq!(installed(&other), ["alpha 2.0.0", "zeta 1.0.0"]);
    }
    assert_eq!(other.ok("zeta x").stdout, "zeta 1.0.0 x\n");
    let list = other.ok("plugin list -o json").json();
    assert_eq!((&list[1]["verified"]["by"], &list[1]["source"]), (&"digest".into(), &server.url("/zeta.tgz").into()));
    other.ok("plugin verify zeta");
    other.ok("plugin lock --lock-file again.toml");
    assert!(fs::read_to_string(other.path("again.toml")).unwrap().contains(&Sha256Digest::of(&zeta).to_string()));
}

#[test]
fn a_sync_restores_changes_and_prunes() {
    let world = world();
    package(&world, "p", "1.0.0");
    world.ok("plugin install p-1.0.0.tgz");
    world.ok("plugin lock");
    package(&world, "p", "1.1.0");
    world.ok("plugin install p-1.1.0.tgz --force");
    world.ok("plugin pin p");
    world.plugin("extra", "1.0.0");
    world.ok("plugin install extra --copy");
    let ran = world.ok("plugin sync");
    assert!(ran.stdout.contains("1.1.0") && ran.stdout.contains("1.0.0"), "{}", ran.stdout);
    assert_eq!(world.ok("p").stdout, "p 1.0.0\n");
    assert_eq!(installed(&world), ["extra 1.0.0", "p 1.0.0"], "what the file does not name stays");
    world.ok("plugin rollback p");
    assert_eq!(world.ok("p").stdout, "p 1.1.0\n");
    world.ok("plugin sync --prune");
    assert_eq!(installed(&world), ["p 1.0.0"]);
    fs::write(world.plugins().join("p/run.sh"), "#!/bin/sh\necho evil\n").unwrap();
    world.ok("plugin sync");
    assert_eq!(world.ok("p").stdout, "p 1.0.0\n");
}

#[test]
fn a_check_says_what_differs_and_changes_nothing() {
    let world = world();
    for name in ["changed", "missing", "older", "same"] {
        package(&world, name, "1.0.0");
        world.ok(&format!("plugin install {name}-1.0.0.tgz"));
    }
    package(&world, "older", "1.1.0");
    world.ok("plugin install older-1.1.0.tgz --force");
    world.ok("plugin lock");
    let same = world.ok("plugin sync --check");
    assert!(same.stdout.is_empty() && same.stderr.contains("every plugin is as"), "{}{}", same.stdout, same.stderr);

    world.ok("plugin install older-1.0.0.tgz --force");
    world.ok("plugin uninstall missing");
    fs::write(world.plugins().join("changed/run.sh"), "#!/bin/sh\necho evil\n").unwrap();
    world.plugin("extra", "1.0.0");
    world.ok("plugin install extra --copy");
    let before = (snapshot(&world.plugins()), snapshot(&world.path("")));
    let ran = world.fails(10, "plugin sync --check");
    let said = "Would restore changed 1.0.0\nWould install missing 1.0.0\nWould change older 1.0.0 -> 1.1.0\n";
    assert_eq!(ran.stdout, said, "{}", ran.stderr);
    let rows = world.fails(10, "plugin sync --check --prune -o json").json();
    let row = |row: &serde_json::Value| {
        let text = |key: &str| row[key].as_str().unwrap_or("-").to_owned();
        [text("name"), text("action"), text("version"), text("previousVersion")].join(" ")
    };
    let rows: Vec<String> = rows.as_array().unwrap().iter().map(row).collect();
    let expected = [
        "changed restored 1.0.0 1.0.0",
        "missing installed 1.0.0 -",
        "older updated 1.1.0 1.0.0",
        "same unchanged 1.0.0 -",
        "extra removed - 1.0.0",
    ];
    assert_eq!(rows, expected);
    assert_eq!((snapshot(&world.plugins()), snapshot(&world.path(""))), before);
    world.ok("plugin sync --prune");
    world.ok("plugin sync --check --prune");
    // A machine without anything is looked at without a store being made.
    let other = machine(&world);
    other.fails(10, "plugin sync --check");
    assert!(!other.plugins().exists());
    world.fails(4, "plugin sync --check --lock-file nowhere.lock");
}

#[test]
fn hooks_of_a_sync() {
    let world = world();
    let hooked = |version: &str| {
        world.plugin("p", version);
        let manifest = fs::read_to_string(world.path("p/plugin.yaml")).unwrap();
        let hooks = "hooks:\n  install: echo came; exit $(cat $HOME/code)\n  update: echo moved; exit $(cat $HOME/code)\n";
        world.write("p/plugin.yaml", manifest + hooks);
        world.ok("plugin package p --sign=false");
    };
    let code = |code: &str| fs::write(world.root().join("home/code"), code).unwrap();
    hooked("1.0.0");
    code("0");
    world.ok("plugin install p-1.0.0.tgz --verify=false --yes");
    world.ok("plugin lock");
    world.ok("plugin uninstall p");
    code("3");
    world.fails(1, "plugin sync --yes");
    assert_eq!(installed(&world), [] as [&str; 0]);
    code("0");
    assert!(world.ok("plugin sync --yes").stdout.contains("came"));
    hooked("2.0.0");
    world.ok("plugin install p-2.0.0.tgz --verify=false --force --yes");
    code("3");
    world.fails(1, "plugin sync --yes");
    assert_eq!(installed(&world), ["p 2.0.0"]);
    assert!(!world.ok("plugin sync --no-hooks").stdout.contains("moved"));
    assert_eq!(installed(&world), ["p 1.0.0"]);
}

#[test]
fn what_is_not_what_was_locked_is_refused() {
    let world = world();
    let (bytes, _) = package(&world, "p", "1.0.0");
    let (other, other_prov) = package(&world, "p", "1.1.0");
    world.ok("plugin install p-1.0.0.tgz");
    world.ok("plugin lock");
    let text = lock_file(&world);
    world.ok("plugin uninstall p");
    world.write("p-1.0.0.tgz", &other);
    world.write("p-1.0.0.tgz.prov", &other_prov);
    world.fails(3, "plugin sync");
    assert_eq!(installed(&world), [] as [&str; 0]);
    let digests = |text: &str| text.replace(&Sha256Digest::of(&bytes).to_string(), &Sha256Digest::of(&other).to_string());
    world.write("plugins.lock", digests(&text));
    let ran = world.fails(3, "plugin sync");
    assert!(ran.stderr.contains("1.1.0") && ran.stderr.contains("1.0.0"), "{}", ran.stderr);
    world.write("plugins.lock", digests(&text).replace("\"p\"", "\"q\""));
    world.fails(3, "plugin sync");
    assert_eq!(installed(&world), [] as [&str; 0]);

    world.fails(4, "plugin sync --lock-file nowhere.lock");
    world.write("plugins.lock", "version = 1\nnope = 1\n");
    let ran = world.fails(1, "plugin sync");
    assert!(ran.stderr.contains("plugins.lock") && ran.stderr.contains("line 2"), "{}", ran.stderr);
    world.fails(1, "plugin lock");
    assert_eq!(lock_file(&world), "version = 1\nnope = 1\n", "somebody's file is not overwritten");
}

#[test]
fn a_link_in_the_place_of_the_lock_file_is_not_written_through() {
    let world = world();
    world.write("elsewhere", "version = 1\n");
    std::os::unix::fs::symlink(world.path("elsewhere"), world.path("plugins.lock")).unwrap();
    package(&world, "p", "1.0.0");
    world.ok("plugin install p-1.0.0.tgz");
    world.ok("plugin lock");
    assert_eq!(fs::read_to_string(world.path("elsewhere")).unwrap(), "version = 1\n");
    assert!(lock_file(&world).contains("\"p\""));
}

#[test]
fn frozen_resolves_nothing() {
    let world = world();
    let (bytes, prov) = package(&world, "p", "1.0.0");
    let server = Server::files(&[("/p.tgz", &bytes), ("/p.tgz.prov", &prov)]);
    let entry = |signer: &str| {
        format!(
            "version = 1\n[[plugin]]\nname = \"p\"\nversion = \"1.0.0\"\nsource = \"{}\"\nsigner = {{fingerprint = \"{signer}\"}}\n[plugin.archives]\n\"plan9/mips\" = \"sha256:{}\"\n",
            server.url("/p.tgz"),
            "0".repeat(64)
        )
    };
    world.write("plugins.lock", entry(TOUR));
    let ran = world.fails(3, "plugin sync --frozen");
    assert!(ran.stderr.contains("`p`") && ran.stderr.contains("--frozen"), "{}", ran.stderr);
    assert!(server.requests().is_empty(), "nothing is asked for");
    world.write("plugins.lock", entry(&"A".repeat(40)));
    let ran = world.fails(3, "plugin sync");
    assert!(ran.stderr.contains(TOUR) && ran.stderr.contains(&"A".repeat(40)), "{}", ran.stderr);
    world.write("plugins.lock", entry(TOUR));
    world.ok("plugin sync");
    assert_eq!(world.ok("plugin list -o json").json()[0]["verified"]["by"], "signature");
}

#[test]
fn a_mirror_needs_nothing_else() {
    let world = world();
    let (p, p_prov) = package(&world, "p", "1.0.0");
    let (q, q_prov) = package(&world, "q", "1.0.0");
    let server = Server::files(&[("/p.tgz", &p), ("/p.tgz.prov", &p_prov), ("/q.tgz", &q), ("/q.tgz.prov", &q_prov)]);
    world.ok(&format!("plugin install {} {}", server.url("/p.tgz"), server.url("/q.tgz")));
    world.plugin("linked", "1.0.0");
    world.ok("plugin install linked");
    let ran = world.ok("plugin export mirror");
    assert!(ran.stderr.contains("linked is left out"), "{}", ran.stderr);
    let files = snapshot(&world.path("mirror"));
    let names: Vec<&str> = files.keys().map(String::as_str).collect();
    let packages =
        ["packages/p-1.0.0.tgz", "packages/p-1.0.0.tgz.prov", "packages/q-1.0.0.tgz", "packages/q-1.0.0.tgz.prov"];
    assert_eq!(names, [&["packages"], &packages[..], &["plugins.lock"]].concat());
    assert_eq!(fs::read(world.path("mirror/packages/p-1.0.0.tgz")).unwrap(), p);
    // A package that is not kept any more is fetched again.
    fs::remove_file(world.plugins().join("q-1.0.0.tgz")).unwrap();
    fs::remove_dir_all(world.path("mirror/packages")).unwrap();
    world.ok("plugin export mirror");
    assert_eq!(fs::read(world.path("mirror/packages/q-1.0.0.tgz")).unwrap(), q);
    world.ok("plugin verify mirror/packages/p-1.0.0.tgz");
    drop(server);

    let other = World::new();
    let mirror = world.path("mirror");
    let mirror = mirror.display();
    other.ok(&format!("plugin sync --offline --mirror {mirror}"));
    assert_eq!(installed(&other), ["p 1.0.0", "q 1.0.0"]);
    other.ok("p");
    assert!(other.plugins().join("p-1.0.0.tgz.prov").is_file(), "the provenance comes along");
    assert!(other.ok(&format!("plugin sync --offline --frozen --mirror {mirror}")).stdout.is_empty());

    // A mirror is not trusted beyond its digests, and what it lacks is not fetched.
    let other = World::new();
    fs::write(world.path("mirror/packages/p-1.0.0.tgz"), &q).unwrap();
    fs::remove_file(world.path("mirror/packages/q-1.0.0.tgz")).unwrap();
    let ran = other.tool(["plugin", "sync", "--offline", "--mirror", &mirror.to_string()]);
    assert!(ran.code == 3 || ran.code == 4, "{}", ran.stderr);
    assert!(ran.stderr.contains("offline") && ran.stderr.contains("digest"), "both are told: {}", ran.stderr);
    assert_eq!(installed(&other), [] as [&str; 0]);
    world.ok("plugin lock");
    let ran = machine(&world).fails(4, "plugin sync --offline");
    assert!(ran.stderr.contains("--offline"), "{}", ran.stderr);
}

#[test]
fn f_a_password_goes_to_no_server_that_it_was_not_meant_for() {
    let world = world();
    let (p, _) = package(&world, "p", "1.0.0");
    let (q, _) = package(&world, "q", "1.0.0");
    let (ours, theirs) = (Server::files(&[("/p.tgz", &p)]), Server::files(&[("/q.tgz", &q)]));
    world.ok(&format!("plugin install --verify=false {} {}", ours.url("/p.tgz"), theirs.url("/q.tgz")));
    world.ok("plugin lock");
    let other = machine(&world);
    let ran = other.fails(2, "plugin sync --username ann --password-stdin");
    assert!(ran.stderr.contains("--username") && ran.stderr.contains(".netrc"), "{}", ran.stderr);
    for words in ["plugin update --all", "plugin update p q", "plugin outdated", "plugin export mirror"] {
        world.fails(2, &format!("{words} --username ann --password-stdin"));
    }
    assert!([&ours, &theirs].iter().all(|server| server.requests().iter().all(|r| r.header("authorization").is_none())));
    let words = ["plugin", "update", "p", "--username", "ann", "--password-stdin"];
    assert_eq!(world.tool_with_input(words, b"hunter2\n").code, 0);
    other.ok("plugin sync");
}

#[test]
fn a_repository_is_locked_by_its_commit() {
    let world = world();
    let plugin = world.plugin("p", "1.0.0");
    let git = |arguments: &[&str]| git(&plugin, arguments);
    git(&["init", "--quiet"]);
    git(&["add", "--all"]);
    git(&["commit", "--quiet", "--message", "x"]);
    git(&["tag", "v1.0.0"]);
    let commit = git(&["rev-parse", "HEAD"]);
    world.ok(&format!("plugin install git+file://{} --version ~1 --verify=false", plugin.display()));
    world.ok("plugin lock");
    assert!(lock_file(&world).contains(&commit), "{}", lock_file(&world));
    // The tag moves on; the commit does not.
    world.write("p/run.sh", "#!/bin/sh\necho moved\n");
    git(&["commit", "--quiet", "--all", "--message", "x"]);
    git(&["tag", "--force", "v1.0.0"]);
    let other = machine(&world);
    other.ok("plugin sync --frozen");
    assert_eq!(other.ok("p").stdout, "p 1.0.0\n");
    assert_eq!(other.ok("plugin list -o json").json()[0]["verified"]["by"], "none", "as it was installed");
    // What follows a range goes on following it.
    world.ok("plugin export mirror");
    let third = World::new();
    third.ok(&format!("plugin sync --offline --mirror {}", world.path("mirror").display()));
    third.ok("plugin update p --verify=false");
    assert_eq!(third.ok("p").stdout, "moved\n");
}

#[test]
fn downloads_of_a_sync_overlap_within_bounds_and_show_as_one() {
    let world = world();
    let names: Vec<String> = (0..12).map(|number| format!("p{number:02}")).collect();
    let packages: Vec<(String, Vec<u8>)> =
        names.iter().map(|name| (format!("/{name}.tgz"), package(&world, name, "1.0.0").0)).collect();
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let seen = most.clone();
    let server = Server::start(move |request, to| {
        most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(30));
        running.fetch_sub(1, Ordering::SeqCst);
        match packages.iter().find(|(path, _)| *path == request.target) {
            Some((_, bytes)) => answer(to, "200 OK", &[], bytes),
            None => answer(to, "404 x", &[], b""),
        }
    });
    let sources: Vec<String> = names.iter().map(|name| server.url(&format!("/{name}.tgz"))).collect();
    world.ok(&format!("plugin install {} --verify=false", sources.join(" ")));
    world.ok("plugin lock");
    seen.store(0, Ordering::SeqCst);
    let other = machine(&world);
    let config = other.root().join("home/.config/tool/config.yaml");
    fs::create_dir_all(config.parent().unwrap()).unwrap();
    fs::write(&config, "http: {parallel: 3}\n").unwrap();
    let ran = other.ok("plugin sync");
    assert_eq!(installed(&other).len(), 12);
    assert!((2..=3).contains(&seen.load(Ordering::SeqCst)), "{}", seen.load(Ordering::SeqCst));
    assert_eq!(ran.stderr.lines().count(), 1, "one display: {}", ran.stderr);
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert!(lines.is_sorted() && lines.len() == 12, "{}", ran.stdout);
    for name in &names {
        other.ok(name);
    }
    assert_eq!(fs::read_dir(other.plugins().join(".state/staging")).unwrap().count(), 0);
}

#[test]
fn one_failure_does_not_stop_the_others() {
    let world = world();
    package(&world, "p", "1.0.0");
    package(&world, "q", "1.0.0");
    world.ok("plugin install p-1.0.0.tgz q-1.0.0.tgz");
    world.ok("plugin lock");
    fs::remove_file(world.path("p-1.0.0.tgz")).unwrap();
    let other = machine(&world);
    let ran = other.fails(4, "plugin sync");
    assert!(ran.stderr.contains("p-1.0.0.tgz"), "{}", ran.stderr);
    assert_eq!(installed(&other), ["q 1.0.0"]);
}

#[test]
fn what_cannot_be_locked_is_named() {
    let world = world();
    world.plugin("linked", "1.0.0");
    world.plugin("copied", "1.0.0");
    world.ok("plugin install linked");
    world.ok("plugin install copied --copy");
    let ran = world.ok("plugin lock");
    assert!(ran.stderr.contains("linked is left out") && ran.stderr.contains("copied is left out"), "{}", ran.stderr);
    assert!(world.ok("plugin sync").stdout.is_empty());
}

#[test]
fn a_pull_verifies_and_installs_nothing() {
    let world = world();
    let (bytes, prov) = package(&world, "p", "1.0.0");
    let server = Server::files(&[("/x/p-1.0.0.tgz", &bytes), ("/x/p-1.0.0.tgz.prov", &prov), ("/bare.tgz", &bytes)]);
    let url = server.url("/x/p-1.0.0.tgz?v=1");
    let ran = world.ok(&format!("plugin pull {url} -d got/here"));
    assert!(ran.stdout.contains("p 1.0.0") && ran.stdout.contains(TOUR), "{}", ran.stdout);
    assert_eq!(fs::read(world.path("got/here/p-1.0.0.tgz")).unwrap(), bytes);
    assert_eq!(fs::read(world.path("got/here/p-1.0.0.tgz.prov")).unwrap(), prov);
    assert!(!world.plugins().exists());
    world.ok("plugin install got/here/p-1.0.0.tgz");

    let bare = server.url("/bare.tgz");
    world.fails(3, &format!("plugin pull {bare} -d other"));
    assert!(!world.path("other").exists());
    world.fails(3, &format!("plugin pull {bare} -d other --digest sha256:{}", "0".repeat(64)));
    world.ok(&format!("plugin pull {bare} -d other --digest sha256:{}", Sha256Digest::of(&bytes)));
    assert_eq!(snapshot(&world.path("other")).len(), 1, "the package alone");
    world.fails(1, &format!("plugin pull {bare} -d other --verify=false --version ~2"));
    world.fails(4, &format!("plugin pull {} -d other", server.url("/no.tgz")));
    // A stale provenance beside it would be that of another package.
    world.write("other/bare.tgz.prov", "stale");
    world.ok(&format!("plugin pull {bare} -d other --verify=false"));
    assert!(!world.path("other/bare.tgz.prov").exists());
    let mut bytes = bytes;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    world.write("p-1.0.0.tgz", bytes);
    world.fails(3, "plugin pull p-1.0.0.tgz -d more");
    assert!(!world.path("more").exists());
}
