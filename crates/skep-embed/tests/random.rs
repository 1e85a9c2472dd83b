//! Random plug-ins: whatever the verifier accepts runs to its end, and does the same proven and checked, compiled and
//! interpreted.

#![forbid(unsafe_code)]

use std::fmt::Write as _;

use skep_embed::{Builder, Bytes, Context, LoadError, Plugin, RefMut, RefOrNull, Typed};

#[derive(Typed, Clone, Copy, Debug, PartialEq)]
#[repr(C)]
struct Pair {
    a: u32,
    b: u32,
}

#[derive(Context)]
#[repr(C)]
struct Request<'a> {
    #[bpf(read)]
    name: [u8; 12],
    #[bpf(read, write)]
    out: [u32; 3],
    #[bpf(write)]
    mark: u64,
    hidden: u64,
    #[bpf(read)]
    data: Bytes<'a>,
    #[bpf(read)]
    pair: RefMut<'a, Pair>,
    #[bpf(read)]
    perhaps: RefOrNull<'a, Pair>,
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16) % bound
    }

    fn of<'t>(&mut self, choices: &[&'t str]) -> &'t str {
        choices[self.below(choices.len() as u64) as usize]
    }
}

const WIDTHS: &[&str] = &["u8", "u16", "u32", "u64"];

/// Memory: a register and what may be added to it. Often good, often not.
fn memory(random: &mut Random) -> (&'static str, i64) {
    match random.below(6) {
        0 => ("r6", random.below(80) as i64),
        1 | 2 => ("r10", -(random.below(5) as i64 * 8)),
        3 => ("r7", random.below(10) as i64),
        4 => ("r8", random.below(9) as i64),
        _ => (
            "r6",
            [0, 12, 16, 24, 40, 48, 56, 64][random.below(8) as usize],
        ),
    }
}

/// r6 is the context, r7 its data of which `r7 + 6` are checked, r8 the pair, r0 and r9 are numbers.
fn program(random: &mut Random) -> String {
    let mut text = String::from(
        "r6 = r1\nr0 = 0\nr9 = 5\n*(u64 *)(r10 - 8) = 1\n*(u64 *)(r10 - 16) = 2\n*(u64 *)(r10 - 24) = 3\n\
         r7 = *(u64 *)(r6 + 40)\nr2 = *(u64 *)(r6 + 48)\nr3 = r7\nr3 += 6\nif r3 > r2 goto out\nr8 = *(u64 *)(r6 + 56)\n",
    );
    for label in 0..2 + random.below(10) {
        let number = random.of(&["r0", "r9"]);
        let width = random.of(WIDTHS);
        let (base, off) = memory(random);
        let sign = if off < 0 { '-' } else { '+' };
        let far = off.unsigned_abs();
        let _ = match random.below(12) {
            0 | 1 => writeln!(text, "{number} = *({width} *)({base} {sign} {far})"),
            2 | 3 => writeln!(text, "*({width} *)({base} {sign} {far}) = {number}"),
            4 => writeln!(
                text,
                "*({width} *)({base} {sign} {far}) = {}",
                random.below(100)
            ),
            5 => {
                let op = random.of(&["+=", "-=", "*=", "^=", "&=", "|=", ">>=", "<<="]);
                writeln!(text, "{number} {op} {}", random.below(20))
            }
            6 => writeln!(text, "r0 {} r9", random.of(&["+=", "-=", "*=", "^=", "&="])),
            7 => writeln!(
                text,
                "if {number} > {} goto L{label}\nr9 += 1\nL{label}:",
                random.below(50)
            ),
            // A byte at an index that is in bounds, or not quite.
            8 => writeln!(
                text,
                "r5 = r9\nr5 &= {}\nr4 = {}\nr4 += r5\nr9 = *(u8 *)(r4 + {})",
                random.of(&["3", "7", "5"]),
                random.of(&["r7", "r8", "r8"]),
                random.below(3)
            ),
            9 => writeln!(
                text,
                "r1 = {number}\nr1 &= 15\ncall {}",
                random.of(&["1000", "1000", "1001"])
            ),
            10 => writeln!(
                text,
                "r1 = {base}\nr1 += {off}\nr2 = {}\ncall {}",
                random.of(&["0", "1", "4", "8", "12", "16"]),
                random.of(&["1001", "1001", "1002"])
            ),
            _ => writeln!(text, "r1 = {base}\nr1 += {off}\ncall 1003"),
        };
    }
    text.push_str("out:\nr0 += r9\n*(u32 *)(r6 + 16) = r0\nr0 = r9\nexit\n");
    text
}

fn builder() -> Builder<Request<'static>> {
    Plugin::<Request<'static>>::builder()
        .function("twice", 1000, |number: u64| 2 * number)
        .function("sum", 1001, |bytes: &[u8]| -> u64 {
            bytes.iter().map(|byte| u64::from(*byte)).sum()
        })
        .function("count", 1002, |bytes: &mut [u8]| {
            for (at, byte) in bytes.iter_mut().enumerate() {
                *byte = byte.wrapping_add(at as u8);
            }
        })
        .function("swap", 1003, |pair: &mut Pair| -> u32 {
            (pair.a, pair.b) = (pair.b, pair.a);
            pair.a
        })
}

/// Everything that a run can leave.
type Left = (u64, [u8; 12], [u32; 3], u64, Pair);

fn run(plugin: &Plugin<Request<'static>>) -> Result<Left, String> {
    let mut pair = Pair { a: 7, b: 1 << 20 };
    let data: Vec<u8> = (1..=6).collect();
    let mut request = Request {
        name: *b"twelve bytes",
        out: [1, 2, 3],
        mark: 9,
        hidden: 0xdead,
        data: Bytes::new(&data),
        pair: RefMut::new(&mut pair),
        perhaps: RefOrNull::new(None),
    };
    let value = plugin
        .call(&mut request)
        .map_err(|error| error.to_string())?;
    assert_eq!(request.hidden, 0xdead);
    let (name, out, mark) = (request.name, request.out, request.mark);
    Ok((value, name, out, mark, pair))
}

#[test]
fn accepted_plugins_do_the_same_however_they_run() {
    let mut random = Random(0x5eed_cafe);
    let (mut accepted, mut refused) = (0, 0);
    while accepted < 100 {
        assert!(refused < 40_000, "the generator is of no use");
        let text = program(&mut random);
        let object = format!(".section \"r\"\n.function f\n{text}");
        let load = |builder: Builder<Request<'static>>| builder.load(object.as_bytes(), "f");
        let proven = match load(builder()) {
            Ok(plugin) => plugin,
            Err(LoadError::Refused(_)) => {
                refused += 1;
                continue;
            }
            Err(error) => panic!("{error}\n{text}"),
        };
        accepted += 1;
        let first = run(&proven);
        assert!(first.is_ok(), "accepted, and then: {first:?}\n{text}");
        for other in [
            builder().interpreted(),
            builder().sandboxed(),
            builder().sandboxed().interpreted(),
        ] {
            let other = load(other).unwrap_or_else(|error| panic!("{error}\n{text}"));
            assert_eq!(first, run(&other), "{text}");
        }
    }
    // Both sides of the verdict were met.
    assert!(refused > 50, "{refused}");
}
