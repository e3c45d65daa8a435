//! `policy.yaml`: what an organisation allows, on every way in and before every run.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use plugsmith::digest::Sha256Digest;

use crate::support::http_server::{Server, answer, redirect};
use crate::support::{Ran, World, git, repository, snapshot};

const TOUR: &str = "E73208FE0133B7C8A809E83E27415E8C12120722";

/// A world whose keyring has the tour's key and another one.
fn world() -> World {
    let mut world = World::new();
    let keys = ["tour.asc", "rsa.asc"].map(|name| repository("testdata/keys").join(name).to_str().unwrap().to_owned());
    world.set("TOOL_KEYRING", keys.join(":"));
    world
}

/// Makes `p-<version>.tgz` with its provenance by the tour's key.
fn package(world: &World, version: &str) {
    world.plugin("p", version);
    world.ok(&format!("plugin package p --sign --keyring {}", repository("testdata/keys/tour.sec.asc").display()));
}

fn config(world: &World) -> PathBuf {
    let directory = world.root().join("home/.config/tool");
    fs::create_dir_all(&directory).unwrap();
    directory
}

/// Writes the user's policy.
fn policy(world: &World, text: &str) {
    fs::write(config(world).join("policy.yaml"), text).unwrap();
}

/// A refusal names the policy and the line.
fn names_rule(ran: &Ran, line: u32) {
    assert!(ran.stderr.contains(&format!("policy.yaml:{line}")), "{}", ran.stderr);
}

fn installed(world: &World) -> bool {
    world.plugins().join("p").exists()
}

#[test]
fn p_the_least_that_counts_holds_on_every_way_in() {
    let world = world();
    package(&world, "1.0.0");
    let digest = Sha256Digest::of_file(&world.path("p-1.0.0.tgz")).unwrap().0;
    fs::copy(world.path("p-1.0.0.tgz"), world.path("bare.tgz")).unwrap();
    for (least, words, code) in [
        ("signature", "p-1.0.0.tgz", 0),
        ("signature", "p-1.0.0.tgz --verify=false", 0),
        ("signature", "bare.tgz", 3),
        ("signature", "bare.tgz --verify=false", 3),
        ("signature", "bare.tgz --digest sha256:DIGEST", 3),
        ("signature", "p-1.0.0.tgz --digest sha256:DIGEST", 0),
        ("signature", "p", 3),
        ("signature", "p --copy", 3),
        ("digest", "bare.tgz --digest sha256:DIGEST", 0),
        ("digest", "bare.tgz --verify=false", 3),
        ("digest", "p", 3),
        ("none", "bare.tgz --verify=false", 0),
        ("none", "p", 0),
    ] {
        policy(&world, &format!("apiVersion: v1\nverification: {least}\n"));
        let ran = world.tool(format!("plugin install {}", words.replace("DIGEST", &digest.to_string())).split(' '));
        assert_eq!(ran.code, code, "{least} {words}: {}", ran.stderr);
        assert_eq!(installed(&world), code == 0, "{least} {words}");
        if code == 0 {
            world.ok("plugin uninstall p");
        } else if words != "bare.tgz" {
            names_rule(&ran, 2);
        }
        let list = world.ok("plugin list -o json").json();
        assert_eq!(list.as_array().unwrap().len(), 0);
    }
    // What is raised shows in the receipt.
    policy(&world, "verification: signature\n");
    world.ok("plugin install p-1.0.0.tgz --verify=false");
    assert_eq!(world.ok("plugin list -o json").json()[0]["verified"]["by"], "signature");
}

