//! `plugin sync` of many plugins at once: the bound on downloads, the one display, servers that misbehave.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use plugsmith::digest::Sha256Digest;
use plugsmith::host::{ChosenDirectory, Homes, Host, SettingOrigin};
use plugsmith::intake::source::FetchOptions;
use plugsmith::manager::{Manager, SyncChange, SyncRequest, VerificationMode};
use plugsmith::report::{Report, ReportEvent};
use plugsmith::settings::Settings;

use crate::support::archive::Tar;
use crate::support::http_server::{Connection, Request, Server, answer, head};
use crate::support::{World, peers, snapshot};

/// The package of the plugin `name`, with some bytes more.
fn package(name: &str, more: usize) -> Vec<u8> {
    Tar::plugin(name).file(&format!("{name}/data"), &vec![b'x'; more]).gz()
}

/// A lock file of plugins with their sources and the digests of their packages.
fn lock_file(plugins: &[(String, String, Sha256Digest)]) -> String {
    let mut text = "version = 1\n".to_owned();
    for (name, source, digest) in plugins {
        text += &format!("[[plugin]]\nname = \"{name}\"\nversion = \"1.0.0\"\nsource = \"{source}\"\n");
        text += &format!("archives = {{any = \"sha256:{digest}\"}}\n");
    }
    text
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("plugin-{number:03}")).collect()
}

/// The name of the plugin whose package is asked for.
fn asked(request: &Request) -> &str {
    request.target.trim_start_matches('/').trim_end_matches(".tgz")
}

/// A lock file of `names` from `server`.
fn locked(server: &Server, names: &[String]) -> String {
    let entry = |name: &String| (name.clone(), server.url(&format!("/{name}.tgz")), Sha256Digest::of(&package(name, 1000)));
    lock_file(&names.iter().map(entry).collect::<Vec<_>>())
}

/// How many requests are under way, and were at most.
#[derive(Default)]
struct Count {
    state: Mutex<(usize, usize)>,
    changed: Condvar,
}

impl Count {
    /// One more. The first ones wait until `together` are there, so that as many as are allowed do meet.
    fn enter(&self, together: usize) {
        let mut state = self.state.lock().unwrap();
        state.0 += 1;
        state.1 = state.1.max(state.0);
        self.changed.notify_all();
        let long = Duration::from_secs(30);
        drop(self.changed.wait_timeout_while(state, long, |(_, most)| *most < together).unwrap());
        // Time for one too many to come.
        std::thread::sleep(Duration::from_millis(3));
    }

    fn leave(&self) {
        self.state.lock().unwrap().0 -= 1;
    }
}

#[test]
fn no_more_downloads_at_once_than_the_settings_allow() {
    for (setting, bound) in [("", 8), ("http: {parallel: 3}\n", 3)] {
        let world = World::new();
        fs::create_dir_all(world.root().join("home/.config/tool")).unwrap();
        fs::write(world.root().join("home/.config/tool/config.yaml"), setting).unwrap();
        let count = Arc::new(Count::default());
        let server = Server::start({
            let count = count.clone();
            move |request, to| {
                count.enter(bound);
                let body = package(asked(request), 1000);
                let (first, rest) = body.split_at(body.len() / 2);
                head(to, "200 OK", &[("Content-Length".to_owned(), body.len().to_string())])?;
                to.write_all(first)?;
                // Before the last byte is there the client cannot begin another.
                count.leave();
                to.write_all(rest)
            }
        });
        let names = names(200);
        world.write("plugins.lock", locked(&server, &names));
        let ran = world.ok("plugin sync --frozen");
        assert_eq!(ran.stdout.lines().count(), 200);
        assert!(ran.stdout.lines().is_sorted(), "{}", ran.stdout);
        assert_eq!(ran.stderr, "getting 200 plugins\n", "one display for all");
        assert_eq!(count.state.lock().unwrap().1, bound, "{setting}");
        assert_eq!(server.requests().len(), 200);
        assert_eq!(world.ok("plugin list -o json").json().as_array().unwrap().len(), 200);
        assert_eq!(world.ok("plugin-123 x").stdout, "run x\n");
    }
}

/// Writes down what it is told.
#[derive(Default)]
struct Log(Mutex<Vec<String>>);

impl Report for Log {
    fn event(&self, event: ReportEvent<'_>) {
        let text = match event {
            ReportEvent::Started { what, .. } => format!("started {what}"),
            ReportEvent::Advanced { done } => format!("advanced {done}"),
            ReportEvent::Finished => "finished".to_owned(),
            // What `--debug` shows is told in between.
            ReportEvent::Step(_) => return,
            other => format!("{other:?}"),
        };
        self.0.lock().unwrap().push(text);
    }
}

