//! Receipts as they are on disk.

use super::*;

#[test]
fn receipts_hold_no_secret_are_for_all_readers_and_are_read_in_part() {
    let f = Fixture::new();
    f.install("foo", "1.0.0", "one", false).unwrap();
    let path = f.plugin(".state/foo.json");
    let text = fs::read_to_string(&path).unwrap();
    assert!(!text.contains("secret") && !text.contains("ann"), "{text}");
    assert!(!text.contains("abc"), "{text}");
    let private = f.plugin(".state/private/foo.json");
    let secret = fs::read_to_string(&private).unwrap();
    assert!(secret.contains("token=abc") && !secret.contains("ann"), "the query is needed to fetch it again");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&f.plugin(".state")), mode(&f.plugin(".state/previous"))), (0o755, 0o755));
        assert_eq!((mode(&f.plugin(".state/private")), mode(&private)), (0o700, 0o600));
        assert_eq!((mode(&f.plugin(".state/staging")), mode(&f.plugin(".state/lock"))), (0o700, 0o600));
        assert_eq!((mode(&f.plugin("foo-1.0.0.tgz")), mode(&f.plugin("foo-1.0.0.tgz.prov"))), (0o644, 0o644));
    }
    let row = f.store.list().unwrap().plugins.remove(0);
    assert_eq!(row.source.as_deref(), Some("https://example.com/foo-1.0.0.tgz?***"));

    let whole = ReceiptFile::read(&path).unwrap().unwrap().current.unwrap();
    let mut many = whole;
    let template = many.files[0].clone();
    many.files = (0..3000).map(|i| FileRecord { path: format!("d,\"files\":[/{i}"), ..template.clone() }).collect();
    ReceiptFile::at_rest(many.clone()).write(&path).unwrap();
    let head = ReceiptFile::read_head(&path).unwrap().unwrap().current.unwrap();
    assert!(head.files.is_empty() && head.executables == many.executables);
    assert_eq!(ReceiptFile::read(&path).unwrap().unwrap().current.unwrap(), many);
    // Written otherwise, it is read whole.
    let value: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    fs::write(&path, serde_json::to_vec_pretty(&value).unwrap()).unwrap();
    assert_eq!(ReceiptFile::read_head(&path).unwrap().unwrap().current.unwrap().files, many.files);
    assert!(ReceiptFile::may_have_change(&path).unwrap());
    drop(f.store.lock(&NoReport).unwrap());

    fs::write(&path, "{\"schemaVersion\":99,\"current\":{\"whatever\":1}}").unwrap();
    assert!(matches!(f.open("foo"), Err(GateError::Receipt(ReceiptError::Newer { found: 99, .. }))));
    fs::write(&path, "{\"schemaVersion\":1").unwrap();
    assert!(matches!(f.open("foo"), Err(GateError::Receipt(ReceiptError::Damaged { .. }))));
    assert_eq!(f.store.list().unwrap().plugins[0].status, Status::Broken);
    // It keeps nobody from installing it again.
    f.install("foo", "1.0.0", "one", true).unwrap();
    assert!(f.open("foo").is_ok());
}

#[test]
fn the_schema_and_the_receipt_agree() {
    let f = Fixture::new();
    f.install("foo", "1.0.0", "one", false).unwrap();
    hooked(&f, "foo", "2.0.0", false).unwrap();
    let schema: Value = serde_json::from_str(include_str!("../../../schema/receipt.schema.json")).unwrap();
    let receipt: Value = serde_json::from_slice(&fs::read(f.plugin(".state/foo.json")).unwrap()).unwrap();
    check(&schema, &schema, &receipt, "receipt");
    let lock = f.store.lock(&NoReport).unwrap();
    let staged = lock.stage(f.verified("foo", "3.0.0", "three"), &NoReport).unwrap();
    let transaction = lock.commit(staged, InstallDetails::default(), true, true).unwrap();
    let ahead: Value = serde_json::from_slice(&fs::read(f.plugin(".state/foo.json")).unwrap()).unwrap();
    assert_eq!(ahead["next"]["hook"], "pending");
    check(&schema, &schema, &ahead, "receipt");
    transaction.undo().unwrap();
}

/// The keywords of JSON Schema that the schema uses; properties must be known and be there when required.
fn check(root: &Value, schema: &Value, value: &Value, at: &str) {
    if let Some(reference) = schema["$ref"].as_str() {
        return check(root, root.pointer(reference.trim_start_matches('#')).unwrap(), value, at);
    }
    if let Some(choices) = schema["anyOf"].as_array() {
        let choice = choices.iter().find(|choice| (choice["type"] == "null") == value.is_null()).unwrap();
        return check(root, choice, value, at);
    }
    if let Some(choices) = schema["enum"].as_array() {
        assert!(choices.contains(value), "{at}: {value}");
    }
    if let Some(wanted) = schema.get("const") {
        assert_eq!(wanted, value, "{at}");
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(many) => many.iter().map(|one| one.as_str().unwrap()).collect(),
        _ => Vec::new(),
    };
    let is = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    assert!(types.is_empty() || types.contains(&is), "{at}: {is} instead of {types:?}");
    match value {
        Value::Object(map) => {
            for required in schema["required"].as_array().into_iter().flatten() {
                assert!(map.contains_key(required.as_str().unwrap()), "{at}: no {required}");
            }
            for (key, value) in map {
                let property = schema["properties"].get(key).unwrap_or_else(|| panic!("{at}.{key} is not in the schema"));
                check(root, property, value, &format!("{at}.{key}"));
            }
        }
        Value::Array(items) => {
            for item in items {
                check(root, &schema["items"], item, &format!("{at}[]"));
            }
        }
        _ => {}
    }
}
