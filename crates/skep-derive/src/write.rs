//! The code that a derive writes.
//!
//! Invariants: it names everything by full path, so that it means the same wherever it stands; its only `unsafe` are the
//! two implementations, whose promises the constants beside them check.

use std::fmt::Write as _;

use crate::structure::{Structure, Wrong};

/// Where the generated code finds what it needs.
const TYPED: &str = "::skep_embed::typed";

/// `impl Typed`.
pub fn typed(structure: &Structure) -> Result<String, Wrong> {
    if structure.lifetimes != 0 {
        return Err(Wrong::new(
            "a type without addresses has no lifetimes; `Context` is for structures with them",
            structure.span,
        ));
    }
    let name = &structure.name;
    Ok(format!(
        "const _: () = {{
            {describe}
            // SAFETY: offsets and size are the compiler's, and the fields' types are described by themselves.
            #[automatically_derived]
            unsafe impl {TYPED}::Typed for {name} {{
                const TYPE: {TYPED}::Type = {TYPED}::Type::Structure(&STRUCTURE);
            }}
        }};",
        describe = describe(structure, name),
    ))
}

/// `impl Context`.
pub fn context(structure: &Structure) -> Result<String, Wrong> {
    if !structure
        .fields
        .iter()
        .any(|field| field.read || field.write)
    {
        return Err(Wrong::new(
            "programs may touch no field: mark some with #[bpf(read)] or #[bpf(read, write)]",
            structure.span,
        ));
    }
    let name = &structure.name;
    let lifetimes = |one: &str| match structure.lifetimes {
        0 => String::new(),
        count => format!("<{}>", vec![one; count].join(", ")),
    };
    let (own, any) = (
        format!("{name}{}", lifetimes("'static")),
        format!("{name}{}", lifetimes("'_")),
    );
    let mut members = String::new();
    for field in &structure.fields {
        let _ = write!(
            members,
            "{TYPED}::Member {{ read: {}, write: {} }},",
            field.read, field.write
        );
    }
    Ok(format!(
        "const _: () = {{
            {describe}
            const MEMBERS: &[{TYPED}::Member] = &[{members}];
            const _: () = {TYPED}::check(&STRUCTURE, MEMBERS);
            static FIELDS: [{TYPED}::Field; {TYPED}::count(STRUCTURE.fields, MEMBERS)] =
                {TYPED}::fields(STRUCTURE.fields, MEMBERS);
            static LAYOUT: {TYPED}::ContextLayout = {TYPED}::ContextLayout {{
                name: STRUCTURE.name,
                size: STRUCTURE.size,
                fields: &FIELDS,
                kind: {TYPED}::ContextKind::Flat,
            }};
            static DESCRIBED: {TYPED}::Structure = STRUCTURE;
            // SAFETY: offsets and size are the compiler's, the fields' types are described by themselves, and `check` has
            // seen that each may be accessed as its rule says.
            #[automatically_derived]
            unsafe impl {TYPED}::Context for {any} {{
                type Family = {own};
                #[inline]
                fn layout() -> &'static {TYPED}::ContextLayout {{ &LAYOUT }}
                fn structure() -> &'static {TYPED}::Structure {{ &DESCRIBED }}
            }}
        }};",
        describe = describe(structure, &own),
    ))
}

/// `const STRUCTURE`.
fn describe(structure: &Structure, own: &str) -> String {
    let mut fields = String::new();
    for field in &structure.fields {
        let (name, ty) = (&field.name, &field.ty);
        let _ = write!(
            fields,
            "{TYPED}::StructureField {{
                name: {name:?},
                end: \"{name}_end\",
                offset: ::core::mem::offset_of!({own}, {name}) as u32,
                ty: &<{ty} as {TYPED}::Typed>::TYPE,
            }},"
        );
    }
    format!(
        "const STRUCTURE: {TYPED}::Structure = {TYPED}::Structure {{
            name: {:?},
            size: ::core::mem::size_of::<{own}>() as u32,
            fields: &[{fields}],
        }};",
        structure.c_name
    )
}
