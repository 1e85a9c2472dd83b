//! Kernel releases as values: which instructions, functions, kinds of program and rules each has.
//!
//! Invariants: a profile is plain data, compared with the `since` of every table; nothing here asks a kernel.
//! [`Profile::V6_18`] is the default everywhere. The `embedded` profile has the rules of 6.18 and only what
//! [`Available`] lists.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::helper::{self, ProgramSet};
use crate::kfunc;
use crate::map::MapType;
use crate::program::{AttachType, ProgramType};

mod feature;

pub use feature::Feature;

/// A release of Linux, without its stable number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// `6` of 6.18.
    pub major: u16,
    /// `18` of 6.18.
    pub minor: u16,
}

impl Version {
    /// That release.
    pub const fn new(major: u16, minor: u16) -> Version {
        Version { major, minor }
    }

    /// Reads `6.18`, and `6.18.44` or `6.18-rc1` as 6.18.
    pub const fn parse(text: &str) -> Option<Version> {
        let bytes = text.as_bytes();
        let mut parts = [0u16; 2];
        let mut part = 0;
        let mut digits = 0;
        let mut at = 0;
        while at < bytes.len() {
            match bytes[at] {
                digit @ b'0'..=b'9' if digits < 4 => {
                    parts[part] = parts[part] * 10 + (digit - b'0') as u16;
                    digits += 1;
                }
                b'.' | b'-' if digits > 0 && part == 1 => break,
                b'.' if digits > 0 => {
                    part = 1;
                    digits = 0;
                }
                _ => return None,
            }
            at += 1;
        }
        if part == 1 && digits > 0 {
            Some(Version::new(parts[0], parts[1]))
        } else {
            None
        }
    }

    /// Whether this release has what came with `since` (a release as the tables write it).
    pub fn has(self, since: &str) -> bool {
        Version::parse(since).is_some_and(|since| self >= since)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// What an engine that is no Linux kernel offers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Available {
    /// Numbers of helpers, sorted.
    pub helpers: Vec<u32>,
    /// Names of kfuncs, sorted.
    pub kfuncs: Vec<String>,
    /// Kinds of program.
    pub programs: ProgramSet,
    /// Kinds of map.
    pub maps: Vec<MapType>,
}

/// A kernel to verify for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// `6.18`, `embedded`.
    pub name: &'static str,
    /// Whose rules hold.
    pub version: Version,
    /// `15` of 6.18.15, where the stable release was named; the latest that is known otherwise.
    pub patch: Option<u16>,
    /// How the rules were found: by loading programs into that kernel, or by its documentation alone.
    pub measured: Option<&'static str>,
    /// If present, only this exists.
    pub only: Option<Available>,
}

impl Profile {
    /// Linux 5.10.
    pub const V5_10: Profile = Profile::linux("5.10", 5, 10, Some("5.10.262 (Debian)"));
    /// Linux 5.15.
    pub const V5_15: Profile = Profile::linux("5.15", 5, 15, None);
    /// Linux 6.1.
    pub const V6_1: Profile = Profile::linux("6.1", 6, 1, Some("6.1.192 (Debian)"));
    /// Linux 6.6.
    pub const V6_6: Profile = Profile::linux("6.6", 6, 6, None);
    /// Linux 6.12.
    pub const V6_12: Profile = Profile::linux("6.12", 6, 12, Some("6.12.117 (Debian)"));
    /// Linux 6.18, the default.
    pub const V6_18: Profile = Profile::linux("6.18", 6, 18, Some("6.18.44 and 6.18.15 (Debian)"));
    /// Linux 7.3.
    pub const V7_3: Profile = Profile::linux("7.3", 7, 3, Some("7.3.4 (Debian)"));

