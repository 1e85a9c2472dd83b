//! `struct xdp_md`: what an XDP program sees of a frame. Fields may only be read, as 32 bits.

use super::{ContextKind, ContextLayout, Field, FieldValue, variant};

/// Slots of the fields, for those who fill the context.
pub mod slot {
    /// First byte of the frame.
    pub const DATA: usize = 0;
    /// One past the last byte of the frame.
    pub const DATA_END: usize = 1;
    /// First byte of the metadata before the frame.
    pub const DATA_META: usize = 2;
    /// Interface that the frame came from.
    pub const INGRESS_IFINDEX: usize = 3;
    /// Queue of that interface.
    pub const RX_QUEUE_INDEX: usize = 4;
    /// Interface that the frame goes to (devmap programs).
    pub const EGRESS_IFINDEX: usize = 5;
}

const BASE: [Field; 6] = [
    Field::pointer("data", 0, 4, FieldValue::PacketStart),
    Field::pointer("data_end", 4, 4, FieldValue::PacketEnd),
    Field::pointer("data_meta", 8, 4, FieldValue::PacketMeta),
    Field::whole("ingress_ifindex", 12, 4),
    Field::whole("rx_queue_index", 16, 4),
    Field::whole("egress_ifindex", 20, 4),
];

/// For programs of an interface and of a cpumap.
pub static XDP: ContextLayout = ContextLayout {
    name: "xdp_md",
    size: 24,
    fields: &variant(BASE, &["egress_ifindex"], &[], &[]),
    kind: ContextKind::Converted,
};

/// For programs of a devmap, which also know where the frame goes.
pub static DEVMAP: ContextLayout = ContextLayout {
    name: "xdp_md",
    size: 24,
    fields: &BASE,
    kind: ContextKind::Converted,
};
