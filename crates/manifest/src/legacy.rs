//! The form without `apiVersion`, in which most plugins are written: lenient about keys, strict about contradictions.

use std::collections::BTreeMap;

use crate::text;
use crate::yaml::{Entry, Position};

use super::problem::{Checker, Severity};
use super::v1::{commands, hooks, protocols};
use super::{ApiVersion, CliConfig, Config, Metadata, PlatformCommand, ProtocolCommand, RuntimeConfig, Subprocess};

const KEYS: [&str; 10] = [
    "name",
    "version",
    "usage",
    "description",
    "platformCommand",
    "command",
    "ignoreFlags",
    "platformHooks",
    "hooks",
    "downloaders",
];

/// Keys of older Helms that still stand in many manifests: no reason for a warning.
const HISTORICAL: [&str; 2] = ["apiVersion", "useTunnel"];

pub(super) fn read(root: &[Entry], checker: &mut Checker) -> Option<Metadata> {
    let mut name = None;
    let mut version = None;
    let mut cli = CliConfig::default();
    let mut command = (Position::START, String::new());
    let mut platform_commands = Vec::new();
    let mut platform_hooks = BTreeMap::new();
    let mut old_hooks = (Position::START, BTreeMap::new());
    let mut protocol_commands = Vec::new();

    for entry in root {
        let node = &entry.value;
        match &*entry.key {
            "name" => name = Some(node),
            "version" => version = Some(node),
            "usage" => cli.short_help = one_line(&checker.text(node, "usage")),
            "description" => cli.long_help = checker.text(node, "description"),
            "platformCommand" => platform_commands = commands(node, "platformCommand", checker),
            "command" => command = (entry.at, checker.text(node, "command")),
            "ignoreFlags" => cli.ignore_flags = checker.boolean(node, "ignoreFlags"),
            "platformHooks" => platform_hooks = hooks(node, checker),
            "hooks" => {
                let mut scripts = BTreeMap::new();
                for hook in checker.entries(node, "hooks") {
                    scripts.insert(hook.key.clone(), checker.text(&hook.value, "hooks"));
                }
                old_hooks = (entry.at, scripts);
            }
            "downloaders" => protocol_commands = downloaders(entry, checker),
            key if HISTORICAL.contains(&key) => {}
            _ => checker.unknown(Severity::Warning, entry, "the manifest", &KEYS),
        }
    }

    let (at, command) = command;
    if !command.is_empty() {
        if platform_commands.is_empty() {
            platform_commands = vec![PlatformCommand { command, ..PlatformCommand::default() }];
        } else {
            let help = "keep `platformCommand`, with an entry without `os` for all other systems";
            checker.error(at, "command-twice", "both platformCommand and command are set", help);
        }
    }
    let (at, old_hooks) = old_hooks;
    let expand_hooks = old_hooks.is_empty();
    if !expand_hooks {
        if !platform_hooks.is_empty() {
            let help = "keep `platformHooks`; a shell line is `command: sh` with `args: [-c, \"...\"]`";
            checker.error(at, "hooks-twice", "both platformHooks and hooks are set", help);
        }
        platform_hooks = old_hooks.into_iter().map(|(event, text)| (event, vec![shell(text)])).collect();
    }

    let name = super::name(name, checker);
    let version = super::version(version, ApiVersion::Legacy, checker);
    let mut schemes: Vec<String> = Vec::new();
    for scheme in protocol_commands.iter().flat_map(|command: &ProtocolCommand| &command.protocols) {
        if !schemes.contains(scheme) {
            schemes.push(scheme.clone());
        }
    }
    // Helm makes a getter of it and forgets the command, which many plugins of this kind have.
    let (config, also_cli) = match (schemes.is_empty(), platform_commands.is_empty()) {
        (true, _) => (Config::Cli(cli), None),
        (false, true) => (Config::Getter { protocols: schemes }, None),
        (false, false) => (Config::Getter { protocols: schemes }, Some(cli)),
    };
    Some(Metadata {
        api_version: ApiVersion::Legacy,
        name: name?,
        version,
        source_url: None,
        config,
        also_cli,
        runtime: RuntimeConfig::Subprocess(Subprocess {
            platform_commands,
            expand_hooks: expand_hooks && !platform_hooks.is_empty(),
            hooks: platform_hooks,
            protocol_commands,
        }),
    })
}

/// A hook of the old kind: a line for the shell, which expands it itself.
fn shell(text: String) -> PlatformCommand {
    PlatformCommand { command: "sh".to_owned(), args: vec!["-c".to_owned(), text], ..PlatformCommand::default() }
}

fn downloaders(entry: &Entry, checker: &mut Checker) -> Vec<ProtocolCommand> {
    let mut found = Vec::new();
    for (index, item) in checker.items(&entry.value, "downloaders").enumerate() {
        let mut command = String::new();
        let mut schemes = Vec::new();
        for entry in checker.entries(item, "downloaders") {
            match &*entry.key {
                "command" => command = checker.text(&entry.value, "command"),
                "protocols" => schemes = protocols(&entry.value, &format!("downloader {index}"), checker),
                _ => checker.unknown(Severity::Warning, entry, "a downloader", &["command", "protocols"]),
            }
        }
        if command.is_empty() {
            let help = "add the program that downloads as `command`";
            checker.error(item.at, "downloader-command", format!("downloader {index} has empty command"), help);
        }
        if schemes.is_empty() {
            let help = "add the URL schemes that it serves, such as `protocols: [s3]`";
            checker.error(item.at, "protocols-missing", format!("downloader {index} has no protocols"), help);
        }
        let platform_commands = vec![PlatformCommand { command, ..PlatformCommand::default() }];
        found.push(ProtocolCommand { protocols: schemes, platform_commands });
    }
    found
}

/// White space of any kind as spaces, without what does not print (CVE-2021-21303).
fn one_line(usage: &str) -> String {
    let fold = |c: char| if c.is_whitespace() { ' ' } else { c };
    usage.chars().map(fold).filter(|&c| text::is_printable(c)).collect()
}
