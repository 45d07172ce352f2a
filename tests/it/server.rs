//! The server around the stages: limits, TLS, the end, reloads, our own trouble.

mod certificates;
mod confinement;
mod connections;
mod ending;
mod logged;
mod manners;
mod policies;
mod proxy;
mod reload;
mod space;
mod spool;
mod stress;
mod tls;
mod trouble;
mod upgrade;
