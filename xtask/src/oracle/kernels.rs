//! The kernels that tables were recorded on, as far as this machine has their types and configuration.
//!
//! Invariant: types of another release are never taken for a table's kernel without saying so.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use skep::btf::Btf;
use skep::spec::profile::Profile;
use skep::verify::TargetKernel;

const RUNNING_TYPES: &str = "/sys/kernel/btf/vmlinux";

/// A kernel and where its types came from.
pub struct Found {
    pub kernel: TargetKernel,
    /// For the report.
    pub types: String,
}

/// The kernel of that release (`6.18.15`); `profile` overrides the rules. With `any_types` those of the running kernel do
/// if there are no better ones.
pub fn find(
    folder: Option<&Path>,
    release: &str,
    profile: Option<&str>,
    any_types: bool,
) -> Result<Found, String> {
    let rules = profile.unwrap_or(release);
    let profile = Profile::parse(rules).ok_or_else(|| format!("no profile for kernel {rules}"))?;
    let mut types = "none".to_owned();
    let mut btfs = Vec::new();
    let own = Path::new(RUNNING_TYPES);
    let path = types_file(folder, release)
        .or_else(|| (any_types && own.exists()).then(|| own.to_path_buf()));
    if let Some(path) = path {
        let bytes = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let btf = Btf::parse(bytes).map_err(|error| format!("{}: {error}", path.display()))?;
        btfs.push(Arc::new(btf));
        types = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
    }
    let mut kernel = TargetKernel::new(profile, btfs);
    kernel.release = release_number(release).unwrap_or(kernel.release);
    let config = folder.map(|folder| folder.join(format!("config-{release}")));
    if let Some(text) = config.and_then(|path| std::fs::read_to_string(path).ok()) {
        kernel.syscall_wrapper =
            text.contains("CONFIG_ARCH_HAS_SYSCALL_WRAPPER=y") && text.contains("CONFIG_KPROBES=y");
        kernel = kernel.with_config(&text);
    }
    Ok(Found { kernel, types })
}

/// `vmlinux-RELEASE.btf`, or that of the same series, or this machine's own if it is of that series.
fn types_file(folder: Option<&Path>, release: &str) -> Option<PathBuf> {
    let series = series(release)?;
    if let Some(folder) = folder {
        let exact = folder.join(format!("vmlinux-{release}.btf"));
        if exact.exists() {
            return Some(exact);
        }
        let mut near: Vec<PathBuf> = std::fs::read_dir(folder)
            .ok()?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| {
                let name = path.file_name().map(|name| name.to_string_lossy());
                name.and_then(|name| {
                    let release = name.strip_prefix("vmlinux-")?.strip_suffix(".btf")?;
                    Some(self::series(release)? == series)
                }) == Some(true)
            })
            .collect();
        near.sort();
        if let Some(path) = near.pop() {
            return Some(path);
        }
    }
    let running = std::fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
    let own = PathBuf::from(RUNNING_TYPES);
    (self::series(&running)? == series && own.exists()).then_some(own)
}

fn series(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn release_number(release: &str) -> Option<u32> {
    let (major, minor) = series(release)?;
    let patch = release
        .split(|c: char| !c.is_ascii_digit())
        .nth(2)
        .and_then(|patch| patch.parse::<u32>().ok())
        .unwrap_or(0);
    Some(major << 16 | minor << 8 | patch.min(255))
}
