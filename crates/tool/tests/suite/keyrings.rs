//! `plugin keyring`, and which keyring counts where none is named.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use sequoia_openpgp::cert::CertBuilder;
use sequoia_openpgp::serialize::SerializeInto as _;
use serde_json::json;

use super::support::http_server::{Server, answer, redirect};
use super::support::{World, repository};

const RSA: &str = "4449EBFAE8D6765BA43875DBAA83CEB327A8536C";
const SUB: &str = "7444A5086AC899084E07CA42DE140300D812217E";
const P256: &str = "6096C5FA0737B5544E6A229D4C9006046631E80D";
const REVOKED: &str = "BF4529EC2D03FED4DE0370BD4FD238E260CB530F";
const EXPIRING: &str = "9FE5415797A52A1379A4E706278629148E4C693D";
const STRANGER: &str = "BADAC19A41BAAC4F0E9722A3976F6ADEC6E20DBA";

fn key(name: &str) -> String {
    repository("testdata/keys").join(name).to_str().unwrap().to_owned()
}

/// The host's own keyring.
fn own(world: &World) -> PathBuf {
    world.root().join("home/.config/tool/keyring")
}

fn names(world: &World) -> Vec<String> {
    world.snapshot(&own(world)).into_keys().collect()
}

/// A package that the key `rsa` signed, in the working directory.
fn package(world: &World) {
    for (from, to) in [("foo-1.0.0.tgz", "foo-1.0.0.tgz"), ("good.prov", "foo-1.0.0.tgz.prov")] {
        fs::copy(repository("testdata/provenance").join(from), world.path(to)).unwrap();
    }
}

/// The state of each key, by fingerprint.
fn states(world: &World) -> Vec<(String, String)> {
    let listed = world.ok("plugin keyring list -o json").json();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    listed.as_array().unwrap().iter().map(|key| (text(&key["fingerprint"]), text(&key["state"]))).collect()
}

#[test]
fn p23_an_added_key_verifies_without_a_flag() {
    let world = World::new();
    package(&world);
    let none = world.fails(3, "plugin verify foo-1.0.0.tgz");
    assert!(none.stderr.contains("plugin keyring add"), "{}", none.stderr);
    let added = world.ok(&format!("plugin keyring add {}", key("rsa.pgp")));
    assert_eq!(added.stdout, format!("Added: {RSA}\nUser id: rsa <rsa@example.org>\nState: valid, does not expire\n"));
    assert!(world.ok("plugin verify foo-1.0.0.tgz").stdout.contains(RSA));

    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(names(&world), [format!("{RSA}.asc")]);
    assert_eq!((mode(own(&world)), mode(own(&world).join(format!("{RSA}.asc")))), (0o700, 0o600));

    let again = world.ok(&format!("plugin keyring add {}", key("rsa.asc")));
    assert!(again.stdout.starts_with(&format!("Already there: {RSA}\n")), "{}", again.stdout);

    assert_eq!(
        world.ok("plugin keyring remove RSA@example.org").stdout,
        format!("Removed: {RSA}\nUser id: rsa <rsa@example.org>\n")
    );
    // An empty keyring trusts nobody: it does not stop counting by itself.
    world.fails(3, "plugin verify foo-1.0.0.tgz");
    assert_eq!(names(&world), [""; 0]);
}

#[test]
fn p23_every_form_of_keyring_can_be_added() {
    for (form, fingerprints) in [
        ("rsa.asc", &[RSA][..]),
        ("two.pgp", &[SUB]),
        ("KEYS", &[SUB]),
        ("pubring.kbx", &[]),
        ("directory", &[RSA, SUB]),
        ("rsa.secret", &[RSA]),
        ("locked.secret", &[]),
    ] {
        let world = World::new();
        world.ok(&format!("plugin keyring add {}", key(form)));
        let listed: Vec<_> = states(&world).into_iter().map(|(fingerprint, _)| fingerprint).collect();
        assert!(
            !listed.is_empty() && fingerprints.iter().all(|key| listed.contains(&(*key).to_owned())),
            "{form}: {listed:?}"
        );
        for name in names(&world) {
            let text = fs::read_to_string(own(&world).join(&name)).unwrap();
            // One certificate a file, and never a secret part.
            assert_eq!(text.matches("BEGIN PGP").count(), 1, "{form}");
            assert!(text.starts_with("-----BEGIN PGP PUBLIC KEY BLOCK-----"), "{form}: {text}");
            assert_eq!(world.ok(&format!("plugin keyring export {}", name.trim_end_matches(".asc"))).stdout, text);
        }
    }
}

