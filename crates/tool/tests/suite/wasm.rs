//! Plugins of WebAssembly (cases W1 to W11). The modules are in `testdata/wasm`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use plugsmith::host::{ChosenDirectory, Homes, Host, SettingOrigin};
use plugsmith::report::NoReport;
use plugsmith::runtime::{Environment, InvokeError, InvokeInput, InvokeOutput, ProcessMode};
use plugsmith::settings::{GateMode, Limits};
use plugsmith::store::Store;
use plugsmith_protocol::TestInput;

use crate::support::http_server::{Server, answer};
use crate::support::{Ran, World, peers, repository};

/// Assembles a module of `testdata/wasm`.
pub(crate) fn module(name: &str) -> Vec<u8> {
    let read = |name: &str| fs::read_to_string(repository("testdata/wasm").join(format!("{name}.wat"))).unwrap();
    let text = read(name);
    let text = match text.starts_with(";; whole") {
        true => text,
        false => format!("(module\n{}\n{text}\n)", read("prelude")),
    };
    wat::parse_str(text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Puts the plugin `name` into the store as a hand-made copy, of this type, with these bytes as its module, and `runtimeConfig`.
fn place(world: &World, name: &str, kind: &str, module: &[u8], config: &str) {
    let dir = world.plugins().join(name);
    fs::create_dir_all(&dir).unwrap();
    let schemes = if kind == "getter/v1" { "config: {protocols: [wasm]}\n" } else { "" };
    let manifest = format!(
        "apiVersion: v1\nname: {name}\nversion: 1.0.0\ntype: {kind}\nruntime: extism/v1\n{schemes}runtimeConfig: {{{config}}}\n"
    );
    fs::write(dir.join("plugin.yaml"), manifest).unwrap();
    fs::write(dir.join("plugin.wasm"), module).unwrap();
}

/// A world with a command `p` of the module `name`.
fn with(name: &str, config: &str) -> World {
    let world = World::new();
    place(&world, "p", "cli/v1", &module(name), config);
    world
}

fn fails(name: &str, config: &str, code: i32, said: &[&str]) -> Ran {
    let world = with(name, config);
    let ran = world.fails(code, "p");
    for part in said {
        assert!(ran.stderr.contains(part), "{name}: no {part:?} in {}", ran.stderr);
    }
    assert!(!ran.stderr.contains("panicked"), "{name}: {}", ran.stderr);
    ran
}

#[test]
fn w10_a_command_gets_its_arguments_and_its_data_is_printed() {
    let world = with("cli", "");
    assert_eq!(world.ok("p a --b").stdout, "{\"extraArgs\":[\"a\",\"--b\"]}\n");
    assert_eq!(world.ok("p").stdout, "{\"extraArgs\":[]}\n");
    assert_eq!(world.ok("plugin exec p -- x").stdout, "{\"extraArgs\":[\"x\"]}\n");
    let list = world.ok("plugin list -o json").json();
    assert_eq!((&list[0]["runtime"], &list[0]["status"]), (&"extism/v1".into(), &"ok".into()));
}

#[test]
fn w1_post_renderers_of_both_runtimes_make_one_chain() {
    let world = World::new();
    place(&world, "seen", "postrenderer/v1", &module("postrenderer"), "");
    world.write(
        "upper/plugin.yaml",
        "apiVersion: v1\nname: upper\nversion: 1.0.0\ntype: postrenderer/v1\nruntime: subprocess\n\
         runtimeConfig: {platformCommand: [{command: sh, args: [-c, tr a-z A-Z]}]}\n",
    );
    world.ok("plugin install upper");
    let render = |words: &str, document: &str| world.tool_with_input(words.split(' '), document.as_bytes());
    assert_eq!(render("post-render seen", "a: \"b\"\nä: 1\n").stdout, "# seen\na: \"b\"\nä: 1\n");
    assert_eq!(render("post-render seen upper seen --args x", "a: b\n").stdout, "# seen\n# SEEN\nA: B\n");
    assert_eq!(render("post-render seen", "").stdout, "# seen\n");
    // The default of 4 pages holds for documents, too.
    let ran = render("post-render seen", &"a".repeat(300_000));
    assert!(ran.code == 1 && ran.stderr.contains("maxPages"), "{}", ran.stderr);
    place(&world, "seen", "postrenderer/v1", &module("hostile/silent"), "");
    let ran = render("post-render upper seen", "a: b\n");
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{}", ran.stderr);
}

#[test]
fn w10_a_getter_gets_gos_options_and_its_data_is_decoded() {
    let world = World::new();
    place(&world, "g", "getter/v1", &module("getter"), "");
    world.write("ca.pem", "x");
    let got = world.ok("get wasm://host/a%20b?x=1").json();
    assert_eq!((&got["href"], &got["protocol"]), (&"wasm://host/a%20b?x=1".into(), &"wasm".into()));
    let options = &got["options"];
    assert_eq!((&options["URL"], &options["Timeout"]), (&got["href"], &0.into()));
    assert_eq!((&options["UNTar"], &options["UserAgent"]), (&false.into(), &"tool/0.1.0".into()));

    let output = world.tool_with_input(
        [
            "get",
            "wasm://u@host/x",
            "--password-stdin",
            "--username",
            "ann",
            "--timeout",
            "90s",
            "--ca-file",
            "ca.pem",
            "--debug",
        ],
        b"hunter2\n",
    );
    let options = &output.json()["options"];
    assert_eq!((&options["Username"], &options["Password"]), (&"ann".into(), &"hunter2".into()));
    assert_eq!(options["Timeout"], 90_000_000_000_u64);
    assert!(options["CAFile"].as_str().unwrap().ends_with("/work/ca.pem"), "{options}");
    assert!(!output.stderr.contains("hunter2"), "{}", output.stderr);
    world.ok("get wasm://host/x -o out");
    assert!(fs::read_to_string(world.path("out")).unwrap().contains("\"href\":\"wasm://host/x\""));
}

#[test]
fn w9_a_getter_brings_a_package_and_fifty_mebibytes() {
    let world = World::new();
    // The package stands in the module itself.
    world.plugin("q", "1.0.0");
    world.ok("plugin package q --sign=false");
    let package = fs::read(world.path("q-1.0.0.tgz")).unwrap();
    use base64::Engine as _;
    let answer = format!("{{\"data\":\"{}\"}}", base64::engine::general_purpose::STANDARD.encode(&package));
    let text = format!(
        "(module {} (data (i32.const 0) {answer:?}) (func (export \"helm_plugin_main\") (call $answer (i32.const 0) (i32.const {}))))",
        fs::read_to_string(repository("testdata/wasm/prelude.wat")).unwrap(),
        answer.len()
    );
    place(&world, "g", "getter/v1", &wat::parse_str(text).unwrap(), "");
    world.ok("plugin install wasm://somewhere/q-1.0.0.tgz --verify=false");
    assert_eq!(world.ok("q x").stdout, "q 1.0.0 x\n");

    // 50 MiB of `A` are four thirds of that in base64, written eight bytes at a time.
    let letters = (50_u64 << 20) / 3 * 4;
    let text = format!(
        r#"(module
          (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
          (import "extism:host/env" "store_u8" (func $store_u8 (param i64 i32)))
          (import "extism:host/env" "store_u64" (func $store_u64 (param i64 i64)))
          (import "extism:host/env" "output_set" (func $output_set (param i64 i64)))
          (func (export "helm_plugin_main") (local $at i64) (local $end i64) (local $start i64)
            (local.set $start (call $alloc (i64.const {total})))
            ;; {{"data":" in little endian, and the last letter of it alone.
            (call $store_u64 (local.get $start) (i64.const 0x3a2261746164227b))
            (call $store_u8 (i64.add (local.get $start) (i64.const 8)) (i32.const 34))
            (local.set $at (i64.add (local.get $start) (i64.const 9)))
            (local.set $end (i64.add (local.get $at) (i64.const {letters})))
            (loop $next
              (call $store_u64 (local.get $at) (i64.const 0x4141414141414141))
              (local.set $at (i64.add (local.get $at) (i64.const 8)))
              (br_if $next (i64.lt_u (local.get $at) (local.get $end))))
            (call $store_u8 (local.get $end) (i32.const 34))
            (call $store_u8 (i64.add (local.get $end) (i64.const 1)) (i32.const 125))
            (call $output_set (local.get $start) (i64.const {total}))))"#,
        total = letters + 11
    );
    let large = wat::parse_str(text).unwrap();
    place(&world, "g", "getter/v1", &large, "memory: {maxPages: 1200}");
    world.ok("get wasm://large -o large");
    assert_eq!(fs::metadata(world.path("large")).unwrap().len(), letters / 4 * 3);
    place(&world, "g", "getter/v1", &large, "memory: {maxPages: 1000}");
    let ran = world.fails(1, "get wasm://large -o large2");
    assert!(ran.stderr.contains("maxPages"), "{}", ran.stderr);
    assert!(!world.path("large2").exists());
}

#[test]
fn test_plugins_greet() {
    let world = World::new();
    place(&world, "t", "test/v1", &module("test"), "");
    assert_eq!(world.ok("plugin exec t Ann").stdout, "Hello, Ann\n");
    assert_eq!(world.ok("plugin exec t").stdout, "Hello, \n");
}

#[test]
fn settings_variables_entry_and_logs_are_the_modules() {
    let mut world = with("config", "config: {answer: '[42]'}, entryFuncName: other_main");
    let ran = world.ok("p");
    assert_eq!(ran.stdout, "[42]\n");
    assert!(ran.stderr.contains("p: [42]") && ran.stderr.contains("p: answer") && !ran.stderr.contains("nswer\n\n"));
    let quiet = world.ok("--quiet p").stderr;
    assert!(!quiet.contains("[42]") && quiet.contains("p: answer"), "{quiet}");
    // What it says for debugging is heard then alone.
    assert!(!ran.stderr.contains("p: nswer"), "{}", ran.stderr);
    world.set("TOOL_DEBUG", "1");
    assert!(world.ok("p").stderr.contains("p: nswer"));
}

#[test]
fn w2_codes_are_passed_on_with_the_reason() {
    for kind in ["cli/v1", "postrenderer/v1", "getter/v1", "test/v1"] {
        let world = World::new();
        let run = || match kind {
            "cli/v1" => world.tool(["p"]),
            "postrenderer/v1" => world.tool_with_input(["post-render", "p"], b"a"),
            "getter/v1" => world.tool(["get", "wasm://x"]),
            _ => world.tool(["plugin", "exec", "p"]),
        };
        place(&world, "p", kind, &module("hostile/code"), "");
        let ran = run();
        assert_eq!((ran.code, ran.stdout.as_str()), (7, ""), "{kind}: {}", ran.stderr);
        assert!(ran.stderr.contains("exited with code 7") && ran.stderr.contains("paper left"), "{kind}: {}", ran.stderr);
        assert!(!ran.stderr.contains('\u{1b}'), "{:?}", ran.stderr);
        place(&world, "p", kind, &module("hostile/error"), "");
        let ran = run();
        assert!(ran.code == 1 && ran.stderr.contains("no ink"), "{kind}: {} {}", ran.code, ran.stderr);
        place(&world, "p", kind, &module("hostile/exit"), "");
        let ran = run();
        assert!(ran.code == 5 && ran.stderr.contains("farewell"), "{kind}: {} {}", ran.code, ran.stderr);
        place(&world, "p", kind, &module("hostile/trap"), "");
        let ran = run();
        assert!(ran.code == 1 && ran.stderr.contains("divide by zero"), "{kind}: {} {}", ran.code, ran.stderr);
    }
    fails("hostile/stack", "", 1, &["broke down", "call stack"]);
    let text = fs::read_to_string(repository("testdata/wasm/hostile/exit.wat")).unwrap();
    for code in [0, 126, 200, 255] {
        let text = text.replace("$proc_exit (i32.const 5)", &format!("$proc_exit (i32.const {code})"));
        let world = World::new();
        place(&world, "p", "cli/v1", &wat::parse_str(text).unwrap(), "");
        // Without an answer even success is none.
        world.fails(code.max(1), "p");
    }
}

#[test]
fn w3_a_missing_answer_is_an_error() {
    let world = World::new();
    for name in ["hostile/null", "hostile/silent", "hostile/garbage"] {
        for kind in ["postrenderer/v1", "getter/v1", "test/v1"] {
            place(&world, "p", kind, &module(name), "");
            let ran = match kind {
                "postrenderer/v1" => world.tool_with_input(["post-render", "p"], b"a"),
                "getter/v1" => world.tool(["get", "wasm://x"]),
                _ => world.tool(["plugin", "exec", "p"]),
            };
            assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{name} {kind}: {}", ran.stderr);
            assert!(ran.stderr.contains("answer") && !ran.stderr.contains("panic"), "{name} {kind}: {}", ran.stderr);
        }
    }
    fails("hostile/silent", "", 1, &["gave no answer"]);
    fails("hostile/garbage", "", 1, &["its answer is not"]);
    assert_eq!(with("hostile/null", "").ok("p").stdout, "");
}

#[test]
fn w4_time_is_limited_wherever_it_goes() {
    for name in ["loop", "loop-start", "loop-init", "sleep"] {
        fails(&format!("hostile/{name}"), "timeout: 300", 1, &["300 ms", "runtimeConfig.timeout"]);
    }
    // A command may read what we could read; here nobody ever writes.
    let world = with("hostile/read", "timeout: 300");
    let mut child =
        world.command(["p"]).stdin(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let input = child.stdin.take();
    let ran = Ran::of(child.wait_with_output().unwrap());
    drop(input);
    assert!(ran.code == 1 && ran.stderr.contains("runtimeConfig.timeout"), "{}", ran.stderr);

    // The host's own limit for a download holds, where it is less.
    let world = World::new();
    place(&world, "g", "getter/v1", &module("hostile/loop"), "timeout: 60000");
    let ran = world.fails(1, "get wasm://x --timeout 1s");
    assert!(ran.stderr.contains("`--timeout`"), "{}", ran.stderr);
}

#[test]
fn w4_memory_is_limited_wherever_it_lies() {
    fails("hostile/memory", "", 1, &["needs 5 pages", "may have 4", "memory.maxPages"]);
    fails("hostile/memory", "memory: {maxPages: 7}", 1, &["needs 8 pages", "may have 7"]);
    fails("hostile/memory-start", "", 1, &["needs 5 pages", "may have 4"]);
    fails("hostile/memory-second", "", 1, &["needs 5 pages"]);
    fails("hostile/memory-shared", "", 1, &["no WebAssembly module"]);
    fails("hostile/table", "", 1, &["elements of tables"]);
    fails("hostile/exchange", "", 1, &["more than 4 pages", "memory.maxPages"]);
    fails("hostile/output", "", 1, &["output_set"]);
    fails("hostile/variables", "", 1, &["more than 4096 bytes", "memory.maxVarBytes"]);
    with("hostile/silent", "").fails(1, "p");
    let world = with("hostile/variables", "memory: {maxVarBytes: 4097}");
    assert!(world.fails(1, "p").stderr.contains("gave no answer"), "a byte less fits");
    fails("hostile/variables", "memory: {maxVarBytes: 0}", 1, &["more than 0 bytes"]);
}

#[test]
fn w4_a_flood_fills_nothing() {
    let ran = fails("hostile/log", "", 1, &["says too much", "unreachable"]);
    assert!(ran.stderr.len() < 8 << 20, "{}", ran.stderr.len());
    // A command's streams are ours, as a program's are; another plugin's go nowhere but for the end of what it says.
    let world = World::new();
    place(&world, "p", "test/v1", &module("hostile/flood"), "");
    let ran = world.fails(1, "plugin exec p");
    assert_eq!(ran.stdout, "");
    assert!(ran.stderr.len() < 1 << 20, "{}", ran.stderr.len());
}

#[test]
fn w5_only_what_the_host_sets_is_in_the_environment() {
    let mut world = with("environment", "");
    world.set("SECRET", "hunter2").set("AWS_SECRET_ACCESS_KEY", "hunter2");
    let ran = world.ok("p argument");
    let variables: Vec<&str> = ran.stdout.split('\0').collect();
    for expected in ["TOOL_PLUGIN_NAME=p", "HELM_PLUGIN_NAME=p", "TOOL_DEBUG=false"] {
        assert!(variables.contains(&expected), "{expected} {variables:?}");
    }
    for variable in variables.iter().filter(|variable| !variable.is_empty()) {
        assert!(variable.starts_with("TOOL_") || variable.starts_with("HELM_"), "{variable}");
    }
    assert_eq!(ran.stderr.trim_end_matches('\0'), "p");
}

#[test]
fn w6_only_allowed_hosts_are_called_at_every_hop() {
    let other = Server::start(|_, to| answer(to, "200 OK", &[], b"other"));
    let away = other.url("/");
    let server = Server::start(move |request, to| match request.target.as_str() {
        "/ok" => answer(to, "200 OK", &[("X-Seen", "yes")], b"fine"),
        "/away" => answer(to, "302 Found", &[("Location", &away)], b""),
        "/near" => answer(to, "301 Moved Permanently", &[("Location", "/ok")], b""),
        "/round" => answer(to, "307 Temporary Redirect", &[("Location", "/round")], b""),
        "/missing" => answer(to, "404 Not Found", &[], b"gone"),
        _ => answer(to, "200 OK", &[], &[b'a'; 5000]),
    });
    let fetch = |url: &str, config: &str| {
        let world = with("fetch", &format!("config: {{request: '{{\"url\": \"{url}\"}}'}}, {config}"));
        world.tool(["p"])
    };
    let allowed = "allowedHosts: [127.0.0.1]";
    assert_eq!(fetch(&server.url("/ok"), allowed).stdout, "200 fine");
    assert_eq!(fetch(&server.url("/near"), allowed).stdout, "200 fine");
    assert_eq!(fetch(&server.url("/missing"), allowed).stdout, "404 gone");
    let headers = with(
        "fetch",
        &format!(
            "config: {{request: '{{\"url\": \"{}\", \"method\": \"get\", \"headers\": {{}}}}', show: headers}}, {allowed}",
            server.url("/ok")
        ),
    );
    let ran = headers.ok("p");
    assert!(ran.stdout.contains("\"x-seen\":\"yes\""), "{}", ran.stdout);

    let port = server.url("").rsplit(':').next().unwrap().trim_end_matches('/').to_owned();
    assert_eq!(fetch(&server.url("/ok"), &format!("allowedHosts: ['127.0.0.1:{port}']")).stdout, "200 fine");
    let here = format!("allowedHosts: ['127.0.0.1:{port}']");
    for (url, config) in [
        (server.url("/away"), here.as_str()),
        (server.url("/ok"), ""),
        (server.url("/ok"), "allowedHosts: []"),
        (server.url("/ok"), "allowedHosts: [localhost]"),
        (server.url("/ok"), "allowedHosts: ['127.0.0.1:1']"),
        (server.url("/ok").replace("127.0.0.1", "localhost"), allowed),
        (server.url("/ok").replace("http://", "http://example.com@"), "allowedHosts: [example.com]"),
        ("http://[::1]:1/".to_owned(), allowed),
    ] {
        let ran = fetch(&url, config);
        assert!(ran.code == 1 && ran.stderr.contains("may not call"), "{url} {config}: {}", ran.stderr);
        assert!(ran.stderr.contains("allowedHosts"), "{}", ran.stderr);
    }
    assert_eq!(other.requests().len(), 0, "nobody was asked");
    let ran = fetch("file:///etc/passwd", "allowedHosts: ['*']");
    assert!(ran.code == 1 && ran.stderr.contains("http and https alone"), "{}", ran.stderr);
    assert!(fetch(&server.url("/round"), allowed).stderr.contains("more than 10 times"));
    let ran = fetch(&server.url("/large"), allowed);
    assert!(ran.code == 1 && ran.stderr.contains("more than 4096 bytes") && ran.stderr.contains("maxHttpResponseBytes"));
    assert_eq!(fetch(&server.url("/large"), &format!("{allowed}, memory: {{maxHttpResponseBytes: 5000}}")).code, 0);

    // A pattern that nobody can understand is an error before anything runs.
    let world = with("cli", "allowedHosts: ['[', 'https://example.com']");
    let ran = world.fails(1, "p");
    assert!(ran.stderr.contains("allowedHosts") && ran.stderr.contains("names no host"), "{}", ran.stderr);
    world.fails(1, &format!("plugin lint {}", world.plugins().join("p").display()));
}

#[test]
fn w6_credentials_stay_with_their_origin() {
    let other = Server::start(|_, to| answer(to, "200 OK", &[], b"there"));
    let away = other.url("/");
    let server = Server::start(move |_, to| answer(to, "302 Found", &[("Location", &away)], b""));
    let request = format!(
        "{{\"url\": \"{}\", \"headers\": {{\"Authorization\": \"Bearer x\", \"X-Token\": \"x\", \"Accept\": \"text/plain\"}}}}",
        server.url("/")
    );
    let world = with("fetch", &format!("config: {{request: '{request}'}}, allowedHosts: [127.0.0.1]"));
    assert_eq!(world.ok("p").stdout, "200 there");
    let seen = |server: &Server, name: &str| server.requests()[0].header(name).map(str::to_owned);
    assert_eq!(seen(&server, "authorization").as_deref(), Some("Bearer x"));
    assert_eq!((seen(&other, "authorization"), seen(&other, "x-token")), (None, None));
    assert_eq!(seen(&other, "accept").as_deref(), Some("text/plain"));
}

#[test]
fn w7_the_temporary_directory_is_private_and_goes() {
    let world = with("hostile/escape", "fileSystem: {createTempDir: true}");
    fs::write(world.root().join("outside"), "secret").unwrap();
    let before = world.snapshot(world.root());
    assert_eq!(world.ok("p").stdout, "ynnnnnnnnnnnnn");
    let mut after = world.snapshot(world.root());
    after.retain(|path, _| !path.contains(".cache"));
    assert_eq!(after, before, "nothing is left, and nothing has changed");
    // Without it there is no file at all.
    let world = with("hostile/escape", "");
    assert_eq!(world.ok("p").stdout, "nnnnnnnnnnnnnn");
}

#[test]
fn w7_an_interrupt_takes_the_temporary_directory_along() {
    let world = with("hostile/loop", "fileSystem: {createTempDir: true}");
    let temporary = || {
        let entries = fs::read_dir(world.root()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        entries.filter(|name| name.starts_with(".plugsmith-")).count()
    };
    let mut child = world.command(["p"]).spawn().unwrap();
    while temporary() == 0 {
        assert!(child.try_wait().unwrap().is_none());
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert!(std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(temporary(), 0);
}

#[test]
fn no_program_comes_along_with_a_module() {
    let world = with("cli", "");
    let dir = world.plugins().join("p");
    fs::write(dir.join("completion.yaml"), "validArgs: [written]\n").unwrap();
    fs::write(dir.join("plugin.complete"), "#!/bin/sh\ntouch ran\necho called\n").unwrap();
    fs::set_permissions(dir.join("plugin.complete"), fs::Permissions::from_mode(0o755)).unwrap();
    let offered = world.tool(["__complete", "p", ""]).stdout;
    assert!(offered.contains("written") && !offered.contains("called"), "{offered}");
    assert!(!world.path("ran").exists());
}

#[test]
fn w8_a_host_function_that_nobody_has_is_refused() {
    let world = with("cli", "hostFunctions: [launch]");
    let ran = world.fails(1, "p");
    assert!(ran.stderr.contains("`launch`") && ran.stderr.contains("host function"), "{}", ran.stderr);
    assert_eq!(world.ok("plugin list -o json").json()[0]["status"], "broken");
    let dir = world.path("q");
    fs::rename(world.plugins().join("p"), &dir).unwrap();
    let ran = world.fails(1, "plugin install q");
    assert!(ran.stderr.contains("`launch`"), "{}", ran.stderr);
    world.ok("plugin package q --sign=false");
    world.fails(1, "plugin install p-1.0.0.tgz --verify=false");
    fails("function", "", 1, &["`shout`", "hostFunctions"]);
    fails("hostile/import", "", 1, &["`system`", "`env`"]);
    fails("hostile/entry", "", 1, &["`helm_plugin_main`", "`run`", "entryFuncName"]);
}

#[test]
fn w11_what_is_no_module_is_refused() {
    let good = module("cli");
    for bad in [&b""[..], b"\0as", b"garbage", &good[..8], &good[..good.len() / 2], b"(module)", &[0; 100_000]] {
        let world = World::new();
        place(&world, "p", "cli/v1", bad, "");
        let ran = world.fails(1, "p");
        assert!(ran.stderr.contains("plugin.wasm") || ran.stderr.contains("helm_plugin_main"), "{}", ran.stderr);
        assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
    }
    let mut flipped = good.clone();
    for at in (8..good.len()).step_by(7) {
        flipped[at] ^= 0x55;
    }
    let world = World::new();
    place(&world, "p", "cli/v1", &flipped, "");
    world.fails(1, "p");
    // A file of a terabyte without a byte on disk.
    let file = fs::File::create(world.plugins().join("p/plugin.wasm")).unwrap();
    file.set_len(1 << 40).unwrap();
    let ran = world.fails(1, "p");
    assert!(ran.stderr.contains("no module may be larger"), "{}", ran.stderr);
    fs::remove_file(world.plugins().join("p/plugin.wasm")).unwrap();
    let ran = world.fails(1, "p");
    assert!(ran.stderr.contains("wasm binary missing"), "{}", ran.stderr);
}

#[test]
fn the_second_call_compiles_nothing() {
    let world = with("cli", "");
    let compiled = |world: &World| {
        let ran = world.ok("--debug p");
        assert!(ran.stderr.contains("of plugin `p` was"), "{}", ran.stderr);
        ran.stderr.contains("was compiled")
    };
    assert_eq!([compiled(&world), compiled(&world), compiled(&world)], [true, false, false]);
    let cache = world.root().join("home/.cache/tool/wasm");
    assert_eq!(fs::metadata(&cache).unwrap().permissions().mode() & 0o777, 0o700);
    // Another module is compiled; the first one is still there.
    place(&world, "p", "cli/v1", &module("hostile/null"), "");
    assert_eq!([compiled(&world), compiled(&world)], [true, false]);
    place(&world, "p", "cli/v1", &module("cli"), "");
    assert!(!compiled(&world));
    // Whoever can write there could put code there.
    fs::set_permissions(&cache, fs::Permissions::from_mode(0o777)).unwrap();
    assert!(compiled(&world) && compiled(&world));
    assert!(world.ok("p").stderr.contains("chmod go-w"));
    fs::set_permissions(&cache, fs::Permissions::from_mode(0o700)).unwrap();
    // Broken entries are made anew; a place that cannot be used is done without.
    for entry in walkdir::WalkDir::new(&cache).into_iter().map(Result::unwrap).filter(|entry| entry.file_type().is_file()) {
        fs::write(entry.path(), "garbage").unwrap();
    }
    assert_eq!([compiled(&world), compiled(&world)], [true, false]);
    // Several first calls at once.
    place(&world, "p", "cli/v1", &module("config"), "config: {answer: '7'}, entryFuncName: other_main");
    let calls: Vec<_> = (0..6).map(|_| world.command(["p"]).stdout(std::process::Stdio::piped()).spawn().unwrap()).collect();
    for call in calls {
        assert_eq!(Ran::of(call.wait_with_output().unwrap()).stdout, "7\n");
    }
    assert!(!compiled(&world));
    let mut world = world;
    let blocked = world.write("file", "").join("cache");
    world.set("TOOL_CACHE_HOME", blocked.to_str().unwrap());
    assert!(compiled(&world));
    assert!(!world.ok("--quiet p").stderr.contains("compiled modules"));
}

#[test]
fn what_was_checked_is_what_is_run() {
    let world = World::new();
    let dir = world.path("p");
    place(&world, "p", "cli/v1", &module("cli"), "");
    fs::rename(world.plugins().join("p"), &dir).unwrap();
    world.ok("plugin install p --copy");
    assert_eq!(world.ok("p").stdout, "{\"extraArgs\":[]}\n");
    let installed = world.plugins().join("p/plugin.wasm");
    fs::write(&installed, module("hostile/trap")).unwrap();
    let ran = world.fails(3, "p");
    assert!(ran.stderr.contains("plugin.wasm"), "{}", ran.stderr);
    assert!(Path::new(&installed).is_file());
}

#[test]
fn w8_an_embedding_program_offers_functions_of_its_own() {
    let world = World::new();
    place(&world, "p", "test/v1", &module("function"), "hostFunctions: [shout]");
    let host =
        Host::new("acme", semver::Version::new(1, 0, 0)).runner(plugsmith_wasm::Wasmtime).host_function("shout", |input| {
            let told: TestInput = serde_json::from_slice(input).map_err(|error| error.to_string())?;
            if told.name.is_empty() {
                return Err("nobody to shout at".to_owned());
            }
            Ok(serde_json::json!({"Greeting": format!("{}!", told.name.to_uppercase())}).to_string().into_bytes())
        });
    let home = |name: &str| ChosenDirectory { path: world.root().join(name), origin: SettingOrigin::Default };
    let homes = Homes {
        data: home("data"),
        cache: home("cache"),
        config: home("config"),
        plugins: vec![world.plugins()],
        plugins_origin: SettingOrigin::Default,
    };
    let plugin = Store::open(&host, &homes, Limits::default()).open_plugin("p", GateMode::Require).unwrap();
    let environment = Environment::new(&host, &homes, false);
    let greet = |name| plugin.invoke(InvokeInput::Test { name }, &environment, &NoReport);
    assert!(matches!(greet("Ann"), Ok(InvokeOutput::Test(greeting)) if greeting == "ANN!"));
    let Err(InvokeError::Wasm { source, .. }) = greet("") else { panic!() };
    assert_eq!(source.to_string(), "the host function `shout` failed: nobody to shout at");
    // The right question, or none.
    let asked = plugin.invoke(InvokeInput::Cli { args: &[], process: ProcessMode::Wait }, &environment, &NoReport);
    assert!(matches!(asked, Err(InvokeError::NotACommand { .. })));
    // Two calls at once do not get into each other's way.
    std::thread::scope(|scope| {
        let calls: Vec<_> = ["a", "b", "c"].map(|name| scope.spawn(move || greet(name))).into();
        for (call, expected) in calls.into_iter().zip(["A!", "B!", "C!"]) {
            assert!(matches!(call.join().unwrap(), Ok(InvokeOutput::Test(greeting)) if greeting == expected));
        }
    });
    // A function that takes and gives something else.
    let odd = r#"(module (import "extism:host/user" "shout" (func (param i32))) (func (export "helm_plugin_main")))"#;
    place(&world, "p", "test/v1", &wat::parse_str(odd).unwrap(), "hostFunctions: [shout]");
    let Err(InvokeError::Wasm { source, .. }) = greet("") else { panic!() };
    assert!(source.to_string().contains("at most one i64"), "{source}");
}

/// A module as Extism's plug-in kit for Go makes them: needs Go and its module proxy, so only with `PLUGSMITH_PEERS=1`.
#[test]
fn w10_a_module_in_go_runs() {
    if !peers::wanted("a module in Go") || !peers::has("go") {
        return;
    }
    let world = World::new();
    let built = world.path("go.wasm");
    let go = std::process::Command::new("go")
        .args(["build", "-buildmode=c-shared", "-o"])
        .arg(&built)
        .arg(".")
        .current_dir(repository("testdata/wasm/go"))
        .envs([("GOOS", "wasip1"), ("GOARCH", "wasm")])
        .status()
        .unwrap();
    assert!(go.success());
    let module = fs::read(&built).unwrap();
    place(&world, "p", "cli/v1", &module, "");
    let ran = world.fails(1, "p a b");
    assert!(ran.stderr.contains("pages") && ran.stderr.contains("memory.maxPages"), "4 pages do for no Go: {}", ran.stderr);
    let config = "memory: {maxPages: 256}, config: {greeting: hello}, fileSystem: {createTempDir: true}";
    place(&world, "p", "cli/v1", &module, config);
    let ran = world.ok("p a b");
    assert_eq!(ran.stdout, "on standard output\nhello [a b] noted p\n");
    assert!(ran.stderr.contains("p: a warning"), "{}", ran.stderr);
    let ran = world.fails(3, "p fail");
    assert!(ran.stderr.contains("told to fail"), "{}", ran.stderr);
}
