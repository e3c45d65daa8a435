//! A lint report as SARIF 2.1.0 (OASIS), the least of it that code hosts need to show problems beside the lines.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::lint::LintReport;
use super::problem::{Problem, Severity};

pub(super) fn report(report: &LintReport) -> Value {
    let rules: BTreeMap<_, _> = report.problems.iter().map(|problem| (problem.code, ())).collect();
    let rules: Vec<_> = rules.into_keys().map(|code| json!({ "id": code })).collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {
                "driver": {
                    "name": env!("CARGO_PKG_NAME"),
                    "semanticVersion": env!("CARGO_PKG_VERSION"),
                    "rules": rules,
                },
            },
            "results": report.problems.iter().map(|problem| result(&report.path, problem)).collect::<Vec<_>>(),
        }],
    })
}

fn result(path: &str, problem: &Problem) -> Value {
    let level = match problem.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let mut place = json!({ "artifactLocation": { "uri": uri(path, &problem.file) } });
    if let Some(at) = problem.at {
        place["region"] = json!({ "startLine": at.line, "startColumn": at.column });
    }
    json!({
        "ruleId": problem.code,
        "level": level,
        "message": { "text": format!("{}; {}", problem.message, problem.help) },
        "locations": [{ "physicalLocation": place }],
    })
}

/// The file as a relative reference from where the report was asked for: that is what code hosts match with their files.
fn uri(path: &str, file: &str) -> String {
    let path = path.replace('\\', "/");
    let dir = path.strip_suffix(super::FILE_NAME).filter(|dir| dir.is_empty() || dir.ends_with('/')).unwrap_or(&path);
    let dir = dir.trim_end_matches('/').trim_start_matches("./");
    let joined = if dir.is_empty() || dir == "." { file.to_owned() } else { format!("{dir}/{file}") };
    let mut out = String::with_capacity(joined.len());
    for byte in joined.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'_' | b'-' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
