//! Whole sessions against the real server: what goes in over TCP, what is answered, stored, journalled and counted.

mod chunking;
mod content;
mod evidence;
mod facts;
mod framing;
mod heard;
mod invariants;
mod memory;
mod outage;
mod panics;
mod recipients;
mod spool;
mod stages;
mod transactions;
