//! How the program is linked.
//!
//! On Linux it is linked to a fixed address. A position-independent program of this size has thousands of pointers that the
//! loader must adjust at every start, which touches more than a hundred pages and was half of the time that `tool NAME` took
//! before the plugin. Stack, heap and libraries are at random addresses all the same. Whoever wants the program's own code
//! there too, as distributions do, builds with `PLUGSMITH_PIE=1`.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=PLUGSMITH_PIE");
    let is = |key: &str, value: &str| std::env::var(key).as_deref() == Ok(value);
    if is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ENV", "gnu") && std::env::var_os("PLUGSMITH_PIE").is_none()
    {
        println!("cargo:rustc-link-arg-bins=-no-pie");
    }
}
