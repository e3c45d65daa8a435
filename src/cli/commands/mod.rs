//! The commands: one file each, with its arguments and a `run` that asks the library and shows the answer.

mod exec;
pub(super) mod get;
mod info;
mod install;
mod lint;
mod list;
mod package;
pub(super) mod post_render;
mod push;
mod sign;
mod trust;
mod uninstall;
mod verify;

use clap::Subcommand;

use super::Context;
use super::error::Result;

// No doc comment: clap would take it for the group's help.
#[derive(Debug, Subcommand)]
pub(crate) enum PluginCommand {
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
    /// List installed plugins
    #[command(visible_alias = "ls")]
    List(list::Arguments),
    /// Show everything that is known of an installed plugin
    #[command(visible_alias = "show")]
    Info(info::Arguments),
    /// Uninstall plugins
    #[command(visible_aliases = ["rm", "remove"])]
    Uninstall(uninstall::Arguments),
    /// Accept the changes that were made to an installed plugin's files
    Trust(trust::Arguments),
    /// Run a plugin by name, also one that has the name of a built-in command
    Exec(exec::Arguments),
}

impl PluginCommand {
    /// Runs the command.
    pub(crate) fn run(&self, context: &Context<'_>) -> Result {
        match self {
            Self::Lint(arguments) => lint::run(arguments, context),
            Self::Package(arguments) => package::run(arguments, context),
            Self::Sign(arguments) => sign::run(arguments, context),
            Self::Verify(arguments) => verify::run(arguments, context),
            Self::Push(arguments) => push::run(arguments, context),
            Self::Install(arguments) => install::run(arguments, context),
            Self::List(arguments) => list::run(arguments, context),
            Self::Info(arguments) => info::run(arguments, context),
            Self::Uninstall(arguments) => uninstall::run(arguments, context),
            Self::Trust(arguments) => trust::run(arguments, context),
            Self::Exec(arguments) => exec::run(arguments, context),
        }
    }
}
