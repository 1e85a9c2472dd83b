//! What the lowering makes of short programs, as another disassembler reads it; that all of the conformance suite becomes
//! instructions.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;

use skep_spec::asm::assemble_insns;
use skep_spec::insn::{Endian, Insn, decode_all};

use crate::jit::{Arch, Listing};
use crate::program::{Image, Program};
use crate::proof::{Access, InsnProof, Proof};

/// One line an instruction, as `llvm-mc` prints them; nothing where there is no `llvm-mc`.
fn disassembled(bytes: &[u8]) -> Option<Vec<String>> {
    let tool = super::encode::tests::llvm_mc()?;
    let mut child = Command::new(tool)
        .args(["--disassemble", "--arch=aarch64", "--mattr=+lse"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it just ran");
    let mut input = child.stdin.take().expect("a pipe");
    let text: String = bytes.iter().map(|byte| format!("{byte:#04x} ")).collect();
    let writer = std::thread::spawn(move || input.write_all(text.as_bytes()));
    let out = child.wait_with_output().expect("it ends");
    writer.join().expect("no panic").expect("it reads all");
    let errors = String::from_utf8_lossy(&out.stderr);
    assert!(errors.is_empty(), "no instruction: {errors}");
    let lines = String::from_utf8_lossy(&out.stdout)
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .filter(|line| !line.is_empty() && !line.starts_with('.'))
        .collect();
    Some(lines)
}

fn listing(program: &Program) -> Listing {
    Listing::of(program, Arch::A64).expect("it fits")
}

/// A program all of whose accesses are proven.
fn proven(insns: Vec<Insn>) -> Arc<Program> {
    let proof = Proof {
        insns: vec![
            InsnProof {
                access: Access::Direct,
                ..InsnProof::default()
            };
            insns.len()
        ],
        ..Proof::default()
    };
    let image = Image {
        insns,
        ..Image::default()
    };
    // SAFETY: it is compiled for another machine and never run.
    unsafe { Program::proven(image, proof) }.expect("a program")
}

#[test]
fn what_waits_becomes_part_of_what_needs_it() {
    let cases: &[(&str, &[&str])] = &[
        (
            "r0 = r1\nr0 <<= 13\nr1 >>= 51\nr0 |= r1\nexit",
            &["ror x0, x1, #51", "ret"],
        ),
        (
            "w0 = w1\nw2 = w1\nw0 >>= 7\nw2 <<= 25\nw0 ^= w2\nexit",
            &["ror w0, w1, #7", "ret"],
        ),
        (
            "r0 = r1\nr2 <<= 3\nr0 += r2\nexit",
            &["add x0, x1, x2, lsl #3", "ret"],
        ),
        (
            "r0 = r1\nr2 >>= 9\nr0 ^= r2\nexit",
            &["eor x0, x1, x2, lsr #9", "ret"],
        ),
        ("r0 = r1\nr0 += -24\nexit", &["sub x0, x1, #24", "ret"]),
        (
            "r0 = r1\nr0 <<= 32\nr0 >>= 32\nexit",
            &["mov w0, w1", "ret"],
        ),
        (
            "r0 = r1\nr0 <<= 48\nr0 s>>= 48\nexit",
            &["sxth x0, w1", "ret"],
        ),
        ("r0 = r1\nr0 &= 255\nexit", &["uxtb w0, w1", "ret"]),
        (
            "r0 = r1\nr0 %= r2\nexit",
            &["udiv x9, x1, x2", "msub x0, x9, x2, x1", "ret"],
        ),
        ("w0 = w1\nw0 s/= w2\nexit", &["sdiv w0, w1, w2", "ret"]),
        ("r0 = *(u32 *)(r1 + 8)\nexit", &["ldr w0, [x1, #8]", "ret"]),
        (
            "r2 <<= 3\nr1 += r2\nr0 = *(u64 *)(r1 + 0)\nexit",
            &["ldr x0, [x1, x2, lsl #3]", "ret"],
        ),
        (
            "r1 += r2\nr0 = *(u16 *)(r1 + 3)\nexit",
            &["add x16, x1, x2", "ldurh w0, [x16, #3]", "ret"],
        ),
        (
            "*(u64 *)(r1 - 8) = 0\nr0 = 0\nexit",
            &["stur xzr, [x1, #-8]", "mov x0, #0", "ret"],
        ),
        (
            "r0 = 1\nif r1 > 9 goto +1\nr0 = 0\nexit",
            &["cmp x1, #9", "cset x0, hi", "ret"],
        ),
        (
            "r0 = 5\nif w1 == w2 goto +1\nr0 = 7\nexit",
            &[
                "cmp w1, w2",
                "mov x9, #5",
                "mov x10, #7",
                "csel x0, x9, x10, eq",
                "ret",
            ],
        ),
        (
            "r0 = r1\nif r1 == 0 goto +1\nr0 = r2\nexit",
            &["mov x0, x1", "cbz x1, #8", "mov x0, x2", "ret"],
        ),
        (
            "r0 = r1\nif w1 & 8 goto +1\nr0 = r2\nexit",
            &["mov x0, x1", "tbnz w1, #3, #8", "mov x0, x2", "ret"],
        ),
        (
            "r0 = r1\nif r1 s< 0 goto +1\nr0 = r2\nexit",
            &["mov x0, x1", "tbnz x1, #63, #8", "mov x0, x2", "ret"],
        ),
        (
            "r0 = be16 r0\nexit",
            &["rev16 w0, w0", "uxth w0, w0", "ret"],
        ),
    ];
    for (text, want) in cases {
        let insns = assemble_insns(text).unwrap_or_else(|error| panic!("{text}: {error:?}"));
        let listing = listing(&proven(insns));
        let from = listing.starts[0] as usize;
        let Some(got) = disassembled(&listing.bytes[from..listing.end as usize]) else {
            return;
        };
        assert_eq!(got, *want, "{text}");
    }
}

#[test]
fn the_conformance_suite_becomes_instructions() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../conformance/bpf_conformance/cases.json"
    );
    let text = std::fs::read_to_string(path).expect("the suite");
    let cases: Vec<serde_json::Value> = serde_json::from_str(&text).expect("JSON");
    let mut bytes = Vec::new();
    for case in &cases {
        let hex: Vec<u8> = case["program"]
            .as_str()
            .expect("a program")
            .bytes()
            .filter(u8::is_ascii_hexdigit)
            .collect();
        let code: Vec<u8> = hex
            .chunks(2)
            .map(|pair| {
                let digits = std::str::from_utf8(pair).expect("ASCII");
                u8::from_str_radix(digits, 16).expect("hex")
            })
            .collect();
        let image = Image {
            insns: decode_all(&code, Endian::Little).expect("instructions"),
            ..Image::default()
        };
        let program = Program::sandboxed(image).expect("a program");
        bytes.extend(listing(&program).bytes);
    }
    assert_eq!(bytes.len() % 4, 0);
    let Some(lines) = disassembled(&bytes) else {
        return;
    };
    assert_eq!(lines.len(), bytes.len() / 4, "one line an instruction");
}
