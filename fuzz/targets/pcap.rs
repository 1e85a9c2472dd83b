//! Any bytes as a capture: packets come out, or an error with its offset; never a panic, never more than the file holds.

#![no_main]

use libfuzzer_sys::fuzz_target;
use skep_host::packet::capture::Reader;

fuzz_target!(|bytes: &[u8]| {
    let Ok(mut reader) = Reader::new(bytes) else { return };
    let mut total = 0;
    while let Ok(Some(packet)) = reader.next() {
        total += packet.data.len();
        assert!(total <= bytes.len(), "packets hold more than the file does");
    }
    assert!(reader.position() <= bytes.len() as u64 + 1);
});
