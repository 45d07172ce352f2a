//! How large each scenario is, in both forms.

use std::time::Duration;

use super::message::LINE;

const MB: usize = 1_000_000;

/// The sizes of all scenarios.
pub struct Sizes {
    /// Idle connections.
    pub idle: usize,
    /// Senders of one octet a second, and for how long.
    pub slow: usize,
    pub slow_for: Duration,
    /// Clients with a large message each, how many lines it has, and what memory the server may have.
    pub large: usize,
    pub large_lines: usize,
    pub large_memory: u64,
    /// Clients that want a connection where files may not be opened for all of them.
    pub crowd: usize,
    /// Clients that send while the DNS is silent.
    pub silent_dns: usize,
    pub reloads: usize,
    pub restarts: usize,
    pub soak: Duration,
    /// Whether times and slopes are asserted: nobody else uses the machine.
    pub is_timed: bool,
}

/// For `make test`: a few seconds each in a debug build.
pub const SHORT: Sizes = Sizes {
    idle: 500,
    slow: 100,
    slow_for: Duration::from_secs(2),
    large: 8,
    large_lines: 5 * MB / LINE,
    large_memory: 96 << 20,
    crowd: 200,
    silent_dns: 60,
    reloads: 50,
    restarts: 6,
    soak: Duration::from_secs(10),
    is_timed: false,
};

/// For `make stress`.
pub const LONG: Sizes = Sizes {
    idle: 10_000,
    slow: 5_000,
    slow_for: Duration::from_secs(40),
    large: 200,
    large_lines: 25 * MB / LINE,
    large_memory: 256 << 20,
    crowd: 2_000,
    silent_dns: 1_000,
    reloads: 1_000,
    restarts: 100,
    soak: Duration::from_secs(600),
    is_timed: true,
};
