//! Sources beyond this machine, through the built program: web servers, registries, repositories (cases F, O, V).

use std::fs;
use std::sync::Arc;

use plugsmith::digest::Sha256Digest;

use crate::support::http_server::{Server, answer, redirect};
use crate::support::{World, git, repository};

/// A world with the package `p-1.0.0.tgz`, signed by the tour's key; its bytes and those of its provenance.
fn signed() -> (World, Vec<u8>, Vec<u8>) {
    let mut world = World::new();
    world.plugin("p", "1.0.0");
    world.ok(&format!("plugin package p --sign --keyring {}", repository("testdata/keys/tour.sec.asc").display()));
    world.set("TOOL_KEYRING", repository("testdata/keys/tour.asc").to_str().unwrap());
    let read = |name: &str| fs::read(world.path(name)).unwrap();
    let (package, provenance) = (read("p-1.0.0.tgz"), read("p-1.0.0.tgz.prov"));
    (world, package, provenance)
}

#[test]
fn f_a_signed_package_is_installed_from_the_web() {
    let (world, package, provenance) = signed();
    let server = Server::files(&[("/x/p-1.0.0.tgz", &package), ("/x/p-1.0.0.tgz.prov", &provenance)]);
    world.ok(&format!("plugin install {}", server.url("/x/p-1.0.0.tgz?token=hunter2")));
    assert_eq!(world.ok("p x").stdout, "p 1.0.0 x\n");
    let list = world.ok("plugin list -o json").json();
    assert_eq!(list[0]["verified"]["by"], "signature");
    assert_eq!(list[0]["source"], server.url("/x/p-1.0.0.tgz?***"));
}

#[test]
fn f_a_missing_provenance_fails_and_its_four_failures_differ() {
    let (world, package, _) = signed();
    let server = Server::start(move |request, to| match request.target.as_str() {
        "/401.tgz.prov" => answer(to, "401 x", &[], b""),
        "/403.tgz.prov" => answer(to, "403 x", &[], b""),
        "/500.tgz.prov" => answer(to, "500 x", &[("Retry-After", "0")], b""),
        "/gone.tgz.prov" => redirect(to, "http://127.0.0.1:1/p.prov"),
        path if path.ends_with(".tgz") => answer(to, "200 OK", &[], &package),
        _ => answer(to, "404 x", &[], b""),
    });
    let mut messages = Vec::new();
    for (path, code) in [("404", 3), ("403", 3), ("500", 5), ("gone", 5)] {
        let ran = world.fails(code, &format!("plugin install {}", server.url(&format!("/{path}.tgz"))));
        messages.push(ran.stderr.replace(path, "x"));
        assert!(!world.plugins().join("p").exists());
    }
    assert!(["--digest", "--verify=false", ".prov"].iter().all(|way| messages[0].contains(way)), "{}", messages[0]);
    messages.sort();
    messages.dedup();
    assert_eq!(messages.len(), 4);
}

#[test]
fn f_digests_versions_and_missing_packages() {
    let (world, package, _) = signed();
    let server = Server::files(&[("/p.tgz", &package)]);
    let (url, digest) = (server.url("/p.tgz"), Sha256Digest::of(&package));
    world.fails(4, &format!("plugin install {}", server.url("/other.tgz")));
    world.fails(3, &format!("plugin install {url} --digest sha256:{}", "0".repeat(64)));
    world.fails(2, &format!("plugin install {url} --digest sha256:{digest} --version main"));
    let ran = world.fails(1, &format!("plugin install {url} --digest sha256:{digest} --version ~2"));
    assert!(ran.stderr.contains("1.0.0") && ran.stderr.contains("~2"), "{}", ran.stderr);
    assert!(!world.plugins().join("p").exists());
    world.ok(&format!("plugin install {url} --digest sha256:{digest} --version ~1"));
}

