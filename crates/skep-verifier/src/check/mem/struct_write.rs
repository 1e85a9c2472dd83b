//! The few fields of kernel structures that struct_ops programs may write.
//!
//! Invariant: the fields are found by name in the kernel's BTF; what the BTF does not know cannot be written.

use skep_btf::{Kind as BtfKind, Ty};
use skep_spec::program::ProgramType as P;

use super::denied;
use crate::fault::Rule;
use crate::input::{AttachTarget, BtfIdx};
use crate::verifier::Verifier;

/// A member by its path from the structure.
struct Writable {
    of: &'static str,
    path: &'static [&'static str],
}

const fn writable(of: &'static str, path: &'static [&'static str]) -> Writable {
    Writable { of, path }
}

/// What congestion control may write of a `tcp_sock`.
const TCP: &[Writable] = &[
    writable("sock", &["sk_pacing_rate"]),
    writable("sock", &["sk_pacing_status"]),
    writable("inet_connection_sock", &["icsk_ca_priv"]),
    writable("inet_connection_sock", &["icsk_ack", "pending"]),
    writable("tcp_sock", &["snd_cwnd"]),
    writable("tcp_sock", &["snd_cwnd_cnt"]),
    writable("tcp_sock", &["snd_cwnd_stamp"]),
    writable("tcp_sock", &["snd_ssthresh"]),
    writable("tcp_sock", &["ecn_flags"]),
    writable("tcp_sock", &["app_limited"]),
];

impl<'i> Verifier<'i> {
    /// The struct_ops type that the program is for.
    pub fn struct_ops_name(&self) -> Option<&'i str> {
        match (&self.input.target, self.input.program_type) {
            (Some(AttachTarget::StructOps { id, .. }), P::StructOps) => {
                Some(self.type_word(BtfIdx::KERNEL, id.0))
            }
            _ => None,
        }
    }

    /// Whether a struct_ops program may write there; `None` where the type has no such rule.
    pub(super) fn struct_write(&self, name: &str, off: u32, size: u32) -> Option<Rule> {
        match self.struct_ops_name()? {
            "tcp_congestion_ops" => Some(self.write_tcp(name, off, size)),
            "sched_ext_ops" => Some(self.write_task(name, off, size)),
            "bpf_dummy_ops" => {
                let state = self.input.btf(BtfIdx::KERNEL).and_then(|btf| {
                    btf.size_of(btf.find(BtfKind::Struct, "bpf_dummy_ops_state")?)
                        .ok()
                })?;
                Some(if name != "bpf_dummy_ops_state" {
                    Err(read_only())
                } else if off.saturating_add(size) > state {
                    Err(denied(
                        "verifier-struct-write",
                        format!("write access at off {off} with size {size}"),
                    ))
                } else {
                    Ok(())
                })
            }
            "Qdisc_ops" => Some(self.write_qdisc(name, off, size)),
            _ => None,
        }
    }

    fn write_tcp(&self, name: &str, off: u32, size: u32) -> Rule {
        if name != "tcp_sock" && name != "sock" && name != "inet_connection_sock" {
            return Err(read_only());
        }
        for field in TCP {
            let Some((start, end)) = self.range_of(field) else {
                continue;
            };
            // Private state may be entered anywhere, a field at its start.
            let private = field.path == ["icsk_ca_priv"];
            if off == start || private && (start..end).contains(&off) {
                if u64::from(off) + u64::from(size) > u64::from(end) {
                    return Err(denied(
                        "verifier-struct-write",
                        format!(
                            "write access at off {off} with size {size} beyond the member of tcp_sock ended at {end}"
                        ),
                    ));
                }
                return Ok(());
            }
        }
        Err(denied(
            "verifier-struct-write",
            format!("no write support to tcp_sock at off {off}"),
        ))
    }

    fn write_task(&self, name: &str, off: u32, size: u32) -> Rule {
        const FIELDS: [Writable; 3] = [
            writable("task_struct", &["scx", "slice"]),
            writable("task_struct", &["scx", "dsq_vtime"]),
            writable("task_struct", &["scx", "disallow"]),
        ];
        if name == "task_struct" && self.fits_one(&FIELDS, off, size) {
            return Ok(());
        }
        Err(read_only())
    }

    fn write_qdisc(&self, name: &str, off: u32, size: u32) -> Rule {
        const SKB: [Writable; 2] = [
            writable("sk_buff", &["tstamp"]),
            writable("sk_buff", &["cb"]),
        ];
        const QDISC: [Writable; 3] = [
            writable("Qdisc", &["limit"]),
            writable("Qdisc", &["q", "qlen"]),
            writable("Qdisc", &["qstats"]),
        ];
        let (fields, known): (&[Writable], bool) = match name {
            "sk_buff" => (&SKB, true),
            "Qdisc" => (&QDISC, true),
            _ => (&[], false),
        };
        if !known {
            return Err(read_only());
        }
        if self.fits_one(fields, off, size) {
            return Ok(());
        }
        Err(denied(
            "verifier-struct-write",
            format!("no write support to {name} at off {off}"),
        ))
    }

    fn fits_one(&self, fields: &[Writable], off: u32, size: u32) -> bool {
        fields.iter().any(|field| {
            self.range_of(field).is_some_and(|(start, end)| {
                off >= start && u64::from(off) + u64::from(size) <= u64::from(end)
            })
        })
    }

    /// Where the member starts and ends.
    fn range_of(&self, field: &Writable) -> Option<(u32, u32)> {
        let btf = self.input.btf(BtfIdx::KERNEL)?;
        let mut id = btf.find(BtfKind::Struct, field.of)?;
        let mut start = 0_u32;
        for name in field.path {
            let found = btf.member(id, name).ok()??;
            start = start.checked_add(found.bit_offset / 8)?;
            id = found.member.ty;
        }
        let (id, ty) = btf.resolved(id).ok()?;
        let size = match ty {
            Ty::Ptr { .. } => 8,
            _ => btf.size_of(id).ok()?,
        };
        Some((start, start.checked_add(size)?))
    }
}

#[cold]
fn read_only() -> Box<crate::fault::Fault> {
    denied("verifier-read-only-memory", "only read is supported")
}
