//! One run of a program on one input, as the kernel's test run does it.
//!
//! Invariants: data and context are what the last run left; a context that does not suit the program is refused by name,
//! never cut or padded silently; a trap is an error.

use std::time::{Duration, Instant};

use skep_host::packet::{Hook as PacketHook, LinkType, Port};
use skep_spec::context::{self, ContextKind};
use skep_spec::program::ProgramType;
use skep_vm::packet::PacketCtx;
use skep_vm::{Ctx, DefaultEnv};

use super::{Embedded, EmbeddedProgram};
use crate::engine::{EMPTY_PACKET, LoadedProgram, RunInput, RunOutput};
use crate::error::{Error, ErrorKind, Result};

pub(super) fn run_once(
    engine: &Embedded,
    program: &dyn LoadedProgram,
    input: &RunInput<'_>,
) -> Result<RunOutput> {
    let embedded = program
        .as_any()
        .downcast_ref::<EmbeddedProgram>()
        .ok_or_else(|| {
            let why = "is not loaded on this engine".to_owned();
            Error::from(ErrorKind::Malformed {
                program: program.name().to_owned(),
                why,
            })
        })?;
    let Some(program_type) = embedded.program_type() else {
        return flat(engine, embedded, input, input.ctx.to_vec());
    };
    if let Some(hook) = PacketHook::for_program(program_type, embedded.attach_type(), true) {
        return packet(engine, embedded, hook, input);
    }
    no_data(program, input)?;
    match program_type {
        ProgramType::RawTracepoint | ProgramType::RawTracepointWritable | ProgramType::Tracing => {
            arguments(engine, embedded, input)
        }
        ProgramType::Tracepoint => {
            // Short records are padded: a program checks nothing and the kernel's are at least this long.
            let mut record = input.ctx.to_vec();
            record.resize(record.len().max(64).max(embedded.context_bytes()), 0);
            flat(engine, embedded, input, record)
        }
        _ => {
            let layout = context::for_program(program_type, embedded.attach_type());
            match layout.kind {
                ContextKind::Flat => flat(engine, embedded, input, input.ctx.to_vec()),
                ContextKind::Converted => Err(wrong(
                    program,
                    "programs of this type cannot be run on an input yet",
                )),
            }
        }
    }
}

fn wrong(program: &dyn LoadedProgram, why: impl Into<String>) -> Error {
    ErrorKind::Input {
        what: format!("run of `{}`", program.name()),
        why: why.into(),
    }
    .into()
}

fn no_data(program: &dyn LoadedProgram, input: &RunInput<'_>) -> Result<()> {
    match input.data.is_empty() {
        true => Ok(()),
        false => Err(wrong(
            program,
            "programs of this type have no packet; give a context",
        )),
    }
}

/// Runs `repeat` times; answers the last r0 and the average time.
fn repeat(input: &RunInput<'_>, mut run: impl FnMut() -> Result<u64>) -> Result<(u64, Duration)> {
    let times = input.repeat.max(1);
    let mut retval = 0;
    let start = Instant::now();
    for _ in 0..times {
        retval = run()?;
    }
    Ok((retval, start.elapsed() / times))
}

fn flat(
    engine: &Embedded,
    program: &EmbeddedProgram,
    input: &RunInput<'_>,
    start: Vec<u8>,
) -> Result<RunOutput> {
    if start.len() < program.context_bytes() {
        let why = format!(
            "it reads {} bytes of context; {} were given",
            program.context_bytes(),
            start.len()
        );
        return Err(wrong(program, why));
    }
    let env = DefaultEnv::new();
    let mut bytes = start.clone();
    let (retval, duration) = repeat(input, || {
        bytes.copy_from_slice(&start);
        let mut ctx = if bytes.is_empty() {
            Ctx::None
        } else {
            Ctx::Flat(&mut bytes)
        };
        Ok(program.program().run(&mut ctx, &env, engine.limits())?)
    })?;
    Ok(RunOutput {
        retval,
        ctx: bytes,
        duration,
        ..RunOutput::default()
    })
}

