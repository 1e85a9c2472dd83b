//! Deduction loses no member and says what the log of Linux 6.18 says.

use super::super::tnum::Tnum;
use super::Scalar;

#[test]
fn constants() {
    for number in [0, 1, 5, u64::MAX, 1 << 31, 1 << 32, 1 << 63, 0xffff_ffff] {
        let mut scalar = Scalar::constant(number);
        assert!(scalar.consistent());
        assert_eq!(scalar.as_const(), Some(number));
        assert!(scalar.contains(number) && !scalar.contains(number ^ 1));
        scalar.sync();
        assert_eq!(scalar, Scalar::constant(number));
        assert_eq!(scalar.zext32(), Scalar::constant(number & 0xffff_ffff));
        assert_eq!(scalar.truncate(1), Scalar::constant(number & 0xff));
        assert_eq!(scalar.sext(4), Scalar::constant(number as i32 as u64));
    }
}

#[test]
fn text() {
    assert_eq!(Scalar::UNKNOWN.to_string(), "scalar()");
    assert_eq!(Scalar::constant(5).to_string(), "5");
    assert_eq!(Scalar::constant(-1i64 as u64).to_string(), "-1");
    assert_eq!(Scalar::constant(0x8000).to_string(), "0x8000");
    assert_eq!(
        Scalar::from_bits(Tnum::new(0, 0xff)).to_string(),
        "scalar(smin=smin32=0,smax=umax=smax32=umax32=255,var_off=(0x0; 0xff))"
    );
    assert_eq!(
        Scalar::signed_range(-128, 127).to_string(),
        "scalar(smin=smin32=-128,smax=smax32=127)"
    );
}
