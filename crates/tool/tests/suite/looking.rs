//! Looking at web servers for something newer without downloading it, and what a lock file says of signers (case I5).

use std::fs;
use std::sync::{Arc, Mutex};

use crate::support::http_server::{Request, Server, answer};
use crate::support::{World, repository};

const TOUR: &str = "E73208FE0133B7C8A809E83E27415E8C12120722";

/// What the server has: the version of `p`, and the headers that come with its package.
type State = Arc<Mutex<(&'static str, Vec<(&'static str, &'static str)>)>>;

/// The package of `p` in `version` and its provenance, by `key`.
fn package(version: &str, key: &str) -> [Vec<u8>; 2] {
    let world = World::new();
    world.plugin("p", version);
    world.ok(&format!("plugin package p --sign --keyring {}", repository("testdata/keys").join(key).display()));
    ["", ".prov"].map(|suffix| fs::read(world.path(&format!("p-{version}.tgz{suffix}"))).unwrap())
}

/// A server of `/p.tgz`, which answers conditional requests as it should.
fn serve(state: &State) -> Server {
    let packages = [("1.0.0", package("1.0.0", "tour.sec.asc")), ("1.1.0", package("1.1.0", "tour.sec.asc"))];
    let other = package("1.1.0", "rsa.secret");
    let state = state.clone();
    Server::start(move |request, to| {
        let (version, headers) = state.lock().unwrap().clone();
        let found = packages.iter().find(|(own, _)| *own == version).map_or(&other, |(_, found)| found);
        if request.target.ends_with(".prov") {
            return answer(to, "200 OK", &[], &found[1]);
        }
        let same = headers.iter().any(|(name, value)| match *name {
            "ETag" => request.header("if-none-match") == Some(value),
            "Last-Modified" => request.header("if-modified-since") == Some(value),
            _ => false,
        });
        match (request.method.as_str(), same) {
            (_, true) => answer(to, "304 Not Modified", &[], b""),
            ("HEAD", _) if headers.contains(&("Allow", "GET")) => answer(to, "405 x", &[], b""),
            ("HEAD", false) => answer(to, "200 OK", &headers, b""),
            _ => answer(to, "200 OK", &headers, &found[0]),
        }
    })
}

fn world() -> World {
    let mut world = World::new();
    let keys = ["tour.asc", "rsa.asc"].map(|name| repository("testdata/keys").join(name).to_str().unwrap().to_owned());
    world.set("TOOL_KEYRING", keys.join(":"));
    world
}

/// The methods and paths of the requests since `before`.
fn since(server: &Server, before: usize) -> Vec<String> {
    let line = |request: &Request| format!("{} {}", request.method, request.target);
    server.requests().iter().skip(before).map(line).collect()
}

#[test]
fn i5_what_did_not_change_is_not_downloaded_again() {
    for validator in [("ETag", "\"one\""), ("ETag", "W/\"weak\""), ("Last-Modified", "Wed, 21 Oct 2015 07:28:00 GMT")] {
        let state: State = Arc::new(Mutex::new(("1.0.0", vec![validator])));
        let server = serve(&state);
        let world = world();
        world.ok(&format!("plugin install {}", server.url("/p.tgz")));
        let receipt = fs::read_to_string(world.plugins().join(".state/p.json")).unwrap();
        let receipt: serde_json::Value = serde_json::from_str(&receipt).unwrap();
        assert_eq!(receipt["current"]["source"]["validator"], validator.1);

        for words in ["plugin outdated", "plugin update p", "plugin update --all --dry-run"] {
            let before = server.requests().len();
            let ran = world.ok(words);
            assert!(ran.stdout.is_empty() || words == "plugin outdated", "{}", ran.stdout);
            assert!(ran.stderr.contains("up to date"), "{}", ran.stderr);
            assert_eq!(since(&server, before), ["HEAD /p.tgz"], "{words} with {validator:?}");
        }

        *state.lock().unwrap() = ("1.1.0", vec![("ETag", "\"two\"")]);
        assert_eq!(world.ok("plugin outdated -o json").json()[0]["wanted"], "1.1.0");
        world.ok("plugin update p");
        let before = server.requests().len();
        world.ok("plugin update p");
        assert_eq!(since(&server, before), ["HEAD /p.tgz"], "the new one's validator is kept");
        assert_eq!(world.ok("p").stdout, "p 1.1.0\n");
    }
}

#[test]
fn i5_a_server_that_knows_nothing_of_conditions_is_downloaded_from() {
    for headers in [vec![], vec![("ETag", "\"one\""), ("Allow", "GET")], vec![("ETag", "none"), ("Last-Modified", "lately")]]
    {
        let state: State = Arc::new(Mutex::new(("1.0.0", headers.clone())));
        let server = serve(&state);
        let world = world();
        world.ok(&format!("plugin install {}", server.url("/p.tgz")));
        *state.lock().unwrap() = ("1.0.0", headers.into_iter().filter(|(name, _)| *name == "Allow").collect());
        assert!(world.ok("plugin outdated").stderr.contains("up to date"));
        assert!(world.ok("plugin update p").stderr.contains("up to date"));
        state.lock().unwrap().0 = "1.1.0";
        assert!(world.ok("plugin update p").stdout.contains("1.1.0"));
    }
}

#[test]
fn outdated_verifies_where_keys_are_named() {
    let state: State = Arc::new(Mutex::new(("1.0.0", vec![("ETag", "\"one\"")])));
    let server = serve(&state);
    let world = world();
    world.ok(&format!("plugin install {}", server.url("/p.tgz")));
    let tour = repository("testdata/keys/tour.asc").display().to_string();
    let rsa = repository("testdata/keys/rsa.asc").display().to_string();
    *state.lock().unwrap() = ("1.1.0", vec![("ETag", "\"two\"")]);
    let before = server.requests().len();
    assert!(world.ok("plugin outdated").stdout.contains("1.1.0"));
    assert!(since(&server, before).iter().all(|line| !line.ends_with(".prov")), "a look fetches no provenance");
    assert!(world.ok(&format!("plugin outdated --keyring {tour}")).stdout.contains("1.1.0"));
    let ran = world.fails(3, &format!("plugin outdated --keyring {rsa}"));
    assert!(!ran.stdout.contains("1.1.0"), "{}", ran.stdout);
    // Signed by somebody else than the installed one.
    *state.lock().unwrap() = ("other", vec![("ETag", "\"three\"")]);
    let ran = world.fails(3, &format!("plugin outdated --keyring {tour} --keyring {rsa}"));
    assert!(ran.stderr.contains("--accept-signer"), "{}", ran.stderr);
    assert_eq!(world.ok("p").stdout, "p 1.0.0\n");
}

#[test]
fn a_synced_plugin_keeps_the_signer_of_the_lock_file() {
    let state: State = Arc::new(Mutex::new(("1.0.0", vec![("ETag", "\"one\"")])));
    let server = serve(&state);
    let first = world();
    first.ok(&format!("plugin install {}", server.url("/p.tgz")));
    first.ok("plugin lock");
    let lock = fs::read_to_string(first.path("plugins.lock")).unwrap();

    let second = world();
    second.write("plugins.lock", &lock);
    second.ok("plugin sync --frozen");
    // The digest says which bytes it is, and the signature who signed them.
    let list = second.ok("plugin list -o json").json();
    assert_eq!((&list[0]["verified"]["by"], &list[0]["verified"]["fingerprint"]), (&"signature".into(), &TOUR.into()));
    assert!(second.ok("plugin info p").stdout.contains(TOUR));
    second.ok("plugin lock --lock-file again.lock");
    assert_eq!(fs::read_to_string(second.path("again.lock")).unwrap(), lock, "the set goes on unchanged");
    second.ok("plugin verify p");

    // An update must be by the same signer, as on the first machine.
    *state.lock().unwrap() = ("other", vec![("ETag", "\"two\"")]);
    let ran = second.fails(3, "plugin update p");
    assert!(ran.stderr.contains("--accept-signer"), "{}", ran.stderr);
    *state.lock().unwrap() = ("1.1.0", vec![("ETag", "\"three\"")]);
    assert!(second.ok("plugin update p").stdout.contains("1.1.0: signed by"));
}

#[test]
fn outdated_does_not_speak_of_an_update_that_nobody_asked_for() {
    let world = World::new();
    world.plugin("p", "1.0.0");
    world.ok("plugin package p --sign=false");
    world.ok("plugin install p-1.0.0.tgz --verify=false");
    std::fs::remove_file(world.path("p-1.0.0.tgz")).unwrap();
    let ran = world.fails(4, "plugin outdated");
    assert!(ran.stderr.contains("plugin `p` could not be updated now; 1.0.0 is installed"), "{}", ran.stderr);
    assert!(world.fails(4, "plugin update p").stderr.contains("plugin `p` is not updated; 1.0.0 stays"));
}
