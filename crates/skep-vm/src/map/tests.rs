//! Edge cases of the map kinds that the kernel comparison cannot reach.
