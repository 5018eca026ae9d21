#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| toolgate::shared::headers::run(data));
