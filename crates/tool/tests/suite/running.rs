//! `tool NAME`: arguments, environment, exit codes, platforms, the gate, conflicts (cases S and I7 to I9).

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Stdio;

use crate::support::{Ran, World, repository};

/// A world with one plugin, copied in by hand, whose `run.sh` holds `script`.
fn with(manifest_tail: &str, script: &str) -> World {
    let world = World::new();
    let dir = world.plugins().join("p");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("plugin.yaml"), format!("name: p\nversion: 1.0.0\n{manifest_tail}\n")).unwrap();
    fs::write(dir.join("run.sh"), format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(dir.join("run.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    world
}

#[test]
fn s_arguments_reach_the_plugin_verbatim() {
    let world = with("command: $TOOL_PLUGIN_DIR/run.sh first", "for a in \"$@\"; do echo \"[$a]\"; done");
    let ran = world.tool(["p", "a b", "", "--flag=x", "-v", "--help", "--", "--debug", "$HOME", "*"]);
    assert_eq!(ran.stdout, "[first]\n[a b]\n[]\n[--flag=x]\n[-v]\n[--help]\n[--]\n[--debug]\n[$HOME]\n[*]\n");
    let world = with("command: $TOOL_PLUGIN_DIR/run.sh only\nignoreFlags: true", "echo \"$@\"");
    assert_eq!(world.ok("p these are ignored").stdout, "only\n");
}

#[test]
fn s_the_hosts_global_flags_are_taken_out_of_the_middle() {
    let world = with("command: $TOOL_PLUGIN_DIR/run.sh", "echo \"$TOOL_DEBUG $HELM_DEBUG: $*\"");
    assert_eq!(world.ok("p one two").stdout, "false false: one two\n");
    assert_eq!(world.ok("p one --debug two").stdout, "true true: one two\n");
    assert_eq!(world.ok("--debug p one two").stdout, "true true: one two\n");
    assert_eq!(world.ok("p one -- --debug").stdout, "false false: one -- --debug\n");
}

#[test]
fn s_the_environment_stands_under_both_prefixes() {
    let world = with("command: $TOOL_PLUGIN_DIR/run.sh", "env | grep -E '^(TOOL|HELM)_' | sort");
    let ran = world.ok("p");
    let lines: Vec<&str> = ran.stdout.lines().collect();
    for key in ["PLUGIN_NAME", "PLUGIN_DIR", "PLUGINS", "BIN", "CACHE_HOME", "CONFIG_HOME", "DATA_HOME", "DEBUG"] {
        let value = |prefix: &str| lines.iter().find_map(|l| l.strip_prefix(&format!("{prefix}_{key}=")).map(str::to_owned));
        assert!(value("TOOL").is_some(), "no TOOL_{key} in {}", ran.stdout);
        assert_eq!(value("TOOL"), value("HELM"), "{key}");
    }
    assert!(ran.stdout.contains("TOOL_PLUGIN_NAME=p\n"));
    assert!(ran.stdout.contains(&format!("TOOL_PLUGIN_DIR={}\n", world.plugins().join("p").display())));
}

#[test]
fn s_exit_codes_and_signals_are_the_plugins_own() {
    let world = with("command: $TOOL_PLUGIN_DIR/run.sh", "exit ${1:-0}");
    for code in [0, 1, 3, 42, 255] {
        assert_eq!(world.tool(["p", &code.to_string()]).code, code);
    }
    let world = with("command: $TOOL_PLUGIN_DIR/run.sh", "kill -TERM $$");
    assert_eq!(world.tool(["p"]).code, 128 + 15);
}

#[test]
fn s_the_process_is_replaced() {
    let world = with("command: $TOOL_PLUGIN_DIR/run.sh", "echo $$");
    let child = world.command(["p"]).stdout(Stdio::piped()).spawn().unwrap();
    let id = child.id();
    let ran = Ran::of(child.wait_with_output().unwrap());
    assert_eq!(ran.stdout.trim(), id.to_string());
}

#[test]
fn s_a_large_argument_and_standard_input_pass() {
    let world = with("command: $TOOL_PLUGIN_DIR/run.sh", "printf %s \"$1\" | wc -c; cat");
    let large = "x".repeat(100_000);
    let ran = world.tool_with_input(["p", large.as_str()], b"from standard input");
    assert_eq!(ran.stdout.replace(' ', ""), "100000\nfromstandardinput");
}

#[test]
fn s_a_plugin_directory_with_a_space() {
    let mut world = World::new();
    let dir = world.root().join("my plugins");
    world.set("TOOL_PLUGINS", dir.to_str().unwrap().to_owned());
    let plugin = world.plugin("p", "1.0.0");
    world.ok(&format!("plugin install {} --copy", plugin.display()));
    // As in Helm, a command is split before it is expanded: a space in the directory's name does no harm.
    assert_eq!(world.ok("p x").stdout, "p 1.0.0 x\n");
}

#[test]
fn s_expansion_follows_go() {
    let script = "for a in \"$@\"; do echo \"[$a]\"; done";
    let mut world = with(
        "platformCommand:\n- command: $TOOL_PLUGIN_DIR/run.sh\n  args: ['$X', '${X}', '$1', '$$', '${X:-d}', 'a$X-b', '$NONE.', '100%']",
        script,
    );
    world.set("X", "value");
    assert_eq!(world.ok("p $X").stdout, "[value]\n[value]\n[]\n[]\n[]\n[avalue-b]\n[.]\n[100%]\n[$X]\n");
}

#[test]
fn s_the_platform_decides() {
    let echo = |word: &str, os: &str| format!("- {{os: '{os}', command: 'echo {word}'}}\n");
    let table = [
        (format!("{}{}", echo("any", ""), echo("linux", "linux")), "linux"),
        (format!("{}{}", echo("mac", "darwin"), echo("any", "")), "any"),
        (format!("- {{os: Linux, arch: AMD64, command: 'echo exact'}}\n{}", echo("linux", "linux")), "exact"),
        (format!("- {{os: linux, arch: s390x, command: 'echo other'}}\n{}", echo("any", "")), "any"),
    ];
    if cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        for (commands, expected) in table {
            let world = with(&format!("platformCommand:\n{commands}"), "");
            assert_eq!(world.ok("p").stdout.trim(), expected, "{commands}");
        }
    }
    let world = with(&format!("platformCommand:\n{}", echo("x", "plan9")), "");
    let ran = world.fails(1, "p");
    assert!(ran.stderr.contains("no plugin command is applicable"), "{}", ran.stderr);
}

#[test]
fn s_a_program_that_is_missing_or_cannot_run() {
    let world = with("command: $TOOL_PLUGIN_DIR/gone.sh", "");
    let ran = world.fails(1, "p");
    assert!(ran.stderr.contains("gone.sh"), "{}", ran.stderr);
    let world = with("command: $TOOL_PLUGIN_DIR/run.sh", "");
    fs::set_permissions(world.plugins().join("p/run.sh"), fs::Permissions::from_mode(0o644)).unwrap();
    let ran = world.fails(1, "p");
    assert!(ran.stderr.contains("run.sh") && ran.stderr.contains("chmod"), "{}", ran.stderr);
}

#[test]
fn s_what_everyone_can_write_is_not_run() {
    let world = with("command: $TOOL_PLUGIN_DIR/run.sh", "echo ran");
    fs::set_permissions(world.plugins().join("p/run.sh"), fs::Permissions::from_mode(0o757)).unwrap();
    let ran = world.fails(1, "p");
    assert!(ran.stderr.contains("chmod") && ran.stdout.is_empty(), "{}", ran.stderr);
    fs::set_permissions(world.plugins().join("p/run.sh"), fs::Permissions::from_mode(0o775)).unwrap();
    assert_eq!(world.ok("p").stdout, "ran\n", "a group that may write is the doctor's affair");
    fs::set_permissions(world.plugins().join("p"), fs::Permissions::from_mode(0o777)).unwrap();
    let ran = world.fails(1, "p");
    assert!(ran.stderr.contains("chmod"), "{}", ran.stderr);
}

#[test]
fn p28_a_changed_file_is_not_run() {
    let world = World::new();
    world.plugin("p", "1.0.0");
    world.ok("plugin install p --copy");
    assert_eq!(world.ok("p").stdout, "p 1.0.0\n");
    let program = world.plugins().join("p/run.sh");
    let times = fs::metadata(&program).unwrap().modified().unwrap();
    let original = fs::read(&program).unwrap();
    fs::write(&program, "#!/bin/sh\necho p 1.0.0 evil").unwrap();
    fs::File::options().write(true).open(&program).unwrap().set_modified(times).unwrap();
    let ran = world.tool(["p"]);
    assert_ne!(ran.code, 0);
    assert!(ran.stdout.is_empty(), "{}", ran.stdout);
    assert!(ran.stderr.contains("run.sh") && ran.stderr.contains("`tool plugin restore p`"), "{}", ran.stderr);
    let ran = world.fails(3, "plugin verify p");
    assert!(ran.stderr.contains("run.sh"), "{}", ran.stderr);

    // The very bytes again are fine, whatever the times say.
    fs::write(&program, original).unwrap();
    assert_eq!(world.ok("p").stdout, "p 1.0.0\n");
}

#[test]
fn i7_several_plugin_directories() {
    let mut world = World::new();
    let (one, two) = (world.root().join("one"), world.root().join("two"));
    world.set(
        "TOOL_PLUGINS",
        format!("::{}:{}:relative:{}", one.display(), two.display(), world.root().join("absent").display()),
    );
    world.plugin("a", "1.0.0");
    world.ok("plugin install a --copy");
    assert!(one.join("a/plugin.yaml").is_file());
    fs::create_dir_all(two.join("b")).unwrap();
    fs::write(two.join("b/plugin.yaml"), "name: b\nversion: 2.0.0\ncommand: echo from b\n").unwrap();
    assert_eq!(world.ok("plugin list -o name").stdout, "a\nb\n");
    assert_eq!(world.ok("b").stdout, "from b\n");
    world.set("TOOL_NO_PLUGINS", "1");
    let ran = world.fails(2, "b");
    assert!(ran.stderr.contains("TOOL_NO_PLUGINS"), "{}", ran.stderr);
}

#[test]
fn i8_read_only_homes_still_list_and_run() {
    let world = World::new();
    world.plugin("p", "1.0.0");
    world.ok("plugin install p --copy");
    let read_only = |on: bool| {
        for entry in walkdir::WalkDir::new(world.root().join("home")).contents_first(!on) {
            let path = entry.unwrap().into_path();
            let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
            let mode = if on { mode & 0o555 } else { mode | 0o200 };
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }
    };
    read_only(true);
    let (list, run) = (world.tool(["plugin", "list", "-o", "name"]), world.tool(["p"]));
    read_only(false);
    assert_eq!(list.stdout, "p\n", "{}", list.stderr);
    assert_eq!(run.stdout, "p 1.0.0\n", "{}", run.stderr);
}

#[test]
fn i9_broken_and_doubled_plugins_do_not_stop_the_others() {
    let world = with("command: $TOOL_PLUGIN_DIR/run.sh", "echo p runs");
    let plugins = world.plugins();
    for (dir, text) in [
        ("broken", "name: broken\nversion: v1\n"),
        ("copy-of-p", "name: p\nversion: 0.9.0\ncommand: echo the copy\n"),
        ("version", "name: version\nversion: 1.0.0\ncommand: echo shadow\n"),
    ] {
        fs::create_dir_all(plugins.join(dir)).unwrap();
        fs::write(plugins.join(dir).join("plugin.yaml"), text).unwrap();
    }
    assert_eq!(world.ok("p").stdout, "p runs\n");
    assert!(world.ok("p").stderr.is_empty());
    assert!(!world.ok("version").stdout.contains("shadow"));
    let ran = world.ok("plugin list -o json");
    let list = ran.json();
    let status = |name: &str| {
        let one = list.as_array().unwrap().iter().find(|p| p["name"] == name);
        one.unwrap_or_else(|| panic!("no {name} in {list}"))["status"].as_str().unwrap().to_owned()
    };
    assert_eq!(status("broken"), "broken");
    assert_eq!(status("p"), "ok");
    assert_eq!(ran.stderr.matches("warning").count(), 3, "{}", ran.stderr);
    assert_eq!(world.fails(2, "nothing").stdout, "");
}

#[test]
fn an_unknown_command_names_the_nearest() {
    let world = with("command: echo", "");
    let ran = world.fails(2, "plugn");
    assert!(ran.stderr.contains("plugin"), "{}", ran.stderr);
    let ran = world.fails(2, "plugin instal x");
    assert!(ran.stderr.contains("install"), "{}", ran.stderr);
}

#[test]
fn exec_runs_a_plugin_that_has_a_built_in_name() {
    let world = World::new();
    let dir = world.plugins().join("version");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("plugin.yaml"), "name: version\nversion: 1.0.0\ncommand: echo mine\n").unwrap();
    let ran = world.tool(["plugin", "exec", "version", "--", "a", "--b"]);
    assert_eq!(ran.stdout, "mine a --b\n", "{}", ran.stderr);
    assert_eq!(world.tool(["plugin", "exec", "version", "a", "--b"]).stdout, ran.stdout);
    assert_eq!(world.tool(["plugin", "exec", "absent", "--", "x"]).code, 4);
}

