.license "GPL"

.map dropped {
    type hash
    key struct address
    value u64
    max_entries 65536
}

.section "xdp"
.function firewall
    r2 = *(u32 *)(r1 + 0x4) @line("./firewall/firewall.bpf.c", 31, 29, "\tu8 *end = (u8 *)(long)ctx->data_end;")
    r1 = *(u32 *)(r1 + 0x0) @line("./firewall/firewall.bpf.c", 30, 30, "\tu8 *data = (u8 *)(long)ctx->data;")
    r3 = 0x1
    *(u64 *)(r10 - 0x10) = r3 @line("./firewall/firewall.bpf.c", 34, 6, "\tu64 one = 1, *count;")
    r0 = 0x2
    r3 = r1 @line("./firewall/firewall.bpf.c", 36, 9, "\tif (ip + 20 > end || *(u16 *)(data + 12) != ETH_IPV4)")
    r3 += 0x22
    if r3 > r2 goto L66 @line("./firewall/firewall.bpf.c", 36, 20, "\tif (ip + 20 > end || *(u16 *)(data + 12) != ETH_IPV4)")
    r3 = *(u16 *)(r1 + 0xc) @line("./firewall/firewall.bpf.c", 36, 23, "\tif (ip + 20 > end || *(u16 *)(data + 12) != ETH_IPV4)")
    if r3 != 0x8 goto L66 @line("./firewall/firewall.bpf.c", 36, 6, "\tif (ip + 20 > end || *(u16 *)(data + 12) != ETH_IPV4)")
    r3 = *(u8 *)(r1 + 0x17) @line("./firewall/firewall.bpf.c", 38, 6, "\tif (ip[9] != TCP && ip[9] != UDP)")
    if r3 == 0x11 goto L13 @line("./firewall/firewall.bpf.c", 38, 19, "\tif (ip[9] != TCP && ip[9] != UDP)")
    if r3 != 0x6 goto L66
L13:
    r3 = *(u8 *)(r1 + 0x14) @line("./firewall/firewall.bpf.c", 40, 7, "\tif ((ip[6] & 0x1f) || ip[7])")
    r3 &= 0x1f @line("./firewall/firewall.bpf.c", 40, 13, "\tif ((ip[6] & 0x1f) || ip[7])")
    if r3 != 0x0 goto L66 @line("./firewall/firewall.bpf.c", 40, 21, "\tif ((ip[6] & 0x1f) || ip[7])")
    r3 = *(u8 *)(r1 + 0x15) @line("./firewall/firewall.bpf.c", 40, 24, "\tif ((ip[6] & 0x1f) || ip[7])")
    if r3 != 0x0 goto L66 @line("./firewall/firewall.bpf.c", 40, 6, "\tif ((ip[6] & 0x1f) || ip[7])")
    r3 = r1
    r3 += 0xe
    r4 = *(u8 *)(r3 + 0x0) @line("./firewall/firewall.bpf.c", 42, 16, "\tports = ip + (ip[0] & 0xf) * 4;")
    r4 <<= 0x2 @line("./firewall/firewall.bpf.c", 42, 29, "\tports = ip + (ip[0] & 0xf) * 4;")
    r4 &= 0x3c
    r3 += r4 @line("./firewall/firewall.bpf.c", 42, 13, "\tports = ip + (ip[0] & 0xf) * 4;")
    r4 = r3 @line("./firewall/firewall.bpf.c", 43, 12, "\tif (ports + 4 > end)")
    r4 += 0x4
    if r4 > r2 goto L66 @line("./firewall/firewall.bpf.c", 43, 6, "\tif (ports + 4 > end)")
    r2 = *(u8 *)(r3 + 0x3) @line("./firewall/firewall.bpf.c", 45, 23, "\tif ((ports[2] << 8 | ports[3]) != blocked_port)")
    r3 = *(u8 *)(r3 + 0x2) @line("./firewall/firewall.bpf.c", 45, 7, "\tif ((ports[2] << 8 | ports[3]) != blocked_port)")
    r3 <<= 0x8 @line("./firewall/firewall.bpf.c", 45, 16, "\tif ((ports[2] << 8 | ports[3]) != blocked_port)")
    r3 |= r2 @line("./firewall/firewall.bpf.c", 45, 21, "\tif ((ports[2] << 8 | ports[3]) != blocked_port)")
    r2 = value .rodata ll @line("./firewall/firewall.bpf.c", 45, 36, "\tif ((ports[2] << 8 | ports[3]) != blocked_port)")
    r2 = *(u16 *)(r2 + 0x0)
    if r3 != r2 goto L66 @line("./firewall/firewall.bpf.c", 45, 6, "\tif ((ports[2] << 8 | ports[3]) != blocked_port)")
    r2 = *(u8 *)(r1 + 0x1b) @line("./firewall/firewall.bpf.c", 48, 2, "\t__builtin_memcpy(&source, ip + 12, sizeof(source));")
    r2 <<= 0x8
    r3 = *(u8 *)(r1 + 0x1a)
    r2 |= r3
    r3 = *(u8 *)(r1 + 0x1c)
    r3 <<= 0x10
    r1 = *(u8 *)(r1 + 0x1d)
    r1 <<= 0x18
    r1 |= r3
    r1 |= r2
    *(u32 *)(r10 - 0x4) = r1
    r2 = r10
    r2 += -0x4
    r1 = map dropped ll @line("./firewall/firewall.bpf.c", 49, 10, "\tcount = bpf_map_lookup_elem(&dropped, &source);")
    call bpf_map_lookup_elem
    r1 = r0
    if r1 == 0x0 goto L57 @line("./firewall/firewall.bpf.c", 50, 6, "\tif (count)")
    r0 = 0x1
    r2 = 0x1 @line("./firewall/firewall.bpf.c", 51, 3, "\t\t__sync_fetch_and_add(count, 1);")
    lock *(u64 *)(r1 + 0x0) += r2
    goto L66
