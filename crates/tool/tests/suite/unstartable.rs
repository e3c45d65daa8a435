//! What cannot be started, by every way to a start: it is named for what it is, and none of its bytes reach a shell (case S).

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::support::{Ran, World, peers};

/// A way to the start of a program of plugin `p`.
#[derive(Debug, Clone, Copy)]
enum Way {
    Name,
    Packed,
    Exec,
    Hook,
    Getter,
    PostRender,
    Completion,
    Greeting,
}

const WAYS: [Way; 8] =
    [Way::Name, Way::Packed, Way::Exec, Way::Hook, Way::Getter, Way::PostRender, Way::Completion, Way::Greeting];

impl Way {
    fn manifest(self) -> &'static str {
        match self {
            Self::Name | Self::Packed | Self::Exec | Self::Completion => {
                "name: p\nversion: 1.0.0\ncommand: $HELM_PLUGIN_DIR/run\n"
            }
            Self::Hook => {
                "name: p\nversion: 1.0.0\ncommand: echo\nplatformHooks: {install: [{command: $HELM_PLUGIN_DIR/run}]}\n"
            }
            Self::Getter => "name: p\nversion: 1.0.0\ndownloaders: [{command: run, protocols: [foo]}]\n",
            Self::PostRender => {
                "apiVersion: v1\nname: p\nversion: 1.0.0\ntype: postrenderer/v1\nruntime: subprocess\n\
                 runtimeConfig: {platformCommand: [{command: $HELM_PLUGIN_DIR/run}]}\n"
            }
            Self::Greeting => {
                "apiVersion: v1\nname: p\nversion: 1.0.0\ntype: test/v1\nruntime: subprocess\n\
                 runtimeConfig: {platformCommand: [{command: $HELM_PLUGIN_DIR/run}]}\n"
            }
        }
    }

    /// Lets the program `bytes` of plugin `p` be started in this way.
    fn start(self, world: &World, bytes: &[u8]) -> Ran {
        world.write("p/plugin.yaml", self.manifest());
        for name in ["p/run", "p/plugin.complete"] {
            let path = world.write(name, bytes);
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        match self {
            Self::Packed => {
                world.ok("plugin package p --sign=false");
                world.ok("plugin install p-1.0.0.tgz --verify=false");
                world.tool(["p"])
            }
            Self::Hook => world.tool(["plugin", "install", "p"]),
            _ => {
                world.ok("plugin install p");
                match self {
                    Self::Exec => world.tool(["plugin", "exec", "p"]),
                    Self::Getter => world.tool(["get", "foo://x"]),
                    Self::PostRender => world.tool_with_input(["post-render", "p"], b"a: b\n"),
                    Self::Completion => world.tool(["__complete", "p", ""]),
                    Self::Greeting => world.tool(["plugin", "exec", "p", "Ann"]),
                    Self::Name | Self::Packed | Self::Hook => world.tool(["p"]),
                }
            }
        }
    }
}

/// The head of a program of ELF for the machine of this number.
fn elf(machine: u8) -> Vec<u8> {
    let mut head = vec![0; 64];
    head[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    (head[16], head[18]) = (2, machine);
    head
}

fn utf16(text: &str) -> Vec<u8> {
    [0xff, 0xfe].into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes)).collect()
}

