//! A packet as a program sees it: the frame's bytes with room before and after them, and the native context slots.
//!
//! Invariants:
//! - the frame's bytes and the slots live in their own allocations whose addresses do not change while a program runs,
//!   except where a helper must grow an skb's room; then the old addresses lie outside [`PacketCtx::region`];
//! - `headroom start <= meta <= data <= end <= hard_end <= capacity`, always;
//! - after every move of an edge the slots of `data`, `data_end`, `data_meta` and `len` say the new truth;
//! - bytes that a program has not seen are zero: room uncovered by a helper never shows an earlier packet.

use alloc::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use alloc::vec::Vec;
use core::ptr::NonNull;

use alloc::sync::Arc;

use skep_spec::context::{ContextLayout, FieldValue};

mod network;

pub use network::{Device, Neighbour, Network, Route, RouteKind};

/// Bytes the kernel keeps free before an XDP packet (`XDP_PACKET_HEADROOM`).
pub const XDP_HEADROOM: usize = 256;
/// Size of the buffer of an XDP packet: one page.
pub const XDP_FRAME_SIZE: usize = 4096;
/// Bytes at the end of that page that a packet may never use (`struct skb_shared_info`, aligned).
pub const XDP_TAIL_RESERVE: usize = 320;
/// The longest packet that fits one XDP buffer.
pub const XDP_LINEAR_MAX: usize = XDP_FRAME_SIZE - XDP_HEADROOM - XDP_TAIL_RESERVE;
/// Bytes that must stay free at the start of an XDP headroom for `struct xdp_frame`.
pub const XDP_FRAME_HEADER: usize = 40;
/// Bytes the kernel keeps free before an skb's MAC header (`NET_SKB_PAD`).
pub const SKB_HEADROOM: usize = 64;
/// The longest packet of any kind: libpcap's own ceiling for a snapshot.
pub const PACKET_MAX: usize = 256 * 1024;

/// Owned zeroed memory handed out as raw pointers, so that a program's pointers into it stay valid across `&mut` uses.
struct RawBytes {
    base: NonNull<u8>,
    layout: Layout,
}

impl RawBytes {
    fn zeroed(len: usize) -> RawBytes {
        // A fixed alignment and a length bounded by PACKET_MAX and its rooms: the layout cannot overflow.
        let layout =
            Layout::from_size_align(len.max(64), 64).expect("a packet's length fits a layout");
        // SAFETY: the layout's size is at least 64.
        let base = unsafe { alloc_zeroed(layout) };
        let Some(base) = NonNull::new(base) else {
            handle_alloc_error(layout)
        };
        RawBytes { base, layout }
    }

    fn len(&self) -> usize {
        self.layout.size()
    }

    fn bytes(&self, start: usize, end: usize) -> &[u8] {
        assert!(start <= end && end <= self.len());
        // SAFETY: in bounds (asserted) of an initialised allocation that lives as long as self. A program writes through
        // its raw pointers only while it runs, and nothing holds this borrow then.
        unsafe { core::slice::from_raw_parts(self.base.as_ptr().add(start), end - start) }
    }

    fn bytes_mut(&mut self, start: usize, end: usize) -> &mut [u8] {
        assert!(start <= end && end <= self.len());
        // SAFETY: as in `bytes`; the borrow of self is exclusive.
        unsafe { core::slice::from_raw_parts_mut(self.base.as_ptr().add(start), end - start) }
    }
}

impl Drop for RawBytes {
    fn drop(&mut self) {
        // SAFETY: allocated in `zeroed` with this same layout, freed once.
        unsafe { dealloc(self.base.as_ptr(), self.layout) }
    }
}

// SAFETY: the memory is owned, and only reachable through the value itself.
unsafe impl Send for RawBytes {}

/// Which rules a packet's edges follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PacketKind {
    /// An XDP buffer: one page, 256 bytes before and 320 reserved behind the packet.
    Xdp,
    /// An XDP buffer of several pages (`xdp.frags`), held in one piece here.
    XdpFrags,
    /// A linear skb, whose rooms grow when a helper asks.
    Skb,
}

