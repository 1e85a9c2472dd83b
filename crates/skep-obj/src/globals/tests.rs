//! Text becomes bytes by type.

use skep_btf::Builder;
use skep_btf::build::MemberDef;
use skep_btf::ty::Encoding;
use skep_spec::insn::Endian;

use super::bytes_from_text;

#[test]
fn scalars_arrays_and_structs() {
    let mut b = Builder::new();
    let u32_ = b.add_int("unsigned int", 4, Encoding::UNSIGNED);
    let s16 = b.add_int("short", 2, Encoding::SIGNED);
    let bool_ = b.add_int("bool", 1, Encoding::BOOL);
    let char_ = b.add_int("char", 1, Encoding::SIGNED);
    let name = b.add_array(char_, u32_, 8);
    let words = b.add_array(u32_, u32_, 3);
    let proto = b.add_enum("proto", 4, &[("TCP", 6), ("UDP", 17)]);
    let members = [
        MemberDef::new("a", s16, 0),
        MemberDef::new("w", words, 4),
        MemberDef::new("p", proto, 16),
    ];
    let event = b.add_struct("event", 20, members.to_vec());
    let btf = b.into_btf().unwrap();
    let le = |ty, text: &str| bytes_from_text(&btf, ty, text, Endian::Little);

    assert_eq!(le(u32_, "0x01020304").unwrap(), [4, 3, 2, 1]);
    assert_eq!(
        bytes_from_text(&btf, u32_, "258", Endian::Big).unwrap(),
        [0, 0, 1, 2]
    );
    assert_eq!(le(s16, "-2").unwrap(), [0xfe, 0xff]);
    assert_eq!(le(bool_, "true").unwrap(), [1]);
    assert_eq!(le(proto, "UDP").unwrap(), [17, 0, 0, 0]);
    assert_eq!(le(name, "bash").unwrap(), *b"bash\0\0\0\0");
    assert_eq!(le(name, "\"a b\\n\"").unwrap(), *b"a b\n\0\0\0\0");
    assert_eq!(
        le(words, "{1, 2}").unwrap(),
        [1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0]
    );
    let mut wanted = [0u8; 20];
    wanted[0] = 7;
    wanted[4] = 1;
    wanted[16] = 6;
    assert_eq!(le(event, "{ 7, .w = {1}, .p = TCP }").unwrap(), wanted);

    for (ty, text, why) in [
        (u32_, "4294967296", "out of range"),
        (u32_, "-1", "out of range"),
        (s16, "32768", "out of range"),
        (bool_, "2", "out of range"),
        (name, "nine chars", "a string of 10 bytes"),
        (words, "{1,2,3,4}", "more than the array's 3"),
        (event, "{.b = 1}", "no member `b`"),
        (proto, "ICMP", "one of TCP, UDP"),
        (u32_, "1 2", "left over"),
        (words, "{1", "is missing"),
    ] {
        let error = le(ty, text).unwrap_err();
        assert!(error.contains(why), "{text}: {error}");
    }
}
