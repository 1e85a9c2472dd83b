//! References: what was acquired must be released, and nothing that derives from it survives that.
//!
//! Invariants: every id in `held` of kind reference was acquired on this path and not released since; no register
//! carries the `ref_id` of a released one.

use skep_spec::program::ProgramType;

use crate::fault::{Fault, Rule};
use crate::state::State;
use crate::state::held::{HeldKind, Resource};
use crate::state::reg::{Flags, Reg};
use crate::verifier::Verifier;

const EINVAL: i32 = 22;

impl State {
    /// Forgets the reference of that id; whether there was one.
    pub fn drop_reference(&mut self, id: u32) -> bool {
        let found = self
            .held
            .resources
            .iter()
            .position(|held| held.kind == HeldKind::Reference && held.id == id);
        match found {
            Some(at) => {
                self.held_mut().resources.remove(at);
                true
            }
            None => false,
        }
    }
}

impl Verifier<'_> {
    /// Notes that the instruction acquires a reference; its id.
    pub fn acquire_reference(&mut self, insn_idx: usize) -> u32 {
        let id = self.new_id();
        self.state.held_mut().resources.push(Resource {
            kind: HeldKind::Reference,
            id,
            insn: insn_idx,
            lock_in: (0, 0),
        });
        id
    }

    /// What is left of a register whose object is gone.
    pub fn invalid_reg(&self) -> Reg {
        if self.allow.ptr_leaks {
            Reg::UNKNOWN
        } else {
            Reg::NOT_INIT
        }
    }

    /// Releases the reference and voids every copy of it. The caller words the failure where there is none.
    pub fn release_reference(&mut self, id: u32) -> Rule {
        if !self.state.drop_reference(id) {
            return Err(Fault::new(
                EINVAL,
                "verifier-not-acquired",
                format!("reference id={id} has not been acquired before"),
            ));
        }
        self.invalidate_reference_copies(id);
        Ok(())
    }

    /// Voids every register that holds or derives from the reference.
    pub fn invalidate_reference_copies(&mut self, id: u32) {
        let invalid = self.invalid_reg();
        self.state
            .for_each_reg(|reg| reg.ref_id == id, |reg| *reg = invalid);
    }

    /// Voids all pointers into the packet, and slices of dynptrs over it: something moved it.
    pub fn clear_packet_pointers(&mut self) {
        let invalid = self.invalid_reg();
        self.state.for_each_reg(
            |reg| reg.is_packet_any() || reg.flags.any(Flags::DYNPTR_PACKET),
            |reg| *reg = invalid,
        );
    }

    /// Voids all references to objects that a list or tree owns: the lock that kept them there is gone.
    pub fn invalidate_non_owning_refs(&mut self) {
        let invalid = self.invalid_reg();
        self.state.for_each_reg(
            |reg| reg.flags.has(Flags::NON_OWN_REF),
            |reg| *reg = invalid,
        );
    }

    /// Refuses to end with references that nobody released ("Unreleased reference").
    pub fn check_reference_leak(&self, exception: bool) -> Rule {
        if !exception && self.frame().number != 0 {
            return Ok(());
        }
        // A struct_ops program may hand a reference back to the kernel; the result's check looks at its type.
        let handed_back = self.input.program_type == ProgramType::StructOps && !exception;
        let returned = self.frame().regs[0].ref_id;
        let mut fault: Option<Box<Fault>> = None;
        for held in &self.state.held.resources {
            if held.kind != HeldKind::Reference || handed_back && returned == held.id {
                continue;
            }
            let line = format!(
                "Unreleased reference id={} alloc_insn={}",
                held.id, held.insn
            );
            fault = Some(match fault {
                None => Fault::new(EINVAL, "verifier-unreleased-reference", line),
                Some(fault) => fault.and(line),
            });
        }
        fault.map_or(Ok(()), Err)
    }

    /// Refuses to leave with anything held. `what` starts the kernel's sentence; locks and regions matter only where
    /// the whole program is left.
    pub fn check_resource_leak(&self, exception: bool, check_lock: bool, what: &str) -> Rule {
        let within = |region: &str| {
            Err(Fault::new(
                EINVAL,
                "verifier-held-region",
                format!("{what} cannot be used inside {region}-ed region"),
            ))
        };
        let held = &self.state.held;
        if check_lock && held.locks > 0 {
            return within("bpf_spin_lock");
        }
        self.check_reference_leak(exception)
            .map_err(|fault| fault.and(format!("{what} would lead to reference leak")))?;
        if check_lock && held.active_irq != 0 {
            return within("bpf_local_irq_save");
        }
        if check_lock && held.rcu > 0 {
            return within("bpf_rcu_read_lock");
        }
        if check_lock && held.preempt > 0 {
            return within("bpf_preempt_disable");
        }
        Ok(())
    }
}
