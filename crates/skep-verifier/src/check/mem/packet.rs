//! Packet bytes: proven by comparison with the packet's end, written only by some kinds of program.

use skep_spec::program::ProgramType as P;

use super::plain::{check_range, negative_index};
use super::{Access, EINVAL, denied, invalid_mem_access};
use crate::fault::{Fault, Rule};
use crate::state::reg::{Kind, Reg};
use crate::verifier::Verifier;

impl Verifier<'_> {
    /// Whether the program may access packet bytes directly.
    pub fn may_access_packet(&self, write: bool) -> bool {
        if let Some(host) = self.platform.host {
            return !write || host.data_writable;
        }
        match self.program_kind() {
            P::LwtIn
            | P::LwtOut
            | P::LwtSeg6local
            | P::SkReuseport
            | P::FlowDissector
            | P::CgroupSkb => !write,
            P::SchedCls
            | P::SchedAct
            | P::Xdp
            | P::LwtXmit
            | P::SkSkb
            | P::SkMsg
            | P::CgroupSockopt => true,
            _ => false,
        }
    }

    /// Whether the program may write packet bytes.
    pub fn may_write_packet(&self) -> bool {
        self.may_access_packet(true)
    }

    /// `PTR_TO_PACKET`, `PTR_TO_PACKET_META`
    pub(super) fn access_packet(
        &mut self,
        regno: u8,
        reg: &Reg,
        off: i32,
        access: &Access,
    ) -> Rule {
        if reg.kind == Kind::PacketEnd {
            return Err(invalid_mem_access(regno, reg));
        }
        if access.write && !self.may_access_packet(true) {
            return Err(denied(
                "verifier-packet-written",
                "cannot write into packet",
            ));
        }
        self.check_leak(access, "packet")?;
        self.check_packet_range(regno, reg, off, access.size as i32, false)?;
        self.loaded(access, Reg::UNKNOWN);
        Ok(())
    }

    /// Whether that many bytes at `off` were proven to be there. The proof covers the variable part already.
    pub fn check_packet_range(
        &self,
        regno: u8,
        reg: &Reg,
        off: i32,
        size: i32,
        zero_size_allowed: bool,
    ) -> Rule {
        if reg.num.smin < 0 {
            return Err(negative_index(regno));
        }
        let outside = || format!("R{regno} offset is outside of the packet");
        let range = reg.range();
        if range < 0 {
            return Err(Fault::new(EINVAL, "verifier-packet-bounds", outside()));
        }
        check_range(regno, reg, off, size, range as u32, zero_size_allowed)
            .map_err(|fault| fault.and(outside()))
    }
}
