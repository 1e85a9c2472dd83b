; test asm
; What llvm-mc 19 does not print as bytes here or does not know; the bytes follow from RFC 9669 and uapi/linux/bpf.h.
r1 <<= r2                                       ; 6f21000000000000
r1 <<= 7                                        ; 6701000007000000
r1 <<= 31                                       ; 670100001f000000
w1 <<= w2                                       ; 6c21000000000000
w1 <<= 7                                        ; 6401000007000000
w1 <<= 31                                       ; 640100001f000000
if r1 < r2 goto +5                              ; ad21050000000000
if r1 < -1 goto -3                              ; a501fdffffffffff
if w1 < w2 goto +5                              ; ae21050000000000
if w1 < 9 goto +32767                           ; a601ff7f09000000
if r1 <= r2 goto +5                             ; bd21050000000000
if r1 <= -1 goto -3                             ; b501fdffffffffff
if w1 <= w2 goto +5                             ; be21050000000000
if w1 <= 9 goto +32767                          ; b601ff7f09000000
if r1 s< r2 goto +5                             ; cd21050000000000
if r1 s< -1 goto -3                             ; c501fdffffffffff
if w1 s< w2 goto +5                             ; ce21050000000000
if w1 s< 9 goto +32767                          ; c601ff7f09000000
if r1 s<= r2 goto +5                            ; dd21050000000000
if r1 s<= -1 goto -3                            ; d501fdffffffffff
if w1 s<= w2 goto +5                            ; de21050000000000
if w1 s<= 9 goto +32767                         ; d601ff7f09000000
gotol +100000                                   ; 06000000a0860100
gotol -100000                                   ; 060000006079feff
w1 = load_acquire((u8 *)(r2 + 8))               ; d321080000010000
store_release((u8 *)(r2 + 8), w1)               ; d312080010010000
w1 = load_acquire((u16 *)(r2 + 8))              ; cb21080000010000
store_release((u16 *)(r2 + 8), w1)              ; cb12080010010000
w1 = load_acquire((u32 *)(r2 + 8))              ; c321080000010000
store_release((u32 *)(r2 + 8), w1)              ; c312080010010000
r1 = load_acquire((u64 *)(r2 + 8))              ; db21080000010000
store_release((u64 *)(r2 + 8), r1)              ; db12080010010000
r1 = map_fd 3 ll                                ; 18110000030000000000000000000000
r1 = map_fd_value 3 + 8 ll                      ; 18210000030000000000000008000000
r1 = btf_id 7 ll                                ; 18310000070000000000000000000000
r1 = func pc+5 ll                               ; 18410000050000000000000000000000
r1 = map_idx 2 ll                               ; 18510000020000000000000000000000
r1 = map_idx_value 2 + 8 ll                     ; 18610000020000000000000008000000
call pc+5                                       ; 8510000005000000
call kfunc 123 off 1                            ; 852001007b000000
