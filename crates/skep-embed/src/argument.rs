//! The types that arguments of helpers can have: how many registers they take, what the verifier asks of those, and what
//! the closure gets.
//!
//! Invariants: a closure never sees the program's memory itself, which other threads may change, but a copy of its own;
//! what it writes to a copy goes back when it returns; whatever an argument asks for in [`Argument::TAKES`] is what
//! [`Argument::hold`] relies on.

use std::sync::Arc;

use skep_spec::helper::{ArgKind, ArgType};
use skep_vm::helper::Arguments;
use skep_vm::typed::{Typed, read_value, value_bytes};
use skep_vm::{Map, Trap};

/// A parameter of a helper.
pub trait Argument {
    /// What its registers hold, one or two of them.
    const TAKES: &'static [ArgType];
    /// What C declares for them.
    fn declare(name: &str) -> String;
    /// What is kept while the closure runs.
    type Held;
    /// What the closure gets.
    type As<'h>;
    /// From the registers, of which its first is number `at`.
    fn hold(arguments: &Arguments<'_, '_, '_>, at: usize) -> Result<Self::Held, Trap>;
    /// For the closure.
    fn lend(held: &mut Self::Held) -> Self::As<'_>;
    /// After the closure.
    fn give_back(
        _held: Self::Held,
        _arguments: &mut Arguments<'_, '_, '_>,
        _at: usize,
    ) -> Result<(), Trap> {
        Ok(())
    }
}

const fn takes(kind: ArgKind, modifiers: u8, size: usize) -> ArgType {
    assert!(
        size <= u16::MAX as usize,
        "a value of more than 65535 bytes"
    );
    ArgType {
        kind,
        modifiers,
        size: size as u16,
        of: "",
    }
}

macro_rules! numbers {
    ($($number:ty, $c:literal;)*) => {
        $(
            impl Argument for $number {
                const TAKES: &'static [ArgType] = &[takes(ArgKind::Scalar, 0, 0)];
                type Held = $number;
                type As<'h> = $number;

                fn declare(name: &str) -> String {
                    format!(concat!($c, " {}"), name)
                }

                // The low bits, as a function of C takes them.
                fn hold(arguments: &Arguments<'_, '_, '_>, at: usize) -> Result<$number, Trap> {
                    Ok(arguments.number(at) as $number)
                }

                fn lend(held: &mut $number) -> $number {
                    *held
                }
            }
        )*
    };
}

numbers! {
    u64, "__u64";
    i64, "__s64";
    u32, "__u32";
    i32, "__s32";
    u16, "__u16";
    u8, "__u8";
}

impl Argument for bool {
    const TAKES: &'static [ArgType] = &[takes(ArgKind::Scalar, 0, 0)];
    type Held = bool;
    type As<'h> = bool;

    fn declare(name: &str) -> String {
        format!("_Bool {name}")
    }

    fn hold(arguments: &Arguments<'_, '_, '_>, at: usize) -> Result<bool, Trap> {
        Ok(arguments.number(at) as u8 != 0)
    }

    fn lend(held: &mut bool) -> bool {
        *held
    }
}

/// Bytes copied for a closure: short ones lie with the call.
pub struct Copied {
    short: [u8; Copied::SHORT],
    long: Vec<u8>,
    len: usize,
}

impl Copied {
    const SHORT: usize = 256;

    fn new(bytes: &[u8]) -> Copied {
        let mut copied = Copied {
            short: [0; Copied::SHORT],
            long: Vec::new(),
            len: bytes.len(),
        };
        match copied.short.get_mut(..bytes.len()) {
            Some(short) => short.copy_from_slice(bytes),
            None => copied.long = bytes.to_vec(),
        }
        copied
    }

    fn bytes(&mut self) -> &mut [u8] {
        match self.short.get_mut(..self.len) {
            Some(short) => short,
            None => &mut self.long,
        }
    }
}

/// The address and the length of bytes that the helper reads.
impl Argument for &[u8] {
    const TAKES: &'static [ArgType] = &[
        takes(ArgKind::Mem, ArgType::READ_ONLY, 0),
        takes(ArgKind::SizeOrZero, 0, 0),
    ];
    type Held = Copied;
    type As<'h> = &'h [u8];