#[test]
fn real_plugins_of_the_repository_run() {
    let mut world = World::new();
    world.set("LANG", "de_DE.UTF-8");
    for name in ["hello", "greet"] {
        let ran = world.tool(["plugin", "install", repository("testdata/plugins").join(name).to_str().unwrap()]);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
    }
    assert_eq!(world.ok("hello Ada Grace").stdout, "Hello, Ada Grace!\n");
    assert_eq!(world.ok("greet").stdout, "Guten Tag, everybody!\n");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let world = World::new();
    let tool = env!("CARGO_BIN_EXE_tool");
    let mut command = std::process::Command::new("bash");
    command.args(["-c", &format!("set -o pipefail; {tool} plugin --help | head -n 1 >/dev/null; echo ${{PIPESTATUS[0]}}")]);
    command.env("HOME", world.root()).process_group(0);
    let ran = crate::support::finish(&mut command);
    assert!(["0\n", "141\n"].contains(&ran.stdout.as_str()), "{}{}", ran.stdout, ran.stderr);
    assert!(!ran.stderr.contains("panic"), "{}", ran.stderr);
}

#[test]
fn env_shows_who_decides() {
    let mut world = World::new();
    world.write("config/config.yaml", "output: {color: never}\nregistries:\n  r.example.com:5000: {plainHttp: true}\n");
    world.set("TOOL_CONFIG_HOME", world.path("config").to_str().unwrap());
    let row = |words: &[&str], environment: &[(&str, &str)], name: &str| {
        let mut command = world.command(words);
        let ran = crate::support::finish(command.envs(environment.iter().copied()));
        let line = ran.stdout.lines().find(|line| line.starts_with(&format!("{name} ")));
        line.map(|line| line.split_whitespace().skip(1).collect::<Vec<_>>().join(" ")).unwrap_or_default()
    };
    let cases: [(&[&str], &[(&str, &str)], &str, &str); 8] = [
        (&["env"], &[], "TOOL_DEBUG", "false default"),
        (&["env"], &[("TOOL_DEBUG", "1")], "TOOL_DEBUG", "true $TOOL_DEBUG"),
        (&["env", "--debug"], &[("TOOL_DEBUG", "0")], "TOOL_DEBUG", "true --debug"),
        (&["env"], &[("TOOL_NO_PLUGINS", "1")], "TOOL_NO_PLUGINS", "true $TOOL_NO_PLUGINS"),
        (&["env"], &[("HELM_KEYRING", "/h"), ("TOOL_KEYRING", "/t")], "TOOL_KEYRING", "/t $TOOL_KEYRING"),
        (&["env", "--color", "auto"], &[("NO_COLOR", "1")], "output.color", "auto --color"),
        (&["env"], &[("NO_COLOR", "1")], "output.color", "never $NO_COLOR"),
        (&["env"], &[("CLICOLOR_FORCE", "1")], "output.color", "always $CLICOLOR_FORCE"),
    ];
    for (words, environment, name, expected) in cases {
        // Colours would be between the cells.
        let shown = row(words, environment, name);
        assert_eq!(shown, expected, "{words:?} {environment:?}");
    }
    assert!(row(&["env"], &[], "output.color").ends_with("config.yaml:1"));
    assert!(row(&["env"], &[], "TOOL_KEYRING").ends_with("config/keyring default"));
    let registry = row(&["env"], &[], "registries.r.example.com:5000.plainHttp");
    assert!(registry.starts_with("true ") && registry.ends_with("config.yaml:3"), "{registry}");
}

