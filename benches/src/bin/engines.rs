//! Nanoseconds a run of the benchmark programs on every engine at hand: skep's four, native code, the kernel, peers.
//!
//! Prints `run PROGRAM ENGINE NANOSECONDS`, `insns PROGRAM COUNT` and `compile PROGRAM ENGINE NANOSECONDS INSTRUCTIONS`.
//! An engine that is not there, or refuses a program, or answers otherwise than native code, has no line, and a line
//! `note ...` says so. Engines take turns within each round; the least of all rounds counts.
//!
//! The programs are those of the peers: raw instructions that trust their input, so skep's proven engines get a proof that
//! says so. What the verifier really proves of the same programs as XDP programs is measured by the kernel's side.

use std::error::Error;
use std::ffi::{CString, c_void};
use std::path::Path;
use std::sync::Arc;

use object::{Object, ObjectSection};
use skep_bench::{cpu_ns, input};
use skep_linux::program::{ProgramLoad, TestRun};
use skep_linux::syscall::Kernel;
use skep_spec::insn::{Endian, Insn, decode_all, encode_all};
use skep_vm::env::DefaultEnv;
use skep_vm::program::{Image, Limits, Program};
use skep_vm::proof::{Access, InsnProof, Proof};
use skep_vm::Ctx;

const PROGRAMS: &[&str] =
    &["empty", "arith", "divmod", "sieve", "siphash", "copy", "state", "packet", "crc32", "calls", "unrolled"];
const ROUNDS: usize = 25;
const SAMPLE_NS: u64 = 2_000_000;
const XDP: u32 = 6;

type Run<'a> = Box<dyn FnMut(&mut [u8]) -> u64 + 'a>;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let folder = args.next().ok_or("usage: engines FOLDER [UBPF.so]")?;
    let folder = Path::new(&folder);
    let ubpf = args.next().and_then(|path| Ubpf::open(&path));
    if ubpf.is_none() {
        println!("note uBPF is not measured: name its shared library in SKEP_UBPF");
    }
    let native = Library::open(&folder.join("native.so").to_string_lossy()).ok_or("no native.so")?;
    for name in PROGRAMS {
        let text = text_of(&folder.join(format!("{name}.o")))?;
        let kernel_text = text_of(&folder.join(format!("{name}.xdp.o")))?;
        measure(name, &text, &kernel_text, &native, ubpf.as_ref())?;
    }
    for count in [1_000, 10_000, 60_000, 1_000_000] {
        compile_times(&format!("synthetic-{count}"), &synthetic(count), ubpf.as_ref());
    }
    let text = text_of(&folder.join("siphash.o"))?;
    compile_times("siphash", &text, ubpf.as_ref());
    let text = text_of(&folder.join("unrolled.o"))?;
    compile_times("unrolled", &text, ubpf.as_ref());
    Ok(())
}

fn text_of(path: &Path) -> Result<Vec<u8>, Box<dyn Error>> {
    let file = std::fs::read(path)?;
    let object = object::File::parse(&*file)?;
    Ok(object.section_by_name(".text").ok_or("no .text")?.data()?.to_vec())
}

fn proven(insns: Vec<Insn>) -> Result<Arc<Program>, Box<dyn Error>> {
    let fact = InsnProof { access: Access::Direct, ..InsnProof::default() };
    let proof = Proof { insns: vec![fact; insns.len()], ..Proof::default() };
    // SAFETY: the programs touch what their `NEED` says, and the input is larger.
    Ok(unsafe { Program::proven(Image { insns, ..Image::default() }, proof) }?)
}

fn sandboxed(insns: Vec<Insn>) -> Result<Arc<Program>, Box<dyn Error>> {
    Ok(Program::sandboxed(Image { insns, ..Image::default() })?)
}

