//! What the library promises to a host: contexts in place, typed helpers, refusals that explain themselves, limits, threads.

#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use skep_embed::{
    Bytes, BytesMut, CallError, Context, Errno, Limits, LoadError, Map, Plugin, Ref, RefMut,
    RefOrNull, Typed,
};

#[derive(Typed, Clone, Copy, Debug, PartialEq)]
#[repr(C)]
struct User {
    id: u64,
    level: u32,
    flags: u32,
}

#[derive(Context)]
#[repr(C)]
#[bpf(name = "request")]
struct Request<'a> {
    #[bpf(read)]
    path: [u8; 16],
    #[bpf(read, write)]
    verdict: u32,
    secret: u32,
    #[bpf(read)]
    body: Bytes<'a>,
    #[bpf(read)]
    user: RefOrNull<'a, User>,
    #[bpf(read)]
    count: RefMut<'a, u64>,
    #[bpf(read)]
    owner: Ref<'a, User>,
}

struct Service {
    asked: AtomicU64,
    limit: u64,
}

impl Service {
    fn new(limit: u64) -> Service {
        Service {
            asked: AtomicU64::new(0),
            limit,
        }
    }
}

const OWNER: User = User {
    id: 1,
    level: 2,
    flags: 3,
};

/// Runs `f` with a request whose parts are all there.
fn with_request<R>(f: impl FnOnce(&mut Request<'_>) -> R) -> (R, u32, u64) {
    let mut count = 5;
    let user = User {
        id: 77,
        level: 3,
        flags: 0,
    };
    let mut request = Request {
        path: *b"/index.html\0\0\0\0\0",
        verdict: 0,
        secret: 42,
        body: Bytes::new(&[1, 2, 3, 4, 5]),
        user: RefOrNull::new(Some(&user)),
        count: RefMut::new(&mut count),
        owner: Ref::new(&OWNER),
    };
    let result = f(&mut request);
    assert_eq!(request.secret, 42);
    let verdict = request.verdict;
    (result, verdict, count)
}

fn builder() -> skep_embed::Builder<Request<'static>, Service> {
    Plugin::<Request<'static>, Service>::builder()
        .helper("limit", 1000, |service: &Service, user: u64| {
            service.asked.fetch_add(1, Ordering::Relaxed);
            service.limit + user
        })
        .helper("sum", 1001, |_: &Service, bytes: &[u8]| -> u64 {
            bytes.iter().map(|byte| u64::from(*byte)).sum()
        })
        .helper(
            "load_user",
            1002,
            |service: &Service, id: u64, user: &mut User| -> Result<(), Errno> {
                if id > service.limit {
                    return Err(Errno::ENOENT);
                }
                *user = User {
                    id,
                    level: 9,
                    flags: 1,
                };
                Ok(())
            },
        )
        .helper(
            "upper",
            1003,
            |_: &Service, text: &mut [u8], from: &[u8]| {
                for (to, from) in text.iter_mut().zip(from) {
                    *to = from.to_ascii_uppercase();
                }
            },
        )
        .helper("fails", 1004, |_: &Service| -> u64 { panic!("by design") })
        .helper(
            "entries",
            1005,
            |_: &Service, map: &dyn Map, user: &User| -> u64 {
                u64::from(map.def().max_entries) + u64::from(user.level)
            },
        )
}

fn plugin(text: &str) -> String {
    format!(".section \"request\"\n.function check\n{text}\n")
}

fn load(text: &str) -> Plugin<Request<'static>, Service> {
    builder()
        .load(plugin(text).as_bytes(), "check")
        .unwrap_or_else(|error| panic!("{error}"))
}

