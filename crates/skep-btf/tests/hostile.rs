//! Broken input: thousands of mutations of real BTF, and every question asked of what still parses. Nothing may panic, run
//! away or take memory that the input does not justify.

mod support;

use std::sync::Arc;

use skep_btf::core::{CoreKind, CoreRelo, Relocator};
use skep_btf::{Btf, BtfExt, Builder, Kind, TypeId, dedup, format_c, layout, value};
use support::data;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    fn mutate(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len());
            match self.below(6) {
                0 => bytes[at] ^= 1 << self.below(8),
                1 => bytes[at] = self.next() as u8,
                2 => {
                    // A word of the file, replaced by a value that is wrong in an interesting way.
                    let values = [
                        0,
                        1,
                        0x7fff_ffff,
                        0xffff_ffff,
                        0x8000_0000,
                        0xffff,
                        bytes.len() as u32,
                        self.next() as u32 % 64,
                    ];
                    let value = values[self.below(values.len())];
                    let at = at & !3;
                    if let Some(word) = bytes.get_mut(at..at + 4) {
                        word.copy_from_slice(&value.to_le_bytes());
                    }
                }
                3 => bytes.truncate(at),
                4 => {
                    let from = self.below(bytes.len());
                    let len = self.below(16).min(bytes.len() - from.max(at));
                    bytes.copy_within(from..from + len, at);
                }
                _ => {
                    let kind = self.below(24) as u8;
                    if let Some(byte) = bytes.get_mut(at & !3 | 3) {
                        *byte = kind;
                    }
                }
            }
            if bytes.is_empty() {
                return;
            }
        }
    }
}

/// Asks everything; the answers do not matter, that they come does.
fn ask(btf: &Arc<Btf>, random: &mut Random) {
    let some = [0_u8; 256];
    for id in (0..btf.len() + 2).map(TypeId) {
        let _ = format!("{:?}", btf.ty(id));
        let _ = (
            btf.name(id),
            btf.resolve(id),
            btf.size_of(id),
            btf.align_of(id),
            btf.unqualified(id),
        );
        let _ = btf.member(id, "a");
    }
    for _ in 0..8 {
        let id = TypeId(random.below(btf.len() as usize + 1) as u32);
        let _ = format_c::type_name(btf, id);
        let _ = layout::of(btf, id).map(|layout| layout.to_string());
        let value = value::format(btf, id, &some[..random.below(256)]);
        assert!(value.to_json().len() < 64 << 20);
    }
    let name = btf.name(TypeId(1)).to_owned();
    let named = btf.find_all(&name);
    assert_eq!(!named.is_empty(), !name.is_empty() && btf.len() > 1);
    let _ = (btf.find(Kind::Struct, "bits"), btf.pointer_size());
}

fn ask_much(btf: &Arc<Btf>, target: &Arc<Btf>, random: &mut Random) {
    let _ = format_c::dump(btf).map(|text| assert!(text.len() < 128 << 20));
    if let Ok(deduped) = dedup::dedup(btf) {
        let once = deduped
            .builder
            .finish()
            .and_then(|bytes| Ok((Btf::parse(bytes.clone())?, bytes)));
        // What cannot be written is refused; what is written can be read, and is then as small as it gets.
        if let Ok((once, bytes)) = once {
            assert_eq!(
                dedup::dedup(&once).unwrap().builder.finish().unwrap(),
                bytes
            );
        }
    }
    let copy = Builder::from_btf(btf).and_then(Builder::into_btf);
    if let Ok(copy) = copy {
        assert_eq!(copy.len(), btf.len());
    }
    let targets = [target.clone(), btf.clone()];
    for (local, targets) in [(btf, &targets[..1]), (target, &targets[1..])] {
        let mut relocator = Relocator::new(local, targets);
        for id in local.ids() {
            for kind in CoreKind::ALL {
                let access = ["0", "0:0", "0:1", "1:0", "0:2:1", "3"][random.below(6)].to_owned();
                let _ = relocator
                    .resolve(&CoreRelo {
                        insn_off: 0,
                        type_id: id,
                        access,
                        kind,
                    })
                    .map_err(|error| error.to_string());
            }
        }
    }
}

fn section(bytes: &[u8], name: &str) -> Vec<u8> {
    use object::{Object, ObjectSection};
    let file = object::File::parse(bytes).unwrap();
    file.section_by_name(name).unwrap().data().unwrap().to_vec()
}

#[test]
fn mutated_btf_never_panics() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let (mut parsed, mut refused) = (0, 0);
    for name in [
        "relocs-el.elf",
        "relocs-eb.elf",
        "relocs_read-el.elf",
        "relocs_read_tgt-el.elf",
    ] {
        let good = section(&data(name), ".BTF");
        let target = Arc::new(Btf::parse(good.clone()).unwrap());
        for round in 0..1500 {
            let mut bytes = good.clone();
            random.mutate(&mut bytes);
            match Btf::parse(bytes) {
                Ok(btf) => {
                    parsed += 1;
                    let btf = Arc::new(btf);
                    ask(&btf, &mut random);
                    if round % 8 == 0 {
                        ask_much(&btf, &target, &mut random);
                    }
                }
                Err(error) => {
                    refused += 1;
                    assert!(
                        error.to_string().starts_with(".BTF at offset 0x"),
                        "{error}"
                    );
                }
            }
        }
    }
    assert!(
        parsed > 500 && refused > 500,
        "{parsed} parsed, {refused} refused"
    );
}