#[test]
fn many_downloads_are_one_step_of_the_report() {
    let names = names(40);
    let server = Server::start(|request, to| answer(to, "200 OK", &[], &package(asked(request), 1000)));
    let world = World::new();
    let lock_file = world.write("plugins.lock", locked(&server, &names));
    let chosen = |name: &str| ChosenDirectory { path: world.path(name), origin: SettingOrigin::Default };
    let homes = Homes {
        data: chosen("data"),
        cache: chosen("cache"),
        config: chosen("config"),
        plugins: vec![world.path("data/plugins")],
        plugins_origin: SettingOrigin::Default,
    };
    let (host, settings, report) = (Host::tool(), Settings::default(), Log::default());
    let policy = plugsmith::policy::Policy::none();
    let manager = Manager::new(&host, &homes, &settings, &policy, &report);
    let request = SyncRequest {
        lock_file,
        mirror: None,
        offline: false,
        frozen: true,
        prune: false,
        hooks: true,
        fetch: FetchOptions::default(),
        trust: VerificationMode::Nothing,
        accept_signer: false,
        check: false,
    };
    let results = manager.sync(&request).unwrap();
    assert!(results.iter().all(|(_, result)| result.as_ref().is_ok_and(|one| one.change == SyncChange::Installed)));
    assert!(results.iter().map(|(name, _)| name).eq(&names));
    let log = report.0.into_inner().unwrap();
    let (first, rest) = log.split_first().unwrap();
    let (last, between) = rest.split_last().unwrap();
    assert_eq!((first.as_str(), last.as_str()), ("started getting 40 plugins", "finished"));
    let whole: usize = names.iter().map(|name| package(name, 1000).len()).sum();
    assert!(between.iter().all(|line| line.starts_with("advanced ")), "{between:?}");
    assert!(between.contains(&format!("advanced {whole}")), "{whole}: {between:?}");
}

#[test]
fn one_bar_on_a_terminal() {
    if !peers::wanted("`script` (util-linux), which makes terminals,") {
        return;
    }
    let names = names(30);
    let server = Server::start(|request, to| {
        let body = package(asked(request), 1000);
        head(to, "200 OK", &[("Content-Length".to_owned(), body.len().to_string())])?;
        let (first, rest) = body.split_at(body.len() / 2);
        to.write_all(first)?;
        // Long enough for a bar to be worth drawing.
        std::thread::sleep(Duration::from_millis(250));
        to.write_all(rest)
    });
    let world = World::new();
    world.write("plugins.lock", locked(&server, &names));
    let inner = world.command(["plugin", "sync", "--frozen"]);
    let mut command = Command::new("script");
    command.args(["--quiet", "--return", "--command", &format!("{} plugin sync --frozen", inner.get_program().display())]);
    command.arg("/dev/null").env_clear().envs(inner.get_envs().filter_map(|(key, value)| Some((key, value?))));
    command.env("TERM", "xterm").current_dir(world.path(""));
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    // Every drawing begins at the same line anew: what stands between two carriage returns is one bar or one result.
    let mut bars = 0;
    for drawn in text.split(['\r', '\n']) {
        let visible = without_escapes(drawn);
        bars += usize::from(visible.starts_with("getting 30 plugins "));
        assert!(visible.matches("getting").count() <= 1 && visible.matches("Installed").count() <= 1, "{visible:?}");
        let one_kind = ["getting 30 plugins", "Installed plugin-", ""].iter().any(|kind| visible.starts_with(kind));
        assert!(one_kind && !visible.contains("downloading"), "{visible:?}");
    }
    assert!(bars > 0, "a bar is drawn: {text:?}");
    assert_eq!(text.matches("Installed plugin-").count(), 30);
}

/// The text without what moves the cursor or changes colours.
fn without_escapes(text: &str) -> String {
    let mut parts = text.split('\x1b');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out += part.split_once(|c: char| c.is_ascii_alphabetic()).map_or("", |(_, rest)| rest);
    }
    out
}

