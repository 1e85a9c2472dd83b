//! Hooks of Linux security modules that programs attach to: which may sleep, which are shut, what they return.
//!
//! Whether a hook exists, its arguments and whether it returns anything come from the kernel's BTF (`bpf_lsm_NAME`);
//! this table has only what BTF does not say. A hook that is not listed does not sleep, is open, has trusted arguments
//! and returns 0 or a negative errno, if anything.
//!
//! Source: observed on Linux 6.1.192, 6.12.117, 6.18.15 and 7.3.4, by loading programs for every hook, sleepable and
//! not. Other releases have the answers of the newest of these that is not newer; before 6.0 no hook is shut and,
//! observed on 5.10.262, none may sleep.
//!
//! Invariant: rows are sorted by name.

use crate::profile::Version;

/// What is special about a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hook {
    /// Its name, without `bpf_lsm_`.
    pub name: &'static str,
    sleepable: u8,
    disabled: u8,
    untrusted: u8,
    /// It returns 0 or 1, not an errno.
    pub boolean: bool,
}

/// The kernels of the bits, lowest first.
const OBSERVED: [Version; 4] = [
    Version::new(6, 1),
    Version::new(6, 12),
    Version::new(6, 18),
    Version::new(7, 3),
];

fn at(bits: u8, version: Version) -> bool {
    OBSERVED
        .iter()
        .rposition(|&observed| observed <= version)
        .is_some_and(|at| bits >> at & 1 != 0)
}

impl Hook {
    /// Whether programs of this hook may sleep.
    pub fn sleepable(&self, version: Version) -> bool {
        at(self.sleepable, version)
    }

    /// Whether no program may be attached ("points to disabled hook").
    pub fn disabled(&self, version: Version) -> bool {
        at(self.disabled, version)
    }

    /// Whether its arguments are not trusted: the objects are being made or taken down.
    pub fn untrusted(&self, version: Version) -> bool {
        at(self.untrusted, version)
    }
}

/// The row of that hook (without `bpf_lsm_`), if there is anything special about it.
pub fn hook(name: &str) -> Option<&'static Hook> {
    HOOKS
        .binary_search_by_key(&name, |hook| hook.name)
        .ok()
        .and_then(|at| HOOKS.get(at))
}

/// What r0 may be at the end of an LSM_MAC program of that hook that returns a value; before 6.12 anything.
pub fn return_range(name: &str, version: Version) -> Option<(i32, i32)> {
    if version < Version::new(6, 12) {
        return None;
    }
    Some(if hook(name).is_some_and(|hook| hook.boolean) {
        (0, 1)
    } else {
        (-4095, 0)
    })
}

/// Functions that are named as hooks are and are none ("points to wrong type name").
pub const NOT_HOOKS: &[&str] = &[
    "find_cgroup_shim",
    "func_proto",
    "get_retval_range",
    "has_d_inode_locked",
    "hook_returns_errno",
    "init",
    "is_sleepable_hook",
    "is_trusted",
    "verify_prog",
];

const fn row(
    name: &'static str,
    sleepable: u8,
    disabled: u8,
    untrusted: u8,
    boolean: bool,
) -> Hook {
    Hook {
        name,
        sleepable,
        disabled,
        untrusted,
        boolean,
    }
}

