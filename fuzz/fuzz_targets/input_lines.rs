#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lmbatch_tests::fuzzed::input_lines(data));
