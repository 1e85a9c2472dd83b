
.section "request"
.function gate
    r6 = r1 @line("./gateway/gate.bpf.c", 12, 0, "int gate(struct request *request)")
    r1 = *(u32 *)(r6 + 0x10) @core(byte_off, "struct request", "0:2") @line("./gateway/gate.bpf.c", 15, 26, "\t__u32 client = request->client;")
    r4 = *(u64 *)(r6 + 0x8) @core(byte_off, "struct request", "0:1") @line("./gateway/gate.bpf.c", 14, 52, "\tconst __u8 *path = request->path, *end = request->path_end;")
    r3 = *(u64 *)(r6 + 0x0) @core(byte_off, "struct request", "0:0") @line("./gateway/gate.bpf.c", 14, 30, "\tconst __u8 *path = request->path, *end = request->path_end;")
    r2 = r3 @line("./gateway/gate.bpf.c", 18, 11, "\tif (path + 6 <= end && path[1] == 'a' && path[2] == 'd' && path[3] == 'm' && path[4] == 'i' &&")
    r2 += 0x6
    if r4 >= r2 goto L35 @line("./gateway/gate.bpf.c", 18, 22, "\tif (path + 6 <= end && path[1] == 'a' && path[2] == 'd' && path[3] == 'm' && path[4] == 'i' &&")
L7:
    r5 = 0x0
    r2 = 0x0
    goto L25
L10:
    r2 += r0 @line("./gateway/gate.bpf.c", 27, 7, "\t\tif (*path == '/')")
    r5 += 0x1 @line("./gateway/gate.bpf.c", 24, 20, "\tfor (int i = 0; i < DEPTH_MAX; i++) {")
    r0 = r5
    r0 <<= 0x20
    r0 >>= 0x20
    if r0 != 0x40 goto L25 @line("./gateway/gate.bpf.c", 24, 2, "\tfor (int i = 0; i < DEPTH_MAX; i++) {")
L16:
    call 1000 @line("./gateway/gate.bpf.c", 31, 6, "\tif (charge(client, cost) > budget) {")
    r1 = r0
    r0 = 0x0
    r2 = value .rodata ll @line("./gateway/gate.bpf.c", 31, 29, "\tif (charge(client, cost) > budget) {")
    r2 = *(u64 *)(r2 + 0x0)
    if r2 >= r1 goto L52 @line("./gateway/gate.bpf.c", 31, 6, "\tif (charge(client, cost) > budget) {")
    r1 = 0x1ad
    goto L50
L25:
    r0 = r3 @line("./gateway/gate.bpf.c", 25, 12, "\t\tif (path + 1 > end)")
    r0 += r5
    r7 = r0 @line("./gateway/gate.bpf.c", 25, 16, "\t\tif (path + 1 > end)")
    r7 += 0x1
    if r7 > r4 goto L16 @line("./gateway/gate.bpf.c", 25, 7, "\t\tif (path + 1 > end)")
    r7 = *(u8 *)(r0 + 0x0) @line("./gateway/gate.bpf.c", 27, 7, "\t\tif (*path == '/')")
    r0 = 0x1
    if r7 == 0x2f goto L10 @line("./gateway/gate.bpf.c", 27, 13, "\t\tif (*path == '/')")
    r0 = 0x0
    goto L10
