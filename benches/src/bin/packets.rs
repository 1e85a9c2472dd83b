//! Nanoseconds a packet in memory, the same object on the embedded engine and on the kernel.
//!
//! Prints `packet WHAT EMBEDDED KERNEL`, `-` where an engine does not run it. Both engines repeat the program on one packet
//! of 64 bytes, take turns, and the least of all rounds counts; verdicts of both must be equal.

use std::error::Error;

use skep::engine::RunInput;
use skep::{Embedded, Kernel, Object, ObjectSpec};

const PROGRAMS: &[(&str, &str)] = &[
    ("x_drop", "xdp, drop"),
    ("x_parse_array", "xdp, parse and per-CPU array"),
    ("x_parse_hash", "xdp, parse and hash count"),
    ("x_parse_pcpu_hash", "xdp, parse and per-CPU hash"),
    ("x_lb_restore", "xdp, L4 load balancer and undo"),
    ("t_drop", "tc, drop"),
    ("t_parse_hash", "tc, parse and hash count"),
    ("s_parse_hash", "socket filter, load_bytes and hash"),
];
const REPEAT: u32 = 50_000;
const ROUNDS: usize = 30;
const RING: u32 = 65_537;
const REALS: u32 = 100;

fn main() -> Result<(), Box<dyn Error>> {
    let file = std::env::args().nth(1).ok_or("usage: packets OBJECT")?;
    let spec = ObjectSpec::parse(&std::fs::read(file)?)?;
    let embedded = spec.load(&Embedded::new())?;
    fill(&embedded)?;
    let kernel = Kernel::new().ok().and_then(|engine| spec.load(&engine).ok());
    match &kernel {
        Some(kernel) => fill(kernel)?,
        None => println!("note the kernel does not load the programs"),
    }
    let frame = frame();
    for (name, what) in PROGRAMS {
        let (mut ours, mut theirs) = (f64::INFINITY, f64::INFINITY);
        for _ in 0..ROUNDS {
            let (retval, ns) = run(&embedded, name, &frame)?;
            ours = ours.min(ns);
            if let Some(kernel) = &kernel {
                let (expected, ns) = run(kernel, name, &frame)?;
                theirs = theirs.min(ns);
                if retval as u32 != expected as u32 {
                    return Err(format!("{name}: {retval} here, {expected} in the kernel").into());
                }
            }
        }
        let theirs = if theirs.is_finite() { format!("{theirs:.2}") } else { "-".to_owned() };
        println!("packet {name} {ours:.2} {theirs} {what}");
    }
    Ok(())
}

fn run(object: &Object, name: &str, frame: &[u8]) -> Result<(u64, f64), Box<dyn Error>> {
    let input = RunInput { data: frame, repeat: REPEAT, ..RunInput::default() };
    let output = object.program(name)?.run_once(&input)?;
    Ok((output.retval, output.duration.as_nanos() as f64))
}

/// One virtual address with a hundred servers behind it.
fn fill(object: &Object) -> Result<(), Box<dyn Error>> {
    let vips = object.map("vips")?;
    for protocol in [6u8, 17] {
        let mut key = [0u8; 8];
        key[..4].copy_from_slice(&[10, 200, 1, 1]);
        key[4..6].copy_from_slice(&80u16.to_be_bytes());
        key[6] = protocol;
        let mut value = [0u8; 8];
        value[0] = 3;
        vips.set(&key, &value)?;
    }
    let ring = object.map("ch_ring")?;
    for slot in 0..RING {
        let server = (slot.wrapping_mul(2_654_435_761) >> 7) % REALS;
        ring.set(&slot.to_ne_bytes(), &server.to_ne_bytes())?;
    }
    let reals = object.map("reals")?;
    for server in 0..REALS {
        let value = [10, 0, 0, server as u8, 2, 0, 0, 0, 1, server as u8, 0, 0];
        reals.set(&server.to_ne_bytes(), &value)?;
    }
    Ok(())
}

/// 64 bytes of TCP to the virtual address.
fn frame() -> Vec<u8> {
    let mut frame = vec![0u8; 64];
    frame[..6].copy_from_slice(&[2, 0, 0, 0, 0, 1]);
    frame[6..12].copy_from_slice(&[2, 0, 0, 0, 0, 2]);
    frame[12] = 8;
    frame[14] = 0x45;
    frame[16..18].copy_from_slice(&50u16.to_be_bytes());
    frame[22] = 64;
    frame[23] = 6;
    frame[26..30].copy_from_slice(&[192, 168, 1, 1]);
    frame[30..34].copy_from_slice(&[10, 200, 1, 1]);
    frame[34..36].copy_from_slice(&31_337u16.to_be_bytes());
    frame[36..38].copy_from_slice(&80u16.to_be_bytes());
    frame
}
