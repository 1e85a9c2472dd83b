//! Whether a program of its kind may refer to a map at all, asked once for each map when the program is read.

use skep_spec::map::MapType as M;
use skep_spec::program::ProgramType as P;

use crate::check::call::{E2BIG, EINVAL};
use crate::fault::{Fault, Rule};
use crate::input::MapId;
use crate::record::FieldKind;
use crate::verifier::Verifier;

const EPERM: i32 = 1;
const EBUSY: i32 = 16;

#[cold]
fn refuse(errno: i32, line: &str) -> Rule {
    Err(Fault::new(errno, "verifier-map-program", line))
}

impl Verifier<'_> {
    /// The map against the program; `earlier` are the maps that the program refers to before.
    pub fn check_map_program(&self, map: MapId, earlier: &[MapId]) -> Rule {
        if earlier.len() >= skep_spec::limits::MAX_USED_MAPS {
            return refuse(
                E2BIG,
                &format!(
                    "The total number of maps per program has reached the limit of {}",
                    skep_spec::limits::MAX_USED_MAPS
                ),
            );
        }
        let place = &self.platform.place;
        let info = self.map(map);
        let record = self.map_record_ref(map);
        let has = |kind| record.is_some_and(|record| record.has(kind));
        let tracing = matches!(
            place.program,
            P::Kprobe | P::Tracepoint | P::PerfEvent | P::RawTracepoint | P::RawTracepointWritable
        );
        if tracing && (has(FieldKind::ListHead) || has(FieldKind::RbRoot)) {
            return refuse(
                EINVAL,
                "tracing progs cannot use bpf_{list_head,rb_root} yet",
            );
        }
        if has(FieldKind::SpinLock) || has(FieldKind::ResSpinLock) {
            if place.program == P::SocketFilter {
                return refuse(EINVAL, "socket filter progs cannot use bpf_spin_lock yet");
            }
            if tracing {
                return refuse(EINVAL, "tracing progs cannot use bpf_spin_lock yet");
            }
        }
        if tracing && has(FieldKind::Timer) {
            return refuse(EINVAL, "tracing progs cannot use bpf_timer yet");
        }
        if tracing && has(FieldKind::Workqueue) {
            return refuse(EINVAL, "tracing progs cannot use bpf_wq yet");
        }
        if info.map_type == M::StructOps {
            return refuse(EINVAL, "bpf_struct_ops map cannot be used in prog");
        }
        if place.sleepable && !allowed_in_sleepable(info.map_type) {
            return refuse(
                EINVAL,
                "Sleepable programs can only use array, hash, ringbuf and local storage maps",
            );
        }
        let other = |kind| {
            earlier
                .iter()
                .any(|&one| one != map && self.map(one).map_type == kind)
        };
        match info.map_type {
            M::CgroupStorage | M::PercpuCgroupStorage if other(info.map_type) => {
                refuse(EBUSY, "only one cgroup storage of each type is allowed")
            }
            M::Arena if other(M::Arena) => refuse(EBUSY, "Only one arena per program"),
            M::Arena if !self.allow.ptr_leaks || !self.allow.bpf => {
                refuse(EPERM, "CAP_BPF and CAP_PERFMON are required to use arena")
            }
            _ => Ok(()),
        }
    }
}

/// Kinds of map that a program which may sleep may use.
const fn allowed_in_sleepable(kind: M) -> bool {
    matches!(
        kind,
        M::Hash
            | M::LruHash
            | M::Array
            | M::PercpuHash
            | M::PercpuArray
            | M::LruPercpuHash
            | M::ArrayOfMaps
            | M::HashOfMaps
            | M::Ringbuf
            | M::UserRingbuf
            | M::InodeStorage
            | M::SkStorage
            | M::TaskStorage
            | M::CgrpStorage
            | M::Queue
            | M::Stack
            | M::Arena
    )
}
