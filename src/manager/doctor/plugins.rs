//! The store and what is installed.

use std::collections::BTreeMap;

use super::{Finding, Fix, chain, chmod};
use crate::intake::provenance::{Keyring, Signer, SignerState};
use crate::manager::Manager;
use crate::policy::PolicyRequest;
use crate::store::{DifferenceKind, ListedPlugin, Receipt, Status, StoreProblem, Survey, VerificationMethod};
use crate::text::{Sanitized, quoted};
use crate::trust::TrustFile;

impl Manager<'_> {
    pub(super) fn look_at_plugins(&self) -> Vec<Finding> {
        let Survey { problems, plugins } = self.store().survey();
        let mut findings: Vec<Finding> = problems.into_iter().map(|problem| self.finding(problem)).collect();
        // Without a keyring that can be read nothing is known of signers; why it cannot be read is told of elsewhere.
        let signers = Keyring::locate(&[], self.host, self.homes).map(|keyring| keyring.signers()).unwrap_or_default();
        let signers: BTreeMap<String, Signer> =
            signers.into_iter().map(|signer| (signer.fingerprint.clone(), signer)).collect();
        let trusted = self.trusted().unwrap_or_default();
        for (listed, receipt) in plugins.iter().filter(|(listed, _)| listed.status != Status::Broken) {
            findings.extend(self.judge_installed(listed, receipt.as_ref()));
            if let Some(receipt) = receipt {
                findings.extend(self.judge_verification(&listed.name, receipt));
                findings.extend(self.judge_signer(&listed.name, receipt, &signers, &trusted));
            }
        }
        for root in self.homes.plugins.iter().filter(|root| crate::runtime::is_noexec(root)) {
            let text = "it lies on a file system that is mounted with `noexec`, so no program of a plugin can be started";
            let help = "have it mounted with `exec`, or keep plugins on another file system";
            findings.push(Finding::warning("noexec", text).at(root).help(help));
        }
        for accepted in &trusted.accepted {
            if !plugins.iter().any(|(listed, _)| listed.name == accepted.name) {
                let text = format!("changes of `{}` were accepted, which is not installed", Sanitized(&accepted.name));
                let finding = Finding::warning("trust-orphan", text).of(&accepted.name);
                let finding = finding.at(&self.homes.config.path.join(crate::trust::FILE_NAME));
                findings.push(finding.help(self.fix_help()).mend(Fix::Forget(accepted.name.clone())));
            }
        }
        findings
    }

    fn fix_help(&self) -> String {
        format!("{} puts it right", self.command("doctor --fix"))
    }

    fn finding(&self, problem: StoreProblem) -> Finding {
        let tidy = |finding: Finding| finding.help(self.fix_help()).mend(Fix::Tidy);
        match problem {
            StoreProblem::Unreadable { path, source } => {
                Finding::error("unreadable", format!("it cannot be read: {}", chain(source.as_ref())))
                    .at(&path)
                    .help("check who owns it and its mode")
            }
            StoreProblem::Writable { plugin, path, everybody, ours } => {
                let (who, bits, take) = match everybody {
                    true => ("everybody", "go-w", 0o022),
                    false => ("a group", "g-w", 0o020),
                };
                let text = format!("{who} may change it");
                let finding = match everybody {
                    true => Finding::error("writable", text + ", so nothing of it is run"),
                    false => Finding::warning("group-writable", text),
                };
                let finding = finding.at(&path).help(chmod(bits, &path));
                let finding = plugin.iter().fold(finding, |finding, plugin| finding.of(plugin));
                // What a link leads to is the user's own.
                if ours { finding.mend(Fix::Mode(path, take)) } else { finding }
            }
            StoreProblem::Planted { plugin, source } => {
                let text = format!("{}, so nothing of it is run", source.why);
                Finding::error("planted", text)
                    .of(&plugin)
                    .at(&source.path)
                    .help(format!("`{}` makes it yours", source.mend))
            }
            StoreProblem::Exposed { path } => Finding::warning("exposed", "others may read it, and it is private")
                .at(&path)
                .help(chmod("go-rwx", &path))
                .mend(Fix::Mode(path, 0o077)),
            StoreProblem::Leftover { path } => {
                tidy(Finding::warning("leftover", "a killed command left it behind").at(&path))
            }
            StoreProblem::Interrupted { plugin, path } => {
                let text = format!("a change of plugin `{}` was interrupted", Sanitized(&plugin));
                tidy(Finding::warning("interrupted", text).of(&plugin).at(&path))
            }
            StoreProblem::Busy { path } => {
                Finding::note("busy", "another program is changing the plugins; what it has under way is not looked at")
                    .at(&path)
            }
            StoreProblem::Receipt { plugin, path, source } => Finding::error("receipt-damaged", chain(&source))
                .of(&plugin)
                .at(&path)
                .help(format!("install the plugin again: {}", self.command("install --force SOURCE"))),
            StoreProblem::Orphan { what, path } => {
                tidy(Finding::warning("orphan", format!("it is {what} of a plugin that is not there")).at(&path))
            }
            StoreProblem::StrayPackage { path } => {
                Finding::note("stray-package", "it is the package of no installed plugin")
                    .at(&path)
                    .help("remove it if nobody needs it")
            }
            StoreProblem::FileInPlace { plugin, path } => {
                Finding::error("file-in-place", format!("a file is where plugin `{}` was installed", Sanitized(&plugin)))
                    .of(&plugin)
                    .at(&path)
                    .help(format!("put the plugin back with {}", self.command(&format!("restore {}", quoted(&plugin)))))
            }
            StoreProblem::DanglingLink { plugin, path } => {
                Finding::error("dangling-link", format!("plugin `{}` is a link that leads nowhere", Sanitized(&plugin)))
                    .of(&plugin)
                    .at(&path)
                    .help(self.command(&format!("uninstall {}", Sanitized(&plugin))))
            }
            StoreProblem::Broken { plugin, path, problem } => {
                // What it was only a receipt knows.
                let first = match self.store().damage(&plugin) {
                    Ok(_) => format!("restore it with {}", self.command(&format!("restore {}", quoted(&plugin)))),
                    Err(_) => format!("install it again with {}", self.command("install --force SOURCE")),
                };
                Finding::error("plugin-broken", format!("plugin `{}` is broken: {problem}", Sanitized(&plugin)))
                    .of(&plugin)
                    .at(&path)
                    .help(format!("{first}, or remove it with {}", self.command(&format!("uninstall {}", quoted(&plugin)))))
            }
            StoreProblem::Shadowed { plugin, path, problem } => {
                Finding::warning("plugin-shadowed", format!("plugin `{}` is not used: {problem}", Sanitized(&plugin)))
                    .of(&plugin)
                    .at(&path)
                    .help(format!(
                        "remove one of the two; {} runs it where a command of {} bears its name",
                        self.command("exec NAME"),
                        self.host.name()
                    ))
            }
            StoreProblem::OtherName { plugin, path, renamed: true } => {
                let text = format!("the directory of plugin `{}` was renamed since it was installed", Sanitized(&plugin));
                tidy(Finding::note("other-name", text).of(&plugin).at(&path))
            }
            StoreProblem::OtherName { plugin, path, renamed: false } => {
                Finding::note("other-name", format!("the directory of plugin `{}` bears another name", Sanitized(&plugin)))
                    .of(&plugin)
                    .at(&path)
                    .help("it works; a plugin whose directory bears the name would be used in its place")
            }
            StoreProblem::NoReceipt { plugin, path } => {
                let text = format!(
                    "plugin `{}` has no receipt: it was copied in by hand or by another program, nobody verified it, and its files are not checked",
                    Sanitized(&plugin)
                );
                Finding::warning("no-receipt", text)
                    .of(&plugin)
                    .at(&path)
                    .help(format!("{} installs it anew", self.command("install --force SOURCE")))
            }
            StoreProblem::Changed { plugin, path, differences, ways_out } => {
                let listed: Vec<_> = differences.iter().map(ToString::to_string).collect();
                let text = format!("plugin `{}` is not as it was installed: {}", Sanitized(&plugin), listed.join(", "));
                let finding = Finding::error("plugin-changed", text).of(&plugin).at(&path).help(ways_out);
                // What is missing can be put back without a loss; what somebody changed is theirs to decide.
                let only_missing = differences.iter().all(|difference| difference.kind == DifferenceKind::Missing);
                if only_missing { finding.mend(Fix::Restore(plugin)) } else { finding }
            }
            StoreProblem::Made { plugin, path, files } => {
                let text =
                    format!("plugin `{}` made files beside its own when it ran: {}", Sanitized(&plugin), files.join(", "));
                Finding::note("made-when-it-ran", text).of(&plugin).at(&path).help("nothing executes them; they may stay")
            }
            StoreProblem::PackageMissing { plugin, path } => {
                let text = format!("the package of plugin `{}`, or its provenance, is no longer kept", Sanitized(&plugin));
                let help =
                    format!("the plugin works; {} gets it again", self.command(&format!("restore {}", quoted(&plugin))));
                Finding::warning("package-missing", text).of(&plugin).at(&path).help(help).mend(Fix::Restore(plugin))
            }
            StoreProblem::PackageChanged { plugin, path } => {
                let text = format!("the package of plugin `{}` is not the one that was installed", Sanitized(&plugin));
                let help = format!("{} gets it again", self.command(&format!("restore {}", quoted(&plugin))));
                Finding::error("package-changed", text).of(&plugin).at(&path).help(help)
            }
            StoreProblem::Index { path } => {
                tidy(Finding::warning("index", "the index of manifests cannot be used, and lists do without").at(&path))
            }
        }
    }

    /// What the policy says of an installed plugin.
    fn judge_installed(&self, listed: &ListedPlugin, receipt: Option<&Receipt>) -> Option<Finding> {
        let judge = |request: &PolicyRequest<'_>| {
            if let Err(refusal) = self.policy.judge(request) {
                return Some((Finding::error("policy-refused", refusal.to_string()), refusal.at().clone()));
            }
            let refusal = self.policy.judge(&PolicyRequest { installed: false, ..*request }).err()?;
            let text = format!("it runs, but could not be installed any more: {refusal}");
            Some((Finding::warning("policy-source", text), refusal.at().clone()))
        };
        let (finding, at) = self.store().with_policy_request(&listed.name, receipt, judge)?;
        let help = format!(
            "{} removes it, {} shows every rule",
            self.command(&format!("uninstall {}", Sanitized(&listed.name))),
            self.command(&format!("doctor --policy {}", Sanitized(&listed.name)))
        );
        Some(finding.of(&listed.name).at(&at.file).line(Some(at.line)).help(help))
    }

    /// What nobody vouches for: a package that was installed without verification, and changes that were accepted.
    fn judge_verification(&self, name: &str, receipt: &Receipt) -> Vec<Finding> {
        let mut findings = Vec::new();
        match receipt.verified.by {
            VerificationMethod::None => {
                let text = format!("plugin `{}` was installed without verification: nobody vouches for it", Sanitized(name));
                let help = "install it again with `--force`, from a signed package or with `--digest sha256:...`";
                findings.push(Finding::warning("unverified", text).help(help));
            }
            // A directory is the user's own.
            VerificationMethod::Signature | VerificationMethod::Digest | VerificationMethod::Local => {}
        }
        if !receipt.accepted.is_empty() {
            let files = receipt.accepted.join(", ");
            let text = format!("plugin `{}` runs with changes that you accepted: {files}", Sanitized(name));
            let help = format!("{} takes that back", self.command(&format!("untrust {}", Sanitized(name))));
            findings.push(Finding::note("accepted", text).help(help));
        }
        findings.into_iter().map(|finding| finding.of(name)).collect()
    }

    /// What has become of the signer of an installed plugin. The gate does not ask: before a run no key is looked at.
    fn judge_signer(
        &self,
        name: &str,
        receipt: &Receipt,
        signers: &BTreeMap<String, Signer>,
        trusted: &TrustFile,
    ) -> Vec<Finding> {
        // What a lock file's digest vouches for was signed as well, as the file says.
        let Some((fingerprint, user_id)) = receipt.verified.signed_by() else { return Vec::new() };
        let signature = match user_id {
            "" => fingerprint.to_owned(),
            user_id => format!("{} ({fingerprint})", Sanitized(user_id)),
        };
        let mut findings = Vec::new();
        let again = format!("update it with {}, or remove it", self.command(&format!("update {}", Sanitized(name))));
        match signers.get(&fingerprint.to_ascii_uppercase()).map(|signer| (signer.state, &signer.problem)) {
            Some((SignerState::Revoked, _)) => findings.push(
                Finding::error(
                    "signer-revoked",
                    format!("`{}` was signed by {signature}, whose key is revoked", Sanitized(name)),
                )
                .help(format!("ask its author what happened; {again}")),
            ),
            Some((SignerState::Unusable, problem)) => {
                let problem = problem.clone().unwrap_or_default();
                let text = format!("`{}` was signed by {signature}, whose key no longer counts: {problem}", Sanitized(name));
                findings.push(Finding::error("signer-unusable", text).help(again));
            }
            Some((SignerState::Expired, _)) => findings.push(
                Finding::note(
                    "signer-expired",
                    format!("`{}` was signed by {signature}, whose key has expired", Sanitized(name)),
                )
                .help("ask its author for the renewed key"),
            ),
            Some((SignerState::Valid, _)) => {}
            // SSH keys are in no keyring.
            None if fingerprint.starts_with("SHA256:") => {}
            None => findings.push(
                Finding::note(
                    "signer-unknown",
                    format!("`{}` was signed by {signature}, whose key is no longer in the keyring", Sanitized(name)),
                )
                .help("without it the plugin can neither be updated nor verified again"),
            ),
        }
        let limit = trusted.limit(fingerprint).filter(|limit| !limit.allows(name, &receipt.locations()));
        if let Some(limit) = limit {
            let text = format!("`{}` was signed by {signature}, who may only sign {limit}", Sanitized(name));
            let help = format!("remove it, or change the limit with {}", self.command("keyring limit KEY"));
            findings.push(Finding::error("signer-limited", text).help(help));
        }
        findings.into_iter().map(|finding| finding.of(name)).collect()
    }
}