/// Name; sleepable, disabled, untrusted: a bit for each kernel of [`OBSERVED`]; whether it returns 0 or 1.
#[rustfmt::skip]
static HOOKS: &[Hook] = &[
    row("audit_rule_known", 0b0000, 0b0000, 0b0000, true),
    row("audit_rule_match", 0b0000, 0b1111, 0b0000, false),
    row("bdev_alloc_security", 0b1000, 0b0000, 0b0000, false),
    row("bdev_setintegrity", 0b1000, 0b0000, 0b0000, false),
    row("bpf", 0b1111, 0b0000, 0b0000, false),
    row("bpf_map", 0b1111, 0b0000, 0b0000, false),
    row("bpf_map_alloc_security", 0b0001, 0b0000, 0b0000, false),
    row("bpf_map_create", 0b1110, 0b0000, 0b0000, false),
    row("bpf_map_free", 0b1110, 0b0000, 0b1111, false),
    row("bpf_map_free_security", 0b0001, 0b0000, 0b0000, false),
    row("bpf_prog", 0b1111, 0b0000, 0b0000, false),
    row("bpf_prog_free", 0b0100, 0b0000, 0b1111, false),
    row("bpf_prog_load", 0b1110, 0b0000, 0b0000, false),
    row("bpf_token_capable", 0b1110, 0b0000, 0b0000, false),
    row("bpf_token_cmd", 0b1110, 0b0000, 0b0000, false),
    row("bpf_token_create", 0b1110, 0b0000, 0b0000, false),
    row("bpf_token_free", 0b1110, 0b0000, 0b0000, false),
    row("bprm_check_security", 0b1111, 0b0000, 0b0000, false),
    row("bprm_committed_creds", 0b1111, 0b0000, 0b0000, false),
    row("bprm_committing_creds", 0b1111, 0b0000, 0b0000, false),
    row("bprm_creds_for_exec", 0b1111, 0b0000, 0b0000, false),
    row("bprm_creds_from_file", 0b1111, 0b0000, 0b0000, false),
    row("capget", 0b1111, 0b0000, 0b0000, false),
    row("capset", 0b1111, 0b0000, 0b0000, false),
    row("cred_prepare", 0b1111, 0b0000, 0b0000, false),
    row("current_getsecid_subj", 0b0011, 0b0000, 0b0000, false),
    row("file_alloc_security", 0b0000, 0b1000, 0b1111, false),
    row("file_free_security", 0b0000, 0b0000, 0b1111, false),
    row("file_ioctl", 0b1111, 0b0000, 0b0000, false),
    row("file_lock", 0b1111, 0b0000, 0b0000, false),
    row("file_open", 0b1111, 0b0000, 0b0000, false),
    row("file_post_open", 0b1110, 0b0000, 0b0000, false),
    row("file_receive", 0b1111, 0b0000, 0b0000, false),
    row("getprocattr", 0b0000, 0b1111, 0b0000, false),
    row("getselfattr", 0b0000, 0b1110, 0b0000, false),
    row("inet_conn_established", 0b0101, 0b0000, 0b0000, false),
    row("inode_copy_up_xattr", 0b0000, 0b1111, 0b0000, false),
    row("inode_create", 0b1111, 0b0000, 0b0000, false),
    row("inode_free_security", 0b1111, 0b0000, 0b0000, false),
    row("inode_getattr", 0b1111, 0b0000, 0b0000, false),
    row("inode_getsecurity", 0b0000, 0b1111, 0b0000, false),
    row("inode_getxattr", 0b1111, 0b0000, 0b0000, false),
    row("inode_listsecurity", 0b0000, 0b1111, 0b0000, false),
    row("inode_mknod", 0b1111, 0b0000, 0b0000, false),
    row("inode_need_killpriv", 0b0000, 0b1111, 0b0000, false),
    row("inode_post_removexattr", 0b1100, 0b0000, 0b0000, false),
    row("inode_post_setxattr", 0b1111, 0b0000, 0b0000, false),
    row("inode_readlink", 0b1111, 0b0000, 0b0000, false),
    row("inode_removexattr", 0b1100, 0b0000, 0b0000, false),
    row("inode_rename", 0b1111, 0b0000, 0b0000, false),
    row("inode_rmdir", 0b1111, 0b0000, 0b0000, false),
    row("inode_setattr", 0b1111, 0b0000, 0b0000, false),
    row("inode_setxattr", 0b1111, 0b0000, 0b0000, false),
    row("inode_symlink", 0b1111, 0b0000, 0b0000, false),
    row("inode_unlink", 0b1111, 0b0000, 0b0000, false),
    row("inode_xattr_skipcap", 0b0000, 0b0000, 0b0000, true),
    row("ismaclabel", 0b0000, 0b1111, 0b0000, false),
    row("kernel_module_request", 0b1111, 0b0000, 0b0000, false),
    row("kernel_read_file", 0b1111, 0b0000, 0b0000, false),
    row("kernfs_init_security", 0b1111, 0b0000, 0b0000, false),
    row("key_free", 0b0001, 0b0000, 0b0000, false),
    row("key_getsecurity", 0b0000, 0b1111, 0b0000, false),
    row("mmap_file", 0b1111, 0b0000, 0b0000, false),
    row("netlink_send", 0b1111, 0b0000, 0b0000, false),
    row("path_chmod", 0b1110, 0b0000, 0b0000, false),
    row("path_chown", 0b1110, 0b0000, 0b0000, false),
    row("path_link", 0b1110, 0b0000, 0b0000, false),
    row("path_mkdir", 0b1110, 0b0000, 0b0000, false),
    row("path_notify", 0b1111, 0b0000, 0b0000, false),
    row("path_rename", 0b1110, 0b0000, 0b0000, false),
    row("path_rmdir", 0b1110, 0b0000, 0b0000, false),
    row("path_symlink", 0b1110, 0b0000, 0b0000, false),
    row("path_truncate", 0b1110, 0b0000, 0b0000, false),
    row("path_unlink", 0b1110, 0b0000, 0b0000, false),
    row("release_secctx", 0b1111, 0b0000, 0b0000, false),
    row("sb_alloc_security", 0b1111, 0b0000, 0b0000, false),
    row("sb_eat_lsm_opts", 0b1111, 0b0000, 0b0000, false),
    row("sb_kern_mount", 0b1111, 0b0000, 0b0000, false),
    row("sb_mount", 0b1111, 0b0000, 0b0000, false),
    row("sb_remount", 0b1111, 0b0000, 0b0000, false),
    row("sb_set_mnt_opts", 0b1111, 0b0000, 0b0000, false),
    row("sb_show_options", 0b1111, 0b0000, 0b0000, false),
    row("sb_statfs", 0b1111, 0b0000, 0b0000, false),
    row("sb_umount", 0b1111, 0b0000, 0b0000, false),
    row("setprocattr", 0b0000, 0b1111, 0b0000, false),
    row("settime", 0b1111, 0b0000, 0b0000, false),
    row("sk_alloc_security", 0b0000, 0b0000, 0b1111, false),
    row("sk_free_security", 0b0000, 0b0000, 0b1111, false),
    row("socket_accept", 0b1111, 0b0000, 0b0000, false),
    row("socket_bind", 0b1111, 0b0000, 0b0000, false),
    row("socket_connect", 0b1111, 0b0000, 0b0000, false),
    row("socket_create", 0b1111, 0b0000, 0b0000, false),
    row("socket_getpeername", 0b1111, 0b0000, 0b0000, false),
    row("socket_getpeersec_dgram", 0b1111, 0b0000, 0b0000, false),
    row("socket_getsockname", 0b1111, 0b0000, 0b0000, false),
    row("socket_getsockopt", 0b1111, 0b0000, 0b0000, false),
    row("socket_listen", 0b1111, 0b0000, 0b0000, false),
    row("socket_post_create", 0b1111, 0b0000, 0b0000, false),
    row("socket_recvmsg", 0b1111, 0b0000, 0b0000, false),
    row("socket_sendmsg", 0b1111, 0b0000, 0b0000, false),
    row("socket_shutdown", 0b1111, 0b0000, 0b0000, false),
    row("socket_socketpair", 0b1111, 0b0000, 0b0000, false),
    row("syslog", 0b1111, 0b0000, 0b0000, false),
    row("task_alloc", 0b1111, 0b0000, 0b0000, false),
    row("task_free", 0b0000, 0b0000, 0b1111, false),
    row("task_getsecid_obj", 0b0011, 0b0000, 0b0000, false),
    row("task_prctl", 0b1111, 0b0000, 0b0000, false),
    row("task_setscheduler", 0b1111, 0b0000, 0b0000, false),
    row("task_to_inode", 0b0100, 0b0000, 0b0000, false),
    row("userns_create", 0b1111, 0b0000, 0b0000, false),
    row("vm_enough_memory", 0b0000, 0b1111, 0b0000, false),
    row("xfrm_decode_session", 0b0000, 0b1011, 0b0000, false),
    row("xfrm_state_pol_flow_match", 0b0000, 0b0000, 0b0000, true),
];

#[cfg(test)]
mod tests;
