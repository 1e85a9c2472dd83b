//! The kernel that a program is verified for: its rules, types, configuration and symbols.
//!
//! Invariant: a value; nothing is read from the machine that runs this.

use std::sync::Arc;

use skep_btf::Btf;
use skep_spec::profile::Profile;

use super::Options;
use crate::engine::Config;

/// A kernel to verify for.
#[derive(Clone, Debug)]
pub struct TargetKernel {
    /// Whose rules hold.
    pub profile: Profile,
    /// Its types: the kernel's own first, then its modules'. May be empty; what needs types then is not loadable.
    pub btfs: Vec<Arc<Btf>>,
    /// `major << 16 | minor << 8 | patch`, as `LINUX_KERNEL_VERSION`.
    pub release: u32,
    /// CPUs.
    pub cpus: u32,
    /// Whether its system calls are behind wrappers (`LINUX_HAS_SYSCALL_WRAPPER`).
    pub syscall_wrapper: bool,
    options: Option<Arc<Options>>,
}

impl TargetKernel {
    /// A kernel with those rules and types, and without a known configuration.
    pub fn new(profile: Profile, btfs: Vec<Arc<Btf>>) -> TargetKernel {
        let version = profile.version;
        TargetKernel {
            release: u32::from(version.major) << 16 | u32::from(version.minor) << 8,
            profile,
            btfs,
            cpus: 2,
            syscall_wrapper: true,
            options: None,
        }
    }

    /// With the text of its `config` file: lines of `CONFIG_NAME=value`.
    #[must_use]
    pub fn with_config(mut self, text: &str) -> TargetKernel {
        let options = text.lines().filter_map(|line| {
            let (name, value) = line.trim().split_once('=')?;
            name.starts_with("CONFIG_")
                .then(|| (name.to_owned(), value.to_owned()))
        });
        self.options = Some(Arc::new(options.collect()));
        self
    }

    /// The value of an option or of a loader's pseudo option.
    pub fn config(&self, name: &str) -> Option<Config> {
        match name {
            "LINUX_KERNEL_VERSION" => return Some(Config::Number(u64::from(self.release))),
            "LINUX_HAS_BPF_COOKIE" => {
                return Some(Config::Number(u64::from(self.profile.at_least(5, 15))));
            }
            "LINUX_HAS_SYSCALL_WRAPPER" => {
                return Some(Config::Number(u64::from(self.syscall_wrapper)));
            }
            _ => {}
        }
        let value = self.options.as_ref()?.get(name)?;
        match value.as_bytes() {
            [letter @ (b'y' | b'n' | b'm')] => Some(Config::Tristate(*letter)),
            [b'"', text @ .., b'"'] => Some(Config::Text(String::from_utf8_lossy(text).into())),
            _ => number(value).map(Config::Number),
        }
    }
}

fn number(text: &str) -> Option<u64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let value = match digits.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok()?,
        None => digits.parse().ok()?,
    };
    Some(if negative {
        value.wrapping_neg()
    } else {
        value
    })
}
