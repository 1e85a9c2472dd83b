//! One file a kind of rejection: what led to it and what would mend it.

pub mod arithmetic;
pub mod attach;
pub mod bounds;
pub mod call;
pub mod context;
pub mod dynptr;
pub mod frames;
pub mod looping;
pub mod misaligned;
pub mod null;
pub mod packet;
pub mod reference;
pub mod region;
pub mod result;
pub mod scalar;
pub mod stack;
pub mod structure;
pub mod trust;
pub mod uninitialised;
