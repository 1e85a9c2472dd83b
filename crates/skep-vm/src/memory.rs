//! What a running program may touch.
//!
//! Registers hold the host's own addresses. Nothing is mapped or translated; each access is compared with the regions
//! that belong to the run: stack frames, context, packet, map values, reserved records, modelled kernel memory.
//!
//! Invariants: [`Memory::find`] answers only ranges that are valid for the access for as long as no helper runs, or,
//! for those that a helper may move, until [`Memory::forget`]; a remembered [`Window`] is such an answer; a converted
//! context is never part of a window, because its bytes are not where programs see them.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem::MaybeUninit;
use core::ops::Range;

use skep_spec::context::{Access, ContextLayout, Field, FieldValue};

use crate::map::Map;
use crate::packet::PacketCtx;
use crate::trap::TrapCause;
use crate::typed::{Structure, TypedContext};

/// What a program is started with.
pub enum Ctx<'a> {
    /// r1 is 0.
    None,
    /// r1 is the address of the bytes, r2 their length.
    Flat(&'a mut [u8]),
    /// r1 is a converted context that describes a packet.
    Packet(&'a mut PacketCtx),
    /// r1 is a converted context; field `i` of the layout is in slot `i`.
    Converted {
        layout: &'static ContextLayout,
        slots: &'a mut [u64],
    },
    /// r1 is the address of a Rust structure.
    Typed(TypedContext<'a>),
    /// r1 is the address of an array of 64-bit arguments (`raw_tracepoint`, `fentry`, `tp_btf`).
    Args(&'a mut [u64]),
}

/// Bytes between two frames that belong to none, so that a small overrun is seen.
pub(crate) const FRAME_GAP: usize = 64;
pub(crate) const FRAME_BYTES: usize = skep_spec::limits::MAX_STACK;
pub(crate) const FRAMES: usize = skep_spec::limits::MAX_CALL_FRAMES;
/// The frames of a run. A tail call from a function keeps its callers' frames and counts its own from there, so that the
/// tail calls of one run may nest deeper than one program's calls.
pub(crate) const FRAMES_MAX: usize = FRAMES + 2 * skep_spec::limits::MAX_TAIL_CALLS as usize;
/// From the top of a frame to the top of its callee's.
pub(crate) const FRAME_STRIDE: usize = FRAME_BYTES + FRAME_GAP;
pub(crate) const STACK_BYTES: usize = FRAME_STRIDE * FRAMES_MAX + FRAME_GAP;
/// The same for a run without tail calls.
pub(crate) const STACK_BYTES_ONE: usize = FRAME_STRIDE * FRAMES + FRAME_GAP;

/// A range of addresses that may be accessed directly: `offset < limits[w]` for an access of `1 << w` bytes.
#[derive(Clone, Copy, Default)]
pub(crate) struct Window {
    pub start: u64,
    pub limits: [u64; 4],
}

impl Window {
    fn new(range: &Range<u64>) -> Window {
        let len = range.end - range.start;
        let limit = |width: u64| (len + 1).saturating_sub(width);
        Window {
            start: range.start,
            limits: [limit(1), limit(2), limit(4), limit(8)],
        }
    }
}

/// Memory reserved by a helper for this run, such as a ring buffer's record.
pub(crate) struct Record {
    pub range: Range<u64>,
    pub map: Arc<dyn Map>,
    /// Gives the record at an address back to its map when the program has not.
    pub discard: fn(&dyn Map, u64),
}

/// Where a run's context is.
pub(crate) enum Place<'p> {
    None,
    /// The bytes, and whether they may be written.
    Flat(Range<u64>, bool),
    Packet(&'p mut PacketCtx),
    Converted {
        layout: &'static ContextLayout,
        slots: Range<u64>,
    },
    /// A Rust structure at that address.
    Typed {
        layout: &'static ContextLayout,
        structure: &'static Structure,
        start: u64,
    },
}

/// What an address was found to be.
pub(crate) enum Found {
    /// Directly accessible anywhere in this range.
    Bytes(Range<u64>),
    /// In a converted context, at this offset.
    Context(u32),
    /// In memory that only the environment can read.
    Kernel,
}

/// The bytes around `addr` in a typed context, or in what its fields lead to.
fn typed_range(
    layout: &'static ContextLayout,
    structure: &'static Structure,
    start: u64,
    addr: u64,
    write: bool,
) -> Option<Range<u64>> {
    let at = addr.wrapping_sub(start);
    if at < u64::from(layout.size) {
        let (_, field) = layout.field_at(at as u32)?;
        let access = if write { field.write } else { field.read };
        let from = start + u64::from(field.offset);
        return (access != Access::Denied).then_some(from..from + u64::from(field.size));
    }
    // SAFETY: the field is one of the context's and holds an address, which is 8 bytes.
    let address = |field: &Field| unsafe {
        core::ptr::with_exposed_provenance::<u64>((start + u64::from(field.offset)) as usize)
            .read_unaligned()
    };
    let mut data = 0;
    for field in layout.fields {
        let range = match field.value {
            FieldValue::PacketStart => {
                data = address(field);
                continue;
            }
            FieldValue::PacketEnd if !write || structure.data_writable() => data..address(field),
            FieldValue::Memory { size, writable, .. } if writable || !write => {
                let from = address(field);
                from..from + u64::from(size)
            }
            _ => continue,
        };
        if range.start != 0 && range.contains(&addr) {
            return Some(range);
        }
    }
    None
}

/// The regions of one run.
pub(crate) struct Memory<'p> {
    /// Top of the outermost frame.
    pub stack_top: u64,
    /// Bytes in use below the top of each frame; written when a frame is opened, so those up to `depth` are.
    pub frame_bytes: [MaybeUninit<u32>; FRAMES_MAX],
    /// Index of the innermost frame.
    pub depth: usize,
    pub place: Place<'p>,
    pub kernel: &'p [Range<u64>],
    pub records: Vec<Record>,
    /// Engine memory that callbacks may read, such as a copy of a key.
    pub lent: Vec<Range<u64>>,
    /// Inner maps that this run has looked up; boxed, because programs hold the boxes' addresses.
    #[allow(clippy::vec_box)]
    pub inner_maps: Vec<Box<Arc<dyn Map>>>,
    pub readable: [Window; 2],
    pub writable: [Window; 2],
    oldest: [u8; 2],
    pub stack_remembered: bool,
}

impl<'p> Memory<'p> {
    #[inline(always)]
    pub fn new(stack_top: u64, place: Place<'p>, kernel: &'p [Range<u64>]) -> Memory<'p> {
        Memory {
            stack_top,
            frame_bytes: [const { MaybeUninit::uninit() }; FRAMES_MAX],
            depth: 0,
            place,
            kernel,
            records: Vec::new(),
            lent: Vec::new(),
            inner_maps: Vec::new(),
            readable: [Window::default(); 2],
            writable: [Window::default(); 2],
            oldest: [0; 2],
            stack_remembered: false,
        }
    }

    /// Forgets the windows: some region may have moved or gone.
    pub fn forget(&mut self) {
        self.readable = [Window::default(); 2];
        self.writable = [Window::default(); 2];
        self.stack_remembered = false;
    }

    /// Forgets the windows if one may show a frame that is about to go.
    #[inline(always)]
    pub fn forget_frame(&mut self) {
        if self.stack_remembered {
            self.forget();
        }
    }

    /// Bytes in use of a frame that is open.
    #[inline(always)]
    fn frame_bytes(&self, frame: usize) -> u32 {
        debug_assert!(frame <= self.depth);
        // SAFETY: frames are opened from the outermost on, which writes their bytes, and `frame` is not beyond the innermost.
        unsafe { self.frame_bytes[frame].assume_init() }
    }

    /// Top of a frame: what r10 holds in it.
    pub fn frame_top(&self, frame: usize) -> u64 {
        self.stack_top - (frame * FRAME_STRIDE) as u64
    }

    fn stack_range(&self, addr: u64) -> Option<Range<u64>> {
        if addr >= self.stack_top || self.stack_top - addr > STACK_BYTES as u64 {
            return None;
        }
        // An address x below the top lies in the frame of index (distance - 1) / stride.
        let frame = (self.stack_top - addr - 1) as usize / FRAME_STRIDE;
        if frame > self.depth {
            return None;
        }
        let top = self.frame_top(frame);
        let range = top - u64::from(self.frame_bytes(frame))..top;
        range.contains(&addr).then_some(range)
    }

    /// The value of one of `maps` (or of an inner map of this run) around `addr`.
    fn map_range(&self, maps: &[&[Arc<dyn Map>]], addr: u64, write: bool) -> Option<Range<u64>> {
        let inner = self.inner_maps.iter().rev().map(|map| &**map);
        for map in maps.iter().flat_map(|maps| maps.iter()).chain(inner) {
            if let Some((start, end)) = map.value_at(addr) {
                return (!write || map.program_writable()).then_some(start..end);
            }
        }
        None
    }

    /// What `len` bytes at `addr` are; an error tells why they may not be accessed. `len` is not 0.
    pub fn find(
        &self,
        maps: &[&[Arc<dyn Map>]],
        addr: u64,
        len: u64,
        write: bool,
    ) -> Result<Found, TrapCause> {
        let range = 'region: {
            if let Some(range) = self.stack_range(addr) {
                break 'region Some(range);
            }
            match &self.place {
                Place::None | Place::Typed { .. } => {}
                Place::Flat(range, writable) => {
                    if range.contains(&addr) && (*writable || !write) {
                        break 'region Some(range.clone());
                    }
                }
                Place::Packet(packet) => {
                    let at = addr.wrapping_sub(packet.slots_addr());
                    if at < u64::from(packet.layout().size) {
                        return Ok(Found::Context(at as u32));
                    }
                    let (start, end) = packet.region();
                    if (start..end).contains(&addr) {
                        break 'region Some(start..end);
                    }
                }
                Place::Converted { layout, slots } => {
                    let at = addr.wrapping_sub(slots.start);
                    if at < u64::from(layout.size) {
                        return Ok(Found::Context(at as u32));
                    }
                }
            }
            if let Place::Typed {
                layout,
                structure,
                start,
            } = self.place
                && let Some(range) = typed_range(layout, structure, start, addr, write)
            {
                break 'region Some(range);
            }
            if let Some(range) = self.map_range(maps, addr, write) {
                break 'region Some(range);
            }
            if let Some(record) = self
                .records
                .iter()
                .find(|record| record.range.contains(&addr))
            {
                break 'region Some(record.range.clone());
            }
            if !write && let Some(range) = self.lent.iter().find(|range| range.contains(&addr)) {
                break 'region Some(range.clone());
            }
            None
        };
        if let Some(range) = range
            && range.end - addr >= len
        {
            return Ok(Found::Bytes(range));
        }
        if !write
            && self
                .kernel
                .iter()
                .any(|range| range.contains(&addr) && range.end - addr >= len)
        {
            return Ok(Found::Kernel);
        }
        Err(TrapCause::BadAccess {
            addr,
            len,
            write,
            what: self.describe(maps, addr, len, write).into(),
        })
    }

    /// Remembers a range for the accesses to come.
    pub fn remember(&mut self, range: &Range<u64>, write: bool) {
        let slot = &mut self.oldest[usize::from(write)];
        let at = usize::from(*slot & 1);
        *slot ^= 1;
        let window = Window::new(range);
        if write {
            self.writable[at] = window;
        } else {
            self.readable[at] = window;
        }
        if self.stack_top.wrapping_sub(range.start) <= STACK_BYTES as u64 {
            self.stack_remembered = true;
        }
    }

    /// Remembers a value that a lookup just found, which programs nearly always read and often write next. The input's
    /// window stays.
    #[inline(always)]
    pub fn remember_value(&mut self, start: u64, len: u32, write: bool) {
        let window = Window::new(&(start..start + u64::from(len)));
        self.readable[1] = window;
        if write {
            self.writable[1] = window;
        }
    }

    /// Whether `len` bytes at `addr` are certainly accessible: in the innermost frame or in a window. `false` says nothing.
    #[inline(always)]
    pub fn surely(&self, addr: u64, len: u64, write: bool) -> bool {
        let top = self.frame_top(self.depth);
        let below = top.wrapping_sub(addr);
        // SAFETY: `depth` is less than FRAMES_MAX wherever it grows, and the innermost frame is open.
        let bytes = u64::from(unsafe { self.frame_bytes.get_unchecked(self.depth).assume_init() });
        if below <= bytes && len <= below {
            return true;
        }
        let windows = if write {
            &self.writable
        } else {
            &self.readable
        };
        windows.iter().any(|window| {
            let at = addr.wrapping_sub(window.start);
            // The limit for single bytes is the window's length.
            at < window.limits[0] && len <= window.limits[0] - at
        })
    }

    /// Remembers what nearly every program reads first.
    pub fn remember_input(&mut self) {
        let range = match &self.place {
            Place::Flat(range, _) => range.clone(),
            Place::Packet(packet) => {
                let (start, end) = packet.region();
                start..end
            }
            _ => return,
        };
        self.remember(&range, false);
    }

    /// Says in words what is at or near `addr`.
    #[cold]
    fn describe(&self, maps: &[&[Arc<dyn Map>]], addr: u64, len: u64, write: bool) -> String {
        if addr < crate::machine::NULL_PAGE {
            return format!("a null pointer plus {addr}");
        }
        let mut best: Option<(u64, String)> = None;
        let mut offer = |range: Range<u64>, name: &dyn Fn() -> String| {
            let size = range.end.wrapping_sub(range.start);
            let (distance, text) = if addr < range.start {
                let before = range.start - addr;
                (
                    before,
                    format!(
                        "{len} bytes at {}-{before}, {before} bytes before its start",
                        name()
                    ),
                )
            } else if addr >= range.end || range.end - addr < len {
                (
                    addr.saturating_sub(range.end),
                    format!(
                        "{len} bytes at {0}+{1}, {0} ends at {2}",
                        name(),
                        addr - range.start,
                        size
                    ),
                )
            } else {
                (
                    0,
                    format!(
                        "{len} bytes at {}+{}, which is read-only",
                        name(),
                        addr - range.start
                    ),
                )
            };
            if best.as_ref().is_none_or(|(nearest, _)| distance < *nearest) {
                best = Some((distance, text));
            }
        };
        for frame in 0..=self.depth {
            let top = self.frame_top(frame);
            let bytes = u64::from(self.frame_bytes(frame));
            if addr >= top - FRAME_STRIDE as u64 && addr < top + FRAME_GAP as u64 {
                let name = if frame == self.depth {
                    "the stack frame".to_string()
                } else {
                    format!("the stack of caller {frame}")
                };
                let at = addr as i64 - top as i64;
                return format!("{len} bytes at fp{at:+}, {name} is {bytes} bytes");
            }
        }
        match &self.place {
            Place::None => {}
            Place::Typed { layout, start, .. } => {
                offer(*start..start + u64::from(layout.size), &|| {
                    layout.name.into()
                });
            }
            Place::Flat(range, _) => offer(range.clone(), &|| "context".into()),
            Place::Packet(packet) => {
                let (start, end) = packet.region();
                offer(start..end, &|| "packet".into());
                let start = packet.slots_addr();
                offer(start..start + u64::from(packet.layout().size), &|| {
                    packet.layout().name.into()
                });
            }
            Place::Converted { layout, slots } => {
                offer(slots.start..slots.start + u64::from(layout.size), &|| {
                    layout.name.into()
                });
            }
        }
        for map in maps
            .iter()
            .flat_map(|maps| maps.iter())
            .chain(self.inner_maps.iter().map(|map| &**map))
        {
            // A value is near if one of its bytes is; maps know only exact addresses.
            for near in [
                addr,
                addr.wrapping_sub(1),
                addr.wrapping_sub(8),
                addr.wrapping_sub(64),
                addr.wrapping_add(8),
            ] {
                if let Some((start, end)) = map.value_at(near) {
                    offer(start..end, &|| format!("value of map {}", map.def().name));
                    break;
                }
            }
        }
        for record in &self.records {
            offer(record.range.clone(), &|| {
                format!("record of {}", record.map.def().name)
            });
        }
        for range in self.kernel {
            offer(range.clone(), &|| "kernel memory".into());
        }
        match best {
            Some((distance, text)) if distance <= 1 << 16 => text,
            _ if write => "no memory that the program may write is near".into(),
            _ => "no memory that the program may read is near".into(),
        }
    }
}
