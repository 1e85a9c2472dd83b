//! One file a kind of rejection: what led to it and what would mend it.

pub mod bounds;
pub mod null;
pub mod packet;
pub mod uninitialised;
