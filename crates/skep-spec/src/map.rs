//! Kinds of map, their flags, and the inert definition of one map.
//!
//! Numbers and names: enum bpf_map_type and the BPF_F_* of include/uapi/linux/bpf.h (Linux 7.2).

/// Declares an enum with the kernel's number, word, constant and first release of every variant.
use alloc::string::String;

macro_rules! kernel_enum {
    ($(#[$attr:meta])* $what:literal $name:ident { $($variant:ident = $number:literal, $word:literal, $constant:literal, $since:literal;)* }) => {
        $(#[$attr])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u32)]
        pub enum $name {
            $(#[doc = concat!("`", $constant, "`, since Linux ", $since, ".")] $variant = $number,)*
        }

        impl $name {
            /// All of them, in the order of their numbers.
            pub const ALL: &'static [$name] = &[$($name::$variant,)*];

            /// The kernel's number.
            pub const fn number(self) -> u32 {
                self as u32
            }

            /// The one with that number.
            pub const fn by_number(number: u32) -> Option<$name> {
                match number {
                    $($number => Some($name::$variant),)*
                    _ => None,
                }
            }

            #[doc = concat!("The kernel's word for it, in lower case and without prefix: that of the ", $what, ".")]
            pub const fn name(self) -> &'static str {
                match self {
                    $($name::$variant => $word,)*
                }
            }

            /// The constant of the uapi header.
            pub const fn constant(self) -> &'static str {
                match self {
                    $($name::$variant => $constant,)*
                }
            }

            /// The first release of Linux that has it.
            pub const fn since(self) -> &'static str {
                match self {
                    $($name::$variant => $since,)*
                }
            }

            /// The one of that name: the lower-case word or the uapi constant.
            pub fn by_name(name: &str) -> Option<$name> {
                $name::ALL.iter().copied().find(|one| one.name() == name || one.constant() == name)
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.pad(self.name())
            }
        }
    };
}
pub(crate) use kernel_enum;

kernel_enum! {
/// A kind of map.
"map type" MapType {
    Hash = 1, "hash", "BPF_MAP_TYPE_HASH", "3.19";
    Array = 2, "array", "BPF_MAP_TYPE_ARRAY", "3.19";
    ProgArray = 3, "prog_array", "BPF_MAP_TYPE_PROG_ARRAY", "4.2";
    PerfEventArray = 4, "perf_event_array", "BPF_MAP_TYPE_PERF_EVENT_ARRAY", "4.3";
    PercpuHash = 5, "percpu_hash", "BPF_MAP_TYPE_PERCPU_HASH", "4.6";
    PercpuArray = 6, "percpu_array", "BPF_MAP_TYPE_PERCPU_ARRAY", "4.6";
    StackTrace = 7, "stack_trace", "BPF_MAP_TYPE_STACK_TRACE", "4.6";
    CgroupArray = 8, "cgroup_array", "BPF_MAP_TYPE_CGROUP_ARRAY", "4.8";
    LruHash = 9, "lru_hash", "BPF_MAP_TYPE_LRU_HASH", "4.10";
    LruPercpuHash = 10, "lru_percpu_hash", "BPF_MAP_TYPE_LRU_PERCPU_HASH", "4.10";
    LpmTrie = 11, "lpm_trie", "BPF_MAP_TYPE_LPM_TRIE", "4.11";
    ArrayOfMaps = 12, "array_of_maps", "BPF_MAP_TYPE_ARRAY_OF_MAPS", "4.12";
    HashOfMaps = 13, "hash_of_maps", "BPF_MAP_TYPE_HASH_OF_MAPS", "4.12";
    Devmap = 14, "devmap", "BPF_MAP_TYPE_DEVMAP", "4.14";
    Sockmap = 15, "sockmap", "BPF_MAP_TYPE_SOCKMAP", "4.14";
    Cpumap = 16, "cpumap", "BPF_MAP_TYPE_CPUMAP", "4.15";
    Xskmap = 17, "xskmap", "BPF_MAP_TYPE_XSKMAP", "4.18";
    Sockhash = 18, "sockhash", "BPF_MAP_TYPE_SOCKHASH", "4.18";
    CgroupStorage = 19, "cgroup_storage", "BPF_MAP_TYPE_CGROUP_STORAGE", "4.19";
    ReuseportSockarray = 20, "reuseport_sockarray", "BPF_MAP_TYPE_REUSEPORT_SOCKARRAY", "4.19";
    PercpuCgroupStorage = 21, "percpu_cgroup_storage", "BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE", "4.20";
    Queue = 22, "queue", "BPF_MAP_TYPE_QUEUE", "4.20";
    Stack = 23, "stack", "BPF_MAP_TYPE_STACK", "4.20";
    SkStorage = 24, "sk_storage", "BPF_MAP_TYPE_SK_STORAGE", "5.2";
    DevmapHash = 25, "devmap_hash", "BPF_MAP_TYPE_DEVMAP_HASH", "5.4";
    StructOps = 26, "struct_ops", "BPF_MAP_TYPE_STRUCT_OPS", "5.6";
    Ringbuf = 27, "ringbuf", "BPF_MAP_TYPE_RINGBUF", "5.8";
    InodeStorage = 28, "inode_storage", "BPF_MAP_TYPE_INODE_STORAGE", "5.10";
    TaskStorage = 29, "task_storage", "BPF_MAP_TYPE_TASK_STORAGE", "5.11";
    BloomFilter = 30, "bloom_filter", "BPF_MAP_TYPE_BLOOM_FILTER", "5.16";
    UserRingbuf = 31, "user_ringbuf", "BPF_MAP_TYPE_USER_RINGBUF", "6.1";
    CgrpStorage = 32, "cgrp_storage", "BPF_MAP_TYPE_CGRP_STORAGE", "6.2";
    Arena = 33, "arena", "BPF_MAP_TYPE_ARENA", "6.9";
    InsnArray = 34, "insn_array", "BPF_MAP_TYPE_INSN_ARRAY", "6.19";
    Rhash = 35, "rhash", "BPF_MAP_TYPE_RHASH", "7.1";
}
}

