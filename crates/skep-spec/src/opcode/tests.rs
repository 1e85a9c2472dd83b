//! The table's own rules, and bpf_conformance's programs: valid and invalid.

use super::*;
use crate::insn::{Endian, decode_all};

/// A valid slot of this form. A cast between address spaces needs two of them.
fn sample(row: &Opcode) -> Insn {
    let imm = if row.name == "addr_space_cast" {
        1
    } else {
        row.blank().imm
    };
    Insn { imm, ..row.blank() }
}

#[test]
fn rows_are_sorted_and_have_names_of_their_own() {
    assert!(all().is_sorted_by_key(|row| row.code));
    for row in all() {
        assert_eq!(by_name(row.name), Some(row));
        assert_eq!(
            all().iter().filter(|other| other.name == row.name).count(),
            1
        );
        assert_eq!(check(sample(row)), Ok(row), "{}", row.name);
    }
}

#[test]
fn every_slot_has_at_most_one_form() {
    for row in all() {
        let insn = row.blank();
        assert_eq!(
            all().iter().filter(|other| other.admits(insn)).count(),
            1,
            "{}",
            row.name
        );
    }
}

#[test]
fn fields_that_are_not_used_must_be_zero() {
    for row in all() {
        for (used, insn) in [
            (
                row.dst,
                Insn {
                    dst: 1,
                    ..sample(row)
                },
            ),
            (
                row.src,
                Insn {
                    src: 9,
                    ..sample(row)
                },
            ),
            (
                row.off,
                Insn {
                    off: 77,
                    ..sample(row)
                },
            ),
            (
                row.imm,
                Insn {
                    imm: 0x7777,
                    ..sample(row)
                },
            ),
        ] {
            assert_eq!(
                check(insn).is_ok(),
                used == Use::Free,
                "{} {insn:?}",
                row.name
            );
        }
        if row.dst == Use::Free {
            assert!(
                check(Insn {
                    dst: 11,
                    ..sample(row)
                })
                .is_err()
            );
        }
        if row.src == Use::Free {
            assert!(
                check(Insn {
                    src: 11,
                    ..sample(row)
                })
                .is_err()
            );
        }
    }
}

#[test]
fn an_unknown_code_is_said_to_be_so() {
    assert_eq!(
        check(Insn::new(0x8f, 0, 0, 0, 0)).unwrap_err(),
        "unknown code 0x8f"
    );
    assert!(
        check(Insn::new(0xdb, 1, 2, 0, 0x77))
            .unwrap_err()
            .starts_with("code 0xdb has no form")
    );
    assert_eq!(
        check(Insn::new(0x95, 0, 0, 3, 0)).unwrap_err(),
        "exit does not use its offset, which must be 0 and is 3"
    );
}

/// One program of a JSON list of flat objects: name and bytes. Enough of JSON for these two files.
fn programs(json: &str) -> Vec<(String, Vec<u8>)> {
    let field = |object: &str, key: &str| {
        let at = object.find(&format!("\"{key}\": \"")).unwrap() + key.len() + 5;
        object[at..at + object[at..].find('"').unwrap()].to_owned()
    };
    let objects = json.split('{').skip(1);
    objects
        .map(|object| {
            let hex = field(object, "program");
            let bytes = (0..hex.len() / 2)
                .map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap());
            (field(object, "name"), bytes.collect())
        })
        .collect()
}

fn conformance(file: &str) -> Vec<(String, Vec<u8>)> {
    let path = format!(
        "{}/../../conformance/bpf_conformance/{file}",
        env!("CARGO_MANIFEST_DIR")
    );
    programs(&std::fs::read_to_string(path).unwrap())
}

#[test]
fn conformance_programs_are_accepted() {
    let cases = conformance("cases.json");
    assert_eq!(cases.len(), 313);
    for (name, bytes) in cases {
        let insns = decode_all(&bytes, Endian::Little).unwrap();
        assert_eq!(check_all(&insns), Ok(()), "{name}");
    }
}

#[test]
fn conformance_negatives_are_refused() {
    let cases = conformance("negative.json");
    assert_eq!(cases.len(), 45);
    for (name, bytes) in cases {
        let refusal = decode_all(&bytes, Endian::Little)
            .and_then(|insns| check_all(&insns))
            .expect_err(&name);
        assert_eq!(refusal.offset, 0, "{name}: {refusal}");
        let field = match name.rsplit('-').next().unwrap() {
            "dst" => "destination register",
            "src" => "source register",
            "imm" => "immediate",
            _ => "offset",
        };
        assert!(refusal.to_string().contains(field), "{name}: {refusal}");
    }
}
