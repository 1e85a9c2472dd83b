//! `stack`: values last in, first out.
//!
//! Invariants: those of [`super::queue`]: bounded, and a forced push drops the oldest.

use super::queue::{Order, Pile};
use skep_spec::errno::Errno;
use skep_spec::map::MapDef;

/// A stack.
pub(crate) fn new(def: &MapDef) -> Result<Pile, Errno> {
    Pile::new(def, Order::NewestFirst)
}
