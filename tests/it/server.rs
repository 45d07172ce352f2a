//! The server around the stages: limits, TLS, the end, reloads, our own trouble.

mod connections;
mod ending;
mod policies;
mod reload;
mod space;
mod spool;
mod stress;
mod tls;
mod trouble;
