//! Kernel programs: load with the verifier's log, and test runs.
//!
//! Invariants: the first load asks for no log, since most programs load; a refusal is asked about once more with a
//! buffer that grows to a bound, never for ever.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use skep_spec::errno::Errno;
use skep_spec::insn::{Endian, Insn};

use crate::attr::Attr;
use crate::error::Error;
use crate::syscall::{Command, Syscall, own};

/// The largest log that is asked for: the kernel's own bound is 1 GiB, and nobody reads more than this.
const LOG_BYTES_MAX: usize = 16 << 20;

/// What is loaded. Map references are already descriptors in the instructions.
#[derive(Clone, Debug)]
pub struct ProgramLoad<'a> {
    /// The program's name.
    pub name: &'a str,
    /// `enum bpf_prog_type`.
    pub program_type: u32,
    /// `enum bpf_attach_type` that the verifier shall assume.
    pub expected_attach_type: u32,
    /// The instructions.
    pub insns: &'a [Insn],
    /// The licence text: `GPL` opens the GPL-only helpers.
    pub license: &'a str,
    /// `BPF_F_*` load flags.
    pub flags: u32,
    /// The object's BTF with function and line records, where it is loaded.
    pub btf: Option<ProgramTypes<'a>>,
    /// BTF id of the kernel function or hook to attach to; 0 for none.
    pub attach_btf_id: u32,
}

/// BTF of a program: records are `bpf_func_info` (8 bytes) and `bpf_line_info` (16 bytes), as raw bytes.
#[derive(Clone, Copy, Debug)]
pub struct ProgramTypes<'a> {
    /// The loaded BTF.
    pub btf: BorrowedFd<'a>,
    /// `bpf_func_info` records.
    pub func_info: &'a [u8],
    /// `bpf_line_info` records.
    pub line_info: &'a [u8],
}

/// A loaded program; it is unloaded when this drops.
#[derive(Debug)]
pub struct Program {
    fd: OwnedFd,
    name: String,
}

/// What a test run is given.
#[derive(Clone, Copy, Debug, Default)]
pub struct TestRun<'a> {
    /// The packet, or empty for program types without one.
    pub data: &'a [u8],
    /// The context, or empty.
    pub ctx: &'a [u8],
    /// How often to run; 0 counts as once.
    pub repeat: u32,
    /// `BPF_F_TEST_*` flags.
    pub flags: u32,
    /// The CPU for BPF_F_TEST_RUN_ON_CPU.
    pub cpu: u32,
    /// Room for data that the program adds.
    pub data_out_room: usize,
    /// For kinds whose run takes a context only, and leaves in it what the program wrote: system call programs and raw
    /// tracepoints.
    pub bare: bool,
}

/// What a test run gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TestOutput {
    /// r0, cut to 32 bits as the kernel does.
    pub retval: u32,
    /// The packet after the last run.
    pub data: Vec<u8>,
    /// The context after the last run.
    pub ctx: Vec<u8>,
    /// Nanoseconds a run, averaged by the kernel.
    pub duration_ns: u32,
}

impl Program {
    /// Loads and verifies a program.
    pub fn load(door: &dyn Syscall, load: &ProgramLoad<'_>) -> Result<Self, Error> {
        let question = Question::new(load);
        let attempt = |log: &mut [u8]| {
            let level = u32::from(!log.is_empty());
            question.ask(door, log, level)
        };
        let mut log = Vec::new();
        let mut result = attempt(&mut log);
        let mut room = 64 << 10;
        while let Err(errno) = &result {
            // No log tells more about these: the call did not reach the verifier, or the log has been had.
            let log_is_whole = !log.is_empty() && errno.0 != libc::ENOSPC;
            if log_is_whole || errno.0 == libc::ENOSYS || room > LOG_BYTES_MAX {
                break;
            }
            log = vec![0; room];
            room *= 16;
            result = attempt(&mut log);
        }
        match result {
            Ok(fd) => Ok(Self {
                fd,
                name: load.name.to_owned(),
            }),
            Err(errno) => Err(Error {
                call: Command::ProgLoad.name(),
                errno,
                subject: load.name.to_owned(),
                log: text(&log),
            }),
        }
    }

    /// Loads and verifies a program with the whole log of that level (1: faults and the path to them, 2: every state),
    /// which comes back with either verdict. A log that outgrows all bounds is cut, and the answer is then `ENOSPC`.
    pub fn load_with_log(
        door: &dyn Syscall,
        load: &ProgramLoad<'_>,
        level: u32,
    ) -> (Result<Self, Errno>, String) {
        let question = Question::new(load);
        let mut room = 64 << 10;
        loop {
            let mut log = vec![0; room];
            let result = question.ask(door, &mut log, level);
            room *= 16;
            if result.as_ref().is_err_and(|errno| errno.0 == libc::ENOSPC) && room <= LOG_BYTES_MAX
            {
                continue;
            }
            let program = result.map(|fd| Self {
                fd,
                name: load.name.to_owned(),
            });
            return (program, text(&log));
        }
    }

