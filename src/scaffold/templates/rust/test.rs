//! A plugin of the type `test/v1`: greets whom its argument names.

use std::env;

fn main() {
    let name = env::args_os().nth(1).map(|name| name.to_string_lossy().into_owned());
    println!("{}", greeting(&name.unwrap_or_default()));
}

/// The greeting of `name`.
fn greeting(name: &str) -> String {
    format!("Hello, {}!", if name.is_empty() { "world" } else { name })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn greets() {
        assert_eq!(greeting("Ann"), "Hello, Ann!");
        assert_eq!(greeting(""), "Hello, world!");
    }
}
