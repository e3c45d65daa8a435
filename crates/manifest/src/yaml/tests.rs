use std::collections::BTreeMap;
use std::time::Instant;

use proptest::prelude::*;
use serde::Deserialize;

use super::*;

fn node(yaml: &str) -> Node {
    parse(yaml.as_bytes()).unwrap_or_else(|e| panic!("{yaml:?}: {e}"))
}

fn text(yaml: &str, key: &str) -> String {
    node(yaml).get(key).unwrap().as_str().unwrap().to_owned()
}

fn fails(yaml: &str) -> YamlError {
    parse(yaml.as_bytes()).expect_err(yaml)
}

fn at(line: u32, column: u32) -> Position {
    Position { line, column }
}

#[test]
fn keeps_the_text_as_written() {
    for written in ["1.10", "0x10", "007", "yes", "2024-01-02", "1_000", "~x", "http://x:80/y", "a b  c", "-1", "!"] {
        let quoted = if written == "!" { "'!'" } else { written };
        assert_eq!(text(&format!("a: {quoted}\n"), "a"), written);
    }
}

#[test]
fn reads_the_shapes_of_yaml() {
    let cases = [
        ("a: 'it''s'", "it's"),
        ("a: \"\\u00e9\\x41\\n\\/\"", "éA\n/"),
        ("a: 'x\n  y'", "x y"),
        ("a: |\n  x\n   y\nz: 1", "x\n y\n"),
        ("a: |+\n x\n\nb: c", "x\n\n"),
        ("a: >-\n x\n y\n\n z\n", "x y\nz"),
        ("{a: b, c: [d]}", "b"),
        ("a: b # c\n", "b"),
        ("? a\n: b\n", "b"),
        ("\u{feff}a: b", "b"),
        ("a: b\r\nc: d\r\n", "b"),
        ("c: d\ra: b\r", "b"),
        ("a: !x b", "b"),
        ("--- # x\na: b\n", "b"),
        ("%YAML 1.1\n---\na: b\n", "b"),
        ("<<: {a: b}\nc: d", "b"),
    ];
    for (yaml, expected) in cases {
        assert_eq!(text(yaml, "a"), expected, "{yaml:?}");
    }
}

#[test]
fn takes_what_helms_parser_takes_and_yaml_1_2_does_not() {
    for (yaml, expected) in [
        ("a:\tb", "b"),
        ("c: d\na:\t \tb", "b"),
        ("a: \"b\nc\n\n  d\ne\"\nf: 'g\nh'", "b c\nd e"),
        ("a: 'it''s\nb'", "it's b"),
        ("a: |\n  b", "b"),
        ("é: |\n  éé\na: |+\n  b", "b"),
        ("é: |\n  éé\na: b", "b"),
    ] {
        assert_eq!(text(yaml, "a"), expected, "{yaml:?}");
    }
    assert_eq!(text("é: |\n  éé\na: b", "é"), "éé\n");
}

#[test]
fn refuses_what_is_no_yaml_with_its_place() {
    let cases = [
        ("a: b\nc", 2),
        ("a: [b", 1),
        ("a: \"b", 1),
        ("a: b: c", 1),
        ("a: b\n\tc: d", 1),
        ("a: *b", 1),
        ("a: @b", 1),
        ("a:\n  - b\n c: d", 3),
        ("a: 'b\n---\nc'", 1),
        ("a: \"b\n... \nc\"", 1),
        ("%YAML 1.2\n---\na: b", 1),
        ("# x\n%FOO\n---\na: b", 2),
        ("a: b\nc: \u{7f}", 2),
        ("a: b\r\nc: \0", 2),
        ("a: b\rc: \u{9b}", 2),
    ];
    for (yaml, line) in cases {
        let error = fails(yaml);
        assert!(error.at().line >= line && error.at().line <= line + 1, "{yaml:?}: {error}");
        assert!(error.to_string().starts_with("line "), "{error}");
        assert!(!error.reason().starts_with("line "), "{error}");
    }
    assert_eq!(parse(b"a: b\nc: \xff").unwrap_err(), YamlError::Encoding { at: at(2, 4), what: "not UTF-8 text" });
    assert_eq!(fails("a: b\nc: x\0"), YamlError::ControlCharacter { at: at(2, 5), code: 0 });
}

