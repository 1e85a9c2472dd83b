//! Releases, the profiles of them, and what exists in each.

use super::*;

#[test]
fn versions() {
    assert_eq!(Version::parse("6.18"), Some(Version::new(6, 18)));
    assert_eq!(Version::parse("6.18.44"), Some(Version::new(6, 18)));
    assert_eq!(Version::parse("7.0-rc3"), Some(Version::new(7, 0)));
    for bad in ["", "6", "6.", ".6", "six", "6.x", "99999.1", "6..1"] {
        assert_eq!(Version::parse(bad), None, "{bad}");
    }
    assert!(Version::new(6, 9) < Version::new(6, 18));
    assert!(Version::new(6, 18).has("6.9"));
    assert!(!Version::new(6, 1).has("6.9"));
}

#[test]
fn profiles_are_named_by_their_release() {
    for profile in Profile::ALL {
        assert_eq!(Profile::parse(profile.name).as_ref(), Some(profile));
        assert_eq!(profile.version.to_string(), profile.name);
    }
    let stable = Profile {
        patch: Some(90),
        ..Profile::V6_1
    };
    assert_eq!(Profile::parse("6.1.90"), Some(stable));
    let known = |name: &str| Profile::parse(name).is_some_and(|p| p.up_to_patch(6, 18, 15));
    assert!(known("6.18.15") && !known("6.18.44") && !known("6.18") && !known("6.12.1"));
    assert_eq!(Profile::parse("6.17"), None);
    assert_eq!(Profile::default(), Profile::V6_18);
}

#[test]
fn existence_follows_the_tables() {
    assert!(Profile::V5_10.helper_exists(1));
    assert!(!Profile::V5_10.helper_exists(211));
    assert!(Profile::V6_18.helper_exists(211));
    assert!(!Profile::V6_18.helper_exists(212));
    assert!(!Profile::V6_1.program_type_exists(ProgramType::Netfilter));
    assert!(Profile::V6_6.program_type_exists(ProgramType::Netfilter));
    assert!(!Profile::V6_6.map_type_exists(MapType::Arena));
    assert!(Profile::V6_12.map_type_exists(MapType::Arena));
    assert!(Profile::V6_1.has(Feature::BoundedLoops));
    assert!(!Profile::V6_1.has(Feature::SignExtendingLoads));
    assert!(Profile::V6_6.has(Feature::SignExtendingLoads));
}

#[test]
fn an_engine_has_what_it_lists() {
    let embedded = Profile::embedded(Available {
        helpers: vec![1, 5],
        kfuncs: vec!["bpf_rcu_read_lock".into()],
        programs: ProgramSet::of(&[ProgramType::Xdp]),
        maps: vec![MapType::Hash],
    });
    assert!(embedded.helper_exists(5) && !embedded.helper_exists(2));
    assert!(
        embedded.kfunc_exists("bpf_rcu_read_lock") && !embedded.kfunc_exists("bpf_iter_num_new")
    );
    assert!(embedded.program_type_exists(ProgramType::Xdp));
    assert!(!embedded.program_type_exists(ProgramType::Kprobe));
    assert!(embedded.map_type_exists(MapType::Hash) && !embedded.map_type_exists(MapType::Array));
    assert!(embedded.has(Feature::LoadAcquire) && !embedded.has(Feature::IndirectJumps));
}
