//! The old suite (`verifier/*.c`), from dumps of what its runner hands to the kernel: one JSON file a test and mode.
//!
//! Invariant: ids of kernel types in a dump mean the recording kernel's; they are looked up by name in the target's.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use skep::btf::{Btf, Kind, TypeId};
use skep::spec::insn::{Endian, Insn, pseudo};
use skep::spec::map::MapType;
use skep::spec::program::{AttachType, ProgramType};
use skep::verifier::input::{AttachTarget, BtfIdx, Caps, FuncInfo, Input, MapId, MapInfo};
use skep::verify::TargetKernel;

use super::table::Row;

/// The input that a dump holds; `None` if there is no dump of that test.
pub fn input(folder: &Path, row: &Row, kernel: &TargetKernel) -> Result<Option<Input>, String> {
    let Some(test) = row.test else {
        return Ok(None);
    };
    let mode = if row.unprivileged { "u" } else { "p" };
    let Ok(text) = std::fs::read(folder.join(format!("{test:04}.{mode}.json"))) else {
        return Ok(None);
    };
    let dump: Value = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
    build(&dump, row, kernel).map(Some)
}

fn build(dump: &Value, row: &Row, kernel: &TargetKernel) -> Result<Input, String> {
    let number = |value: &Value, name: &str| value[name].as_u64().unwrap_or(0) as u32;
    let program_type =
        ProgramType::by_number(number(dump, "prog_type")).ok_or("unknown program type")?;
    // Some tests are about slots that no decoder takes.
    let bytes_of_insns = bytes(&dump["insns"])?;
    let (slots, _) = bytes_of_insns.as_chunks::<8>();
    let slots = slots
        .iter()
        .map(|slot| Insn::from_bytes(slot, Endian::Little));
    let mut insns: Vec<Insn> = slots.collect();
    let types = kernel.btfs.first();
    let mut maps = Vec::new();
    let mut map_types = None;
    let mut by_fd = HashMap::new();
    let listed = dump["maps"].as_array().map_or(&[][..], Vec::as_slice);
    for map in listed {
        by_fd.insert(number(map, "fd"), MapId(maps.len() as u32));
        let own = types_of(&map["btf"])?;
        let typed = |name: &str| {
            let id = TypeId(number(map, name));
            (id != TypeId::VOID && own.is_some()).then_some(id)
        };
        maps.push(MapInfo {
            name: map["name"].as_str().unwrap_or_default().to_owned(),
            map_type: MapType::by_number(number(map, "type")).ok_or("unknown map type")?,
            key_size: number(map, "key"),
            value_size: number(map, "value"),
            max_entries: number(map, "max"),
            flags: number(map, "flags"),
            map_extra: map["extra"].as_u64().unwrap_or(0),
            key_type: typed("key_type"),
            value_type: typed("value_type"),
            inner: None,
            frozen: None,
            user_address: 0,
        });
        map_types = map_types.or(own);
    }
    for (at, map) in listed.iter().enumerate() {
        if maps[at].map_type.is_map_of_maps() {
            maps[at].inner = by_fd.get(&number(map, "inner_fd")).copied();
        }
    }
    let named = |id: u32| {
        let symbol = &dump["symbols"][id.to_string()];
        let kind = match symbol[0].as_str()? {
            "FUNC" => Kind::Func,
            "VAR" => Kind::Var,
            _ => return None,
        };
        types?.find(kind, symbol[1].as_str()?)
    };
    let mut wide = false;
    for insn in &mut insns {
        if std::mem::take(&mut wide) {
            continue;
        }
        if insn.code == 0x85 && insn.src == pseudo::KFUNC_CALL {
            if let Some(id) = named(insn.imm as u32) {
                insn.imm = id.0 as i32;
            }
        } else if insn.is_ld_imm64() {
            wide = true;
            match insn.src {
                pseudo::MAP_FD | pseudo::MAP_VALUE => {
                    let map = by_fd.get(&(insn.imm as u32));
                    insn.imm = map.map_or(!insn.imm.max(0), |map| map.0 as i32);
                }
                pseudo::BTF_ID => {
                    if let Some(id) = named(insn.imm as u32) {
                        insn.imm = id.0 as i32;
                    }
                }
                _ => {}
            }
        }
    }
    let functions = dump["func_info"].as_array().map_or(&[][..], Vec::as_slice);
    let functions = functions.iter().map(|record| FuncInfo {
        insn: record[0].as_u64().unwrap_or(0) as usize,
        type_id: TypeId(record[1].as_u64().unwrap_or(0) as u32),
    });
    Ok(Input {
        name: String::new(),
        program_type,
        attach_type: AttachType::by_number(number(dump, "expected_attach_type"))
            .filter(|attach| attach.number() != 0),
        target: target(dump, types),
        host: None,
        license: dump["license"].as_str().unwrap_or_default().to_owned(),
        maps,
        btfs: kernel.btfs.clone(),
        functions: functions.collect(),
        program_btf: types_of(&dump["btf"])?.or(map_types),
        lines: Vec::new(),
        flags: number(dump, "flags"),
        caps: if row.unprivileged {
            Caps::NONE
        } else {
            Caps::ALL
        },
        profile: kernel.profile.clone(),
        log_level: 0,
        kern_version: 0,
        cpus: kernel.cpus,
        insns,
    })
}

fn target(dump: &Value, types: Option<&Arc<Btf>>) -> Option<AttachTarget> {
    let attach = &dump["attach"];
    let kind = match attach[0].as_str()? {
        "TYPEDEF" => Kind::Typedef,
        _ => Kind::Func,
    };
    let id = types?.find(kind, attach[1].as_str()?)?;
    Some(AttachTarget::Btf {
        btf: BtfIdx::KERNEL,
        id,
    })
}

fn types_of(text: &Value) -> Result<Option<Arc<Btf>>, String> {
    let bytes = bytes(text)?;
    if bytes.is_empty() {
        return Ok(None);
    }
    let btf = Btf::parse(bytes).map_err(|error| error.to_string())?;
    Ok(Some(Arc::new(btf)))
}

fn bytes(text: &Value) -> Result<Vec<u8>, String> {
    let text = text.as_str().unwrap_or_default();
    (0..text.len() / 2)
        .map(|at| {
            text.get(2 * at..2 * at + 2)
                .and_then(|pair| u8::from_str_radix(pair, 16).ok())
                .ok_or_else(|| "bytes are not hexadecimal".to_owned())
        })
        .collect()
}
