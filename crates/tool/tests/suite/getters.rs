//! Getter plugins as sources, and `get` (cases F, S).

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use plugsmith::digest::Sha256Digest;

use crate::support::http_server::{Server, answer};
use crate::support::{World, repository};

/// A world whose plugin `fetcher` serves `foo://name?query` from files in `work/served`, and notes how it was called.
fn world() -> World {
    let world = World::new();
    world.write(
        "fetcher/plugin.yaml",
        "name: fetcher\nversion: 1.0.0\ndownloaders:\n- command: bin/get.sh first second\n  protocols: [foo, BAR, https, oci]\n",
    );
    let root = world.path("").display().to_string();
    world.script(
        "fetcher/bin/get.sh",
        &format!(
            "printf '%s|' \"$@\" >> {root}/calls\n\
             echo \"$TOOL_PLUGIN_USERNAME:$HELM_PLUGIN_PASSWORD:$TOOL_PLUGIN_PASS_CREDENTIALS_ALL:$(pwd)\" >> {root}/calls\n\
             name=${{6#*://}}; name=${{name%%[?#]*}}\n\
             case $name in exit*) echo partial; exit ${{name#exit}};; signal) echo partial; kill -TERM $$;; esac\n\
             test -f {root}/served/$name || {{ echo 'no such object' >&2; exit 9; }}\n\
             cat {root}/served/$name"
        ),
    );
    world.ok("plugin install fetcher");
    fs::create_dir(world.path("served")).unwrap();
    world
}

/// Packs and signs the plugin `p` into `served`.
fn serve_signed(world: &mut World) {
    world.plugin("p", "1.0.0");
    world.ok(&format!("plugin package p -d served --sign --keyring {}", repository("testdata/keys/tour.sec.asc").display()));
    world.set("TOOL_KEYRING", repository("testdata/keys/tour.asc").to_str().unwrap());
}

fn calls(world: &World) -> Vec<String> {
    fs::read_to_string(world.path("calls")).unwrap_or_default().lines().map(str::to_owned).collect()
}

#[test]
fn f_a_package_and_its_provenance_come_through_one_getter() {
    let mut world = world();
    serve_signed(&mut world);
    let explained = world.ok("plugin install --explain foo://p-1.0.0.tgz").stdout;
    assert!(explained.contains("getter plugin `fetcher`"), "{explained}");
    world.ok("plugin install foo://p-1.0.0.tgz?token=hunter2");
    assert_eq!(world.ok("p x").stdout, "p 1.0.0 x\n");
    let p = &world.ok("plugin list -o json").json()[1];
    assert_eq!((p["verified"]["by"].as_str(), p["source"].as_str()), (Some("signature"), Some("foo://p-1.0.0.tgz?***")));
    let calls = calls(&world);
    assert_eq!(calls.len(), 2);
    assert!(calls[0].starts_with("first|second||||foo://p-1.0.0.tgz?token=hunter2|::false:"), "{calls:?}");
    assert!(calls[1].starts_with("first|second||||foo://p-1.0.0.tgz.prov?token=hunter2|"), "{calls:?}");
    for call in &calls {
        let directory = call.rsplit(':').next().unwrap();
        assert!(
            !fs::exists(directory).unwrap() && directory != world.path("").to_str().unwrap(),
            "a fresh one: {directory}"
        );
    }
}

#[test]
fn f_a_provenance_that_does_not_come_leaves_nothing() {
    let mut world = world();
    serve_signed(&mut world);
    fs::remove_file(world.path("served/p-1.0.0.tgz.prov")).unwrap();
    let before = world.snapshot(&world.plugins());
    let ran = world.fails(3, "plugin install foo://p-1.0.0.tgz");
    for part in ["foo://p-1.0.0.tgz.prov", "fetcher", "--digest", "--verify=false", "no such object"] {
        assert!(ran.stderr.contains(part), "{part}: {}", ran.stderr);
    }
    fs::write(world.path("served/p-1.0.0.tgz.prov"), "").unwrap();
    let ran = world.fails(3, "plugin install foo://p-1.0.0.tgz");
    assert!(ran.stderr.contains("empty"), "{}", ran.stderr);
    world.fails(1, "plugin install foo://missing.tgz");
    assert_eq!(world.snapshot(&world.plugins()), before);

    let digest = Sha256Digest::of(&fs::read(world.path("served/p-1.0.0.tgz")).unwrap());
    world.fails(3, &format!("plugin install foo://p-1.0.0.tgz --digest sha256:{}", "0".repeat(64)));
    world.fails(1, &format!("plugin install foo://p-1.0.0.tgz --digest sha256:{digest} --version ~2"));
    fs::remove_file(world.path("calls")).unwrap();
    world.ok(&format!("plugin install bar://p-1.0.0.tgz --digest sha256:{digest} --version ~1"));
    assert_eq!(calls(&world).len(), 1, "nobody needed the provenance");
    assert_eq!(world.ok("plugin list -o json").json()[1]["verified"]["by"], "digest");
}

