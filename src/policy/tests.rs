//! Policies as files, and what they say together.

use std::path::Path;

use super::*;
use crate::error::{Classified as _, ErrorKind};
use crate::yaml::Position;

const SIGNER: &str = "E73208FE0133B7C8A809E83E27415E8C12120722";

fn file(text: &str) -> PolicyFile {
    PolicyFile::parse(text.as_bytes(), Path::new("/p.yaml")).unwrap_or_else(|e| panic!("{text}: {e}"))
}

fn policy(texts: &[&str]) -> Policy {
    Policy::of(texts.iter().map(|text| file(text)).collect(), &Host::tool())
}

fn signed() -> Proof<'static> {
    Proof::Signature { fingerprint: SIGNER, subkey: None }
}

fn refusal(policy: &Policy, name: Option<&str>, source: &str, proof: Option<Proof<'_>>) -> Option<Refusal> {
    let locations = [SourceLocation::of(source)];
    let locations = if source.is_empty() { &[][..] } else { &locations };
    policy.judge(&PolicyRequest { name, locations, proof, ..PolicyRequest::default() }).err()
}

#[test]
fn reads_every_key_and_remembers_its_line() {
    let file = file(
        "apiVersion: v1
sources: {allow: [\"https://plugins.example.com/**\", \"oci://ghcr.example.com/team/**\"], deny: [\"git+**\"]}
verification: signature        # signature | digest | none: the least that counts
signers:                       # where a rule's source or name matches, only these may have signed
- {source: \"https://plugins.example.com/**\", fingerprints: [\"ABCD...\"]}
- {name: \"secrets\", fingerprints: [\"e732 08FE 0133 b7c8 a809 e83e 2741 5e8c 1212 0722\", \"SHA256:aB\"]}
plugins: {deny: [\"kubeval\"]}
hooks: forbid                  # allow | sandbox | forbid
minimumHostVersion: \"1.2.0\"
audit: required
",
    );
    let allow = file.allow.unwrap();
    assert_eq!((allow.value.len(), allow.at.line), (2, 2));
    assert_eq!((file.deny[0].value.to_string().as_str(), file.deny[0].at.line), ("git+**", 2));
    assert_eq!(file.verification.unwrap().value, VerificationLevel::Signature);
    assert_eq!(
        (file.signers[1].at.line, &*file.signers[1].value.fingerprints),
        (6, &[SIGNER.to_owned(), "SHA256:aB".to_owned()][..])
    );
    assert_eq!(file.plugins[0].at.to_string(), "/p.yaml:7");
    let hooks = file.hooks.unwrap();
    assert_eq!((hooks.value, hooks.at.line), (HookPolicy::Forbid, 8));
    assert_eq!(file.minimum_host_version.unwrap().value, Version::new(1, 2, 0));
    assert_eq!(file.audit.unwrap().at.line, 10);
}

#[test]
fn mistakes_name_their_line() {
    for (text, line, why) in [
        ("apiVersion: v2", 1, "`v1`"),
        ("hooks: allow\nfoo: 1", 2, "unknown key `foo`"),
        ("sources:\n  alow: []", 2, "unknown key `alow`"),
        ("sources: {allow: https://h/**}", 1, "is a list"),
        ("sources: {allow: ~}", 1, "has no value"),
        ("sources:", 1, "has no value"),
        ("sources: {deny: [~]}", 1, "takes a text"),
        ("sources: {deny: [\"https://h\"]}", 1, "no path"),
        ("verification: sig", 1, "`signature` or `digest` or `none`"),
        ("verification: [signature]", 1, "takes a text"),
        ("hooks: never", 1, "`forbid`"),
        ("audit: optional", 1, "`required`"),
        ("plugins: [kubeval]", 1, "mapping"),
        ("plugins: {deny: [a/b]}", 1, "name"),
        ("plugins: {allow: [a]}", 1, "unknown key `allow`"),
        ("signers: [{fingerprints: [A]}]", 1, "needs a `source` or a `name`"),
        ("signers:\n- {name: a}", 2, "needs `fingerprints`"),
        ("signers: [{name: a, fingerprints: []}]", 1, "needs `fingerprints`"),
        ("signers: [{name: a, fingerprints: [A], key: b}]", 1, "unknown key `key`"),
        ("minimumHostVersion: 1.2", 1, "no version"),
        ("- a", 1, "a policy is a mapping"),
        ("hooks: allow\nhooks: forbid", 2, "already defined"),
    ] {
        let error = PolicyFile::parse(text.as_bytes(), Path::new("/p.yaml")).unwrap_err();
        assert!(error.reason().contains(why), "{text}: {error}");
        assert_eq!(error.at().line, line, "{text}: {error}");
    }
    assert_eq!(file(""), PolicyFile::default());
    assert_eq!(Position::START.line, 1);
}

#[test]
fn the_strictest_of_all_files_wins() {
    let both = policy(&["hooks: sandbox\nverification: digest\n", "hooks: forbid\nverification: none", "hooks: allow\n"]);
    assert_eq!(both.hooks().unwrap().value, HookPolicy::Forbid);
    assert_eq!(both.required_level(None, &[]).unwrap().value, VerificationLevel::Digest);
    assert!(both.audit_required().is_none());
    assert!(policy(&["", "audit: required"]).audit_required().is_some());
    let lists = policy(&[
        "sources: {allow: [\"https://a/**\", \"https://b/**\"]}",
        "sources: {allow: [\"https://b/**\", \"https://c/**\"]}",
    ]);
    for (source, fine) in [("https://a/x", false), ("https://b/x", true), ("https://c/x", false)] {
        assert_eq!(refusal(&lists, None, source, None).is_none(), fine, "{source}");
    }
    let denied = policy(&["sources: {allow: [\"https://a/**\"]}", "sources: {deny: [\"https://a/bad/**\"]}"]);
    assert!(refusal(&denied, None, "https://a/x", None).is_none());
    assert!(matches!(refusal(&denied, None, "https://a/bad/x", None), Some(Refusal::SourceDenied { .. })));
    assert!(refusal(&policy(&["sources: {allow: []}"]), None, "https://a/x", None).is_some());
    assert!(refusal(&Policy::none(), Some("x"), "https://a/x", Some(Proof::Nothing)).is_none());
}

#[test]
fn every_place_must_be_allowed() {
    let policy = policy(&["sources: {allow: [\"https://a/**\"]}"]);
    let locations = [SourceLocation::of("https://a/x.tgz"), SourceLocation::of("https://cdn.test/x.tgz")];
    let refused = policy.judge(&PolicyRequest { locations: &locations, ..PolicyRequest::default() }).unwrap_err();
    assert!(matches!(&refused, Refusal::SourceNotAllowed { place, .. } if place == "https://cdn.test/x.tgz"), "{refused}");
    let git = [SourceLocation::of("https://a/r").as_git()];
    assert!(policy.judge(&PolicyRequest { locations: &git, ..PolicyRequest::default() }).is_ok());
    let no_git = super::Policy::of(vec![file("sources: {deny: [\"git+**\"]}")], &Host::tool());
    assert!(no_git.judge(&PolicyRequest { locations: &git, ..PolicyRequest::default() }).is_err());
}

#[test]
fn verification_and_signers() {
    let digest = policy(&["verification: digest"]);
    for (proof, fine) in [(signed(), true), (Proof::Digest, true), (Proof::Nothing, false)] {
        assert_eq!(refusal(&digest, Some("p"), "", Some(proof)).is_none(), fine, "{proof:?}");
    }
    let weak = refusal(&policy(&["verification: signature"]), Some("p"), "", Some(Proof::Digest)).unwrap();
    assert_eq!(weak.kind(), ErrorKind::PolicyVerification);
    assert_eq!(
        weak.to_string(),
        "the policy /p.yaml:1 asks for a signature, but `p` is verified by a digest only; install a signed package of it"
    );
    let by_name = policy(&["signers: [{name: secrets, fingerprints: [ABCD]}]"]);
    assert!(refusal(&by_name, Some("other"), "", Some(Proof::Nothing)).is_none());
    for proof in [signed(), Proof::Digest, Proof::Nothing] {
        let refused = refusal(&by_name, Some("secrets"), "", Some(proof)).unwrap();
        assert!(refused.kind() == ErrorKind::PolicyVerification && matches!(refused, Refusal::Signer { .. }), "{refused}");
    }
    assert_eq!(by_name.required_level(Some("secrets"), &[]).unwrap().value, VerificationLevel::Signature);
    assert_eq!(by_name.required_level(Some("other"), &[]), None);
    let listed = policy(&[&format!("signers: [{{source: \"https://a/**\", fingerprints: [{SIGNER}]}}]")]);
    assert!(refusal(&listed, Some("p"), "https://a/x", Some(signed())).is_none());
    let source = [SourceLocation::of("https://a/x")];
    let installed = PolicyRequest {
        name: Some("p"),
        locations: &source,
        proof: Some(Proof::Digest),
        installed: true,
        ..PolicyRequest::default()
    };
    assert!(matches!(listed.judge(&installed), Err(Refusal::Signer { .. })));
    assert!(policy(&["sources: {allow: []}"]).judge(&installed).is_ok(), "where it came from is no longer asked");
    let by_subkey = Proof::Signature { fingerprint: "0", subkey: Some(SIGNER) };
    assert!(refusal(&listed, Some("p"), "https://a/x", Some(by_subkey)).is_none());
    assert!(refusal(&listed, Some("p"), "https://a/x", Some(Proof::Digest)).is_some());
    assert!(refusal(&listed, Some("p"), "https://b/x", Some(Proof::Digest)).is_none());
    // Where several rules are about a plugin, each must be kept.
    let two = policy(&[
        "signers:\n- {name: \"*\", fingerprints: [AA]}",
        &format!("signers: [{{name: p, fingerprints: [{SIGNER}]}}]"),
    ]);
    assert!(refusal(&two, Some("p"), "", Some(signed())).is_some());
    // Letters of an SSH key's fingerprint are no hexadecimal digits.
    let ssh = policy(&["signers: [{name: p, fingerprints: [\"SHA256:aB\"]}]"]);
    let by = |fingerprint| Proof::Signature { fingerprint, subkey: None };
    assert!(refusal(&ssh, Some("p"), "", Some(by("SHA256:aB"))).is_none());
    assert!(refusal(&ssh, Some("p"), "", Some(by("SHA256:Ab"))).is_some());
}

#[test]
fn names_and_the_host_are_judged() {
    let denied = policy(&["plugins: {deny: [kubeval, \"bad-*\"]}"]);
    for (name, fine) in [("kubeval", false), ("KubeVal", false), ("bad-one", false), ("kubeval2", true)] {
        assert_eq!(refusal(&denied, Some(name), "", None).is_none(), fine, "{name}");
    }
    let old = refusal(&policy(&["minimumHostVersion: 99.0.0"]), None, "", None).unwrap();
    assert!(old.kind() != ErrorKind::PolicyVerification && old.to_string().contains("tool 99.0.0 or newer"), "{old}");
    assert!(refusal(&policy(&["minimumHostVersion: 0.0.1"]), None, "", None).is_none());
}

#[test]
fn each_rule_tells_what_it_says() {
    let policy = policy(&[
        "sources: {allow: [\"https://a/**\"], deny: [\"https://a/bad/**\"]}\nplugins: {deny: [x]}\nverification: digest",
    ]);
    let locations = [SourceLocation::of("https://a/p.tgz")];
    let decisions = policy.decide(&PolicyRequest {
        name: Some("p"),
        locations: &locations,
        proof: Some(Proof::Nothing),
        ..PolicyRequest::default()
    });
    let rules: Vec<_> = decisions.iter().map(|decision| (decision.rule.as_str(), decision.at.line)).collect();
    assert_eq!(
        rules,
        [
            ("sources.deny: https://a/bad/**", 1),
            ("sources.allow: [https://a/**]", 1),
            ("plugins.deny: x", 2),
            ("verification: digest", 3)
        ]
    );
    assert_eq!(decisions[0].verdict, RuleVerdict::NotApplicable);
    assert_eq!(decisions[1].verdict, RuleVerdict::Satisfied);
    assert!(matches!(decisions[3].verdict, RuleVerdict::Refused(_)));
}

#[cfg(unix)]
#[test]
fn a_file_that_cannot_be_believed_is_an_error() {
    use std::os::unix::fs::PermissionsExt;

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE_NAME);
    let read = || PolicyFile::read(&PolicyPath { path: path.clone(), named_by: None });
    assert_eq!(read().unwrap(), None);
    let named = PolicyFile::read(&PolicyPath { path: path.clone(), named_by: Some("TOOL_POLICY".to_owned()) });
    assert!(matches!(named, Err(PolicyError::Missing { .. })));
    let below = PolicyPath { path: path.join("below"), named_by: None };
    std::fs::write(&path, "hooks: forbid\n").unwrap();
    assert_eq!(PolicyFile::read(&below).unwrap(), None);
    assert!(read().unwrap().is_some());
    for mode in [0o666, 0o664, 0o606] {
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        let error = read().unwrap_err();
        assert!(matches!(error, PolicyError::Changeable(_)) && error.to_string().contains("chmod go-w"), "{error}");
    }
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o777)).unwrap();
    assert!(matches!(read(), Err(PolicyError::Changeable(_))));
    std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o1777)).unwrap();
    assert!(read().is_ok());
    std::fs::write(&path, "hooks: maybe\n").unwrap();
    assert!(matches!(read(), Err(PolicyError::Invalid { .. })));
    std::fs::write(&path, vec![b' '; MAX_BYTES as usize + 1]).unwrap();
    assert!(matches!(read(), Err(PolicyError::TooLarge { .. })));
    std::fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("nowhere", &path).unwrap();
    assert!(matches!(read(), Err(PolicyError::Read { .. })));
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    assert!(matches!(read(), Err(PolicyError::NotAFile { .. })));
    std::fs::remove_dir(&path).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
    assert!(matches!(read(), Err(PolicyError::NotAFile { .. })));
}
