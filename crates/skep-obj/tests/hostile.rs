//! Broken objects: cut short, with bits flipped, with sizes from nowhere. Nothing panics, and errors say where.

use std::path::Path;

use skep_obj::{Object, ParseOptions, elf};

fn options() -> ParseOptions {
    ParseOptions {
        name: "hostile".into(),
        legacy_maps: true,
    }
}

fn seed(name: &str) -> Vec<u8> {
    let folder =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conformance/cilium-ebpf/testdata");
    std::fs::read(folder.join(name)).unwrap()
}

const SEEDS: [&str; 8] = [
    "loader-clang-22-el.elf",
    "loader-clang-14-eb.elf",
    "btf_map_init-el.elf",
    "kconfig-el.elf",
    "struct_ops-eb.elf",
    "iproute2_map_compat-el.elf",
    "subprog_reloc-el.elf",
    "linked-el.elf",
];

/// Reads, and on success does everything else that an object can do.
fn exercise(bytes: &[u8]) -> bool {
    let Ok(mut object) = Object::parse(bytes, &options()) else {
        return false;
    };
    for program in &object.programs {
        let _ = object.link(program);
    }
    for global in object.globals() {
        let _ = object.global_bytes(&global);
    }
    if let Ok(written) = elf::write(&object) {
        let _ = Object::parse(&written, &options());
    }
    let targets: Vec<_> = object.btf.iter().cloned().collect();
    let _ = object.relocate(&targets);
    true
}

/// A small generator of numbers, the same everywhere.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self, below: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % below.max(1)
    }
}

#[test]
fn truncated() {
    for name in SEEDS {
        let bytes = seed(name);
        for len in (0..bytes.len()).step_by(7) {
            if let Err(error) = Object::parse(&bytes[..len], &options()) {
                let text = error.to_string();
                assert!(text.contains("offset 0x"), "{name} cut to {len}: {text}");
            }
        }
    }
}

#[test]
fn flipped() {
    let mut numbers = Numbers(7);
    let (mut read, mut refused) = (0, 0);
    for name in SEEDS {
        let bytes = seed(name);
        for _ in 0..400 {
            let mut broken = bytes.clone();
            for _ in 0..1 + numbers.next(4) {
                let at = numbers.next(broken.len());
                broken[at] = match numbers.next(4) {
                    0 => 0xff,
                    1 => 0,
                    2 => broken[at] ^ (1 << numbers.next(8)),
                    _ => numbers.next(256) as u8,
                };
            }
            if exercise(&broken) {
                read += 1
            } else {
                refused += 1
            }
        }
    }
    assert!(
        read > 100 && refused > 100,
        "{read} read, {refused} refused: the flips test nothing"
    );
}

/// Finds a section header by what `edit` sees of it: its index is in the order of the file.
fn with_section(bytes: &mut [u8], name: &str, edit: impl Fn(&mut [u8])) {
    let word = |b: &[u8], at: usize| u64::from_le_bytes(b[at..at + 8].try_into().unwrap()) as usize;
    let half =
        |b: &[u8], at: usize| usize::from(u16::from_le_bytes(b[at..at + 2].try_into().unwrap()));
    let (table, count, names) = (word(bytes, 0x28), half(bytes, 0x3c), half(bytes, 0x3e));
    let strings = word(bytes, table + names * 64 + 24);
    for at in (0..count).map(|i| table + i * 64) {
        let start = strings + u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
        if bytes[start..].starts_with(name.as_bytes()) && bytes[start + name.len()] == 0 {
            edit(&mut bytes[at..at + 64]);
            return;
        }
    }
    panic!("no section {name}");
}

