//! What holds for any tree and any bytes.

use proptest::prelude::*;

use super::*;

/// Names that may clash with each other in every way, or break a rule.
fn name() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        "[ab]{1,2}",
        "[AB]",
        Just("plugin.yaml".to_owned()),
        Just("..".to_owned()),
        Just(".".to_owned()),
        Just("\u{e9}".to_owned()),
        Just("e\u{301}".to_owned()),
        Just("nul".to_owned()),
        Just("a:b".to_owned()),
        Just("x ".to_owned()),
    ];
    (proptest::collection::vec(part, 0..4), any::<bool>(), any::<bool>()).prop_map(|(parts, absolute, slash)| {
        let mut name = if absolute && parts.len() == 3 { "/".to_owned() } else { String::new() };
        name += &parts.join("/");
        if slash {
            name.push('/');
        }
        name
    })
}

fn entry() -> impl Strategy<Value = Raw> {
    let flag = prop_oneof![8 => Just(b'0'), 4 => Just(b'5'), 1 => proptest::sample::select(&b"\x0012346789xgLKSD"[..])];
    let damage = proptest::option::weighted(0.05, (0_usize..512, any::<u8>()));
    (name(), flag, 0_usize..1500, proptest::option::weighted(0.1, 0_u64..3000), damage).prop_map(
        |(name, flag, size, claimed, damage)| {
            let mut raw = Raw::new(name, flag, vec![b'x'; if flag == b'5' { 0 } else { size }]);
            if let Some(claimed) = claimed {
                raw = raw.size(claimed);
            }
            if let Some((at, byte)) = damage {
                raw.block[at] = byte;
            }
            raw
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn no_sequence_of_entries_writes_outside(entries in proptest::collection::vec(entry(), 0..6)) {
        let place = Place::new();
        let outcome = place.unpack(&plugin_with(entries), &Limits::default());
        for (path, _) in tree(place.dir.path()) {
            prop_assert!(path == "foo-1.0.0.tgz" || path == "into" || path.starts_with("into/"), "{path}");
        }
        if let Ok(unpacked) = outcome {
            for file in unpacked.files {
                let (digest, size) = Sha256Digest::of_file(&unpacked.root.join(&file.path)).unwrap();
                prop_assert_eq!((digest, size), (file.digest, file.size));
            }
        }
    }

    #[test]
    fn damage_is_never_a_panic(at in 0.0_f64..1.0, bit in 0_u8..8, cut in any::<bool>()) {
        let dir = plugin_dir(&[("a", b"content"), ("b/c", &[1; 5000])]);
        let place = Place::new();
        pack(dir.path(), place.dir.path(), &Limits::default(), &NoReport).unwrap().publish(None).unwrap();
        let mut bytes = fs::read(place.archive()).unwrap();
        let at = (at * bytes.len() as f64) as usize;
        if cut {
            bytes.truncate(at);
        } else {
            bytes[at] ^= 1 << bit;
        }
        fs::write(place.archive(), &bytes).unwrap();
        let _ = inspect(&place.archive(), &Limits::default());
        if let Ok(unpacked) = unpack(&place.archive(), &place.archive(), &place.staging(), &Limits::default(), &NoReport) {
            // Some bits of gzip's headers say nothing about what is in it.
            prop_assert_eq!(tree(&unpacked.root), tree(dir.path()));
        }
    }

    #[test]
    fn packing_and_unpacking_is_the_identity(
        files in proptest::collection::btree_map("[a-c]{1,2}(/[d-f]{1,3}){0,3}", proptest::collection::vec(any::<u8>(), 0..2000), 0..8),
        directories in proptest::collection::btree_set("[g-i](/[j-k]){0,2}", 0..3),
    ) {
        // A file's path that is another's directory cannot be on disk either.
        let on_disk: Vec<_> = files.iter().filter(|(path, _)| {
            !files.keys().any(|other| other.starts_with(&format!("{path}/")))
        }).collect();
        let dir = plugin_dir(&[]);
        for (path, content) in &on_disk {
            write_all(dir.path(), &[(path, content)]);
        }
        for directory in &directories {
            fs::create_dir_all(dir.path().join(directory)).unwrap();
        }
        let place = Place::new();
        pack(dir.path(), place.dir.path(), &Limits::default(), &NoReport).unwrap().publish(None).unwrap();
        let unpacked = unpack(&place.archive(), &place.archive(), &place.staging(), &Limits::default(), &NoReport).unwrap();
        prop_assert_eq!(tree(&unpacked.root), tree(dir.path()));
        prop_assert_eq!(unpacked.files.len(), on_disk.len() + 2);
    }
}
