#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::*;
use crate::host::{ChosenDirectory, Homes, Host, SettingOrigin};
use crate::manifest::{self, Metadata};
use crate::report::NoReport;
use crate::runtime::invoke::invoke;
use crate::runtime::{
    Confinement, GetterRequest, HookError, HookEvent, HookOutcome, InvokeInput, InvokeOutput, ProcessMode, StdoutUse,
    run_hook,
};
use crate::settings::{HookEnvironment, HookSettings, Sandbox};

/// A plugin in a directory whose name has a space.
struct Fixture {
    dir: tempfile::TempDir,
    metadata: Metadata,
    host: Host,
}

impl Fixture {
    fn new(manifest: &str) -> Self {
        let metadata = manifest::parse(manifest.as_bytes(), Path::new("plugin.yaml")).unwrap();
        let dir = tempfile::Builder::new().prefix("a plugin ").tempdir().unwrap();
        Self { dir, metadata, host: Host::tool() }
    }

    fn v1(runtime_config: &str) -> Self {
        Self::new(&format!(
            "apiVersion: v1\nname: p\nversion: 1.0.0\ntype: cli/v1\nruntime: subprocess\nconfig: {{}}\nruntimeConfig:\n{runtime_config}"
        ))
    }

    fn file(&self, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    fn environment(&self) -> Environment<'_> {
        let home = |path: &str| ChosenDirectory { path: path.into(), origin: SettingOrigin::Default };
        let homes = Homes {
            data: home("/d"),
            cache: home("/c"),
            config: home("/k"),
            plugins: vec![self.dir.path().into()],
            plugins_origin: SettingOrigin::Default,
        };
        Environment::new(&self.host, &homes, false)
    }

    fn run(&self, args: &[&str]) -> Result<(), InvokeError> {
        let args: Vec<OsString> = args.iter().map(OsString::from).collect();
        let input = InvokeInput::Cli { args: &args, process: ProcessMode::Wait };
        invoke(self.target(), input, &self.environment(), &NoReport).map(drop)
    }

    fn hook(&self, event: HookEvent, limit: Duration) -> Result<HookOutcome, HookError> {
        let settings = HookSettings { timeout: limit, sandbox: Sandbox::Off, ..HookSettings::default() };
        run_hook(self.target(), event, &self.environment(), &settings, StdoutUse::Text)
    }

    fn target(&self) -> RunTarget<'_> {
        RunTarget { metadata: &self.metadata, dir: self.dir.path(), allowlist: None }
    }

    /// What the plugin wrote into its file `out`.
    fn out(&self) -> String {
        fs::read_to_string(self.dir.path().join("out")).unwrap()
    }
}

const RECORD: &str = "#!/bin/sh\n{ echo \"$HELM_PLUGIN_NAME|$TOOL_DEBUG\"; for a in \"$@\"; do echo \"[$a]\"; done; } > \"$TOOL_PLUGIN_DIR/out\"\nexit ${CODE:-0}\n";

/// The start error of an invocation, as text.
fn start_text(error: &InvokeError) -> String {
    std::error::Error::source(error).unwrap().to_string()
}

#[test]
fn s_arguments_follow_the_manifests_own_and_the_environment_is_expanded() {
    let fixture = Fixture::v1(
        "  platformCommand: [{command: '${HELM_PLUGIN_DIR}/run a  $HELM_PLUGIN_NAME', args: [$TOOL_DEBUG, $1x, $$]}]",
    );
    fixture.file("run", RECORD, 0o755);
    fixture.run(&["user $HOME", ""]).unwrap();
    assert_eq!(fixture.out(), "p|false\n[a]\n[]\n[p]\n[false]\n[x]\n[]\n[user $HOME]\n[]\n");
}

#[test]
fn s_ignore_flags_drops_the_users_arguments() {
    let fixture = Fixture::new("name: p\nversion: 1.0.0\nignoreFlags: true\ncommand: $HELM_PLUGIN_DIR/run a\n");
    fixture.file("run", RECORD, 0o755);
    fixture.run(&["b", "--c"]).unwrap();
    assert_eq!(fixture.out(), "p|false\n[a]\n");
}

