//! What the benches of engines share: the clock, and the input of each program.

/// Bytes of a program's input.
const MEMORY: usize = 3072;

/// CPU time of this thread: what else the machine does costs cache and clock, not time.
pub fn cpu_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid timespec to write to.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// The same input each time: text for the lexer, a frame for the packet parser, noise for the rest.
pub fn input(name: &str) -> Vec<u8> {
    const TEXT: &[u8] = b"alpha = 12, beta9 = 3.25 # a comment with words 1 2 3\n\"a string \\\" with an escape\" gamma_x 77.5.1 ,, x1\n  _y 42;\n";
    const FRAME: &[u8] = &[
        2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x81, 0, 0, 5, 8, 0, 0x46, 0, 0, 80, 0x12, 0x34, 0x40, 0, 64, 6, 0, 0, 10, 1, 2, 3, 192, 168, 7, 9,
        1, 1, 1, 0, 0xc0, 1, 1, 0xbb, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0xff, 0xff, 0, 0, 0, 0,
    ];
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut memory: Vec<u8> = (0..MEMORY)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        })
        .collect();
    match name {
        "state" => memory.iter_mut().zip(TEXT.iter().cycle()).for_each(|(byte, text)| *byte = *text),
        "packet" => memory[..FRAME.len()].copy_from_slice(FRAME),
        _ => {}
    }
    memory
}
