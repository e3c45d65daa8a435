//! `plugin restore`: whatever way a plugin came, and whatever became of its files, the command that the gate names puts them back.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::support::http_server::Server;
use crate::support::{World, git, repository};

const SIGNER: &str = "testdata/keys/tour.sec.asc";
const KEYRING: &str = "testdata/keys/tour.asc";

/// A world with a signed package of `p` 1.0.0, and one of 2.0.0.
fn world() -> World {
    let world = World::new();
    for version in ["2.0.0", "1.0.0"] {
        world.plugin("p", version);
        world.write("p/data/notes.txt", format!("notes of {version}"));
        world.ok(&format!("plugin package p --sign --keyring {}", repository(SIGNER).display()));
    }
    world
}

fn keyring() -> String {
    format!("--keyring {}", repository(KEYRING).display())
}

/// Ways to install `p` 1.0.0 whose files can be put back without the source.
const WAYS: &[(&str, fn(&World))] = &[
    ("a signature, with --keyring", |world| {
        world.ok(&format!("plugin install p-1.0.0.tgz {}", keyring()));
    }),
    ("--verify=false", |world| {
        world.ok("plugin install p-1.0.0.tgz --verify=false");
    }),
    ("--digest", |world| {
        let digest = plugsmith::digest::Sha256Digest::of_file(&world.path("p-1.0.0.tgz")).unwrap().0;
        world.ok(&format!("plugin install p-1.0.0.tgz --digest sha256:{digest}"));
    }),
    ("a web server, which is gone", |world| {
        let package = fs::read(world.path("p-1.0.0.tgz")).unwrap();
        let server = Server::files(&[("/p-1.0.0.tgz", &package)]);
        world.ok(&format!("plugin install {} --verify=false", server.url("/p-1.0.0.tgz?token=t")));
    }),
    ("sync", |world| {
        world.ok(&format!("plugin install p-1.0.0.tgz {}", keyring()));
        world.ok("plugin lock");
        world.ok("plugin uninstall p");
        world.ok(&format!("plugin sync {}", keyring()));
    }),
    ("git", |world| {
        world.plugin("p", "1.0.0");
        let dir = world.path("p");
        git(&dir, &["init", "-q"]);
        git(&dir, &["add", "."]);
        git(&dir, &["commit", "-q", "-m", "x"]);
        world.ok(&format!("plugin install git+file://{} --verify=false", dir.display()));
        fs::remove_dir_all(dir.join(".git")).unwrap();
    }),
    ("--copy", |world| {
        world.ok("plugin install --copy p");
    }),
];

/// What can become of an installed plugin, and whether it still runs after it.
const DAMAGE: &[(&str, fn(&Path))] = &[
    ("a changed program", |dir| fs::write(dir.join("run.sh"), "#!/bin/sh\necho evil\n").unwrap()),
    ("a missing program", |dir| fs::remove_file(dir.join("run.sh")).unwrap()),
    ("a changed manifest", |dir| fs::write(dir.join("plugin.yaml"), "name: p\nversion: 9.0.0\ncommand: evil\n").unwrap()),
    ("a broken manifest", |dir| fs::write(dir.join("plugin.yaml"), "name: [").unwrap()),
    ("no manifest", |dir| fs::remove_file(dir.join("plugin.yaml")).unwrap()),
    ("a program that may not be executed", |dir| {
        fs::set_permissions(dir.join("run.sh"), fs::Permissions::from_mode(0o644)).unwrap();
    }),
    ("a link in the program's place", |dir| {
        fs::remove_file(dir.join("run.sh")).unwrap();
        std::os::unix::fs::symlink("/bin/true", dir.join("run.sh")).unwrap();
    }),
    ("no directory", |dir| fs::remove_dir_all(dir).unwrap()),
    ("a file in its place", |dir| {
        fs::remove_dir_all(dir).unwrap();
        fs::write(dir, "").unwrap();
    }),
];