    /// The program's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs the program on the given input through BPF_PROG_TEST_RUN.
    pub fn test_run(&self, door: &dyn Syscall, run: &TestRun<'_>) -> Result<TestOutput, Error> {
        let mut data = vec![
            0u8;
            if run.data.is_empty() {
                0
            } else {
                run.data.len() + run.data_out_room
            }
        ];
        let mut given = run.ctx.to_vec();
        let mut ctx = vec![0u8; if run.bare { 0 } else { run.ctx.len() }];
        let mut attr = Attr::new(80)
            .u32(0, self.fd.as_raw_fd() as u32)
            .u32(8, run.data.len() as u32)
            .u32(12, data.len() as u32)
            .pointer(16, run.data)
            .pointer_mut(24, &mut data)
            .u32(32, run.repeat)
            .u32(40, given.len() as u32)
            .u32(44, ctx.len() as u32)
            .pointer_mut(48, &mut given)
            .pointer_mut(56, &mut ctx)
            .u32(64, run.flags)
            .u32(68, run.cpu);
        // SAFETY: all pointers name live buffers whose lengths stand beside them in the attribute.
        unsafe { door.bpf(Command::ProgTestRun, attr.bytes_mut()) }.map_err(|errno| Error {
            call: Command::ProgTestRun.name(),
            errno,
            subject: self.name.clone(),
            log: String::new(),
        })?;
        data.truncate(attr.read_u32(12) as usize);
        if run.bare {
            ctx = given;
        } else {
            ctx.truncate(attr.read_u32(44) as usize);
        }
        Ok(TestOutput {
            retval: attr.read_u32(4),
            data,
            ctx,
            duration_ns: attr.read_u32(36),
        })
    }
}

impl AsFd for Program {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// What a log buffer holds.
fn text(log: &[u8]) -> String {
    let end = log.iter().position(|&b| b == 0).unwrap_or(log.len());
    String::from_utf8_lossy(&log[..end]).into_owned()
}

/// A load as the kernel takes it, which may be asked again with another log.
struct Question<'a> {
    load: &'a ProgramLoad<'a>,
    insns: Vec<u8>,
    license: Vec<u8>,
}

impl<'a> Question<'a> {
    fn new(load: &'a ProgramLoad<'a>) -> Self {
        let insns = load.insns.iter();
        Self {
            load,
            insns: insns
                .flat_map(|insn| insn.to_bytes(Endian::NATIVE))
                .collect(),
            license: load
                .license
                .bytes()
                .filter(|&b| b != 0)
                .chain([0])
                .collect(),
        }
    }

    fn ask(&self, door: &dyn Syscall, log: &mut [u8], level: u32) -> Result<OwnedFd, Errno> {
        let load = self.load;
        let count = u32::try_from(load.insns.len()).map_err(|_| Errno(libc::E2BIG))?;
        let mut attr = Attr::new(144)
            .u32(0, load.program_type)
            .u32(4, count)
            .pointer(8, &self.insns)
            .pointer(16, &self.license)
            .u32(24, level)
            .u32(28, log.len() as u32)
            .pointer_mut(32, log)
            .u32(44, load.flags)
            .name(48, load.name)
            .u32(68, load.expected_attach_type)
            .u32(108, load.attach_btf_id);
        if let Some(types) = &load.btf {
            attr = attr
                .u32(72, types.btf.as_raw_fd() as u32)
                .u32(76, 8)
                .pointer(80, types.func_info)
                .u32(88, (types.func_info.len() / 8) as u32)
                .u32(92, 16)
                .pointer(96, types.line_info)
                .u32(104, (types.line_info.len() / 16) as u32);
        }
        // SAFETY: all pointers name live buffers whose lengths stand beside them in the attribute.
        let fd = unsafe { door.bpf(Command::ProgLoad, attr.bytes_mut()) }?;
        // SAFETY: the kernel has just made this descriptor for us.
        unsafe { own(fd) }
    }
}

/// Loads BTF into the kernel, so that maps and programs can refer to it.
pub fn load_btf(door: &dyn Syscall, btf: &[u8]) -> Result<OwnedFd, Error> {
    let mut log = Vec::new();
    loop {
        let mut attr = Attr::new(28)
            .pointer(0, btf)
            .pointer_mut(8, &mut log)
            .u32(16, btf.len() as u32)
            .u32(20, log.len() as u32)
            .u32(24, u32::from(!log.is_empty()));
        // SAFETY: both pointers name live buffers whose lengths stand in the attribute.
        let result = unsafe { door.bpf(Command::BtfLoad, attr.bytes_mut()) }.and_then(|fd| {
            // SAFETY: the kernel has just made this descriptor for us.
            unsafe { own(fd) }
        });
        match result {
            Ok(fd) => return Ok(fd),
            Err(errno) if !log.is_empty() || errno.0 == libc::EPERM || errno.0 == libc::ENOSYS => {
                return Err(Error {
                    call: Command::BtfLoad.name(),
                    errno,
                    subject: "BTF".to_owned(),
                    log: text(&log),
                });
            }
            Err(_) => log = vec![0; 1 << 20],
        }
    }
}
