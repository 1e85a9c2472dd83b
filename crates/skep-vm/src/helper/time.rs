//! Clocks and the CPU number.

use super::{Call, HelperFn};
use crate::env::Clock;
use crate::trap::Trap;

pub const HELPERS: &[(u32, HelperFn)] = &[
    (5, ktime_get_ns),
    (8, smp_processor_id),
    (42, numa_node_id),
    (118, jiffies64),
    (125, ktime_get_boot_ns),
    (160, ktime_get_coarse_ns),
    (208, ktime_get_tai_ns),
];

fn ktime_get_ns(call: &mut Call<'_, '_>, _: [u64; 5]) -> Result<u64, Trap> {
    Ok(call.env().clock(Clock::Monotonic))
}

fn smp_processor_id(call: &mut Call<'_, '_>, _: [u64; 5]) -> Result<u64, Trap> {
    Ok(u64::from(call.cpu()))
}

fn numa_node_id(call: &mut Call<'_, '_>, _: [u64; 5]) -> Result<u64, Trap> {
    Ok(u64::from(call.env().numa_node()))
}

/// Jiffies of a kernel with `CONFIG_HZ=250`, which starts counting five minutes before the 32-bit count overflows.
fn jiffies64(call: &mut Call<'_, '_>, _: [u64; 5]) -> Result<u64, Trap> {
    const HZ: u64 = 250;
    const INITIAL: u64 = (-(300 * HZ as i64)) as u32 as u64;
    Ok(INITIAL.wrapping_add(call.env().clock(Clock::Monotonic) / (1_000_000_000 / HZ)))
}

fn ktime_get_boot_ns(call: &mut Call<'_, '_>, _: [u64; 5]) -> Result<u64, Trap> {
    Ok(call.env().clock(Clock::Boot))
}

fn ktime_get_coarse_ns(call: &mut Call<'_, '_>, _: [u64; 5]) -> Result<u64, Trap> {
    Ok(call.env().clock(Clock::MonotonicCoarse))
}

fn ktime_get_tai_ns(call: &mut Call<'_, '_>, _: [u64; 5]) -> Result<u64, Trap> {
    Ok(call.env().clock(Clock::Tai))
}
