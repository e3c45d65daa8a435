//! The situations in which messages name next steps.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::Step::{Cures, Meant, Option as Opt, Shell, Thing, Works};
use super::{Case, key};
use crate::support::{World, git, repository};

const RSA: &str = "4449EBFAE8D6765BA43875DBAA83CEB327A8536C";

fn install_p(world: &mut World) {
    world.plugin("p", "1.0.0");
    world.ok("plugin package p --sign=false");
    world.ok("plugin install p-1.0.0.tgz --verify=false");
}

/// The package of `p` 1.0.0, signed by the tour's key, which nobody knows yet.
fn signed(world: &mut World) {
    world.plugin("p", "1.0.0");
    world.ok(&format!("plugin package p --keyring {}", key("tour.sec.asc")));
}

/// `p` 1.0.0 installed by its signature, and then changed.
fn changed(world: &mut World) {
    signed(world);
    world.ok(&format!("plugin keyring add {}", key("tour.asc")));
    world.ok("plugin install p-1.0.0.tgz");
    fs::write(world.plugins().join("p/run.sh"), "#!/bin/sh\necho changed\n").unwrap();
}

/// `p` 1.0.0 of a key that is known, and a package of 2.0.0 in `p-2.0.0.tgz` that another known key signed.
fn other_signer(world: &mut World) {
    for name in ["tour.asc", "rsa.asc"] {
        world.ok(&format!("plugin keyring add {}", key(name)));
    }
    signed(world);
    fs::create_dir(world.path("at")).unwrap();
    for suffix in ["", ".prov"] {
        fs::rename(world.path(&format!("p-1.0.0.tgz{suffix}")), world.path(&format!("at/p.tgz{suffix}"))).unwrap();
    }
    world.ok("plugin install at/p.tgz");
    world.plugin("p", "2.0.0");
    world.ok(&format!("plugin package p --keyring {}", key("rsa.secret")));
    for suffix in ["", ".prov"] {
        fs::rename(world.path(&format!("p-2.0.0.tgz{suffix}")), world.path(&format!("at/p.tgz{suffix}"))).unwrap();
    }
}

/// `p` from a package whose file changes from version to version.
fn moving(world: &World, from: &str, to: &str) {
    for version in [from, to] {
        world.plugin("p", version);
        world.ok("plugin package p --sign=false");
        fs::rename(world.path(&format!("p-{version}.tgz")), world.path("p.tgz")).unwrap();
        if version == from {
            world.ok("plugin install p.tgz --verify=false");
        }
    }
}

fn hooked(world: &mut World) {
    world.plugin("p", "1.0.0");
    let manifest = fs::read_to_string(world.path("p/plugin.yaml")).unwrap();
    world
        .write("p/plugin.yaml", format!("{manifest}hooks:\n  install: \"true\"\n  delete: \"false\"\n  update: \"true\"\n"));
    world.ok("plugin package p --sign=false");
}

/// A signed git repository's commit, which nothing signed.
fn repository_of_p(world: &mut World) {
    let dir = world.plugin("p", "1.0.0");
    for words in [&["init", "-q", "-b", "main"][..], &["add", "."], &["commit", "-q", "-m", "x"], &["tag", "v1.0.0"]] {
        git(&dir, words);
    }
}