#[test]
fn p23_standard_input_and_pipes_are_read() {
    let world = World::new();
    let bytes = fs::read(key("rsa.pgp")).unwrap();
    let ran = world.tool_with_input(["plugin", "keyring", "add", "-"], &bytes);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let mut child = world
        .command(["plugin", "keyring", "add", "/dev/stdin", "--fingerprint", P256])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&fs::read(key("p256.pgp")).unwrap()).unwrap();
    assert!(child.wait_with_output().unwrap().status.success());
    assert_eq!(names(&world), [format!("{RSA}.asc"), format!("{P256}.asc")]);
    let nothing = world.tool_with_input(["plugin", "keyring", "add", "-"], b"");
    assert_eq!(nothing.code, 1);
    assert!(nothing.stderr.contains("standard input holds no OpenPGP key"), "{}", nothing.stderr);
}

#[test]
fn p23_what_can_never_verify_is_not_added() {
    let world = World::new();
    let mut unbound = fs::read(key("rsa.secret")).unwrap();
    // The secret key's packet alone: nobody says whose it is.
    let length = usize::from(u16::from_be_bytes([unbound[1], unbound[2]])) + 3;
    assert_eq!(unbound[0], 0x95);
    unbound.truncate(length);
    world.write("unbound", &unbound);
    world.write("empty", b"");
    world.write("text", b"no key at all\n");
    fs::create_dir(world.path("nothing")).unwrap();
    for (path, why) in [
        ("unbound", "can be used to verify"),
        ("empty", "holds no OpenPGP key"),
        ("text", "holds no OpenPGP key"),
        ("nothing", "holds no OpenPGP key"),
        (&key("rsa1024.pgp"), "too weak"),
        (repository("fuzz/corpus/keyring/cannot-be-written.pgp").to_str().unwrap(), "cannot be written"),
        (&key("revocation.asc"), "holds no OpenPGP key"),
    ] {
        let ran = world.fails(1, &format!("plugin keyring add {path}"));
        assert!(ran.stderr.contains(why) && ran.stdout.is_empty(), "{path}: {}", ran.stderr);
    }
    world.fails(4, "plugin keyring add absent.asc");
    // No attempt may leave an empty keyring behind, which would count from then on.
    assert!(!own(&world).exists());

    let mut both = fs::read(key("rsa1024.pgp")).unwrap();
    both.extend(fs::read(key("rsa.pgp")).unwrap());
    world.write("both", both);
    let ran = world.ok("plugin keyring add both");
    assert!(ran.stderr.contains("was not added") && ran.stdout.contains(RSA), "{}", ran.stderr);
    assert_eq!(names(&world), [format!("{RSA}.asc")]);
}

#[test]
fn p22_what_is_known_of_a_key_is_kept_when_it_is_added_again() {
    let world = World::new();
    world.ok(&format!("plugin keyring add {}", key("not-yet-revoked.pgp")));
    assert_eq!(states(&world), [(REVOKED.to_owned(), "valid".to_owned())]);
    let revoked = world.ok(&format!("plugin keyring add {}", key("revocation.asc")));
    assert!(revoked.stdout.starts_with(&format!("Updated: {REVOKED}\n")), "{}", revoked.stdout);
    assert!(revoked.stdout.contains("State: revoked") && revoked.stderr.contains("is revoked"), "{}", revoked.stderr);
    // A copy from before takes nothing back.
    let older = world.ok(&format!("plugin keyring add {}", key("not-yet-revoked.pgp")));
    assert!(older.stdout.starts_with("Already there"), "{}", older.stdout);
    assert_eq!(states(&world), [(REVOKED.to_owned(), "revoked".to_owned())]);

    let expired = world.ok(&format!("plugin keyring add {}", key("expiring.pgp")));
    assert!(expired.stdout.contains("State: expired on 2024-06-01T"), "{}", expired.stdout);
    let extended = world.ok(&format!("plugin keyring add {}", key("extended.pgp")));
    assert!(extended.stdout.starts_with(&format!("Updated: {EXPIRING}\n")), "{}", extended.stdout);
    assert!(extended.stdout.contains("State: valid"), "{}", extended.stdout);
}

