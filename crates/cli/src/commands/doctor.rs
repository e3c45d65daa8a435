//! `plugin doctor`.

use std::fmt::Write as _;

use clap::Args;

use crate::Context;
use crate::error::{CommandFailure, Result, code};
use crate::output::OutputFormat;
use plugsmith::manager::{Diagnosis, ExplainedGate, FindingSeverity, PolicyExplanation};
use plugsmith::policy::Policy;
use plugsmith::text::sanitized;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Put right what can be without a loss, missing files too; changed files are never touched
    #[arg(long, conflicts_with = "policy")]
    fix: bool,
    /// Explain what each rule of the policy says of a source or a plugin; without either, of every installed plugin
    #[arg(long, value_name = "SOURCE|NAME", num_args = 0..=1)]
    policy: Option<Option<String>>,
    /// How to print what was found
    #[arg(long, short, value_name = "FORMAT", default_value = "table")]
    output: OutputFormat,
}

pub(crate) fn run(arguments: &Arguments, context: &Context<'_>) -> Result {
    if let Some(what) = &arguments.policy {
        return explain(what.as_deref(), arguments.output, context);
    }
    if arguments.fix {
        crate::clear_up_on_interrupt();
    }
    let diagnosis = context.manager().diagnose(arguments.fix);
    let shown = || match arguments.output {
        OutputFormat::Name => codes(&diagnosis),
        _ => text(&diagnosis),
    };
    context.output.value(arguments.output, &diagnosis, shown)?;
    if diagnosis.ok { Ok(()) } else { Err(CommandFailure::silent(code::FAILED)) }
}

/// What a finding is called, one a line.
fn codes(diagnosis: &Diagnosis) -> String {
    let codes: Vec<&str> = diagnosis.findings.iter().map(|finding| finding.code).collect();
    codes.join("\n")
}

fn text(diagnosis: &Diagnosis) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    for finding in &diagnosis.findings {
        let label = if finding.fixed { "fixed" } else { finding.severity.as_str() };
        let _ = writeln!(out, "{label}: {}", finding.message);
        let line = finding.line.map(|line| format!(":{line}")).unwrap_or_default();
        if let Some(file) = &finding.file {
            let _ = writeln!(out, "  at {}{line}", sanitized(&file.to_string_lossy()));
        }
        if let Some(help) = finding.help.as_ref().filter(|_| !finding.fixed) {
            let _ = writeln!(out, "  help: {help}");
        }
    }
    let count = |severity| diagnosis.findings.iter().filter(|one| !one.fixed && one.severity == severity).count();
    let some = |count: usize, what: &str| match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    };
    let fixed = diagnosis.findings.iter().filter(|finding| finding.fixed).count();
    let (errors, warnings, notes) =
        (count(FindingSeverity::Error), count(FindingSeverity::Warning), count(FindingSeverity::Note));
    if fixed > 0 {
        let _ = write!(out, "{fixed} fixed, ");
    }
    let _ = match errors + warnings {
        0 => writeln!(out, "nothing is wrong ({})", some(notes, "note")),
        _ => writeln!(out, "{}, {}, {}", some(errors, "error"), some(warnings, "warning"), some(notes, "note")),
    };
    out
}

fn explain(what: Option<&str>, format: OutputFormat, context: &Context<'_>) -> Result {
    // For the sake of findings a policy that cannot be used counted as none until here.
    Policy::load(context.host, context.homes).map_err(|error| CommandFailure::new(code::FAILED, error))?;
    let explained = context.manager().explain_policy(what)?;
    if context.policy.is_empty() {
        context.output.notice("there is no policy: everything is allowed");
    }
    let text = || explained.iter().map(explanation).collect::<Vec<_>>().join("\n");
    context.output.value(format, &explained, text)?;
    if explained.iter().all(|one| one.allowed) { Ok(()) } else { Err(CommandFailure::silent(code::FAILED)) }
}

fn explanation(explained: &PolicyExplanation) -> String {
    let mut out = String::new();
    let mut what = explained.name.clone().unwrap_or_default();
    if !explained.sources.is_empty() {
        let from = if what.is_empty() { "" } else { " from " };
        let _ = write!(what, "{from}{}", explained.sources.join(", "));
    }
    if let Some(verified) = explained.verified {
        let _ = write!(what, " (verified by: {verified})");
    }
    let later = explained.rules.iter().any(|rule| rule.verdict == "later");
    let verdict = match (explained.allowed, later) {
        (false, _) => "refused",
        (true, false) => "allowed",
        (true, true) => "allowed, as far as it is known before it is fetched",
    };
    let _ = writeln!(out, "{what}: {verdict}");
    if let Some(ExplainedGate { value, setting, raised_by }) = &explained.gate {
        let _ = match raised_by {
            Some(at) if value != setting => {
                writeln!(out, "  gate     {value}, not `{setting}` as in config.yaml: {at} raises it")
            }
            Some(at) => writeln!(out, "  gate     {value}, and {at} lets nobody loosen it"),
            None => writeln!(out, "  gate     {value}"),
        };
    }
    for rule in &explained.rules {
        let file = sanitized(&rule.file.to_string_lossy()).into_owned();
        let _ = writeln!(out, "  {:<7}  {file}:{}  {}", rule.verdict, rule.line, rule.rule);
        if let Some(reason) = &rule.reason {
            let _ = writeln!(out, "           {reason}");
        }
    }
    out
}