/// Why a packet cannot become a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// More bytes than the kind of frame holds.
    TooLong {
        /// Bytes in the packet.
        len: usize,
        /// Bytes that fit.
        max: usize,
    },
    /// Fewer bytes than an Ethernet header, which the kernel refuses too.
    TooShort {
        /// Bytes in the packet.
        len: usize,
    },
}

impl core::fmt::Display for FrameError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            FrameError::TooLong { len, max } => {
                write!(f, "a packet of {len} bytes does not fit a frame of {max}")
            }
            FrameError::TooShort { len } => {
                write!(
                    f,
                    "a packet of {len} bytes is shorter than an Ethernet header (14 bytes)"
                )
            }
        }
    }
}

impl core::error::Error for FrameError {}

/// The bytes of one packet and the room around them.
pub struct Frame {
    bytes: RawBytes,
    kind: PacketKind,
    meta: usize,
    data: usize,
    end: usize,
    hard_end: usize,
    /// The lowest byte that the packet has covered since it was loaded.
    dirty_low: usize,
    /// The highest byte (exclusive) that the packet has covered since it was loaded.
    dirty_high: usize,
}

impl Frame {
    fn new(kind: PacketKind) -> Frame {
        let capacity = match kind {
            PacketKind::Xdp => XDP_FRAME_SIZE,
            PacketKind::XdpFrags => XDP_FRAME_SIZE,
            PacketKind::Skb => SKB_HEADROOM + 2048,
        };
        let start = Frame::start_of(kind);
        let mut frame = Frame {
            bytes: RawBytes::zeroed(capacity),
            kind,
            meta: start,
            data: start,
            end: start,
            hard_end: capacity,
            dirty_low: start,
            dirty_high: start,
        };
        frame.hard_end = frame.hard_end_for(0);
        frame
    }

    const fn start_of(kind: PacketKind) -> usize {
        match kind {
            PacketKind::Xdp | PacketKind::XdpFrags => XDP_HEADROOM,
            PacketKind::Skb => SKB_HEADROOM,
        }
    }

    fn hard_end_for(&self, len: usize) -> usize {
        match self.kind {
            PacketKind::Xdp => XDP_FRAME_SIZE - XDP_TAIL_RESERVE,
            // The last page's free tail, as the kernel's last fragment has it.
            PacketKind::XdpFrags => XDP_HEADROOM + len.max(1).next_multiple_of(XDP_FRAME_SIZE),
            PacketKind::Skb => self.bytes.len(),
        }
    }

    /// Puts `packet` into the frame, dropping what was there.
    fn load(&mut self, packet: &[u8]) -> Result<(), FrameError> {
        let max = match self.kind {
            PacketKind::Xdp => XDP_LINEAR_MAX,
            PacketKind::XdpFrags | PacketKind::Skb => PACKET_MAX,
        };
        if packet.len() > max {
            return Err(FrameError::TooLong {
                len: packet.len(),
                max,
            });
        }
        let start = Frame::start_of(self.kind);
        let end = start + packet.len();
        let needed = match self.kind {
            PacketKind::Xdp => XDP_FRAME_SIZE,
            PacketKind::XdpFrags => self.hard_end_for(packet.len()),
            PacketKind::Skb => end,
        };
        if needed > self.bytes.len() {
            self.bytes = RawBytes::zeroed(needed.next_power_of_two());
        } else {
            // Only what earlier packets covered and this one does not: usually a few bytes, often none.
            if self.dirty_low < start {
                let low = self.dirty_low;
                self.bytes.bytes_mut(low, start).fill(0);
            }
            if self.dirty_high > end {
                let high = self.dirty_high;
                self.bytes.bytes_mut(end, high).fill(0);
            }
        }
        self.bytes.bytes_mut(start, end).copy_from_slice(packet);
        (self.meta, self.data, self.end) = (start, start, end);
        (self.dirty_low, self.dirty_high) = (start, end);
        self.hard_end = self.hard_end_for(packet.len());
        Ok(())
    }