#[test]
fn the_list_shows_every_key_with_its_state() {
    let world = World::new();
    let none = world.ok("plugin keyring list");
    assert!(none.stdout.is_empty() && none.stderr.contains("there are no keys"), "{}", none.stderr);
    assert_eq!(world.ok("plugin keyring list -o json").json(), json!([]));
    for name in ["rsa.pgp", "revoked.pgp", "expiring.pgp"] {
        world.ok(&format!("plugin keyring add {}", key(name)));
    }
    // One that somebody put there by hand.
    fs::copy(key("rsa1024.pgp"), own(&world).join("weak.pgp")).unwrap();
    let listed = world.ok("plugin keyring list -o json").json();
    let schema: serde_json::Value =
        serde_json::from_slice(&fs::read(repository("schema/keyring-list.schema.json")).unwrap()).unwrap();
    let keys =
        |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<std::collections::BTreeSet<_>>();
    for key in listed.as_array().unwrap() {
        assert_eq!(keys(key), keys(&schema["items"]["properties"]));
    }
    assert_eq!(
        listed[0],
        json!({
            "fingerprint": RSA, "userIds": ["rsa <rsa@example.org>"], "created": "2024-01-01T00:00:00Z", "expires": null,
            "state": "valid", "problem": null,
        })
    );
    let states: Vec<_> = states(&world).into_iter().map(|(_, state)| state).collect();
    assert_eq!(states, ["valid", "unusable", "expired", "revoked"]);
    assert_eq!(world.ok("plugin keyring list -o name").stdout.lines().next(), Some(RSA));
    let table = world.ok("plugin keyring ls").stdout;
    assert!(
        table.starts_with("FINGERPRINT") && table.contains("expired") && table.contains("2024-06-01T12:00:00Z"),
        "{table}"
    );
    assert!(world.ok("plugin keyring list -o yaml").stdout.contains("state: revoked"));
}

/// Adds a new key with an address that others have too; its fingerprint.
fn twin(world: &World, file: &str) -> String {
    let (cert, _) = CertBuilder::new().add_userid("Twin <twin@example.org>").add_signing_subkey().generate().unwrap();
    world.write(file, cert.armored().to_vec().unwrap());
    world.ok(&format!("plugin keyring add {file}"));
    cert.fingerprint().to_hex()
}

