//! The front door: Engine, loader, attach, typed maps, links.

pub use skep_btf as btf;
pub use skep_host as host;
pub use skep_obj as obj;
pub use skep_spec as spec;
pub use skep_vm as vm;
