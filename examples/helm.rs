//! Manages Helm's own plugin directory, under Helm's own environment names: what Helm installed is listed, verified and run, and
//! what is installed here Helm runs.
//!
//! Try `cargo run --example helm -- plugin list`.

use std::process::ExitCode;

use plugsmith::host::Host;

fn main() -> ExitCode {
    let command = clap::Command::new("helm").about("Helm's plugins, without Helm");
    plugsmith_cli::main(Host::helm(), command, |_, _| ExitCode::FAILURE)
}
