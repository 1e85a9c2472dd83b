//! Sockets as programs see them (`struct bpf_sock`, `bpf_tcp_sock`, `bpf_xdp_sock`) and dissected flow keys: read by
//! field, and of flow keys written too.

use super::plain::negative_index;
use super::{Access, cannot_write, denied};
use crate::fault::Rule;
use crate::state::reg::{Kind, Reg};
use crate::verifier::Verifier;

/// Bytes of `struct bpf_sock`.
const SOCK_SIZE: u32 = 80;
/// Bytes of `struct bpf_tcp_sock`.
const TCP_SOCK_SIZE: u32 = 112;
/// Bytes of `struct bpf_xdp_sock`.
const XDP_SOCK_SIZE: u32 = 4;
/// Bytes of `struct bpf_flow_keys`.
const FLOW_KEYS_SIZE: u32 = 56;

impl Verifier<'_> {
    /// `PTR_TO_SOCKET`, `PTR_TO_SOCK_COMMON`, `PTR_TO_TCP_SOCK`, `PTR_TO_XDP_SOCK`
    pub(super) fn access_socket(
        &mut self,
        regno: u8,
        reg: &Reg,
        off: i32,
        access: &Access,
    ) -> Rule {
        if access.write {
            return Err(cannot_write(regno, reg));
        }
        if reg.num.smin < 0 {
            return Err(negative_index(regno));
        }
        let size = access.size;
        let fits = u32::try_from(off).is_ok_and(|at| match reg.kind {
            Kind::Socket => sock_field(at, size),
            Kind::SockCommon => common_field(at) && sock_field(at, size),
            Kind::TcpSock => tcp_field(at, size),
            _ => within(at, size, XDP_SOCK_SIZE) && size == 4,
        });
        if !fits {
            return Err(denied(
                "verifier-socket-access",
                format!(
                    "R{regno} invalid {} access off={off} size={size}",
                    reg.type_name()
                ),
            ));
        }
        self.loaded(access, Reg::UNKNOWN);
        Ok(())
    }

    /// `PTR_TO_FLOW_KEYS`
    pub(super) fn access_flow_keys(&mut self, _regno: u8, off: i32, access: &Access) -> Rule {
        self.check_leak(access, "flow keys")?;
        let fits = u32::try_from(off)
            .is_ok_and(|at| u64::from(at) + u64::from(access.size) <= u64::from(FLOW_KEYS_SIZE));
        if !fits {
            return Err(denied(
                "verifier-flow-keys-bounds",
                format!("invalid access to flow keys off={off} size={}", access.size),
            ));
        }
        self.loaded(access, Reg::UNKNOWN);
        Ok(())
    }
}

/// Whether the access lies within a structure of that size, aligned to its width.
fn within(at: u32, size: u32, whole: u32) -> bool {
    at < whole && at + size <= whole && at.is_multiple_of(size)
}

/// Fields of `struct bpf_sock`: `bound_dev_if` 0, `family` 4, `type` 8, `protocol` 12, `mark` 16, `priority` 20,
/// `src_ip4` 24, `src_ip6` 28, `src_port` 44, `dst_port` 48 (two bytes, two of padding), `dst_ip4` 52, `dst_ip6` 56,
/// `state` 72, `rx_queue_mapping` 76. Addresses are read in parts of any place, some fields only in their first bytes.
fn sock_field(at: u32, size: u32) -> bool {
    within(at, size, SOCK_SIZE)
        && match at {
            24..44 | 52..72 | 4 | 8 | 12 | 44 | 72 | 76 => size <= 4,
            // Old programs read the port as four bytes.
            48 => size <= 2 || size == 4,
            49 => size == 1,
            50 | 51 => false,
            _ => size == 4,
        }
}

/// Whether the field is one of those that every kind of socket has.
fn common_field(at: u32) -> bool {
    // `type`, `protocol`, `mark` and `priority` belong to full sockets.
    !(8..24).contains(&at)
}

/// Fields of `struct bpf_tcp_sock`: 4 bytes each, but for `bytes_received` and `bytes_acked`.
fn tcp_field(at: u32, size: u32) -> bool {
    within(at, size, TCP_SOCK_SIZE)
        && match at {
            80 | 88 => size == 8,
            _ => size == 4,
        }
}
