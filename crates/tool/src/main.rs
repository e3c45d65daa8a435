//! The reference host.

#![cfg_attr(not(feature = "wasm"), forbid(unsafe_code))]

use std::process::ExitCode;

use plugsmith::host::Host;

fn main() -> ExitCode {
    let command =
        clap::Command::new("tool").about("The reference host of plugsmith: a program that is nothing but its plugins");
    plugsmith_cli::main(Host::tool(), command, |_, _| ExitCode::FAILURE)
}

/// `base` to the power of `exponent`, as C has it.
///
/// The C library keeps this function in a library of its own, which every start would find, map and bind: a twelfth of the time that
/// `tool version` takes, for the sake of a scheduler of tokio's that comes along with WebAssembly and is never started.
#[cfg(all(feature = "wasm", target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "it takes the place of C's function of this name, whose type and meaning it has")]
#[unsafe(no_mangle)]
extern "C" fn pow(base: f64, exponent: f64) -> f64 {
    libm::pow(base, exponent)
}