#[test]
fn k6_a_removal_that_means_several_keys_lists_them() {
    let world = World::new();
    world.ok(&format!("plugin keyring add {}", key("directory")));
    let twins: Vec<String> = ["one", "two"].map(|file| twin(&world, file)).to_vec();
    world.fails(4, "plugin keyring remove nobody@example.org");
    world.fails(4, "plugin keyring remove example.org");
    world.fails(4, &format!("plugin keyring remove {STRANGER}"));
    let before = world.snapshot(&own(&world));
    let ran = world.fails(1, "plugin keyring remove twin@example.org");
    assert!(twins.iter().all(|twin| ran.stderr.contains(twin)) && !ran.stderr.contains(RSA), "{}", ran.stderr);
    assert_eq!(world.snapshot(&own(&world)), before);
    // Several in one command: what fails does not stop the others.
    world.fails(4, &format!("plugin keyring remove 0x{} nobody@example.org 0x{}", &twins[0][24..], &twins[1][24..]));
    assert_eq!(names(&world).len(), before.len() - 2);
    world.fails(4, "plugin keyring add one absent two");
    assert_eq!(names(&world).len(), before.len());
    world.ok(&format!("plugin keyring remove {} {}", twins[0], twins[1]));
    // Spaces as GnuPG prints them.
    let spaced: Vec<String> = RSA.as_bytes().chunks(4).map(|four| String::from_utf8_lossy(four).into_owned()).collect();
    let ran = world.tool(["plugin", "keyring", "remove", &spaced.join(" ").to_lowercase()]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(names(&world), [format!("{SUB}.asc")]);
}

#[test]
fn files_of_others_are_not_changed_by_a_removal() {
    let world = World::new();
    world.ok(&format!("plugin keyring add {}", key("rsa.pgp")));
    let shared = own(&world).join("KEYS");
    fs::write(&shared, [fs::read(key("rsa.pgp")).unwrap(), fs::read(key("p256.pgp")).unwrap()].concat()).unwrap();
    let before = world.snapshot(&own(&world));
    let ran = world.fails(1, &format!("plugin keyring remove {RSA}"));
    assert!(ran.stderr.contains("KEYS") && ran.stderr.contains("by hand"), "{}", ran.stderr);
    assert_eq!(world.snapshot(&own(&world)), before);
    // Nor is a secret key thrown away.
    fs::copy(key("rsa.secret"), &shared).unwrap();
    let ran = world.fails(1, &format!("plugin keyring remove {RSA}"));
    assert!(ran.stderr.contains("secret part"), "{}", ran.stderr);
    assert_eq!(names(&world).len(), 2);
    // A copy under another name goes as well: the key must not stay.
    fs::copy(key("rsa.pgp"), &shared).unwrap();
    world.ok(&format!("plugin keyring remove {RSA}"));
    assert_eq!(names(&world), [""; 0]);
}

#[test]
fn a_plain_file_as_keyring_says_what_to_do() {
    let world = World::new();
    package(&world);
    fs::create_dir_all(own(&world).parent().unwrap()).unwrap();
    fs::copy(key("rsa.pgp"), own(&world)).unwrap();
    for words in [format!("add {}", key("p256.pgp")), format!("remove {RSA}")] {
        let ran = world.fails(1, &format!("plugin keyring {words}"));
        for part in ["is a plain file", "mv ", "plugin keyring add "] {
            assert!(ran.stderr.contains(part), "{}", ran.stderr);
        }
    }
    // It is read all the same.
    assert_eq!(states(&world), [(RSA.to_owned(), "valid".to_owned())]);
    world.ok("plugin verify foo-1.0.0.tgz");
    assert!(world.ok("plugin keyring export").stdout.contains("PUBLIC KEY"));
    // What the message says works.
    let moved = own(&world).with_extension("old");
    fs::rename(own(&world), &moved).unwrap();
    world.ok(&format!("plugin keyring add {}", moved.display()));
    assert_eq!(names(&world), [format!("{RSA}.asc")]);
}

#[test]
fn exported_keys_can_be_added_elsewhere() {
    let world = World::new();
    world.fails(4, "plugin keyring export");
    world.ok(&format!("plugin keyring add {}", key("directory")));
    world.ok("plugin keyring export -o all.asc");
    assert_eq!(fs::metadata(world.path("all.asc")).unwrap().permissions().mode() & 0o777, 0o644);
    assert_eq!(fs::read_to_string(world.path("all.asc")).unwrap(), world.ok("plugin keyring export").stdout);
    world.fails(4, "plugin keyring export nobody@example.org");
    assert!(!world.path("one.asc").exists());
    world.ok("plugin keyring export rsa@example.org --output one.asc");
    let other = World::new();
    other.ok(&format!("plugin keyring add {}", world.path("all.asc").display()));
    assert_eq!(states(&other), states(&world));
    other.ok(&format!("plugin keyring add {} --fingerprint {RSA}", world.path("one.asc").display()));
}

#[test]
fn a_key_that_its_owner_keeps_local_is_kept_whole() {
    let world = World::new();
    let builder = CertBuilder::new().add_userid("Local <local@example.org>").set_exportable(false);
    let (cert, _) = builder.add_signing_subkey().generate().unwrap();
    world.write("local", cert.armored().to_vec().unwrap());
    world.ok("plugin keyring add local");
    assert_eq!(states(&world), [(cert.fingerprint().to_hex(), "valid".to_owned())]);
    assert!(world.ok("plugin keyring export").stdout.contains("BEGIN PGP PUBLIC KEY"));
}

/// A server with https, and the file with its authority.
fn https(world: &World, files: &'static [(&'static str, &'static str)], elsewhere: Option<String>) -> (Server, String) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let key_pair = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let cert = params.self_signed(&key_pair).unwrap();
    let private = PrivateKeyDer::try_from(key_pair.serialize_der()).unwrap();
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![cert.der().clone()], private).unwrap();
    let ca = world.write("ca.pem", cert.pem());
    let server = Server::start_tls(Arc::new(config), move |request, to| {
        match (files.iter().find(|(path, _)| *path == request.target), &elsewhere) {
            (Some((_, file)), _) => answer(to, "200 OK", &[], &fs::read(key(file)).unwrap()),
            (None, Some(elsewhere)) if request.target == "/moved" => redirect(to, elsewhere),
            _ => answer(to, "404 Not Found", &[], b""),
        }
    });
    (server, ca.to_str().unwrap().to_owned())
}

