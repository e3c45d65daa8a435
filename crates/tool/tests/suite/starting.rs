//! Every way to a start, and everything that somebody could have done to what would be started (cases S, P28).

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use crate::support::{Ran, World};

/// One way in which the program starts something of a plugin, or reads it as instructions.
struct Way {
    what: &'static str,
    /// The plugin's manifest behind its name and version.
    manifest: &'static str,
    /// What is started or read.
    file: &'static str,
    /// The command line.
    line: &'static str,
    /// What is written to `file`: good, and by somebody else.
    texts: [Vec<u8>; 2],
}

const GOOD: &str = "#!/bin/sh\necho good >>$ROOT/good; cat >/dev/null; echo good\n";
const EVIL: &str = "#!/bin/sh\necho evil >>$ROOT/evil; cat >/dev/null; echo evil\n";
const CLI: &str =
    "type: cli/v1\nruntime: subprocess\nruntimeConfig: {platformCommand: [{command: $TOOL_PLUGIN_DIR/run.sh}]}\n";

fn ways() -> Vec<Way> {
    let way = |what, manifest, file, line| Way { what, manifest, file, line, texts: [GOOD.into(), EVIL.into()] };
    let plain = "type: cli/v1\nruntime: subprocess\nruntimeConfig: {platformCommand: [{command: 'true'}]}\n";
    let mut ways = vec![
        way("a run", CLI, "run.sh", "p"),
        way("exec", CLI, "run.sh", "plugin exec p"),
        way("help", CLI, "run.sh", "help p"),
        way(
            "a test",
            "type: test/v1\nruntime: subprocess\nruntimeConfig: {platformCommand: [{command: $TOOL_PLUGIN_DIR/run.sh}]}\n",
            "run.sh",
            "plugin exec p x",
        ),
        way(
            "an argument",
            "type: cli/v1\nruntime: subprocess\nruntimeConfig: {platformCommand: [{command: sh, args: [$TOOL_PLUGIN_DIR/lib/main.txt]}]}\n",
            "lib/main.txt",
            "p",
        ),
        way(
            "an argument that a variable chooses",
            "type: cli/v1\nruntime: subprocess\nruntimeConfig: {platformCommand: [{command: sh, args: ['$TOOL_PLUGIN_DIR/lib/$FLAVOUR.txt']}]}\n",
            "lib/chosen.txt",
            "p",
        ),
        way(
            "a program that a variable chooses",
            "type: cli/v1\nruntime: subprocess\nruntimeConfig: {platformCommand: [{command: '$TOOL_PLUGIN_DIR/bin/../lib/$FLAVOUR.txt'}]}\n",
            "lib/chosen.txt",
            "p",
        ),
        way("Tab", plain, "plugin.complete", "__complete p x"),
        way(
            "the delete hook",
            "type: cli/v1\nruntime: subprocess\nruntimeConfig: {platformCommand: [{command: 'true'}], platformHooks: {delete: [{command: $TOOL_PLUGIN_DIR/hook.sh}]}}\n",
            "hook.sh",
            "plugin uninstall p --yes",
        ),
        way(
            "a getter",
            "type: getter/v1\nruntime: subprocess\nconfig: {protocols: [foo]}\nruntimeConfig: {protocolCommands: [{protocols: [foo], platformCommand: [{command: get.sh}]}]}\n",
            "get.sh",
            "get foo://x",
        ),
        way(
            "a post-renderer",
            "type: postrenderer/v1\nruntime: subprocess\nruntimeConfig: {platformCommand: [{command: $TOOL_PLUGIN_DIR/run.sh}]}\n",
            "run.sh",
            "post-render p",
        ),
    ];
    ways.push(Way {
        texts: ["validArgs: [good]\n".into(), "validArgs: [evil]\n".into()],
        ..way("Tab from a file", plain, "completion.yaml", "__complete p ")
    });
    #[cfg(feature = "wasm")]
    ways.push(Way {
        // It says what it was asked. Another section makes it another module, which says the same.
        texts: [crate::wasm::module("cli"), [crate::wasm::module("cli"), b"\0\x02\x01a".to_vec()].concat()],
        ..way("a module", "type: cli/v1\nruntime: extism/v1\nruntimeConfig: {}\n", "plugin.wasm", "p good")
    });
    ways
}

