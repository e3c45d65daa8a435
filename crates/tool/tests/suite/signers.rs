//! Who may have signed what comes in, whichever the verb: limits of keys, known signers, revocations and policies hold for
//! install, update, sync, pull and rollback alike, and a digest in a lock file replaces none of them.

use std::fs;

use plugsmith::digest::Sha256Digest;

use crate::support::{Ran, World, repository, snapshot};

const TOUR: &str = "E73208FE0133B7C8A809E83E27415E8C12120722";
const RSA: &str = "4449EBFAE8D6765BA43875DBAA83CEB327A8536C";
const REVOKED: &str = "BF4529EC2D03FED4DE0370BD4FD238E260CB530F";

fn key(name: &str) -> String {
    repository("testdata/keys").join(name).to_str().unwrap().to_owned()
}

/// A world whose own keyring has the tour's key and another one.
fn world() -> World {
    let world = World::new();
    for name in ["tour.asc", "rsa.asc"] {
        world.ok(&format!("plugin keyring add {}", key(name)));
    }
    world
}

/// Puts `p` in `version` at `p.tgz`, signed with a key or by nobody, and writes a lock file that says so.
fn offer(world: &World, version: &str, signer: Option<(&str, &str)>) {
    world.plugin("p", version);
    let sign = signer.map_or_else(|| "--sign=false".to_owned(), |(secret, _)| format!("--sign --keyring {}", key(secret)));
    world.ok(&format!("plugin package p {sign}"));
    let _ = fs::remove_file(world.path("p.tgz.prov"));
    for suffix in ["", ".prov"] {
        let _ = fs::rename(world.path(&format!("p-{version}.tgz{suffix}")), world.path(&format!("p.tgz{suffix}")));
    }
    let verified = match signer {
        Some((_, fingerprint)) => format!("verified = \"signature\"\nsigner = {{fingerprint = \"{fingerprint}\"}}\n"),
        None => "verified = \"digest\"\n".to_owned(),
    };
    lock(world, "p", version, &verified);
}

/// Writes a lock file for `<name>.tgz`.
fn lock(world: &World, name: &str, version: &str, verified: &str) {
    let package = world.path(&format!("{name}.tgz"));
    let (digest, _) = Sha256Digest::of_file(&package).unwrap();
    let text = format!(
        "version = 1\n[[plugin]]\nname = \"{name}\"\nversion = \"{version}\"\nsource = \"{}\"\n{verified}archives = {{any = \"sha256:{digest}\"}}\n",
        package.display()
    );
    world.write("plugins.lock", text);
}

const BY_TOUR: Option<(&str, &str)> = Some(("tour.sec.asc", TOUR));
const BY_RSA: Option<(&str, &str)> = Some(("rsa.secret", RSA));

/// What was true before, and what is offered now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Situation {
    OtherSigner,
    OtherSignerAfterUninstall,
    Unsigned,
    UnsignedAfterUninstall,
    LimitedKey,
    PolicySigners,
}

impl Situation {
    fn world(self) -> World {
        let world = world();
        offer(&world, "1.0.0", BY_TOUR);
        world.ok("plugin install p.tgz");
        if matches!(self, Self::OtherSignerAfterUninstall | Self::UnsignedAfterUninstall) {
            world.ok("plugin uninstall p");
        }
        let signer = match self {
            Self::OtherSigner | Self::OtherSignerAfterUninstall => BY_RSA,
            Self::Unsigned | Self::UnsignedAfterUninstall => None,
            Self::LimitedKey | Self::PolicySigners => BY_TOUR,
        };
        offer(&world, "2.0.0", signer);
        if self == Self::LimitedKey {
            world.ok(&format!("plugin keyring limit {TOUR} --for-name other"));
        }
        if self == Self::PolicySigners {
            let policy = format!("apiVersion: v1\nsigners:\n- {{name: p, fingerprints: [{RSA}]}}\n");
            fs::write(world.root().join("home/.config/tool/policy.yaml"), policy).unwrap();
        }
        world
    }

    /// Whether `--accept-signer` helps: it accepts a signer, and no key or policy.
    fn can_be_accepted(self, verb: &str) -> bool {
        match self {
            Self::OtherSigner | Self::OtherSignerAfterUninstall => true,
            // What nobody signed must be asked for by its digest; only a lock file has that.
            Self::Unsigned | Self::UnsignedAfterUninstall => verb == "plugin sync",
            Self::LimitedKey | Self::PolicySigners => false,
        }
    }
}

#[test]
fn every_verb_asks_the_same_of_a_signer() {
    for situation in [
        Situation::OtherSigner,
        Situation::OtherSignerAfterUninstall,
        Situation::Unsigned,
        Situation::UnsignedAfterUninstall,
        Situation::LimitedKey,
        Situation::PolicySigners,
    ] {
        for verb in ["plugin install --force p.tgz", "plugin update p", "plugin sync", "plugin pull p.tgz -d out"] {
            let world = situation.world();
            if !world.plugins().join("p").exists() && verb.contains("update") {
                continue;
            }
            let before = snapshot(&world.plugins());
            let ran = world.fails(3, verb);
            assert_eq!(snapshot(&world.plugins()), before, "{situation:?} {verb}");
            assert!(!world.path("out").exists(), "{situation:?} {verb}");
            if situation.can_be_accepted(verb) {
                assert!(
                    ran.stderr.contains("--accept-signer") && ran.stderr.contains(TOUR),
                    "{situation:?} {verb}: {}",
                    ran.stderr
                );
            }
            let code = if situation.can_be_accepted(verb) { 0 } else { 3 };
            world.fails(code, &format!("{verb} --accept-signer"));
        }
    }
}