#[test]
fn i5_what_came_through_a_getter_is_updated_locked_and_pulled_through_it() {
    let mut world = world();
    serve_signed(&mut world);
    let serve = |version: &str| {
        for end in ["", ".prov"] {
            fs::rename(world.path(&format!("served/p-{version}.tgz{end}")), world.path(&format!("served/p.tgz{end}")))
                .unwrap();
        }
    };
    serve("1.0.0");
    world.ok("plugin install foo://p.tgz");
    world.ok("plugin lock");
    world.ok("plugin uninstall p");
    world.ok("plugin sync");
    assert_eq!(world.ok("p x").stdout, "p 1.0.0 x\n");
    world.ok("plugin pull foo://p.tgz -d pulled");
    assert!(world.path("pulled/p.tgz.prov").exists());

    world.ok("plugin uninstall p");
    world.ok("plugin install foo://p.tgz");
    world.plugin("p", "1.1.0");
    world.ok(&format!("plugin package p -d served --sign --keyring {}", repository("testdata/keys/tour.sec.asc").display()));
    serve("1.1.0");
    assert!(world.ok("plugin outdated").stdout.contains("1.1.0"));
    world.ok("plugin update p");
    assert_eq!(world.ok("p x").stdout, "p 1.1.0 x\n");
}

#[test]
fn f_credentials_reach_the_getter_and_its_environment_alone() {
    let world = world();
    fs::write(world.path("served/x"), "content").unwrap();
    let options = "get foo://x --username ann --password-stdin --ca-file ca.pem --cert-file c.pem --key-file k.pem --debug";
    let ran = world.tool_with_input(options.split(' '), b"hunter2\n");
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "content"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("hunter2"), "{}", ran.stderr);
    let files = ["c.pem", "k.pem", "ca.pem"].map(|name| world.path(name).display().to_string()).join("|");
    let call = calls(&world).remove(0);
    assert!(call.starts_with(&format!("first|second|{files}|foo://x|ann:hunter2:false:")), "{call}");
    assert_eq!(world.ok("get foo://bob:hunter3@x").stdout, "content");
    let call = calls(&world).remove(1);
    assert!(call.starts_with("first|second||||foo://x|bob:hunter3:false:"), "{call}");
    for option in ["--plain-http", "--insecure-skip-tls-verify", "--version 1.0.0"] {
        let ran = world.fails(2, &format!("get foo://x {option}"));
        assert!(ran.stderr.contains(option.split(' ').next().unwrap()), "{}", ran.stderr);
    }
}

#[test]
fn f_built_in_schemes_stay_ours_and_unknown_ones_are_listed() {
    let world = world();
    world.fails(5, "get https://127.0.0.1:1/x");
    world.fails(5, "plugin install oci://127.0.0.1:1/x:1.0.0 --verify=false");
    assert_eq!(calls(&world), [""; 0]);
    for command in ["get fo://x", "plugin install fo://x", "plugin install --explain fo://x"] {
        let ran = world.fails(2, command);
        assert!(["`fo`", "bar, foo, git", "https", "oci"].iter().all(|part| ran.stderr.contains(part)), "{}", ran.stderr);
    }
    for command in ["get git+https://h/r", "get file:///etc/passwd", "get x.tgz", "get fetcher"] {
        world.fails(2, command);
    }
    let mut world = world;
    world.set("TOOL_NO_PLUGINS", "1");
    world.fails(2, "get foo://x");
}

#[test]
fn f_get_writes_a_file_whole_or_not_at_all() {
    let world = world();
    fs::write(world.path("served/data.bin"), vec![7; 3 << 20]).unwrap();
    let server = Server::files(&[("/a/web.txt", b"from the web"), ("/plugin.git", b"also a file")]);
    world.ok("get foo://data.bin -o out.bin");
    assert_eq!(fs::metadata(world.path("out.bin")).unwrap().len(), 3 << 20);
    assert_eq!(fs::metadata(world.path("out.bin")).unwrap().permissions().mode() & 0o700, 0o600);
    fs::create_dir(world.path("into")).unwrap();
    world.ok(&format!("get {} -o into", server.url("/a/web.txt?x=1")));
    assert_eq!(fs::read(world.path("into/web.txt")).unwrap(), b"from the web");
    assert_eq!(world.ok(&format!("get {} --output -", server.url("/plugin.git"))).stdout, "also a file");

    let before = world.snapshot(&world.path(""));
    let ran = world.fails(7, "get foo://exit7 -o out.bin");
    assert_eq!(ran.stdout, "");
    assert_eq!(world.fails(7, "get foo://exit7").stdout, "", "what is broken is not shown");
    assert_eq!(world.tool(["get", "foo://signal", "-o", "out.bin"]).code, 128 + 15);
    world.fails(4, &format!("get {} -o new", server.url("/gone")));
    world.fails(4, "get foo://data.bin -o no/such/directory");
    let mut after = world.snapshot(&world.path(""));
    after.insert("calls".to_owned(), before["calls"].clone());
    assert_eq!(after, before);
}