#[test]
fn s_a_mebibyte_of_arguments_arrives() {
    let fixture = Fixture::v1("  platformCommand: [{command: $HELM_PLUGIN_DIR/run}]");
    fixture.file("run", "#!/bin/sh\necho $# > \"$HELM_PLUGIN_DIR/out\"\n", 0o755);
    let long = "x".repeat(1 << 16);
    fixture.run(&[long.as_str(); 16]).unwrap();
    assert_eq!(fixture.out(), "16\n");
}

#[test]
fn s_exit_codes_and_signals_are_told_apart() {
    let fixture = Fixture::v1("  platformCommand: [{command: sh, args: [-c, exit 37]}]");
    assert!(matches!(fixture.run(&[]), Err(InvokeError::Exit { code: 37, .. })));
    // `$$` would be expanded to nothing.
    let fixture = Fixture::v1("  platformCommand: [{command: '${HELM_PLUGIN_DIR}/run'}]");
    fixture.file("run", "#!/bin/sh\nkill -TERM $$\n", 0o755);
    assert!(matches!(fixture.run(&[]), Err(InvokeError::Signal { signal: 15, .. })));
}

#[test]
fn s_plugins_start_with_the_default_for_broken_pipes() {
    let fixture = Fixture::v1("  platformCommand: [{command: '${HELM_PLUGIN_DIR}/run'}]");
    fixture.file("run", "#!/bin/sh\nyes | head -n 1 > \"$HELM_PLUGIN_DIR/out\"\nkill -PIPE $$\n", 0o755);
    assert!(matches!(fixture.run(&[]), Err(InvokeError::Signal { signal: 13, .. })));
}

#[test]
fn every_reason_not_to_start_names_the_file_and_the_mend() {
    let fixture = Fixture::v1("  platformCommand: [{command: '${HELM_PLUGIN_DIR}/run'}]");
    let run = fixture.dir.path().join("run");
    let shown = run.display().to_string();
    let expect = |mend: &str| {
        let text = start_text(&fixture.run(&[]).unwrap_err());
        assert!(text.contains(&shown) && text.contains(mend), "{text}");
    };
    expect("there is no program");
    fixture.file("run", RECORD, 0o644);
    expect("chmod +x");
    fixture.file("run", "echo hello\n", 0o755);
    expect("#!");
    fixture.file("run", "", 0o755);
    expect("is empty");
    fixture.file("run", "#!/no/such/interpreter -x\n", 0o755);
    expect("/no/such/interpreter");
    fixture.file("run", "#!/bin/sh\r\necho\r\n", 0o755);
    expect("Unix line ends");
    fixture.file("run", "\u{1}\0\u{2}not an executable", 0o755);
    expect("not a program for this system");
    fs::remove_file(&run).unwrap();
    fs::create_dir(&run).unwrap();
    expect("is not a file");

    let fixture = Fixture::v1("  platformCommand: [{command: no-such-program-anywhere}]");
    let text = start_text(&fixture.run(&[]).unwrap_err());
    assert!(text.contains("`no-such-program-anywhere` on PATH"), "{text}");
    let fixture = Fixture::v1("  platformCommand: [{os: plan9, command: x}]");
    assert!(matches!(fixture.run(&[]), Err(InvokeError::Prepare { .. })));
}

