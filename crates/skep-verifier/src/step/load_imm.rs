//! Wide immediates: numbers, maps, map values, variables, functions; and where legacy packet loads start.

use skep_spec::insn::{Insn, mode};

use crate::fault::{Fault, Rule};
use crate::input::{BtfIdx, MapId};
use crate::state::reg::{Detail, Flags, Kind, Reg};
use crate::step::{Next, Use};
use crate::verifier::Verifier;
use skep_spec::map::MapType;

impl Verifier<'_> {
    /// An instruction of class LD.
    pub fn step_load_imm(&mut self, insn: Insn) -> Rule<Next> {
        match insn.code & mode::MASK {
            mode::ABS | mode::IND => {
                self.check_ld_abs(insn)?;
                Ok(Next::Insn(self.insn_idx + 1))
            }
            _ => {
                self.check_ld_imm64(insn)?;
                Ok(Next::Insn(self.insn_idx + 2))
            }
        }
    }

    fn check_ld_imm64(&mut self, insn: Insn) -> Rule {
        if insn.code & skep_spec::insn::size::MASK != skep_spec::insn::size::DW {
            return Err(Fault::new(
                22,
                "verifier-ld-imm64",
                "invalid BPF_LD_IMM insn",
            ));
        }
        if insn.off != 0 {
            return Err(Fault::new(
                22,
                "verifier-reserved-fields",
                "BPF_LD_IMM64 uses reserved fields",
            ));
        }
        let next = self
            .insns
            .get(self.insn_idx + 1)
            .copied()
            .unwrap_or_default();
        self.check_reg_arg(insn.dst, Use::WriteNoMark)?;
        let reg = match insn.src {
            0 => Reg::constant(insn.imm64(next)),
            3 => self.variable(BtfIdx(next.imm as u16), insn.imm as u32)?,
            4 => {
                let target = (self.insn_idx as i64 + i64::from(insn.imm) + 1) as usize;
                let subprog = self
                    .subprogs
                    .iter()
                    .position(|subprog| subprog.start == target)
                    .ok_or_else(|| {
                        Fault::new(22, "verifier-function-address", "missing btf func_info")
                    })?;
                Reg::pointer(Kind::Func, Flags::NONE).to(Detail::Func {
                    subprog: subprog as u32,
                })
            }
            1 | 2 | 5 | 6 => {
                let map = MapId(insn.imm as u32);
                let Some(info) = self.input.maps.get(map.0 as usize) else {
                    return Err(Fault::new(
                        9,
                        "verifier-map-reference",
                        format!(
                            "fd {} is not pointing to valid bpf_map",
                            crate::input::descriptor(insn.imm)
                        ),
                    ));
                };
                if matches!(insn.src, 1 | 5) {
                    Reg::pointer(Kind::MapPtr, Flags::NONE).to(Detail::Map { map, uid: 0 })
                } else if info.map_type == MapType::Arena {
                    Reg {
                        num: crate::state::scalar::Scalar::UNKNOWN,
                        ..Reg::pointer(Kind::Arena, Flags::NONE)
                    }
                } else {
                    Reg {
                        off: next.imm,
                        ..Reg::pointer(Kind::MapValue, Flags::NONE).to(Detail::Map { map, uid: 0 })
                    }
                }
            }
            _ => {
                return Err(Fault::new(
                    22,
                    "verifier-ld-imm64",
                    "unrecognized bpf_ld_imm64 insn",
                ));
            }
        };
        self.set_reg(insn.dst, reg);
        Ok(())
    }

    /// The address of a kernel variable.
    fn variable(&mut self, btf: BtfIdx, id: u32) -> Rule<Reg> {
        crate::check::variable::address(self, btf, id)
    }
}