fn arguments(
    engine: &Embedded,
    program: &EmbeddedProgram,
    input: &RunInput<'_>,
) -> Result<RunOutput> {
    /// The most arguments that a raw tracepoint has.
    const ARGUMENTS_MAX: usize = 12;
    let (words, rest) = input.ctx.as_chunks::<8>();
    if !rest.is_empty() || words.len() > ARGUMENTS_MAX {
        let why = format!(
            "the context is up to {ARGUMENTS_MAX} arguments of 8 bytes; {} bytes were given",
            input.ctx.len()
        );
        return Err(wrong(program, why));
    }
    let mut start = [0; ARGUMENTS_MAX];
    for (argument, word) in start.iter_mut().zip(words) {
        *argument = u64::from_ne_bytes(*word);
    }
    let env = DefaultEnv::new();
    let (retval, duration) = repeat(input, || {
        let mut arguments = start;
        Ok(program
            .program()
            .run(&mut Ctx::Args(&mut arguments), &env, engine.limits())?)
    })?;
    Ok(RunOutput {
        retval,
        ctx: input.ctx.to_vec(),
        duration,
        ..RunOutput::default()
    })
}

fn packet(
    engine: &Embedded,
    program: &EmbeddedProgram,
    hook: PacketHook,
    input: &RunInput<'_>,
) -> Result<RunOutput> {
    let data = if input.data.is_empty() {
        &EMPTY_PACKET[..]
    } else {
        input.data
    };
    let env = DefaultEnv::new();
    let port = Port::default();
    let mut ctx = hook.context();
    let load = |ctx: &mut PacketCtx| {
        hook.load(ctx, data, LinkType::ETHERNET, &port)
            .map_err(|unfit| wrong(program, unfit.to_string()))?;
        set_fields(program, ctx, input.ctx)
    };
    let (retval, duration) = repeat(input, || {
        load(&mut ctx)?;
        Ok(program
            .program()
            .run(&mut Ctx::Packet(&mut ctx), &env, engine.limits())?)
    })?;
    // What an XDP program put in front of the packet is given back with it, as the kernel's test run does.
    let meta = match hook {
        PacketHook::Xdp { .. } | PacketHook::XdpDevmap => ctx.meta_bytes(),
        _ => &[],
    };
    let data = [meta, hook.bytes(&ctx)].concat();
    Ok(RunOutput {
        // The kernel's programs answer 32 bits.
        retval: u64::from(retval as u32),
        data,
        ctx: if input.ctx.is_empty() {
            Vec::new()
        } else {
            fields(&ctx)
        },
        duration,
    })
}

/// Sets what a user may say of the packet: every scalar field that is not zero in the given structure. Pointers into
/// the packet are the engine's own.
fn set_fields(program: &EmbeddedProgram, packet: &mut PacketCtx, given: &[u8]) -> Result<()> {
    let layout = packet.layout();
    if given.len() > layout.size as usize && given[layout.size as usize..].iter().any(|&b| b != 0) {
        let why = format!(
            "the context is a struct {} of {} bytes; {} were given",
            layout.name,
            layout.size,
            given.len()
        );
        return Err(wrong(program, why));
    }
    for (slot, field) in layout.fields.iter().enumerate() {
        let (from, len) = (field.offset as usize, (field.size as usize).min(8));
        let Some(bytes) = given.get(from..from + len) else {
            continue;
        };
        let mut value = [0; 8];
        value[..len].copy_from_slice(bytes);
        let value = u64::from_le_bytes(value);
        if field.value == context::FieldValue::Scalar && value != 0 {
            packet.set_slot(slot, value);
        }
    }
    Ok(())
}

/// The context as user space sees it.
fn fields(packet: &PacketCtx) -> Vec<u8> {
    let layout = packet.layout();
    let mut bytes = vec![0; layout.size as usize];
    for (slot, field) in layout.fields.iter().enumerate() {
        let (from, len) = (field.offset as usize, (field.size as usize).min(8));
        if field.value == context::FieldValue::Scalar
            && let Some(place) = bytes.get_mut(from..from + len)
        {
            place.copy_from_slice(&packet.slot(slot).to_le_bytes()[..len]);
        }
    }
    bytes
}
