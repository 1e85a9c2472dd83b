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

    /// Whether the callee fills the memory that it is given to fill whether it fails or not.
    pub fn fills_always(&self) -> bool {
        const FILLS: &[&str] = &[
            "bpf_copy_from_user",
            "bpf_copy_from_user_task",
            "bpf_get_current_comm",
            "bpf_get_ns_current_pid_tgid",
            "bpf_get_stack",
            "bpf_get_task_stack",
            "bpf_probe_read",
            "bpf_probe_read_kernel",
            "bpf_probe_read_kernel_str",
            "bpf_probe_read_str",
            "bpf_probe_read_user",
            "bpf_probe_read_user_str",
            "bpf_skb_get_tunnel_key",
            "bpf_skb_get_tunnel_opt",
            "bpf_skb_load_bytes",
            "bpf_skb_load_bytes_relative",
        ];
        FILLS.binary_search(&self.func_name()).is_ok()
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
