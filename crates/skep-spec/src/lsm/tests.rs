//! Hooks between releases, and that the rows can be searched.

use super::*;

#[test]
fn rows_are_sorted_and_found() {
    assert!(HOOKS.windows(2).all(|pair| pair[0].name < pair[1].name));
    for row in HOOKS {
        assert_eq!(hook(row.name), Some(row));
    }
    assert_eq!(hook("no_such_hook"), None);
}

#[test]
fn hooks_change_between_releases() {
    let v6_18 = Version::new(6, 18);
    let open = hook("file_open").unwrap();
    assert!(open.sleepable(v6_18) && open.sleepable(Version::new(6, 6)));
    assert!(!open.sleepable(Version::new(5, 10)));
    assert!(hook("vm_enough_memory").unwrap().disabled(v6_18));
    assert!(!hook("path_unlink").unwrap().sleepable(Version::new(6, 1)));
    assert!(hook("path_unlink").unwrap().sleepable(v6_18));
    assert!(hook("sk_free_security").unwrap().untrusted(v6_18));
    assert_eq!(return_range("file_open", v6_18), Some((-4095, 0)));
    assert_eq!(return_range("audit_rule_known", v6_18), Some((0, 1)));
    assert_eq!(return_range("file_open", Version::new(6, 1)), None);
}