    /// Bytes in the packet.
    pub fn len(&self) -> usize {
        self.end - self.data
    }

    /// Whether the packet has no bytes.
    pub fn is_empty(&self) -> bool {
        self.end == self.data
    }

    /// Bytes of the buffer before the packet's first byte.
    pub fn data_offset(&self) -> usize {
        self.data
    }

    /// Bytes free before the packet (before its metadata, if there is any).
    pub fn headroom(&self) -> usize {
        self.meta
    }

    /// Bytes by which the tail may grow without a new buffer.
    pub fn tailroom(&self) -> usize {
        self.hard_end - self.end
    }

    /// Bytes of metadata before the packet.
    pub fn meta_len(&self) -> usize {
        self.data - self.meta
    }
}

/// Where a packet goes when its verdict is "redirect".
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedirectTarget {
    /// An interface by its number (`bpf_redirect`).
    Interface(u32),
    /// The peer of an interface, in its namespace (`bpf_redirect_peer`).
    Peer(u32),
    /// An interface, with the link-layer addresses filled from the neighbour table (`bpf_redirect_neigh`).
    Neighbour(u32),
    /// An entry of a devmap, cpumap or xskmap, with the value it had when the program asked.
    Entry(RedirectEntry),
    /// Every entry of a devmap (`BPF_F_BROADCAST`), with those left out that `BPF_F_EXCLUDE_INGRESS` excludes.
    Broadcast(Vec<RedirectEntry>),
}

/// An entry of a map that packets can be redirected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RedirectEntry {
    /// What the entry leads to.
    pub kind: EntryKind,
    /// The entry's key.
    pub key: u32,
    /// The interface number (devmap), queue length (cpumap) or socket (xskmap).
    pub value: u32,
    /// The program in the entry (`xdp/devmap`, `xdp/cpumap`), zero when it has none.
    pub program: u32,
}

/// What an entry of a redirect map leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A device (`devmap`, `devmap_hash`).
    Device,
    /// Another CPU (`cpumap`).
    Cpu,
    /// An AF_XDP socket (`xskmap`).
    Socket,
}

/// A request to redirect, made by a helper and carried out by the host when the verdict says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// Where to.
    pub target: RedirectTarget,
    /// The helper's flags (bit 0, `BPF_F_INGRESS`, for an skb).
    pub flags: u64,
}

/// A copy of the packet that `bpf_clone_redirect` sent on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClonedPacket {
    /// The interface number.
    pub ifindex: u32,
    /// The helper's flags.
    pub flags: u64,
    /// The bytes at that moment.
    pub bytes: Vec<u8>,
}

/// Native slots of the fields that helpers keep true; `NONE` where the layout has no such field.
#[derive(Clone, Copy)]
struct FieldSlots {
    data: u16,
    data_end: u16,
    data_meta: u16,
    len: u16,
}

const NONE: u16 = u16::MAX;

/// One packet with its context, reused from packet to packet.
pub struct PacketCtx {
    layout: &'static ContextLayout,
    slots: RawBytes,
    slot_count: usize,
    fields: FieldSlots,
    frame: Frame,
    /// What an skb knows beyond its context fields; unused by XDP.
    pub skb: SkbState,
    /// What the last redirect helper asked for.
    pub redirect: Option<Redirect>,
    /// Copies sent by `bpf_clone_redirect`, in order.
    pub clones: Vec<ClonedPacket>,
    /// The devices, routes and neighbours that helpers may ask about.
    pub network: Arc<Network>,
}

