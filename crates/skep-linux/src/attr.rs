//! Builds `union bpf_attr` values as bytes: fields are placed by the offsets of the uapi header (Linux 6.18).
//!
//! Invariant: a buffer is zero where no field was set, since the kernel refuses non-zero bytes that it does not know.

/// An attribute under construction.
#[derive(Clone, Debug)]
pub struct Attr {
    bytes: Vec<u8>,
}

impl Attr {
    /// A zeroed attribute of `len` bytes: as long as the newest field that is used, so that old kernels accept it.
    pub fn new(len: usize) -> Self {
        Self {
            bytes: vec![0; len],
        }
    }

    /// Sets a 32-bit field.
    pub fn u32(mut self, offset: usize, value: u32) -> Self {
        self.bytes[offset..offset + 4].copy_from_slice(&value.to_ne_bytes());
        self
    }

    /// Sets a 64-bit field.
    pub fn u64(mut self, offset: usize, value: u64) -> Self {
        self.bytes[offset..offset + 8].copy_from_slice(&value.to_ne_bytes());
        self
    }

    /// Sets a field that holds a user pointer to read from.
    pub fn pointer<T>(self, offset: usize, value: &[T]) -> Self {
        let address = if value.is_empty() {
            0
        } else {
            value.as_ptr() as u64
        };
        self.u64(offset, address)
    }

    /// Sets a field that holds a user pointer to write to.
    pub fn pointer_mut<T>(self, offset: usize, value: &mut [T]) -> Self {
        let address = if value.is_empty() {
            0
        } else {
            value.as_mut_ptr() as u64
        };
        self.u64(offset, address)
    }

    /// Sets a name field: 15 bytes at the most and a NUL, of the characters that the kernel allows.
    pub fn name(mut self, offset: usize, name: &str) -> Self {
        let allowed = name.bytes().map(|b| {
            if b.is_ascii_alphanumeric() || b == b'_' || b == b'.' {
                b
            } else {
                b'_'
            }
        });
        for (at, byte) in allowed.take(15).enumerate() {
            self.bytes[offset + at] = byte;
        }
        self
    }

    /// The 32-bit field at `offset`, as the kernel left it.
    pub fn read_u32(&self, offset: usize) -> u32 {
        self.bytes
            .get(offset..offset + 4)
            .and_then(|b| b.try_into().ok())
            .map_or(0, u32::from_ne_bytes)
    }

    /// The whole buffer, to be handed to the kernel.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}