#[test]
fn settings_and_the_environment_loosen_nothing() {
    let mut world = world();
    package(&world, "1.0.0");
    fs::remove_file(world.path("p-1.0.0.tgz.prov")).unwrap();
    fs::write(config(&world).join("config.yaml"), "verify: false\ngate: off\n").unwrap();
    world.ok("plugin install p-1.0.0.tgz");
    world.ok("p");
    policy(&world, "verification: signature\nplugins: {deny: [q]}\n");
    names_rule(&world.fails(3, "plugin install p-1.0.0.tgz --force"), 1);
    names_rule(&world.fails(3, "p"), 1);
    // Nor does another policy.
    let loose = world.write("loose.yaml", "verification: none\nhooks: allow\n");
    world.set("TOOL_POLICY", loose.to_str().unwrap());
    names_rule(&world.fails(3, "p"), 1);
    let strict = world.write("strict.yaml", "plugins:\n  deny: [p]\n");
    world.set("TOOL_POLICY", strict.to_str().unwrap());
    fs::remove_file(config(&world).join("policy.yaml")).unwrap();
    let ran = world.fails(1, "p");
    assert!(ran.stderr.contains("strict.yaml:2"), "{}", ran.stderr);
}

#[test]
fn s_a_denied_plugin_neither_comes_nor_runs() {
    let world = world();
    package(&world, "1.0.0");
    world.plugin("q", "1.0.0");
    world.ok("plugin install p-1.0.0.tgz q");
    world.ok("p");
    policy(&world, "apiVersion: v1\nplugins:\n  deny:\n  - \"P\"\n");
    let before = snapshot(&world.plugins());
    for words in ["p", "plugin exec p", "help p", "plugin install p-1.0.0.tgz --force", "plugin install p --force"] {
        let ran = world.fails(1, words);
        names_rule(&ran, 4);
        assert!(ran.stdout.is_empty(), "{words}: {}", ran.stdout);
    }
    assert_eq!(snapshot(&world.plugins()), before);
    assert_eq!(world.ok("q").stdout, "q 1.0.0\n", "others run");
    world.ok("plugin uninstall p");
}

#[test]
fn what_is_too_weak_or_by_another_signer_no_longer_runs() {
    let world = world();
    package(&world, "1.0.0");
    world.plugin("q", "1.0.0");
    world.ok("plugin install p-1.0.0.tgz q");
    let by_hand = world.plugins().join("by-hand");
    fs::create_dir_all(&by_hand).unwrap();
    fs::write(by_hand.join("plugin.yaml"), "name: by-hand\nversion: 1.0.0\ncommand: echo\n").unwrap();
    world.ok("by-hand x");
    policy(&world, "verification: digest\n");
    world.ok("p");
    names_rule(&world.fails(3, "q"), 1);
    names_rule(&world.fails(3, "by-hand x"), 1);
    policy(&world, &format!("signers:\n- {{name: p, fingerprints: [{}]}}\n", "0".repeat(40)));
    let ran = world.fails(3, "p");
    names_rule(&ran, 2);
    assert!(ran.stderr.contains(TOUR) && ran.stderr.contains(&"0".repeat(40)), "both are shown: {}", ran.stderr);
    world.ok("q");
    policy(&world, &format!("signers:\n- {{name: p, fingerprints: [{TOUR}]}}\n"));
    world.ok("p");
    // By the source as well.
    let source = format!("file://{}/**", world.path("").canonicalize().unwrap().display());
    policy(&world, &format!("signers:\n- {{source: \"{source}\", fingerprints: [{}]}}\n", "0".repeat(40)));
    names_rule(&world.fails(3, "p"), 2);
    names_rule(&world.fails(3, "plugin install p-1.0.0.tgz --force"), 2);
}

