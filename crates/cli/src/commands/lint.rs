//! `plugin lint`.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use crate::Context;
use crate::error::{CommandFailure, Result, code};
use plugsmith::intake::package;
use plugsmith::intake::source::is_package;
use plugsmith::manifest::lint::{LintReport, lint};
use plugsmith::manifest::{Problem, Severity};
use plugsmith::store::Spool;
use plugsmith::text::Sanitized;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// A plugin's directory, its `plugin.yaml`, or a package
    path: PathBuf,
    /// How to print the problems
    #[arg(long, short, value_name = "FORMAT", default_value = "table")]
    output: LintFormat,
    /// Count warnings as errors
    #[arg(long)]
    strict: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LintFormat {
    /// For people
    #[value(alias = "text")]
    Table,
    /// One JSON object
    Json,
    /// SARIF 2.1.0, for code scanning in CI
    Sarif,
}

pub(crate) fn run(arguments: &Arguments, context: &Context<'_>) -> Result {
    let path = &arguments.path;
    if !path.exists() {
        let offered = |path: &Path| path.is_dir() || is_package(path);
        return Err(CommandFailure::not_there(path, offered, "give a plugin's directory, or a package"));
    }
    let report =
        if path.is_file() && is_package(path) { lint_package(path, context)? } else { lint(path, &context.settings.limits) };
    match arguments.output {
        LintFormat::Json => context.output.value(crate::output::OutputFormat::Json, &report, String::new)?,
        LintFormat::Sarif => context.output.value(crate::output::OutputFormat::Json, &report.to_sarif(), String::new)?,
        LintFormat::Table => context.output.print(&text(&report))?,
    }
    let errors = report.problems.iter().any(|problem| arguments.strict || problem.severity == Severity::Error);
    if errors { Err(CommandFailure::silent(code::FAILED)) } else { Ok(()) }
}

/// Lints what a package would install. Where it would not install at all, that is the one problem.
fn lint_package(path: &Path, context: &Context<'_>) -> Result<LintReport> {
    let limits = &context.settings.limits;
    crate::clear_up_on_interrupt();
    let scratch = Spool::within(&std::env::temp_dir())?;
    let into = scratch.path().join("unpacked");
    std::fs::create_dir(&into)
        .map_err(|e| CommandFailure::text(code::FAILED, format!("cannot make a temporary directory: {e}")))?;
    let shown = path.to_string_lossy().into_owned();
    Ok(match package::unpack(path, path, &into, limits, context.output) {
        Ok(unpacked) => LintReport { path: shown, ..lint(&unpacked.root, limits) },
        Err(error) => {
            let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let chain = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
            let message = chain.map(ToString::to_string).collect::<Vec<_>>().join(": ");
            let help = "whoever installs it gets the same error; package the plugin again".to_owned();
            let problem = Problem { severity: Severity::Error, code: "package-invalid", message, file, at: None, help };
            LintReport { path: shown, ok: false, problems: vec![problem] }
        }
    })
}

fn text(report: &LintReport) -> String {
    let mut out = String::new();
    for problem in &report.problems {
        out.push_str(&line(problem));
    }
    let count = |severity| report.problems.iter().filter(|problem| problem.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let plural = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    out.push_str(&match (errors, warnings) {
        (0, 0) => format!("{}: no problems\n", Sanitized(&report.path)),
        _ => format!("{}: {}, {}\n", Sanitized(&report.path), plural(errors, "error"), plural(warnings, "warning")),
    });
    out
}

fn line(problem: &Problem) -> String {
    let severity = match problem.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let place = match problem.at {
        Some(at) => format!("{}:{}:{}", problem.file, at.line, at.column),
        None => problem.file.clone(),
    };
    let mut text = format!("{}: {severity}: {} [{}]\n", Sanitized(&place), Sanitized(&problem.message), problem.code);
    if !problem.help.is_empty() {
        text.push_str(&format!("  help: {}\n", Sanitized(&problem.help)));
    }
    text
}