/// A world in which the plugin of `way` was installed from a directory, with or without the file that it starts.
fn installed(way: &Way, with_file: bool) -> World {
    let mut world = World::new();
    let root = world.root().display().to_string();
    world.set("ROOT", root).set("FLAVOUR", "chosen");
    world.write("p/plugin.yaml", format!("apiVersion: v1\nname: p\nversion: 1.0.0\n{}", way.manifest));
    world.write("p/README.md", "nothing");
    if with_file {
        world.write(&format!("p/{}", way.file), &way.texts[0]);
        fs::set_permissions(world.path("p").join(way.file), fs::Permissions::from_mode(0o755)).unwrap();
    }
    fs::create_dir_all(world.path("p/lib")).unwrap();
    fs::create_dir_all(world.path("p/bin")).unwrap();
    world.write("p/bin/x", "");
    world.ok("plugin install --copy p");
    world
}

fn write_program(path: &Path, text: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn start(world: &World, way: &Way) -> Ran {
    world.tool(way.line.split(' '))
}

fn has(world: &World, ran: &Ran, word: &str) -> bool {
    ran.stdout.contains(word) || world.root().join(word).exists()
}

/// What somebody does to the file at a path, and whether it still is what was installed.
type Tamper = (&'static str, fn(&Path, &[u8]), bool);

const TAMPERED: [Tamper; 6] = [
    ("nothing", |_, _| {}, true),
    ("changed", write_program, false),
    (
        "changed to others of the same length and times",
        |path, evil| {
            let times = fs::metadata(path).unwrap().modified().unwrap();
            write_program(path, evil);
            fs::File::options().write(true).open(path).unwrap().set_modified(times).unwrap();
        },
        false,
    ),
    (
        "replaced by a link",
        |path, evil| {
            let elsewhere = path.with_file_name("elsewhere");
            write_program(&elsewhere, evil);
            fs::remove_file(path).unwrap();
            symlink(&elsewhere, path).unwrap();
        },
        false,
    ),
    (
        "its directory replaced by a link",
        |path, evil| {
            let dir = path.parent().unwrap();
            let away = dir.with_file_name("away");
            fs::rename(dir, &away).unwrap();
            write_program(&away.join(path.file_name().unwrap()), evil);
            symlink(&away, dir).unwrap();
        },
        false,
    ),
    ("removed", |path, _| fs::remove_file(path).unwrap(), false),
];

#[test]
fn p28_nothing_is_started_or_read_but_what_was_installed() {
    for way in ways() {
        for (tamper, act, good) in TAMPERED {
            for renamed in [false, true] {
                let world = installed(&way, true);
                act(&world.plugins().join("p").join(way.file), &way.texts[1]);
                if renamed {
                    fs::rename(world.plugins().join("p"), world.plugins().join("q")).unwrap();
                }
                let ran = start(&world, &way);
                let case = format!("{}, {tamper}, renamed: {renamed}: {}{}", way.what, ran.stdout, ran.stderr);
                assert!(!has(&world, &ran, "evil"), "{case}");
                assert_eq!(has(&world, &ran, "good"), good, "{case}");
            }
        }
    }
}

#[test]
fn p28_what_was_added_after_the_install_is_neither_started_nor_read() {
    // Without its module a plugin is none.
    for way in ways().into_iter().filter(|way| way.file != "plugin.wasm") {
        for renamed in [false, true] {
            let world = installed(&way, false);
            write_program(&world.plugins().join("p").join(way.file), &way.texts[1]);
            if renamed {
                fs::rename(world.plugins().join("p"), world.plugins().join("q")).unwrap();
            }
            let ran = start(&world, &way);
            assert!(!has(&world, &ran, "evil"), "{}, renamed: {renamed}: {}{}", way.what, ran.stdout, ran.stderr);
            // Accepted, it is the plugin's.
            world.ok("plugin trust p");
            let ran = start(&world, &way);
            assert!(has(&world, &ran, "evil"), "{}, renamed: {renamed}: {}{}", way.what, ran.stdout, ran.stderr);
        }
    }
}

#[test]
fn s_what_everybody_may_write_to_is_not_started_on_any_way() {
    for way in ways().into_iter().filter(|way| way.file != "completion.yaml" && way.file != "lib/chosen.txt") {
        let world = installed(&way, true);
        fs::set_permissions(world.plugins().join("p").join(way.file), fs::Permissions::from_mode(0o777)).unwrap();
        let ran = start(&world, &way);
        assert!(!has(&world, &ran, "good"), "{}: {}{}", way.what, ran.stdout, ran.stderr);
    }
}

#[test]
fn s_a_switch_stops_every_way_to_a_start() {
    for way in ways() {
        let mut world = installed(&way, true);
        world.set("TOOL_NO_PLUGINS", "1");
        let ran = start(&world, &way);
        assert!(!has(&world, &ran, "good"), "{}: {}{}", way.what, ran.stdout, ran.stderr);
        assert_eq!(ran.code != 0, !way.line.starts_with("__complete"), "{}: {}", way.what, ran.stderr);
        world.set("TOOL_NO_PLUGINS", "0");
        let ran = start(&world, &way);
        assert!(has(&world, &ran, "good"), "{}: {}{}", way.what, ran.stdout, ran.stderr);
    }
    // The hooks of what comes, too; nothing is left half made.
    for event in ["install", "update"] {
        let mut world = World::new();
        let root = world.root().display().to_string();
        world.set("ROOT", root);
        let manifest = |version: &str| {
            let command = "runtimeConfig: {platformCommand: [{command: 'true'}]";
            let hook = format!("platformHooks: {{{event}: [{{command: $TOOL_PLUGIN_DIR/hook.sh}}]}}}}");
            format!("apiVersion: v1\nname: p\nversion: {version}\ntype: cli/v1\nruntime: subprocess\n{command}, {hook}\n")
        };
        write_program(&world.path("p/hook.sh"), GOOD.as_bytes());
        world.write("p/plugin.yaml", manifest("1.0.0"));
        if event == "update" {
            world.ok("plugin install --copy p");
            world.write("p/plugin.yaml", manifest("2.0.0"));
        }
        let line = if event == "update" { "plugin update p" } else { "plugin install --copy p" };
        world.set("TOOL_NO_PLUGINS", "1");
        let ran = world.fails(1, line);
        assert!(ran.stderr.contains("TOOL_NO_PLUGINS") && ran.stderr.contains("--no-hooks"), "{}", ran.stderr);
        assert!(!world.root().join("good").exists());
        assert_eq!(world.plugins().join("p").exists(), event == "update");
        world.ok(&format!("{line} --no-hooks"));
        assert!(!world.root().join("good").exists());
    }
}

#[test]
fn a_receipt_is_found_by_the_plugins_name_on_every_way() {
    let world = World::new();
    world.plugin("p", "1.0.0");
    world.ok("plugin install --copy p");
    let rename = || fs::rename(world.plugins().join("p"), world.plugins().join("q")).unwrap();
    rename();
    assert_eq!(world.ok("p x").stdout, "p 1.0.0 x\n");
    for words in ["plugin list -o json", "plugin info p -o json"] {
        let json = world.ok(words).json();
        let row = if json.is_array() { &json[0] } else { &json };
        assert_eq!(row["verified"]["by"], "local", "{words}: {row}");
        assert!(row["installedAt"].is_string() && row["directory"].as_str().unwrap().ends_with("/q"), "{words}: {row}");
    }
    world.ok("plugin verify p");
    let doctor = world.ok("plugin doctor -o json").json();
    let codes: Vec<&str> = doctor["findings"].as_array().unwrap().iter().map(|one| one["code"].as_str().unwrap()).collect();
    assert!(codes.contains(&"other-name") && !codes.contains(&"orphan") && !codes.contains(&"no-receipt"), "{codes:?}");
    // Every change gives it its name back, with all that belongs to it.
    let has_its_name = |words: &str| {
        assert!(world.plugins().join("p").is_dir() && !world.plugins().join("q").exists(), "{words}");
        assert_eq!(world.tool(["p"]).code, 0, "{words}");
    };
    world.plugin("p", "2.0.0");
    for words in [
        "plugin doctor --fix",
        "plugin update p",
        "plugin rollback p",
        "plugin pin p",
        "plugin unpin p",
        "plugin install --force --copy p",
    ] {
        if !world.plugins().join("q").exists() {
            rename();
        }
        world.ok(words);
        has_its_name(words);
    }
    assert_eq!(world.ok("p x").stdout, "p 2.0.0 x\n");
    fs::write(world.plugins().join("p/run.sh"), "#!/bin/sh\necho evil\n").unwrap();
    rename();
    assert_eq!(world.fails(3, "p").stdout, "");
    world.fails(3, "plugin verify p");
    world.ok("plugin trust p");
    has_its_name("plugin trust p");
    rename();
    world.ok("plugin uninstall p");
    assert!(!world.plugins().join("q").exists() && !world.plugins().join(".state/p.json").exists());

    // A package, for what a lock file says of it.
    world.ok("plugin package p -d . --sign=false");
    world.ok("plugin install --verify=false p-2.0.0.tgz");
    rename();
    world.ok("plugin verify p");
    world.ok("plugin lock");
    let locked = fs::read_to_string(world.path("plugins.lock")).unwrap();
    assert!(locked.contains("p-2.0.0.tgz"), "{locked}");
    let ran = world.ok("plugin sync");
    assert!(!ran.stderr.contains("rror"), "{}", ran.stderr);
    assert_eq!(world.ok("p x").stdout, "p 2.0.0 x\n");
}
