//! `#[derive(Context)]` and `#[derive(Typed)]`: Rust structures that programs know, with their layout, their types and
//! what programs may do with each field.
//!
//! Invariants: only `#[repr(C)]` structures with named fields are taken, so that a layout is what C has; offsets and sizes
//! are the compiler's own (`offset_of!`, `size_of`), never computed here; what the tokens cannot show (whether a field's
//! type has gaps, or takes any bytes) is asserted in constants of the generated code.

use proc_macro::TokenStream;

mod structure;
mod write;

/// Makes a structure a context of programs. Each field that programs may touch says how: `#[bpf(read)]`, `#[bpf(write)]`,
/// `#[bpf(read, write)]`; fields without it do not exist for programs. `#[bpf(name = "request")]` on the structure names
/// it in C; without it C has Rust's name.
#[proc_macro_derive(Context, attributes(bpf))]
pub fn context(input: TokenStream) -> TokenStream {
    derive(input, write::context)
}

/// Makes a structure a type that fields of contexts and arguments of helpers can have.
#[proc_macro_derive(Typed, attributes(bpf))]
pub fn typed(input: TokenStream) -> TokenStream {
    derive(input, write::typed)
}

fn derive(
    input: TokenStream,
    write: fn(&structure::Structure) -> Result<String, structure::Wrong>,
) -> TokenStream {
    let written = structure::parse(input).and_then(|structure| write(&structure));
    match written {
        Ok(text) => text.parse().unwrap_or_else(|_| {
            structure::Wrong::here("the structure's types cannot be read").error()
        }),
        Err(wrong) => wrong.error(),
    }
}
