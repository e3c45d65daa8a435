//! Any bytes as `plugin.yaml`, `config.yaml` and `completion.yaml`: an error or a value, never a panic, and soon.
#![no_main]

use std::path::Path;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = plugsmith::yaml::parse(data);
    let _ = plugsmith::settings::Settings::parse(data);
    if let Ok(metadata) = plugsmith::manifest::parse(data, Path::new("plugin.yaml")) {
        // What was accepted is fit for a path.
        let name = metadata.name.as_str();
        assert!(!name.is_empty() && name.len() <= 100 && !name.starts_with('-') && !name.contains(['/', '\\', '.', ':']));
    }
});
