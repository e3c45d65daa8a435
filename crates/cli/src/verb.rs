//! What a verb that changes or publishes something did: one row for each plugin, package or key, in one shape for every verb, printed
//! in one place. `schema/acts.schema.json` describes it.

use std::path::Path;

use clap::Args;
use serde::Serialize;

use crate::Context;
use crate::error::{CommandFailure, Result};
use crate::output::OutputFormat;
use plugsmith::host::Host;
use plugsmith::intake::provenance::Evidence;
use plugsmith::store::{ListedVerification, VerificationMethod};
use plugsmith::text::masked_source;

/// How a verb prints what it did.
#[derive(Debug, Args)]
pub(crate) struct OutputArguments {
    /// How to print what was done
    #[arg(long, short, value_name = "FORMAT", default_value = "table")]
    pub(crate) output: OutputFormat,
}

/// What was done with one plugin, package or key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Action {
    Installed,
    Updated,
    Unchanged,
    Restored,
    Removed,
    Packaged,
    Signed,
    Verified,
    Pushed,
    Pulled,
    Locked,
    Failed,
}

/// One plugin, package or key, and what was done with it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct VerbRow {
    pub(crate) name: Option<String>,
    pub(crate) action: Action,
    pub(crate) version: Option<String>,
    pub(crate) previous_version: Option<String>,
    /// As it may be shown.
    pub(crate) source: Option<String>,
    /// With `sha256:` before it.
    pub(crate) digest: Option<String>,
    pub(crate) verified: ListedVerification,
    pub(crate) path: Option<String>,
    pub(crate) error: Option<String>,
    pub(crate) hint: Option<String>,
    /// What people read of it.
    #[serde(skip)]
    pub(crate) text: RowText,
}

/// What people read of a row, safe to show.
#[derive(Debug, Clone, Default)]
pub(crate) enum RowText {
    /// They are told in another way.
    #[default]
    None,
    /// A result.
    Result(String),
    /// That there was nothing to do.
    Notice(String),
}

impl VerbRow {
    /// A row of which no more is known yet.
    pub(crate) fn new(action: Action) -> Self {
        Self {
            name: None,
            action,
            version: None,
            previous_version: None,
            source: None,
            digest: None,
            verified: ListedVerification { by: VerificationMethod::None, signer: None, fingerprint: None },
            path: None,
            error: None,
            hint: None,
            text: RowText::None,
        }
    }

    /// What is to be said of the plugin `name`, if it fails.
    pub(crate) fn of_name(name: &str) -> Self {
        Self { name: Some(name.to_owned()), ..Self::new(Action::Failed) }
    }

    /// What is to be said of what comes from `source`, if it fails.
    pub(crate) fn of_source(source: &str) -> Self {
        Self { source: Some(masked_source(source)), ..Self::new(Action::Failed) }
    }

    /// What is to be said of the file or directory at `path`, if it fails.
    pub(crate) fn of_path(path: &Path) -> Self {
        Self { path: Some(shown(path)), ..Self::new(Action::Failed) }
    }

    /// The same, with the result that people read.
    #[must_use]
    pub(crate) fn with_result(self, text: impl Into<String>) -> Self {
        Self { text: RowText::Result(text.into()), ..self }
    }

    /// The same, if there was nothing to do, with what people read of that.
    #[must_use]
    pub(crate) fn with_notice(self, text: impl Into<String>) -> Self {
        Self { text: RowText::Notice(text.into()), ..self }
    }
}

/// A path as a row has it.
pub(crate) fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// Why a package is trusted, as a row has it; without evidence it is a directory of this machine.
pub(crate) fn verified_by(evidence: Option<&Evidence>) -> ListedVerification {
    let bare = |by| ListedVerification { by, signer: None, fingerprint: None };
    match evidence {
        None => bare(VerificationMethod::Local),
        Some(Evidence::Skipped) => bare(VerificationMethod::None),
        Some(Evidence::Digest(_)) => bare(VerificationMethod::Digest),
        Some(Evidence::Signature(signature)) => signed_by(&signature.user_id, &signature.fingerprint),
    }
}

/// A signature, as a row has it.
pub(crate) fn signed_by(user_id: &str, fingerprint: &str) -> ListedVerification {
    let signer = Some(user_id.to_owned()).filter(|user_id| !user_id.is_empty());
    ListedVerification { by: VerificationMethod::Signature, signer, fingerprint: Some(fingerprint.to_owned()) }
}