#[test]
fn f_a_changed_getter_does_not_run() {
    let world = World::new();
    world.write("g/plugin.yaml", "name: g\nversion: 1.0.0\ndownloaders:\n- command: get.sh\n  protocols: [foo]\n");
    world.script("g/get.sh", "echo got");
    world.ok("plugin package g --sign=false");
    world.ok("plugin install g-1.0.0.tgz --verify=false");
    assert_eq!(world.ok("get foo://x").stdout, "got\n");
    fs::write(world.plugins().join("g/get.sh"), "#!/bin/sh\necho evil\n").unwrap();
    let ran = world.fails(3, "get foo://x");
    assert!(ran.stderr.contains("get.sh"), "{}", ran.stderr);
    world.fails(3, "plugin install foo://x.tgz");
}

#[test]
fn f_an_interrupt_leaves_nothing() {
    let world = World::new();
    world.write("g/plugin.yaml", "name: g\nversion: 1.0.0\ndownloaders:\n- command: get.sh\n  protocols: [foo]\n");
    let started = world.path("started");
    world.script("g/get.sh", &format!("echo part; touch {}; exec sleep 5", started.display()));
    world.ok("plugin install g");
    fs::create_dir(world.path("into")).unwrap();
    let mut child = world.command(["get", "foo://x", "-o", "into/x"]).spawn().unwrap();
    while !started.exists() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let pid = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(fs::read_dir(world.path("into")).unwrap().count(), 0);
}

#[test]
fn s_getter_commands_are_paths_in_the_plugin_unless_they_are_elsewhere() {
    let world = World::new();
    let elsewhere = world.script("elsewhere.sh", "echo elsewhere");
    for (name, command, says) in [
        ("relative", "bin/x.sh".to_owned(), "in the plugin"),
        ("expanded", "$TOOL_PLUGIN_DIR/bin/x.sh".to_owned(), "in the plugin"),
        ("slashed", "/bin/x.sh".to_owned(), "in the plugin"),
        ("absolute", elsewhere.display().to_string(), "elsewhere"),
    ] {
        world.write(
            &format!("{name}/plugin.yaml"),
            format!("name: {name}\nversion: 1.0.0\ndownloaders:\n- command: {command}\n  protocols: [{name}]\n"),
        );
        world.script(&format!("{name}/bin/x.sh"), "echo in the plugin");
        world.ok(&format!("plugin install {name}"));
        assert_eq!(world.ok(&format!("get {name}://x")).stdout.trim_end(), says, "{name}");
    }
}

#[test]
fn f_a_broken_connection_or_a_flood_leaves_nothing() {
    let world = World::new();
    fs::create_dir_all(world.root().join("home/.config/tool")).unwrap();
    fs::write(world.root().join("home/.config/tool/config.yaml"), "http:\n  maxBytes: 1000\n  retries: 0\n").unwrap();
    world.write("g/plugin.yaml", "name: g\nversion: 1.0.0\ndownloaders:\n- command: get.sh\n  protocols: [foo]\n");
    world.script("g/get.sh", "yes");
    world.ok("plugin install g");
    let server = Server::start(|_, to| answer(to, "200 OK", &[("Content-Length", "100")], b"short"));
    let before = world.snapshot(world.root());
    let log = |path: &str| path.ends_with("/audit.jsonl");
    let ran = world.fails(1, "get foo://x -o x");
    assert!(ran.stderr.contains("1000"), "{}", ran.stderr);
    world.fails(5, &format!("get {} -o x", server.url("/x")));
    world.fails(2, "plugin install g://x --verify=false");
    let mut after = world.snapshot(world.root());
    after.retain(|path, _| before.contains_key(path) || path.contains("work"));
    after.extend(before.iter().filter(|(path, _)| log(path)).map(|(path, what)| (path.clone(), what.clone())));
    assert_eq!(after, before);
}