#[test]
fn every_truncation_is_refused_with_its_place() {
    let good = section(&data("relocs_read_tgt-el.elf"), ".BTF");
    for len in 0..good.len() {
        let error = Btf::parse(good[..len].to_vec()).unwrap_err().to_string();
        assert!(error.starts_with(".BTF at offset 0x"), "{len}: {error}");
    }
}

#[test]
fn mutated_btf_ext_never_panics() {
    let mut random = Random(0x1234_5678_9abc_def1);
    let (mut parsed, mut refused) = (0, 0);
    for name in ["relocs-el.elf", "relocs_read-eb.elf"] {
        let elf = data(name);
        let btf = Btf::parse(section(&elf, ".BTF")).unwrap();
        let good = section(&elf, ".BTF.ext");
        for _ in 0..4000 {
            let mut bytes = good.clone();
            random.mutate(&mut bytes);
            match BtfExt::parse(&btf, &bytes) {
                Ok(ext) => {
                    parsed += 1;
                    let records = |ext: &BtfExt| -> usize {
                        let relos: usize = ext
                            .core_relos
                            .iter()
                            .map(|section| section.records.len())
                            .sum();
                        relos
                            + ext
                                .line_infos
                                .iter()
                                .map(|section| section.records.len())
                                .sum::<usize>()
                    };
                    assert!(records(&ext) * 8 <= bytes.len());
                }
                Err(error) => {
                    refused += 1;
                    assert!(
                        error.to_string().starts_with(".BTF.ext at offset 0x"),
                        "{error}"
                    );
                }
            }
        }
    }
    assert!(
        parsed > 100 && refused > 1000,
        "{parsed} parsed, {refused} refused"
    );
}

#[test]
fn btf_ext_is_written_as_it_was_read() {
    for name in ["relocs-el.elf", "relocs_read-eb.elf", "relocs_enum-el.elf"] {
        let elf = data(name);
        let btf = Btf::parse(section(&elf, ".BTF")).unwrap();
        let ext = BtfExt::parse(&btf, &section(&elf, ".BTF.ext")).unwrap();
        let builder = Builder::from_btf(&btf).unwrap();
        let mut strings = skep_btf::build::Strings::new(None);
        let bytes = ext.write(&mut strings, btf.endian()).unwrap();
        let copy = Btf::parse(builder.finish_with(&mut strings).unwrap()).unwrap();
        assert_eq!(BtfExt::parse(&copy, &bytes).unwrap(), ext);
        assert!(
            ext.core_relos
                .iter()
                .any(|section| !section.records.is_empty())
        );
    }
}

#[test]
fn deep_nesting_ends_without_taking_the_stack() {
    use skep_btf::build::MemberDef;
    use skep_btf::ty::Encoding;
    for shape in 0..7 {
        let mut b = Builder::new();
        let int = b.add_int("int", 4, Encoding::SIGNED);
        let mut id = int;
        for level in 0..3000 {
            let member = [MemberDef::new("a", id, 0)];
            id = match shape {
                0 => b.add_struct("", 4, member),
                1 => b.add_struct(&format!("s{level}"), 4, member),
                2 => b.add_func_proto(id, &[("f", id)]),
                3 => b.add_typedef(&format!("t{level}"), id),
                4 => b.add_array(id, int, 1),
                5 => b.add_union("", 4, [MemberDef::new("", id, 0)]),
                _ => {
                    let inner = b.add_struct("", 8, member);
                    let proto = b.add_func_proto(inner, &[("", inner)]);
                    let pointer = b.add_ptr(proto);
                    b.add_typedef(&format!("t{level}"), pointer)
                }
            };
        }
        let top = b.add_struct("top", 8, [MemberDef::new("x", id, 0)]);
        let btf = Arc::new(b.into_btf().unwrap());
        assert!(
            format_c::declare(&btf, top).is_err() || matches!(shape, 1 | 3 | 6),
            "shape {shape}"
        );
        let _ = (
            format_c::dump(&btf),
            layout::of(&btf, top),
            value::format(&btf, top, &[0; 64]),
        );
        let _ = (
            btf.align_of(top),
            btf.size_of(top),
            btf.member(top, "y"),
            btf.member(id, "y"),
        );
        let targets = [btf.clone()];
        let mut relocator = Relocator::new(&btf, &targets);
        for kind in CoreKind::ALL {
            let access = if kind.is_type() { "0" } else { "0:0" }.to_owned();
            let _ = relocator.resolve(&CoreRelo {
                insn_off: 0,
                type_id: top,
                access,
                kind,
            });
        }
        assert_eq!(dedup::dedup(&btf).unwrap().map.len(), btf.len() as usize);
    }
}
