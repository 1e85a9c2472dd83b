//! `skep test-run`: runs one program on one input, on either engine, and shows what came out.
//!
//! Invariants: the answer is what the engine says, without interpretation beyond names; without `--engine` nothing needs
//! a privilege; maps are shown after the last run.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use skep::engine::embedded::Verify;
use skep::engine::embedded::hook::packet::Reader;
use skep::engine::{Engine, RunInput};
use skep::host::packet::Hook as PacketHook;
use skep::spec::context::{self, ContextLayout};
use skep::spec::program::flags::XDP_HAS_FRAGS;
use skep::vm::program::Limits;
use skep::{Embedded, Kernel, Program};

use crate::commands::open;
use crate::exit::Failure;
use crate::output::saved_maps::{self, hex};
use crate::output::{self, maps};

/// Run one program on one packet or context.
#[derive(Args)]
pub struct TestRunArgs {
    /// The object: an ELF file, or its text form.
    pub file: PathBuf,
    /// The program; may be left out where the object has only one.
    #[arg(short = 'P', long, value_name = "NAME")]
    pub program: Option<String>,
    /// The packet: hexadecimal digits, @FILE for its bytes, or @FILE.pcap (.pcapng) for a capture's first packet.
    #[arg(long, value_name = "HEX|@FILE")]
    pub data: Option<String>,
    /// The context: hexadecimal digits, @FILE, or JSON that sets members by name: {"ingress_ifindex": 2}.
    #[arg(long, value_name = "HEX|@FILE|JSON")]
    pub ctx: Option<String>,
    /// How often to run.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub repeat: u32,
    /// What runs it.
    #[arg(long, value_enum, default_value_t = EngineName::Embedded)]
    pub engine: EngineName,
    /// Set a global variable before loading; may be repeated.
    #[arg(short, long, value_name = "NAME=VALUE")]
    pub global: Vec<String>,
    /// Do not show maps.
    #[arg(long, conflicts_with = "map")]
    pub no_maps: bool,
    /// Show this map, and no other; may be repeated.
    #[arg(short, long, value_name = "NAME")]
    pub map: Vec<String>,
    /// Write all maps to this file after the last run; `skep maps FILE` shows them.
    #[arg(long, value_name = "FILE")]
    pub save_maps: Option<PathBuf>,
    /// Read the `maps` sections of before BTF too.
    #[arg(long)]
    pub legacy_maps: bool,
    /// Run a program that is not verified: each of its accesses is checked as it runs.
    #[arg(long)]
    pub sandbox: bool,
    /// Interpret programs instead of compiling them to machine code.
    #[arg(long)]
    pub no_jit: bool,
    /// Stop a run after this many instructions.
    #[arg(long, value_name = "N")]
    pub insns_max: Option<u64>,
}

/// The engines by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EngineName {
    /// skep's own virtual machine.
    Embedded,
    /// Linux, through bpf(2).
    Kernel,
}