#[test]
fn sizes_from_nowhere() {
    let mut huge = seed("loader-clang-22-el.elf");
    with_section(&mut huge, ".bss", |header| {
        header[32..40].copy_from_slice(&(1u64 << 60).to_le_bytes())
    });
    let error = Object::parse(&huge, &options()).unwrap_err().to_string();
    assert!(
        error.contains("section .bss") && error.contains("0x1000000000000000"),
        "{error}"
    );

    let mut outside = seed("loader-clang-22-el.elf");
    with_section(&mut outside, ".data", |header| {
        header[32..40].copy_from_slice(&(1u64 << 60).to_le_bytes())
    });
    let error = Object::parse(&outside, &options()).unwrap_err().to_string();
    assert!(
        error.contains("section .data") && error.contains("do not lie in the file"),
        "{error}"
    );

    // Many sections over the same bytes would be copied many times.
    let mut shared = seed("loader-clang-22-el.elf");
    let len = shared.len() as u64;
    for name in [".data", ".data.test", ".rodata", ".rodata.test"] {
        with_section(&mut shared, name, |header| {
            header[24..32].copy_from_slice(&0u64.to_le_bytes());
            header[32..40].copy_from_slice(&len.to_le_bytes());
        });
    }
    let error = Object::parse(&shared, &options()).unwrap_err().to_string();
    assert!(error.contains("overlap"), "{error}");

    // A .bss of a gibibyte costs nothing until it is written to.
    let mut large = seed("loader-clang-22-el.elf");
    with_section(&mut large, ".bss", |header| {
        header[32..40].copy_from_slice(&(1u64 << 30).to_le_bytes())
    });
    let object = Object::parse(&large, &options()).unwrap();
    assert_eq!(
        object.map(".bss").unwrap().initial,
        skep_obj::InitialContents::None
    );
}

#[test]
fn broken_text() {
    let object = Object::parse(&seed("kconfig-el.elf"), &options()).unwrap();
    let printed = skep_obj::text::print(&object).unwrap();
    let written = "
.license \"GPL\"
struct event { u32 pid; char comm[16]; };
.map counts {
    type hash
    key u32
    value struct event
    max_entries 1024
}
.map jumps {
    type prog_array
    max_entries 3
    [1] = prog
}
.global .rodata const volatile u32 limit[2] = { 7, 8 }
.global .data u64 *where = &limit
.extern kconfig u32 CONFIG_HZ
.extern weak kfunc void bpf_rcu_read_lock(void)
.section \"xdp\"
.function int prog(struct xdp_md *ctx)
    r1 = map counts ll
    r2 = global limit + 4 ll
    r3 = extern CONFIG_HZ ll
    r4 = *(u32 *)(r1 + 0) @core(byte_off, \"struct event\", \"0:1\") @line(\"a.c\", 1, 2, \"x\")
    call kfunc bpf_rcu_read_lock
    exit
";
    for text in [printed.as_str(), written] {
        Object::parse(text.as_bytes(), &options()).unwrap_or_else(|e| panic!("{e:?}"));
    }
    let mut numbers = Numbers(11);
    let words = [
        "{",
        "}",
        "0xffffffffffffffff",
        "\"",
        "4294967295",
        "btf_type_4294967295",
        "struct",
        ";",
        "\n",
        "[",
        "-1",
        "\u{e9}",
    ];
    let (mut read, mut refused) = (0, 0);
    for (text, rounds) in [(printed.as_str(), 150), (written, 1500)] {
        for _ in 0..rounds {
            let mut broken = text.to_owned();
            for _ in 0..1 + numbers.next(3) {
                let at = (0..4)
                    .map(|back| numbers.next(broken.len()).saturating_sub(back))
                    .find(|&at| broken.is_char_boundary(at));
                let at = at.unwrap_or(0);
                match numbers.next(3) {
                    0 => broken.insert_str(at, words[numbers.next(words.len())]),
                    1 => {
                        let end = (at + numbers.next(12)).min(broken.len());
                        if broken.is_char_boundary(end) {
                            broken.replace_range(at..end, "");
                        }
                    }
                    _ => {
                        let end = (at + 1).min(broken.len());
                        if broken.is_char_boundary(end) {
                            broken.replace_range(at..end, words[numbers.next(words.len())]);
                        }
                    }
                }
            }
            if exercise(broken.as_bytes()) {
                read += 1
            } else {
                refused += 1
            }
        }
    }
    assert!(
        read > 50 && refused > 50,
        "{read} read, {refused} refused: the changes test nothing"
    );
}