#[test]
fn s_what_cannot_be_started_is_named_and_never_read_by_a_shell() {
    let here = if cfg!(target_arch = "aarch64") { 183 } else { 62 };
    let not_here = "not a program for this system";
    let kinds: [(&str, Vec<u8>, &str, &str); 13] = [
        ("another machine's", elf(243), not_here, "Linux on riscv64"),
        ("a damaged one", elf(here), not_here, "damaged"),
        ("Windows'", b"MZ\0\0".to_vec(), not_here, "Windows"),
        ("Apple's", b"\xcf\xfa\xed\xfe\x0c\0\0\x01".to_vec(), not_here, "macOS"),
        ("a Java archive", b"PK\x03\x04\x14\0".to_vec(), not_here, "Java archive"),
        ("a Java class", b"\xca\xfe\xba\xbe\0\0\0\x41".to_vec(), not_here, "Java class"),
        ("UTF-16", utf16("#!/bin/sh"), not_here, "UTF-16"),
        ("a byte order mark", b"\xef\xbb\xbf#!/bin/sh".to_vec(), not_here, "byte order mark"),
        ("WebAssembly", b"\0asm\x01\0\0\0".to_vec(), not_here, "WebAssembly"),
        ("noise", b"\x01\0\x02".to_vec(), not_here, "no format that is known"),
        ("no first line", b"echo".to_vec(), "without a `#!` line", ""),
        ("an empty first line", b"#! ".to_vec(), "without a `#!` line", ""),
        ("no interpreter", b"#!./run-me".to_vec(), "interpreter `./run-me`", ""),
    ];
    for (kind, head, said, also) in kinds {
        for way in WAYS {
            let world = World::new();
            let canary = world.path("CANARY");
            // An interpreter that is itself of another machine is there in the working directory.
            let foreign = world.write("run-me", elf(243));
            fs::set_permissions(foreign, fs::Permissions::from_mode(0o755)).unwrap();
            let bytes = [head.as_slice(), format!("\ntouch {}\n", canary.display()).as_bytes()].concat();
            let ran = way.start(&world, &bytes);
            assert!(!canary.exists(), "{kind}, {way:?}: a shell read it");
            if matches!(way, Way::Completion) {
                continue;
            }
            assert_eq!(ran.code, 1, "{kind}, {way:?}: {}", ran.stderr);
            assert!(ran.stderr.contains(said) && ran.stderr.contains(also), "{kind}, {way:?}: {}", ran.stderr);
            assert!(!ran.stderr.contains("/proc/self"), "{kind}, {way:?}: {}", ran.stderr);
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn s_a_missing_loader_or_interpreter_is_named() {
    let mut program = fs::read("/bin/true").unwrap();
    let word = |bytes: &[u8], at: usize| usize::try_from(u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())).unwrap();
    let half = |bytes: &[u8], at: usize| usize::from(u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap()));
    let (headers, size, count) = (word(&program, 32), half(&program, 54), half(&program, 56));
    let loader = (0..count).map(|i| headers + i * size).find(|&at| program[at..at + 4] == [3, 0, 0, 0]);
    let at = word(&program, loader.expect("/bin/true has a loader") + 8);
    program[at..at + 17].copy_from_slice(b"/lib/ld-none.so.1");
    program[at + 17] = 0;
    let kinds: [(&[u8], &str); 6] = [
        (&program, "/lib/ld-none.so.1"),
        (b"#!/no/such/interpreter\n", "/no/such/interpreter"),
        (b"#!/usr/bin/env no-such-interpreter\n", "`no-such-interpreter`"),
        (b"#!/usr/bin/env -S no-such-interpreter -x\n", "`no-such-interpreter`"),
        (b"#!/bin/sh\r\necho\r\n", "Unix line ends"),
        (b"#!/usr/bin/env sh\r\necho\r\n", "Unix line ends"),
    ];
    for (bytes, said) in kinds {
        for way in WAYS {
            let ran = way.start(&World::new(), bytes);
            if !matches!(way, Way::Completion) {
                assert_eq!(ran.code, 1, "{way:?}: {}", ran.stderr);
                assert!(ran.stderr.contains(said), "{said}, {way:?}: {}", ran.stderr);
            }
        }
    }
    // An interpreter may lack its loader, too.
    let world = World::new();
    let interpreter = world.write("interpreter", &program);
    fs::set_permissions(&interpreter, fs::Permissions::from_mode(0o755)).unwrap();
    let ran = Way::Name.start(&world, format!("#!{}\n", interpreter.display()).as_bytes());
    assert!(ran.stderr.contains("/lib/ld-none.so.1"), "{}", ran.stderr);
}

/// Where a file system can be mounted without the right to execute: as root, or as root of a user namespace.
#[cfg(target_os = "linux")]
#[test]
fn s_a_file_system_without_execution_is_named_as_such() {
    if !peers::wanted("a file system that is mounted with noexec") {
        return;
    }
    let world = World::new();
    world.plugin("p", "1.0.0");
    world.ok("plugin package p --sign=false");
    let script = "mkdir -p \"$1\" && mount -t tmpfs -o noexec none \"$1\" || exit 77\n\
                  \"$0\" plugin install --verify=false p-1.0.0.tgz; \"$0\" p; \"$0\" plugin doctor";
    let inner = world.command([""]);
    let mut command = std::process::Command::new("unshare");
    command.args(["--map-root-user", "--mount", "sh", "-c", script]).arg(inner.get_program()).arg(world.plugins());
    command.env_clear().envs(inner.get_envs().filter_map(|(key, value)| Some((key, value?)))).current_dir(world.path(""));
    let ran = crate::support::finish(&mut command);
    assert!(ran.stderr.contains("mounted with `noexec`") && !ran.stderr.contains("chmod"), "{}", ran.stderr);
    assert!(ran.stdout.contains("mounted with `noexec`"), "{}", ran.stdout);
}

#[test]
fn s_a_command_starts_with_the_signals_as_ever() {
    let world = World::new();
    let ran = Way::Name.start(&world, b"#!/bin/sh\ncat /proc/self/status; kill -PIPE $$\n");
    assert_eq!(ran.code, 128 + 13, "{}", ran.stderr);
    let signals = |name: &str| {
        let line = ran.stdout.lines().find_map(|line| line.strip_prefix(name));
        line.map_or(0, |set| u64::from_str_radix(set.trim(), 16).unwrap())
    };
    // SIGPIPE, which this program ignores, and no signal held back.
    assert_eq!((signals("SigIgn:") & 1 << 12, signals("SigBlk:")), (0, 0), "{}", ran.stdout);
}

#[test]
fn i_a_program_without_its_execute_bit_is_made_executable_and_told() {
    let lost = "name: p\nversion: 1.0.0\nplatformCommand:\n- {command: $HELM_PLUGIN_DIR/run.sh}\n\
                - {os: plan9, command: '${HELM_PLUGIN_DIR}/bin/other'}\n- {os: windows, command: '$HELM_PLUGIN_DIR\\run.bat'}\n\
                platformHooks: {install: [{command: $HELM_PLUGIN_DIR/hook.sh}]}\n";
    for copy in [false, true] {
        let world = World::new();
        world.write("p/plugin.yaml", lost);
        for name in ["run.sh", "hook.sh", "bin/other", "run.bat", "data.txt"] {
            world.write(&format!("p/{name}"), "#!/bin/sh\necho ran\n");
        }
        world.ok("plugin package p --sign=false");
        let ran =
            world.ok(if copy { "plugin install p --copy --yes" } else { "plugin install p-1.0.0.tgz --verify=false --yes" });
        assert!(ran.stderr.contains("run.sh") && ran.stderr.contains("execute bit"), "{}", ran.stderr);
        assert_eq!(world.ok("p").stdout, "ran\n");
        world.ok("plugin verify p");
        let mode = |name: &str| fs::metadata(world.plugins().join("p").join(name)).unwrap().permissions().mode() & 0o777;
        for (name, expected) in
            [("run.sh", 0o755), ("hook.sh", 0o755), ("bin/other", 0o755), ("run.bat", 0o644), ("data.txt", 0o644)]
        {
            assert_eq!(mode(name), expected, "{name}");
        }
    }
    // Of a directory that is only linked, the files are their author's.
    let world = World::new();
    world.write("p/plugin.yaml", "name: p\nversion: 1.0.0\ncommand: $HELM_PLUGIN_DIR/run.sh\n");
    world.write("p/run.sh", "#!/bin/sh\necho ran\n");
    world.ok("plugin install p");
    let ran = world.fails(1, "p");
    let advice = ran.stderr.split('`').find(|part| part.starts_with("chmod +x")).expect("it says what helps");
    assert!(std::process::Command::new("sh").args(["-c", advice]).status().unwrap().success());
    assert_eq!(world.ok("p").stdout, "ran\n");
}
