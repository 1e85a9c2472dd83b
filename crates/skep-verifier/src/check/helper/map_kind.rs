//! Which helpers take which kinds of map.
//!
//! Invariant: asked from both sides: a kind of map that only few helpers take, a helper that takes only few kinds.

use skep_spec::helper::Helper;
use skep_spec::map::MapType as M;
use skep_spec::program::{AttachType, ProgramType as P};

use super::id;
use crate::check::call::EINVAL;
use crate::fault::{Fault, Rule};
use crate::input::MapId;
use crate::verifier::Verifier;

impl Verifier<'_> {
    /// Whether that helper takes that map.
    pub(super) fn check_map_helper(&self, map: Option<MapId>, helper: &Helper) -> Rule {
        let Some(map) = map else {
            return Ok(());
        };
        let kind = self.map(map).map_type;
        let name = helper.name.strip_prefix("bpf_").unwrap_or(helper.name);
        let sockmap_change =
            is_sockmap(kind) && matches!(name, "map_update_elem" | "map_delete_elem");
        let refused = if sockmap_change {
            !self.may_update_sockmap(name)
        } else {
            !map_takes(kind, name)
        };
        if !refused && helper_takes(name, kind) {
            return Ok(());
        }
        let why = if sockmap_change && refused {
            "cannot update sockmap in this context"
        } else {
            ""
        };
        Err(Fault::new(EINVAL, "verifier-map-helper", why).and(format!(
            "cannot pass map_type {} into func {}#{}",
            kind.number(),
            helper.name,
            helper.id
        )))
    }

    /// After all paths: a tail call goes into one and the same map, where the map's bounds are guarded against
    /// mis-speculation (unprivileged programs).
    pub fn check_tail_call_maps(&self) -> Rule {
        if self.allow.bypass_spec_v1 {
            return Ok(());
        }
        for (at, insn) in self.insns.iter().enumerate() {
            let tail_call = insn.is_helper_call() && insn.imm as u32 == id::TAIL_CALL;
            if tail_call && self.aux[at].map == Some(None) {
                return Err(Fault::new(
                    EINVAL,
                    "verifier-tail-call-map",
                    "tail_call abusing map_ptr",
                )
                .at(at));
            }
        }
        Ok(())
    }

    /// Whether programs of this kind may change a map of sockets with the helpers of ordinary maps.
    fn may_update_sockmap(&self, name: &str) -> bool {
        let place = &self.platform.place;
        match place.program {
            P::Tracing => place.attach == Some(AttachType::TraceIter),
            P::SockOps => name == "map_delete_elem",
            P::SocketFilter
            | P::SchedCls
            | P::SchedAct
            | P::Xdp
            | P::SkReuseport
            | P::FlowDissector
            | P::SkLookup => true,
            _ => false,
        }
    }
}

const fn is_sockmap(kind: M) -> bool {
    matches!(kind, M::Sockmap | M::Sockhash)
}

/// From the map's side.
fn map_takes(kind: M, name: &str) -> bool {
    match kind {
        M::ProgArray => name == "tail_call",
        M::PerfEventArray => matches!(
            name,
            "perf_event_read"
                | "perf_event_output"
                | "skb_output"
                | "perf_event_read_value"
                | "xdp_output"
        ),
        M::Ringbuf => matches!(
            name,
            "ringbuf_output"
                | "ringbuf_reserve"
                | "ringbuf_query"
                | "ringbuf_reserve_dynptr"
                | "ringbuf_submit_dynptr"
                | "ringbuf_discard_dynptr"
        ),
        M::UserRingbuf => name == "user_ringbuf_drain",
        M::StackTrace => name == "get_stackid",
        M::CgroupArray => matches!(name, "skb_under_cgroup" | "current_task_under_cgroup"),
        M::CgroupStorage | M::PercpuCgroupStorage => name == "get_local_storage",
        M::Devmap | M::DevmapHash | M::Xskmap => {
            matches!(name, "redirect_map" | "map_lookup_elem")
        }
        M::Cpumap => name == "redirect_map",
        M::ArrayOfMaps | M::HashOfMaps => name == "map_lookup_elem",
        M::Sockmap => matches!(
            name,
            "sk_redirect_map"
                | "sock_map_update"
                | "msg_redirect_map"
                | "sk_select_reuseport"
                | "map_lookup_elem"
        ),
        M::Sockhash => matches!(
            name,
            "sk_redirect_hash"
                | "sock_hash_update"
                | "msg_redirect_hash"
                | "sk_select_reuseport"
                | "map_lookup_elem"
        ),
        M::ReuseportSockarray => name == "sk_select_reuseport",
        M::Queue | M::Stack => {
            matches!(name, "map_peek_elem" | "map_pop_elem" | "map_push_elem")
        }
        M::SkStorage => matches!(name, "sk_storage_get" | "sk_storage_delete" | "kptr_xchg"),
        M::InodeStorage => {
            matches!(
                name,
                "inode_storage_get" | "inode_storage_delete" | "kptr_xchg"
            )
        }
        M::TaskStorage => {
            matches!(
                name,
                "task_storage_get" | "task_storage_delete" | "kptr_xchg"
            )
        }
        M::CgrpStorage => {
            matches!(
                name,
                "cgrp_storage_get" | "cgrp_storage_delete" | "kptr_xchg"
            )
        }
        M::BloomFilter => matches!(name, "map_peek_elem" | "map_push_elem"),
        _ => true,
    }
}

/// From the helper's side.
fn helper_takes(name: &str, kind: M) -> bool {
    match name {
        "tail_call" => kind == M::ProgArray,
        "perf_event_read"
        | "perf_event_output"
        | "perf_event_read_value"
        | "skb_output"
        | "xdp_output" => kind == M::PerfEventArray,
        "ringbuf_output"
        | "ringbuf_reserve"
        | "ringbuf_query"
        | "ringbuf_reserve_dynptr"
        | "ringbuf_submit_dynptr"
        | "ringbuf_discard_dynptr" => kind == M::Ringbuf,
        "user_ringbuf_drain" => kind == M::UserRingbuf,
        "get_stackid" => kind == M::StackTrace,
        "current_task_under_cgroup" | "skb_under_cgroup" => kind == M::CgroupArray,
        "redirect_map" => {
            matches!(kind, M::Devmap | M::DevmapHash | M::Cpumap | M::Xskmap)
        }
        "sk_redirect_map" | "msg_redirect_map" | "sock_map_update" => kind == M::Sockmap,
        "sk_redirect_hash" | "msg_redirect_hash" | "sock_hash_update" => kind == M::Sockhash,
        "get_local_storage" => matches!(kind, M::CgroupStorage | M::PercpuCgroupStorage),
        "sk_select_reuseport" => {
            matches!(kind, M::ReuseportSockarray | M::Sockmap | M::Sockhash)
        }
        "map_pop_elem" => matches!(kind, M::Queue | M::Stack),
        "map_peek_elem" | "map_push_elem" => {
            matches!(kind, M::Queue | M::Stack | M::BloomFilter)
        }
        "map_lookup_percpu_elem" => {
            matches!(kind, M::PercpuArray | M::PercpuHash | M::LruPercpuHash)
        }
        "sk_storage_get" | "sk_storage_delete" => kind == M::SkStorage,
        "inode_storage_get" | "inode_storage_delete" => kind == M::InodeStorage,
        "task_storage_get" | "task_storage_delete" => kind == M::TaskStorage,
        "cgrp_storage_get" | "cgrp_storage_delete" => kind == M::CgrpStorage,
        _ => true,
    }
}