#[test]
fn f_a_source_that_is_not_allowed_is_not_even_asked() {
    let world = world();
    package(&world, "1.0.0");
    let (archive, prov) = (fs::read(world.path("p-1.0.0.tgz")).unwrap(), fs::read(world.path("p-1.0.0.tgz.prov")).unwrap());
    let good = Server::files(&[("/team/p-1.0.0.tgz", &archive), ("/team/p-1.0.0.tgz.prov", &prov)]);
    let bad = Server::files(&[("/p-1.0.0.tgz", &archive), ("/p-1.0.0.tgz.prov", &prov)]);
    policy(&world, &format!("apiVersion: v1\nsources:\n  allow: [\"{}\"]\n", good.url("/team/**")));
    let ran = world.fails(1, &format!("plugin install {}", bad.url("/p-1.0.0.tgz")));
    names_rule(&ran, 3);
    names_rule(&world.fails(1, &format!("plugin pull {}", bad.url("/p-1.0.0.tgz"))), 3);
    names_rule(&world.fails(1, &format!("plugin install git+{}", bad.url("/r"))), 3);
    assert!(bad.requests().is_empty());
    for dodge in ["/team/..%2f..%2fp-1.0.0.tgz", "/other/p-1.0.0.tgz", "/team/../p-1.0.0.tgz"] {
        names_rule(&world.fails(1, &format!("plugin install {}", good.url(dodge))), 3);
    }
    for local in ["p-1.0.0.tgz", "p", "p --copy"] {
        names_rule(&world.fails(1, &format!("plugin install {local}")), 3);
    }
    assert!(good.requests().is_empty() && !installed(&world));
    world.ok(&format!("plugin install {}", good.url("/team/p-1.0.0.tgz")));
    world.ok("plugin update p");

    policy(&world, &format!("sources: {{deny: [\"{}\"]}}\n", bad.url("/**")));
    let asked = bad.requests().len();
    names_rule(&world.fails(1, &format!("plugin install --force {}", bad.url("/p-1.0.0.tgz"))), 1);
    names_rule(&world.fails(1, &format!("get {}", bad.url("/p-1.0.0.tgz"))), 1);
    assert_eq!(bad.requests().len(), asked);
    world.ok(&format!("get -o out {}", good.url("/team/p-1.0.0.tgz")));
    // What came from there stays, and is no longer updated from there.
    policy(&world, &format!("sources: {{deny: [\"{}\"]}}\n", good.url("/**")));
    world.ok("p");
    names_rule(&world.fails(1, "plugin update p"), 1);
    names_rule(&world.fails(1, "plugin update --all"), 1);
}

#[test]
fn f_a_redirect_is_no_way_round_a_rule() {
    let world = world();
    package(&world, "1.0.0");
    let (archive, prov) = (fs::read(world.path("p-1.0.0.tgz")).unwrap(), fs::read(world.path("p-1.0.0.tgz.prov")).unwrap());
    let elsewhere = Server::files(&[("/p-1.0.0.tgz", &archive), ("/p-1.0.0.tgz.prov", &prov)]);
    let to = elsewhere.url("");
    let front = Server::start(move |request, stream| redirect(stream, &format!("{to}{}", request.target)));
    let source = front.url("/p-1.0.0.tgz");
    policy(&world, &format!("sources: {{allow: [\"{}\"]}}\n", front.url("/**")));
    let ran = world.fails(1, &format!("plugin install {source}"));
    names_rule(&ran, 1);
    assert!(ran.stderr.contains(&elsewhere.url("/p-1.0.0.tgz")), "{}", ran.stderr);
    policy(&world, &format!("sources: {{deny: [\"{}\"]}}\n", elsewhere.url("/**")));
    names_rule(&world.fails(1, &format!("plugin install {source}")), 1);
    assert!(!installed(&world));
    policy(&world, &format!("sources: {{allow: [\"{}\", \"{}\"]}}\n", front.url("/**"), elsewhere.url("/*.tgz")));
    world.ok(&format!("plugin install {source}"));
}

#[test]
fn local_paths_count_by_name_and_by_what_they_lead_to() {
    let world = world();
    package(&world, "1.0.0");
    let root = world.path("").canonicalize().unwrap();
    fs::create_dir(world.path("allowed")).unwrap();
    std::os::unix::fs::symlink("../p", world.path("allowed/link")).unwrap();
    std::os::unix::fs::symlink("allowed", world.path("way")).unwrap();
    fs::copy(world.path("p-1.0.0.tgz"), world.path("allowed/p-1.0.0.tgz")).unwrap();
    fs::copy(world.path("p-1.0.0.tgz.prov"), world.path("allowed/p-1.0.0.tgz.prov")).unwrap();
    policy(&world, &format!("sources: {{allow: [\"{}/allowed/**\"]}}\n", root.display()));
    for refused in ["p", "allowed/link", "allowed/../p", "p-1.0.0.tgz", "way/p-1.0.0.tgz"] {
        names_rule(&world.fails(1, &format!("plugin install {refused}")), 1);
    }
    world.ok("plugin install allowed/p-1.0.0.tgz");
    // The name under which the directory is reached does not hide what is denied.
    policy(&world, &format!("sources: {{deny: [\"file://{}/p/**\", \"file://{}/p\"]}}\n", root.display(), root.display()));
    for refused in ["p", "allowed/link", "./allowed/../p"] {
        names_rule(&world.fails(1, &format!("plugin install --force {refused}")), 1);
    }
}