impl MapType {
    /// Whether each CPU has its own value of each key.
    pub const fn is_per_cpu(self) -> bool {
        matches!(
            self,
            MapType::PercpuHash
                | MapType::PercpuArray
                | MapType::LruPercpuHash
                | MapType::PercpuCgroupStorage
        )
    }

    /// Whether its keys are the numbers 0 to `max_entries - 1`.
    pub const fn is_array_like(self) -> bool {
        matches!(
            self,
            MapType::Array
                | MapType::PercpuArray
                | MapType::ProgArray
                | MapType::PerfEventArray
                | MapType::CgroupArray
                | MapType::ArrayOfMaps
                | MapType::Devmap
                | MapType::Cpumap
                | MapType::Xskmap
                | MapType::Sockmap
                | MapType::ReuseportSockarray
        )
    }

    /// Whether its values are maps.
    pub const fn is_map_of_maps(self) -> bool {
        matches!(self, MapType::ArrayOfMaps | MapType::HashOfMaps)
    }
}

/// `map_flags`: how to create a map.
pub mod flags {
    /// Allocate elements when they are first stored.
    pub const NO_PREALLOC: u32 = 1 << 0;
    /// One LRU list for each CPU instead of a common one.
    pub const NO_COMMON_LRU: u32 = 1 << 1;
    /// `numa_node` is set.
    pub const NUMA_NODE: u32 = 1 << 2;
    /// User space may not write.
    pub const RDONLY: u32 = 1 << 3;
    /// User space may not read.
    pub const WRONLY: u32 = 1 << 4;
    /// Store build id and offset instead of addresses in a stack trace.
    pub const STACK_BUILD_ID: u32 = 1 << 5;
    /// Hash with a seed of zero.
    pub const ZERO_SEED: u32 = 1 << 6;
    /// Programs may not write.
    pub const RDONLY_PROG: u32 = 1 << 7;
    /// Programs may not read.
    pub const WRONLY_PROG: u32 = 1 << 8;
    /// A socket's storage is copied to the socket it accepts.
    pub const CLONE: u32 = 1 << 9;
    /// User space may map the values.
    pub const MMAPABLE: u32 = 1 << 10;
    /// Perf events survive the closing of the map's file.
    pub const PRESERVE_ELEMS: u32 = 1 << 11;
    /// An inner map may differ from its template in `max_entries`.
    pub const INNER_MAP: u32 = 1 << 12;
    /// The map makes a link of a struct_ops.
    pub const LINK: u32 = 1 << 13;
    /// A path is relative to a file descriptor.
    pub const PATH_FD: u32 = 1 << 14;
    /// A struct_ops value's type is that of a module.
    pub const VTYPE_BTF_OBJ_FD: u32 = 1 << 15;
    /// A token's file descriptor is given.
    pub const TOKEN_FD: u32 = 1 << 16;
    /// A fault in an arena is a SIGSEGV.
    pub const SEGV_ON_FAULT: u32 = 1 << 17;
    /// Arena pointers are not converted to user addresses.
    pub const NO_USER_CONV: u32 = 1 << 18;
    /// A full ring buffer overwrites its oldest records.
    pub const RB_OVERWRITE: u32 = 1 << 19;

