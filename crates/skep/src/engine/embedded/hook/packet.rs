//! Events of packets: captures drive the program that is attached.
//!
//! Invariants: one program sees the packets of a replay (as one interface has one XDP program); programs of devmap and
//! cpumap entries run behind it; what a replay did is always counted in its report.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use skep_host::packet::Hook as PacketHook;
pub use skep_host::packet::{
    CaptureError, Fate, LinkType, PacketOutcome, PcapngWriter, Reader, Replay, ReplayError, Report,
    SocketStart, Verdict, Wire, Wires,
};
use skep_spec::errno::Errno;
use skep_spec::program::flags::XDP_HAS_FRAGS;
use skep_vm::Env;

use super::Hook;
use crate::Embedded;
use crate::error::{Error, ErrorKind, Result};

impl From<ReplayError> for Error {
    fn from(error: ReplayError) -> Error {
        ErrorKind::Os {
            call: "writing a capture",
            errno: Errno(error.error.raw_os_error().unwrap_or(0)),
            hint: Some(error.to_string()),
        }
        .into()
    }
}

impl Embedded {
    /// A replay for the program that is attached to packets; an error if there is none, or more than one.
    pub fn replay<'a>(&self, env: &'a dyn Env, stop: &'a AtomicBool) -> Result<Replay<'a>> {
        let attached = self.attached();
        let packets = |hook: &Hook| matches!(hook, Hook::Xdp | Hook::Tc | Hook::SocketFilter);
        let mut takers = attached.iter().filter(|hooked| packets(&hooked.hook));
        let input = |why: String| {
            Error::from(ErrorKind::Input {
                what: "replay".to_owned(),
                why,
            })
        };
        let Some(taker) = takers.next() else {
            return Err(input("no program is attached to packets".to_owned()));
        };
        if let Some(second) = takers.next() {
            let why = format!(
                "`{}` and `{}` are both attached to packets; choose one",
                taker.name, second.name
            );
            return Err(input(why));
        }
        let program_type = taker.program.program_type();
        let frags = taker.flags & XDP_HAS_FRAGS != 0;
        let hook = program_type.and_then(|program_type| {
            PacketHook::for_program(program_type, taker.attach_type, frags)
        });
        let hook = hook.ok_or_else(|| input(format!("`{}` takes no packets", taker.name)))?;
        let mut replay = Replay::new(Arc::clone(&taker.program), hook, env, stop);
        replay.limits = self.limits().clone();
        Ok(replay)
    }
}