#[test]
fn a_lock_file_is_no_signature() {
    let world = world();
    package(&world, "1.0.0");
    fs::copy(world.path("p-1.0.0.tgz.prov"), world.path("kept")).unwrap();
    let (digest, _) = Sha256Digest::of_file(&world.path("p-1.0.0.tgz")).unwrap();
    world.ok(&format!("plugin install p-1.0.0.tgz --digest sha256:{digest}"));
    world.ok("plugin lock");
    world.ok("plugin export mirror");
    fs::copy(world.path("kept"), world.path("mirror/packages/p-1.0.0.tgz.prov")).unwrap();
    world.ok("plugin uninstall p");
    policy(&world, "verification: signature\n");
    fs::remove_file(world.path("p-1.0.0.tgz.prov")).unwrap();
    let ran = world.fails(3, "plugin sync");
    names_rule(&ran, 1);
    fs::rename(world.path("kept"), world.path("p-1.0.0.tgz.prov")).unwrap();
    world.ok("plugin sync");
    assert_eq!(world.ok("plugin list -o json").json()[0]["verified"]["by"], "signature");
    // What a lock file says of a source counts, and where the bytes really come from, too.
    world.ok("plugin uninstall p");
    let root = world.path("").canonicalize().unwrap();
    policy(&world, &format!("sources: {{deny: [\"{}/p-*\"]}}\n", root.display()));
    names_rule(&world.fails(1, "plugin sync --offline --mirror mirror"), 1);
    policy(&world, &format!("sources: {{allow: [\"{}/p-*\"]}}\n", root.display()));
    names_rule(&world.fails(1, "plugin sync --offline --mirror mirror"), 1);
    assert!(!installed(&world));
    policy(&world, &format!("sources: {{allow: [\"{0}/p-*\", \"{0}/mirror/**\"]}}\n", root.display()));
    world.ok("plugin sync --offline --mirror mirror");
}

#[test]
fn an_update_meets_the_rules_of_today() {
    let world = world();
    package(&world, "1.0.0");
    for suffix in ["", ".prov"] {
        fs::rename(world.path(&format!("p-1.0.0.tgz{suffix}")), world.path(&format!("p.tgz{suffix}"))).unwrap();
    }
    world.ok("plugin install p.tgz --verify=false");
    package(&world, "1.1.0");
    fs::rename(world.path("p-1.1.0.tgz"), world.path("p.tgz")).unwrap();
    fs::remove_file(world.path("p.tgz.prov")).unwrap();
    policy(&world, "hooks: allow\nverification: digest\n");
    let ran = world.fails(3, "plugin update p");
    names_rule(&ran, 2);
    names_rule(&world.fails(3, "plugin update p --verify=false"), 2);
    fs::rename(world.path("p-1.1.0.tgz.prov"), world.path("p.tgz.prov")).unwrap();
    assert!(world.ok("plugin update p").stdout.contains("signed by"), "it is verified although the installed one was not");
    // The version before is still too weak.
    names_rule(&world.fails(3, "plugin rollback p"), 2);
    assert_eq!(world.ok("p").stdout, "p 1.1.0\n");
    policy(&world, "verification: none\n");
    world.ok("plugin rollback p");
    policy(&world, "verification: digest\n");
    names_rule(&world.fails(3, "p"), 1);
}

#[test]
fn an_old_host_does_nothing() {
    let world = world();
    package(&world, "1.0.0");
    world.ok("plugin install p-1.0.0.tgz");
    policy(&world, "minimumHostVersion: \"99.0.0\"\n");
    for words in ["p", "plugin install p-1.0.0.tgz --force", "plugin update p"] {
        let ran = world.fails(1, words);
        names_rule(&ran, 1);
        assert!(ran.stderr.contains("99.0.0"), "{}", ran.stderr);
    }
    policy(&world, "minimumHostVersion: 0.0.1\n");
    world.ok("p");
}

