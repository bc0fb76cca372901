#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hatchery_fuzz::policy_devcontainer(data));
