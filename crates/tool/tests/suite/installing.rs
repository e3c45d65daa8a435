//! `plugin install`, `list`, `info`, `uninstall` (cases I1 to I10, P25).

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Stdio;

use crate::support::{Ran, World, repository, snapshot};

/// A world with `p-1.0.0.tgz`, signed by the tour's key.
fn signed() -> World {
    let world = World::new();
    world.plugin("p", "1.0.0");
    world.ok(&format!("plugin package p --sign --keyring {}", repository("testdata/keys/tour.sec.asc").display()));
    world
}

fn keyring() -> String {
    format!("--keyring {}", repository("testdata/keys/tour.asc").display())
}

/// What is visible of the store: everything but its private folder.
fn plugins(world: &World) -> Vec<String> {
    let Ok(entries) = fs::read_dir(world.plugins()) else { return Vec::new() };
    let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name != ".state");
    names.sort();
    names
}

#[test]
fn a_directory_is_linked_or_copied() {
    let world = World::new();
    let plugin = world.plugin("p", "1.0.0");
    world.ok("plugin install p");
    assert_eq!(fs::read_link(world.plugins().join("p")).unwrap(), plugin);
    assert_eq!(world.ok("p x").stdout, "p 1.0.0 x\n");
    world.ok("plugin uninstall p");
    assert!(plugin.join("plugin.yaml").is_file(), "a link is unlinked, never followed");
    assert_eq!(plugins(&world), [] as [&str; 0]);

    world.ok("plugin install ./p --copy");
    assert!(world.plugins().join("p").symlink_metadata().unwrap().is_dir());
    fs::remove_dir_all(&plugin).unwrap();
    assert_eq!(world.ok("p x").stdout, "p 1.0.0 x\n");
}

#[test]
fn a_signed_package_is_verified_by_default() {
    let world = signed();
    let ran = world.ok(&format!("plugin install p-1.0.0.tgz {}", keyring()));
    assert!(ran.stdout.contains("p") && ran.stdout.contains("1.0.0"), "{}", ran.stdout);
    assert_eq!(world.ok("p x").stdout, "p 1.0.0 x\n");
    assert_eq!(plugins(&world), ["p", "p-1.0.0.tgz", "p-1.0.0.tgz.prov"]);
    let list = world.ok("plugin list -o json").json();
    assert_eq!(list[0]["verified"]["by"], "signature");
    assert!(list[0]["verified"]["signer"].as_str().unwrap().contains("Tour"), "{list}");
    assert_eq!(list[0]["verified"]["fingerprint"].as_str().unwrap().len(), 40);
    assert_eq!(list[0]["status"], "ok");
    world.ok(&format!("plugin verify p {}", keyring()));
    world.ok("plugin uninstall p");
    assert_eq!(plugins(&world), [] as [&str; 0]);
}

#[test]
fn p25_without_provenance_nothing_is_installed() {
    let world = signed();
    let before = snapshot(world.root());
    fs::rename(world.path("p-1.0.0.tgz.prov"), world.root().join("away")).unwrap();
    let ran = world.fails(3, &format!("plugin install p-1.0.0.tgz {}", keyring()));
    for way in ["p-1.0.0.tgz.prov", "--digest sha256:", "--verify=false"] {
        assert!(ran.stderr.contains(way), "no {way} in:\n{}", ran.stderr);
    }
    let mut messages = vec![ran.stderr];
    world.write("p-1.0.0.tgz.prov", "");
    messages.push(world.fails(3, &format!("plugin install p-1.0.0.tgz {}", keyring())).stderr);
    world.write("p-1.0.0.tgz.prov", "hello");
    messages.push(world.fails(3, &format!("plugin install p-1.0.0.tgz {}", keyring())).stderr);
    messages.sort();
    messages.dedup();
    assert_eq!(messages.len(), 3, "three failures, three messages: {messages:?}");
    assert_eq!(plugins(&world), [] as [&str; 0]);
    fs::rename(world.root().join("away"), world.path("p-1.0.0.tgz.prov")).unwrap();
    for (path, what) in before {
        assert_eq!(snapshot(world.root()).get(&path), Some(&what), "{path}");
    }
}

