//! `env`: each setting as it is in force, and where it comes from.

use clap::Args;
use serde::Serialize;

use crate::Context;
use crate::error::Result;
use crate::output::{Output, OutputFormat, Table};
use plugsmith::audit::AuditLog;
use plugsmith::host::SettingOrigin;
use plugsmith::intake::provenance::Keyring;
use plugsmith::intake::source::GitHubAccess;
use plugsmith::policy::{HookPolicy, Policy};
use plugsmith::text::bare_urls;

// How `env` and `version` print what they know. No doc comment: clap would take it for what they are about.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// How to print it
    #[arg(long, short, value_name = "FORMAT", default_value = "table")]
    pub(super) output: OutputFormat,
}

/// A setting.
#[derive(Debug, Serialize)]
struct SettingRow {
    name: String,
    value: String,
    from: String,
}

pub(super) fn run(arguments: &Arguments, context: &Context<'_>) -> Result {
    let mut rows = variables(context);
    rows.extend(settings(context));
    let table = |rows: &[SettingRow]| {
        let mut table = Table::new(["NAME", "VALUE", "FROM"]);
        rows.iter().for_each(|row| table.row([&row.name, &row.value, &row.from]));
        table
    };
    Ok(context.output.list(arguments.output, &rows, table, |row| &row.name)?)
}

/// What the environment sets. The name is the one to set.
fn variables(context: &Context<'_>) -> Vec<SettingRow> {
    let Context { host, homes, .. } = context;
    let row = |key: &str, value: String, origin: &SettingOrigin| SettingRow {
        name: host.variable_name(key),
        value,
        from: from(origin),
    };
    let list = |paths: Vec<_>| std::env::join_paths(paths).unwrap_or_default().to_string_lossy().into_owned();
    let mut rows = vec![
        row("DATA_HOME", homes.data.path.display().to_string(), &homes.data.origin),
        row("CONFIG_HOME", homes.config.path.display().to_string(), &homes.config.origin),
        row("CACHE_HOME", homes.cache.path.display().to_string(), &homes.cache.origin),
        row("PLUGINS", list(homes.plugins.clone()), &homes.plugins_origin),
    ];
    let (keyring, origin) = Keyring::default_locations(host, homes);
    rows.push(row("KEYRING", list(keyring), &origin));
    let policies = Policy::candidates(host, homes).into_iter();
    let policies: Vec<_> = policies.filter(|one| one.named_by.is_some() || one.path.symlink_metadata().is_ok()).collect();
    let named_by = policies.iter().find_map(|one| one.named_by.clone());
    let origin = named_by.map_or(SettingOrigin::Default, SettingOrigin::Environment);
    let shown = list(policies.into_iter().map(|one| one.path).collect());
    rows.push(row("POLICY", or_none(shown), &origin));
    let github = GitHubAccess::of(host);
    let (name, api) = github.api.map_or((None, GitHubAccess::API.to_owned()), |(name, api)| (Some(name), bare_urls(&api)));
    rows.push(row("GITHUB_API", api, &name.map_or(SettingOrigin::Default, SettingOrigin::Environment)));
    // Only that there is one, never which.
    let (value, origin) = match github.token {
        Some((name, _)) => ("***", SettingOrigin::Environment(name)),
        None => ("none", SettingOrigin::Default),
    };
    rows.push(row("GITHUB_TOKEN", value.to_owned(), &origin));
    let set = |key: &str| host.variable(key).map_or(SettingOrigin::Default, |(name, _)| SettingOrigin::Environment(name));
    rows.push(row("NO_PLUGINS", host.switch("NO_PLUGINS").to_string(), &set("NO_PLUGINS")));
    let by_flag = context.globals.debug && !host.switch("DEBUG");
    let origin = if by_flag { SettingOrigin::Flag("--debug") } else { set("DEBUG") };
    rows.push(row("DEBUG", context.globals.debug.to_string(), &origin));
    rows
}

/// What `config.yaml` sets, as far as no flag, variable or policy has the last word.
fn settings(context: &Context<'_>) -> Vec<SettingRow> {
    let Context { homes, settings, .. } = context;
    let in_force = |(key, value): (String, String)| {
        let chosen = match key.as_str() {
            "output.color" => Output::color_chosen_outside(context.globals)
                .map(|(when, origin)| (format!("{when:?}").to_lowercase(), from(&origin))),
            "audit.file" => {
                let path = AuditLog::of(homes, &settings.audit).path().display().to_string();
                Some((path, from(&settings.origin(&key))))
            }
            "hooks.sandbox" => match context.policy.hooks() {
                Some(rule) if rule.value == HookPolicy::Forbid => Some(("no hook runs".to_owned(), rule.at.to_string())),
                Some(rule) if rule.value == HookPolicy::Sandbox => Some(("require".to_owned(), rule.at.to_string())),
                Some(_) | None => None,
            },
            _ => None,
        };
        let (value, from) = chosen.unwrap_or_else(|| (value, from(&settings.origin(&key))));
        SettingRow { name: key, value, from }
    };
    settings.rows().into_iter().map(in_force).collect()
}

fn or_none(text: String) -> String {
    if text.is_empty() { "none".to_owned() } else { text }
}

fn from(origin: &SettingOrigin) -> String {
    match origin {
        SettingOrigin::Flag(flag) => (*flag).to_owned(),
        SettingOrigin::Environment(name) => format!("${name}"),
        SettingOrigin::File(path, line) => format!("{}:{line}", path.display()),
        SettingOrigin::Default => "default".to_owned(),
    }
}
