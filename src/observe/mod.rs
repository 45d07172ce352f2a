//! What people and programs can see of a running Gatepost: the journal, metrics, the log, the pages of HTTP, and the story of one
//! transaction in words.
//!
//! Nothing here decides anything, and nothing here may hold mail up: the journal and the log only enqueue, counters are atomics.

mod busy;
pub mod escape;
pub mod explain;
pub mod http;
pub mod journal;
pub mod log;
pub mod metrics;
pub mod pseudonym;
pub mod seldom;
