//! Any bytes as BTF: every question that can be asked of what parses is asked, and it must write back and parse again.

#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use skep_btf::build::Builder;
use skep_btf::{Btf, format_c};

fuzz_target!(|bytes: &[u8]| {
    let Ok(btf) = Btf::parse(bytes.to_vec()) else { return };
    // A few thousand types already meet each other in every way.
    for id in btf.ids().take(4096) {
        let _ = btf.ty(id);
        let _ = btf.name(id);
        let _ = btf.resolve(id);
        let _ = btf.find_all(btf.name(id));
        let _ = btf.size_of(id);
        let _ = btf.align_of(id);
        let _ = btf.member(id, "pid");
        let _ = format_c::type_name(&btf, id);
    }
    let _ = format_c::dump(&btf);
    if let Ok(builder) = Builder::from_btf(&btf) {
        if let Ok(written) = builder.finish() {
            let again = Btf::parse(written).expect("what the builder writes must parse");
            assert_eq!(again.len(), btf.len());
        }
    }
    if let Ok(small) = skep_btf::dedup::dedup(&btf) {
        assert!(small.builder.next_id().0 <= btf.len());
    }
    let base = Arc::new(btf);
    let _ = Btf::parse_split(Arc::clone(&base), bytes.to_vec());
});
