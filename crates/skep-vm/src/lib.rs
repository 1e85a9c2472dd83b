//! Runs a program: interpreter, maps, helpers.

mod decode;
pub mod env;
pub mod helper;
mod interp;
mod machine;
pub mod map;
mod memory;
pub mod packet;
pub mod program;
pub mod trap;

pub use env::{Current, DefaultEnv, Env, FixedEnv};
pub use map::Map;
pub use memory::Ctx;
pub use program::{FnRange, Image, Limits, LoadError, Program};
pub use trap::{Line, Trap, TrapCause};
