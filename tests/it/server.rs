//! The server around the stages: limits, TLS, the end, reloads, our own trouble.

mod connections;
mod ending;
mod manners;
mod policies;
mod proxy;
mod reload;
mod tls;
mod trouble;
