//! Prints the types of a BTF file as a C header: `header /sys/kernel/btf/vmlinux > vmlinux.h`.

use skep_btf::{Btf, format_c};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args_os().nth(1).ok_or("usage: header FILE")?;
    let btf = Btf::parse(std::fs::read(path)?)?;
    print!("{}", format_c::dump(&btf)?);
    Ok(())
}