#[test]
fn p22_a_key_from_the_web_needs_its_fingerprint() {
    let world = World::new();
    let plain = Server::files(&[("/rsa.asc", &fs::read(key("rsa.asc")).unwrap())]);
    let (server, ca) = https(&world, &[("/rsa.asc", "rsa.asc"), ("/KEYS", "KEYS")], Some(plain.url("/rsa.asc")));
    let add = |path: &str, rest: &str| format!("plugin keyring add {} --ca-file {ca}{rest}", server.url(path));

    let ran = world.fails(2, &add("/rsa.asc", ""));
    assert!(ran.stderr.contains("--fingerprint"), "{}", ran.stderr);
    for wrong in [&RSA[24..], "rsa@example.org", ""] {
        let ran = world.fails(2, &add("/rsa.asc", &format!(" --fingerprint={wrong}")));
        assert!(ran.stderr.contains("whole fingerprint"), "{}", ran.stderr);
    }
    let url = plain.url("/rsa.asc");
    let ran = world.fails(2, &format!("plugin keyring add {url} --fingerprint {RSA}"));
    assert!(ran.stderr.contains("https"), "{}", ran.stderr);
    assert!(server.requests().is_empty() && plain.requests().is_empty());

    let ran = world.fails(3, &add("/rsa.asc", &format!(" --fingerprint {STRANGER}")));
    assert!(ran.stderr.contains(STRANGER) && ran.stderr.contains(RSA), "{}", ran.stderr);
    world.fails(4, &add("/absent", &format!(" --fingerprint {RSA}")));
    world.fails(1, &add("/moved", &format!(" --fingerprint {RSA}")));
    assert!(plain.requests().is_empty() && !own(&world).exists());

    world.ok(&add("/rsa.asc", &format!(" --fingerprint {}", RSA.to_lowercase())));
    // Of several keys only the one that was asked for is taken.
    world.ok(&add("/KEYS", &format!(" --fingerprint {SUB}")));
    assert_eq!(names(&world), [format!("{RSA}.asc"), format!("{SUB}.asc")]);
    // A file's key can be pinned too; options that would mean nothing are refused.
    let ran = world.fails(3, &format!("plugin keyring add {} --fingerprint {STRANGER}", key("rsa.asc")));
    assert!(ran.stderr.contains("nothing was added"), "{}", ran.stderr);
    world.fails(2, &format!("plugin keyring add {} --ca-file {ca}", key("rsa.asc")));
}

