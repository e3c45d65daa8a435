//! Prints the public interface that a file of rustdoc's JSON describes, an item a line.

use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(path) = std::env::args_os().nth(1) else {
        eprintln!("usage: public-api-text FILE.json");
        return ExitCode::from(2);
    };
    let builder = public_api::Builder::from_rustdoc_json(path).omit_blanket_impls(true).omit_auto_trait_impls(true);
    match builder.build() {
        Ok(interface) => {
            print!("{}", text(interface.items().map(ToString::to_string)));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("public-api-text: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The items without what another line says already: the functions of a trait that a type has, and the trace that `derive(PartialEq)`
/// leaves for the compiler.
fn text(items: impl Iterator<Item = String>) -> String {
    let mut text = String::new();
    // ` TYPE::` while the items of a trait of TYPE go on.
    let mut inside: Option<String> = None;
    for item in items {
        if item.starts_with("impl") {
            inside = item.rsplit_once(" for ").map(|(_, to)| format!(" {}::", to.split(" where ").next().unwrap_or(to)));
            if item.contains("core::marker::StructuralPartialEq") {
                continue;
            }
        } else if item.contains("fn ") && inside.as_ref().is_some_and(|of| item.contains(of)) {
            continue;
        }
        text.push_str(&item);
        text.push('\n');
    }
    text
}