#[test]
fn whatever_became_of_the_files_the_command_that_is_named_puts_them_back() {
    for (way, install) in WAYS {
        let world = world();
        install(&world);
        let place = world.plugins().join("p");
        let whole = world.snapshot(&place);
        let receipt = || fs::read_to_string(world.plugins().join(".state/p.json")).unwrap();
        let verified = |text: &str| text.split("\"verified\"").nth(1).unwrap().split('}').next().unwrap().to_owned();
        let before = verified(&receipt());
        for (damage, harm) in DAMAGE {
            let at = format!("{way}, {damage}");
            harm(&place);
            let ran = world.tool(["p", "x"]);
            assert_ne!(ran.code, 0, "{at}: {ran:?}");
            if place.is_dir() {
                assert!(ran.stderr.contains("`tool plugin restore p`"), "{at}: {}", ran.stderr);
            }
            let rows = world.ok("plugin restore p -o json").json();
            assert_eq!((rows[0]["action"].as_str(), rows[0]["name"].as_str()), (Some("restored"), Some("p")), "{at}");
            assert_eq!(world.ok("p x").stdout, "p 1.0.0 x\n", "{at}");
            assert_eq!(world.snapshot(&place), whole, "{at}");
            assert_eq!(verified(&receipt()), before, "{at}: the proof is what it was");
        }
        let again = world.ok("plugin restore p -o json").json();
        assert_eq!(again[0]["action"], "unchanged", "{way}");
        world.ok(&format!("plugin verify p {}", keyring()));
        assert!(
            fs::read_to_string(world.root().join("home/.local/share/tool/audit.jsonl")).unwrap().contains("\"restore\"")
        );
    }
}

#[test]
fn it_says_which_files_it_changed_and_leaves_the_rest_of_the_plugin_alone() {
    let world = world();
    world.ok(&format!("plugin install p-2.0.0.tgz {}", keyring()));
    world.ok(&format!("plugin install --force p-1.0.0.tgz {}", keyring()));
    world.ok("plugin pin p");
    let place = world.plugins().join("p");
    fs::write(place.join("data/notes.txt"), "scribbled").unwrap();
    fs::remove_file(place.join("run.sh")).unwrap();
    world.script("added", "echo evil");
    fs::copy(world.path("added"), place.join("added")).unwrap();
    let said = world.ok("plugin restore --all").stdout;
    for line in ["`added` was added", "`data/notes.txt` has changed", "`run.sh` is missing"] {
        assert!(said.contains(line), "{said}");
    }
    let list = world.ok("plugin list -o json").json();
    assert_eq!((&list[0]["pinned"], &list[0]["verified"]["by"]), (&true.into(), &"signature".into()));
    world.ok("plugin rollback p");
    assert_eq!(world.ok("p x").stdout, "p 2.0.0 x\n", "the version before is still kept");
}

#[test]
fn a_renamed_directory_gets_its_name_back() {
    let world = world();
    world.ok(&format!("plugin install p-1.0.0.tgz {}", keyring()));
    fs::rename(world.plugins().join("p"), world.plugins().join("q")).unwrap();
    fs::write(world.plugins().join("q/run.sh"), "evil").unwrap();
    world.ok("plugin restore p");
    assert_eq!(world.ok("p x").stdout, "p 1.0.0 x\n");
    assert!(!world.plugins().join("q").exists());
}

#[test]
fn accepted_changes_are_put_back_too_and_forgotten() {
    let world = world();
    world.ok(&format!("plugin install p-1.0.0.tgz {}", keyring()));
    fs::write(world.plugins().join("p/run.sh"), "#!/bin/sh\necho mine\n").unwrap();
    world.ok("plugin trust p");
    assert_eq!(world.ok("p x").stdout, "mine\n");
    assert!(world.ok("plugin restore p").stdout.contains("`run.sh`"));
    assert_eq!(world.ok("p x").stdout, "p 1.0.0 x\n");
    let verified = world.ok(&format!("plugin verify p {}", keyring())).stdout;
    assert!(verified.contains("all as they were installed"), "{verified}");
}