    /// Every release that has a profile of its own, oldest first.
    pub const ALL: &'static [Profile] = &[
        Profile::V5_10,
        Profile::V5_15,
        Profile::V6_1,
        Profile::V6_6,
        Profile::V6_12,
        Profile::V6_18,
        Profile::V7_3,
    ];

    const fn linux(
        name: &'static str,
        major: u16,
        minor: u16,
        measured: Option<&'static str>,
    ) -> Profile {
        Profile {
            name,
            version: Version::new(major, minor),
            patch: None,
            measured,
            only: None,
        }
    }

    /// The rules of 6.18 over what an engine has.
    pub const fn embedded(available: Available) -> Profile {
        Profile {
            name: "embedded",
            version: Version::new(6, 18),
            patch: None,
            measured: None,
            only: Some(available),
        }
    }

    /// The profile named `6.1`; a stable release such as `6.1.90` is its series' profile,
    /// with its patch level for the few rules that changed within a series. `embedded` is made with
    /// [`Profile::embedded`], since it needs the engine's lists.
    pub fn parse(name: &str) -> Option<Profile> {
        let name = name.strip_prefix('v').unwrap_or(name);
        let version = Version::parse(name)?;
        let found = Profile::ALL
            .iter()
            .find(|profile| profile.version == version)?;
        let patch = name.splitn(3, '.').nth(2).map(|rest| {
            let end = rest.find(|c: char| !c.is_ascii_digit());
            &rest[..end.unwrap_or(rest.len())]
        });
        Some(Profile {
            patch: patch.and_then(|digits| digits.parse().ok()),
            ..found.clone()
        })
    }

    /// Whether it is a stable release of `major.minor` that was named, and is not later than that patch.
    pub fn up_to_patch(&self, major: u16, minor: u16, patch: u16) -> bool {
        self.version == Version::new(major, minor) && self.patch.is_some_and(|own| own <= patch)
    }

    /// Whether it is this release or a later one.
    #[inline]
    pub const fn at_least(&self, major: u16, minor: u16) -> bool {
        self.version.major > major || (self.version.major == major && self.version.minor >= minor)
    }

    /// Whether it has that feature.
    #[inline]
    pub const fn has(&self, feature: Feature) -> bool {
        let since = feature.since();
        self.at_least(since.major, since.minor)
    }

    /// Whether the helper of that number exists, for whatever kind of program.
    pub fn helper_exists(&self, id: u32) -> bool {
        match &self.only {
            Some(only) => only.helpers.binary_search(&id).is_ok(),
            None => helper::by_id(id).is_some_and(|helper| self.version.has(helper.since)),
        }
    }

    /// Whether the kfunc of that name exists, for whatever kind of program.
    pub fn kfunc_exists(&self, name: &str) -> bool {
        match &self.only {
            Some(only) => only
                .kfuncs
                .binary_search_by(|known| known.as_str().cmp(name))
                .is_ok(),
            None => kfunc::kernel::by_name(name).is_some_and(|kfunc| self.version.has(kfunc.since)),
        }
    }

    /// Whether programs of that kind can be loaded.
    pub fn program_type_exists(&self, program: ProgramType) -> bool {
        match &self.only {
            Some(only) => only.programs.contains(program),
            None => self.version.has(program.since()),
        }
    }

    /// Whether that place of attachment exists.
    pub fn attach_type_exists(&self, attach: AttachType) -> bool {
        self.version.has(attach.since())
    }

    /// Whether maps of that kind can be created.
    pub fn map_type_exists(&self, map: MapType) -> bool {
        match &self.only {
            Some(only) => only.maps.contains(&map),
            None => self.version.has(map.since()),
        }
    }

    /// How the log names a number in a register: `scalar`, before 5.18 `inv`.
    pub const fn scalar_word(&self) -> &'static str {
        if self.at_least(5, 18) {
            "scalar"
        } else {
            "inv"
        }
    }
}

impl Default for Profile {
    fn default() -> Profile {
        Profile::V6_18
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name)
    }
}

#[cfg(test)]
mod tests;
