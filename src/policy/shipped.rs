//! The policies that come with the product, compiled in. `policies/` has them as files to copy and change.

/// A careful operator of a small domain.
pub const DEFAULT: &str = include_str!("../../policies/default.toml");
/// As the big providers do it.
pub const STRICT: &str = include_str!("../../policies/strict.toml");
/// Accepts everything and says what the default policy would have done.
pub const MONITOR: &str = include_str!("../../policies/monitor.toml");