#[test]
fn m3_duplicate_keys_at_any_depth() {
    let duplicate = |key: &str, place, first| YamlError::DuplicateKey { at: place, key: key.to_owned(), first };
    assert_eq!(fails("a: b\nc: d\na: e\n"), duplicate("a", at(3, 1), at(1, 1)));
    assert_eq!(fails("x:\n- y: {a: b, 'a': e}\n"), duplicate("a", at(2, 13), at(2, 7)));
    assert_eq!(fails("<<: {a: b}\n<<: {c: d}\n"), duplicate("<<", at(2, 1), at(1, 1)));
    let many: String = (0..1000).map(|i| format!("k{i}: v\n")).collect();
    assert_eq!(node(&many).as_mapping().unwrap().len(), 1000);
    assert_eq!(fails(&format!("{many}k999: w\n")), duplicate("k999", at(1001, 1), at(1000, 1)));
    assert_eq!(fails(&format!("{many}k3: w\n")), duplicate("k3", at(1001, 1), at(4, 1)));
    assert!(matches!(fails("? [a]\n: b"), YamlError::ComplexKey { .. }));
}

#[test]
fn only_the_first_document_counts() {
    for rest in ["---\n[unterminated", "...\ngarbage: [", "--- a", "...\n\u{85}"] {
        assert_eq!(text(&format!("a: b\n{rest}"), "a"), "b", "{rest:?}");
    }
    for empty in ["", "\n", "# c\n", "---\n", "--- # c\n...\n", "~", "null", "\u{feff}"] {
        assert!(node(empty).is_null(), "{empty:?}");
    }
}

#[test]
fn aliases_and_merge_keys() {
    assert_eq!(text("x: &x [1]\nb: &b t\na: *b", "a"), "t");
    let merged = node("x: &x {a: 1, b: 2}\ny: &y {b: 3, c: 4}\nz:\n  c: own\n  <<: [*x, *y]\n  d: 5\n");
    let keys: Vec<_> =
        merged.get("z").unwrap().as_mapping().unwrap().iter().map(|e| (&*e.key, e.value.as_str().unwrap())).collect();
    assert_eq!(keys, [("c", "own"), ("d", "5"), ("a", "1"), ("b", "2")]);
    assert!(matches!(fails("<<: a"), YamlError::Merge { found: "a text", .. }));
    assert!(matches!(fails("<<: [{a: b}, c]"), YamlError::Merge { .. }));
    assert!(matches!(fails("a: &a [*a]"), YamlError::UnknownAlias { .. }));
    assert_eq!(text("'<<': a", "<<"), "a");
}

#[test]
fn m4_bombs_fail_fast_and_small() {
    let started = Instant::now();
    let mut laughs = "a0: &a0 [lol, lol]\n".to_owned();
    for i in 1..60 {
        laughs += &format!("a{i}: &a{i} [*a{0}, *a{0}, *a{0}, *a{0}, *a{0}, *a{0}, *a{0}, *a{0}, *a{0}]\n", i - 1);
    }
    assert!(matches!(fails(&laughs), YamlError::AliasBudget { .. }));
    let big = format!("a: &a {}\nb: [{}]", "x".repeat(100_000), "*a, ".repeat(1000));
    assert!(matches!(fails(&big), YamlError::AliasBudget { .. }));

    for open in ["[", "{", "{a: ", "[{a: ", "- ", "? ", "a:\n", "!x [", "- - ? "] {
        let n = 200_000 / open.len();
        let yaml = match open {
            "a:\n" => (0..600).map(|i| format!("{:i$}a:\n", "")).collect(),
            _ => open.repeat(n),
        };
        let error = fails(&yaml);
        assert!(matches!(error, YamlError::TooDeep { .. }), "{open}: {error}");
    }
    let mut deep = "a0: &a0 [x]\n".to_owned();
    for i in 1..200 {
        deep += &format!("a{i}: &a{i} [*a{}]\n", i - 1);
    }
    assert!(matches!(fails(&deep), YamlError::TooDeep { .. }));
    assert!(node(&format!("{}{}", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH))).as_sequence().is_some());

    let quotes = "\"\n\"".repeat(60_000);
    let tabs = (0..50_000).map(|i| format!("k{i}:\tv\n")).collect::<String>();
    for odd in [quotes, tabs, "a: \"x\ny\"\n".repeat(20_000), "\"a\":".repeat(50_000), "a\n".repeat(100_000)] {
        let _ = parse(odd.as_bytes());
    }
    // Unoptimised, on a busy machine; what is quadratic takes minutes.
    assert!(started.elapsed().as_secs() < 30, "{:?}", started.elapsed());
}