#[test]
fn f_servers_that_misbehave_cost_the_other_plugins_nothing() {
    let world = World::new();
    let config = world.root().join("home/.config/tool");
    fs::create_dir_all(&config).unwrap();
    fs::write(config.join("config.yaml"), "http: {retries: 1, idleTimeout: 1s, parallel: 4}\n").unwrap();
    let misbehave = |request: &Request, to: &mut dyn Connection| -> io::Result<()> {
        let name = asked(request);
        let body = package(name, 1000);
        let half = &body[..body.len() / 2];
        let length = |length: usize| [("Content-Length".to_owned(), length.to_string())];
        match name {
            "plugin-003" => {
                head(to, "200 OK", &length(body.len()))?;
                to.write_all(half)
            }
            "plugin-007" => answer(to, "500 x", &[("Retry-After", "0")], b"oops"),
            "plugin-011" => answer(to, "200 OK", &[], b"<html>not what you think</html>"),
            "plugin-013" => {
                head(to, "200 OK", &length(body.len()))?;
                to.write_all(half)?;
                to.flush()?;
                std::thread::sleep(Duration::from_secs(5));
                Ok(())
            }
            "plugin-017" => answer(to, "200 OK", &[], &package("another", 10)),
            "plugin-019" => answer(to, "404 x", &[], b""),
            // Not even HTTP.
            "plugin-023" => to.write_all(b"\x00\x01\x02 garbage\r\n\r\n"),
            _ => answer(to, "200 OK", &[], &body),
        }
    };
    let server = Server::start(misbehave);
    let names = names(60);
    // One whose server does not run.
    let text = locked(&server, &names);
    let gone = text.replace(&server.url("/plugin-029.tgz"), "http://127.0.0.1:1/plugin-029.tgz");
    world.write("plugins.lock", gone);
    let bad = ["003", "007", "011", "013", "017", "019", "023", "029"].map(|number| format!("plugin-{number}"));

    // Sorted by name the first is a body that ends early: that makes the exit code.
    let ran = world.fails(5, "plugin sync --frozen");
    for name in &bad {
        assert!(ran.stderr.contains(&format!("cannot get plugin `{name}`")), "{name}: {}", ran.stderr);
    }
    let summary = format!("8 of 60 plugins are not as the lock file has them: {}", bad.join(", "));
    assert!(ran.stderr.contains(&summary), "{}", ran.stderr);
    assert_eq!(ran.stdout.lines().count(), 52);
    let list = world.ok("plugin list -o json").json();
    let installed: Vec<_> = list.as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert_eq!(installed, names.iter().filter(|name| !bad.contains(name)).collect::<Vec<_>>());
    nothing_half_done(&world, &bad);

    // Once the server has come to its senses, only what is missing is asked for.
    let server = Server::start(|request, to| answer(to, "200 OK", &[], &package(asked(request), 1000)));
    world.write("plugins.lock", locked(&server, &names));
    let ran = world.ok("plugin sync --frozen");
    assert_eq!((ran.stdout.lines().count(), server.requests().len()), (8, 8), "{}", ran.stdout);
}

#[test]
fn f_a_lost_connection_in_the_middle_of_a_sync() {
    let world = World::new();
    let config = world.root().join("home/.config/tool");
    fs::create_dir_all(&config).unwrap();
    fs::write(config.join("config.yaml"), "http: {retries: 0, parallel: 4}\n").unwrap();
    let names = names(40);
    // After twenty requests the line is dead: connections are closed in the middle of whatever they are at.
    let served = AtomicUsize::new(0);
    let server = Server::start(move |request, to| {
        let body = package(asked(request), 1000);
        if served.fetch_add(1, Ordering::SeqCst) < 20 {
            return answer(to, "200 OK", &[], &body);
        }
        head(to, "200 OK", &[("Content-Length".to_owned(), body.len().to_string())])?;
        to.write_all(&body[..10])
    });
    world.write("plugins.lock", locked(&server, &names));
    let ran = world.fails(5, "plugin sync --frozen");
    assert_eq!(ran.stdout.lines().count(), 20);
    assert!(ran.stderr.contains("20 of 40 plugins are not as the lock file has them"), "{}", ran.stderr);
    let list = world.ok("plugin list -o json").json();
    let installed: Vec<String> =
        list.as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect();
    assert_eq!(installed.len(), 20);
    for name in &installed {
        assert_eq!(world.ok(&format!("{name} x")).stdout, "run x\n");
    }
    let missing: Vec<_> = names.into_iter().filter(|name| !installed.contains(name)).collect();
    nothing_half_done(&world, &missing);
}

/// Nothing of `names` is anywhere in the store, and staging is empty.
fn nothing_half_done(world: &World, names: &[String]) {
    let left: Vec<PathBuf> = snapshot(&world.plugins())
        .into_keys()
        .filter(|path| path.starts_with(".state/staging/") || names.iter().any(|name| path.contains(name.as_str())))
        .map(PathBuf::from)
        .collect();
    assert_eq!(left, [] as [PathBuf; 0]);
}