/// r0, the verdict, the count: the same verified and in the sandbox, as machine code and interpreted.
fn run(text: &str) -> (u64, u32, u64) {
    let object = plugin(text);
    let answer = |builder: skep_embed::Builder<Request<'static>, Service>, verified| {
        let plugin = builder
            .load(object.as_bytes(), "request")
            .unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(plugin.is_verified(), verified);
        let (result, verdict, count) =
            with_request(|request| plugin.call_with(request, &Service::new(100)));
        let value = result.unwrap_or_else(|error| panic!("{error}"));
        (plugin.is_compiled(), (value, verdict, count))
    };
    let (compiled, first) = answer(builder(), true);
    assert_eq!(
        compiled,
        cfg!(any(target_arch = "x86_64", target_arch = "aarch64"))
    );
    let others = [
        answer(builder().interpreted(), true),
        answer(builder().sandboxed(), false),
        answer(builder().sandboxed().interpreted(), false),
    ];
    for (_, other) in others {
        assert_eq!(first, other, "{text}");
    }
    first
}

fn refused(text: &str) -> String {
    match builder().load(plugin(text).as_bytes(), "check") {
        Ok(_) => panic!("loaded:\n{text}"),
        Err(LoadError::Refused(refused)) => refused.full(),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn fields_are_read_and_written_in_place() {
    assert_eq!(run("r0 = *(u8 *)(r1 + 1)\nexit").0, u64::from(b'i'));
    assert_eq!(run("*(u32 *)(r1 + 16) = 7\nr0 = 0\nexit"), (0, 7, 5));
}

#[test]
fn what_is_not_offered_is_refused_with_reasons() {
    let text = refused("r0 = *(u32 *)(r1 + 20)\nexit");
    assert!(
        text.contains("invalid bpf_context access off=20 size=4"),
        "{text}"
    );
    assert!(
        text.contains("struct request has no field at offset 20"),
        "{text}"
    );
    assert!(text.contains("path, verdict, body"), "{text}");
    let text = refused("*(u32 *)(r1 + 0) = 1\nr0 = 0\nexit");
    assert!(
        text.contains("may not be written by request programs"),
        "{text}"
    );
    let text = refused("call 6\nexit");
    assert!(text.contains("bpf_trace_printk#6"), "{text}");
    let text = refused("again:\ngoto again");
    assert!(!text.is_empty());
}

#[test]
fn bytes_are_proven_by_their_end() {
    let body = "r6 = *(u64 *)(r1 + 24)\nr7 = *(u64 *)(r1 + 32)\nr0 = 0\nr2 = r6\nr2 += 4\nif r2 > r7 goto out\n";
    assert_eq!(
        run(&format!("{body}r0 = *(u32 *)(r6 + 0)\nout:\nexit")).0,
        0x0403_0201
    );
    let text = refused(&format!("{body}r0 = *(u8 *)(r6 + 4)\nout:\nexit"));
    assert!(text.contains("invalid access to packet"), "{text}");
    let text = refused(&format!("{body}*(u8 *)(r6 + 0) = 1\nout:\nexit"));
    assert!(text.contains("cannot write into packet"), "{text}");
}

#[test]
fn values_behind_addresses_are_memory() {
    assert_eq!(
        run(
            "r2 = *(u64 *)(r1 + 40)\nr0 = 0\nif r2 == 0 goto out\nr0 = *(u64 *)(r2 + 0)\nout:\nexit"
        )
        .0,
        77
    );
    assert_eq!(
        run("r2 = *(u64 *)(r1 + 48)\n*(u64 *)(r2 + 0) = 9\nr0 = 0\nexit"),
        (0, 0, 9)
    );
    assert_eq!(
        run("r2 = *(u64 *)(r1 + 56)\nr0 = *(u32 *)(r2 + 12)\nexit").0,
        3
    );
    let text = refused("r2 = *(u64 *)(r1 + 40)\nr0 = *(u64 *)(r2 + 0)\nexit");
    assert!(text.contains("rdonly_mem_or_null"), "{text}");
    let text = refused("r2 = *(u64 *)(r1 + 56)\n*(u64 *)(r2 + 0) = 1\nr0 = 0\nexit");
    assert!(text.contains("cannot write into rdonly_mem"), "{text}");
    let text = refused("r2 = *(u64 *)(r1 + 56)\nr0 = *(u64 *)(r2 + 12)\nexit");
    assert!(text.contains("mem_size=16"), "{text}");
}

#[test]
fn helpers_see_their_state() {
    let plugin = load("r1 = 5\ncall 1000\nexit");
    let service = Service::new(30);
    for calls in 1..4 {
        let (result, ..) = with_request(|request| plugin.call_with(request, &service));
        assert_eq!(result.ok(), Some(35));
        assert_eq!(service.asked.load(Ordering::Relaxed), calls);
    }
}

#[test]
fn helpers_take_bytes_and_values() {
    assert_eq!(
        run("r2 = 11\ncall 1001\nexit").0,
        b"/index.html".iter().map(|b| u64::from(*b)).sum()
    );
    // A value on the stack, filled by the helper.
    let user = "*(u64 *)(r10 - 16) = 0\n*(u64 *)(r10 - 8) = 0\nr2 = r10\nr2 += -16\n";
    assert_eq!(
        run(&format!(
            "{user}r1 = 7\ncall 1002\nr0 = *(u64 *)(r10 - 16)\nexit"
        ))
        .0,
        7
    );
    assert_eq!(
        run(&format!("{user}r1 = 7000\ncall 1002\nexit")).0 as i64,
        -2
    );
    // Two slices at once, and both the same.
    let text = run("r3 = r1\nr4 = 8\nr1 = r10\nr1 += -8\n*(u64 *)(r10 - 8) = 0\nr2 = 8\ncall 1003\nr0 = *(u64 *)(r10 - 8)\nexit").0;
    assert_eq!(&text.to_le_bytes(), b"/INDEX.H");
    let same = run("r1 = r10\nr1 += -8\n*(u64 *)(r10 - 8) = 0x61626364\nr2 = 8\nr3 = r1\nr4 = 8\ncall 1003\nr0 = *(u64 *)(r10 - 8)\nexit").0;
    assert_eq!(same, 0x4142_4344);
}

#[test]
fn arguments_are_verified() {
    let text = refused("call 1000\nexit");
    assert!(text.contains("R1 type=ctx expected=scalar"), "{text}");
    let text = refused("r2 = 17\ncall 1001\nexit");
    assert!(
        text.contains("invalid bpf_context access off=0 size=17"),
        "{text}"
    );
    let text = refused("r1 = *(u64 *)(r1 + 24)\nr2 = 4\ncall 1001\nexit");
    assert!(text.contains("invalid access to packet"), "{text}");
    let text = refused("r2 = r1\nr1 = 1\ncall 1002\nexit");
    assert!(text.contains("invalid bpf_context access"), "{text}");
    let text = refused("r1 = 1\nr2 = r10\nr2 += -8\ncall 1002\nexit");
    assert!(text.contains("stack"), "{text}");
}

#[test]
fn a_panic_in_a_helper_ends_the_call() {
    let plugin = load("call 1004\nexit");
    let (result, ..) = with_request(|request| plugin.call_with(request, &Service::new(1)));
    match result {
        Err(CallError::Helper { name, what }) => {
            assert_eq!((name, &*what), ("fails", "panicked: by design"));
        }
        other => panic!("{other:?}"),
    }
    // And the plug-in is as good as before.
    let (result, ..) = with_request(|request| plugin.call_with(request, &Service::new(1)));
    assert!(matches!(result, Err(CallError::Helper { .. })));
}

#[test]
fn maps_are_shared_with_the_host() {
    let text = r#"
.map counts {
    type array
    key u32
    value u64
    max_entries 4
}

.section "request"
.function check
    *(u32 *)(r10 - 4) = 2
    r2 = r10
    r2 += -4
    r1 = map counts ll
    call 1
    if r0 == 0 goto out
    r1 = 1
    lock *(u64 *)(r0 + 0) += r1
    r1 = map counts ll
    *(u64 *)(r10 - 24) = 0
    *(u64 *)(r10 - 16) = 3
    r2 = r10
    r2 += -24
    call 1005
    exit
out:
    r0 = 0
    exit
"#;
    let first = builder()
        .load(text.as_bytes(), "check")
        .unwrap_or_else(|e| panic!("{e}"));
    let map = first.map("counts").expect("is there").clone();
    let second = builder()
        .map("counts", map.clone())
        .load(text.as_bytes(), "check")
        .unwrap_or_else(|e| panic!("{e}"));
    for plugin in [&first, &second] {
        let (result, ..) = with_request(|request| plugin.call_with(request, &Service::new(1)));
        assert_eq!(result.ok(), Some(4 + 3));
    }
    let mut value = Vec::new();
    map.lookup_user(&2u32.to_ne_bytes(), 0, &mut value)
        .expect("is there");
    assert_eq!(value, 2u64.to_ne_bytes());
    let error = builder()
        .map("count", map)
        .load(text.as_bytes(), "check")
        .expect_err("there is no such map");
    assert!(error.to_string().contains("uses no map `count`"), "{error}");
}

/// Long enough for two looks at the clock.
const LONG: &str =
    "r0 = 0\nr2 = *(u32 *)(r1 + 16)\nagain:\nr0 += 1\nif r0 < 80000 goto again\nexit";

#[test]
fn limits_end_verified_and_sandboxed_plugins() {
    let forever = ".section \"request\"\n.function check\nagain:\nr0 = 0\ngoto again\n";
    let sandboxed = builder()
        .sandboxed()
        .load(forever.as_bytes(), "check")
        .expect("loads");
    let verified = load(LONG);
    let interpreted = builder()
        .interpreted()
        .load(plugin(LONG).as_bytes(), "check")
        .expect("loads");
    let service = Service::new(1);
    for plugin in [&sandboxed, &verified, &interpreted] {
        let limits = Limits {
            insns: Some(100_000),
            ..Limits::default()
        };
        let (result, ..) = with_request(|request| plugin.call_within(request, &service, &limits));
        assert!(
            matches!(result, Err(CallError::Budget { insns: 100_000 })),
            "{result:?}"
        );
        // The time starts with the first look, so none is left at the second.
        let limits = Limits {
            timeout: Some(Duration::ZERO),
            ..Limits::default()
        };
        let (result, ..) = with_request(|request| plugin.call_within(request, &service, &limits));
        assert!(
            matches!(result, Err(CallError::TimedOut { .. })),
            "{result:?}"
        );
    }
    let (result, ..) = with_request(|request| verified.call_with(request, &service));
    assert_eq!(result.ok(), Some(80_000));
}

#[test]
fn many_threads_call_one_plugin() {
    let plugin = load("r6 = r1\nr1 = *(u32 *)(r1 + 16)\ncall 1000\n*(u32 *)(r6 + 16) = r0\nexit");
    let service = Service::new(1000);
    std::thread::scope(|scope| {
        for thread in 0..8u32 {
            let (plugin, service) = (&plugin, &service);
            scope.spawn(move || {
                for at in 0..500 {
                    let mut count = 0;
                    let mut request = Request {
                        path: [0; 16],
                        verdict: thread * 1000 + at,
                        secret: 0,
                        body: Bytes::new(&[]),
                        user: RefOrNull::new(None),
                        count: RefMut::new(&mut count),
                        owner: Ref::new(&OWNER),
                    };
                    let answer = plugin.call_with(&mut request, service).expect("runs");
                    assert_eq!(answer, u64::from(thread * 1000 + at) + 1000);
                    assert_eq!(u64::from(request.verdict), answer);
                }
            });
        }
    });
    assert_eq!(service.asked.load(Ordering::Relaxed), 8 * 500);
}

#[test]
fn the_header_and_the_types_are_the_structures() {
    let header = builder().structure::<User>().c_header();
    for part in [
        "struct User {\n\t__u64 id;\n\t__u32 level;\n\t__u32 flags;\n}",
        "struct request {\n\t__u8 path[16];\n\t__u32 verdict;\n\t__u8 __hidden_0[4];\n\tconst __u8 *body;\n\tconst __u8 *body_end;",
        "\tconst struct User *user;\n\t__u64 *count;\n\tconst struct User *owner;\n}",
        "static long (*const load_user)(__u64 a, struct User *b) = (void *)1002;",
        "static __u64 (*const sum)(const void *a, __u64 a_size) = (void *)1001;",
    ] {
        assert!(header.contains(part), "no `{part}` in:\n{header}");
    }
    assert!(!header.contains("secret"), "{header}");
}

#[derive(Context)]
#[repr(C)]
struct Small {
    #[bpf(read, write)]
    value: i64,
    #[bpf(read)]
    yes: bool,
    #[bpf(write)]
    out: [u16; 3],
}

#[test]
fn a_host_without_state_or_lifetimes() {
    let base = 10;
    let plugin = Plugin::<Small>::builder()
        .function("times", 1000, move |a: i64, b: i32| a * i64::from(b) + base)
        .returns(0..=1)
        .load(
            b".section \"small\"\n.function f\nr6 = r1\nr1 = *(u64 *)(r6 + 0)\nr2 = -3\ncall 1000\n*(u64 *)(r6 + 0) = r0\nr0 = *(u8 *)(r6 + 8)\nr0 &= 1\n*(u16 *)(r6 + 14) = 65535\nexit",
            "f",
        )
        .unwrap_or_else(|error| panic!("{error}"));
    let mut small = Small {
        value: 5,
        yes: true,
        out: [0; 3],
    };
    assert_eq!(plugin.call(&mut small).ok(), Some(1));
    assert_eq!(
        (small.value, small.yes, small.out),
        (-5, true, [0, 0, 65535])
    );
    let error = Plugin::<Small>::builder()
        .returns(0..=1)
        .load(b".section \"small\"\n.function f\nr0 = 2\nexit", "f")
        .expect_err("returns something else");
    assert!(
        error.to_string().contains("should have been in [0, 1]"),
        "{error}"
    );
}

#[derive(Context)]
#[repr(C)]
struct Buffer<'a> {
    #[bpf(read)]
    data: BytesMut<'a>,
}

#[test]
fn writable_bytes_are_written() {
    let text = b".section \"b\"\n.function f\nr2 = *(u64 *)(r1 + 0)\nr3 = *(u64 *)(r1 + 8)\nr0 = 0\nr4 = r2\nr4 += 2\nif r4 > r3 goto out\n*(u16 *)(r2 + 0) = 0x4142\nr0 = 1\nout:\nexit";
    let plugin = Plugin::<Buffer<'static>>::builder()
        .load(text, "f")
        .unwrap_or_else(|e| panic!("{e}"));
    let mut bytes = *b"....";
    let mut buffer = Buffer {
        data: BytesMut::new(&mut bytes),
    };
    assert_eq!(plugin.call(&mut buffer).ok(), Some(1));
    assert_eq!(&bytes, b"BA..");
    let mut short = [0];
    let mut buffer = Buffer {
        data: BytesMut::new(&mut short),
    };
    assert_eq!(plugin.call(&mut buffer).ok(), Some(0));
}

#[test]
fn the_hosts_mistakes_are_told() {
    let text = plugin("r0 = 0\nexit");
    let text = text.as_bytes();
    let twice = builder()
        .helper("other", 1000, |_: &Service| 0u64)
        .load(text, "check");
    let low = builder()
        .helper("low", 7, |_: &Service| 0u64)
        .load(text, "check");
    let wide = builder()
        .helper("wide", 1100, |_: &Service, _: &[u8], _: &[u8], _: &[u8]| {
            0u64
        })
        .load(text, "check");
    let name = builder().load(text, "chek");
    let global = builder().global("limit", &5u32).load(text, "check");
    for (result, part) in [
        (twice, "have the same number 1000"),
        (low, "own helpers start at 1000"),
        (wide, "takes 6 registers"),
        (name, "no program `chek`; it has: check"),
        (global, "limit"),
    ] {
        let error = result.expect_err(part).to_string();
        assert!(error.contains(part), "`{error}` is not `{part}`");
    }
}
