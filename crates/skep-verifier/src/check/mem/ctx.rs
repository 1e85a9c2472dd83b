//! The context: which of its fields a program reads and writes, and what a load of one gives.

use skep_btf::Kind as BtfKind;
use skep_spec::context::{Access as FieldAccess, FieldValue};
use skep_spec::program::ProgramType as P;

use super::{Access, denied};
use crate::fault::{Fault, Rule};
use crate::input::BtfIdx;
use crate::platform::CtxValue;
use crate::state::reg::{Detail, Flags, Kind, Reg};
use crate::verifier::Verifier;

/// Bytes of the arguments that a context of arguments may have (`MAX_BPF_FUNC_ARGS` words).
const ARGUMENT_BYTES: i32 = 12 * 8;

impl Verifier<'_> {
    /// `PTR_TO_CTX`
    pub(super) fn access_ctx(&mut self, regno: u8, reg: &Reg, off: i32, access: &Access) -> Rule {
        self.check_leak(access, "ctx")?;
        self.check_pointer_offset(reg, regno, false)?;
        let loaded = if self.ctx_is_arguments() {
            self.ctx_argument(off, access)?
        } else {
            let value = self
                .platform
                .ctx(i64::from(off), access.size, access.write)
                .filter(|&value| value == CtxValue::Scalar || !access.sign_extend)
                .ok_or_else(|| invalid_ctx_access(off, access.size))?;
            self.ctx_value(value, off, access)?
        };
        let end = (off as u32).saturating_add(access.size);
        self.context_bytes = self.context_bytes.max(end);
        self.loaded(access, loaded);
        Ok(())
    }

    /// Whether the context is the arguments of a kernel function.
    pub(crate) fn ctx_is_arguments(&self) -> bool {
        matches!(self.program_kind(), P::Tracing | P::Lsm | P::StructOps)
    }

    /// Whether accesses of the context are converted, so that its memory is no plain memory.
    pub(crate) fn converts_ctx(&self) -> bool {
        self.platform.host.is_some()
            || !matches!(
                self.program_kind(),
                P::Syscall
                    | P::Tracing
                    | P::Lsm
                    | P::StructOps
                    | P::Kprobe
                    | P::Tracepoint
                    | P::RawTracepoint
                    | P::RawTracepointWritable
                    | P::Netfilter
                    | P::LircMode2
                    | P::Ext
            )
    }

    /// Bytes of a host's context that a helper takes as memory: they lie within one field, all parts of which may be
    /// accessed so.
    pub(super) fn check_context_bytes(
        &self,
        regno: u8,
        reg: &Reg,
        size: u32,
        (read, write): (bool, bool),
        zero_size_allowed: bool,
    ) -> Rule {
        self.check_pointer_offset(reg, regno, true)?;
        if size == 0 && zero_size_allowed {
            return Ok(());
        }
        let field = self.platform.host.and_then(|host| {
            let (_, field) = host.context.field_at(u32::try_from(reg.off).ok()?)?;
            Some(field)
        });
        let fits = field.is_some_and(|field| {
            let allows = |asked: bool, access| !asked || access == FieldAccess::Narrow;
            let end = i64::from(reg.off) + i64::from(size);
            allows(read, field.read)
                && allows(write, field.write)
                && field.value == FieldValue::Scalar
                && end <= i64::from(field.offset) + i64::from(field.size)
        });
        if fits {
            return Ok(());
        }
        let size = i32::try_from(size).unwrap_or(i32::MAX);
        Err(denied(
            "verifier-context-access",
            format!("invalid bpf_context access off={} size={size}", reg.off),
        ))
    }

    fn ctx_argument(&mut self, off: i32, access: &Access) -> Rule<Reg> {
        let size = access.size;
        let aligned = u32::try_from(off).is_ok_and(|off| off.is_multiple_of(size));
        if off >= ARGUMENT_BYTES || access.write || !aligned {
            return Err(invalid_ctx_access(off, size));
        }
        let reg = self.argument_at(off as u32, size).map_err(|mut fault| {
            let (line, errno) = ctx_access_line(off, size);
            fault.errno = errno;
            fault.and(line)
        })?;
        if reg.ref_id != 0 && self.state.held.reference(reg.ref_id).is_none() {
            return Err(denied(
                "verifier-context-reference",
                format!("invalid bpf_context access off={off}. Reference may already be released"),
            ));
        }
        if reg.is_pointer() && access.sign_extend {
            return Err(invalid_ctx_access(off, size));
        }
        let mut reg = self.with_null_id(reg, access);
        let reference = self.ctx_refs.get(off as usize / 8).copied().unwrap_or(0);
        if reference != 0 {
            if self.state.held.reference(reference).is_none() {
                return Err(denied(
                    "verifier-context-reference",
                    format!(
                        "invalid bpf_context access off={off}. Reference may already be released"
                    ),
                ));
            }
            reg.ref_id = reference;
        }
        Ok(reg)
    }

    fn ctx_value(&mut self, value: CtxValue, off: i32, access: &Access) -> Rule<Reg> {
        let or_null = |or_null| {
            if or_null {
                Flags::MAYBE_NULL
            } else {
                Flags::NONE
            }
        };
        let reg = match value {
            CtxValue::TpBuffer => Reg::pointer(Kind::TpBuffer, Flags::NONE),
            CtxValue::Scalar => return Ok(Reg::UNKNOWN),
            CtxValue::Packet => Reg::pointer(Kind::Packet, Flags::NONE).to(Detail::Range(0)),
            CtxValue::PacketMeta => {
                Reg::pointer(Kind::PacketMeta, Flags::NONE).to(Detail::Range(0))
            }
            CtxValue::PacketEnd => Reg::pointer(Kind::PacketEnd, Flags::NONE),
            CtxValue::Socket { or_null: null } => Reg::pointer(Kind::Socket, or_null(null)),
            CtxValue::SockCommon { or_null: null } => Reg::pointer(Kind::SockCommon, or_null(null)),
            CtxValue::Memory {
                size,
                writable,
                or_null: null,
            } => {
                let flags = if writable { Flags::NONE } else { Flags::RDONLY };
                Reg::pointer(Kind::Mem, flags.with(or_null(null)))
                    .to(Detail::Mem { size, dynptr_id: 0 })
            }
            CtxValue::FlowKeys => Reg::pointer(Kind::FlowKeys, Flags::NONE),
            CtxValue::Btf { of, or_null: null } => {
                let id = self
                    .input
                    .btf(BtfIdx::KERNEL)
                    .and_then(|btf| btf.find(BtfKind::Struct, of))
                    .ok_or_else(|| invalid_ctx_access(off, access.size))?;
                Reg::pointer(Kind::BtfId, or_null(null).with(Flags::TRUSTED)).to(Detail::Btf {
                    btf: BtfIdx::KERNEL,
                    id: id.0,
                })
            }
        };
        Ok(self.with_null_id(reg, access))
    }

    /// A nullable pointer gets an identity, so that a check of one copy is known of all.
    fn with_null_id(&mut self, reg: Reg, access: &Access) -> Reg {
        if !reg.maybe_null() || access.write || access.value.is_none() {
            return reg;
        }
        let id = self.new_id();
        Reg { id, ..reg }
    }
}

fn ctx_access_line(off: i32, size: u32) -> (String, i32) {
    (
        format!("invalid bpf_context access off={off} size={size}"),
        super::EACCES,
    )
}

/// No such field, or not in that way.
#[cold]
pub(crate) fn invalid_ctx_access(off: i32, size: u32) -> Box<Fault> {
    denied("verifier-context-access", ctx_access_line(off, size).0)
}
