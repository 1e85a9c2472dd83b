//! What came to Linux with which release, one by one, as far as it changes a verdict or its wording.
//!
//! Source: the release in which the feature first appeared in mainline; the profiles that are marked
//! as measured were compared with that kernel.

use super::Version;

macro_rules! features {
    ($($(#[$attr:meta])* $name:ident = $major:literal, $minor:literal, $words:literal;)*) => {
        /// Something that a kernel has or has not.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Feature {
            $($(#[$attr])* #[doc = concat!("Since Linux ", stringify!($major), ".", stringify!($minor), ": ", $words, ".")] $name,)*
        }

        impl Feature {
            /// All, in the order of their declaration.
            pub const ALL: &'static [Feature] = &[$(Feature::$name,)*];

            /// The first release that has it.
            #[inline]
            pub const fn since(self) -> Version {
                match self {
                    $(Feature::$name => Version::new($major, $minor),)*
                }
            }

            /// What it is, in a few words.
            pub const fn words(self) -> &'static str {
                match self {
                    $(Feature::$name => $words,)*
                }
            }
        }
    };
}

features! {
    // Instructions.
    BoundedLoops = 5, 3, "loops whose end the verifier sees";
    GlobalFunctions = 5, 6, "functions verified once, by their signature";
    TailCallsInSubprograms = 5, 10, "tail calls beside bpf-to-bpf calls";
    AtomicFetch = 5, 12, "atomic and, or, xor, exchange, compare and exchange, and fetching";
    MemoryArguments = 5, 12, "pointers to memory as arguments of global functions";
    FunctionPointers = 5, 13, "ld_imm64 of a function of the program, for callbacks";
    KfuncCalls = 5, 13, "calls of kernel functions by their BTF";
    MapByIndex = 5, 14, "ld_imm64 of a map by index into fd_array";
    ModuleKfuncs = 5, 16, "kernel functions of modules";
    KernelRelocations = 5, 17, "CO-RE relocations done by the kernel";
    SignExtendingMoves = 6, 6, "movsx";
    SignExtendingLoads = 6, 6, "ldsx";
    LongJumps = 6, 6, "gotol";
    ByteSwap = 6, 6, "unconditional bswap";
    SignedDivision = 6, 6, "sdiv and smod";
    MayGoto = 6, 9, "may_goto";
    AddressSpaceCast = 6, 9, "addr_space_cast";
    LoadAcquire = 6, 15, "load_acquire and store_release";
    TimedMayGoto = 6, 15, "may_goto bounded by time instead of a count";
    ArenaSignExtension = 6, 18, "ldsx from arenas";
    IndirectJumps = 6, 19, "gotox through jump tables";
    // What programs may keep and call.
    SpinLocks = 5, 1, "bpf_spin_lock";
    Ringbuf = 5, 8, "records of ring buffers";
    SleepablePrograms = 5, 10, "programs that may sleep";
    Timers = 5, 15, "bpf_timer";
    Loops = 5, 17, "bpf_loop";
    UserTags = 5, 18, "__user and __percpu in BTF";
    Dynptrs = 5, 19, "dynptrs";
    Kptrs = 5, 19, "kernel pointers in map values";
    TrustedPointers = 6, 2, "PTR_TRUSTED and MEM_RCU on BTF pointers";
    RcuSections = 6, 2, "bpf_rcu_read_lock";
    LocalObjects = 6, 2, "bpf_obj_new, linked lists";
    SkbDynptrs = 6, 4, "dynptrs of packets";
    Iterators = 6, 4, "open-coded iterators";
    Rbtrees = 6, 3, "red-black trees";
    Refcounts = 6, 4, "bpf_refcount and shared ownership";
    Exceptions = 6, 7, "bpf_throw";
    PercpuObjects = 6, 7, "bpf_percpu_obj_new";
    Arena = 6, 9, "arenas";
    Tokens = 6, 9, "BPF tokens";
    Workqueues = 6, 10, "bpf_wq";
    PreemptSections = 6, 10, "bpf_preempt_disable";
    IrqSections = 6, 14, "bpf_local_irq_save";
    ResilientLocks = 6, 15, "bpf_res_spin_lock";
    TaskWork = 6, 18, "bpf_task_work";
    // What the verifier knows.
    ComparedNullness = 6, 2, "a pointer that equals one that is not null is not null";
    UninitStackReads = 6, 3, "privileged programs may read stack that was not written";
    AnyBackEdge = 6, 7, "loops closed by other instructions than jumps";
    CallbackIteration = 6, 8, "callbacks are walked until their state converges";
    ArgumentTags = 6, 8, "__arg_* tags of global functions";
    LazyGlobals = 6, 8, "global functions that are never called are not verified";
    RegisterInvariants = 6, 8, "BPF_F_TEST_REG_INVARIANTS";
    ExactLoops = 6, 9, "a loop is infinite if a state comes back exactly, not if one covers it";
    LinkedAdds = 6, 11, "registers linked by an added constant";
    Fastcall = 6, 12, "bpf_fastcall: spills around calls that clobber nothing";
    LsmReturnRanges = 6, 12, "return ranges by LSM hook";
    PrivateStacks = 6, 13, "stacks of their own for programs that recurse not";
    PacketEffects = 6, 13, "global functions say whether they move the packet";
    NullableTracepointArguments = 6, 14, "arguments of raw tracepoints that may be null";
    NoreturnDenied = 6, 15, "no fexit of functions that do not return";
    LiveRegisters = 6, 16, "register liveness computed before the walk";
    SpeculationBarriers = 6, 17, "mis-speculation that cannot be allowed is stopped instead of rejected";
    StackLiveness = 6, 18, "stack liveness computed before the walk";
    TracingSessions = 7, 0, "fsession";
    Diagnoses = 7, 3, "rejections with reason, path and suggestion";
}