/// Runs the command; answers the exit code.
pub fn run(args: &TestRunArgs, json: bool) -> Result<u8, Failure> {
    let (mut spec, bytes) = open::object(&args.file, args.legacy_maps)?;
    open::set_globals(&mut spec, &args.global)?;
    let name = match &args.program {
        Some(name) => name.clone(),
        None => {
            let mut names = spec.programs().iter().map(|program| program.name.clone());
            let first = names
                .next()
                .ok_or_else(|| Failure::usage("the object has no programs"))?;
            let more: Vec<String> = names.collect();
            if !more.is_empty() {
                let text = format!(
                    "which program? Say it with --program: {first}, {}",
                    more.join(", ")
                );
                return Err(Failure::usage(text));
            }
            first
        }
    };
    spec.select(&[&name])?;
    let engine: Arc<dyn Engine> = match args.engine {
        EngineName::Embedded => {
            let limits = Limits {
                insns: args.insns_max,
                ..Limits::default()
            };
            let mut builder = Embedded::builder().limits(limits).compile(!args.no_jit);
            if args.sandbox {
                builder = builder.verify(Verify::Never);
            }
            Arc::new(builder.build())
        }
        EngineName::Kernel if args.sandbox => {
            return Err(Failure::usage(
                "--sandbox: the kernel runs no program that it has not verified",
            ));
        }
        EngineName::Kernel => Arc::new(Kernel::new()?),
    };
    let loaded = spec.load_on(&engine);
    for note in engine.notes() {
        eprintln!("skep: {note}");
    }
    let object = loaded?;
    let program = object.program(&name)?;
    let layout = layout_of(&program);
    let data = args
        .data
        .as_deref()
        .map_or_else(|| Ok(Vec::new()), packet_bytes)?;
    let ctx = args
        .ctx
        .as_deref()
        .map_or_else(|| Ok(Vec::new()), |text| context_bytes(text, layout))?;
    let output = program.run_once(&RunInput {
        data: &data,
        ctx: &ctx,
        repeat: args.repeat,
    })?;

    let mut text = Vec::new();
    let named = verdict(&program, output.retval);
    let written = if json {
        let verdict = named.map_or(String::new(), |name| {
            format!("\"verdict\":{},", output::value::quoted(name))
        });
        let fields = if output.ctx.is_empty() {
            "null".to_owned()
        } else {
            json_fields(layout, &output.ctx)
        };
        writeln!(
            text,
            "{{\"r0\":{},{verdict}\"data\":\"{}\",\"ctx\":{fields},\"duration_ns\":{}}}",
            output.retval,
            hex(&output.data),
            output.duration.as_nanos()
        )
    } else {
        let verdict = named.map_or(String::new(), |name| format!(" ({name})"));
        let mut lines = format!("r0        {}{verdict}\n", output.retval);
        if !output.data.is_empty() {
            lines += &format!(
                "data      {} bytes: {}\n",
                output.data.len(),
                hex(&output.data)
            );
        }
        if !output.ctx.is_empty() {
            lines += &format!("ctx       {}\n", text_fields(layout, &output.ctx));
        }
        let each = if args.repeat > 1 {
            format!(" (average of {})", args.repeat)
        } else {
            String::new()
        };
        lines += &format!("duration  {} ns{each}\n", output.duration.as_nanos());
        text.write_all(lines.as_bytes())
    };
    let saved = maps::take(
        object.maps(),
        &args.map,
        args.no_maps,
        args.save_maps.is_some(),
    );
    let mut events = open::events(json, &bytes);
    let mut shown = written;
    for map in open::buffers(&object) {
        let drained = map.drain(|record| {
            if shown.is_ok() {
                shown = events.show(&map, record, &mut text);
            }
        });
        // An engine that cannot read this kind of buffer says so; the run itself is no failure.
        if let Err(error) = drained {
            eprintln!("skep: {error}");
        }
    }
    let shown =
        shown.and_then(|()| maps::show_chosen(&saved, &args.map, args.no_maps, json, &mut text));
    shown.map_err(|error| Failure::system(error.to_string()))?;
    output::print_bytes(&text)?;
    if let Some(path) = &args.save_maps {
        saved_maps::save(path, &saved)?;
    }
    Ok(0)
}

fn layout_of(program: &Program) -> Option<&'static ContextLayout> {
    let spec = program.spec();
    spec.program_type
        .map(|program_type| context::for_program(program_type, spec.attach_type))
}

/// The name of a packet program's answer.
fn verdict(program: &Program, r0: u64) -> Option<&'static str> {
    let spec = program.spec();
    let hook = PacketHook::for_program(
        spec.program_type?,
        spec.attach_type,
        spec.flags & XDP_HAS_FRAGS != 0,
    )?;
    hook.verdicts()
        .get(hook.judge(r0))
        .map(|verdict| verdict.name)
}

/// Hexadecimal digits; spaces, colons and a leading 0x are for the eye.
fn unhex(text: &str) -> Result<Vec<u8>, Failure> {
    let text = text.trim();
    let digits: Vec<u8> = text
        .strip_prefix("0x")
        .unwrap_or(text)
        .bytes()
        .filter(|b| !b" :_\n\t".contains(b))
        .collect();
    let digit = |b: u8| char::from(b).to_digit(16).map(|d| d as u8);
    let wrong = || {
        Failure::usage(format!(
            "`{text}` is not a row of hexadecimal bytes (nor @FILE)"
        ))
    };
    let (pairs, rest) = digits.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(wrong());
    }
    pairs
        .iter()
        .map(|[a, b]| Some(digit(*a)? << 4 | digit(*b)?))
        .collect::<Option<Vec<u8>>>()
        .ok_or_else(wrong)
}