#[test]
fn getters_are_no_commands_unless_they_are_both() {
    let downloaders = "downloaders: [{command: get, protocols: [s3]}]";
    let fixture = Fixture::new(&format!("name: p\nversion: 1.0.0\n{downloaders}\n"));
    assert!(matches!(fixture.run(&[]), Err(InvokeError::NotACommand { .. })));
    let fixture = Fixture::new(&format!("name: p\nversion: 1.0.0\ncommand: $HELM_PLUGIN_DIR/run\n{downloaders}\n"));
    fixture.file("run", RECORD, 0o755);
    fixture.run(&["m9"]).unwrap();
    assert_eq!(fixture.out(), "p|false\n[m9]\n");
}

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn hooks_expand_what_their_form_expands() {
    // The text of a legacy hook goes to the shell as it is.
    let legacy = Fixture::new(
        "name: p\nversion: 1.0.0\nhooks:\n  install: 'cd \"$HELM_PLUGIN_DIR\" && echo \"$HELM_PLUGIN_NAME $((1+1)) $PWD\" > out'\n",
    );
    assert_eq!(legacy.hook(HookEvent::Install, MINUTE).unwrap(), HookOutcome::Ran(Confinement::Off));
    assert_eq!(legacy.out(), format!("p 2 {}\n", legacy.dir.path().canonicalize().unwrap().display()));
    assert_eq!(legacy.hook(HookEvent::Delete, MINUTE).unwrap(), HookOutcome::None);

    let hook = "[{command: $HELM_PLUGIN_DIR/run, args: [$HELM_PLUGIN_NAME]}]";
    let platform = Fixture::new(&format!("name: p\nversion: 1.0.0\nplatformHooks: {{update: {hook}}}\n"));
    platform.file("run", RECORD, 0o755);
    platform.hook(HookEvent::Update, MINUTE).unwrap();
    assert_eq!(platform.out(), "p|false\n[p]\n");

    let v1 = Fixture::v1(&format!("  platformHooks: {{delete: {hook}, odd: [{{command: x}}]}}"));
    v1.file("run", RECORD, 0o755);
    v1.hook(HookEvent::Delete, MINUTE).unwrap();
    assert_eq!(v1.out(), "p|false\n[$HELM_PLUGIN_NAME]\n");
}

#[test]
fn a_failing_hook_keeps_its_exit_code() {
    let fixture = Fixture::new("name: p\nversion: 1.0.0\nhooks: {install: exit 7, update: kill -9 $$}\n");
    let error = fixture.hook(HookEvent::Install, MINUTE).unwrap_err();
    assert_eq!(error.code(), Some(7));
    assert!(error.to_string().contains("exit code 7"));
    assert!(matches!(fixture.hook(HookEvent::Update, MINUTE), Err(HookError::Signal { signal: 9, .. })));
    let elsewhere = Fixture::v1("  platformHooks: {install: [{os: plan9, command: x}]}");
    assert!(matches!(elsewhere.hook(HookEvent::Install, MINUTE), Err(HookError::Prepare { .. })));
}

#[test]
fn a_hook_sees_what_the_settings_let_it_see() {
    let fixture = Fixture::new(
        "name: p\nversion: 1.0.0\nhooks: {install: 'echo \"$CARGO_MANIFEST_DIR|$HELM_PLUGIN_NAME|$PATH\" > \"$HELM_PLUGIN_DIR/out\"'}\n",
    );
    let settings = HookSettings { environment: HookEnvironment::Clean, ..HookSettings::default() };
    run_hook(fixture.target(), HookEvent::Install, &fixture.environment(), &settings, StdoutUse::Text).unwrap();
    assert_eq!(fixture.out(), format!("|p|{}\n", std::env::var("PATH").unwrap()));
}

