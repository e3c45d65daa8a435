//! How the program is linked on Linux with the GNU C library, for the sake of its start.
//!
//! It is linked to a fixed address. A position-independent program of this size has thousands of pointers that the loader must
//! adjust at every start, which touches more than a hundred pages and was half of the time that `tool NAME` took before the
//! plugin. Stack, heap and libraries are at random addresses all the same. Whoever wants the program's own code there too, as
//! distributions do, builds with `PLUGSMITH_PIE=1`.
//!
//! And the unwinder, `libgcc_s`, which only a panic ever calls, becomes part of the program where the compiler has it as an
//! archive: one library less to find, map and bind at every start.

use std::path::PathBuf;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=PLUGSMITH_PIE");
    let is = |key: &str, value: &str| std::env::var(key).as_deref() == Ok(value);
    if !is("CARGO_CFG_TARGET_OS", "linux") || !is("CARGO_CFG_TARGET_ENV", "gnu") {
        return;
    }
    if std::env::var_os("PLUGSMITH_PIE").is_none() {
        println!("cargo:rustc-link-arg-bins=-no-pie");
    }
    // Another target's compiler may be anything: there the shared library is left in its place.
    if std::env::var_os("TARGET") == std::env::var_os("HOST")
        && let Some(unwinder) = unwinder()
        && let Some(out) = std::env::var_os("OUT_DIR").map(PathBuf::from)
        // Rust's own libraries ask for `libgcc_s` by that name, and the linker looks here first: a linker script answers.
        && std::fs::write(out.join("libgcc_s.so"), format!("INPUT ( \"{}\" )\n", unwinder.display())).is_ok()
    {
        println!("cargo:rustc-link-arg-bins=-L{}", out.display());
    }
}

/// The archive with the unwinder, if there is one: `None` leaves everything as it would be without us.
fn unwinder() -> Option<PathBuf> {
    let linker = std::env::var_os("RUSTC_LINKER").unwrap_or_else(|| "cc".into());
    let found = Command::new(linker).arg("-print-file-name=libgcc_eh.a").output().ok()?;
    let path = PathBuf::from(String::from_utf8(found.stdout).ok()?.trim_end());
    // A compiler that does not know the file gives its bare name back.
    (path.is_absolute() && path.is_file() && !path.to_string_lossy().contains('"')).then_some(path)
}
