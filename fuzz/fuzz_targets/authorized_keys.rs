#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hassio_sshd_fuzz::authorized_keys::run(data));
