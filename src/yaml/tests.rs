use super::*;

fn text(yaml: &str, key: &str) -> String {
    parse(yaml.as_bytes()).unwrap().get(key).unwrap().as_str().unwrap().to_owned()
}

#[test]
fn keeps_the_text_as_written() {
    for written in ["1.10", "0x10", "007", "yes", "2024-01-02", "1_000", "~x"] {
        assert_eq!(text(&format!("a: {written}\n"), "a"), written);
    }
}
