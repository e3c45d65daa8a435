//! Ctrl-C and requests to end: nothing stays behind, and the program ends as is expected of it.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::http_server::{Server, answer};
use crate::support::{Ran, World};

/// What is in the temporary directory and the store's staging.
fn left(world: &World) -> Vec<String> {
    let places = [world.root().to_owned(), world.plugins().join(".state/staging"), world.path("")];
    let entries = places.into_iter().filter_map(|place| fs::read_dir(place).ok()).flatten();
    let names = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    names.filter(|name| !["home", "work", "p"].contains(&name.as_str())).collect()
}

#[test]
fn every_signal_clears_up_and_ends_the_program_as_it_should() {
    let server = Server::start(|_, to| {
        std::thread::sleep(Duration::from_secs(20));
        answer(to, "200 OK", &[], b"")
    });
    let url = server.url("/p-1.0.0.tgz");
    for words in ["plugin install", "plugin pull", "get -o file"] {
        for (name, number) in [("INT", 2), ("TERM", 15), ("HUP", 1)] {
            let world = World::new();
            let mut command = world.command(words.split(' ').chain([url.as_str()]));
            if words != "get -o file" {
                command.arg("--verify=false");
            }
            let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            let began = Instant::now();
            while left(&world).is_empty() && began.elapsed() < Duration::from_secs(5) {
                std::thread::sleep(Duration::from_millis(20));
            }
            std::thread::sleep(Duration::from_millis(100));
            let id = child.id().to_string();
            assert!(std::process::Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
            let output = child.wait_with_output().unwrap();
            let (code, signal) = (output.status.code(), output.status.signal());
            let expected = if name == "INT" { (Some(130), None) } else { (None, Some(number)) };
            let ran = Ran::of(output);
            assert_eq!((code, signal), expected, "{words} {name}: {}", ran.stderr);
            let last = ran.stderr.lines().last().unwrap_or_default();
            assert!(last.starts_with("error: ") && last.contains("cleared away"), "{words} {name}: {}", ran.stderr);
            assert_eq!(left(&world), Vec::<String>::new(), "{words} {name}");
        }
    }
}

#[test]
fn a_signal_that_is_ignored_stays_ignored() {
    let server = Server::start(|_, to| {
        std::thread::sleep(Duration::from_secs(2));
        answer(to, "404 Not Found", &[], b"")
    });
    let world = World::new();
    let tool = world.command([""; 0]);
    let mut shell = std::process::Command::new("sh");
    let script = format!(
        "trap '' HUP; '{}' plugin pull {} --verify=false & sleep 1; kill -s HUP $!; wait $!",
        tool.get_program().to_string_lossy(),
        server.url("/p-1.0.0.tgz")
    );
    shell.args(["-c", &script]).env_clear().envs(tool.get_envs().filter_map(|(key, value)| Some((key, value?))));
    let ran = crate::support::finish(shell.current_dir(world.path("")));
    assert_eq!(ran.code, 4, "{}", ran.stderr);
}
