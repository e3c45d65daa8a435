//! The form with `apiVersion: v1`: strict about keys, but for those of `runtimeConfig`, which newer Helms may add to.

use std::collections::BTreeMap;

use crate::text::Sanitized;
use crate::yaml::{Entry, Node};

use super::problem::{Checker, Severity, shorten};
use super::{
    ApiVersion, CliConfig, Config, Extism, HostPattern, Metadata, PlatformCommand, ProtocolCommand, RuntimeConfig,
    Subprocess,
};

const KEYS: [&str; 8] = ["apiVersion", "name", "type", "runtime", "version", "sourceURL", "config", "runtimeConfig"];
const TYPES: [&str; 4] = ["cli/v1", "getter/v1", "postrenderer/v1", "test/v1"];
const RUNTIMES: [&str; 2] = ["subprocess", "extism/v1"];

pub(super) fn read(root: &Node, entries: &[Entry], checker: &mut Checker) -> Option<Metadata> {
    for entry in entries {
        if !KEYS.contains(&&*entry.key) {
            checker.unknown(Severity::Error, entry, "the manifest", &KEYS);
        }
    }
    let get = |key: &str| entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value);
    let source_url = get("sourceURL").map(|node| checker.text(node, "sourceURL")).filter(|url| !url.is_empty());
    let name = super::name(get("name"), checker);
    let version = super::version(get("version"), ApiVersion::V1, checker);
    let config =
        one_of(root, get("type"), "type", &TYPES, checker).and_then(|kind| config(kind, root, get("config"), checker));
    let runtime = one_of(root, get("runtime"), "runtime", &RUNTIMES, checker)
        .and_then(|runtime| runtime_config(runtime, get("runtimeConfig"), checker));
    Some(Metadata {
        api_version: ApiVersion::V1,
        name: name?,
        version,
        source_url,
        config: config?,
        also_cli: None,
        runtime: runtime?,
    })
}

/// The value of a required key that only a few words may stand at.
fn one_of(
    root: &Node,
    node: Option<&Node>,
    key: &'static str,
    words: &[&'static str],
    checker: &mut Checker,
) -> Option<&'static str> {
    let help = format!("write one of: {}", words.join(", "));
    let Some(node) = node.filter(|node| !node.is_null()) else {
        let code = if key == "type" { "type-missing" } else { "runtime-missing" };
        checker.error(root.at, code, format!("plugin `{key}` is missing"), help);
        return None;
    };
    let text = checker.text(node, key);
    let word = words.iter().find(|&&word| word == text).copied();
    if word.is_none() && node.as_str().is_some() {
        let code = if key == "type" { "type-unknown" } else { "runtime-unknown" };
        checker.error(node.at, code, format!("unsupported plugin {key} \"{}\"", Sanitized(shorten(&text))), help);
    }
    word
}

fn config(kind: &str, root: &Node, node: Option<&Node>, checker: &mut Checker) -> Option<Config> {
    let entries = node.map(|node| checker.entries(node, "config")).unwrap_or_default();
    let place = format!("`config` of a {kind} plugin");
    match kind {
        "cli/v1" => {
            let mut cli = CliConfig::default();
            for entry in entries {
                let node = &entry.value;
                match &*entry.key {
                    "usage" => cli.usage = checker.text(node, "usage"),
                    "shortHelp" => cli.short_help = checker.text(node, "shortHelp"),
                    "longHelp" => cli.long_help = checker.text(node, "longHelp"),
                    "ignoreFlags" => cli.ignore_flags = checker.boolean(node, "ignoreFlags"),
                    _ => {
                        checker.unknown(Severity::Error, entry, &place, &["usage", "shortHelp", "longHelp", "ignoreFlags"]);
                    }
                }
            }
            Some(Config::Cli(cli))
        }
        "getter/v1" => {
            let mut schemes = Vec::new();
            let mut said = false;
            for entry in entries {
                if entry.key == "protocols" {
                    said = true;
                    schemes = protocols(&entry.value, "getter", checker);
                } else {
                    checker.unknown(Severity::Error, entry, &place, &["protocols"]);
                }
            }
            if schemes.is_empty() {
                let at = node.filter(|_| said).unwrap_or(root).at;
                let help = "list the URL schemes that it serves in `config`, such as `protocols: [s3]`";
                checker.error(at, "protocols-missing", "getter has no protocols", help);
            }
            Some(Config::Getter { protocols: schemes })
        }
        _ => {
            for entry in entries {
                checker.unknown(Severity::Error, entry, &place, &[]);
            }
            Some(if kind == "test/v1" { Config::Test } else { Config::PostRenderer })
        }
    }
}

fn runtime_config(runtime: &str, node: Option<&Node>, checker: &mut Checker) -> Option<RuntimeConfig> {
    let entries = node.map(|node| checker.entries(node, "runtimeConfig")).unwrap_or_default();
    Some(match runtime {
        "subprocess" => RuntimeConfig::Subprocess(subprocess(entries, checker)),
        _ => RuntimeConfig::Extism(extism(entries, checker)),
    })
}

fn subprocess(entries: &[Entry], checker: &mut Checker) -> Subprocess {
    let mut config = Subprocess::default();
    for entry in entries {
        let node = &entry.value;
        match &*entry.key {
            "platformCommand" => config.platform_commands = commands(node, "platformCommand", checker),
            "platformHooks" => config.hooks = hooks(node, checker),
            "protocolCommands" => config.protocol_commands = protocol_commands(node, checker),
            _ => {
                let known = ["platformCommand", "platformHooks", "protocolCommands"];
                checker.unknown(Severity::Warning, entry, "`runtimeConfig` of a subprocess plugin", &known);
            }
        }
    }
    config
}