#[test]
fn a_getter_that_is_denied_gets_nothing() {
    let world = world();
    let getter =
        "name: g\nversion: 1.0.0\ncommand: $TOOL_PLUGIN_DIR/get.sh\ndownloaders: [{command: get.sh, protocols: [own]}]\n";
    world.write("g/plugin.yaml", getter);
    world.script("g/get.sh", "echo got");
    world.ok("plugin install g");
    assert_eq!(world.ok("get own://x/y").stdout, "got\n");
    policy(&world, "plugins: {deny: [g]}\n");
    names_rule(&world.fails(1, "get own://x/y"), 1);
    policy(&world, "sources: {deny: [\"own://x/**\"]}\n");
    names_rule(&world.fails(1, "get OWN://X/y"), 1);
    world.ok("get own://z/y");
}

#[test]
fn a_policy_that_cannot_be_used_stops_everything() {
    let mut world = world();
    package(&world, "1.0.0");
    world.ok("plugin install p-1.0.0.tgz");
    let path = config(&world).join("policy.yaml");
    for (text, place, why) in [
        ("hooks: allow\nplugin: {deny: [p]}\n", "policy.yaml:2:1", "unknown key `plugin`"),
        ("sources:\n  alow: []\n", "policy.yaml:2", "unknown key `alow`"),
        ("verification: perhaps\n", "policy.yaml:1:15", "`signature`"),
        ("apiVersion: v2\n", "policy.yaml:1", "`v1`"),
        ("plugins: {deny:\n", "policy.yaml:", ""),
        ("sources: {deny: [\"https://h\"]}\n", "policy.yaml:1", "no path"),
    ] {
        policy(&world, text);
        for words in ["p", "plugin install p-1.0.0.tgz", "plugin list"] {
            let ran = world.fails(1, words);
            assert!(ran.stderr.contains(place) && ran.stderr.contains(why), "{text}: {}", ran.stderr);
            assert!(ran.stdout.is_empty());
        }
    }
    policy(&world, "hooks: allow\n");
    world.ok("p");
    for (mode, fine) in [(0o666, false), (0o602, false), (0o620, false), (0o644, true), (0o600, true)] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let ran = world.tool(["p"]);
        assert_eq!(ran.code, i32::from(!fine), "{mode:o}: {}", ran.stderr);
        assert!(fine || ran.stderr.contains("chmod go-w"), "{}", ran.stderr);
    }
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(world.fails(1, "p").stderr.contains("not a regular file"));
    fs::remove_dir(&path).unwrap();
    std::os::unix::fs::symlink("/nowhere/policy.yaml", &path).unwrap();
    world.fails(1, "p");
    fs::remove_file(&path).unwrap();
    world.ok("p");
    world.set("TOOL_POLICY", "absent.yaml");
    let ran = world.fails(1, "p");
    assert!(ran.stderr.contains("absent.yaml") && ran.stderr.contains("TOOL_POLICY"), "{}", ran.stderr);
}

#[test]
fn s_an_answer_to_completion_is_no_run() {
    let world = world();
    world.plugin("p", "1.0.0");
    world.script("p/plugin.complete", "echo from-the-plugin");
    world.ok("plugin install p");
    assert!(world.ok("__complete p x").stdout.contains("from-the-plugin"));
    policy(&world, "plugins: {deny: [p]}\n");
    assert!(!world.ok("__complete p x").stdout.contains("from-the-plugin"));
}

/// A repository with the plugin `p`, and the id of its commit.
fn make_repository(world: &World) -> String {
    let directory = world.plugin("p", "1.0.0");
    git(&directory, &["init", "--quiet", "--initial-branch=main"]);
    git(&directory, &["add", "--all"]);
    git(&directory, &["commit", "--quiet", "--message", "x"]);
    git(&directory, &["update-server-info"]);
    git(&directory, &["rev-parse", "HEAD"])
}

