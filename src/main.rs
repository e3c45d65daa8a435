//! The reference host.

use std::process::ExitCode;

use plugsmith::host::Host;

fn main() -> ExitCode {
    let command =
        clap::Command::new("tool").about("The reference host of plugsmith: a program that is nothing but its plugins");
    plugsmith::cli::main(Host::tool(), command, |_, _| ExitCode::FAILURE)
}
