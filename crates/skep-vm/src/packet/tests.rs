//! Edges, rooms and what is zero in them.

use skep_spec::context::{skb, xdp};

use super::*;

fn xdp_with(len: usize) -> PacketCtx {
    let mut p = PacketCtx::new(&xdp::XDP, PacketKind::Xdp);
    p.load(&vec![0xaa; len]).unwrap();
    p
}

#[test]
fn the_slots_say_where_the_packet_is() {
    let mut p = xdp_with(60);
    let (start, end) = p.region();
    assert_eq!(end - start, 60);
    assert_eq!(
        (p.slot(xdp::slot::DATA), p.slot(xdp::slot::DATA_END)),
        (start, end)
    );
    assert_eq!(p.slot(xdp::slot::DATA_META), start);
    assert!(p.move_data(-20));
    assert_eq!(p.slot(xdp::slot::DATA), start - 20);
    assert!(p.set_len(90));
    assert_eq!(p.slot(xdp::slot::DATA_END), start - 20 + 90);
    assert_eq!(p.field("data_end"), Some(start + 70));
    assert!(!p.set_field("data", 1) && !p.set_field("nonsense", 1));
    assert!(p.set_field("ingress_ifindex", 7));
    assert_eq!(p.field("ingress_ifindex"), Some(7));

    let mut s = PacketCtx::new(&skb::TC, PacketKind::Skb);
    s.load(&[1; 77]).unwrap();
    assert_eq!(s.field("len"), Some(77));
    assert!(!s.set_field("len", 3), "the frame owns the length");
    assert!(s.set_len(50));
    assert_eq!(s.slot(skb::slot::LEN), 50);
}

#[test]
fn rooms_of_an_xdp_frame_are_the_kernels() {
    let mut p = xdp_with(XDP_LINEAR_MAX);
    assert_eq!((p.frame().headroom(), p.frame().tailroom()), (256, 0));
    assert!(!p.set_len(XDP_LINEAR_MAX + 1));
    assert_eq!(
        p.load(&[0; XDP_LINEAR_MAX + 1]),
        Err(FrameError::TooLong {
            len: 3521,
            max: 3520
        })
    );
    assert!(!p.move_data(-257) && p.move_data(-256));
    assert!(!p.reserve(1, 0), "XDP never gets a bigger buffer");
    assert!(!p.move_data(i64::MAX) && !p.move_data(i64::MIN));
    assert!(
        !p.move_data(256 + 3521) && p.move_data(256 + 3520),
        "the packet may become empty, not negative"
    );
    assert!(p.frame().is_empty());

    let mut frags = PacketCtx::new(&xdp::XDP, PacketKind::XdpFrags);
    frags.load(&[5; 9000]).unwrap();
    assert_eq!((frags.bytes().len(), frags.frame().headroom()), (9000, 256));
    assert_eq!(frags.frame().tailroom(), 3 * 4096 - 9000);
    assert!(frags.load(&vec![0; PACKET_MAX + 1]).is_err());
}

#[test]
fn a_new_packet_finds_zeroes_around_it() {
    let mut p = xdp_with(200);
    assert!(p.set_meta_len(32) && p.move_data(-100) && p.set_len(3000));
    let (start, end) = p.region();
    assert_eq!(end - start, 3032);
    p.bytes_mut().fill(0x55);
    p.redirect = Some(Redirect {
        target: RedirectTarget::Interface(3),
        flags: 0,
    });
    p.set_slot(xdp::slot::RX_QUEUE_INDEX, 9);
    p.load(&[0xbb; 64]).unwrap();
    assert_eq!(p.redirect, None);
    assert_eq!(p.slot(xdp::slot::RX_QUEUE_INDEX), 0);
    assert!(p.move_data(-256));
    assert!(p.bytes()[..256].iter().all(|b| *b == 0), "headroom");
    assert!(p.set_len(256 + 64 + 3000));
    assert!(p.bytes()[256 + 64..].iter().all(|b| *b == 0), "tail");
    assert_eq!(p.bytes()[256..320], [0xbb; 64]);
}

#[test]
fn the_tail_is_zero_again_after_a_shrink() {
    let mut p = xdp_with(100);
    assert!(p.set_len(20) && p.set_len(100));
    assert_eq!(p.bytes()[..20], [0xaa; 20]);
    assert_eq!(p.bytes()[20..], [0; 80]);
}

#[test]
fn metadata_moves_with_the_packet() {
    let mut p = xdp_with(60);
    assert!(p.set_meta_len(8));
    let (start, _) = p.region();
    assert_eq!(p.slot(xdp::slot::DATA_META), start);
    // What a program stores through its pointer.
    // SAFETY: `start` is the first of eight bytes of metadata in the frame.
    unsafe {
        std::ptr::with_exposed_provenance_mut::<[u8; 8]>(start as usize)
            .write([1, 2, 3, 4, 5, 6, 7, 8])
    };
    for delta in [-100, 60, 80, -5, 3] {
        assert!(p.move_data(delta));
        assert_eq!(
            p.meta_bytes(),
            [1, 2, 3, 4, 5, 6, 7, 8],
            "after a move by {delta}"
        );
    }
    assert!(!p.set_meta_len(1000));
}

#[test]
fn an_skb_gets_more_room_when_asked() {
    let mut s = PacketCtx::new(&skb::TC, PacketKind::Skb);
    let packet: Vec<u8> = (0..100).collect();
    s.load(&packet).unwrap();
    assert!(s.reserve(500, 5000));
    assert_eq!(s.bytes(), packet);
    assert!(s.move_data(-500) && s.set_len(5600));
    assert_eq!(s.bytes()[500..600], packet);
    assert!(
        s.bytes()[..500]
            .iter()
            .chain(&s.bytes()[600..])
            .all(|b| *b == 0)
    );
    assert!(!s.reserve(PACKET_MAX, 0));
    assert_eq!(s.field("data"), Some(s.region().0));
    s.load(&packet).unwrap();
    assert_eq!(s.bytes(), packet);
    s.load(&[7; 60_000]).unwrap();
    assert_eq!(s.bytes(), [7; 60_000]);
}

#[test]
fn headers_open_and_close() {
    let mut s = PacketCtx::new(&skb::TC, PacketKind::Skb);
    let packet: Vec<u8> = (0..60).collect();
    s.load(&packet).unwrap();
    assert!(s.move_header(14, 200));
    assert_eq!(s.bytes()[..14], packet[..14]);
    assert_eq!(s.bytes()[14..214], [0; 200]);
    assert_eq!(s.bytes()[214..], packet[14..]);
    assert!(s.move_header(14, -200));
    assert_eq!(s.bytes(), packet);
    assert!(s.move_header(14, -20));
    assert_eq!(s.bytes().len(), 40);
    assert_eq!(
        (&s.bytes()[..14], &s.bytes()[14..]),
        (&packet[..14], &packet[34..])
    );
    assert!(!s.move_header(30, -11) && !s.move_header(41, 1) && !s.move_header(0, i64::MIN));
}

#[test]
fn a_packet_that_starts_at_its_network_header_keeps_its_mac_header() {
    let mut s = PacketCtx::new(&skb::SOCKET_FILTER, PacketKind::Skb);
    let packet: Vec<u8> = (0..60).collect();
    s.load(&packet).unwrap();
    assert!(s.move_data(14));
    s.skb.mac_offset = -14;
    assert_eq!(s.bytes(), &packet[14..]);
    assert_eq!(s.bytes_with_headers(), (&packet[..], 14));
    s.skb.mac_offset = i32::MIN;
    assert_eq!(s.bytes_with_headers().1, 78, "never before the frame");
}