fn measure(
    name: &str,
    text: &[u8],
    kernel_text: &[u8],
    native: &Library,
    ubpf: Option<&Ubpf>,
) -> Result<(), Box<dyn Error>> {
    let insns = decode_all(text, Endian::Little)?;
    let symbol = native.symbol(&format!("vmb_{name}")).ok_or("a native program is missing")?;
    // SAFETY: the symbol is one of the functions of benches/programs, of this type.
    let native: extern "C" fn(*mut u8) -> u64 = unsafe { std::mem::transmute(symbol) };
    let expected = native(input(name).as_mut_ptr());
    let (env, limits) = (DefaultEnv::default(), Limits::default());
    let budget = Limits { insns: Some(u64::MAX / 2), ..Limits::default() };

    let interp = proven(insns.clone())?;
    let sandbox = sandboxed(insns.clone())?;
    let (jit, jit_sandbox, jit_budget) = (proven(insns.clone())?, sandboxed(insns.clone())?, proven(insns)?);
    for program in [&jit, &jit_sandbox, &jit_budget] {
        program.compile(&skep_vm::JitOptions::default())?;
    }
    let (_, count) = sandbox.run_counted(&mut Ctx::Flat(&mut input(name)), &env, &limits);
    println!("insns {name} {count}");

    let on = |program: Arc<Program>, limits: &'static Limits| -> Run<'_> {
        let env = &env;
        Box::new(move |memory| program.run(&mut Ctx::Flat(memory), env, limits).unwrap_or(u64::MAX))
    };
    let limits: &'static Limits = Box::leak(Box::new(limits));
    let budget: &'static Limits = Box::leak(Box::new(budget));
    let mut engines: Vec<(&str, Run<'_>)> = vec![
        ("native", Box::new(move |memory| native(memory.as_mut_ptr()))),
        ("jit", on(jit, limits)),
        ("jit-budget", on(jit_budget, budget)),
        ("jit-sandboxed", on(jit_sandbox, limits)),
        ("interp", on(interp, limits)),
        ("sandboxed", on(sandbox, limits)),
    ];
    // rbpf ties everything to the life of the machine; there are few of them.
    let text: &'static [u8] = Vec::leak(text.to_vec());
    let rbpf = || rbpf::EbpfVmRaw::new(Some(text)).ok().map(|vm| &mut *Box::leak(Box::new(vm)));
    let rbpf_answers = rbpf().is_some_and(|vm| vm.execute_program(borrow(&mut input(name))).is_ok());
    if let Some(vm) = rbpf().filter(|_| rbpf_answers)
        && calmly(|| vm.jit_compile().ok())
    {
        // SAFETY: the program is one of ours and stays within its input.
        engines.push(("rbpf", Box::new(|memory| unsafe { vm.execute_program_jit(borrow(memory)) }.unwrap_or(u64::MAX))));
    }
    if let Some(vm) = rbpf().filter(|_| rbpf_answers && name != "calls")
        && vm.cranelift_compile().is_ok()
    {
        engines.push(("rbpf-cranelift", Box::new(|memory| vm.execute_program_cranelift(borrow(memory)).unwrap_or(u64::MAX))));
    }
    let ubpf_run = ubpf.and_then(|ubpf| ubpf.compile(text));
    if let Some((_, run)) = ubpf_run {
        engines.push(("ubpf", Box::new(move |memory| run(memory.as_mut_ptr().cast(), memory.len()))));
    }

    engines.retain_mut(|(engine, run)| {
        let agrees = run(&mut input(name)) == expected;
        if !agrees {
            println!("note {engine} answers otherwise than native code on {name}");
        }
        agrees
    });
    let mut least = vec![f64::INFINITY; engines.len()];
    let kernel = KernelProgram::load(name, kernel_text, expected);
    if let Err(why) = &kernel {
        println!("note the kernel does not run {name}: {why}");
    }
    let mut kernel_least = f64::INFINITY;
    let mut memory = input(name);
    for _ in 0..ROUNDS {
        for (least, (_, run)) in least.iter_mut().zip(&mut engines) {
            memory.copy_from_slice(&input(name));
            *least = least.min(sample(|| {
                std::hint::black_box(run(&mut memory));
            }));
        }
        if let Ok(kernel) = &kernel {
            kernel_least = kernel_least.min(kernel.nanoseconds(name));
        }
    }
    for ((engine, _), ns) in engines.iter().zip(&least) {
        println!("run {name} {engine} {ns:.3}");
    }
    if kernel_least.is_finite() {
        println!("run {name} kernel {kernel_least:.3}");
    }
    if let Some((vm, _)) = ubpf_run
        && let Some(ubpf) = ubpf
    {
        ubpf.destroy(vm);
    }
    Ok(())
}