pub(super) const CASES: &[Case] = &[
    Case {
        what: "a verb of the group without the group",
        make: |world| drop(world.plugin("p", "1.0.0")),
        line: "install ./p",
        fill: &[],
        steps: &[Meant("install", "tool plugin install ./p")],
    },
    Case {
        what: "a slip in a verb of the group without the group",
        make: |world| drop(world.plugin("p", "1.0.0")),
        line: "isntall ./p",
        fill: &[],
        steps: &[Meant("isntall", "tool plugin install ./p")],
    },
    Case {
        what: "a slip in a plugin's name",
        make: |world| {
            world.plugin("hello", "1.0.0");
            world.ok("plugin install hello");
        },
        line: "helo",
        fill: &[],
        steps: &[Meant("helo", "hello")],
    },
    Case {
        what: "an unknown word",
        make: |_| (),
        line: "qqqqqq",
        fill: &[],
        steps: &[Works("tool help"), Works("tool plugin list")],
    },
    Case {
        what: "a plugin that is not there",
        make: |_| (),
        line: "plugin info qqqqqq",
        fill: &[],
        steps: &[Works("tool plugin list")],
    },
    Case {
        what: "nothing trusted under a name",
        make: |_| (),
        line: "plugin untrust qqqqqq",
        fill: &[],
        steps: &[Works("tool plugin trust")],
    },
    Case {
        what: "neither a package nor a plugin",
        make: |_| (),
        line: "plugin verify qqqqqq",
        fill: &[],
        steps: &[Works("tool plugin list")],
    },
    Case {
        what: "nothing to explain",
        make: |_| (),
        line: "plugin doctor --policy qqqqqq",
        fill: &[],
        steps: &[Works("tool plugin list")],
    },
    Case {
        what: "a package nearly of that name, to lint",
        make: signed,
        line: "plugin lint p-1.0.1.tgz",
        fill: &[],
        steps: &[Meant("p-1.0.1.tgz", "p-1.0.0.tgz")],
    },
    Case {
        what: "a directory nearly of that name, to package",
        make: |world| drop(world.plugin("hello", "1.0.0")),
        line: "plugin package helo --sign=false",
        fill: &[],
        steps: &[Meant("helo", "hello")],
    },
    Case {
        what: "a package nearly of that name, to sign",
        make: signed,
        line: "plugin sign p-1.0.1.tgz --keyring @keys@/tour.sec.asc",
        fill: &[],
        steps: &[Meant("p-1.0.1.tgz", "p-1.0.0.tgz")],
    },
    Case {
        what: "a package nearly of that name, to verify",
        make: signed,
        line: "plugin verify p-1.0.1.tgz --keyring @keys@/tour.asc",
        fill: &[],
        steps: &[Meant("p-1.0.1.tgz", "p-1.0.0.tgz")],
    },
    Case {
        what: "a package nearly of that name, to install",
        make: signed,
        line: "plugin install ./p-1.0.1.tgz --keyring @keys@/tour.asc",
        fill: &[],
        steps: &[Meant("./p-1.0.1.tgz", "./p-1.0.0.tgz")],
    },
    Case {
        what: "a package nearly of that name, to pull",
        make: signed,
        line: "plugin pull ./p-1.0.1.tgz -d . --keyring @keys@/tour.asc",
        fill: &[],
        steps: &[Meant("./p-1.0.1.tgz", "./p-1.0.0.tgz")],
    },
    Case {
        what: "a key's file nearly of that name",
        make: |world| drop(world.write("ann.asc", fs::read(key("tour.asc")).unwrap())),
        line: "plugin keyring add ane.asc",
        fill: &[],
        steps: &[Meant("ane.asc", "ann.asc")],
    },
    Case {
        what: "a directory to verify",
        make: |world| drop(world.plugin("p", "1.0.0")),
        line: "plugin verify ./p",
        fill: &[],
        steps: &[Works("tool plugin lint")],
    },
    Case {
        what: "a changed plugin",
        make: changed,
        line: "p",
        fill: &[],
        steps: &[Cures("tool plugin restore"), Cures("tool plugin trust")],
    },
    Case {
        what: "a changed plugin, verified",
        make: changed,
        line: "plugin verify p",
        fill: &[],
        steps: &[Cures("tool plugin restore")],
    },
    Case {
        what: "a changed plugin, for the doctor",
        make: changed,
        line: "plugin doctor",
        fill: &[],
        steps: &[Cures("tool plugin restore")],
    },
    Case {
        what: "a changed plugin, installed again",
        make: changed,
        line: "plugin install p-1.0.0.tgz",
        fill: &[],
        steps: &[Cures("tool plugin restore"), Opt("--force")],
    },
    Case {
        what: "a broken plugin",
        make: |world| {
            changed(world);
            fs::write(world.plugins().join("p/plugin.yaml"), "name: [").unwrap();
        },
        line: "p",
        fill: &[],
        steps: &[Cures("tool plugin restore"), Works("tool plugin uninstall")],
    },
    Case {
        what: "a plugin that everybody may change",
        make: |world| {
            install_p(world);
            fs::set_permissions(world.plugins().join("p/run.sh"), fs::Permissions::from_mode(0o777)).unwrap();
        },
        line: "p",
        fill: &[],
        steps: &[Shell("chmod o-w")],
    },
    Case {
        what: "a plugin without a receipt, updated",
        make: |world| {
            world.plugin("p", "1.0.0");
            fs::create_dir_all(world.plugins()).unwrap();
            fs::rename(world.path("p"), world.plugins().join("p")).unwrap();
            world.plugin("p", "1.0.0");
        },
        line: "plugin update p",
        fill: &[("SOURCE", "./p")],
        steps: &[Works("tool plugin install --force")],
    },
    Case {
        what: "a plugin without a receipt, for the doctor",
        make: |world| {
            world.plugin("p", "1.0.0");
            fs::create_dir_all(world.plugins()).unwrap();
            fs::rename(world.path("p"), world.plugins().join("p")).unwrap();
            world.plugin("p", "1.0.0");
        },
        line: "plugin doctor",
        fill: &[("SOURCE", "./p")],
        steps: &[Works("tool plugin install --force")],
    },
    Case {
        what: "another version in the place",
        make: |world| moving(world, "1.0.0", "2.0.0"),
        line: "plugin install p.tgz --verify=false",
        fill: &[],
        steps: &[Works("tool plugin update p"), Opt("--force")],
    },
    Case {
        what: "an older version in the source",
        make: |world| moving(world, "2.0.0", "1.0.0"),
        line: "plugin update p",
        fill: &[],
        steps: &[Opt("--to 1.0.0")],
    },
    Case {
        what: "an older version in the place of another",
        make: |world| moving(world, "2.0.0", "1.0.0"),
        line: "plugin install p.tgz --verify=false",
        fill: &[],
        steps: &[Opt("--force")],
    },
    Case {
        what: "a link that points nowhere in the place",
        make: |world| {
            world.plugin("p", "1.0.0");
            fs::create_dir_all(world.plugins()).unwrap();
            std::os::unix::fs::symlink("/nowhere", world.plugins().join("p")).unwrap();
        },
        line: "plugin install ./p",
        fill: &[],
        steps: &[Opt("--force")],
    },
    Case {
        what: "a pinned plugin",
        make: |world| {
            moving(world, "1.0.0", "2.0.0");
            world.ok("plugin pin p");
        },
        line: "plugin update p",
        fill: &[],
        steps: &[Cures("tool plugin unpin")],
    },
    Case {
        what: "no plugin named to update",
        make: install_p,
        line: "plugin update",
        fill: &[],
        steps: &[Opt("--all"), Works("tool plugin outdated")],
    },
    Case {
        what: "no plugin named to restore",
        make: |world| {
            changed(world);
        },
        line: "plugin restore",
        fill: &[],
        steps: &[Opt("--all")],
    },
    Case {
        what: "no provenance",
        make: |world| {
            install_p(world);
            world.ok("plugin uninstall p");
        },
        line: "plugin install p-1.0.0.tgz",
        fill: &[],
        steps: &[Thing("p-1.0.0.tgz.prov"), Thing("--digest sha256:"), Opt("--verify=false")],
    },
    Case {
        what: "an unknown signer",
        make: signed,
        line: "plugin install p-1.0.0.tgz",
        fill: &[("FILE", "@keys@/tour.asc")],
        steps: &[Cures("tool plugin keyring add FILE"), Opt("--keyring FILE")],
    },
    Case {
        what: "an unknown signer, verified",
        make: signed,
        line: "plugin verify p-1.0.0.tgz",
        fill: &[("FILE", "@keys@/tour.asc")],
        steps: &[Cures("tool plugin keyring add FILE"), Opt("--keyring FILE")],
    },
    Case {
        what: "a key that expired since it signed",
        make: |world| {
            for (from, to) in [("foo-1.0.0.tgz", "foo-1.0.0.tgz"), ("exp_inlife.prov", "foo-1.0.0.tgz.prov")] {
                world.write(to, fs::read(repository("testdata/provenance").join(from)).unwrap());
            }
        },
        line: "plugin install foo-1.0.0.tgz --keyring @keys@/expiring.pgp",
        fill: &[],
        steps: &[Opt("--allow-expired-key")],
    },
    Case {
        what: "another signer, updated",
        make: other_signer,
        line: "plugin update p",
        fill: &[],
        steps: &[Opt("--accept-signer")],
    },
    Case {
        what: "another signer, installed",
        make: other_signer,
        line: "plugin install --force at/p.tgz",
        fill: &[],
        steps: &[Opt("--accept-signer")],
    },
    Case {
        what: "another signer, pulled",
        make: other_signer,
        line: "plugin pull at/p.tgz -d .",
        fill: &[],
        steps: &[Opt("--accept-signer")],
    },
    Case {
        what: "a limited signer",
        make: |world| {
            signed(world);
            world.ok(&format!("plugin keyring add {} --for-name other", key("tour.asc")));
        },
        line: "plugin install p-1.0.0.tgz",
        fill: &[],
        steps: &[Cures("tool plugin keyring limit")],
    },
    Case {
        what: "no lock file",
        make: install_p,
        line: "plugin sync",
        fill: &[("FILE", "other.lock")],
        steps: &[Cures("tool plugin lock")],
    },
    Case {
        what: "a lock file elsewhere",
        make: |world| {
            install_p(world);
            world.ok("plugin lock --lock-file other.lock");
        },
        line: "plugin sync",
        fill: &[("FILE", "other.lock")],
        steps: &[Works("tool plugin sync --lock-file FILE")],
    },
    Case {
        what: "a hook of what nobody verified",
        make: hooked,
        line: "plugin install p-1.0.0.tgz --verify=false",
        fill: &[],
        steps: &[Opt("--yes"), Opt("--no-hooks")],
    },
    Case {
        what: "a hook that fails",
        make: |world| {
            hooked(world);
            world.ok("plugin install p-1.0.0.tgz --verify=false --yes");
        },
        line: "plugin uninstall p",
        fill: &[],
        steps: &[Opt("--no-hooks")],
    },
    Case {
        what: "no key to sign with",
        make: |world| {
            world.plugin("p", "1.0.0");
            world.set("GNUPGHOME", world.path("none").to_str().unwrap());
        },
        line: "plugin package p",
        fill: &[("FILE", "@keys@/tour.sec.asc"), ("DIR", "p")],
        steps: &[Thing("gpg --quick-gen-key"), Opt("--keyring FILE"), Works("tool plugin package --sign=false DIR")],
    },
    Case {
        what: "several keys to sign with",
        make: |world| drop(world.plugin("p", "1.0.0")),
        line: "plugin package p --keyring @keys@/tour.sec.asc --keyring @keys@/rsa.secret",
        fill: &[("KEY", RSA)],
        steps: &[Opt("--key KEY")],
    },
    Case {
        what: "a package that nobody signed, pushed",
        make: |world| {
            world.plugin("p", "1.0.0");
            world.ok("plugin package p --sign=false");
            world.set("TOOL_KEYRING", key("tour.sec.asc"));
        },
        line: "plugin push p-1.0.0.tgz oci://127.0.0.1:9/team --plain-http",
        fill: &[],
        steps: &[Works("tool plugin sign")],
    },
    Case {
        what: "a key that nobody has",
        make: |_| (),
        line: "plugin keyring remove ann@example.com",
        fill: &[],
        steps: &[Works("tool plugin keyring list")],
    },
    Case {
        what: "a keyring that is one file",
        make: |world| {
            let home = world.root().join("home/.config/tool");
            fs::create_dir_all(&home).unwrap();
            fs::copy(key("rsa.pgp"), home.join("keyring")).unwrap();
        },
        line: "plugin keyring add @keys@/tour.asc",
        fill: &[],
        steps: &[Shell("mv ")],
    },
    Case {
        what: "something in the place of a new plugin",
        make: |world| drop(world.write("p/x", "x")),
        line: "plugin create p",
        fill: &[("DIR", "@here@/elsewhere")],
        steps: &[Opt("--destination DIR")],
    },
    Case {
        what: "a commit that nobody signed",
        make: repository_of_p,
        line: "plugin install git+file://@here@/p",
        fill: &[],
        steps: &[Opt("--version"), Opt("--verify=false")],
    },
    Case {
        what: "a directory that nobody may write to",
        make: |world| {
            install_p(world);
            world.set("TOOL_DATA_HOME", "/sys/plugsmith");
        },
        line: "plugin install ./p",
        fill: &[],
        steps: &[Works("tool env")],
    },
    Case {
        what: "no provenance, verified",
        make: |world| {
            install_p(world);
            let (digest, _) = plugsmith::digest::Sha256Digest::of_file(&world.path("p-1.0.0.tgz")).unwrap();
            world.write("digest", format!("sha256:{digest}"));
        },
        line: "plugin verify p-1.0.0.tgz",
        fill: &[("sha256:...", "$(cat digest)")],
        steps: &[Thing("p-1.0.0.tgz.prov"), Opt("--digest sha256:")],
    },
    Case {
        what: "another signer, looked for",
        make: other_signer,
        line: "plugin outdated p --keyring @keys@/rsa.asc",
        fill: &[],
        steps: &[Works("tool plugin update p --accept-signer")],
    },
    Case {
        what: "the first own key, where GnuPG has others",
        make: |world| {
            let home = world.root().join("home/.gnupg");
            fs::create_dir_all(&home).unwrap();
            fs::copy(key("pubring.kbx"), home.join("pubring.kbx")).unwrap();
        },
        line: "plugin keyring add @keys@/tour.asc",
        fill: &[],
        steps: &[Works("tool plugin keyring add")],
    },
    Case {
        what: "accepted changes",
        make: |world| {
            changed(world);
            world.ok("plugin trust p");
        },
        line: "plugin doctor",
        fill: &[],
        steps: &[Works("tool plugin untrust")],
    },
    Case {
        what: "no lock file of another name",
        make: install_p,
        line: "plugin sync --lock-file team.lock",
        fill: &[],
        steps: &[Cures("tool plugin lock --lock-file")],
    },
];
