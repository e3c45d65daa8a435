//! `post-render`: plugins that change a document (case S).

use std::fs;

use crate::support::{Ran, World};

/// A world with post-renderers of these names, each a shell script.
fn with(plugins: &[(&str, &str)]) -> World {
    let world = World::new();
    for (name, script) in plugins {
        let dir = world.plugins().join(name);
        fs::create_dir_all(&dir).unwrap();
        let manifest = format!(
            "apiVersion: v1\nname: {name}\nversion: 1.0.0\ntype: postrenderer/v1\nruntime: subprocess\n\
             runtimeConfig:\n  platformCommand:\n  - command: sh\n    args: [$HELM_PLUGIN_DIR/run.sh]\n"
        );
        fs::write(dir.join("plugin.yaml"), manifest).unwrap();
        fs::write(dir.join("run.sh"), script).unwrap();
    }
    world
}

fn render(world: &World, words: &str, document: &str) -> Ran {
    world.tool_with_input(["post-render"].into_iter().chain(words.split(' ')), document.as_bytes())
}

#[test]
fn s_documents_pass_through_all_plugins_in_order() {
    let world = with(&[("upper", "tr a-z A-Z"), ("sign", "cat; echo \"by $HELM_PLUGIN_NAME $*\"")]);
    assert_eq!(render(&world, "upper", "a: b\n").stdout, "A: B\n");
    assert_eq!(render(&world, "upper sign --args x --args --y", "a: b\n").stdout, "A: B\nby sign x --y\n");
    assert_eq!(render(&world, "sign upper", "a: b\n").stdout, "A: B\nBY SIGN \n");
    let large = "0123456789abcdef\n".repeat(1 << 17);
    assert_eq!(render(&world, "upper upper", &large).stdout, large.to_uppercase());
}

#[test]
fn s_a_failing_plugin_is_heard_and_its_code_passed_on() {
    let world = with(&[("fails", "cat; echo reason >&2; exit 9"), ("empty", "cat >/dev/null"), ("upper", "tr a-z A-Z")]);
    for words in ["fails", "fails upper", "upper fails"] {
        let ran = render(&world, words, "a\n");
        assert_eq!((ran.code, ran.stdout.as_str()), (9, ""), "{words}: {}", ran.stderr);
        assert!(ran.stderr.contains("reason") && ran.stderr.contains("`fails`"), "{}", ran.stderr);
    }
    let ran = render(&world, "empty", "a\n");
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    let ran = render(&world, "empty", "");
    assert_eq!((ran.code, ran.stdout.as_str()), (0, ""), "{}", ran.stderr);
    assert_eq!(render(&world, "upper absent", "").code, 4);
    assert_eq!(world.tool(["post-render"]).code, 2);
}