#[test]
fn p25_a_missing_provenance_is_said_before_a_missing_keyring() {
    let world = signed();
    let ran = world.fails(3, "plugin install p-1.0.0.tgz");
    for part in ["not in the keyring", "none, looked for", "keyring add"] {
        assert!(ran.stderr.contains(part), "no {part} in:\n{}", ran.stderr);
    }
    fs::remove_file(world.path("p-1.0.0.tgz.prov")).unwrap();
    for command in ["install", "verify"] {
        let ran = world.fails(3, &format!("plugin {command} p-1.0.0.tgz"));
        for way in ["p-1.0.0.tgz.prov", "--digest sha256:"] {
            assert!(ran.stderr.contains(way), "no {way} in:\n{}", ran.stderr);
        }
        assert_eq!(ran.stderr.contains("--verify=false"), command == "install", "{}", ran.stderr);
    }
    world.fails(4, "plugin install p-1.0.0.tgz --keyring absent.pgp");
    assert_eq!(plugins(&world), [] as [&str; 0]);
}

#[test]
fn a_digest_verifies_too() {
    let world = signed();
    fs::remove_file(world.path("p-1.0.0.tgz.prov")).unwrap();
    let (digest, _) = plugsmith::digest::Sha256Digest::of_file(&world.path("p-1.0.0.tgz")).unwrap();
    let wrong = format!("{digest}").replace(['0', '1'], "2");
    world.fails(3, &format!("plugin install p-1.0.0.tgz --digest sha256:{wrong}"));
    world.fails(2, "plugin install p-1.0.0.tgz --digest sha256:12");
    world.ok(&format!("plugin install p-1.0.0.tgz --digest sha256:{digest}"));
    assert_eq!(world.ok("plugin list -o json").json()[0]["verified"]["by"], "digest");
    world.ok("plugin uninstall p");
    let ran = world.ok("plugin install p-1.0.0.tgz --verify=false");
    assert!(ran.stderr.contains("warning"), "{}", ran.stderr);
    assert_eq!(world.ok("plugin list -o json").json()[0]["verified"]["by"], "none");
    // Its own digest proves nothing of it; that of whoever asks does.
    assert_eq!(world.ok("plugin verify p -o json").json()[0]["verified"]["by"], "none");
    world.fails(3, &format!("plugin verify p --digest sha256:{wrong}"));
    let ran = world.ok(&format!("plugin verify p --digest sha256:{digest} -o json"));
    assert_eq!(ran.json()[0]["verified"]["by"], "digest");
}

