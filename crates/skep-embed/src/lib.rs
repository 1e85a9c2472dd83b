//! Verified plug-ins for Rust programs: the verifier and the virtual machine as a library.
//!
//! A service says what a plug-in may see ([`Context`], derived from one of its structures) and call (closures with typed
//! arguments). A plug-in is a BPF program, compiled from C or written in assembly. Loading it proves that it can do
//! nothing else, or says why not, with the source line; after that it runs as machine code without checks, on any number of
//! threads.
//!
//! ```
//! use skep_embed::{Context, Plugin};
//!
//! #[derive(Context)]
//! #[repr(C)]
//! struct Request {
//!     #[bpf(read)]
//!     bytes: u64,
//!     #[bpf(read, write)]
//!     verdict: u32,
//!     secret: u32,
//! }
//!
//! struct Service {
//!     limit: u64,
//! }
//!
//! let plugin = Plugin::<Request, Service>::builder()
//!     .helper("limit_of", 1000, |service: &Service, user: u64| service.limit + user)
//!     .load(
//!         br#"
//!             .section "request"
//!             .function check
//!                 r6 = r1
//!                 r7 = *(u64 *)(r1 + 0)
//!                 r1 = 5
//!                 call 1000
//!                 if r7 > r0 goto L1
//!                 *(u32 *)(r6 + 8) = 1
//!             L1:
//!                 r0 = 0
//!                 exit
//!         "#,
//!         "check",
//!     )?;
//! let mut request = Request { bytes: 100, verdict: 0, secret: 7 };
//! plugin.call_with(&mut request, &Service { limit: 100 })?;
//! assert_eq!(request.verdict, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is proven
//!
//! A plug-in that loads reads and writes only fields that say so, bytes whose bounds it has compared, its own stack and
//! maps; it calls only the helpers that were given, with arguments of their types; and it comes to an end. None of this
//! is checked again when it runs. [`Limits`] bound instructions and wall-clock time, for hosts that want it to end soon.
//!
//! # What a context can be
//!
//! A `#[repr(C)]` structure of numbers, arrays of them, and structures of those ([`Typed`]); bytes elsewhere, with both
//! their ends ([`Bytes`], [`BytesMut`]; one range a context); and values elsewhere ([`Ref`], [`RefMut`], [`RefOrNull`]).
//! Plug-ins reach fields of the structure itself at constant offsets only; what is to be indexed belongs into bytes or
//! behind an address. What cannot be sound does not compile:
//!
//! ```compile_fail
//! // A plug-in could write a 2 into it.
//! #[derive(skep_embed::Context)]
//! #[repr(C)]
//! struct Request {
//!     #[bpf(read, write)]
//!     allowed: bool,
//! }
//! ```
//! ```compile_fail
//! // One's start could be compared with the other's end.
//! #[derive(skep_embed::Context)]
//! #[repr(C)]
//! struct Request<'a> {
//!     #[bpf(read)]
//!     head: skep_embed::Bytes<'a>,
//!     #[bpf(read)]
//!     body: skep_embed::Bytes<'a>,
//! }
//! ```
//! ```compile_fail
//! // The gap after `level` has no bytes that could be read.
//! #[derive(skep_embed::Typed)]
//! #[repr(C)]
//! struct User {
//!     level: u32,
//!     id: u64,
//! }
//! #[derive(skep_embed::Context)]
//! #[repr(C)]
//! struct Request {
//!     #[bpf(read)]
//!     user: User,
//! }
//! ```
//! ```compile_fail
//! // Rust may put the fields in any order.
//! #[derive(skep_embed::Context)]
//! struct Request {
//!     #[bpf(read)]
//!     bytes: u64,
//! }
//! ```
//!
//! # Sandbox
//!
//! What cannot be proven may run in the sandbox instead ([`Builder::sandboxed`]): the same program, each access checked.

#![forbid(unsafe_op_in_unsafe_fn)]

pub mod argument;
pub mod builder;
pub mod error;
pub mod helper;
mod load;
pub mod plugin;
pub mod prove;
pub mod types;
mod world;

/// What the derives' code refers to; `skep_vm`'s typed contexts.
pub use skep_vm::typed;

pub use builder::Builder;
pub use error::{CallError, LoadError};
pub use helper::Answer;
pub use plugin::Plugin;
pub use skep_derive::{Context, Typed};
pub use skep_spec::errno::Errno;
pub use skep_vm::JitError;
pub use skep_vm::map::Map;
pub use skep_vm::program::Limits;
pub use skep_vm::typed::{Bytes, BytesMut, Context, Ref, RefMut, RefOrNull, Typed};