/// Whether a peer managed; some panic on large programs.
fn calmly(attempt: impl FnOnce() -> Option<()>) -> bool {
    let quiet = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| ()));
    let managed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(attempt)).is_ok_and(|done| done.is_some());
    std::panic::set_hook(quiet);
    managed
}

/// rbpf ties the memory's life to the machine's; every run here gives it back.
fn borrow<'a>(memory: &mut [u8]) -> &'a mut [u8] {
    // SAFETY: the machine keeps no reference to the memory after the run that it was given for.
    unsafe { std::slice::from_raw_parts_mut(memory.as_mut_ptr(), memory.len()) }
}

/// A program in the kernel, run through BPF_PROG_TEST_RUN.
struct KernelProgram(skep_linux::program::Program);

impl KernelProgram {
    fn load(name: &str, text: &[u8], expected: u64) -> Result<KernelProgram, String> {
        let insns = decode_all(text, Endian::Little).map_err(|error| error.to_string())?;
        let load = ProgramLoad {
            name,
            program_type: XDP,
            expected_attach_type: 0,
            insns: &insns,
            license: "GPL",
            flags: 0,
            btf: None,
            attach_btf_id: 0,
        };
        let program = skep_linux::program::Program::load(&Kernel, &load).map_err(|error| error.to_string())?;
        let program = KernelProgram(program);
        let retval = program.run(name, 1)?.0;
        if u64::from(retval) != expected & 0xffff_ffff {
            return Err(format!("answers {retval:#x}, native code {expected:#x}"));
        }
        Ok(program)
    }

    fn run(&self, name: &str, repeat: u32) -> Result<(u32, u32), String> {
        let data = input(name);
        let run = TestRun { data: &data, repeat, data_out_room: 512, ..TestRun::default() };
        let output = self.0.test_run(&Kernel, &run).map_err(|error| error.to_string())?;
        Ok((output.retval, output.duration_ns))
    }

    fn nanoseconds(&self, name: &str) -> f64 {
        let Ok((_, once)) = self.run(name, 16) else {
            return f64::INFINITY;
        };
        let repeat = (SAMPLE_NS / u64::from(once.max(1))).clamp(16, 1_000_000) as u32;
        self.run(name, repeat).map_or(f64::INFINITY, |(_, ns)| f64::from(ns))
    }
}

/// Time from instructions to code that can be called, checks included.
fn compile_times(name: &str, text: &[u8], ubpf: Option<&Ubpf>) {
    let Ok(insns) = decode_all(text, Endian::Little) else {
        return;
    };
    let count = insns.len();
    let rounds = if count > 100_000 { 3 } else { 15 };
    let options = skep_vm::JitOptions::default();
    let mut least = [f64::INFINITY; 4];
    for _ in 0..rounds {
        if let Ok(program) = proven(insns.clone()) {
            let before = cpu_ns();
            let compiled = program.compile(&options);
            let spent = (cpu_ns() - before) as f64;
            if compiled.is_ok() {
                least[0] = least[0].min(spent);
            }
        }
        let before = cpu_ns();
        if proven(insns.clone()).is_ok_and(|program| program.compile(&options).is_ok()) {
            least[1] = least[1].min((cpu_ns() - before) as f64);
        }
        let before = cpu_ns();
        if calmly(|| rbpf::EbpfVmRaw::new(Some(text)).ok()?.jit_compile().ok()) {
            least[2] = least[2].min((cpu_ns() - before) as f64);
        }
        let before = cpu_ns();
        if let Some(ubpf) = ubpf
            && let Some((vm, _)) = ubpf.compile(text)
        {
            least[3] = least[3].min((cpu_ns() - before) as f64);
            ubpf.destroy(vm);
        }
    }
    for (engine, ns) in ["jit", "decode+jit", "rbpf", "ubpf"].iter().zip(least) {
        if ns.is_finite() {
            println!("compile {name} {engine} {ns:.0} {count}");
        }
    }
}