    fn declare(name: &str) -> String {
        format!("const void *{name}, __u64 {name}_size")
    }

    fn hold(arguments: &Arguments<'_, '_, '_>, at: usize) -> Result<Copied, Trap> {
        Ok(Copied::new(arguments.read(at)?))
    }

    fn lend(held: &mut Copied) -> &[u8] {
        held.bytes()
    }
}

/// The address and the length of bytes that the helper reads and writes.
impl Argument for &mut [u8] {
    const TAKES: &'static [ArgType] = &[
        takes(ArgKind::Mem, ArgType::WRITTEN, 0),
        takes(ArgKind::SizeOrZero, 0, 0),
    ];
    type Held = Copied;
    type As<'h> = &'h mut [u8];

    fn declare(name: &str) -> String {
        format!("void *{name}, __u64 {name}_size")
    }

    fn hold(arguments: &Arguments<'_, '_, '_>, at: usize) -> Result<Copied, Trap> {
        Ok(Copied::new(arguments.read(at)?))
    }

    fn lend(held: &mut Copied) -> &mut [u8] {
        held.bytes()
    }

    fn give_back(
        mut held: Copied,
        arguments: &mut Arguments<'_, '_, '_>,
        at: usize,
    ) -> Result<(), Trap> {
        arguments.write(at)?.copy_from_slice(held.bytes());
        Ok(())
    }
}

fn value<T: Typed>(arguments: &Arguments<'_, '_, '_>, at: usize) -> Result<T, Trap> {
    read_value(arguments.read(at)?)
        .ok_or_else(|| arguments.refuse(format!("argument {at} has another size than its type")))
}

fn declare_value<T: Typed>(name: &str, constant: &str) -> String {
    match crate::types::c_name(&T::TYPE) {
        (ty, after) if after.is_empty() => format!("{constant}{ty} *{name}"),
        (ty, after) => format!("{constant}{ty} (*{name}){after}"),
    }
}

/// The address of a value that the helper reads.
impl<T: Typed + 'static> Argument for &T {
    const TAKES: &'static [ArgType] =
        &[takes(ArgKind::FixedMem, ArgType::READ_ONLY, size_of::<T>())];
    type Held = T;
    type As<'h> = &'h T;

    fn declare(name: &str) -> String {
        declare_value::<T>(name, "const ")
    }

    fn hold(arguments: &Arguments<'_, '_, '_>, at: usize) -> Result<T, Trap> {
        value(arguments, at)
    }

    fn lend(held: &mut T) -> &T {
        held
    }
}

/// The address of a value that the helper reads and writes.
impl<T: Typed + 'static> Argument for &mut T {
    const TAKES: &'static [ArgType] = &[takes(ArgKind::FixedMem, ArgType::WRITTEN, size_of::<T>())];
    type Held = T;
    type As<'h> = &'h mut T;

    fn declare(name: &str) -> String {
        declare_value::<T>(name, "")
    }

    fn hold(arguments: &Arguments<'_, '_, '_>, at: usize) -> Result<T, Trap> {
        value(arguments, at)
    }

    fn lend(held: &mut T) -> &mut T {
        held
    }

    fn give_back(held: T, arguments: &mut Arguments<'_, '_, '_>, at: usize) -> Result<(), Trap> {
        let bytes = value_bytes(&held);
        let memory = arguments.write(at)?;
        if memory.len() == bytes.len() {
            memory.copy_from_slice(bytes);
        }
        Ok(())
    }
}

/// One of the plug-in's maps.
impl Argument for &dyn Map {
    const TAKES: &'static [ArgType] = &[takes(ArgKind::Map, 0, 0)];
    type Held = Arc<dyn Map>;
    type As<'h> = &'h dyn Map;

    fn declare(name: &str) -> String {
        format!("void *{name}")
    }

    fn hold(arguments: &Arguments<'_, '_, '_>, at: usize) -> Result<Arc<dyn Map>, Trap> {
        arguments.map_arc(at)
    }

    fn lend(held: &mut Arc<dyn Map>) -> &dyn Map {
        &**held
    }
}