#[test]
fn env_names_every_setting() {
    let mut world = World::new();
    let config = world.write("config/config.yaml", "limits: {signatures: 3}\n");
    world.set("TOOL_CONFIG_HOME", config.parent().unwrap().to_str().unwrap());
    let shown = world.ok("env").stdout;
    assert!(shown.lines().any(|line| line.starts_with("limits.signatures") && line.ends_with("config.yaml:1")), "{shown}");
    let schema: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(crate::support::repository("schema/config.schema.json")).unwrap()).unwrap();
    for (group, setting) in schema["properties"].as_object().unwrap() {
        let keys = setting["properties"].as_object().map(|keys| keys.keys().map(|key| format!("{group}.{key}")).collect());
        for key in keys.unwrap_or_else(|| vec![group.clone()]) {
            // Registries are named by the user.
            assert!(key == "registries" || shown.contains(&format!("\n{key} ")), "no {key} in:\n{shown}");
        }
    }
}

#[test]
fn s_a_link_is_refused_where_everybody_may_write() {
    let world = World::new();
    let plugin = world.plugin("p", "1.0.0");
    world.ok("plugin install p");
    let allow = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    // Anybody could have made the link, or changed what it leads to.
    for path in [&world.plugins(), &plugin, &plugin.join("run.sh")] {
        allow(path, 0o777);
        let ran = world.fails(1, "p");
        assert!(ran.stderr.contains("chmod o-w"), "{}", ran.stderr);
        allow(path, 0o755);
        world.ok("p");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn s_a_program_that_is_no_script_runs_as_itself() {
    let world = World::new();
    for (name, of) in [("p", "/bin/readlink"), ("q", "/bin/cat")] {
        let manifest = format!("name: {name}\nversion: 1.0.0\ncommand: $TOOL_PLUGIN_DIR/bin/run\n");
        world.write(&format!("{name}/plugin.yaml"), manifest);
        world.write(&format!("{name}/bin/run"), fs::read(of).unwrap());
        fs::set_permissions(world.path(&format!("{name}/bin/run")), fs::Permissions::from_mode(0o755)).unwrap();
        world.ok(&format!("plugin install {name} --copy"));
    }
    // It is executed through an opened file; to itself and to others it is the file at its path.
    let path = |name: &str| world.plugins().join(name).join("bin/run").display().to_string();
    assert_eq!(world.ok("p /proc/self/exe").stdout, format!("{}\n", path("p")));
    assert_eq!(world.ok("q /proc/self/cmdline").stdout, format!("{}\0/proc/self/cmdline\0", path("q")));
    // The handle is not the program's to have.
    world.fails(1, "p /proc/self/fd/3");
    fs::write(world.plugins().join("p/bin/run"), fs::read("/bin/echo").unwrap()).unwrap();
    world.fails(3, "p x");
}

#[test]
fn test_plugins_greet_through_exec() {
    let world = World::new();
    world.write(
        "greeter/plugin.yaml",
        "apiVersion: v1\nname: greeter\nversion: 1.0.0\ntype: test/v1\nruntime: subprocess\n\
         runtimeConfig: {platformCommand: [{command: $HELM_PLUGIN_DIR/run.sh}]}\n",
    );
    world.script("greeter/run.sh", "test \"$1\" || exit 7; echo \"Hello, $1!\"");
    world.ok("plugin install greeter");
    assert_eq!(world.ok("plugin exec greeter Ann").stdout, "Hello, Ann!\n");
    assert_eq!(world.ok("plugin exec greeter -- Ann").stdout, "Hello, Ann!\n");
    world.fails(7, "plugin exec greeter");
    world.fails(2, "greeter Ann");
}

#[test]
#[cfg(not(feature = "wasm"))]
fn without_webassembly_such_plugins_are_kept_and_not_run() {
    let world = World::new();
    world.write("p/plugin.yaml", "apiVersion: v1\nname: p\nversion: 1.0.0\ntype: cli/v1\nruntime: extism/v1\n");
    world.write("p/plugin.wasm", b"\0asm\x01\0\0\0");
    world.ok("plugin lint p");
    world.ok("plugin install p --copy");
    assert_eq!(world.ok("plugin list -o json").json()[0]["status"], "ok");
    let ran = world.fails(1, "p");
    assert!(ran.stderr.contains("built without WebAssembly"), "{}", ran.stderr);
    world.ok("plugin package p --sign=false");
    world.ok("plugin uninstall p");
}

#[test]
#[cfg(target_os = "linux")]
fn s_a_program_that_is_still_being_written_is_waited_for() {
    let world = with("command: $TOOL_PLUGIN_DIR/run.sh", "echo ran");
    // Somebody holds it open for writing, as a process does that was started between our writing and our closing it.
    let held = fs::OpenOptions::new().append(true).open(world.plugins().join("p/run.sh")).unwrap();
    let release = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(100));
        drop(held);
    });
    assert_eq!(world.ok("p").stdout, "ran\n");
    release.join().unwrap();
}

