//! Any bytes as .BTF.ext beside any BTF; what parses is relocated against that BTF itself.

#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use skep_btf::core::Relocator;
use skep_btf::ext::BtfExt;
use skep_btf::Btf;

fuzz_target!(|bytes: &[u8]| {
    // The first two bytes say how much of the rest is the BTF.
    let Some((head, rest)) = bytes.split_first_chunk::<2>() else { return };
    let at = usize::from(u16::from_le_bytes(*head)).min(rest.len());
    let (types, ext) = rest.split_at(at);
    let Ok(btf) = Btf::parse(types.to_vec()) else { return };
    let Ok(ext) = BtfExt::parse(&btf, ext) else { return };
    let target = [Arc::new(btf)];
    let mut relocator = Relocator::new(&target[0], &target);
    for section in &ext.core_relos {
        for relo in section.records.iter().take(256) {
            let _ = relocator.resolve(relo);
        }
    }
});