#[test]
fn a_revoked_key_lets_nothing_in_by_any_verb() {
    let prepare = || {
        let world = World::new();
        for (from, to) in [("foo-1.0.0.tgz", "foo.tgz"), ("rev.prov", "foo.tgz.prov")] {
            fs::copy(repository("testdata/provenance").join(from), world.path(to)).unwrap();
        }
        for name in ["not-yet-revoked.pgp", "rsa.asc"] {
            world.ok(&format!("plugin keyring add {}", key(name)));
        }
        world.ok("plugin install foo.tgz");
        world.ok("plugin lock");
        world
    };
    let revoke = |world: &World| world.ok(&format!("plugin keyring add {}", key("revocation.asc")));
    for (verb, uninstalled) in [
        ("plugin install foo.tgz --force", false),
        ("plugin install foo.tgz", true),
        ("plugin sync", true),
        ("plugin sync --accept-signer", true),
        ("plugin pull foo.tgz -d out", false),
    ] {
        let world = prepare();
        revoke(&world);
        if uninstalled {
            world.ok("plugin uninstall foo");
        }
        let before = snapshot(&world.plugins());
        let ran = world.fails(3, verb);
        assert!(ran.stderr.contains("revoked"), "{verb}: {}", ran.stderr);
        assert_eq!(snapshot(&world.plugins()), before, "{verb}");
    }
    // The older version is the one that the revoked key signed.
    let world = prepare();
    let package = |version: &str| {
        world.plugin("foo", version);
        world.ok(&format!("plugin package foo --sign --keyring {}", key("rsa.secret")));
        format!("foo-{version}.tgz")
    };
    world.ok(&format!("plugin install --force --accept-signer {}", package("2.0.0")));
    revoke(&world);
    refuses_to_roll_back(&world, "foo", &[REVOKED, "is revoked"]);
    // And the newer one, from where an update looks.
    fs::copy(world.path("foo-2.0.0.tgz"), world.path("foo-2.tgz")).unwrap();
    for (from, to) in [(package("0.9.0"), "foo.tgz"), ("foo-0.9.0.tgz.prov".to_owned(), "foo.tgz.prov")] {
        fs::rename(world.path(&from), world.path(to)).unwrap();
    }
    world.ok("plugin install --force foo.tgz --accept-signer");
    for (from, to) in [("foo-1.0.0.tgz", "foo.tgz"), ("rev.prov", "foo.tgz.prov")] {
        fs::copy(repository("testdata/provenance").join(from), world.path(to)).unwrap();
    }
    assert!(world.fails(3, "plugin update foo --accept-signer").stderr.contains("revoked"));
}

fn refuses_to_roll_back(world: &World, name: &str, parts: &[&str]) {
    let before = snapshot(&world.plugins());
    let Ran { stderr, .. } = world.fails(3, &format!("plugin rollback {name}"));
    for part in parts {
        assert!(stderr.contains(part), "{part}: {stderr}");
    }
    assert_eq!(snapshot(&world.plugins()), before);
}

#[test]
fn a_rollback_asks_what_the_kept_signer_may_sign_today() {
    let two_versions = || {
        let world = world();
        offer(&world, "1.0.0", BY_TOUR);
        world.ok("plugin install p.tgz");
        offer(&world, "2.0.0", BY_RSA);
        world.ok("plugin update p --accept-signer");
        world
    };
    let world = two_versions();
    world.ok(&format!("plugin keyring limit {TOUR} --for-name other"));
    refuses_to_roll_back(&world, "p", &[TOUR, "may only sign", "keyring limit"]);
    world.ok(&format!("plugin keyring limit {TOUR}"));
    let policy = world.root().join("home/.config/tool/policy.yaml");
    fs::write(&policy, format!("apiVersion: v1\nsigners:\n- {{name: p, fingerprints: [{RSA}]}}\n")).unwrap();
    refuses_to_roll_back(&world, "p", &["policy.yaml:3"]);
    fs::remove_file(policy).unwrap();
    world.ok("plugin rollback p");
    assert_eq!(world.ok("p").stdout, "p 1.0.0\n");
}

#[test]
fn only_the_user_does_without_a_known_signer() {
    let world = world();
    offer(&world, "1.0.0", BY_TOUR);
    world.ok("plugin install p.tgz");
    offer(&world, "2.0.0", None);
    let (digest, _) = Sha256Digest::of_file(&world.path("p.tgz")).unwrap();
    let ran = world.ok(&format!("plugin install --force p.tgz --digest sha256:{digest}"));
    assert!(ran.stderr.contains("warning") && ran.stderr.contains(TOUR), "{}", ran.stderr);
    // Who is pinned for this source is still known.
    world.ok("plugin uninstall p");
    for verified in ["verified = \"digest\"\n", "verified = \"none\"\n", ""] {
        lock(&world, "p", "2.0.0", verified);
        assert!(world.fails(3, "plugin sync").stderr.contains("nobody signed this"));
    }
    world.ok("plugin untrust p");
    world.ok("plugin sync");
}