#[cfg(target_os = "linux")]
#[test]
fn a_hook_that_takes_too_long_ends_with_all_that_it_started() {
    let script = "cd \"$HELM_PLUGIN_DIR\"; (sleep 300 & echo $! >> pids); sleep 300 & echo $! >> pids; sh -c 'echo $$ >> pids; sleep 300; :'";
    let fixture = Fixture::new(&format!("name: p\nversion: 1.0.0\nhooks:\n  install: |\n    {script}\n"));
    let start = Instant::now();
    let limit = Duration::from_millis(700);
    let error = fixture.hook(HookEvent::Install, limit).unwrap_err();
    assert!(matches!(error, HookError::TimedOut { .. }) && error.to_string().contains("0.7s"), "{error}");
    assert!(start.elapsed() < Duration::from_secs(20));
    let pids = fs::read_to_string(fixture.dir.path().join("pids")).unwrap();
    assert_eq!(pids.lines().count(), 3);
    for pid in pids.lines() {
        let gone = || match fs::read_to_string(format!("/proc/{pid}/stat")) {
            Ok(stat) => stat.contains(") Z "),
            Err(_) => true,
        };
        let until = Instant::now() + Duration::from_secs(5);
        while !gone() {
            assert!(Instant::now() < until, "process {pid} lives on");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// A getter with these protocol commands, as a flow sequence.
fn getter(protocol_commands: &str) -> Fixture {
    Fixture::new(&format!(
        "apiVersion: v1\nname: p\nversion: 1.0.0\ntype: getter/v1\nruntime: subprocess\nconfig: {{protocols: [s3, gs]}}\nruntimeConfig: {protocol_commands}\n"
    ))
}

fn request(url: &str) -> GetterRequest {
    GetterRequest { url: url.to_owned(), max_bytes: 1 << 30, ..GetterRequest::default() }
}

fn get(fixture: &Fixture, request: &GetterRequest) -> Result<Vec<u8>, InvokeError> {
    let mut into = Vec::new();
    let input = InvokeInput::Getter { request, into: &mut into };
    let InvokeOutput::Getter(length) = invoke(fixture.target(), input, &fixture.environment(), &NoReport)? else { panic!() };
    assert_eq!(length, into.len() as u64);
    Ok(into)
}

const TELL: &str = "#!/bin/sh\nfor a in \"$@\"; do echo \"[$a]\"; done\necho \"$HELM_PLUGIN_USERNAME|$TOOL_PLUGIN_PASSWORD|$HELM_PLUGIN_PASS_CREDENTIALS_ALL\"\nls -a | wc -l\n";

#[test]
fn s_a_getter_gets_cert_key_ca_and_url_after_its_own_arguments() {
    let commands = "{protocolCommands: [{protocols: [gs], platformCommand: [{command: no}]}, {protocols: [x, S3], platformCommand: [{command: bin/get $HELM_PLUGIN_NAME, args: [b]}]}, {protocols: [s3], platformCommand: [{command: no}]}]}";
    let fixture = getter(commands);
    fs::create_dir(fixture.dir.path().join("bin")).unwrap();
    fixture.file("bin/get", TELL, 0o755);
    let out = |request: &GetterRequest| String::from_utf8(get(&fixture, request).unwrap()).unwrap();
    // Not expanded, and in a directory that holds nothing but itself and its parent.
    assert_eq!(out(&request("s3://b/k?x=1")), "[$HELM_PLUGIN_NAME]\n[b]\n[]\n[]\n[]\n[s3://b/k?x=1]\n||false\n2\n");
    let full = GetterRequest {
        cert_file: Some("/c".into()),
        key_file: Some("/k".into()),
        ca_file: Some("/a".into()),
        username: Some("me".to_owned()),
        password: Some("secret".to_owned()),
        pass_credentials_all: true,
        ..request("s3://b")
    };
    assert_eq!(out(&full), "[$HELM_PLUGIN_NAME]\n[b]\n[/c]\n[/k]\n[/a]\n[s3://b]\nme|secret|true\n2\n");
    assert!(matches!(get(&fixture, &request("gs://b")), Err(InvokeError::Start { .. })));
    assert!(matches!(get(&fixture, &request("ftp://b")), Err(InvokeError::NoSuchScheme { .. })));
}

#[test]
fn s_a_getters_program_may_be_absolute_or_its_only_command() {
    for config in [
        "{protocolCommands: [{protocols: [s3], platformCommand: [{command: '${HELM_PLUGIN_DIR}/get'}]}]}",
        "{platformCommand: [{command: '${HELM_PLUGIN_DIR}/get'}]}",
        "{platformCommand: [{command: get}]}",
    ] {
        let fixture = getter(config);
        fixture.file("get", "#!/bin/sh\necho content\n", 0o755);
        assert_eq!(get(&fixture, &request("s3://x")).unwrap(), b"content\n", "{config}");
    }
}

#[test]
fn a_getter_that_fails_floods_or_hangs_is_an_error() {
    let fixture = getter("{platformCommand: [{command: get}]}");
    fixture.file("get", "#!/bin/sh\necho half\nexit 22\n", 0o755);
    assert!(matches!(get(&fixture, &request("s3://x")), Err(InvokeError::Exit { code: 22, .. })));
    fixture.file("get", "#!/bin/sh\nyes\n", 0o755);
    let small = GetterRequest { max_bytes: 1 << 20, ..request("s3://x") };
    assert!(matches!(get(&fixture, &small), Err(InvokeError::TooMuch { .. })));
    fixture.file("get", "#!/bin/sh\nsleep 300\n", 0o755);
    let short = GetterRequest { timeout: Some(Duration::from_millis(300)), ..request("s3://x") };
    assert!(matches!(get(&fixture, &short), Err(InvokeError::TimedOut { .. })));
}

/// What a post-renderer with this script makes of `document`.
fn render(script: &str, args: &[&str], document: &[u8]) -> Result<Vec<u8>, InvokeError> {
    use std::io::{Read as _, Write as _};
    let fixture = Fixture::new(
        "apiVersion: v1\nname: p\nversion: 1.0.0\ntype: postrenderer/v1\nruntime: subprocess\nruntimeConfig: {platformCommand: [{command: $HELM_PLUGIN_DIR/run, args: [own]}]}\n",
    );
    fixture.file("run", &format!("#!/bin/sh\n{script}\n"), 0o755);
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(document).unwrap();
    let args: Vec<OsString> = args.iter().map(OsString::from).collect();
    let mut result = Vec::new();
    let input = InvokeInput::PostRenderer { args: &args, document: &file };
    let output = invoke(fixture.target(), input, &fixture.environment(), &NoReport)?;
    let InvokeOutput::PostRenderer(mut rendered) = output else { panic!("{output:?}") };
    rendered.read_to_end(&mut result).unwrap();
    Ok(result)
}

#[test]
fn s_a_post_renderer_reads_and_writes_at_once() {
    assert_eq!(render("sed s/a/b/; echo \"$@\"", &["x y"], b"a: 1\n").unwrap(), b"b: 1\nown x y\n");
    let large = b"0123456789abcde\n".repeat(1 << 18);
    assert_eq!(render("cat", &[], &large).unwrap(), large);
    // One that reads nothing, and one that stops in the middle.
    assert_eq!(render("echo done", &[], &large).unwrap(), b"done\n");
    assert_eq!(render("head -c 1", &[], &large).unwrap(), b"0");
    assert_eq!(render("cat", &[], b"").unwrap(), b"");
}

#[test]
fn s_a_post_renderer_that_fails_is_heard() {
    let error = render("echo \"bad $(printf 'thing\\033[1m')\" >&2; echo more >&2; exit 5", &[], b"a").unwrap_err();
    assert!(matches!(error, InvokeError::Exit { code: 5, .. }));
    assert_eq!(error.to_string(), "plugin `p` exited with code 5; it said:\n  bad thing\\u{1b}[1m\n  more");
    let error = render("cat >/dev/null; echo why >&2", &[], b"a").unwrap_err();
    assert!(matches!(&error, InvokeError::EmptyResult { .. }) && error.to_string().ends_with("why"), "{error}");
    let loud = render("yes | head -c 10000000 >&2; exit 1", &[], b"a");
    assert!(matches!(loud, Err(InvokeError::Exit { .. })));
    let fixture = Fixture::v1("  platformCommand: [{command: cat}]");
    let document = tempfile::tempfile().unwrap();
    let input = InvokeInput::PostRenderer { args: &[], document: &document };
    let refused = invoke(fixture.target(), input, &fixture.environment(), &NoReport);
    assert!(matches!(refused, Err(InvokeError::NotAPostRenderer { .. })));
    let refused = invoke(fixture.target(), InvokeInput::Test { name: "Ann" }, &fixture.environment(), &NoReport);
    assert!(matches!(refused, Err(InvokeError::NotATest { .. })));
}

#[test]
fn a_test_plugin_greets() {
    let fixture = Fixture::new(
        "apiVersion: v1\nname: p\nversion: 1.0.0\ntype: test/v1\nruntime: subprocess\nruntimeConfig: {platformCommand: [{command: $HELM_PLUGIN_DIR/run}]}\n",
    );
    fixture.file("run", "#!/bin/sh\necho \"Hello, $1!\"\n", 0o755);
    let greet = |environment: &Environment<'_>| {
        invoke(fixture.target(), InvokeInput::Test { name: "Ann Lee" }, environment, &NoReport)
    };
    let environment = fixture.environment();
    assert!(matches!(greet(&environment), Ok(InvokeOutput::Test(greeting)) if greeting == "Hello, Ann Lee!"));
    fixture.file("run", "#!/bin/sh\nexit 3\n", 0o755);
    assert!(matches!(greet(&environment), Err(InvokeError::Exit { code: 3, .. })));
}