#[test]
fn p23_the_first_keyring_that_exists_counts() {
    let mut world = World::new();
    package(&world);
    let verify = |world: &World, code: i32| world.fails(code, "plugin verify foo-1.0.0.tgz").stderr;
    let gnupg = world.root().join("home/.gnupg");
    fs::create_dir(&gnupg).unwrap();

    // The last: GnuPG's keybox, in the home directory.
    verify(&world, 3);
    fs::copy(key("pubring.kbx"), gnupg.join("pubring.kbx")).unwrap();
    verify(&world, 0);
    // Before it: GnuPG's older file, unless it is empty, as GnuPG leaves it behind.
    fs::write(gnupg.join("pubring.gpg"), b"").unwrap();
    verify(&world, 0);
    fs::copy(key("p256.pgp"), gnupg.join("pubring.gpg")).unwrap();
    assert!(verify(&world, 3).contains("pubring.gpg"));
    fs::copy(key("rsa.pgp"), gnupg.join("pubring.gpg")).unwrap();
    verify(&world, 0);
    // GNUPGHOME is asked instead of the home directory.
    let other = world.path("gnupg");
    fs::create_dir(&other).unwrap();
    world.set("GNUPGHOME", other.to_str().unwrap());
    let stderr = verify(&world, 3);
    assert!(stderr.contains(other.to_str().unwrap()) && !stderr.contains(".gnupg"), "{stderr}");
    fs::copy(key("pubring.kbx"), other.join("pubring.kbx")).unwrap();
    verify(&world, 0);
    fs::create_dir(other.join("public-keys.d")).unwrap();
    fs::rename(other.join("pubring.kbx"), other.join("public-keys.d/pubring.db")).unwrap();
    assert!(verify(&world, 3).contains("gpg --export"));
    world.set("GNUPGHOME", "");
    verify(&world, 0);

    // Before GnuPG's: the host's own. Whoever begins one is told that GnuPG's no longer counts.
    let began = world.ok(&format!("plugin keyring add {}", key("p256.pgp")));
    assert!(began.stderr.contains("from now on") && began.stderr.contains("pubring.gpg"), "{}", began.stderr);
    assert!(verify(&world, 3).contains(own(&world).to_str().unwrap()));
    // The command that takes its keys along works as it is named.
    let command = began.stderr.split('`').find(|part| part.starts_with("tool plugin keyring add")).expect("it names one");
    world.ok(command.strip_prefix("tool ").unwrap());
    verify(&world, 0);
    fs::remove_dir_all(own(&world)).unwrap();
    let all = world.ok(&format!("plugin keyring add --yes {}", key("p256.pgp")));
    assert_eq!(all.stdout.matches("Added: ").count(), 2, "{}", all.stdout);
    verify(&world, 0);
    fs::remove_dir_all(own(&world)).unwrap();
    // GnuPG's own keys leave none behind.
    let itself = world.ok(&format!("plugin keyring add {}", world.root().join("home/.gnupg").display()));
    assert!(!itself.stderr.contains("from now on"), "{}", itself.stderr);
    fs::remove_dir_all(own(&world)).unwrap();
    let secret = world.ok(&format!("plugin keyring add {}", key("sub.secret")));
    assert!(secret.stderr.contains("only public parts are kept"), "{}", secret.stderr);
    for file in fs::read_dir(own(&world)).unwrap() {
        assert!(!fs::read_to_string(file.unwrap().path()).unwrap().contains("PRIVATE"));
    }
    let next = world.ok(&format!("plugin keyring add {}", key("rsa.pgp")));
    assert!(!next.stderr.contains("from now on"), "{}", next.stderr);
    verify(&world, 0);

    // Before that: the variable.
    world.set("TOOL_KEYRING", format!("{}:{}", world.path("absent").display(), key("rsa.pgp")));
    verify(&world, 0);
    let noted = world.ok("plugin keyring list");
    assert!(noted.stderr.contains("TOOL_KEYRING is set"), "{}", noted.stderr);
    world.set("TOOL_KEYRING", world.path("absent").to_str().unwrap());
    assert!(verify(&world, 4).contains("TOOL_KEYRING"));
    world.set("TOOL_KEYRING", key("p256.pgp"));
    verify(&world, 3);
    // Before everything: the flag.
    world.ok(&format!("plugin verify foo-1.0.0.tgz --keyring {}", key("rsa.pgp")));
}

#[test]
fn a_home_directory_of_gnupg_is_left_to_gnupg() {
    let world = World::new();
    fs::create_dir_all(own(&world)).unwrap();
    fs::copy(key("pubring.kbx"), own(&world).join("pubring.kbx")).unwrap();
    let ran = world.fails(1, &format!("plugin keyring add {}", key("rsa.pgp")));
    assert!(ran.stderr.contains("gpg --import"), "{}", ran.stderr);
}

#[test]
fn many_at_once_lose_nothing() {
    let world = World::new();
    let files = ["rsa.pgp", "p256.pgp", "sub.pgp", "not-yet-revoked.pgp", "revoked.pgp", "expiring.pgp", "extended.pgp"];
    let children: Vec<_> = files
        .map(|file| {
            let file = key(file);
            world.command(["plugin", "keyring", "add", &file]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
        })
        .into_iter()
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let states = states(&world);
    assert_eq!(states.len(), 5, "{states:?}");
    assert!(states.contains(&(REVOKED.to_owned(), "revoked".to_owned())), "{states:?}");
    assert!(states.contains(&(EXPIRING.to_owned(), "valid".to_owned())), "{states:?}");
}
