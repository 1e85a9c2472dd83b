//! Names, numbers, and helpers' results.

use super::*;

#[test]
fn names_and_numbers_agree() {
    assert!(ALL.is_sorted_by(|a, b| a.0 < b.0));
    assert_eq!(Errno(2).name(), Some("ENOENT"));
    assert_eq!(Errno(133).to_string(), "EHWPOISON");
    assert_eq!(Errno(4000).to_string(), "errno 4000");
    assert_eq!(Errno::by_name("ENOTSUPP"), Some(Errno(524)));
    assert_eq!(Errno::by_name("ENOSUCH"), None);
    assert_eq!(Errno::EWOULDBLOCK, Errno(11));
}

#[test]
fn r0_holds_the_negative_number() {
    assert_eq!(Errno::ENOENT.as_r0(), 0xffff_ffff_ffff_fffe);
    assert_eq!(Errno::of_r0(Errno::E2BIG.as_r0()), Some(Errno::E2BIG));
    assert_eq!(Errno::of_r0(0), None);
    assert_eq!(Errno::of_r0(-4096i64 as u64), None);
}
