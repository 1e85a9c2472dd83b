//! Where helpers may be called that not all programs of a kind may call: `bpf_d_path` takes locks, so only in functions
//! known not to hold them; a program that traces local storage may not use it.
//!
//! Invariant: the lists are the kernel's, by name.

use skep_spec::program::{AttachType, ProgramType};

use crate::check::call::EINVAL;
use crate::check::helper::id;
use crate::fault::{Fault, Rule};
use crate::input::AttachTarget;
use crate::verifier::Verifier;

/// Functions whose fentry and fexit programs may call it.
const FUNCTIONS: [&str; 9] = [
    "security_file_permission",
    "security_inode_getattr",
    "security_file_open",
    "security_path_truncate",
    "vfs_truncate",
    "vfs_fallocate",
    "dentry_open",
    "vfs_getattr",
    "filp_close",
];

impl Verifier<'_> {
    /// Whether this program may call a helper that not all of its kind may.
    pub(in crate::check) fn check_allowed_in_probe(&self, helper: u32) -> Rule {
        match helper {
            id::D_PATH => self.check_d_path_allowed(),
            id::SK_STORAGE_GET | id::SK_STORAGE_DELETE => self.check_sk_storage_allowed(),
            _ => Ok(()),
        }
    }

    /// Local storage of sockets is not used by programs that trace it.
    fn check_sk_storage_allowed(&self) -> Rule {
        let place = &self.platform.place;
        if place.program != ProgramType::Tracing {
            return Ok(());
        }
        let of_program = matches!(self.input.target, Some(AttachTarget::Program(_)));
        let allowed = match place.attach {
            Some(AttachType::TraceIter | AttachType::TraceRawTp) => true,
            Some(AttachType::TraceFentry | AttachType::TraceFexit) => !place
                .target
                .is_some_and(|name| name.starts_with("bpf_sk_storage")),
            _ => false,
        };
        if allowed && !of_program {
            return Ok(());
        }
        Err(not_in_probe())
    }

    /// Whether this program may call `bpf_d_path`.
    fn check_d_path_allowed(&self) -> Rule {
        let place = &self.platform.place;
        let target = place.target.unwrap_or("");
        let allowed = match (place.program, place.attach) {
            (ProgramType::Tracing, Some(AttachType::TraceIter)) => true,
            (ProgramType::Lsm, _) => is_sleepable_hook(target),
            _ => FUNCTIONS.contains(&target),
        };
        if allowed {
            return Ok(());
        }
        Err(not_in_probe())
    }
}

#[cold]
fn not_in_probe() -> Box<Fault> {
    Fault::new(
        EINVAL,
        "verifier-helper-probe",
        "helper call is not allowed in probe",
    )
}

/// LSM hooks (without prefix) that are called where sleeping is allowed.
pub fn is_sleepable_hook(name: &str) -> bool {
    SLEEPABLE_HOOKS.binary_search(&name).is_ok()
}

/// Sorted.
const SLEEPABLE_HOOKS: &[&str] = &[
    "bpf",
    "bpf_map",
    "bpf_map_create",
    "bpf_map_free",
    "bpf_prog",
    "bpf_prog_free",
    "bpf_prog_load",
    "bpf_token_capable",
    "bpf_token_cmd",
    "bpf_token_create",
    "bpf_token_free",
    "bprm_check_security",
    "bprm_committed_creds",
    "bprm_committing_creds",
    "bprm_creds_for_exec",
    "bprm_creds_from_file",
    "capget",
    "capset",
    "cred_prepare",
    "file_ioctl",
    "file_lock",
    "file_open",
    "file_post_open",
    "file_receive",
    "inode_create",
    "inode_free_security",
    "inode_getattr",
    "inode_getxattr",
    "inode_listsecurity",
    "inode_listxattr",
    "inode_mknod",
    "inode_need_killpriv",
    "inode_post_setxattr",
    "inode_readlink",
    "inode_rename",
    "inode_rmdir",
    "inode_setattr",
    "inode_setsecurity",
    "inode_setxattr",
    "inode_symlink",
    "inode_unlink",
    "kernel_create_files_as",
    "kernel_module_request",
    "kernel_post_load_data",
    "kernel_post_read_file",
    "kernel_read_file",
    "kernfs_init_security",
    "key_free",
    "mmap_file",
    "netlink_send",
    "path_notify",
    "release_secctx",
    "sb_alloc_security",
    "sb_eat_lsm_opts",
    "sb_kern_mount",
    "sb_mount",
    "sb_remount",
    "sb_set_mnt_opts",
    "sb_show_options",
    "sb_statfs",
    "sb_umount",
    "settime",
    "socket_accept",
    "socket_bind",
    "socket_connect",
    "socket_create",
    "socket_getpeername",
    "socket_getpeersec_dgram",
    "socket_getsockname",
    "socket_getsockopt",
    "socket_listen",
    "socket_post_create",
    "socket_recvmsg",
    "socket_sendmsg",
    "socket_shutdown",
    "socket_socketpair",
    "syslog",
    "task_alloc",
    "task_getsecid_subj",
    "task_prctl",
    "task_setscheduler",
    "task_to_inode",
    "userns_create",
];
