//! Whole sessions against the real server: what goes in over TCP, what is answered, stored, journalled and counted.

mod content;
mod framing;
mod recipients;
mod stages;
mod transactions;
