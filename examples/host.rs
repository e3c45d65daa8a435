//! Another program with plugins: its own name, environment names and commands, and the whole `plugin` group.
//!
//! Try `cargo run --example host -- plugin list`.

#![allow(clippy::print_stdout, reason = "printing is what this program is for")]

use std::process::ExitCode;

use clap::Command;
use plugsmith::host::Host;

fn main() -> ExitCode {
    let host = Host::new("acme", semver::Version::new(1, 4, 0));
    let command = Command::new("acme")
        .about("Keeps the anvils in order")
        .subcommand(Command::new("status").about("Says how many anvils there are"))
        .subcommand(Command::new("drop").about("Drops an anvil").arg(clap::arg!(<WHERE> "Where it falls")));

    plugsmith_cli::main(host, command, |name, arguments| match name {
        "status" => {
            println!("42 anvils");
            ExitCode::SUCCESS
        }
        "drop" => {
            println!("an anvil falls on {}", arguments.get_one::<String>("WHERE").map_or("nobody", |place| place));
            ExitCode::SUCCESS
        }
        _ => ExitCode::FAILURE,
    })
}