#[test]
fn f_credentials_come_from_flags_and_netrc_and_appear_nowhere() {
    let (mut world, package, _) = signed();
    let server = Server::start(move |request, to| match request.header("authorization") {
        Some("Basic YW5uOmh1bnRlcjI=") => answer(to, "200 OK", &[], &package),
        _ => answer(to, "401 x", &[("WWW-Authenticate", "Basic realm=\"x\"")], b""),
    });
    let install = format!("plugin install {} --verify=false --force", server.url("/p.tgz"));
    let ran = world.fails(1, &install);
    assert!(ran.stderr.contains("--username"), "{}", ran.stderr);
    let with_flags = format!("{install} --username ann --password-stdin");
    let ran = world.tool_with_input(with_flags.split(' '), b"hunter2\n");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let ran = world.tool_with_input(format!("{with_flags} --debug").split(' '), b"hunter3\n");
    assert_eq!(ran.code, 1);
    assert!(!ran.stderr.contains("hunter"), "{}", ran.stderr);

    fs::write(world.root().join("home/.netrc"), "machine 127.0.0.1 login ann password hunter2\n").unwrap();
    world.ok(&install);
    let netrc = world.write("other-netrc", "machine elsewhere login ann password hunter2\n");
    world.set("NETRC", netrc.to_str().unwrap());
    world.fails(1, &install);
    let url = server.url("/p.tgz").replace("http://", "http://ann:hunter2@");
    world.ok(&format!("plugin install {url} --verify=false --force"));
    let receipt = fs::read_to_string(world.plugins().join(".state/p.json")).unwrap();
    assert!(!receipt.contains("hunter2") && !receipt.contains("ann@"), "{receipt}");
}

#[test]
fn f_proxy_variables_are_honoured() {
    let (mut world, package, _) = signed();
    let proxy = Server::start(move |request, to| match request.target.as_str() {
        "http://plugins.invalid/p.tgz" => answer(to, "200 OK", &[], &package),
        _ => answer(to, "502 x", &[], b""),
    });
    world.set("http_proxy", proxy.url(""));
    world.ok("plugin install http://plugins.invalid/p.tgz --verify=false");
    world.set("no_proxy", "plugins.invalid");
    world.fails(5, "plugin install http://plugins.invalid/p.tgz --verify=false --force");
    assert_eq!(proxy.requests().len(), 1);
}

#[test]
fn f_a_private_authority_is_named_by_a_flag() {
    let (world, package, _) = signed();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder().with_no_client_auth();
    let config = config.with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    let server = Server::start_tls(Arc::new(config), move |_, to| answer(to, "200 OK", &[], &package));
    world.write("ca.pem", made.cert.pem());
    let install = format!("plugin install {} --verify=false", server.url("/p.tgz"));
    let ran = world.fails(1, &install);
    assert!(ran.stderr.contains("--ca-file"), "{}", ran.stderr);
    world.ok(&format!("{install} --ca-file ca.pem"));
    world.ok(&format!("{install} --insecure-skip-tls-verify --force"));
    world.fails(2, &format!("{install} --plain-http --force"));
    let ran = world.fails(4, &format!("{install} --ca-file absent.pem --force"));
    assert!(ran.stderr.contains("absent.pem"), "{}", ran.stderr);
}