#[test]
fn a_stranger_and_a_changed_package_are_refused() {
    let world = signed();
    let stranger = repository("testdata/keys/stranger.asc");
    let ran = world.fails(3, &format!("plugin install p-1.0.0.tgz --keyring {}", stranger.display()));
    assert!(ran.stderr.contains("stranger.asc"), "the keyring used is named: {}", ran.stderr);
    let mut bytes = fs::read(world.path("p-1.0.0.tgz")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    world.write("p-1.0.0.tgz", bytes);
    world.fails(3, &format!("plugin install p-1.0.0.tgz {}", keyring()));
    world.fails(3, &format!("plugin verify p-1.0.0.tgz {}", keyring()));
    assert_eq!(plugins(&world), [] as [&str; 0]);
}

#[test]
fn i2_a_failing_hook_undoes_the_install() {
    let world = World::new();
    world.plugin("p", "1.0.0");
    let manifest = |version: &str, hook: &str| {
        world.write(
            "p/plugin.yaml",
            format!("name: p\nversion: {version}\ncommand: $TOOL_PLUGIN_DIR/run.sh\nhooks:\n  install: {hook}\n"),
        )
    };
    manifest("1.0.0", "\"echo out; echo err >&2; exit 7\"");
    let ran = world.fails(1, "plugin install p --copy");
    assert!(ran.stderr.contains('7') && ran.stderr.contains("err\n"), "{}", ran.stderr);
    assert!(ran.stderr.contains("--no-hooks"), "{}", ran.stderr);
    assert_eq!(plugins(&world), [] as [&str; 0]);
    world.ok("plugin install p --copy --no-hooks");
    assert_eq!(plugins(&world), ["p"]);

    // Over an older one: that one stays.
    let before = snapshot(&world.plugins().join("p"));
    manifest("2.0.0", "\"echo x > $TOOL_PLUGIN_DIR/made; exit 1\"");
    world.fails(1, "plugin install p --copy --force");
    assert_eq!(snapshot(&world.plugins().join("p")), before);
    manifest("2.0.0", "\"echo x > $TOOL_PLUGIN_DIR/made\"");
    world.ok("plugin install p --copy --force");
    assert!(world.plugins().join("p/made").is_file());
    world.ok("p x");
    world.ok("plugin verify p");
}

#[test]
fn i3_installed_already() {
    let world = World::new();
    world.plugin("p", "1.0.0");
    world.ok("plugin install p --copy");
    let ran = world.ok("plugin install p --copy");
    assert!(ran.stderr.contains("already"), "{}{}", ran.stdout, ran.stderr);
    world.plugin("p", "2.0.0");
    let ran = world.fails(1, "plugin install p --copy");
    assert!(
        ran.stderr.contains("plugin update") && ran.stderr.contains("1.0.0") && ran.stderr.contains("2.0.0"),
        "{}",
        ran.stderr
    );
    world.ok("plugin install p --copy --force");
    assert_eq!(world.ok("p").stdout, "p 2.0.0\n");
}

#[test]
fn i4_what_is_in_the_way() {
    let world = World::new();
    world.plugin("p", "1.0.0");
    fs::create_dir_all(world.plugins()).unwrap();
    let target = world.plugins().join("p");
    symlink("/nowhere", &target).unwrap();
    let ran = world.fails(1, "plugin install p --copy");
    assert!(ran.stderr.contains("--force"), "{}", ran.stderr);
    assert!(ran.stderr.contains("a symbolic link that points nowhere"), "{}", ran.stderr);
    assert!(target.symlink_metadata().unwrap().is_symlink());
    world.ok("plugin install p --copy --force");
    world.ok("plugin uninstall p");
    fs::write(&target, "a file").unwrap();
    let ran = world.fails(1, "plugin install p --copy");
    assert!(ran.stderr.contains("--force"), "{}", ran.stderr);
    assert_eq!(fs::read_to_string(&target).unwrap(), "a file");
    world.ok("plugin install p --copy --force");
    assert_eq!(world.ok("p").stdout, "p 1.0.0\n");
}

#[test]
fn a_hand_made_copy_counts_as_installed() {
    let world = World::new();
    world.plugin("p", "1.0.0");
    fs::create_dir_all(world.plugins().join("p")).unwrap();
    fs::write(world.plugins().join("p/plugin.yaml"), "name: p\nversion: 0.5.0\ncommand: echo by hand\n").unwrap();
    assert_eq!(world.ok("p").stdout, "by hand\n");
    let ran = world.fails(1, "plugin install p --copy");
    assert!(ran.stderr.contains("0.5.0"), "{}", ran.stderr);
    let list = world.ok("plugin list -o json").json();
    assert_eq!(list[0]["source"], serde_json::Value::Null);
    world.ok("plugin uninstall p");
    assert_eq!(plugins(&world), [] as [&str; 0]);
}

#[test]
fn i6_uninstall_runs_the_hook_first_and_takes_what_is_the_plugins() {
    let world = World::new();
    world.plugin("p", "1.0.0");
    world.write("p/farewell", "goodbye from p");
    world.write(
        "p/plugin.yaml",
        "name: p\nversion: 1.0.0\ncommand: $TOOL_PLUGIN_DIR/run.sh\nhooks:\n  delete: cat $TOOL_PLUGIN_DIR/farewell; exit $(cat $HOME/code)\n",
    );
    world.ok(&format!("plugin package p --sign --keyring {}", repository("testdata/keys/tour.sec.asc").display()));
    world.ok(&format!("plugin install p-1.0.0.tgz {}", keyring()));
    for kept in ["p-extra-1.0.0.tgz", "p-extra-1.0.0.tgz.prov", "p-notes.tgz", "pp-1.0.0.tgz"] {
        fs::write(world.plugins().join(kept), "somebody else's").unwrap();
    }
    fs::write(world.root().join("home/code"), "3").unwrap();
    let ran = world.fails(1, "plugin uninstall p");
    assert!(ran.stderr.contains("--no-hooks"), "{}", ran.stderr);
    assert!(world.plugins().join("p/plugin.yaml").is_file());
    assert!(world.plugins().join("p-1.0.0.tgz.prov").is_file());
    fs::write(world.root().join("home/code"), "0").unwrap();
    let ran = world.ok("plugin uninstall p");
    assert!(format!("{}{}", ran.stdout, ran.stderr).contains("goodbye from p"));
    assert_eq!(plugins(&world), ["p-extra-1.0.0.tgz", "p-extra-1.0.0.tgz.prov", "p-notes.tgz", "pp-1.0.0.tgz"]);
    world.fails(4, "plugin uninstall p");
    world.fails(4, "plugin uninstall ../work");
}

#[test]
fn i6_a_broken_plugin_can_be_uninstalled() {
    let world = World::new();
    fs::create_dir_all(world.plugins().join("broken")).unwrap();
    fs::write(world.plugins().join("broken/plugin.yaml"), "name: [\n").unwrap();
    let list = world.ok("plugin list -o json").json();
    assert_eq!(list[0]["status"], "broken");
    assert!(list[0]["problem"].as_str().unwrap().contains("plugin.yaml"), "{list}");
    world.ok("plugin rm broken");
    assert_eq!(plugins(&world), [] as [&str; 0]);
}

#[test]
fn i10_twenty_installs_at_once_end_well() {
    let world = signed();
    let children: Vec<_> = (0..20)
        .map(|_| {
            let words = format!("plugin install p-1.0.0.tgz {}", keyring());
            world.command(words.split(' ')).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let mut fresh = 0;
    for child in children {
        let ran = Ran::of(child.wait_with_output().unwrap());
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        fresh += usize::from(!ran.stderr.contains("already"));
    }
    assert_eq!(fresh, 1, "one installs, the others find it");
    world.ok("p x");
    world.ok(&format!("plugin verify p {}", keyring()));
    assert_eq!(fs::read_dir(world.plugins().join(".state/staging")).map_or(0, Iterator::count), 0);
}

#[test]
fn several_sources_in_one_command() {
    let world = World::new();
    world.plugin("a", "1.0.0");
    world.plugin("b", "1.0.0");
    let ran = world.fails(4, "plugin install a nowhere.tgz b --copy");
    assert!(ran.stderr.contains("nowhere.tgz"), "{}", ran.stderr);
    assert_eq!(plugins(&world), ["a", "b"], "all are tried");
}

#[test]
fn a_built_in_name_is_refused() {
    let world = World::new();
    world.plugin("version", "1.0.0");
    let ran = world.fails(1, "plugin install version --copy");
    assert!(ran.stderr.contains("`version` is a command of tool itself"), "{}", ran.stderr);
    assert_eq!(plugins(&world), [] as [&str; 0]);
}

#[test]
fn m8_text_of_others_cannot_act_on_the_terminal() {
    let world = World::new();
    world.write("p/plugin.yaml", "name: p\nversion: 1.0.0\nusage: \"\\e[31mred\\a \\u202Ereversed\"\ndescription: \"\\e]0;title\\a\"\ncommand: echo\n");
    world.ok("plugin install p --copy");
    for words in ["plugin list", "plugin info p", "help", "plugin list -o yaml", "plugin list -o json", "__complete "] {
        let ran = world.tool(words.split(' '));
        let all = format!("{}{}", ran.stdout, ran.stderr);
        assert!(!all.chars().any(|c| (c.is_control() && !['\n', '\t'].contains(&c)) || c == '\u{202e}'), "{words}: {all:?}");
    }
}

#[test]
fn secrets_of_a_url_are_not_stored_or_shown() {
    let world = World::new();
    let ran = world.tool(["plugin", "install", "http://user:hunter2@127.0.0.1:1/p.tgz?token=sesame"]);
    assert_ne!(ran.code, 0);
    assert!(!ran.stderr.contains("hunter2") && !ran.stderr.contains("sesame"), "{}", ran.stderr);
}

#[test]
fn modes_are_private_but_for_what_readers_need() {
    let world = signed();
    // Whatever the umask allows.
    let command = world.command([""; 0]);
    let tool = command.get_program().to_str().unwrap().to_owned();
    let line = format!("umask 000; exec {tool} plugin install p-1.0.0.tgz {}", keyring());
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", &line]).env_clear().envs(command.get_envs().filter_map(|(k, v)| Some((k, v?))));
    let ran = crate::support::finish(shell.current_dir(world.path("")));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let mode = |path: &str| fs::metadata(world.plugins().join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(""), 0o700);
    assert_eq!((mode(".state"), mode(".state/previous"), mode(".state/staging")), (0o755, 0o755, 0o700));
    for file in [".state/p.json", "p-1.0.0.tgz", "p-1.0.0.tgz.prov"] {
        assert_eq!(mode(file), 0o644, "{file}");
    }
    for file in [".state/lock", "../audit.jsonl"] {
        assert_eq!(mode(file), 0o600, "{file}");
    }
}

#[test]
fn info_shows_files_hooks_and_commands() {
    let world = World::new();
    world.ok(&format!("plugin install {} --copy", repository("testdata/plugins/greet").display()));
    let info = world.ok("plugin info greet -o json").json();
    assert_eq!(info["name"], "greet");
    assert_eq!(info["version"], "1.2.0");
    assert!(info["files"].as_array().unwrap().iter().any(|f| f["path"] == "bin/greet.sh"), "{info}");
    assert!(info["hooks"].to_string().contains("install"), "{info}");
    assert!(info["commands"].to_string().contains("greet.sh"), "{info}");
    assert!(world.ok("plugin info greet").stdout.contains("1.2.0"));
    world.fails(4, "plugin info nobody");
}

#[test]
fn verify_finds_the_kept_package_beside_the_plugin_and_says_when_it_is_gone() {
    let mut world = signed();
    world.ok(&format!("plugin install p-1.0.0.tgz {}", keyring()));
    let (first, second) = (world.path("first"), world.plugins());
    fs::create_dir(&first).unwrap();
    world.set("TOOL_PLUGINS", format!("{}:{}", first.display(), second.display()));
    let ran = world.ok(&format!("plugin verify p {}", keyring()));
    assert!(ran.stdout.contains("Signed by: Tour"), "{}", ran.stdout);
    fs::remove_file(second.join("p-1.0.0.tgz")).unwrap();
    let ran = world.fails(3, &format!("plugin verify p {}", keyring()));
    assert!(ran.stderr.contains("is gone"), "{}", ran.stderr);
}

#[test]
fn p26_verify_says_where_nobody_vouched_for_a_plugin() {
    let world = signed();
    world.ok("plugin install p-1.0.0.tgz --verify=false");
    let ran = world.ok("plugin verify p");
    assert!(ran.stderr.contains("warning: plugin `p` was installed without verification"), "{}", ran.stderr);
    world.ok(&format!("plugin install p-1.0.0.tgz --force {}", keyring()));
    let ran = world.ok(&format!("plugin verify p {}", keyring()));
    assert!(!ran.stderr.contains("warning"), "{}", ran.stderr);
}

#[test]
fn a_package_may_be_called_in_capitals() {
    let world = signed();
    fs::rename(world.path("p-1.0.0.tgz"), world.path("P.TGZ")).unwrap();
    fs::rename(world.path("p-1.0.0.tgz.prov"), world.path("P.TGZ.prov")).unwrap();
    let ran = world.ok(&format!("plugin install P.TGZ {}", keyring()));
    // P20: another name in the provenance is fine, and told.
    assert!(ran.stderr.contains("the provenance of `P.TGZ` lists it as `p-1.0.0.tgz`\n"), "{}", ran.stderr);
    let ran = world.fails(4, "plugin install P.TGZ --force --allowed-signers absent");
    assert!(ran.stderr.contains("absent do not exist"), "{}", ran.stderr);
}

#[test]
fn what_the_system_forbids_is_said_with_the_next_step() {
    let world = World::new();
    world.plugin("p", "1.0.0");
    fs::create_dir_all(world.plugins()).unwrap();
    fs::set_permissions(world.plugins(), fs::Permissions::from_mode(0o500)).unwrap();
    let ran = world.tool("plugin install p".split(' '));
    fs::set_permissions(world.plugins(), fs::Permissions::from_mode(0o700)).unwrap();
    // Nothing is forbidden to root.
    if ran.code != 0 {
        assert!(ran.code == 1 && ran.stderr.contains("`env` shows"), "{}", ran.stderr);
    }
}

#[test]
fn every_source_is_explained_also_beside_one_that_cannot_be() {
    let world = World::new();
    world.plugin("p", "1.0.0");
    let one = world.ok("plugin install --explain ./p").stdout;
    assert!(one.starts_with("not an `oci://` reference\n"), "a single source needs no heading: {one}");
    let ran = world.fails(2, "plugin install --explain nobodys://x ./p https://h.example/x.tgz");
    let headings: Vec<&str> = ran.stdout.lines().filter(|line| line.ends_with(':')).collect();
    assert_eq!(headings, [format!("{}:", world.path("p").display()), "https://h.example/x.tgz:".to_owned()]);
    assert!(ran.stderr.contains("nobody serves the scheme `nobodys`"), "{}", ran.stderr);
}

#[test]
fn a_bare_name_that_nobody_knows_is_not_there() {
    let ran = World::new().fails(4, "plugin install nosuch");
    assert!(ran.stderr.contains("`nosuch` is no file or directory") && ran.stderr.contains("owner/repo"), "{}", ran.stderr);
}

#[test]
fn what_is_not_installed_is_looked_for_in_the_list() {
    let world = World::new();
    for words in ["exec", "pin", "unpin", "rollback", "trust", "info", "update", "uninstall", "verify"] {
        let ran = world.fails(4, &format!("plugin {words} nosuch"));
        assert!(ran.stderr.contains("`tool plugin list`"), "{words}: {}", ran.stderr);
    }
    assert!(world.fails(4, "post-render nosuch").stderr.contains("`tool plugin list`"));
}

#[test]
fn i_verify_says_how_a_changed_plugin_is_restored() {
    let world = signed();
    world.ok(&format!("plugin install p-1.0.0.tgz {}", keyring()));
    fs::write(world.plugins().join("p/readme.py"), "new").unwrap();
    let ran = world.fails(3, &format!("plugin verify p {}", keyring()));
    assert!(world.fails(4, "plugin verify other.tgz").stderr.contains("other.tgz is not there\nhint: check the path"));
    let url = world.fails(4, "plugin verify https://ann:pw@h.example/p.tgz").stderr;
    assert!(url.contains("`tool plugin pull https://h.example/p.tgz`"), "{url}");
    let restore = "`tool plugin restore p`";
    assert!(ran.stderr.contains("`readme.py` was added") && ran.stderr.contains(restore), "{}", ran.stderr);
    assert!(ran.stderr.contains("`tool plugin trust p`"), "{}", ran.stderr);
    world.ok("plugin trust p");
    world.ok(&format!("plugin verify p {}", keyring()));
}

#[test]
fn a_source_that_is_almost_right_names_what_was_meant() {
    let world = World::new();
    world.plugin("hello", "1.0.0");
    world.ok("plugin package hello --sign=false");
    for (source, code, meant) in [
        ("oci:/h.example/x", 4, "`oci://h.example/x`"),
        ("localhost:5000/x", 4, "`oci://localhost:5000/x`"),
        ("ghcr.io/team/x:1.0.0", 4, "`oci://ghcr.io/team/x:1.0.0`"),
        ("https:/h.example/x.tgz", 4, "`https://h.example/x.tgz`"),
        ("http//h.example/x.tgz", 4, "`http://h.example/x.tgz`"),
        ("htps://h.example/x.tgz", 2, "`https://h.example/x.tgz`"),
        ("./helo", 4, "`./hello`"),
        ("helo", 4, "`./hello`"),
        ("hello-1.0.1.tgz", 4, "`./hello-1.0.0.tgz`"),
    ] {
        let ran = world.fails(code, &format!("plugin install {source}"));
        assert!(ran.stderr.contains("did you mean") && ran.stderr.contains(meant), "{source}: {}", ran.stderr);
    }
    world.ok("plugin install ./hello");
}

#[test]
fn what_nobody_may_look_at_is_not_called_missing() {
    let world = World::new();
    world.plugin("closed/p", "1.0.0");
    world.script("closed/look", "");
    let mut command = world.command(["plugin", "install", "--verify=false", "closed/p"]);
    // Root may look at everything, and so becomes somebody else for this.
    let root = std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    if root {
        mode(world.root(), 0o755);
        let program = world.path("tool");
        fs::copy(command.get_program(), &program).unwrap();
        let mut other = std::process::Command::new("setpriv");
        other.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(program).args(command.get_args());
        other
            .env_clear()
            .envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))))
            .current_dir(world.path(""));
        command = other;
    }
    mode(&world.path("closed"), 0o600);
    let output = command.output();
    mode(&world.path("closed"), 0o755);
    let Ok(output) = output else { return };
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("cannot look at `closed/p`") && !stderr.contains("not there"), "{stderr}");
}
