//! Where a program can be attached, as inert options.
//!
//! Invariant: making one does nothing; names are the kernel's.

use std::fmt;

/// Where to attach.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Attach {
    /// Where the program's section says.
    Auto,
    Tracepoint(Tracepoint),
    RawTracepoint(RawTracepoint),
    Xdp(Xdp),
    Tc(Tc),
    SocketFilter(SocketFilter),
}

/// A static tracepoint of the kernel: `syscalls`, `sys_enter_openat`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tracepoint {
    pub category: String,
    pub name: String,
}

impl Tracepoint {
    pub fn new(category: impl Into<String>, name: impl Into<String>) -> Tracepoint {
        Tracepoint {
            category: category.into(),
            name: name.into(),
        }
    }
}

/// A tracepoint with its raw arguments: `sys_enter`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawTracepoint {
    pub name: String,
}

impl RawTracepoint {
    pub fn new(name: impl Into<String>) -> RawTracepoint {
        RawTracepoint { name: name.into() }
    }
}

/// A network device (kernel engine) or wire (embedded engine), before the network stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Xdp {
    /// `None`: every wire of the replay.
    pub device: Option<String>,
}

impl Xdp {
    /// On a device or wire of this name.
    pub fn on(device: impl Into<String>) -> Xdp {
        Xdp {
            device: Some(device.into()),
        }
    }
}

/// A network device or wire, at the traffic-control hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tc {
    pub device: Option<String>,
}

impl Tc {
    pub fn on(device: impl Into<String>) -> Tc {
        Tc {
            device: Some(device.into()),
        }
    }
}

/// The packets of a socket: on the embedded engine, all packets of a wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketFilter {
    pub device: Option<String>,
}

impl fmt::Display for Attach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let on = |f: &mut fmt::Formatter<'_>, what: &str, device: &Option<String>| match device {
            Some(device) => write!(f, "{what} on {device}"),
            None => write!(f, "{what} on every wire"),
        };
        match self {
            Attach::Auto => f.write_str("where its section says"),
            Attach::Tracepoint(t) => write!(f, "tracepoint {}/{}", t.category, t.name),
            Attach::RawTracepoint(t) => write!(f, "raw_tracepoint {}", t.name),
            Attach::Xdp(x) => on(f, "xdp", &x.device),
            Attach::Tc(t) => on(f, "tc", &t.device),
            Attach::SocketFilter(s) => on(f, "socket", &s.device),
        }
    }
}

macro_rules! into_attach {
    ($($variant:ident),*) => {$(
        impl From<$variant> for Attach {
            fn from(options: $variant) -> Attach {
                Attach::$variant(options)
            }
        }
    )*};
}

into_attach!(Tracepoint, RawTracepoint, Xdp, Tc, SocketFilter);
