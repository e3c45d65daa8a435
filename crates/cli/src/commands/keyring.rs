//! `plugin keyring`: the keys that may sign plugins.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};

use crate::Context;
use crate::error::{CommandFailure, Result, code};
use crate::output::{OutputFormat, Table};
use crate::verb::{Action, OutputArguments, VerbRow, VerbRows, run_each, run_one, shown};
use plugsmith::files;
use plugsmith::intake::provenance::{FullFingerprint, Keyring, Signer, SignerState};
use plugsmith::intake::source::FetchOptions;
use plugsmith::manager::{AddedKey, KeyChange, KeySource};
use plugsmith::policy::Pattern;
use plugsmith::settings::parse_duration;
use plugsmith::text::{Sanitized, sanitized};

#[derive(Debug, Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: KeyringCommand,
}

// No doc comment: clap would take it for the group's help.
#[derive(Debug, Subcommand)]
enum KeyringCommand {
    /// Add public keys from files, standard input or https URLs
    Add(AddArguments),
    /// List whose keys there are, and whether they may sign today
    #[command(visible_alias = "ls")]
    List(ListArguments),
    /// Remove keys
    #[command(visible_alias = "rm")]
    Remove(RemoveArguments),
    /// Say for which plugins a key may sign; without options, for all
    Limit(LimitArguments),
    /// Write public keys, to give them to others
    Export(ExportArguments),
}

#[derive(Debug, Args)]
struct AddArguments {
    /// Keyrings in any form; `-` for standard input; an https URL needs `--fingerprint`
    #[arg(value_name = "FILE|URL", required = true)]
    from: Vec<String>,
    /// The key's whole fingerprint, known from elsewhere: this key alone is added
    #[arg(long, value_name = "FINGERPRINT")]
    fingerprint: Option<FullFingerprint>,
    #[command(flatten)]
    limits: LimitPatterns,
    #[command(flatten)]
    output: OutputArguments,
    /// Certificates (PEM) to trust instead of the system's
    #[arg(long, value_name = "FILE", help_heading = "Network")]
    ca_file: Option<PathBuf>,
    /// The time that the whole download may take, such as `1m`
    #[arg(long, value_name = "DURATION", value_parser = duration, help_heading = "Network")]
    timeout: Option<Duration>,
}

#[derive(Debug, Args)]
struct LimitArguments {
    /// The key: its fingerprint, key id or e-mail address
    #[arg(value_name = "KEY")]
    key: String,
    #[command(flatten)]
    limits: LimitPatterns,
    #[command(flatten)]
    output: OutputArguments,
}

/// What a key may sign.
#[derive(Debug, Args)]
struct LimitPatterns {
    /// The key may only sign plugins of this name, in which `*` stands for anything; may be given several times
    #[arg(long, value_name = "NAME", value_parser = name)]
    for_name: Vec<String>,
    /// The key may only sign what comes from here, such as `https://example.com/**`; may be given several times
    #[arg(long, value_name = "GLOB", value_parser = source)]
    for_source: Vec<String>,
}

fn name(text: &str) -> std::result::Result<String, String> {
    Pattern::name(text).map(|pattern| pattern.to_string())
}

fn source(text: &str) -> std::result::Result<String, String> {
    Pattern::source(text).map(|pattern| pattern.to_string())
}

#[derive(Debug, Args)]
struct ListArguments {
    /// How to print the list
    #[arg(long, short, value_name = "FORMAT", default_value = "table")]
    output: OutputFormat,
}

#[derive(Debug, Args)]
struct RemoveArguments {
    /// The keys: the fingerprint, key id or e-mail address of each
    #[arg(value_name = "KEY", required = true)]
    keys: Vec<String>,
    #[command(flatten)]
    output: OutputArguments,
}

#[derive(Debug, Args)]
struct ExportArguments {
    /// The key: its fingerprint, key id or e-mail address; all of them without this
    #[arg(value_name = "KEY")]
    key: Option<String>,
    /// The file to write, instead of standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

fn duration(text: &str) -> std::result::Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "expected a duration such as `90s`, `10m` or `1h`".to_owned())
}

pub(crate) fn run(arguments: &Arguments, context: &Context<'_>) -> Result {
    match &arguments.command {
        KeyringCommand::Add(arguments) => {
            let gnupg = context.manager().gnupg_keyring_in_use();
            let added = run_each(arguments.output.output, context, |acts| {
                for from in &arguments.from {
                    add(from, arguments, acts, context);
                }
                if let Some(gnupg) = gnupg {
                    offer_gnupg_keys(&gnupg, acts, context);
                }
                Ok(())
            });
            note_other_keyring(context);
            added
        }
        KeyringCommand::List(arguments) => list(arguments, context),
        KeyringCommand::Remove(arguments) => run_each(arguments.output.output, context, |acts| {
            acts.each(&arguments.keys, |key| VerbRow::of_name(key), |_, key| remove(key, context));
            Ok(())
        }),
        KeyringCommand::Limit(arguments) => limit(arguments, context),
        KeyringCommand::Export(arguments) => export(arguments, context),
    }
}