#[test]
fn words_and_numbers() {
    let value = |text: &str| node(&format!("a: {text}")).get("a").unwrap().clone();
    for yes in ["true", "True", "TRUE", "y", "Y", "yes", "Yes", "YES", "on", "On", "ON", "\"yes\"", "'on'"] {
        assert_eq!(value(yes).as_bool(), Some(true), "{yes}");
    }
    for no in ["false", "no", "N", "Off"] {
        assert_eq!(value(no).as_bool(), Some(false), "{no}");
    }
    for neither in ["\"true\"", "tRUE", "1", "~", "[]", "yess"] {
        assert_eq!(value(neither).as_bool(), None, "{neither}");
    }
    for null in ["", "~", "null", "Null", "NULL"] {
        assert!(value(null).is_null(), "{null}");
    }
    for text in ["''", "\"~\"", "nULL", "!!str"] {
        assert!(!value(text).is_null() || text == "!!str", "{text}");
    }
    for (text, number) in [
        ("0", 0),
        ("-7", -7),
        ("+7", 7),
        ("1_000", 1000),
        ("0x1F", 31),
        ("0o17", 15),
        ("0b101", 5),
        ("-0x10", -16),
        ("010", 10),
    ] {
        assert_eq!(value(text).as_integer(), Some(number), "{text}");
    }
    for text in ["'1'", "1.5", "", "+-1", "0x", "_1", "1_", "1e3", "é", "0xé", &"9".repeat(50)] {
        assert_eq!(value(text).as_integer(), None, "{text}");
    }
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct Sample {
    text: String,
    flag: bool,
    small: u8,
    signed: i32,
    ratio: f64,
    maybe: Option<u32>,
    list: Vec<String>,
    map: BTreeMap<String, String>,
    inner: Vec<Inner>,
    word: Option<Word>,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Inner {
    name: String,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    On,
    Off,
}

fn sample(yaml: &str) -> Result<Sample, YamlError> {
    from_node(&node(yaml))
}

#[test]
fn decodes_into_types() {
    let all = sample(
        "text: 1.10\nflag: yes\nsmall: 0xff\nsigned: -1\nratio: 1.5\nmaybe: 3\nlist: [a, ~, 1.0]\nmap: {a: 0x1, b: }\n\
         inner: [{name: n}]\nword: off\n",
    );
    let expected = Sample {
        text: "1.10".into(),
        flag: true,
        small: 255,
        signed: -1,
        ratio: 1.5,
        maybe: Some(3),
        list: vec!["a".into(), "1.0".into()],
        map: [("a".to_owned(), "0x1".to_owned()), ("b".to_owned(), String::new())].into(),
        inner: vec![Inner { name: "n".into() }],
        word: Some(Word::Off),
    };
    assert_eq!(all, Ok(expected));
    for nothing in ["{}", "~", "text:\nflag:\nsmall:\nsigned:\nratio:\nmaybe:\nlist:\nmap:\ninner:\nword:\n"] {
        assert_eq!(sample(nothing), Ok(Sample::default()), "{nothing}");
    }
    let json: serde_json::Value = from_node(&node("a: [1, -2, 1.5, true, yes, '1', ~, x]")).unwrap();
    assert_eq!(json.to_string(), r#"{"a":[1,-2,1.5,true,"yes","1","x"]}"#);
}

#[test]
fn decoding_errors_name_their_place() {
    let cases = [
        ("text: a\nfoo: b", at(2, 1), "unknown field `foo`"),
        ("small: 256", at(1, 8), "invalid value: integer `256`"),
        ("small: -1", at(1, 8), "invalid value: integer `-1`"),
        ("list: a", at(1, 7), "invalid type: string \"a\", expected a sequence"),
        ("list:\n- [a]", at(2, 3), "invalid type: sequence, expected a string"),
        ("inner:\n- name: a\n- {}", at(3, 3), "missing field `name`"),
        ("inner:\n- name: a\n  nam: b", at(3, 3), "unknown field `nam`"),
        ("flag: \"true\"", at(1, 7), "invalid type: string \"true\", expected a boolean"),
        ("word: maybe", at(1, 7), "unknown variant `maybe`"),
        ("- a", at(1, 1), "invalid type: sequence, expected struct Sample"),
        ("text: {a: b}", at(1, 7), "invalid type: map, expected a string"),
    ];
    for (yaml, place, reason) in cases {
        let error = sample(yaml).unwrap_err();
        assert_eq!(error.at(), place, "{yaml:?}: {error}");
        assert!(error.reason().starts_with(reason), "{yaml:?}: {error}");
    }
}

#[test]
fn writes_what_it_reads() {
    let map = BTreeMap::from([("name", "1.10"), ("text", "a: b\nc")]);
    let yaml = to_string(&map).unwrap();
    assert_eq!(from_node::<BTreeMap<String, String>>(&node(&yaml)).unwrap()["text"], "a: b\nc");
}

/// Texts that look like YAML more often than not.
fn nearly_yaml() -> impl Strategy<Value = String> {
    let parts = [
        "a",
        "b",
        ": ",
        ":",
        "- ",
        "? ",
        "\n",
        "\n  ",
        "\n ",
        " ",
        "\t",
        "[",
        "]",
        "{",
        "}",
        ",",
        "\"",
        "'",
        "|",
        ">",
        "|\n",
        "&a ",
        "*a",
        "!t ",
        "#",
        " # ",
        "---\n",
        "...\n",
        "%YAML 1.1\n",
        "<<: ",
        "\\",
        "é",
        "~",
        "\r",
        "\r\n",
        "\u{feff}",
        "\0",
    ];
    prop::collection::vec(prop::sample::select(parts.to_vec()), 0..30).prop_map(|parts| parts.concat())
}

#[test]
fn utf16_is_read_behind_its_mark_and_named_without() {
    let units = |text: &str| text.encode_utf16().collect::<Vec<_>>();
    let little = |text: &str| units(text).into_iter().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
    let big = |text: &str| units(text).into_iter().flat_map(u16::to_be_bytes).collect::<Vec<_>>();
    let text = "a: b\u{e9}\u{1f600}\r\nc: d\n";
    for bytes in [little(&format!("\u{feff}{text}")), big(&format!("\u{feff}{text}"))] {
        assert_eq!(parse(&bytes).unwrap(), node(text));
    }
    let marked = |rest: &[u8]| [&[0xff, 0xfe], rest].concat();
    for (bytes, place, what) in [
        (little(text), at(1, 1), "UTF-16 text without a byte order mark"),
        (big(text), at(1, 1), "UTF-16 text without a byte order mark"),
        (marked(&[0, 0, b'a', 0, 0, 0]), at(1, 1), "UTF-32 text"),
        (marked(&[b'a', 0, b':']), at(1, 2), "half a character of UTF-16"),
        (marked(&[b'\n', 0, 0, 0xd8, b'a', 0]), at(2, 1), "half a character of UTF-16"),
    ] {
        assert_eq!(parse(&bytes).unwrap_err(), YamlError::Encoding { at: place, what });
    }
    assert_eq!(parse(&little("\u{feff}a: \u{1}")).unwrap_err(), YamlError::ControlCharacter { at: at(1, 4), code: 1 });
    assert!(parse(&marked(b"")).unwrap().is_null());
}

proptest! {
    #[test]
    fn no_input_panics(yaml in nearly_yaml()) {
        if let Ok(node) = parse(yaml.as_bytes()) {
            let _ = from_node::<serde_json::Value>(&node);
            let _ = from_node::<Sample>(&node);
        }
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&bytes);
    }

    #[test]
    fn any_text_survives_writing_and_reading(text in "[^\\p{C}\u{2028}\u{2029}]*") {
        let written = to_string(&BTreeMap::from([("a", &text)])).unwrap();
        let read = node(&written);
        prop_assert_eq!(read.get("a").unwrap().as_str(), Some(&*text));
    }
}