    /// Every flag with its name in the uapi header.
    pub const ALL: &[(u32, &str)] = &[
        (NO_PREALLOC, "BPF_F_NO_PREALLOC"),
        (NO_COMMON_LRU, "BPF_F_NO_COMMON_LRU"),
        (NUMA_NODE, "BPF_F_NUMA_NODE"),
        (RDONLY, "BPF_F_RDONLY"),
        (WRONLY, "BPF_F_WRONLY"),
        (STACK_BUILD_ID, "BPF_F_STACK_BUILD_ID"),
        (ZERO_SEED, "BPF_F_ZERO_SEED"),
        (RDONLY_PROG, "BPF_F_RDONLY_PROG"),
        (WRONLY_PROG, "BPF_F_WRONLY_PROG"),
        (CLONE, "BPF_F_CLONE"),
        (MMAPABLE, "BPF_F_MMAPABLE"),
        (PRESERVE_ELEMS, "BPF_F_PRESERVE_ELEMS"),
        (INNER_MAP, "BPF_F_INNER_MAP"),
        (LINK, "BPF_F_LINK"),
        (PATH_FD, "BPF_F_PATH_FD"),
        (VTYPE_BTF_OBJ_FD, "BPF_F_VTYPE_BTF_OBJ_FD"),
        (TOKEN_FD, "BPF_F_TOKEN_FD"),
        (SEGV_ON_FAULT, "BPF_F_SEGV_ON_FAULT"),
        (NO_USER_CONV, "BPF_F_NO_USER_CONV"),
        (RB_OVERWRITE, "BPF_F_RB_OVERWRITE"),
    ];
}

/// Flags of an update of an element.
pub mod update {
    /// Create or replace.
    pub const ANY: u64 = 0;
    /// Create; fail if it exists.
    pub const NOEXIST: u64 = 1;
    /// Replace; fail if it does not exist.
    pub const EXIST: u64 = 2;
    /// Hold the value's spin lock while copying.
    pub const LOCK: u64 = 4;
    /// The upper 32 bits name the CPU whose value is meant.
    pub const CPU: u64 = 8;
    /// Store the one value given for all CPUs.
    pub const ALL_CPUS: u64 = 16;
}

/// What a map is before it exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapDef {
    /// Its name; the kernel keeps the first 15 bytes.
    pub name: String,
    /// Its kind.
    pub map_type: MapType,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// Elements at most; bytes for a ring buffer.
    pub max_entries: u32,
    /// [`flags`].
    pub flags: u32,
    /// What else the kind takes (a bloom filter's number of hashes, an arena's address).
    pub map_extra: u64,
    /// Where to allocate, if that is asked for.
    pub numa_node: Option<u32>,
}

impl MapDef {
    /// A definition without flags.
    pub fn new(
        name: impl Into<String>,
        map_type: MapType,
        key_size: u32,
        value_size: u32,
        max_entries: u32,
    ) -> MapDef {
        MapDef {
            name: name.into(),
            map_type,
            key_size,
            value_size,
            max_entries,
            flags: 0,
            map_extra: 0,
            numa_node: None,
        }
    }
}
