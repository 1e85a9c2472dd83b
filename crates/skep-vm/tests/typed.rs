//! Contexts that are Rust structures, helpers of the host's own, and wall-clock limits, in the sandbox.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use skep_spec::asm::assemble_insns;
use skep_spec::context::{ContextKind, ContextLayout, Field};
use skep_spec::helper::{ArgKind, ArgType, Helper, ProgramSet, RetKind, RetType};
use skep_vm::helper::{Arguments, OwnHelper};
use skep_vm::typed::{
    self, Bytes, Context, Member, RefMut, Structure, StructureField, Type, Typed, TypedContext,
};
use skep_vm::{Ctx, Env, FixedEnv, Image, Limits, Program, Trap, TrapCause};

#[repr(C)]
struct Request<'a> {
    path: [u8; 8],
    verdict: u32,
    secret: u32,
    body: Bytes<'a>,
    count: RefMut<'a, u64>,
}

const FIELDS: &[StructureField] = &[
    field("path", 0, &<[u8; 8] as Typed>::TYPE),
    field("verdict", 8, &<u32 as Typed>::TYPE),
    field("secret", 12, &<u32 as Typed>::TYPE),
    field("body", 16, &<Bytes<'static> as Typed>::TYPE),
    field("count", 32, &<RefMut<'static, u64> as Typed>::TYPE),
];

const fn field(name: &'static str, offset: u32, ty: &'static Type) -> StructureField {
    StructureField {
        name,
        end: "body_end",
        offset,
        ty,
    }
}

const fn member(read: bool, write: bool) -> Member {
    Member { read, write }
}

const MEMBERS: &[Member] = &[
    member(true, false),
    member(true, true),
    member(false, false),
    member(true, false),
    member(true, false),
];

static STRUCTURE: Structure = Structure {
    name: "request",
    size: size_of::<Request<'static>>() as u32,
    fields: FIELDS,
};
static LAYOUT_FIELDS: [Field; typed::count(FIELDS, MEMBERS)] = typed::fields(FIELDS, MEMBERS);
static LAYOUT: ContextLayout = ContextLayout {
    name: "request",
    size: size_of::<Request<'static>>() as u32,
    fields: &LAYOUT_FIELDS,
    kind: ContextKind::Flat,
};
const _: () = typed::check(&STRUCTURE_COPY, MEMBERS);
const STRUCTURE_COPY: Structure = Structure {
    name: "request",
    size: size_of::<Request<'static>>() as u32,
    fields: FIELDS,
};

// SAFETY: the offsets and types above are those of the structure; only `verdict` may be written, a number.
unsafe impl Context for Request<'_> {
    type Family = Request<'static>;

    fn layout() -> &'static ContextLayout {
        &LAYOUT
    }

    fn structure() -> &'static Structure {
        &STRUCTURE
    }
}

struct State(u64);

struct World<'a>(FixedEnv, &'a State);

impl Env for World<'_> {
    fn clock(&self, clock: skep_vm::env::Clock) -> u64 {
        self.0.clock(clock)
    }

    fn random_u32(&self) -> u32 {
        self.0.random_u32()
    }

    fn state(&self) -> Option<&dyn Any> {
        Some(self.1)
    }
}

fn arg(kind: ArgKind, modifiers: u8) -> ArgType {
    ArgType {
        kind,
        modifiers,
        size: 0,
        of: "",
    }
}