fn extism(entries: &[Entry], checker: &mut Checker) -> Extism {
    let mut config = Extism::default();
    for entry in entries {
        let node = &entry.value;
        match &*entry.key {
            "memory" => {
                for entry in checker.entries(node, "memory") {
                    let node = &entry.value;
                    match &*entry.key {
                        "maxPages" => config.max_pages = checker.number(node, "maxPages"),
                        "maxHttpResponseBytes" => {
                            config.max_http_response_bytes = checker.number(node, "maxHttpResponseBytes");
                        }
                        "maxVarBytes" => config.max_var_bytes = checker.number(node, "maxVarBytes"),
                        _ => {
                            let known = ["maxPages", "maxHttpResponseBytes", "maxVarBytes"];
                            checker.unknown(Severity::Warning, entry, "`memory`", &known);
                        }
                    }
                }
            }
            "config" => {
                for entry in checker.entries(node, "config") {
                    config.config.insert(entry.key.clone(), checker.text(&entry.value, "config"));
                }
            }
            "allowedHosts" => config.allowed_hosts = allowed_hosts(node, checker),
            "fileSystem" => {
                for entry in checker.entries(node, "fileSystem") {
                    match &*entry.key {
                        "createTempDir" => config.create_temp_dir = checker.boolean(&entry.value, "createTempDir"),
                        _ => checker.unknown(Severity::Warning, entry, "`fileSystem`", &["createTempDir"]),
                    }
                }
            }
            "timeout" => config.timeout = checker.number(node, "timeout"),
            "hostFunctions" => config.host_functions = checker.texts(node, "hostFunctions"),
            "entryFuncName" => {
                config.entry_func_name = Some(checker.text(node, "entryFuncName")).filter(|name| !name.is_empty());
            }
            _ => {
                let known = ["memory", "config", "allowedHosts", "fileSystem", "timeout", "hostFunctions", "entryFuncName"];
                checker.unknown(Severity::Warning, entry, "`runtimeConfig` of an extism plugin", &known);
            }
        }
    }
    config
}

/// The hosts that a module may call. One that cannot be understood must not be taken for another.
fn allowed_hosts(node: &Node, checker: &mut Checker) -> Vec<String> {
    let mut found = Vec::new();
    for item in checker.items(node, "allowedHosts") {
        let pattern = checker.text(item, "allowedHosts");
        if let (Err(error), Some(_)) = (HostPattern::parse(&pattern), item.as_str()) {
            let help = "write a host such as `example.com` or `*.example.com`, with `:8443` for one port alone";
            checker.error(item.at, "allowed-host", format!("allowedHosts: {error}"), help);
        }
        found.push(pattern);
    }
    found
}

/// A list of commands by platform.
pub(super) fn commands(node: &Node, what: &str, checker: &mut Checker) -> Vec<PlatformCommand> {
    let mut found = Vec::new();
    for item in checker.items(node, what) {
        let mut command = PlatformCommand::default();
        for entry in checker.entries(item, what) {
            let node = &entry.value;
            match &*entry.key {
                "os" => command.os = checker.text(node, "os"),
                "arch" => command.arch = checker.text(node, "arch"),
                "command" => command.command = checker.text(node, "command"),
                "args" => command.args = checker.texts(node, "args"),
                _ => checker.unknown(Severity::Warning, entry, what, &["os", "arch", "command", "args"]),
            }
        }
        found.push(command);
    }
    found
}

/// Commands by platform, by life-cycle event.
pub(super) fn hooks(node: &Node, checker: &mut Checker) -> BTreeMap<String, Vec<PlatformCommand>> {
    let mut found = BTreeMap::new();
    for entry in checker.entries(node, "platformHooks") {
        found.insert(entry.key.clone(), commands(&entry.value, "platformHooks", checker));
    }
    found
}

fn protocol_commands(node: &Node, checker: &mut Checker) -> Vec<ProtocolCommand> {
    let mut found = Vec::new();
    for item in checker.items(node, "protocolCommands") {
        let mut command = ProtocolCommand::default();
        for entry in checker.entries(item, "protocolCommands") {
            match &*entry.key {
                "protocols" => command.protocols = checker.texts(&entry.value, "protocols"),
                "platformCommand" => {
                    command.platform_commands = commands(&entry.value, "platformCommand", checker);
                }
                _ => {
                    let known = ["protocols", "platformCommand"];
                    checker.unknown(Severity::Warning, entry, "`protocolCommands`", &known);
                }
            }
        }
        found.push(command);
    }
    found
}

/// URL schemes, none of them empty.
pub(super) fn protocols(node: &Node, owner: &str, checker: &mut Checker) -> Vec<String> {
    let mut found = Vec::new();
    for (index, item) in checker.items(node, "protocols").enumerate() {
        let scheme = checker.text(item, "protocols");
        if scheme.is_empty() && item.as_str().is_some() {
            let message = format!("{owner} has empty protocol at index {index}");
            checker.error(item.at, "protocol-empty", message, "write a URL scheme, such as `s3`");
        }
        found.push(scheme);
    }
    found
}
