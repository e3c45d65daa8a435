//! `post-render`: plugins that change a document (case S).

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::process::Stdio;
use std::thread;

use crate::support::{Ran, World};

/// A world with post-renderers of these names, each a shell script.
fn with(plugins: &[(&str, &str)]) -> World {
    let world = World::new();
    for (name, script) in plugins {
        let dir = world.plugins().join(name);
        fs::create_dir_all(&dir).unwrap();
        let manifest = format!(
            "apiVersion: v1\nname: {name}\nversion: 1.0.0\ntype: postrenderer/v1\nruntime: subprocess\n\
             runtimeConfig:\n  platformCommand:\n  - command: sh\n    args: [$HELM_PLUGIN_DIR/run.sh]\n"
        );
        fs::write(dir.join("plugin.yaml"), manifest).unwrap();
        fs::write(dir.join("run.sh"), script).unwrap();
    }
    world
}

fn render(world: &World, words: &str, document: &str) -> Ran {
    world.tool_with_input(["post-render"].into_iter().chain(words.split(' ')), document.as_bytes())
}

#[test]
fn s_documents_pass_through_all_plugins_in_order() {
    let world = with(&[("upper", "tr a-z A-Z"), ("sign", "cat; echo \"by $HELM_PLUGIN_NAME $*\"")]);
    assert_eq!(render(&world, "upper", "a: b\n").stdout, "A: B\n");
    assert_eq!(render(&world, "upper sign --args x --args --y", "a: b\n").stdout, "A: B\nby sign x --y\n");
    assert_eq!(render(&world, "sign upper", "a: b\n").stdout, "A: B\nBY SIGN \n");
    let large = "0123456789abcdef\n".repeat(1 << 17);
    assert_eq!(render(&world, "upper upper", &large).stdout, large.to_uppercase());
}

#[test]
fn s_a_failing_plugin_is_heard_and_its_code_passed_on() {
    let world = with(&[("fails", "cat; echo reason >&2; exit 9"), ("empty", "cat >/dev/null"), ("upper", "tr a-z A-Z")]);
    for words in ["fails", "fails upper", "upper fails"] {
        let ran = render(&world, words, "a\n");
        assert_eq!((ran.code, ran.stdout.as_str()), (9, ""), "{words}: {}", ran.stderr);
        assert!(ran.stderr.contains("reason") && ran.stderr.contains("`fails`"), "{}", ran.stderr);
    }
    let ran = render(&world, "empty", "a\n");
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    let ran = render(&world, "empty", "");
    assert_eq!((ran.code, ran.stdout.as_str()), (0, ""), "{}", ran.stderr);
    assert_eq!(render(&world, "upper absent", "").code, 4);
    assert_eq!(world.tool(["post-render"]).code, 2);
}

/// One line of the large documents, 64 bytes long.
const LINE: &[u8; 64] = b"key: 0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdefghijk\n\n";

/// Gives the program a document of `lines` lines and reads what comes, but for the last of it; with that still to be written, the program
/// is at its largest and cannot have ended. Gives its peak memory in KiB and the number of bytes that came in all.
#[cfg(target_os = "linux")]
fn peak(world: &World, words: &str, lines: u64, result: u64) -> (u64, u64) {
    const LEFT: u64 = 1 << 20;
    let mut command = world.command(["post-render"].into_iter().chain(words.split(' ')));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writer = thread::spawn(move || {
        let many = LINE.repeat(1 << 14);
        for _ in 0..lines >> 14 {
            stdin.write_all(&many).unwrap();
        }
    });
    let mut stdout = child.stdout.take().unwrap();
    let mut came = io::copy(&mut stdout.by_ref().take(result - LEFT), &mut io::sink()).unwrap();
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_else(|| panic!("{status}"));
    let peak = line.trim().trim_end_matches(" kB").parse().unwrap();
    came += io::copy(&mut stdout, &mut io::sink()).unwrap();
    writer.join().unwrap();
    assert!(child.wait().unwrap().success());
    (peak, came)
}

#[cfg(target_os = "linux")]
#[test]
fn s_a_large_document_passes_without_being_held() {
    const LINES: u64 = 4 << 20;
    const BYTES: u64 = LINES * LINE.len() as u64;
    let world = with(&[("copies", "exec cat"), ("begins", "echo before reading; exec cat")]);
    let (peak, came) = peak(&world, "copies begins", LINES, BYTES);
    assert_eq!(came, BYTES + "before reading\n".len() as u64);
    // 256 MiB in either direction, and nothing of it in memory.
    assert!(peak < 48 << 10, "{peak} KiB");
}

#[test]
fn s_no_order_of_reading_and_writing_deadlocks() {
    let noise = "yes noise | head -c 4000000";
    let world = with(&[
        ("deaf", "echo done"),
        ("early", &format!("{noise}; cat >/dev/null")),
        ("late", &format!("cat >/dev/null; {noise}")),
        ("loud", &format!("{noise} >&2; cat; {noise} >&2")),
        ("half", "head -c 10; exec 0<&-; echo"),
    ]);
    let document = String::from_utf8(LINE.repeat(1 << 17)).unwrap();
    for (words, length) in [
        ("deaf", 5),
        ("early", 4_000_000),
        ("late", 4_000_000),
        ("loud", document.len()),
        ("half", 11),
        ("early late", 4_000_000),
        ("loud deaf", 5),
        ("late loud half", 11),
    ] {
        let (world, words, document) = (&world, words, document.as_str());
        let ran = render(world, words, document);
        assert_eq!((ran.code, ran.stdout.len()), (0, length), "{words}: {}", ran.stderr);
    }
}