/// Adds the keys of one argument, each of which is a row.
fn add(from: &str, arguments: &AddArguments, acts: &mut VerbRows<'_>, context: &Context<'_>) {
    match read_and_add(from, arguments, context) {
        Ok(added) => {
            for key in &added {
                acts.take(VerbRow::of_source(from), added_row(key, from, &arguments.limits, context));
            }
        }
        Err(failure) => acts.take(VerbRow::of_source(from), Err(failure)),
    }
}

/// Offers to add the keys of GnuPG's keyring, which counted until the host's own was begun just now. Where nobody can be asked, the
/// warning of that has named the command.
fn offer_gnupg_keys(gnupg: &Path, acts: &mut VerbRows<'_>, context: &Context<'_>) {
    let manager = context.manager();
    let (path, from) = (gnupg.to_string_lossy(), KeySource::Path(gnupg));
    let (Ok(there), true) = (Keyring::load_any(gnupg), manager.keyring_path().exists()) else { return };
    let own = manager.list_keys().unwrap_or_default();
    let missing = there.signers().iter().filter(|key| own.iter().all(|own| own.fingerprint != key.fingerprint)).count();
    let question = format!("Add the keys of {} as well ({missing})?", Sanitized(&path));
    if missing == 0 || !context.output.confirm(&question).unwrap_or(false) {
        return;
    }
    match manager.add_keys(&from, None) {
        Ok(added) => {
            let all = LimitPatterns { for_name: Vec::new(), for_source: Vec::new() };
            for key in &added {
                acts.take(VerbRow::of_source(&path), added_row(key, &path, &all, context));
            }
        }
        Err(error) => acts.take(VerbRow::of_source(&path), Err(error.into())),
    }
}

fn read_and_add(from: &str, arguments: &AddArguments, context: &Context<'_>) -> Result<Vec<AddedKey>> {
    let manager = context.manager();
    let path = Path::new(from);
    let is_url = from.contains("://") && !path.exists();
    let network = [(arguments.ca_file.is_some(), "--ca-file"), (arguments.timeout.is_some(), "--timeout")];
    if let (false, Some((_, option))) = (is_url, network.iter().find(|(given, _)| *given)) {
        let text = format!("`{option}` cannot be used with `{}`: it is no URL", Sanitized(from));
        return Err(CommandFailure::text(code::USAGE, text));
    }
    Ok(if is_url {
        let Some(fingerprint) = &arguments.fingerprint else {
            let shown = plugsmith::text::masked_source(from);
            let text = format!("a key from a URL needs https and `--fingerprint`: {shown} could send anybody's key");
            return Err(CommandFailure::text(code::USAGE, text).hint("get the fingerprint from the signer, by another way"));
        };
        let fetch = FetchOptions {
            ca_file: arguments.ca_file.clone(),
            timeout: arguments.timeout,
            http: context.settings.http.clone(),
            limits: context.settings.limits.clone(),
            ..FetchOptions::default()
        };
        manager.add_keys(&KeySource::Url { url: from, fetch: &fetch, fingerprint }, None)?
    } else if from == "-" {
        let mut bytes = Vec::new();
        let read = io::stdin().take(Keyring::MAX_BYTES + 1).read_to_end(&mut bytes);
        read.map_err(|e| CommandFailure::text(code::FAILED, format!("cannot read the key from standard input: {e}")))?;
        manager.add_keys(&KeySource::Bytes(&bytes, "standard input"), arguments.fingerprint.as_ref())?
    } else {
        manager.add_keys(&KeySource::Path(path), arguments.fingerprint.as_ref())?
    })
}

fn added_row(key: &AddedKey, from: &str, limits: &LimitPatterns, context: &Context<'_>) -> Result<VerbRow> {
    let LimitPatterns { for_name, for_source } = limits;
    let signer = &key.signer;
    // Without limits, those that a key has stay.
    if !for_name.is_empty() || !for_source.is_empty() {
        context.manager().set_limit(&signer.fingerprint, for_name, for_source)?;
    }
    let (what, action) = match key.change {
        KeyChange::Added => ("Added", Action::Installed),
        KeyChange::Updated => ("Updated", Action::Updated),
        KeyChange::Unchanged => ("Already there", Action::Unchanged),
    };
    let mut lines = vec![format!("{what}: {}", signer.fingerprint)];
    lines.extend(signer.user_ids.iter().map(|user_id| format!("User id: {}", Sanitized(user_id))));
    lines.push(format!("State: {}", state(signer)));
    lines.extend(may_sign(&signer.fingerprint, context)?);
    warn_of(signer, context);
    let source = Some(plugsmith::text::masked_source(from));
    Ok(VerbRow { source, ..row(action, signer, context).with_result(lines.join("\n")) })
}

