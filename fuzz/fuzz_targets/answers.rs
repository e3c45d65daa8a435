#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| plugsmith_fuzz::answers(data));
