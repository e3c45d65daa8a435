//! `plugin lint`.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use crate::Context;
use crate::error::{CommandFailure, Result, code};
use plugsmith::intake::source::is_package;
use plugsmith::manifest::lint::LintReport;
use plugsmith::manifest::{Problem, Severity};
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
    crate::clear_up_on_interrupt();
    let report = context.manager().lint(path)?;
    match arguments.output {
        LintFormat::Json => context.output.value(crate::output::OutputFormat::Json, &report, String::new)?,
        LintFormat::Sarif => context.output.value(crate::output::OutputFormat::Json, &report.to_sarif(), String::new)?,
        LintFormat::Table => context.output.print(&text(&report))?,
    }
    let errors = report.problems.iter().any(|problem| arguments.strict || problem.severity == Severity::Error);
    if errors { Err(CommandFailure::silent(code::FAILED)) } else { Ok(()) }
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
