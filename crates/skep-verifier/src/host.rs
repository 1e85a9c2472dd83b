//! A place to run programs that no kernel has: somebody's own service, with a context and helpers of its own.
//!
//! Invariants: the context lies in memory as its layout says ([`ContextKind::Flat`]); numbers of own helpers are not
//! Linux's ([`Host::check`]); whatever a host does not list is refused.

use skep_spec::context::{ContextKind, ContextLayout, FieldValue};
use skep_spec::helper::Helper;

use crate::platform::{ExitRange, HelperSet};

/// The lowest number that a host's own helper may have. Linux's stay far below, and do not reach it.
pub const OWN_HELPER_MIN: u32 = 1000;

/// What a host offers to programs.
#[derive(Clone, Debug)]
pub struct Host {
    /// Its name in messages: `request`.
    pub name: String,
    /// What r1 points to.
    pub context: &'static ContextLayout,
    /// Whether programs may write the bytes between the context's [`FieldValue::PacketStart`] and
    /// [`FieldValue::PacketEnd`].
    pub data_writable: bool,
    /// Its own helpers.
    pub helpers: Vec<Helper>,
    /// Which of Linux's helpers it has.
    pub linux_helpers: HelperSet,
    /// What programs may return.
    pub result: ExitRange,
}

impl Host {
    /// A host with that context and nothing else.
    pub fn new(name: impl Into<String>, context: &'static ContextLayout) -> Host {
        Host {
            name: name.into(),
            context,
            data_writable: false,
            helpers: Vec::new(),
            linux_helpers: HelperSet::EMPTY,
            result: ExitRange::Ignored,
        }
    }

    /// Its own helper of that number.
    pub fn helper(&self, id: u32) -> Option<&Helper> {
        self.helpers.iter().find(|helper| helper.id == id)
    }

    /// What is wrong with it, if anything: a verdict for such a host would mean nothing.
    pub fn check(&self) -> Result<(), String> {
        let layout = self.context;
        if layout.kind != ContextKind::Flat {
            return Err(format!(
                "the context {} does not lie in memory as programs see it",
                layout.name
            ));
        }
        let mut end = 0;
        for field in layout.fields {
            let name = field.name;
            let after = u64::from(field.offset) + u64::from(field.size);
            if u64::from(field.offset) < end || after > u64::from(layout.size) {
                return Err(format!(
                    "field `{name}` of {} overlaps another, or ends outside",
                    layout.name
                ));
            }
            end = after;
            if field.value != FieldValue::Scalar
                && (field.size != 8 || field.write != skep_spec::context::Access::Denied)
            {
                return Err(format!(
                    "field `{name}` of {} holds an address, which is 8 bytes that no program may write",
                    layout.name
                ));
            }
        }
        for value in [FieldValue::PacketStart, FieldValue::PacketEnd] {
            let count = layout.fields.iter().filter(|f| f.value == value).count();
            if count > 1 {
                return Err(format!("{} has more than one range of bytes", layout.name));
            }
        }
        for (at, helper) in self.helpers.iter().enumerate() {
            if helper.id < OWN_HELPER_MIN {
                return Err(format!(
                    "helper `{}` has the number {}; own helpers start at {OWN_HELPER_MIN}",
                    helper.name, helper.id
                ));
            }
            if let Some(other) = self.helpers[..at].iter().find(|h| h.id == helper.id) {
                return Err(format!(
                    "helpers `{}` and `{}` have the same number {}",
                    other.name, helper.name, helper.id
                ));
            }
        }
        Ok(())
    }
}
