//! Which files of a plugin are started, as far as its manifest tells: what stands behind a variable, nobody knows here.

use std::collections::BTreeSet;

use super::{Config, Metadata, PlatformCommand};

impl Metadata {
    /// The files in the plugin's directory that its commands, hooks and getters start, with `/`, but for those of Windows, which
    /// tells programs by their names.
    pub fn programs(&self) -> BTreeSet<String> {
        let Some(subprocess) = self.subprocess() else { return BTreeSet::new() };
        let getter = matches!(self.config, Config::Getter { .. });
        let hooks = subprocess.hooks.values().flatten();
        let commands = subprocess.platform_commands.iter().chain(hooks).map(|command| (command, false));
        // A getter without protocol commands has the one command, which lies where they would.
        let main = subprocess.platform_commands.iter().filter(|_| getter && subprocess.protocol_commands.is_empty());
        let protocols = subprocess.protocol_commands.iter().flat_map(|protocol| &protocol.platform_commands);
        let commands = commands.chain(main.chain(protocols).map(|command| (command, true)));
        commands
            .filter(|(command, _)| !is_for_windows(command))
            .filter_map(|(command, getter)| own_file(command, getter))
            .collect()
    }
}

/// Whether `command` is for Windows alone.
pub(super) fn is_for_windows(command: &PlatformCommand) -> bool {
    command.os.eq_ignore_ascii_case("windows")
}

/// The file in the plugin's directory that `command` starts. That of a getter is relative to the directory.
fn own_file(command: &PlatformCommand, getter: bool) -> Option<String> {
    let word = command.command.split(' ').next()?;
    let file = match in_plugin_dir(word) {
        Some(file) => file,
        None if getter => word.trim_start_matches('/'),
        None => return None,
    };
    let file = file.trim_start_matches("./");
    let plain = !file.contains('$') && file.split('/').all(|part| !matches!(part, "" | "." | ".."));
    plain.then(|| file.to_owned())
}

/// What stands behind the plugin's directory in `word`, under whichever host's name for it.
pub(super) fn in_plugin_dir(word: &str) -> Option<&str> {
    let rest = word.strip_prefix('$')?;
    let (name, rest) = match rest.strip_prefix('{') {
        Some(braced) => braced.split_once('}')?,
        None => rest.split_at(rest.find('/')?),
    };
    name.ends_with("_PLUGIN_DIR").then_some(rest)?.strip_prefix('/').map(|rest| rest.trim_start_matches('/'))
}
