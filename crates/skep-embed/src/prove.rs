//! From a verdict to a program that runs without checks.
//!
//! Invariants: a proof is made of a [`Verified`] of the very instructions that run, over the maps that they run with, and
//! of nothing else; what the virtual machine cannot do without checks stays checked.

use std::sync::Arc;

use skep_spec::context::ContextKind;
use skep_spec::insn::Insn;
use skep_verifier::facts::{InsnFacts, Way, width};
use skep_verifier::input::MapInfo;
use skep_verifier::{Input, Rejection, Verified};
use skep_vm::Map;
use skep_vm::program::{Image, LoadError, Program};
use skep_vm::proof::{Access, FrameProof, InsnProof, Proof};

/// What the virtual machine is told. `image` is of the verified instructions, `places` are its maps by the input's index.
pub fn proof(verified: &Verified, image: &Image, places: &[Option<usize>]) -> Proof {
    // Helpers may take bytes of a context that lies in memory as programs see it.
    let flat = image
        .layout
        .is_none_or(|layout| layout.kind == ContextKind::Flat);
    let widths = width::of(&image.insns, verified);
    let insn = |(at, facts): (usize, &InsnFacts)| InsnProof {
        upper_zero: widths.upper_zero(&image.insns, at),
        divisor_not_zero: widths.divisor_not_zero(&image.insns, at),
        ..insn(facts, places)
    };
    Proof {
        insns: verified.facts.iter().enumerate().map(insn).collect(),
        frames: verified
            .functions
            .iter()
            .map(|function| FrameProof {
                start: function.start,
                bytes: function.stack_bytes,
                reads_unwritten: function.reads_unwritten,
            })
            .collect(),
        context_bytes: if flat {
            u64::from(verified.context_bytes)
        } else {
            0
        },
    }
}

fn insn(facts: &InsnFacts, places: &[Option<usize>]) -> InsnProof {
    let place = |map: skep_verifier::input::MapId| {
        let place = places.get(map.0 as usize).copied().flatten()?;
        u32::try_from(place).ok()
    };
    InsnProof {
        reached: facts.reached,
        next: facts.ways.next,
        target: facts.ways.target,
        access: match facts.access {
            Way::Direct => Access::Direct,
            Way::Context { offset } => Access::Context { offset },
            Way::Typed { probe: true } => Access::Probe,
            // Structures of a kernel's are no memory of the host's: the environment reads them.
            Way::Typed { probe: false } | Way::Never | Way::Other => Access::Checked,
        },
        map: facts.map.and_then(place),
        ..InsnProof::default()
    }
}

/// Why there is no proven program.
#[derive(Debug)]
pub enum Unproven {
    /// The verifier refuses it.
    Refused(Box<Rejection>),
    /// Input and image are not of the same program.
    Differs(&'static str),
    /// The virtual machine does not have what the program needs.
    NotLoadable(LoadError),
}

/// Verifies a program for a host and prepares it to run without checks. `input` and `image` must be of the same program:
/// the same instructions, maps in the same order, the host's context and helpers.
pub fn verify(input: &Input, image: Image) -> Result<Arc<Program>, Unproven> {
    differs(input, &image).map_err(Unproven::Differs)?;
    let verified = skep_verifier::verify(input).map_err(Unproven::Refused)?;
    let places: Vec<Option<usize>> = (0..image.maps.len()).map(Some).collect();
    let mut proof = proof(&verified, &image, &places);
    // A host's context is all there or not at all.
    proof.context_bytes = u64::from(input.context().size);
    // SAFETY: the verifier has accepted these instructions, for a host with this context and helpers of these prototypes,
    // over maps of these kinds and sizes: `differs` compared them. Its facts hold in every run with such a context, and
    // the virtual machine starts no other.
    let program = unsafe { Program::proven(image, proof) };
    program.map_err(Unproven::NotLoadable)
}

/// What is not the same in both.
fn differs(input: &Input, image: &Image) -> Result<(), &'static str> {
    let Some(host) = &input.host else {
        return Err("the input is not for a host");
    };
    if host.check().is_err() {
        return Err("the host is not well formed");
    }
    if !image
        .layout
        .is_some_and(|own| std::ptr::eq(own, host.context))
    {
        return Err("the context");
    }
    let same = |a: &Insn, b: &Insn| {
        (a.code, a.dst, a.src, a.off, a.imm) == (b.code, b.dst, b.src, b.off, b.imm)
    };
    if input.insns.len() != image.insns.len()
        || !input
            .insns
            .iter()
            .zip(&image.insns)
            .all(|(a, b)| same(a, b))
    {
        return Err("the instructions");
    }
    if !image.kfuncs.is_empty() || !image.symbols.is_empty() {
        return Err("functions and variables of a kernel");
    }
    // Templates of maps of maps come after the maps themselves.
    if input.maps.len() < image.maps.len()
        || !input
            .maps
            .iter()
            .zip(&image.maps)
            .all(|(a, b)| is_of(a, &**b))
    {
        return Err("the maps");
    }
    let own = |id: u32| {
        let mut own = image.own_helpers.iter();
        own.find(|own| own.prototype.id == id)
    };
    let offered = |helper: &skep_spec::helper::Helper| {
        own(helper.id).is_some_and(|own| own.prototype == *helper)
    };
    if !host.helpers.iter().all(offered) {
        return Err("the helpers");
    }
    Ok(())
}

fn is_of(info: &MapInfo, map: &dyn Map) -> bool {
    let def = map.def();
    let frozen = info.frozen.as_ref().is_none_or(|bytes| {
        let mut value = Vec::new();
        map.frozen()
            && map.lookup_user(&0u32.to_ne_bytes(), 0, &mut value).is_ok()
            && value[..] == bytes[..]
    });
    info.map_type == def.map_type
        && info.key_size == def.key_size
        && info.value_size == def.value_size
        && info.max_entries == def.max_entries
        && info.flags == def.flags
        && frozen
}
