//! The kernel's helper functions, by family, and what they may ask of the run that calls them.
//!
//! Invariants: a helper's errors are the kernel's negative errno in r0; only an argument that the verifier would have
//! refused is a [`Trap`]; a helper touches program memory only through [`Call::read`] and [`Call::write`].

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use skep_spec::errno::Errno;
use skep_spec::program::ProgramType;

use crate::env::{Current, Env};
use crate::machine::{MAY_GOTO_MAX, Machine, Saved};
use crate::map::Map;
use crate::memory::{FRAMES, Found, Place, Record};
use crate::packet::PacketCtx;
use crate::program::Program;
use crate::trap::{Trap, TrapCause};

mod checksum;
mod fib;
pub mod kfunc;
mod lock;
mod loops;
mod map;
mod own;
mod packet;
mod perf;
mod print;
mod probe_read;
mod random;
mod redirect;
mod ringbuf;
mod stack;
mod string;
mod tail_call;
mod task;
mod time;

#[cfg(feature = "std")]
pub(crate) use map::LOOKUP;
pub(crate) use own::OWN;
pub use own::{Arguments, OwnHelper, OwnHelperFn};
pub(crate) use tail_call::TAIL_CALL;

/// A helper: takes r1 to r5, answers r0.
pub type HelperFn = fn(&mut Call<'_, '_>, [u64; 5]) -> Result<u64, Trap>;

/// All families, in no order.
const FAMILIES: &[&[(u32, HelperFn)]] = &[
    checksum::HELPERS,
    fib::HELPERS,
    lock::HELPERS,
    loops::HELPERS,
    map::HELPERS,
    packet::XDP,
    packet::BYTES,
    packet::RESIZE,
    packet::SKB,
    packet::VLAN,
    perf::HELPERS,
    print::HELPERS,
    probe_read::HELPERS,
    random::HELPERS,
    redirect::HELPERS,
    ringbuf::HELPERS,
    stack::HELPERS,
    string::HELPERS,
    tail_call::HELPERS,
    task::HELPERS,
    time::HELPERS,
];

/// Every helper of the engine with its number.
pub fn table() -> impl Iterator<Item = (u32, HelperFn)> {
    FAMILIES.iter().flat_map(|family| family.iter().copied())
}

/// The helper with a number.
pub fn by_id(id: u32) -> Option<HelperFn> {
    table()
        .find(|(own, _)| *own == id)
        .map(|(_, helper)| helper)
}

/// r0 of a helper that answers 0 or an error.
pub fn status(result: Result<(), Errno>) -> u64 {
    match result {
        Ok(()) => 0,
        Err(errno) => failure(errno),
    }
}

/// r0 of a helper that failed.
pub fn failure(errno: Errno) -> u64 {
    (-i64::from(errno.0)) as u64
}

/// A helper's view of the run that calls it. `'p` is the life of the run: programs, maps and the environment.
pub struct Call<'a, 'p> {
    pub(crate) machine: &'a mut Machine<'p>,
    pub(crate) program: &'p Program,
    pub(crate) pc: usize,
}