#[test]
fn v_every_name_of_a_repository_is_denied_and_what_turns_out_to_be_one_is_too() {
    let world = world();
    let commit = make_repository(&world);
    let directory = world.path("p/.git");
    // A server without a package there, that answers git as a plain directory of files.
    let server = Server::start(move |request, to| {
        let path = request.target.split('?').next().unwrap_or_default();
        match path.strip_prefix("/team/p/").and_then(|path| fs::read(directory.join(path)).ok()) {
            Some(body) => answer(to, "200 OK", &[], &body),
            None => answer(to, "404 Not Found", &[], b""),
        }
    });
    let source = server.url("/team/p");
    policy(&world, "sources: {deny: [\"git+**\"]}\n");
    for named in [format!("{}.git", server.url("/r")), "git@h.example:r".to_owned(), "git+file:///nowhere".to_owned()] {
        names_rule(&world.fails(1, &format!("plugin install {named}")), 1);
    }
    assert!(server.requests().is_empty());
    names_rule(&world.fails(1, &format!("plugin install {source} --version {commit}")), 1);
    assert!(!server.requests().is_empty() && !installed(&world), "only asking tells what it is");
    policy(&world, &format!("sources: {{allow: [\"git+{}\"]}}\n", server.url("/team/**")));
    let install = format!("plugin install git+{source} --version {commit}");
    world.ok(&install);

    // Neither git's settings nor a server that sends git elsewhere make another place of it.
    let front = {
        let to = server.url("");
        Server::start(move |request, stream| redirect(stream, &format!("{to}{}", request.target)))
    };
    policy(&world, &format!("sources: {{allow: [\"git+{}\"]}}\n", front.url("/**")));
    let again = format!("plugin install --force git+{}/team/p --version {commit}", front.url(""));
    let ran = world.fails(1, &again);
    assert!(ran.stderr.contains("git"), "{}", ran.stderr);
    let instead = format!("[url \"{}\"]\n\tinsteadOf = {}\n", server.url("/"), front.url("/"));
    fs::write(world.root().join("home/.gitconfig"), instead).unwrap();
    let ran = world.fails(1, &again);
    names_rule(&ran, 1);
    assert!(ran.stderr.contains(&source), "{}", ran.stderr);
    fs::remove_file(config(&world).join("policy.yaml")).unwrap();
    world.ok(&again);
}

#[test]
fn f_a_variable_that_moves_github_moves_no_rule() {
    let mut world = world();
    let server = Server::files(&[]);
    world.set("TOOL_GITHUB_API", server.url("/api"));
    policy(&world, "sources: {allow: [\"https://github.com/acme/**\"]}\n");
    let ran = world.fails(1, "plugin install acme/helm-p");
    names_rule(&ran, 1);
    assert!(ran.stderr.contains(&server.url("/api")) && server.requests().is_empty(), "{}", ran.stderr);
    policy(&world, "sources: {deny: [\"github.com/acme/*\"]}\n");
    for named in ["acme/helm-p", "Acme/helm-p@1.0.0", "github.com/acme/helm-p"] {
        names_rule(&world.fails(1, &format!("plugin install {named}")), 1);
    }
    policy(&world, &format!("sources: {{allow: [\"https://github.com/acme/*\", \"{}\"]}}\n", server.url("/api/**")));
    world.fails(4, "plugin install acme/helm-p");
    assert!(!server.requests().is_empty());
}

#[test]
fn v_a_commit_id_is_a_digest_and_no_signature() {
    let world = world();
    let commit = make_repository(&world);
    let install = format!("plugin install git+file://{} --version {commit}", world.path("p").display());
    policy(&world, "apiVersion: v1\nverification: signature\n");
    names_rule(&world.fails(3, &install), 2);
    assert!(!installed(&world));
    policy(&world, "verification: digest\n");
    world.ok(&install);
}

/// Policies that ask for a verified plugin `p`, each with the line that does.
fn policies_about_signatures() -> [(String, u32); 4] {
    let signers = |what: &str| format!("signers:\n- {{{what}, fingerprints: [{TOUR}]}}\n");
    [
        ("verification: signature\n".to_owned(), 1),
        ("verification: digest\n".to_owned(), 1),
        (signers("name: p"), 2),
        (signers("source: \"file:///**\""), 2),
    ]
}

