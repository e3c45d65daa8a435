//! `plugin install`.

use std::io::Read as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args};

use crate::Context;
use crate::error::{CommandFailure, Result, code};
use crate::verb::{Action, OutputArguments, VerbRow, VerbRows, run_each, verified_by};
use plugsmith::digest::Sha256Digest;
use plugsmith::intake::provenance::Evidence;
use plugsmith::intake::source::{FetchOptions, GitHubAccess, Secret, Wanted};
use plugsmith::manager::{InstallRequest, Installation, VerificationMode};
use plugsmith::settings::parse_duration;
use plugsmith::text::Sanitized;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Directories, packages, URLs, `oci://` references, git repositories, or `owner/repo[@version]` on GitHub
    #[arg(value_name = "SOURCE", required = true)]
    sources: Vec<String>,
    /// Show how each SOURCE is understood, and do nothing
    #[arg(long)]
    explain: bool,
    /// Copy a directory; without this it is linked, for development
    #[arg(long)]
    copy: bool,
    /// Replace an installed version, or whatever is in the way
    #[arg(long)]
    force: bool,
    /// Do not run the install hook
    #[arg(long)]
    no_hooks: bool,
    #[command(flatten)]
    output: OutputArguments,
    /// Accept a plugin that is signed by somebody else than before
    #[arg(long, help_heading = "Verification")]
    accept_signer: bool,
    #[command(flatten)]
    trust: TrustArguments,
    #[command(flatten)]
    fetch: FetchArguments,
}

/// What makes a package trusted.
#[derive(Debug, Args)]
#[command(next_help_heading = "Verification")]
pub(crate) struct TrustArguments {
    /// Verify packages; `--verify=false` installs whatever comes
    #[arg(long, value_name = "BOOL", default_missing_value = "true", num_args = 0..=1, require_equals = true, action = ArgAction::Set)]
    verify: Option<bool>,
    /// The package's digest, which then needs no signature
    #[arg(long, value_name = "sha256:HEX")]
    digest: Option<Sha256Digest>,
    #[command(flatten)]
    keyring: KeyringArguments,
}

/// Whose signatures count.
#[derive(Debug, Args)]
#[command(next_help_heading = "Verification")]
pub(crate) struct KeyringArguments {
    /// A keyring with the keys that may sign: a file or a directory; may be given several times
    #[arg(long, value_name = "PATH")]
    keyring: Vec<PathBuf>,
    /// SSH keys that may sign tags and commits in git, in the format of `ssh-keygen`
    #[arg(long, value_name = "FILE")]
    allowed_signers: Option<PathBuf>,
    /// Accept a signature made before its key expired
    #[arg(long)]
    allow_expired_key: bool,
}

/// What to fetch, and how to reach a server.
#[derive(Debug, Args)]
#[command(next_help_heading = "Network")]
pub(crate) struct FetchArguments {
    /// The version, or a range of versions, where the source has several
    #[arg(long, value_name = "VERSION")]
    version: Option<String>,
    #[command(flatten)]
    network: NetworkArguments,
}

/// How to reach a server.
#[derive(Debug, Args)]
#[command(next_help_heading = "Network")]
pub(crate) struct NetworkArguments {
    /// The user name for the server
    #[arg(long, value_name = "NAME")]
    username: Option<String>,
    /// Read the password from standard input
    #[arg(long)]
    password_stdin: bool,
    /// Certificates (PEM) to trust instead of the system's
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// The client's certificate (PEM)
    #[arg(long, value_name = "FILE")]
    cert_file: Option<PathBuf>,
    /// The key of the client's certificate (PEM)
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Do not check the server's certificate
    #[arg(long)]
    insecure_skip_tls_verify: bool,
    /// Use HTTP without TLS where the source leaves it open
    #[arg(long)]
    plain_http: bool,
    /// The time that a whole download may take, such as `10m`
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    timeout: Option<Duration>,
}

fn duration(text: &str) -> std::result::Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "expected a duration such as `90s`, `10m` or `1h`".to_owned())
}

pub(crate) fn run(arguments: &Arguments, context: &Context<'_>) -> Result {
    if arguments.explain {
        return explain(&arguments.sources, context);
    }
    run_each(arguments.output.output, context, |acts| {
        let trust = arguments.trust.trust(context)?;
        let fetch = arguments.fetch.options(context)?;
        acts.each(
            &arguments.sources,
            |source| VerbRow::of_source(source),
            |acts, source| {
                let request = InstallRequest {
                    source: source.clone(),
                    fetch: fetch.clone(),
                    trust: trust.clone(),
                    force: arguments.force,
                    copy: arguments.copy,
                    hooks: !arguments.no_hooks,
                    accept_signer: arguments.accept_signer,
                };
                Ok(row(context.manager().install(&request)?, acts))
            },
        );
        Ok(())
    })
}

impl TrustArguments {
    /// What the arguments and the settings say.
    pub(crate) fn trust(&self, context: &Context<'_>) -> Result<VerificationMode> {
        match self.given()? {
            Some(trust) => Ok(trust),
            None if context.settings.verify => Ok(self.keyring.trust()),
            None => Ok(VerificationMode::Nothing),
        }
    }