#[test]
fn s_a_plugin_that_is_no_command_says_how_it_is_used() {
    let world = World::new();
    for (plugin_type, hint) in [
        ("getter", "`tool get URL`"),
        ("postrenderer", "`tool post-render p-postrenderer`"),
        ("test", "`tool plugin exec p-test WORD`"),
    ] {
        world.ok(&format!("plugin create p-{plugin_type} --type {plugin_type}"));
        world.ok(&format!("plugin install ./p-{plugin_type}"));
        let ran = world.fails(2, &format!("p-{plugin_type} x"));
        assert!(ran.stderr.contains(hint), "{}", ran.stderr);
    }
}

/// Another host's variables, as a plugin of that host has them in its environment, mean nothing here.
#[test]
fn s_a_host_reads_its_own_variables_alone() {
    let mut world = World::new();
    world.plugin("p", "1.0.0");
    world.ok("plugin install p --copy");
    world.script("p/plugin.complete", "env");
    let asked: [&[&str]; 5] =
        [&["env"], &["p"], &["plugin", "list"], &["__complete", ""], &["plugin", "install", "--explain", "owner/repo"]];
    let answers = |world: &World| asked.map(|words| format!("{:?}", world.tool(words)));
    let before = answers(&world);
    let elsewhere = world.write("elsewhere/policy.yaml", "plugins: {deny: ['*']}\n");
    for prefix in ["HELM", "ACME"] {
        for key in [
            "PLUGINS",
            "DATA_HOME",
            "CACHE_HOME",
            "CONFIG_HOME",
            "KEYRING",
            "POLICY",
            "DEBUG",
            "NO_PLUGINS",
            "GITHUB_API",
            "GITHUB_TOKEN",
        ] {
            let value = match key {
                "DEBUG" | "NO_PLUGINS" => "1",
                "GITHUB_API" => "http://127.0.0.1:1",
                _ => elsewhere.to_str().unwrap(),
            };
            let name = format!("{prefix}_{key}");
            world.set(&name, value);
            assert_eq!(answers(&world), before, "{name}");
        }
    }
    // The plugin is told this host's values under Helm's names, too.
    world.write("tell/plugin.yaml", "name: tell\nversion: 1.0.0\ncommand: env\n");
    world.ok("plugin install tell");
    let told = world.ok("tell").stdout;
    assert!(told.contains("HELM_DEBUG=false\n") && !told.contains("HELM_PLUGINS=/elsewhere"), "{told}");
    assert!(told.contains(&format!("HELM_PLUGINS={}\n", world.plugins().display())), "{told}");
}