/// What an skb knows beyond the fields of `__sk_buff`. Offsets are relative to the packet's first byte (`data`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SkbState {
    /// The MAC header: 0 for tc, -14 where `data` starts at the network header of an Ethernet frame.
    pub mac_offset: i32,
    /// The network header.
    pub network_offset: i32,
    /// The transport header, once something has set it.
    pub transport_offset: Option<i32>,
    /// Length of the MAC header as something measured it last (`skb->mac_len`), 0 before.
    pub mac_len: i32,
    /// How many checksums are known to be good: `None` as received (`CHECKSUM_NONE`), else `skb->csum_level` (0 to 3) of
    /// `CHECKSUM_UNNECESSARY`.
    pub csum_level: Option<u8>,
    /// `SKB_GSO_*` bits of the packet, zero when it is not a GSO packet.
    pub gso_type: u32,
    /// Whether the packet is inside a tunnel that `bpf_skb_adjust_room` made.
    pub encapsulation: bool,
    /// Whether `hash` holds a hash.
    pub hashed: bool,
}

impl SkbState {
    /// Measures the MAC header anew (`skb_reset_mac_len`).
    pub fn reset_mac_len(&mut self) {
        self.mac_len = self.network_offset - self.mac_offset;
    }
}

impl PacketCtx {
    /// A context without a packet yet, for programs whose context is `layout`.
    pub fn new(layout: &'static ContextLayout, kind: PacketKind) -> PacketCtx {
        let slot_of = |name: &str| {
            layout
                .fields
                .iter()
                .position(|f| f.name == name)
                .and_then(|i| u16::try_from(i).ok())
                .unwrap_or(NONE)
        };
        let fields = FieldSlots {
            data: slot_of("data"),
            data_end: slot_of("data_end"),
            data_meta: slot_of("data_meta"),
            len: slot_of("len"),
        };
        let slot_count = layout.fields.len();
        let mut ctx = PacketCtx {
            layout,
            slots: RawBytes::zeroed(slot_count * 8),
            slot_count,
            fields,
            frame: Frame::new(kind),
            skb: SkbState::default(),
            redirect: None,
            clones: Vec::new(),
            network: Arc::default(),
        };
        ctx.refresh();
        ctx
    }

    /// Puts a new packet in: edges reset, all fields zero, no redirect. One copy, no allocation once the frame is big enough.
    pub fn load(&mut self, packet: &[u8]) -> Result<(), FrameError> {
        self.frame.load(packet)?;
        let len = self.slot_count * 8;
        self.slots.bytes_mut(0, len).fill(0);
        if self.redirect.is_some() {
            self.redirect = None;
        }
        self.clones.clear();
        self.skb = SkbState::default();
        self.refresh();
        Ok(())
    }