/// A program of about `count` instructions: arithmetic on six registers with a short jump every tenth.
fn synthetic(count: usize) -> Vec<u8> {
    let mut random = 0x1234_5678_9abc_def1u64;
    let mut next = move |below: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random >> 33) % below
    };
    let mut insns: Vec<Insn> = (0..6).map(|reg| Insn::mov64_imm(reg, 7 + i32::from(reg))).collect();
    const OPS: [u8; 7] = [0x0f, 0x1f, 0x4f, 0x5f, 0xaf, 0x2f, 0x0c];
    while insns.len() < count {
        let (dst, src) = (next(6) as u8, next(6) as u8);
        if next(10) == 0 {
            insns.push(Insn::new(0x25, dst, 0, 1, next(1 << 20) as i32));
            insns.push(Insn::mov64_reg(dst, src));
        } else if next(3) == 0 {
            insns.push(Insn::new(0x07, dst, 0, 0, next(1 << 20) as i32));
        } else {
            insns.push(Insn::new(OPS[next(7) as usize], dst, src, 0, 0));
        }
    }
    insns.push(Insn::new(0x95, 0, 0, 0, 0));
    encode_all(&insns, Endian::Little)
}

/// A shared library.
struct Library(*mut c_void);

impl Library {
    fn open(path: &str) -> Option<Library> {
        let path = CString::new(path).ok()?;
        // SAFETY: the path is a string; the libraries named here have no initialisers that matter.
        let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW) };
        (!handle.is_null()).then_some(Library(handle))
    }

    fn symbol(&self, name: &str) -> Option<*mut c_void> {
        let name = CString::new(name).ok()?;
        // SAFETY: the handle is open.
        let symbol = unsafe { libc::dlsym(self.0, name.as_ptr()) };
        (!symbol.is_null()).then_some(symbol)
    }
}

type UbpfRun = extern "C" fn(*mut c_void, usize) -> u64;

/// uBPF by its C interface.
struct Ubpf {
    create: extern "C" fn() -> *mut c_void,
    destroy: extern "C" fn(*mut c_void),
    load: extern "C" fn(*mut c_void, *const c_void, u32, *mut *mut i8) -> i32,
    compile: extern "C" fn(*mut c_void, *mut *mut i8) -> Option<UbpfRun>,
    code_size: extern "C" fn(*mut c_void, usize) -> i32,
}

impl Ubpf {
    fn open(path: &str) -> Option<Ubpf> {
        let library = Library::open(path)?;
        let symbol = |name: &str| library.symbol(name);
        // SAFETY: these are the types of ubpf.h.
        unsafe {
            Some(Ubpf {
                create: std::mem::transmute::<*mut c_void, extern "C" fn() -> *mut c_void>(symbol("ubpf_create")?),
                destroy: std::mem::transmute::<*mut c_void, extern "C" fn(*mut c_void)>(symbol("ubpf_destroy")?),
                load: std::mem::transmute::<
                    *mut c_void,
                    extern "C" fn(*mut c_void, *const c_void, u32, *mut *mut i8) -> i32,
                >(symbol("ubpf_load")?),
                compile: std::mem::transmute::<
                    *mut c_void,
                    extern "C" fn(*mut c_void, *mut *mut i8) -> Option<UbpfRun>,
                >(symbol("ubpf_compile")?),
                code_size: std::mem::transmute::<*mut c_void, extern "C" fn(*mut c_void, usize) -> i32>(
                    symbol("ubpf_set_jit_code_size")?,
                ),
            })
        }
    }

    fn compile(&self, text: &[u8]) -> Option<(*mut c_void, UbpfRun)> {
        let vm = (self.create)();
        let mut error = std::ptr::null_mut();
        let room = (text.len() * 8).max(1 << 16);
        let loaded = (self.code_size)(vm, room) == 0
            && (self.load)(vm, text.as_ptr().cast(), text.len() as u32, &mut error) == 0;
        match loaded.then(|| (self.compile)(vm, &mut error)).flatten() {
            Some(run) => Some((vm, run)),
            None => {
                self.destroy(vm);
                None
            }
        }
    }

    fn destroy(&self, vm: *mut c_void) {
        (self.destroy)(vm);
    }
}

/// Nanoseconds of CPU time a call, over at least `SAMPLE_NS`.
fn sample(mut call: impl FnMut()) -> f64 {
    let mut batch = 16;
    loop {
        let start = cpu_ns();
        for _ in 0..batch {
            call();
        }
        let spent = cpu_ns() - start;
        if spent >= SAMPLE_NS {
            return spent as f64 / batch as f64;
        }
        batch = if spent < SAMPLE_NS / 64 { batch * 16 } else { batch * 2 };
    }
}