#[test]
fn p28_a_policy_that_asks_for_signatures_raises_the_gate() {
    for gate in ["off", "warn", "require"] {
        for (text, line) in policies_about_signatures() {
            let world = world();
            package(&world, "1.0.0");
            world.ok("plugin install p-1.0.0.tgz");
            world.plugin("q", "1.0.0");
            world.ok("plugin install --copy q");
            fs::write(config(&world).join("config.yaml"), format!("gate: {gate}\n")).unwrap();
            policy(&world, &text);
            world.ok("p");
            for name in ["p", "q"] {
                fs::write(world.plugins().join(name).join("run.sh"), "#!/bin/sh\necho evil\n").unwrap();
            }
            let ran = world.fails(3, "p");
            assert!(ran.stdout.is_empty() && ran.stderr.contains("plugin restore p"), "{}", ran.stderr);
            assert!(!ran.stderr.contains("plugin trust"), "{}", ran.stderr);
            names_rule(&ran, line);
            names_rule(&world.fails(3, "plugin verify p"), line);
            // The others are as loose as the settings say.
            if gate != "require" && line == 2 && text.contains("name") {
                assert_eq!(world.ok("q").stdout, "evil\n");
            }
            let explained = world.tool(["plugin", "doctor", "--policy", "p"]);
            assert!(explained.stdout.contains("  gate     require"), "{}", explained.stdout);
            assert_eq!(explained.stdout.contains(&format!("not `{gate}` as in config.yaml")), gate != "require");
            let json = world.tool(["plugin", "doctor", "--policy", "p", "-o", "json"]).json();
            assert_eq!((&json[0]["gate"]["value"], &json[0]["gate"]["setting"]), (&"require".into(), &gate.into()));
            assert!(json[0]["gate"]["raisedBy"].as_str().unwrap().ends_with(&format!("policy.yaml:{line}")), "{json}");
        }
    }
}

#[test]
fn p28_an_accepted_change_does_not_satisfy_a_policy() {
    let changes: [(&str, fn(&std::path::Path)); 4] = [
        ("changed", |dir| fs::write(dir.join("run.sh"), "#!/bin/sh\necho evil\n").unwrap()),
        ("added", |dir| fs::write(dir.join("added.sh"), "x").unwrap()),
        ("removed", |dir| fs::remove_file(dir.join("README.md")).unwrap()),
        ("executable", |dir| {
            fs::set_permissions(dir.join("README.md"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        }),
    ];
    for (what, change) in changes {
        for (text, line) in policies_about_signatures() {
            let world = world();
            world.write("p/README.md", "x");
            package(&world, "1.0.0");
            world.ok("plugin install p-1.0.0.tgz");
            change(&world.plugins().join("p"));
            world.ok("plugin trust p");
            world.ok("p");
            policy(&world, &text);
            let ran = world.fails(3, "p");
            assert!(ran.stdout.is_empty() && ran.stderr.contains("changes of `p` were accepted"), "{what}: {}", ran.stderr);
            names_rule(&ran, line);
            let restore = ran.stderr.split('`').find(|part| part.starts_with("tool plugin restore")).unwrap();
            let explained = world.fails(1, "plugin doctor --policy p").stdout;
            assert!(explained.contains("refused") && explained.contains("changes of `p` were accepted"), "{explained}");
            assert!(world.fails(1, "plugin doctor -o name").stdout.contains("policy-refused"));
            // Accepting more is said to be of no use.
            fs::write(world.plugins().join("p/more.sh"), "x").unwrap();
            names_rule(&world.ok("plugin trust p"), line);
            world.fails(3, "p");
            world.ok(restore.strip_prefix("tool ").unwrap());
            world.ok("p");
            // Nor does a way back to it.
            package(&world, "2.0.0");
            fs::remove_file(config(&world).join("policy.yaml")).unwrap();
            change(&world.plugins().join("p"));
            world.ok("plugin trust p");
            world.ok("plugin install --force p-2.0.0.tgz");
            policy(&world, &text);
            names_rule(&world.fails(3, "plugin rollback p"), line);
            world.ok("p");
        }
    }
}