/// How `list` has the plugin `p`.
fn verified(world: &World) -> (String, Option<String>) {
    let list = world.ok("plugin list -o json").json();
    let verified = &list[0]["verified"];
    (verified["by"].as_str().unwrap().to_owned(), verified["fingerprint"].as_str().map(str::to_owned))
}

#[test]
fn a_sync_lists_no_more_than_the_lock_file_says_and_no_less_than_was_verified() {
    let world = world();
    let signed = || ("signature".to_owned(), Some(TOUR.to_owned()));
    offer(&world, "1.0.0", BY_TOUR);
    world.ok("plugin install p.tgz");
    world.ok("plugin lock");
    assert!(fs::read_to_string(world.path("plugins.lock")).unwrap().contains("verified = \"signature\""));
    world.ok("plugin uninstall p");
    world.ok("plugin sync");
    assert_eq!(verified(&world), signed());
    world.ok("plugin export mirror");
    world.ok("plugin uninstall p");
    world.ok("plugin sync --offline --mirror mirror");
    assert_eq!(verified(&world), signed());
    // The same bytes, of which the receipt knows less, are verified anew.
    world.ok("plugin install --force p.tgz --verify=false");
    world.fails(10, "plugin sync --check");
    world.ok("plugin sync");
    assert_eq!(verified(&world), signed());
    world.ok("plugin sync --check");

    for (install, word) in [("--verify=false", "none"), ("--digest", "digest")] {
        let world = World::new();
        offer(&world, "1.0.0", None);
        let (digest, _) = Sha256Digest::of_file(&world.path("p.tgz")).unwrap();
        let install = if word == "digest" { format!("{install} sha256:{digest}") } else { install.to_owned() };
        world.ok(&format!("plugin install p.tgz {install}"));
        let locked = world.ok("plugin lock");
        assert_eq!(locked.stderr.contains("p is not verified"), word == "none", "{}", locked.stderr);
        assert!(fs::read_to_string(world.path("plugins.lock")).unwrap().contains(&format!("verified = \"{word}\"")));
        world.ok("plugin uninstall p");
        world.ok("plugin sync");
        assert_eq!(verified(&world), (word.to_owned(), None));
        // Unverified is not unchecked.
        world.ok("plugin uninstall p");
        offer(&world, "1.0.0", BY_TOUR);
        fs::rename(world.path("plugins.lock"), world.path("new.lock")).unwrap();
        world.write("p/run.sh", "#!/bin/sh\necho other\n");
        world.ok("plugin package p --sign=false");
        lock(&world, "p", "1.0.0", &format!("verified = \"{word}\"\n"));
        fs::rename(world.path("p-1.0.0.tgz"), world.path("p.tgz")).unwrap();
        world.fails(3, "plugin sync");
    }
}

#[test]
fn what_a_lock_file_says_of_a_signer_is_verified() {
    let signed_by = |fingerprint: &str| format!("verified = \"signature\"\nsigner = {{fingerprint = \"{fingerprint}\"}}\n");
    let old = format!("signer = {{fingerprint = \"{TOUR}\"}}\n");
    let fresh = |verified: &str| {
        let world = world();
        offer(&world, "1.0.0", BY_TOUR);
        lock(&world, "p", "1.0.0", verified);
        world
    };
    for entry in [&signed_by(TOUR), &old] {
        let world = fresh(entry);
        world.ok("plugin sync --frozen");
        assert_eq!(verified(&world), ("signature".to_owned(), Some(TOUR.to_owned())));

        let world = fresh(entry);
        fs::remove_file(world.path("p.tgz.prov")).unwrap();
        let ran = world.fails(3, "plugin sync");
        assert!(ran.stderr.contains(TOUR) && ran.stderr.contains("p.tgz.prov"), "{}", ran.stderr);
        assert!(!world.plugins().join("p").exists());

        // The key is not among those that this machine knows.
        let world = fresh(entry);
        world.ok(&format!("plugin keyring remove {TOUR}"));
        world.fails(3, "plugin sync");
    }
    let ran = fresh(&signed_by(RSA)).fails(3, "plugin sync");
    assert!(ran.stderr.contains(TOUR) && ran.stderr.contains(RSA), "{}", ran.stderr);
    fresh(&signed_by(RSA)).fails(3, "plugin sync --accept-signer");
    // Without any keys there is the digest, and it is said to be no more.
    let world = World::new();
    offer(&world, "1.0.0", BY_TOUR);
    let ran = world.ok("plugin sync");
    assert!(ran.stderr.contains("no keyring") && ran.stderr.contains("digest"), "{}", ran.stderr);
    assert_eq!(verified(&world), ("digest".to_owned(), None));
    world.ok("plugin sync --check");
}