L57:
    r2 = r10
    r2 += -0x4
    r3 = r10
    r3 += -0x10
    r1 = map dropped ll @line("./firewall/firewall.bpf.c", 53, 3, "\t\tbpf_map_update_elem(&dropped, &source, &one, BPF_ANY);")
    r4 = 0x0
    call bpf_map_update_elem
    r0 = 0x1
L66:
    exit @line("./firewall/firewall.bpf.c", 55, 1, "}")

.raw ".rodata" {
    1700
}

.raw ".BTF" {
    9feb010018000000000000006402000064020000150300000000000000000002
    0300000001000000000000010400000020000001000000000000000300000000
    0200000004000000010000000500000000000001040000002000000000000000
    0000000206000000000000000000000300000000020000000400000000000100
    000000000000000208000000190000000100000404000000210000000b000000
    0000000028000000000000080a0000002b000000000000010100000008000000
    0000000000000003000000000900000004000000040000000000000000000002
    0d00000039000000000000080e0000003d000000000000010800000040000000
    0000000004000004200000005000000001000000000000005500000005000000
    40000000610000000700000080000000650000000c000000c00000006b000000
    0000000e0f000000010000000000000000000002120000007300000002000004
    080000007a00000013000000000000007f000000130000002000000088000000
    00000008140000008c000000000000010400000020000000000000000100000d
    0200000099000000110000009d0000000100000c15000000000000000000000a
    18000000000000000000000919000000d2020000000000081a000000d6020000
    000000010200000010000000e50200000000000e1700000001000000f2020000
    0000000101000000080000010000000000000003000000001c00000004000000
    04000000f70200000000000e1d00000001000000ff0200000100000f20000000
    100000000000000020000000050300000100000f020000001b00000000000000
    020000000d0300000100000f040000001e000000000000000400000000696e74
    005f5f41525241595f53495a455f545950455f5f0061646472657373006f6374
    65747300753800756e7369676e656420636861720075363400756e7369676e65
    64206c6f6e67206c6f6e670074797065006d61785f656e7472696573006b6579
    0076616c75650064726f70706564007864705f6d64006461746100646174615f
    656e640075333200756e7369676e656420696e7400637478006669726577616c
    6c00786470002e2f6669726577616c6c2f6669726577616c6c2e6270662e6300
    097538202a656e64203d20287538202a29286c6f6e67296374782d3e64617461
    5f656e643b00097538202a64617461203d20287538202a29286c6f6e67296374
    782d3e646174613b0009753634206f6e65203d20312c202a636f756e743b0009
    696620286970202b203230203e20656e64207c7c202a28753136202a29286461
    7461202b2031322920213d204554485f495056342900096966202869705b395d
    20213d205443502026262069705b395d20213d20554450290009696620282869
    705b365d2026203078316629207c7c2069705b375d290009706f727473203d20
    6970202b202869705b305d20262030786629202a20343b000969662028706f72
    7473202b2034203e20656e642900096966202828706f7274735b325d203c3c20
    38207c20706f7274735b335d2920213d20626c6f636b65645f706f7274290009
    5f5f6275696c74696e5f6d656d6370792826736f757263652c206970202b2031
    322c2073697a656f6628736f7572636529293b0009636f756e74203d20627066
    5f6d61705f6c6f6f6b75705f656c656d282664726f707065642c2026736f7572
    6365293b000969662028636f756e74290009095f5f73796e635f66657463685f
    616e645f61646428636f756e742c2031293b0009096270665f6d61705f757064
    6174655f656c656d282664726f707065642c2026736f757263652c20266f6e65
    2c204250465f414e59293b007d0075313600756e7369676e65642073686f7274
    00626c6f636b65645f706f72740063686172004c4943454e5345002e6d617073
    002e726f64617461006c6963656e736500
}