fn own(
    id: u32,
    name: &'static str,
    args: [ArgType; 2],
    run: impl Fn(&mut Arguments<'_, '_, '_>) -> Result<u64, Trap> + Send + Sync + 'static,
) -> OwnHelper {
    let none = arg(ArgKind::None, 0);
    OwnHelper {
        prototype: Helper {
            id,
            name,
            since: "",
            flags: 0,
            args: [args[0], args[1], none, none, none],
            ret: RetType {
                kind: RetKind::Integer,
                nullable: false,
                of: "",
            },
            programs: ProgramSet::all(),
        },
        run: Arc::new(run),
    }
}

fn own_helpers() -> Vec<OwnHelper> {
    let number = arg(ArgKind::Scalar, 0);
    let size = arg(ArgKind::SizeOrZero, 0);
    let none = arg(ArgKind::None, 0);
    vec![
        own(1000, "add", [number, number], |args| {
            let state = args.state().and_then(|state| state.downcast_ref::<State>());
            let base = state.map_or(0, |state| state.0);
            Ok(base + args.number(0) + args.number(1))
        }),
        own(
            1001,
            "sum",
            [arg(ArgKind::Mem, ArgType::READ_ONLY), size],
            |args| {
                let bytes = args.read(0)?;
                Ok(bytes.iter().map(|byte| u64::from(*byte)).sum())
            },
        ),
        own(
            1002,
            "fill",
            [arg(ArgKind::Mem, ArgType::WRITTEN), size],
            |args| {
                args.write(0)?.fill(7);
                Ok(0)
            },
        ),
        own(1003, "fails", [none, none], |_| panic!("by design")),
        own(1004, "reads a number", [number, none], |args| {
            args.read(0).map(|bytes| bytes.len() as u64)
        }),
        own(
            1005,
            "writes what it may read",
            [arg(ArgKind::Mem, ArgType::READ_ONLY), size],
            |args| args.write(0).map(|bytes| bytes.len() as u64),
        ),
    ]
}

fn load(text: &str) -> Arc<Program> {
    Program::sandboxed(Image {
        name: "test".into(),
        insns: assemble_insns(text).expect("the test's program assembles"),
        layout: Some(Request::layout()),
        own_helpers: own_helpers(),
        ..Image::default()
    })
    .expect("the test's program loads")
}

/// r0 or the trap, the verdict, the count.
fn run(text: &str) -> (Result<u64, Trap>, u32, u64) {
    // Apart from everything else, so that what lies beside them is nobody's.
    let mut counts = Box::new([0, 5, 0]);
    let bytes: Vec<u8> = (0..64).collect();
    let mut request = Request {
        path: *b"/a/b/c/d",
        verdict: 0,
        secret: 99,
        body: Bytes::new(&bytes[1..5]),
        count: RefMut::new(&mut counts[1]),
    };
    let state = State(100);
    let env = World(FixedEnv::default(), &state);
    let result = load(text).run(
        &mut Ctx::Typed(TypedContext::new(&mut request)),
        &env,
        &Limits::default(),
    );
    assert_eq!(request.secret, 99);
    let verdict = request.verdict;
    (result, verdict, counts[1])
}

fn value(text: &str) -> u64 {
    run(text).0.unwrap_or_else(|trap| panic!("{trap}"))
}

fn trap(text: &str) -> TrapCause {
    run(text).0.expect_err("traps").cause
}

#[test]
fn fields_are_read_and_written_in_place() {
    assert_eq!(value("r0 = *(u8 *)(r1 + 1)\nexit"), u64::from(b'a'));
    let (result, verdict, _) = run("*(u32 *)(r1 + 8) = 42\nr0 = *(u32 *)(r1 + 8)\nexit");
    assert_eq!((result.ok(), verdict), (Some(42), 42));
}

#[test]
fn what_the_rules_do_not_allow_traps() {
    for bad in [
        "*(u8 *)(r1 + 0) = 1",
        "r0 = *(u32 *)(r1 + 12)",
        "r0 = *(u64 *)(r1 + 8)",
        "*(u64 *)(r1 + 16) = 0",
        "r0 = *(u64 *)(r1 + 40)",
        "r0 = *(u8 *)(r1 - 1)",
        "r2 = *(u64 *)(r1 + 16)\n*(u8 *)(r2 + 0) = 1",
        "r2 = *(u64 *)(r1 + 16)\nr0 = *(u8 *)(r2 + 4)",
        "r2 = *(u64 *)(r1 + 32)\n*(u64 *)(r2 + 1) = 1",
    ] {
        let cause = trap(&format!("r0 = 0\n{bad}\nexit"));
        assert!(
            matches!(cause, TrapCause::BadAccess { .. }),
            "{bad}: {cause}"
        );
    }
}

#[test]
fn what_fields_lead_to_is_memory() {
    let sum = "r2 = *(u64 *)(r1 + 16)\nr3 = *(u64 *)(r1 + 24)\nr3 -= r2\nr1 = r2\nr2 = r3\ncall 1001\nexit";
    assert_eq!(value(sum), 10);
    let (result, _, count) = run("r2 = *(u64 *)(r1 + 32)\n*(u64 *)(r2 + 0) = 9\nr0 = 0\nexit");
    assert_eq!((result.ok(), count), (Some(0), 9));
}

#[test]
fn own_helpers_see_state_and_memory() {
    assert_eq!(value("r1 = 1\nr2 = 2\ncall 1000\nexit"), 103);
    assert_eq!(
        value("r1 = r10\nr1 += -8\nr2 = 8\ncall 1002\nr0 = *(u64 *)(r10 - 8)\nexit"),
        0x0707_0707_0707_0707
    );
    assert_eq!(
        value("r2 = 8\ncall 1001\nexit"),
        b"/a/b/c/d".iter().map(|byte| u64::from(*byte)).sum()
    );
}

#[test]
fn own_helpers_keep_to_their_prototypes() {
    let refused = |text: &str| match trap(text) {
        TrapCause::Helper { what, .. } => what.into_string(),
        cause => panic!("{cause}"),
    };
    assert_eq!(
        refused("r1 = 4096\ncall 1004\nexit"),
        "argument 0 is no memory"
    );
    assert_eq!(
        refused("r2 = 4\ncall 1005\nexit"),
        "argument 0 is only for reading"
    );
    assert_eq!(refused("call 1003\nexit"), "panicked: by design");
    assert!(matches!(
        trap("r1 = 4096\nr2 = 4\ncall 1001\nexit"),
        TrapCause::BadAccess { .. }
    ));
}

#[test]
fn a_number_nobody_has_is_refused_at_load() {
    let image = Image {
        insns: assemble_insns("call 1999\nexit").expect("assembles"),
        own_helpers: own_helpers(),
        ..Image::default()
    };
    let error = Program::sandboxed(image).expect_err("is refused");
    assert!(error.to_string().contains("unknown#1999"), "{error}");
}

#[test]
fn time_runs_out() {
    let forever = load("again:\ngoto again");
    // The clock ticks a microsecond each time it is read.
    let env = FixedEnv::default();
    let limits = Limits {
        timeout: Some(Duration::from_micros(3)),
        ..Limits::default()
    };
    let trap = forever
        .run(&mut Ctx::None, &env, &limits)
        .expect_err("never ends by itself");
    let after = Duration::from_micros(3);
    assert_eq!(trap.cause, TrapCause::TimedOut { after });
    let started = std::time::Instant::now();
    let limits = Limits {
        timeout: Some(Duration::from_millis(20)),
        ..Limits::default()
    };
    let trap = forever
        .run(&mut Ctx::None, &skep_vm::DefaultEnv::new(), &limits)
        .expect_err("never ends by itself");
    assert!(matches!(trap.cause, TrapCause::TimedOut { .. }), "{trap}");
    assert!(started.elapsed() >= Duration::from_millis(20));
}

#[test]
fn time_runs_out_in_callbacks() {
    let mut insns = assemble_insns(
        "r1 = 8388608\nr2 = 3 ll\nr3 = 0\nr4 = 0\ncall 181\nr0 = 0\nexit\nr0 = 0\nexit",
    )
    .expect("assembles");
    insns[1].src = skep_spec::insn::pseudo::FUNC;
    insns[1].imm = 6;
    let program = Program::sandboxed(Image {
        insns,
        ..Image::default()
    })
    .expect("loads");
    let limits = Limits {
        timeout: Some(Duration::from_micros(3)),
        ..Limits::default()
    };
    let (result, ran) = program.run_counted(&mut Ctx::None, &FixedEnv::default(), &limits);
    let trap = result.expect_err("is cut short");
    assert!(matches!(trap.cause, TrapCause::TimedOut { .. }), "{trap}");
    assert!(ran < 10_000, "{ran}");
}