/// What a row says of a key.
fn row(action: Action, signer: &Signer, context: &Context<'_>) -> VerbRow {
    let mut row = VerbRow::new(action);
    row.name = signer.user_ids.first().cloned();
    row.verified.signer.clone_from(&row.name);
    row.verified.fingerprint = Some(signer.fingerprint.clone());
    row.path = Some(shown(&context.manager().keyring_path()));
    row
}

/// Says so if nothing that this key signed counts.
fn warn_of(signer: &Signer, context: &Context<'_>) {
    let (SignerState::Expired | SignerState::Revoked | SignerState::Unusable, Some(problem)) =
        (signer.state, &signer.problem)
    else {
        return;
    };
    context.output.warning(&format!("signatures of this key are refused: {problem}"));
    let signed = context.manager().signed_by(&signer.fingerprint);
    if signer.state != SignerState::Expired && !signed.is_empty() {
        context.output.warning(&format!(
            "this key signed plugins that are installed: {}; ask their author, and see `{} plugin doctor`",
            sanitized(&signed.join(", ")),
            context.host.name()
        ));
    }
}

/// The state with its date, where it has one.
fn state(signer: &Signer) -> String {
    match (signer.state, signer.expires) {
        (SignerState::Valid, Some(end)) => format!("valid until {end}"),
        (SignerState::Valid, None) => "valid, does not expire".to_owned(),
        (SignerState::Expired, Some(end)) => format!("expired on {end}"),
        (state, _) => state.as_str().to_owned(),
    }
}

fn list(arguments: &ListArguments, context: &Context<'_>) -> Result {
    let signers = context.manager().list_keys()?;
    note_other_keyring(context);
    if signers.is_empty() && arguments.output == OutputFormat::Table {
        let path = context.manager().keyring_path();
        context.output.notice(&format!("there are no keys in {}", sanitized(&path.to_string_lossy())));
        return Ok(());
    }
    Ok(context.output.list(arguments.output, &signers, table, |signer| &signer.fingerprint)?)
}

fn table(signers: &[Signer]) -> Table {
    let mut table = Table::new(["FINGERPRINT", "STATE", "EXPIRES", "USER IDS"]);
    for signer in signers {
        table.row([
            signer.fingerprint.clone(),
            signer.state.as_str().to_owned(),
            signer.expires.map_or_else(|| "-".to_owned(), |end| end.to_string()),
            signer.user_ids.join(", "),
        ]);
    }
    table
}

fn remove(key: &str, context: &Context<'_>) -> Result<VerbRow> {
    let manager = context.manager();
    let signer = manager.remove_key(key)?;
    // What it could sign no longer matters, and must not speak of a key that comes back some day.
    manager.set_limit(&signer.fingerprint, &[], &[])?;
    let mut lines = vec![format!("Removed: {}", signer.fingerprint)];
    lines.extend(signer.user_ids.iter().map(|user_id| format!("User id: {}", Sanitized(user_id))));
    Ok(row(Action::Removed, &signer, context).with_result(lines.join("\n")))
}

fn limit(arguments: &LimitArguments, context: &Context<'_>) -> Result {
    let LimitPatterns { for_name, for_source } = &arguments.limits;
    run_one(arguments.output.output, context, VerbRow::of_name(&arguments.key), |_| {
        let fingerprint = context.manager().limit_key(&arguments.key, for_name, for_source)?;
        let limits = may_sign(&fingerprint, context)?.unwrap_or_else(|| "May sign: every plugin".to_owned());
        let mut row = VerbRow::new(Action::Updated).with_result(format!("Key: {fingerprint}\n{limits}"));
        row.verified.fingerprint = Some(fingerprint);
        Ok(row)
    })
}

/// What a key may sign, where that is limited.
fn may_sign(fingerprint: &str, context: &Context<'_>) -> Result<Option<String>> {
    Ok(context.manager().limit_of(fingerprint)?.map(|limit| format!("May sign: {}", Sanitized(&limit.to_string()))))
}

fn export(arguments: &ExportArguments, context: &Context<'_>) -> Result {
    let bytes = context.manager().export_keys(arguments.key.as_deref())?;
    if bytes.is_empty() {
        return Err(CommandFailure::text(code::NOT_THERE, "the keyring is empty: there is nothing to export")
            .hint(format!("`{} plugin keyring add FILE` adds a key", context.host.name())));
    }
    match &arguments.output {
        Some(file) if file.as_os_str() != "-" => files::write_public(file, &bytes).map_err(|e| {
            CommandFailure::text(code::FAILED, format!("cannot write {}: {e}", Sanitized(&file.to_string_lossy())))
        }),
        // Armor is ASCII.
        _ => Ok(context.output.print(&String::from_utf8_lossy(&bytes))?),
    }
}

/// Says so where another keyring than this one is in force.
fn note_other_keyring(context: &Context<'_>) {
    if let Some((name, value)) = context.host.variable("KEYRING") {
        let value = value.to_string_lossy();
        context.output.notice(&format!(
            "{name} is set: plugins are verified with {}, and not with {}",
            sanitized(&value),
            sanitized(&context.manager().keyring_path().to_string_lossy())
        ));
    }
}
