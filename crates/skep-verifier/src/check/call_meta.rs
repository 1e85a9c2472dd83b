//! What is gathered about one call while its arguments are checked, and used when its result is made.
//!
//! Invariant: made anew for each visit of a call; arguments are looked at from r1 to r5.

use skep_spec::helper::Helper;

use crate::input::{BtfIdx, MapId};
use crate::record::RecordField;

/// What the arguments of one call turned out to be.
#[derive(Clone, Copy, Debug, Default)]
pub struct CallMeta<'i> {
    /// The helper that is called; `None` for a kfunc or a function of the program.
    pub helper: Option<&'i Helper>,
    /// The map argument, and which of the inner maps of one outer map it is.
    pub map: Option<(MapId, u32)>,
    /// The memory argument under way need not be initialised: the callee fills it.
    pub raw_mode: bool,
    /// The callee reads packets where it takes memory.
    pub pkt_access: bool,
    /// Which register holds the memory that the callee fills, with its size in `access_size`.
    pub regno: u8,
    pub access_size: u32,
    /// Which register is released by the call; 0: none.
    pub release_regno: u8,
    /// Bytes of memory that the result points to.
    pub mem_size: u32,
    /// The most that a size argument can be.
    pub msize_max: u64,
    /// The reference that an argument holds; 0: none.
    pub ref_id: u32,
    /// The dynptr that a slice is taken from; 0: none.
    pub dynptr_id: u32,
    /// The callback's subprogram.
    pub subprog: u32,
    /// The type that the result points to.
    pub ret_btf: Option<(BtfIdx, u32)>,
    /// The slot of a `bpf_kptr_xchg`.
    pub kptr_field: Option<RecordField>,
    /// The key argument, where it is a known number.
    pub const_map_key: Option<u64>,
}

impl<'i> CallMeta<'i> {
    /// Of a call of that helper.
    pub fn of_helper(helper: &'i Helper) -> CallMeta<'i> {
        CallMeta {
            helper: Some(helper),
            pkt_access: helper.flags & Helper::PACKET_ACCESS != 0,
            ..CallMeta::default()
        }
    }

    /// The helper's number; 0 where none is called.
    pub fn func_id(&self) -> u32 {
        self.helper.map_or(0, |helper| helper.id)
    }

    /// The helper's name as messages print it.
    pub fn func_name(&self) -> &'static str {
        self.helper.map_or("unknown", |helper| helper.name)
    }
}