#[test]
fn o_a_plugin_comes_from_a_registry() {
    let (world, package, provenance) = signed();
    let (layer, signature) = (Sha256Digest::of(&package), Sha256Digest::of(&provenance));
    let title = |name: &str| format!(r#""annotations":{{"org.opencontainers.image.title":"{name}"}}"#);
    let manifest = format!(
        r#"{{"schemaVersion":2,"artifactType":"application/vnd.helm.plugin.v1+json","layers":[{{"digest":"sha256:{layer}","size":{},{}}},{{"digest":"sha256:{signature}","size":{},{}}}]}}"#,
        package.len(),
        title("p-1.0.0.tgz"),
        provenance.len(),
        title("p-1.0.0.tgz.prov"),
    );
    let digest = Sha256Digest::of(manifest.as_bytes());
    let server = Server::files(&[
        ("/v2/team/p/manifests/1.0.0", manifest.as_bytes()),
        (&format!("/v2/team/p/manifests/sha256:{digest}"), manifest.as_bytes()),
        (&format!("/v2/team/p/blobs/sha256:{layer}"), &package),
        (&format!("/v2/team/p/blobs/sha256:{signature}"), &provenance),
    ]);
    let reference = format!("oci://{}/team/p", server.url("").trim_start_matches("http://"));
    world.ok(&format!("plugin install {reference}:1.0.0 --plain-http"));
    assert_eq!(world.ok("plugin list -o json").json()[0]["verified"]["by"], "signature");
    world.ok("plugin uninstall p");
    world.ok(&format!("plugin install {reference} --version 1.0.0 --plain-http"));
    world.ok("plugin uninstall p");
    world.fails(4, &format!("plugin install {reference}:2.0.0 --plain-http"));
    world.fails(2, &format!("plugin install {reference}:1.0.0 --version 1.0.0 --plain-http"));
    let world = World::new();
    world.ok(&format!("plugin install {reference}@sha256:{digest} --plain-http"));
    assert_eq!(world.ok("plugin list -o json").json()[0]["verified"]["by"], "digest");
}

#[test]
fn v_a_plugin_comes_from_a_repository() {
    let world = World::new();
    let plugin = world.plugin("p", "1.0.0");
    let git = |arguments: &[&str]| git(&plugin, arguments);
    git(&["init", "--quiet"]);
    git(&["add", "--all"]);
    git(&["commit", "--quiet", "--message", "x"]);
    git(&["tag", "v1.0.0"]);
    let commit = git(&["rev-parse", "HEAD"]);
    let url = format!("git+file://{}", plugin.display());
    // No keyring is there, and none is needed where the commit is named.
    world.ok(&format!("plugin install {url} --version {commit}"));
    assert_eq!(world.ok("p x").stdout, "p 1.0.0 x\n");
    assert_eq!(world.ok("plugin list -o json").json()[0]["verified"]["by"], "digest");
    assert!(!world.plugins().join("p/.git").exists());
    world.ok("plugin uninstall p");
    world.ok(&format!("plugin install {url} --version ~1.0 --verify=false"));
    world.ok("plugin uninstall p");
    let ran = world.fails(4, &format!("plugin install {url} --version 2.0.0 --verify=false"));
    assert!(ran.stderr.contains("v1.0.0"), "{}", ran.stderr);
    world.fails(2, &format!("plugin install file://{} --verify=false", plugin.display()));
}

#[test]
fn servers_that_may_answer_later_have_an_exit_code_of_their_own() {
    let world = World::new();
    world.write("../home/.config/tool/config.yaml", "http:\n  retries: 0\n");
    let failing = Server::start(|_, to| answer(to, "503 x", &[], b""));
    let busy = Server::start(|_, to| answer(to, "429 x", &[("Retry-After", "9999")], b""));
    let silent = Server::start(|_, _| {
        std::thread::sleep(std::time::Duration::from_secs(3));
        Ok(())
    });
    let host = |server: &Server| server.url("").replace("http://", "");
    for source in [
        "http://127.0.0.1:1/p.tgz".to_owned(),
        "http://no-such-host.invalid/p.tgz".to_owned(),
        "http://127.0.0.1:1/p.git".to_owned(),
        "--plain-http oci://127.0.0.1:1/team/p:1.0.0".to_owned(),
        failing.url("/p.tgz"),
        failing.url("/p.git"),
        failing.url("/p"),
        format!("--plain-http oci://{}/team/p:1.0.0", host(&failing)),
        busy.url("/p.tgz"),
        format!("--timeout 1s {}", silent.url("/p.tgz")),
    ] {
        let ran = world.tool(format!("plugin install --verify=false {source}").split(' '));
        assert_eq!(ran.code, 5, "{source}: {}", ran.stderr);
    }
    for command in ["plugin pull --verify=false", "get -o out"] {
        world.fails(5, &format!("{command} {}", failing.url("/p.tgz")));
    }
}

#[test]
fn what_no_proxy_excepts_is_asked_directly() {
    let (mut world, package, _) = signed();
    let server = Server::files(&[("/p.tgz", &package)]);
    let port = server.url("").rsplit_once(':').unwrap().1.to_owned();
    world.set("http_proxy", "http://127.0.0.1:9");
    let own_port = format!("127.0.0.1:{port}");
    for (list, code) in
        [("*", 0), ("127.0.0.1", 0), ("127.0.0.0/8", 0), (&*own_port, 0), ("127.0.0.1:1", 5), ("example.com", 5), ("", 5)]
    {
        world.set("no_proxy", list);
        let ran = world.tool(["plugin", "install", "--verify=false", "--force", &server.url("/p.tgz")]);
        assert_eq!(ran.code, code, "{list}: {}", ran.stderr);
    }
    world.set("http_proxy", "socks5://ann:hunter2@127.0.0.1:9");
    let ran = world.fails(1, &format!("plugin install --verify=false {}", server.url("/p.tgz")));
    assert!(ran.stderr.contains("http_proxy") && !ran.stderr.contains("hunter2"), "{}", ran.stderr);
}

#[test]
fn credentials_that_are_named_go_with_the_first_request() {
    let (world, package, provenance) = signed();
    let server = Server::start(move |request, to| match (request.header("authorization"), request.target.as_str()) {
        (Some("Basic YW5uOmh1bnRlcjI="), "/p-1.0.0.tgz") => answer(to, "200 OK", &[], &package),
        (Some("Basic YW5uOmh1bnRlcjI="), "/p-1.0.0.tgz.prov") => answer(to, "200 OK", &[], &provenance),
        _ => answer(to, "404 x", &[], b""),
    });
    let url = server.url("/p-1.0.0.tgz");
    let args = ["plugin", "install", "--username", "ann", "--password-stdin", &url];
    let ran = world.tool_with_input(args, b"hunter2\n");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(server.requests().len(), 2);
}