L35:
    r2 = *(u8 *)(r3 + 0x1) @line("./gateway/gate.bpf.c", 18, 25, "\tif (path + 6 <= end && path[1] == 'a' && path[2] == 'd' && path[3] == 'm' && path[4] == 'i' &&")
    if r2 != 0x61 goto L7 @line("./gateway/gate.bpf.c", 18, 40, "\tif (path + 6 <= end && path[1] == 'a' && path[2] == 'd' && path[3] == 'm' && path[4] == 'i' &&")
    r2 = *(u8 *)(r3 + 0x2) @line("./gateway/gate.bpf.c", 18, 43, "\tif (path + 6 <= end && path[1] == 'a' && path[2] == 'd' && path[3] == 'm' && path[4] == 'i' &&")
    if r2 != 0x64 goto L7 @line("./gateway/gate.bpf.c", 18, 58, "\tif (path + 6 <= end && path[1] == 'a' && path[2] == 'd' && path[3] == 'm' && path[4] == 'i' &&")
    r2 = *(u8 *)(r3 + 0x3) @line("./gateway/gate.bpf.c", 18, 61, "\tif (path + 6 <= end && path[1] == 'a' && path[2] == 'd' && path[3] == 'm' && path[4] == 'i' &&")
    if r2 != 0x6d goto L7 @line("./gateway/gate.bpf.c", 18, 76, "\tif (path + 6 <= end && path[1] == 'a' && path[2] == 'd' && path[3] == 'm' && path[4] == 'i' &&")
    r2 = *(u8 *)(r3 + 0x4) @line("./gateway/gate.bpf.c", 18, 79, "\tif (path + 6 <= end && path[1] == 'a' && path[2] == 'd' && path[3] == 'm' && path[4] == 'i' &&")
    if r2 != 0x69 goto L7 @line("./gateway/gate.bpf.c", 18, 94, "\tif (path + 6 <= end && path[1] == 'a' && path[2] == 'd' && path[3] == 'm' && path[4] == 'i' &&")
    r2 = *(u8 *)(r3 + 0x5) @line("./gateway/gate.bpf.c", 19, 6, "\t    path[5] == 'n' && client != ADMINISTRATOR) {")
    if r2 != 0x6e goto L7 @line("./gateway/gate.bpf.c", 19, 21, "\t    path[5] == 'n' && client != ADMINISTRATOR) {")
    if r1 == 0x1 goto L7
    r1 = r3 @line("./gateway/gate.bpf.c", 20, 3, "\t\tnote(path, 6);")
    r2 = 0x6
    call 1001
    r1 = 0x193
L50:
    *(u32 *)(r6 + 0x14) = r1 @core(byte_off, "struct request", "0:3")
    r0 = 0x1
L52:
    exit @line("./gateway/gate.bpf.c", 36, 1, "}")

.raw ".rodata" {
    1400000000000000
}

.raw ".BTF" {
    9feb0100180000000000000058010000580100005c0200000000000000000002
    020000000100000005000004200000000900000003000000000000000e000000
    03000000400000001700000007000000800000001e00000007000000a0000000
    2500000009000000c0000000000000000000000204000000000000000000000a
    0500000030000000000000080600000035000000000000010100000008000000
    4300000000000008080000004900000000000001040000002000000000000000
    0000000300000000050000000a00000008000000560000000000000104000000
    20000000000000000100000d0c00000001000000010000006a00000000000001
    04000000200000016e0000000100000c0b000000000000000000000a0f000000
    0000000000000009100000003402000000000008110000003a02000000000001
    08000000400000004d0200000000000e0e00000001000000540200000100000f
    0800000012000000000000000800000000726571756573740070617468007061
    74685f656e6400636c69656e7400737461747573005f5f68696464656e5f3000
    5f5f753800756e7369676e65642063686172005f5f75333200756e7369676e65
    6420696e74005f5f41525241595f53495a455f545950455f5f00696e74006761
    7465002e2f676174657761792f676174652e6270662e6300696e742067617465
    287374727563742072657175657374202a726571756573742900303a3200095f
    5f75333220636c69656e74203d20726571756573742d3e636c69656e743b0030
    3a310009636f6e7374205f5f7538202a70617468203d20726571756573742d3e
    706174682c202a656e64203d20726571756573742d3e706174685f656e643b00
    303a3000096966202870617468202b2036203c3d20656e642026262070617468
    5b315d203d3d2027612720262620706174685b325d203d3d2027642720262620
    706174685b335d203d3d20276d2720262620706174685b345d203d3d20276927
    202626000909696620282a70617468203d3d20272f27290009666f722028696e
    742069203d20303b2069203c2044455054485f4d41583b20692b2b29207b0009
    6966202863686172676528636c69656e742c20636f737429203e206275646765
    7429207b0009096966202870617468202b2031203e20656e6429000920202020
    706174685b355d203d3d20276e2720262620636c69656e7420213d2041444d49
    4e4953545241544f5229207b0009096e6f746528706174682c2036293b00303a
    33007d005f5f75363400756e7369676e6564206c6f6e67206c6f6e6700627564
    676574002e726f6461746100
}