impl<'p> Call<'_, 'p> {
    /// Index of the calling instruction.
    pub fn pc(&self) -> usize {
        self.pc
    }

    /// The calling program.
    pub fn program(&self) -> &'p Program {
        self.program
    }

    pub fn program_type(&self) -> Option<ProgramType> {
        self.program.program_type
    }

    pub fn env(&self) -> &'p dyn Env {
        self.machine.env
    }

    pub fn cpu(&self) -> u32 {
        self.machine.env.cpu()
    }

    pub fn current(&self) -> Option<Current> {
        self.machine.env.current()
    }

    /// A trap at the calling instruction.
    #[cold]
    pub fn trap(&self, cause: TrapCause) -> Trap {
        self.machine.trap(self.program, self.pc, cause, &[0; 11])
    }

    /// A trap for an argument that the verifier would have refused.
    #[cold]
    pub fn bad_argument(&self, helper: &'static str, what: impl Into<Box<str>>) -> Trap {
        self.trap(TrapCause::BadArgument {
            helper,
            what: what.into(),
        })
    }

    #[inline(always)]
    fn access(&self, addr: u64, len: u64, write: bool) -> Result<usize, Trap> {
        if self.machine.memory.surely(addr, len, write) || self.is_proven(addr) {
            return Ok(addr as usize);
        }
        self.access_slow(addr, len, write)
    }

    /// Whether a verifier has made sure that helpers get good memory. Of the environment's memory it has not: those
    /// addresses are no host's.
    #[inline(always)]
    fn is_proven(&self, addr: u64) -> bool {
        self.program.is_proven()
            && !self
                .machine
                .memory
                .kernel
                .iter()
                .any(|range| range.contains(&addr))
    }

    #[inline(never)]
    fn access_slow(&self, addr: u64, len: u64, write: bool) -> Result<usize, Trap> {
        let refuse = |what: &str| {
            self.trap(TrapCause::BadAccess {
                addr,
                len,
                write,
                what: what.into(),
            })
        };
        match self
            .machine
            .find(self.program, addr, len, write)
            .map_err(|cause| self.trap(cause))?
        {
            Found::Bytes(_) => Ok(addr as usize),
            Found::Context(_) => Err(refuse("a context is no memory for helpers")),
            Found::Kernel => Err(refuse(
                "kernel memory is no memory for helpers; read it with bpf_probe_read_kernel",
            )),
        }
    }

    /// Program memory that a helper reads. No bytes are always allowed, wherever `addr` points.
    pub fn read(&self, addr: u64, len: u64) -> Result<&[u8], Trap> {
        if len == 0 {
            return Ok(&[]);
        }
        let at = self.access(addr, len, false)?;
        // SAFETY: `access` found `len` readable bytes there that stay as long as no helper moves them, which takes `&mut self`.
        Ok(unsafe {
            core::slice::from_raw_parts(core::ptr::with_exposed_provenance(at), len as usize)
        })
    }

    /// Memory at an address that no verifier has looked at, such as one that a program only computed: `None` if it is not
    /// the program's.
    pub fn peek(&self, addr: u64, len: u64) -> Option<&[u8]> {
        match self.machine.find(self.program, addr, len.max(1), false) {
            // SAFETY: `find` said that `len` bytes may be read there; they stay as long as no helper moves them, which takes
            // `&mut self`.
            Ok(Found::Bytes(_)) => Some(unsafe {
                core::slice::from_raw_parts(
                    core::ptr::with_exposed_provenance(addr as usize),
                    len as usize,
                )
            }),
            _ => None,
        }
    }

    /// Program memory that a helper fills.
    pub fn write(&mut self, addr: u64, len: u64) -> Result<&mut [u8], Trap> {
        if len == 0 {
            return Ok(&mut []);
        }
        let at = self.access(addr, len, true)?;
        // SAFETY: `access` found `len` writable bytes there; the borrow of self keeps any other view away.
        Ok(unsafe {
            core::slice::from_raw_parts_mut(
                core::ptr::with_exposed_provenance_mut(at),
                len as usize,
            )
        })
    }

    /// The bytes of a string up to its NUL, which must come within `max` bytes and within the string's region.
    pub fn read_cstr(&self, addr: u64, max: u64) -> Result<&[u8], Trap> {
        let Found::Bytes(range) = self
            .machine
            .find(self.program, addr, 1, false)
            .map_err(|cause| self.trap(cause))?
        else {
            return Err(self.bad_argument("string", "a string must lie in memory"));
        };
        let len = max.min(range.end - addr);
        let bytes = self.read(addr, len)?;
        match bytes.iter().position(|byte| *byte == 0) {
            Some(end) => Ok(&bytes[..end]),
            None => Err(self.bad_argument("string", "the string has no NUL at its end")),
        }
    }

    /// The map that a register holds.
    pub fn map(&self, value: u64) -> Result<&'p dyn Map, Trap> {
        self.map_slot(value).map(|slot| &**slot)
    }

    /// The same, shared.
    pub fn map_arc(&self, value: u64) -> Result<Arc<dyn Map>, Trap> {
        self.map_slot(value).cloned()
    }

    fn map_slot(&self, value: u64) -> Result<&'p Arc<dyn Map>, Trap> {
        let maps = &self.program.maps;
        let size = size_of::<Arc<dyn Map>>() as u64;
        let offset = value.wrapping_sub(maps.as_ptr() as u64);
        if offset.is_multiple_of(size)
            && let Some(map) = maps.get((offset / size) as usize)
        {
            return Ok(map);
        }
        for map in self.machine.memory.inner_maps.iter().rev() {
            let slot: *const Arc<dyn Map> = &raw const **map;
            if slot as u64 == value {
                // SAFETY: boxes of `inner_maps` are never dropped or changed before the run ends.
                return Ok(unsafe { &*slot });
            }
        }
        Err(self.trap(TrapCause::NotAMap { value }))
    }

    /// Lets the program use an inner map: answers the value that registers hold for it.
    pub fn add_inner_map(&mut self, map: Arc<dyn Map>) -> u64 {
        let inner = &mut self.machine.memory.inner_maps;
        if let Some(known) = inner.iter().find(|known| Arc::ptr_eq(known, &map)) {
            return &raw const **known as u64;
        }
        let slot = Box::new(map);
        let value = &raw const *slot as u64;
        inner.push(slot);
        value
    }

    /// Whether a register holds the run's context.
    pub fn is_ctx(&self, value: u64) -> bool {
        value == self.machine.ctx_addr && value != 0
    }

    /// The packet that the run is about. What moves its bytes must be no pure helper (see `decode`), so that the
    /// interpreter looks for them anew.
    pub fn packet(&mut self) -> Option<&mut PacketCtx> {
        match &mut self.machine.memory.place {
            Place::Packet(packet) => Some(packet),
            _ => None,
        }
    }

    /// The packet whose context a register holds.
    pub fn packet_of(&mut self, ctx: u64, helper: &'static str) -> Result<&mut PacketCtx, Trap> {
        let (program, pc) = (self.program, self.pc);
        // Made only where it is needed: a trap takes longer to make than most helpers run.
        let refuse = move |what: &str| Trap {
            pc,
            cause: TrapCause::BadArgument {
                helper,
                what: what.into(),
            },
            program: program.name.clone(),
            line: program.line_at(pc).cloned(),
            regs: Box::default(),
        };
        if !self.is_ctx(ctx) {
            return Err(refuse("the first argument is not the context of a packet"));
        }
        self.packet()
            .ok_or_else(|| refuse("the first argument is not the context of a packet"))
    }

    /// Program memory and the packet at once, for helpers that copy between them. The memory must not lie in the packet.
    pub fn packet_and_read(
        &mut self,
        ctx: u64,
        addr: u64,
        len: u64,
        helper: &'static str,
    ) -> Result<(&mut PacketCtx, Vec<u8>), Trap> {
        let bytes = self.read(addr, len)?.to_vec();
        Ok((self.packet_of(ctx, helper)?, bytes))
    }

    /// Gives the program memory that a helper reserved, until [`Call::take_record`]. `discard` gives it back to the map
    /// if the program ends without doing so.
    ///
    /// # Safety
    /// The bytes must stay readable and writable until the record is taken or the run is over.
    pub unsafe fn add_record(
        &mut self,
        map: Arc<dyn Map>,
        addr: u64,
        len: u64,
        discard: fn(&dyn Map, u64),
    ) {
        self.machine.memory.records.push(Record {
            range: addr..addr + len,
            map,
            discard,
        });
    }

    /// Takes back the record that starts at `addr`.
    pub fn take_record(&mut self, addr: u64) -> Option<Arc<dyn Map>> {
        let records = &mut self.machine.memory.records;
        let at = records
            .iter()
            .position(|record| record.range.start == addr)?;
        Some(records.swap_remove(at).map)
    }

    /// Length of the record that starts at `addr`.
    pub fn record_len(&self, addr: u64) -> Option<u64> {
        let record = self
            .machine
            .memory
            .records
            .iter()
            .find(|record| record.range.start == addr)?;
        Some(record.range.end - record.range.start)
    }

    /// Calls a function of the program, as `bpf_loop` does. `function` is what a `ld_imm64` of a function gave.
    pub fn callback(&mut self, function: u64, args: [u64; 5]) -> Result<u64, Trap> {
        let Some(index) = self.program.function_index_at(function) else {
            return Err(self.trap(TrapCause::BadCall { target: function }));
        };
        let function = self.program.functions[index];
        let machine = &mut *self.machine;
        if machine.memory.depth + 1 >= machine.depth_max {
            return Err(self.trap(TrapCause::CallDepth { max: FRAMES }));
        }
        machine
            .account(0)
            .map_err(|cause| machine.trap(self.program, self.pc, cause, &[0; 11]))?;
        let depth = machine.memory.depth;
        let may_goto = machine.may_goto;
        machine.saved[depth].write(Saved {
            program: self.program,
            back: core::ptr::null(),
            regs: [0; 4],
            may_goto,
        });
        machine.memory.depth = depth + 1;
        machine.may_goto = MAY_GOTO_MAX;
        machine.open_frame(function.frame());
        let result = machine.call(self.program, index, args);
        machine.memory.depth = depth;
        machine.may_goto = may_goto;
        machine.memory.forget_frame();
        result
    }

    /// Calls a function of the program with a copy of a key, whose address replaces argument 1; the function may read it.
    pub fn callback_with_key(
        &mut self,
        function: u64,
        key: &[u8],
        mut args: [u64; 5],
    ) -> Result<u64, Trap> {
        let start = key.as_ptr().expose_provenance() as u64;
        args[1] = start;
        self.machine
            .memory
            .lent
            .push(start..start + key.len() as u64);
        let result = self.callback(function, args);
        self.machine.memory.lent.pop();
        self.machine.memory.forget();
        result
    }

    /// Continues with another program instead of returning; `false` when 33 programs have been run already, or
    /// the program was proven for another context than this run's.
    pub fn tail_call(&mut self, program: Arc<Program>) -> bool {
        if self.machine.tail_calls() >= skep_spec::limits::MAX_TAIL_CALLS as usize {
            return false;
        }
        if !self.machine.fits(&program) {
            return false;
        }
        let program = self.machine.keep(program);
        self.machine.tail = Some(program);
        true
    }
}