    /// What the arguments say by themselves.
    pub(crate) fn given(&self) -> Result<Option<VerificationMode>> {
        match (self.verify, self.digest) {
            (Some(false), Some(_)) => Err(CommandFailure::text(code::USAGE, "`--digest` contradicts `--verify=false`")),
            (Some(false), None) => Ok(Some(VerificationMode::Nothing)),
            (_, Some(digest)) => Ok(Some(VerificationMode::Digest(digest))),
            (Some(true), None) => Ok(Some(self.keyring.trust())),
            (None, None) if !self.keyring.keyring.is_empty() => Ok(Some(self.keyring.trust())),
            (None, None) => Ok(None),
        }
    }

    pub(crate) fn has_digest(&self) -> bool {
        self.digest.is_some()
    }

    pub(crate) fn allow_expired_key(&self) -> bool {
        self.keyring.allows_expired_keys()
    }
}

impl KeyringArguments {
    /// Whether any of them is there.
    pub(crate) fn is_given(&self) -> bool {
        !self.keyring.is_empty() || self.allowed_signers.is_some() || self.allow_expired_key
    }

    pub(crate) fn allows_expired_keys(&self) -> bool {
        self.allow_expired_key
    }

    /// Trust in a signature by these keys.
    pub(crate) fn trust(&self) -> VerificationMode {
        VerificationMode::Signature {
            keyrings: self.keyring.clone(),
            allowed_signers: self.allowed_signers.clone(),
            allow_expired_key: self.allow_expired_key,
        }
    }
}

impl FetchArguments {
    /// What the arguments and the settings say; reads the password where it was announced.
    pub(crate) fn options(&self, context: &Context<'_>) -> Result<FetchOptions> {
        self.network.options(self.version.clone(), context)
    }
}

impl NetworkArguments {
    /// Whether a user name was given: it is about one server.
    pub(crate) fn has_username(&self) -> bool {
        self.username.is_some()
    }

    /// The options to fetch `version`; reads the password where it was announced.
    pub(crate) fn options(&self, version: Option<String>, context: &Context<'_>) -> Result<FetchOptions> {
        let password = if self.password_stdin { Some(read_password()?) } else { None };
        Ok(FetchOptions {
            version,
            wanted: Wanted::default(),
            username: self.username.clone(),
            password,
            ca_file: self.ca_file.clone(),
            cert_file: self.cert_file.clone(),
            key_file: self.key_file.clone(),
            insecure_skip_tls_verify: self.insecure_skip_tls_verify,
            plain_http: self.plain_http,
            refuse_git_redirects: false,
            timeout: self.timeout,
            http: context.settings.http.clone(),
            limits: context.settings.limits.clone(),
            github: GitHubAccess::of(context.host),
            registries: context.settings.registries.clone(),
        })
    }
}

/// The first line of standard input.
fn read_password() -> Result<Secret> {
    let mut text = String::new();
    std::io::stdin()
        .take(64 << 10)
        .read_to_string(&mut text)
        .map_err(|e| CommandFailure::text(code::FAILED, format!("cannot read the password from standard input: {e}")))?;
    Ok(Secret::new(text.lines().next().unwrap_or_default()))
}

/// Says how each source is understood. One that cannot be understood does not keep the others from being explained.
fn explain(sources: &[String], context: &Context<'_>) -> Result {
    context.each(sources.iter().enumerate(), |(i, source)| {
        let parsed = context.manager().parse_source(source)?;
        let mut lines = parsed.explain();
        if sources.len() > 1 {
            let gap = if i == 0 { "" } else { "\n" };
            lines.insert(0, format!("{gap}{parsed}:"));
        }
        Ok(context.output.print(&lines.join("\n"))?)
    })
}

fn row(done: Installation, acts: &VerbRows<'_>) -> VerbRow {
    let label = label(done.name.as_str(), done.version.as_deref());
    if done.already_there {
        let text = format!("{label} is already installed; `--force` installs it again");
        return acts.installed(Action::Unchanged, done.name.as_str()).with_notice(text);
    }
    let text = format!("Installed {label}: {}", trusted_by(done.evidence.as_ref()));
    let row = acts.installed(Action::Installed, done.name.as_str()).with_result(text);
    VerbRow { version: done.version, previous_version: done.replaced, verified: verified_by(done.evidence.as_ref()), ..row }
}

/// Why a plugin is trusted, in words.
pub(super) fn trusted_by(evidence: Option<&Evidence>) -> String {
    match evidence {
        None => "a directory of yours".to_owned(),
        Some(Evidence::Skipped) => "not verified".to_owned(),
        Some(Evidence::Digest(digest)) => format!("verified by digest sha256:{digest}"),
        Some(Evidence::Signature(signature)) => {
            format!("signed by {} ({})", Sanitized(&signature.user_id), signature.fingerprint)
        }
    }
}

/// `name 1.0.0`, or the name alone.
pub(super) fn label(name: &str, version: Option<&str>) -> String {
    match version {
        Some(version) => format!("{} {}", Sanitized(name), Sanitized(version)),
        None => Sanitized(name).to_string(),
    }
}
