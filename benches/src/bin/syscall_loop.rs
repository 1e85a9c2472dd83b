//! Makes N `getppid` calls in chunks and prints the fastest chunk's nanoseconds per call: the workload of the tracing bench.

use std::time::Instant;

fn main() {
    let calls: u64 = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(100_000);
    let chunks = 20;
    let per_chunk = (calls / chunks).max(1);
    let mut best = f64::INFINITY;
    for _ in 0..chunks {
        let start = Instant::now();
        for _ in 0..per_chunk {
            // SAFETY: getppid takes no argument and cannot fail.
            unsafe { libc::syscall(libc::SYS_getppid) };
        }
        best = best.min(start.elapsed().as_nanos() as f64 / per_chunk as f64);
    }
    println!("{best:.1}");
}