fn packet_bytes(text: &str) -> Result<Vec<u8>, Failure> {
    let Some(path) = text.strip_prefix('@') else {
        return unhex(text);
    };
    let bytes = super::read_file(path)?;
    if !path.ends_with(".pcap") && !path.ends_with(".pcapng") {
        return Ok(bytes);
    }
    let cannot = |why: String| Failure::system(format!("cannot read {path}: {why}"));
    let mut reader = Reader::new(&bytes[..]).map_err(|error| cannot(error.to_string()))?;
    let packet = reader.next().map_err(|error| cannot(error.to_string()))?;
    packet
        .map(|packet| packet.data.to_vec())
        .ok_or_else(|| cannot("the capture has no packets".to_owned()))
}

fn context_bytes(text: &str, layout: Option<&'static ContextLayout>) -> Result<Vec<u8>, Failure> {
    if let Some(path) = text.strip_prefix('@') {
        return super::read_file(path);
    }
    if !text.trim_start().starts_with('{') {
        return unhex(text);
    }
    let wrong = |why: String| Failure::usage(format!("--ctx: {why}"));
    let layout = layout.filter(|layout| !layout.fields.is_empty());
    let layout = layout.ok_or_else(|| {
        wrong("this program's context has no named members; give its bytes".to_owned())
    })?;
    let members: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text)
        .map_err(|error| wrong(format!("is not a JSON object: {error}")))?;
    let mut bytes = vec![0; layout.size as usize];
    for (name, value) in members {
        let Some((_, field)) = layout.field(&name) else {
            let known: Vec<&str> = layout.fields.iter().map(|field| field.name).collect();
            return Err(wrong(format!(
                "struct {} has no member `{name}`; it has: {}",
                layout.name,
                known.join(", ")
            )));
        };
        let number = value
            .as_u64()
            .or_else(|| value.as_i64().map(|number| number as u64));
        let number =
            number.ok_or_else(|| wrong(format!("the value of `{name}` is no whole number")))?;
        let size = (field.size as usize).min(8);
        // A negative number fits where its sign does.
        let left_out = if value.is_i64() && !value.is_u64() {
            (number as i64) >> (size * 8 - 1) != -1
        } else {
            size < 8 && number >> (size * 8) != 0
        };
        if left_out {
            return Err(wrong(format!(
                "{value} does not fit in the {size} bytes of `{name}`"
            )));
        }
        let place = &mut bytes[field.offset as usize..field.offset as usize + size];
        place.copy_from_slice(&number.to_le_bytes()[..size]);
    }
    Ok(bytes)
}

/// The members of a context that are not zero.
fn fields(layout: Option<&'static ContextLayout>, ctx: &[u8]) -> Vec<(&'static str, u64)> {
    let fields = layout.map_or(&[][..], |layout| layout.fields);
    let value = |field: &context::Field| {
        let from = field.offset as usize;
        let bytes = ctx.get(from..from + (field.size as usize).min(8))?;
        let mut value = [0; 8];
        value[..bytes.len()].copy_from_slice(bytes);
        Some((field.name, u64::from_le_bytes(value))).filter(|(_, value)| *value != 0)
    };
    fields.iter().filter_map(value).collect()
}

fn text_fields(layout: Option<&'static ContextLayout>, ctx: &[u8]) -> String {
    let members: Vec<String> = fields(layout, ctx)
        .iter()
        .map(|(name, value)| format!("{name} {value}"))
        .collect();
    if members.is_empty() {
        format!("{} bytes: {}", ctx.len(), hex(ctx))
    } else {
        members.join(", ")
    }
}

fn json_fields(layout: Option<&'static ContextLayout>, ctx: &[u8]) -> String {
    if layout.is_none_or(|layout| layout.fields.is_empty()) {
        return output::value::quoted(&hex(ctx));
    }
    let members = fields(layout, ctx);
    let members: Vec<String> = members
        .iter()
        .map(|(name, value)| format!("{}:{value}", output::value::quoted(name)))
        .collect();
    format!("{{{}}}", members.join(","))
}
