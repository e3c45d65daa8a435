//! `plugin push`, against a registry that does as it is told (cases O). Real registries: `peers_registry`.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use plugsmith::digest::Sha256Digest;

use crate::support::http_server::{Connection, Request, Server, answer};
use crate::support::{Ran, World, repository};

/// A registry in memory: what was put where.
#[derive(Clone, Default)]
struct Registry {
    kept: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    /// What uploads are sent to instead of here.
    uploads_at: Option<String>,
    /// Whether everybody must show the token `secret`, which ann gets for her password.
    private: bool,
}

impl Registry {
    fn start(&self) -> Server {
        let own = self.clone();
        Server::start(move |request, to| own.answer(request, to))
    }

    fn answer(&self, request: &Request, to: &mut dyn Connection) -> io::Result<()> {
        let path = request.target.split('?').next().unwrap_or_default().to_owned();
        let host = request.header("host").unwrap_or_default();
        let authorization = request.header("authorization").unwrap_or_default();
        if path == "/token" {
            return match (authorization, request.target.contains("scope=repository%3Ateam%2Fp%3Apull%2Cpush")) {
                ("Basic YW5uOmh1bnRlcjI=", true) => answer(to, "200 OK", &[], br#"{"token":"secret"}"#),
                _ => answer(to, "401 x", &[], b""),
            };
        }
        if self.private && authorization != "Bearer secret" {
            let challenge = format!("Bearer realm=\"http://{host}/token\",service=\"s\"");
            return answer(to, "401 x", &[("WWW-Authenticate", &challenge)], b"");
        }
        let mut kept = self.kept.lock().unwrap();
        match request.method.as_str() {
            "POST" => {
                let place = self.uploads_at.clone().unwrap_or_default();
                answer(to, "202 Accepted", &[("Location", &format!("{place}/upload/1?state=x%2Fy"))], b"")
            }
            "PUT" if path == "/upload/1" => {
                assert!(request.target.contains("state=x%2Fy&digest=sha256%3A"), "{}", request.target);
                let digest = Sha256Digest::of(&request.body);
                assert!(request.target.ends_with(&digest.to_string()), "{}", request.target);
                kept.insert(format!("/v2/team/p/blobs/sha256:{digest}"), request.body.clone());
                answer(to, "201 Created", &[], b"")
            }
            "PUT" => {
                kept.insert(path, request.body.clone());
                answer(to, "201 Created", &[], b"")
            }
            method => match kept.get(&path).or_else(|| {
                let (_, digest) = path.split_once("/manifests/sha256:")?;
                kept.values().find(|body| Sha256Digest::of(body).to_string() == digest)
            }) {
                Some(body) => answer(to, "200 OK", &[], if method == "HEAD" { b"" } else { body }),
                None => answer(to, "404 Not Found", &[], b""),
            },
        }
    }

    fn keys(&self) -> Vec<String> {
        self.kept.lock().unwrap().keys().cloned().collect()
    }
}

/// A world with the package `p-1.0.0.tgz`, signed by the tour's key.
fn signed() -> World {
    let mut world = World::new();
    world.plugin("p", "1.0.0");
    world.ok(&format!("plugin package p --sign --keyring {}", repository("testdata/keys/tour.sec.asc").display()));
    world.set("TOOL_KEYRING", repository("testdata/keys/tour.asc").to_str().unwrap());
    world
}

fn reference(server: &Server, path: &str) -> String {
    format!("oci://{}/{path}", server.url("").trim_start_matches("http://"))
}

fn written(server: &Server) -> usize {
    server.requests().iter().filter(|request| request.method != "GET" && request.method != "HEAD").count()
}

fn digest(ran: &Ran) -> String {
    ran.stdout.lines().find_map(|line| line.strip_prefix("Digest: ")).unwrap().to_owned()
}

#[test]
fn o_what_is_pushed_is_installed_and_pushing_again_writes_nothing() {
    let world = signed();
    let registry = Registry::default();
    let server = registry.start();
    let push = format!("plugin push p-1.0.0.tgz {} --plain-http", reference(&server, "team"));
    let pushed = world.ok(&push);
    let at = reference(&server, "team/p");
    assert!(pushed.stdout.contains(&format!("Pushed {at}:1.0.0\n")), "{}", pushed.stdout);
    let before = written(&server);
    let again = world.ok(&format!("plugin push p-1.0.0.tgz {at}:1.0.0 --plain-http"));
    assert_eq!((digest(&again), written(&server)), (digest(&pushed), before));
    assert!(again.stderr.contains("already"), "{}", again.stderr);
    world.ok(&format!("plugin install {at}@{} --plain-http --verify=false", digest(&pushed)));
    world.ok(&format!("plugin install {at}:1.0.0 --plain-http --force"));
    assert_eq!(world.ok("plugin list -o json").json()[0]["verified"]["by"], "signature");

    // Only what is not there is sent: a new signature, not the package.
    std::fs::remove_file(world.path("p-1.0.0.tgz.prov")).unwrap();
    let ran = world.ok(&format!("{push} --unsigned --force"));
    assert!(ran.stderr.contains("not signed") && ran.stderr.contains("replaced"), "{}", ran.stderr);
    assert_eq!(written(&server), before + 1, "the manifest alone");
}

#[test]
fn o_a_release_is_replaced_only_by_who_says_so() {
    let world = signed();
    let server = Registry::default().start();
    let push = format!("plugin push p-1.0.0.tgz {} --plain-http", reference(&server, "team"));
    let first = digest(&world.ok(&push));
    let prov = std::fs::read(world.path("p-1.0.0.tgz.prov")).unwrap();
    let before = written(&server);

    // Unsigned in the place of signed: both must be said.
    std::fs::remove_file(world.path("p-1.0.0.tgz.prov")).unwrap();
    let ran = world.fails(1, &push);
    for part in ["not signed", "tool plugin sign p-1.0.0.tgz", "--unsigned"] {
        assert!(ran.stderr.contains(part), "{part}: {}", ran.stderr);
    }
    world.fails(1, &format!("{push} --force"));
    let ran = world.fails(1, &format!("{push} --unsigned"));
    assert!(ran.stderr.contains("other bytes") && ran.stderr.contains("--force"), "{}", ran.stderr);
    // A provenance of something else, or an empty one, signs nothing.
    for wrong in [&b""[..], b"junk", &prov] {
        world.write("p-1.0.0.tgz.prov", wrong);
        if wrong == prov {
            world.write("p/more", "more");
            world.ok("plugin package p --sign=false");
            world.write("p-1.0.0.tgz.prov", wrong);
        }
        let ran = world.fails(3, &format!("{push} --force"));
        assert!(ran.stderr.contains("p-1.0.0.tgz.prov"), "{}", ran.stderr);
    }
    assert_eq!(written(&server), before, "nothing was sent");
    // Other bytes, signed well.
    world.ok(&format!("plugin package p --sign --keyring {}", repository("testdata/keys/tour.sec.asc").display()));
    let ran = world.fails(1, &push);
    assert!(ran.stderr.contains(&first) && ran.stderr.contains("--force"), "{}", ran.stderr);
    assert_eq!(written(&server), before);
    let second = digest(&world.ok(&format!("{push} --force")));
    assert_ne!(first, second);
    let again = world.ok(&format!("{push} -o json")).json();
    assert_eq!((&again[0]["action"], &again[0]["digest"]), (&"unchanged".into(), &second.into()));
}

#[test]
fn o_a_token_is_asked_for_writing_and_secrets_stay() {
    let world = signed();
    let elsewhere = Registry::default();
    let other = elsewhere.start();
    let registry = Registry { uploads_at: Some(other.url("")), private: true, ..Registry::default() };
    let server = registry.start();
    let push = format!("plugin push p-1.0.0.tgz {} --plain-http", reference(&server, "team/p"));
    let ran = world.fails(1, &push);
    assert!(ran.stderr.contains("--username"), "{}", ran.stderr);
    // The storage that uploads go to is another host: it gets the bytes and no token.
    let ran = world.tool_with_input(format!("{push} --username ann --password-stdin --debug").split(' '), b"hunter2");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(!ran.stderr.contains("hunter2") && !ran.stderr.contains("secret"), "{}", ran.stderr);
    assert_eq!(elsewhere.keys().len(), 3);
    assert!(other.requests().iter().all(|request| request.header("authorization").is_none()));
    assert_eq!(registry.keys(), ["/v2/team/p/manifests/1.0.0"]);
    let ran = world.tool_with_input(format!("{push} --username ann --password-stdin").split(' '), b"wrong");
    assert_eq!(ran.code, 1);

    // Docker's file holds the same.
    let docker = world.root().join("home/.docker");
    std::fs::create_dir(&docker).unwrap();
    let host = server.url("").replace("http://", "");
    let config = format!(r#"{{"auths":{{"{host}":{{"auth":"YW5uOmh1bnRlcjI="}}}}}}"#);
    std::fs::write(docker.join("config.json"), config).unwrap();
    world.ok(&push);
}

#[test]
fn o_what_cannot_be_pushed_is_said_before_anything_is_sent() {
    let world = signed();
    let server = Registry::default().start();
    let to = |path: &str| format!("{} --plain-http", reference(&server, path));
    world.fails(2, &format!("plugin push p-1.0.0.tgz {}", to("team/p:2.0.0")));
    world.fails(2, &format!("plugin push p-1.0.0.tgz {}", to(&format!("team/p@sha256:{}", "0".repeat(64)))));
    world.fails(2, "plugin push p-1.0.0.tgz https://h/team");
    world.fails(4, &format!("plugin push missing.tgz {}", to("team")));
    world.write("junk.tgz", "junk");
    world.fails(1, &format!("plugin push junk.tgz {}", to("team")));
    world.write("v/plugin.yaml", "name: Upper\nversion: 1.0.0\ncommand: x\n");
    world.ok("plugin package v --sign=false");
    world.fails(2, &format!("plugin push Upper-1.0.0.tgz {} --unsigned", to("team")));
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn o_a_registry_that_fails_is_not_left_with_a_tag() {
    let world = signed();
    let registry = Registry::default();
    let own = registry.clone();
    let server =
        Server::start(move |request, to| match (request.method.as_str(), request.target.contains("/blobs/uploads/")) {
            ("POST", true) => answer(to, "403 x", &[], b""),
            _ => own.answer(request, to),
        });
    let ran = world.fails(1, &format!("plugin push p-1.0.0.tgz {} --plain-http", reference(&server, "team")));
    assert!(ran.stderr.contains("403"), "{}", ran.stderr);
    assert_eq!(registry.keys(), [""; 0]);
}

#[test]
fn o_a_repository_that_is_not_there_and_a_server_without_tls_are_said_so() {
    let world = World::new();
    let server = Registry::default().start();
    for tag in ["", ":1.0.0"] {
        let ran = world.fails(4, &format!("plugin install {}{tag} --plain-http", reference(&server, "team/p")));
        assert!(ran.stderr.contains("has no such repository"), "{}", ran.stderr);
    }
    // What servers of http say to a greeting in TLS.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = io::Read::read(&mut stream, &mut [0; 4096]);
            let _ = io::Write::write_all(&mut stream, b"HTTP/1.0 400 Bad Request\r\n\r\n");
        }
    });
    let ran = world.fails(1, &format!("plugin install oci://{address}/team/p"));
    assert!(ran.stderr.contains("does not speak TLS") && ran.stderr.contains("--plain-http"), "{}", ran.stderr);
}

#[test]
fn o_the_words_of_a_registry_that_refuses_are_passed_on() {
    let world = signed();
    for (status, code, later) in
        [("400 x", 1, false), ("405 x", 1, false), ("409 x", 1, false), ("412 x", 1, false), ("429 x", 5, true)]
    {
        for refuses in ["POST", "PUT"] {
            let registry = Registry::default();
            let server = Server::start(move |request, to| {
                if request.method == refuses && (refuses == "POST" || request.target.contains("/manifests/")) {
                    let headers = [("Retry-After", "0"), ("Content-Type", "application/json")];
                    return answer(to, status, &headers, br#"{"errors":[{"code":"X","message":"tag is\u0007 immutable"}]}"#);
                }
                registry.answer(request, to)
            });
            let ran = world.fails(code, &format!("plugin push p-1.0.0.tgz {} --plain-http", reference(&server, "team")));
            assert!(ran.stderr.contains("tag is\\u{7} immutable"), "{status} {refuses}: {}", ran.stderr);
            assert_eq!(ran.stderr.contains("try again later"), later, "{}", ran.stderr);
        }
    }
}