#[test]
fn what_a_hook_made_stays_and_what_it_made_and_lost_is_named() {
    let world = World::new();
    world.plugin("p", "1.0.0");
    let text = fs::read_to_string(world.path("p/plugin.yaml")).unwrap();
    let hook = "hooks:\n  install: \"printf '#!/bin/sh\\\\necho made\\\\n' > $TOOL_PLUGIN_DIR/made; chmod 755 $TOOL_PLUGIN_DIR/made\"\n";
    world.write("p/plugin.yaml", text + hook);
    world.ok("plugin package p --sign=false");
    world.ok("plugin install p-1.0.0.tgz --verify=false --yes");
    let place = world.plugins().join("p");
    fs::write(place.join("run.sh"), "evil").unwrap();
    world.ok("plugin restore p");
    assert!(fs::read_to_string(place.join("made")).unwrap().contains("echo made"));
    assert_eq!(world.ok("p x").stdout, "p 1.0.0 x\n");
    fs::remove_file(place.join("made")).unwrap();
    let failed = world.fails(1, "plugin restore p");
    assert!(failed.stderr.contains("`made` of plugin `p` was made by its hook"), "{}", failed.stderr);
}

#[test]
fn a_link_has_nothing_to_restore_and_what_is_not_installed_is_said() {
    let world = World::new();
    world.plugin("p", "1.0.0");
    world.ok("plugin install p");
    assert!(world.ok("plugin restore p").stderr.contains("nothing to restore"));
    assert_eq!(world.ok("plugin restore --all -o json").json()[0]["action"], "unchanged");
    world.fails(4, "plugin restore nothere");
    world.fails(2, "plugin restore");
    // One that was copied in by hand is nobody's to restore.
    fs::create_dir_all(world.plugins().join("h")).unwrap();
    fs::write(world.plugins().join("h/plugin.yaml"), "name: h\nversion: 1.0.0\ncommand: x\n").unwrap();
    let failed = world.fails(1, "plugin restore h");
    assert!(failed.stderr.contains("has no receipt"), "{}", failed.stderr);
}

#[test]
fn without_the_kept_package_it_comes_from_its_source_if_that_is_still_the_same() {
    let world = world();
    world.ok(&format!("plugin install p-1.0.0.tgz {}", keyring()));
    let kept = world.plugins().join("p-1.0.0.tgz");
    let program = world.plugins().join("p/run.sh");
    let package = fs::read(&kept).unwrap();
    for spoil in [|path: &Path| fs::remove_file(path).unwrap(), |path: &Path| fs::write(path, "other").unwrap()] {
        spoil(&kept);
        fs::write(&program, "evil").unwrap();
        world.ok("plugin restore p");
        assert_eq!(world.ok("p x").stdout, "p 1.0.0 x\n");
        assert_eq!(fs::read(&kept).unwrap(), package, "it is kept again");
    }
    // The package alone, and the files as they are.
    fs::remove_file(&kept).unwrap();
    world.ok("plugin doctor --fix");
    assert_eq!(fs::read(&kept).unwrap(), package);

    fs::remove_file(&kept).unwrap();
    fs::write(&program, "evil").unwrap();
    fs::write(world.path("p-1.0.0.tgz"), fs::read(world.path("p-2.0.0.tgz")).unwrap()).unwrap();
    let before = world.snapshot(&world.plugins().join("p"));
    let failed = world.fails(3, "plugin restore p");
    assert!(failed.stderr.contains("no longer kept") && failed.stderr.contains("tool plugin trust p"), "{}", failed.stderr);
    fs::remove_file(world.path("p-1.0.0.tgz")).unwrap();
    world.fails(4, "plugin restore p");
    assert_eq!(world.snapshot(&world.plugins().join("p")), before);
}

#[test]
fn a_copy_comes_back_from_its_directory_if_that_is_as_it_was() {
    let world = World::new();
    world.plugin("p", "1.0.0");
    world.ok("plugin install --copy p");
    let program = world.plugins().join("p/run.sh");
    world.write("p/new", "added since");
    fs::write(&program, "evil").unwrap();
    world.ok("plugin restore p");
    assert_eq!(world.ok("p x").stdout, "p 1.0.0 x\n");
    assert!(!world.plugins().join("p/new").exists());
    fs::write(&program, "evil").unwrap();
    world.script("p/run.sh", "echo newer");
    let failed = world.fails(3, "plugin restore p");
    assert!(
        failed.stderr.contains("`run.sh` differs") && failed.stderr.contains("tool plugin trust p"),
        "{}",
        failed.stderr
    );
}

