//! The front door: Engine, loader, attach, typed maps, links.
//!
//! ```no_run
//! use skep::{Embedded, ObjectSpec, maps::HashMap};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut spec = ObjectSpec::parse(&std::fs::read("watch.bpf.o")?)?;
//! spec.global("sample_rate")?.set(&100u32)?;
//! let object = spec.load(&Embedded::new())?;
//! let count: HashMap<u32, u64> = object.map("count")?.try_into()?;
//! let _links = object.attach_all()?;
//! for entry in count.entries() {
//!     let (key, value) = entry?;
//!     println!("{key} {value}");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The embedded engine verifies programs when they are loaded and then runs them without checks. A program that the verifier
//! refuses is an error with the verifier's explanation ([`error::Refused`]); [`engine::embedded::Verify`] says otherwise:
//!
//! ```
//! use skep::{Embedded, engine::embedded::Verify};
//!
//! // Runs anything, with every access checked.
//! let engine = Embedded::builder().verify(Verify::Never).build();
//! # assert_eq!(engine.verify(), Verify::Never);
//! ```
//!
//! Invariants: nothing here prints, exits or reads the environment; handles are owned, `Send` and `Sync`; the same types
//! come out of every engine.

pub mod attach;
pub mod engine;
pub mod error;
pub mod events;
mod link;
mod loader;
pub mod maps;
mod object_spec;
pub mod verify;

pub use engine::Engine;
pub use engine::embedded::Embedded;
pub use engine::kernel::Kernel;
pub use error::{Error, ErrorKind, NotSupported, Result};
pub use link::Link;
pub use loader::{Object, Program};
pub use object_spec::{Global, ObjectSpec};

pub use skep_btf as btf;
pub use skep_host as host;
pub use skep_obj as obj;
pub use skep_spec as spec;
pub use skep_verifier as verifier;
pub use skep_vm as vm;
