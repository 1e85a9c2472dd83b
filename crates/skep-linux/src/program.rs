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
        let bytes: Vec<u8> = load
            .insns
            .iter()
            .flat_map(|insn| insn.to_bytes(Endian::NATIVE))
            .collect();
        let license: Vec<u8> = load
            .license
            .bytes()
            .filter(|&b| b != 0)
            .chain([0])
            .collect();
        let attempt = |log: &mut Vec<u8>| -> Result<OwnedFd, Errno> {
            let count = u32::try_from(load.insns.len()).map_err(|_| Errno(libc::E2BIG))?;
            let mut attr = Attr::new(144)
                .u32(0, load.program_type)
                .u32(4, count)
                .pointer(8, &bytes)
                .pointer(16, &license)
                .u32(24, u32::from(!log.is_empty()))
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
            Err(errno) => {
                let end = log.iter().position(|&b| b == 0).unwrap_or(log.len());
                Err(Error {
                    call: Command::ProgLoad.name(),
                    errno,
                    subject: load.name.to_owned(),
                    log: String::from_utf8_lossy(&log[..end]).into_owned(),
                })
            }
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
                let end = log.iter().position(|&b| b == 0).unwrap_or(log.len());
                return Err(Error {
                    call: Command::BtfLoad.name(),
                    errno,
                    subject: "BTF".to_owned(),
                    log: String::from_utf8_lossy(&log[..end]).into_owned(),
                });
            }
            Err(_) => log = vec![0; 1 << 20],
        }
    }
}
