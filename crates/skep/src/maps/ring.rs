//! Buffers of events: the ring buffer that all CPUs share, and the perf buffers, one a CPU.
//!
//! Invariants: a record that is shorter than the event type is an error item, not a panic and not skipped; a longer one
//! is cut (the kernel pads perf records to 8 bytes).

use std::marker::PhantomData;

use skep_spec::errno::Errno;
use skep_spec::map::MapType;

use super::{Map, Plain};
use crate::error::{Error, Result};

/// A ring buffer of events of type `E`.
pub struct RingBuffer<E> {
    map: Map,
    types: PhantomData<fn() -> E>,
}

impl<E: Plain> TryFrom<Map> for RingBuffer<E> {
    type Error = Error;

    fn try_from(map: Map) -> Result<Self> {
        map.expect(&[MapType::Ringbuf], None, None)?;
        Ok(RingBuffer {
            map,
            types: PhantomData,
        })
    }
}

impl<E: Plain> RingBuffer<E> {
    /// Hands over each event that is there, oldest first; answers how many.
    pub fn drain(&self, visit: impl FnMut(&E)) -> Result<usize> {
        drain(&self.map, visit)
    }

    /// Events that found no room.
    pub fn lost(&self) -> u64 {
        self.map.lost()
    }
}

/// The perf buffers of all CPUs, with events of type `E`.
pub struct PerfBuffer<E> {
    map: Map,
    types: PhantomData<fn() -> E>,
}

impl<E: Plain> TryFrom<Map> for PerfBuffer<E> {
    type Error = Error;

    fn try_from(map: Map) -> Result<Self> {
        map.expect(&[MapType::PerfEventArray], None, None)?;
        Ok(PerfBuffer {
            map,
            types: PhantomData,
        })
    }
}

impl<E: Plain> PerfBuffer<E> {
    /// Hands over each event that is there, oldest first for each CPU; answers how many.
    pub fn drain(&self, visit: impl FnMut(&E)) -> Result<usize> {
        drain(&self.map, visit)
    }

    /// Events that found no room.
    pub fn lost(&self) -> u64 {
        self.map.lost()
    }
}

fn drain<E: Plain>(map: &Map, mut visit: impl FnMut(&E)) -> Result<usize> {
    let mut short = false;
    let count = map.drain(|record| match E::read_from_prefix(record.bytes) {
        Ok((event, _)) => visit(&event),
        Err(_) => short = true,
    })?;
    if short {
        Err(map.error(
            "decoding a record shorter than the event type",
            Errno::EMSGSIZE,
        ))
    } else {
        Ok(count)
    }
}
