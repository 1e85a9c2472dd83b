//! Names of kinds of pointer as the kernel prints them.

use super::*;

#[test]
fn names_are_the_kernels() {
    let of = |kind, flags: Flags| type_name(kind, flags).to_string();
    assert_eq!(of(Kind::MapValue, Flags::MAYBE_NULL), "map_value_or_null");
    assert_eq!(
        of(Kind::BtfId, Flags::MAYBE_NULL.with(Flags::TRUSTED)),
        "trusted_ptr_or_null_"
    );
    assert_eq!(
        of(Kind::Mem, Flags::RINGBUF.with(Flags::MAYBE_NULL)),
        "ringbuf_mem_or_null"
    );
    assert_eq!(of(Kind::Stack, Flags::NONE), "fp");
    assert_eq!(
        of(Kind::BtfId, Flags::USER.with(Flags::PERCPU)),
        "user_percpu_ptr_"
    );
    assert_eq!(
        of(Kind::Mem, Flags::RDONLY.with(Flags::UNTRUSTED)),
        "rdonly_untrusted_mem"
    );
}