/// The rows of a verb that is under way.
pub(crate) struct VerbRows<'a> {
    context: &'a Context<'a>,
    format: OutputFormat,
    rows: Vec<VerbRow>,
    first_failure: Option<CommandFailure>,
}

/// Does `work`, a verb that changes or publishes something, and prints its rows as `format` has them. People are told of each at
/// once, programs of all at the end, also where some failed. The first failure is how the verb ends.
pub(crate) fn run_each<'a>(
    format: OutputFormat,
    context: &'a Context<'a>,
    work: impl FnOnce(&mut VerbRows<'a>) -> Result,
) -> Result {
    crate::clear_up_on_interrupt();
    context.output.begin_change(format != OutputFormat::Table);
    let mut acts = VerbRows { context, format, rows: Vec::new(), first_failure: None };
    if let Err(failure) = work(&mut acts) {
        acts.failed(VerbRow::new(Action::Failed), failure);
    }
    acts.end()
}

/// [`run_each`] of a verb that is about one thing: `subject` is what is said of it if it fails.
pub(crate) fn run_one<'a>(
    format: OutputFormat,
    context: &'a Context<'a>,
    subject: VerbRow,
    work: impl FnOnce(&VerbRows<'a>) -> Result<VerbRow>,
) -> Result {
    run_each(format, context, |acts| {
        let ended = work(acts);
        acts.take(subject, ended);
        Ok(())
    })
}

impl<'a> VerbRows<'a> {
    /// Whose command it is.
    pub(crate) fn host(&self) -> &'a Host {
        self.context.host
    }

    /// Does `work` with all of `these`, also where it fails with one, but no more of them after an interrupt; `subject` is what is
    /// said of one that fails.
    pub(crate) fn each<T: Copy>(
        &mut self,
        these: impl IntoIterator<Item = T>,
        subject: impl Fn(T) -> VerbRow,
        mut work: impl FnMut(&Self, T) -> Result<VerbRow>,
    ) {
        for one in these {
            let ended = work(self, one);
            self.take(subject(one), ended);
            if plugsmith::interrupt::requested() {
                break;
            }
        }
    }

    /// Takes what became of one thing, and tells people of it; `subject` is what is said of it if it failed.
    pub(crate) fn take(&mut self, subject: VerbRow, ended: Result<VerbRow>) {
        let told = match ended {
            Ok(row) => self.tell(&row).map(|()| self.rows.push(row)),
            Err(failure) => Err(failure),
        };
        if let Err(failure) = told {
            self.failed(subject, failure);
        }
    }

    /// What is known of the installed plugin `name`, for whoever asked for rows; `subject` where nothing is.
    pub(crate) fn installed(&self, action: Action, name: &str) -> VerbRow {
        let mut row = VerbRow { action, ..VerbRow::of_name(name) };
        if self.format == OutputFormat::Table {
            return row;
        }
        if let Ok(details) = self.context.manager().details(name) {
            row.version = details.listed.version;
            row.source = details.listed.source;
            row.digest = details.digest;
            row.verified = details.listed.verified;
            row.path = Some(shown(&details.listed.directory));
        }
        row
    }

    /// Whether rows are wanted, and what they say must be found out.
    pub(crate) fn wants_rows(&self) -> bool {
        self.format != OutputFormat::Table
    }

    fn tell(&self, row: &VerbRow) -> Result {
        match &row.text {
            RowText::Result(text) if self.format == OutputFormat::Table => self.context.output.done(text)?,
            RowText::Notice(text) if self.format == OutputFormat::Table => self.context.output.notice(text),
            RowText::Result(_) | RowText::Notice(_) | RowText::None => {}
        }
        Ok(())
    }

    fn failed(&mut self, subject: VerbRow, failure: CommandFailure) {
        let (error, hint) = failure.in_words(self.context.host.name());
        self.rows.push(VerbRow { action: Action::Failed, error, hint, ..subject });
        self.context.keep_first(&mut self.first_failure, Err(failure));
    }

    fn end(self) -> Result {
        let output = self.context.output;
        match self.format {
            OutputFormat::Table => {}
            OutputFormat::Json | OutputFormat::Yaml => output.value(self.format, &self.rows, String::new)?,
            OutputFormat::Name => {
                let done = self.rows.iter().filter(|row| row.action != Action::Failed);
                let names: Vec<&str> = done.filter_map(|row| row.name.as_deref()).collect();
                output.print(
                    &names.iter().map(|name| format!("{}\n", plugsmith::text::Sanitized(name))).collect::<String>(),
                )?;
            }
        }
        self.first_failure.map_or(Ok(()), Err)
    }
}