    /// The layout of the context.
    pub fn layout(&self) -> &'static ContextLayout {
        self.layout
    }

    /// Which rules the edges follow.
    pub fn kind(&self) -> PacketKind {
        self.frame.kind
    }

    /// The frame: its lengths and rooms.
    pub fn frame(&self) -> &Frame {
        &self.frame
    }

    /// Address of the first native slot: what a program finds in r1.
    pub fn slots_addr(&self) -> u64 {
        self.slots.base.as_ptr().expose_provenance() as u64
    }

    /// Number of native slots, one a field.
    pub fn slot_count(&self) -> usize {
        self.slot_count
    }

    /// Native slot `index`; zero when the layout has no such slot.
    pub fn slot(&self, index: usize) -> u64 {
        if index >= self.slot_count {
            return 0;
        }
        let b = self.slots.bytes(index * 8, index * 8 + 8);
        u64::from_le_bytes(b.try_into().unwrap_or_default())
    }

    /// Sets native slot `index`; without effect when the layout has no such slot.
    pub fn set_slot(&mut self, index: usize, value: u64) {
        if index < self.slot_count {
            self.slots
                .bytes_mut(index * 8, index * 8 + 8)
                .copy_from_slice(&value.to_le_bytes());
        }
    }

    /// The slot of a field by its name in the uapi structure.
    pub fn slot_of(&self, name: &str) -> Option<usize> {
        self.layout.fields.iter().position(|f| f.name == name)
    }

    /// A field by name.
    pub fn field(&self, name: &str) -> Option<u64> {
        self.slot_of(name).map(|i| self.slot(i))
    }

    /// Sets a scalar field by name; `false` when there is no such field or the frame owns its value.
    pub fn set_field(&mut self, name: &str, value: u64) -> bool {
        let Some(i) = self.slot_of(name) else {
            return false;
        };
        if !matches!(self.layout.fields[i].value, FieldValue::Scalar)
            || i == usize::from(self.fields.len)
        {
            return false;
        }
        self.set_slot(i, value);
        true
    }

    /// Addresses that the program may load and store directly: metadata, then packet.
    #[inline]
    pub fn region(&self) -> (u64, u64) {
        let base = self.frame.bytes.base.as_ptr().expose_provenance() as u64;
        (base + self.frame.meta as u64, base + self.frame.end as u64)
    }

    /// The packet's bytes (without metadata).
    pub fn bytes(&self) -> &[u8] {
        self.frame.bytes.bytes(self.frame.data, self.frame.end)
    }

    /// The packet's bytes, to change.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        let (data, end) = (self.frame.data, self.frame.end);
        self.frame.bytes.bytes_mut(data, end)
    }

    /// The metadata before the packet.
    pub fn meta_bytes(&self) -> &[u8] {
        self.frame.bytes.bytes(self.frame.meta, self.frame.data)
    }

    /// Bytes before `data` that still belong to the packet (an skb that starts at its network header keeps its MAC header
    /// there), and the packet: the base for loads relative to a header. The second value is where `data` lies in it.
    pub fn bytes_with_headers(&self) -> (&[u8], usize) {
        let back = (self.skb.mac_offset.min(0).unsigned_abs() as usize).min(self.frame.data);
        (
            self.frame
                .bytes
                .bytes(self.frame.data - back, self.frame.end),
            back,
        )
    }

    /// As [`PacketCtx::bytes_with_headers`], to change.
    pub fn bytes_with_headers_mut(&mut self) -> (&mut [u8], usize) {
        let back = (self.skb.mac_offset.min(0).unsigned_abs() as usize).min(self.frame.data);
        let (start, end) = (self.frame.data - back, self.frame.end);
        (self.frame.bytes.bytes_mut(start, end), back)
    }

    /// Moves the start of the packet, and its metadata with it, by `delta` bytes (negative: towards the headroom).
    /// `false`, and no change, when the room or the packet does not suffice.
    pub fn move_data(&mut self, delta: i64) -> bool {
        let f = &mut self.frame;
        let (Some(meta), Some(data)) = (shift(f.meta, delta), shift(f.data, delta)) else {
            return false;
        };
        if data > f.end {
            return false;
        }
        if meta != data && meta < f.meta {
            let len = f.data - f.meta;
            let from = f.meta;
            f.bytes
                .bytes_mut(meta, from + len)
                .copy_within(from - meta..from - meta + len, 0);
        } else if meta != data {
            let len = f.data - f.meta;
            let from = f.meta;
            f.bytes
                .bytes_mut(from, meta + len)
                .copy_within(..len, meta - from);
        }
        (f.meta, f.data) = (meta, data);
        f.dirty_low = f.dirty_low.min(meta);
        self.refresh();
        true
    }

    /// Sets the start of the metadata, `data - len`; `false` when the headroom does not hold it.
    pub fn set_meta_len(&mut self, len: usize) -> bool {
        let f = &mut self.frame;
        if len > f.data {
            return false;
        }
        f.meta = f.data - len;
        f.dirty_low = f.dirty_low.min(f.meta);
        self.refresh();
        true
    }

    /// Moves the end of the packet to `len` bytes after `data`; new bytes are zero. `false` when it does not fit the frame.
    pub fn set_len(&mut self, len: usize) -> bool {
        let f = &mut self.frame;
        let Some(end) = f.data.checked_add(len) else {
            return false;
        };
        if end > f.hard_end {
            return false;
        }
        if end > f.end {
            let old = f.end;
            f.bytes.bytes_mut(old, end).fill(0);
        }
        f.end = end;
        f.dirty_high = f.dirty_high.max(end);
        self.refresh();
        true
    }

    /// Makes room for `head` more bytes before and `tail` more behind the packet, in a new buffer if need be (skb only).
    /// `false` when the packet would outgrow [`PACKET_MAX`].
    pub fn reserve(&mut self, head: usize, tail: usize) -> bool {
        let f = &mut self.frame;
        if head <= f.meta && tail <= f.hard_end - f.end {
            return true;
        }
        if f.kind != PacketKind::Skb
            || f.len().saturating_add(head).saturating_add(tail) > PACKET_MAX
        {
            return false;
        }
        let front = head.max(f.meta).next_multiple_of(64);
        let len = f.end - f.meta;
        let mut bytes = RawBytes::zeroed(front + len + tail.next_multiple_of(64).max(128));
        bytes
            .bytes_mut(front, front + len)
            .copy_from_slice(f.bytes.bytes(f.meta, f.end));
        let meta_len = f.data - f.meta;
        (f.meta, f.data, f.end) = (front, front + meta_len, front + len);
        f.hard_end = bytes.len();
        (f.dirty_low, f.dirty_high) = (0, bytes.len());
        f.bytes = bytes;
        self.refresh();
        true
    }

    /// Opens `len` zeroed bytes at `at` (an offset into the packet) by moving what lies before it towards the head, as
    /// the kernel's tunnel helpers do; negative `len` closes them. `false` when there is no room or no such bytes.
    pub fn move_header(&mut self, at: usize, len: i64) -> bool {
        let n = usize::try_from(len.unsigned_abs()).unwrap_or(usize::MAX);
        if len >= 0 {
            if at > self.frame.len() || !self.reserve(n, 0) || !self.move_data(-len) {
                return false;
            }
            let bytes = self.bytes_mut();
            bytes.copy_within(n..n + at, 0);
            bytes[at..at + n].fill(0);
        } else {
            if at.checked_add(n).is_none_or(|e| e > self.frame.len()) {
                return false;
            }
            self.bytes_mut().copy_within(0..at, n);
            return self.move_data(-len);
        }
        true
    }

    /// Writes the frame's edges into their slots.
    #[inline]
    fn refresh(&mut self) {
        let base = self.frame.bytes.base.as_ptr().expose_provenance() as u64;
        let (data, end, meta) = (
            self.frame.data as u64,
            self.frame.end as u64,
            self.frame.meta as u64,
        );
        let f = self.fields;
        self.set_slot(usize::from(f.data), base + data);
        self.set_slot(usize::from(f.data_end), base + end);
        self.set_slot(usize::from(f.data_meta), base + meta);
        self.set_slot(usize::from(f.len), end - data);
    }
}

/// `skb->protocol` of an Ethernet frame, as it lies in memory: the EtherType, or the kernel's number for frames whose field
/// is a length (`ETH_P_802_3` for raw 802.3, `ETH_P_802_2` for LLC).
pub fn ethernet_protocol(frame: &[u8]) -> u16 {
    let Some(field) = frame.get(12..14) else {
        return 0;
    };
    if u16::from_be_bytes([field[0], field[1]]) >= 0x0600 {
        return u16::from_ne_bytes([field[0], field[1]]);
    }
    match frame.get(14..16) {
        Some([0xff, 0xff]) => 0x0001u16.to_be(),
        _ => 0x0004u16.to_be(),
    }
}

fn shift(at: usize, delta: i64) -> Option<usize> {
    i64::try_from(at)
        .ok()?
        .checked_add(delta)
        .and_then(|n| usize::try_from(n).ok())
}

#[cfg(test)]
mod tests;