#[test]
fn a_policy_and_a_revocation_keep_out_what_they_would_keep_out_today() {
    let mut world = world();
    world.ok(&format!("plugin install p-1.0.0.tgz {}", keyring()));
    fs::write(world.plugins().join("p/run.sh"), "evil").unwrap();
    let policy = world.write("policy.yaml", "apiVersion: v1\nplugins:\n  deny: [p]\n");
    fs::set_permissions(&policy, fs::Permissions::from_mode(0o644)).unwrap();
    world.set("TOOL_POLICY", policy.to_str().unwrap());
    let failed = world.fails(1, "plugin restore p");
    assert!(failed.stderr.contains("policy.yaml"), "{}", failed.stderr);
    assert_eq!(fs::read_to_string(world.plugins().join("p/run.sh")).unwrap(), "evil");
}

#[test]
fn doctor_puts_back_what_is_missing_and_leaves_what_was_changed() {
    let world = world();
    world.ok(&format!("plugin install p-1.0.0.tgz {}", keyring()));
    let program = world.plugins().join("p/run.sh");
    fs::remove_file(&program).unwrap();
    let _ = world.tool(["plugin", "doctor", "--fix"]);
    assert_eq!(world.ok("p x").stdout, "p 1.0.0 x\n");
    fs::write(&program, "mine").unwrap();
    let found = world.fails(1, "plugin doctor --fix");
    assert!(found.stdout.contains("tool plugin restore p"), "{}", found.stdout);
    assert_eq!(fs::read_to_string(&program).unwrap(), "mine");
}

#[test]
fn a_rollback_to_changed_files_refuses_first_and_its_next_step_works() {
    let world = world();
    world.ok(&format!("plugin install p-1.0.0.tgz {}", keyring()));
    world.ok(&format!("plugin install --force p-2.0.0.tgz {}", keyring()));
    for spoil in [
        |dir: &Path| fs::write(dir.join("run.sh"), "evil").unwrap(),
        |dir: &Path| fs::write(dir.join("data/notes.txt"), "evil").unwrap(),
        |dir: &Path| fs::remove_file(dir.join("plugin.yaml")).unwrap(),
    ] {
        spoil(&world.plugins().join(".state/previous/p"));
        let before = world.snapshot(&world.plugins());
        let failed = world.fails(3, "plugin rollback p");
        assert!(failed.stderr.contains("`tool plugin restore p`"), "{}", failed.stderr);
        assert_eq!(world.snapshot(&world.plugins()), before);
        assert!(world.ok("plugin restore p").stdout.contains("Restored the previous version"));
        world.ok("plugin rollback p");
        assert_eq!(world.ok("p x").stdout, "p 1.0.0 x\n");
        world.ok("plugin rollback p");
    }
}

/// Something that would keep a reader waiting for ever, in the place of each package and program that is read for its digest or kind.
#[test]
fn a_fifo_keeps_nobody_waiting() {
    let world = World::new();
    let fifo = |path: &Path| {
        let _ = fs::remove_file(path);
        assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
    };
    let tool = |code: i32, words: &str| {
        let mut command = std::process::Command::new("timeout");
        command.args(["20", env!("CARGO_BIN_EXE_tool")]).args(words.split(' ')).current_dir(world.path(""));
        command.env_clear().env("HOME", world.root().join("home")).env("PATH", std::env::var_os("PATH").unwrap());
        let ran = crate::support::finish(&mut command);
        assert_eq!(ran.code, code, "{words}: {ran:?}");
    };
    for version in ["1.0.0", "2.0.0"] {
        world.plugin("p", version);
        world.ok("plugin package p --sign=false");
        world.ok(&format!("plugin install --force --verify=false p-{version}.tgz"));
    }
    fs::write(world.plugins().join(".state/previous/p/run.sh"), "other").unwrap();
    fifo(&world.plugins().join(".state/previous/p.tgz"));
    tool(3, "plugin rollback p");
    tool(0, "plugin restore p");
    world.ok("plugin lock");
    fifo(&world.plugins().join("p-2.0.0.tgz"));
    tool(1, "plugin doctor");
    tool(0, "plugin export mirror");
    tool(0, "plugin restore p");
    tool(0, "p");
    world.write("m/plugin.yaml", "apiVersion: v1\nname: m\nversion: 1.0.0\ntype: cli/v1\nruntime: extism/v1\n");
    fifo(&world.path("m/plugin.wasm"));
    tool(1, "plugin lint m");
}
