//! The commands: one file each, with its arguments and a `run` that asks the library and shows the answer.

mod create;
mod doctor;
mod exec;
pub(super) mod get;
mod info;
mod install;
mod keyring;
mod lint;
mod list;
mod lock;
mod outdated;
mod package;
mod pin;
pub(super) mod post_render;
mod pull;
mod push;
mod restore;
mod rollback;
mod sign;
mod sync;
mod trust;
mod uninstall;
mod update;
mod verify;

use clap::Subcommand;

use super::Context;
use super::error::Result;

// No doc comment: clap would take it for the group's help.
#[derive(Debug, Subcommand)]
pub(crate) enum PluginCommand {
    /// Make a new plugin to start from
    Create(create::Arguments),
    /// Report every problem of a plugin directory or package
    Lint(lint::Arguments),
    /// Make a package of a plugin directory, and sign it
    Package(package::Arguments),
    /// Make a provenance for an existing package
    Sign(sign::Arguments),
    /// Verify a package, or an installed plugin with every file of it
    Verify(verify::Arguments),
    /// Publish a package and its provenance in an OCI registry
    Push(push::Arguments),
    /// Install plugins from directories, packages or URLs
    #[command(visible_alias = "add")]
    Install(install::Arguments),
    /// Update plugins from where they were installed from
    #[command(visible_aliases = ["up", "upgrade"])]
    Update(Box<update::Arguments>),
    /// List plugins of which there is something newer
    Outdated(outdated::Arguments),
    /// Make updates skip plugins
    Pin(pin::Arguments),
    /// Let updates change plugins again
    Unpin(pin::Arguments),
    /// Go back to the previous version
    Rollback(rollback::Arguments),
    /// Put the files of installed plugins back as they were installed
    Restore(Box<restore::Arguments>),
    /// Download and verify a package without installing it
    Pull(Box<pull::Arguments>),
    /// Write down the installed plugins in a lock file
    Lock(lock::LockArguments),
    /// Make the installed plugins equal to a lock file
    Sync(Box<sync::Arguments>),
    /// Write a mirror of the installed plugins for machines without a network
    Export(lock::ExportArguments),
    /// List installed plugins
    #[command(visible_alias = "ls")]
    List(list::Arguments),
    /// Show everything that is known of an installed plugin
    #[command(visible_alias = "show")]
    Info(info::Arguments),
    /// Uninstall plugins
    #[command(visible_aliases = ["rm", "remove"])]
    Uninstall(uninstall::Arguments),
    /// Accept the changes that were made to an installed plugin's files, or show what is trusted
    Trust(trust::Arguments),
    /// Take back what was trusted: accepted changes, and the signer of a plugin
    Untrust(trust::UntrustArguments),
    /// Manage the keys that may sign plugins
    Keyring(keyring::Arguments),
    /// Look for everything that is wrong, and say what to do about it
    Doctor(doctor::Arguments),
    /// Run a plugin by name, also one that has the name of a built-in command
    Exec(exec::Arguments),
}

/// The names of the commands, also their other ones.
pub(crate) fn names() -> Vec<String> {
    let group = PluginCommand::augment_subcommands(clap::Command::new("plugin"));
    let names = |command: &clap::Command| {
        let all = std::iter::once(command.get_name()).chain(command.get_all_aliases());
        all.map(str::to_owned).collect::<Vec<_>>()
    };
    group.get_subcommands().flat_map(names).collect()
}

impl PluginCommand {
    /// Runs the command.
    pub(crate) fn run(&self, context: &Context<'_>) -> Result {
        match self {
            Self::Create(arguments) => create::run(arguments, context),
            Self::Lint(arguments) => lint::run(arguments, context),
            Self::Package(arguments) => package::run(arguments, context),
            Self::Sign(arguments) => sign::run(arguments, context),
            Self::Verify(arguments) => verify::run(arguments, context),
            Self::Push(arguments) => push::run(arguments, context),
            Self::Install(arguments) => install::run(arguments, context),
            Self::Update(arguments) => update::run(arguments, context),
            Self::Outdated(arguments) => outdated::run(arguments, context),
            Self::Pin(arguments) => pin::run(arguments, true, context),
            Self::Unpin(arguments) => pin::run(arguments, false, context),
            Self::Rollback(arguments) => rollback::run(arguments, context),
            Self::Restore(arguments) => restore::run(arguments, context),
            Self::Pull(arguments) => pull::run(arguments, context),
            Self::Lock(arguments) => lock::lock(arguments, context),
            Self::Sync(arguments) => sync::run(arguments, context),
            Self::Export(arguments) => lock::export(arguments, context),
            Self::List(arguments) => list::run(arguments, context),
            Self::Info(arguments) => info::run(arguments, context),
            Self::Uninstall(arguments) => uninstall::run(arguments, context),
            Self::Trust(arguments) => trust::run(arguments, context),
            Self::Untrust(arguments) => trust::untrust(arguments, context),
            Self::Keyring(arguments) => keyring::run(arguments, context),
            Self::Doctor(arguments) => doctor::run(arguments, context),
            Self::Exec(arguments) => exec::run(arguments, context),
        }
    }
}
