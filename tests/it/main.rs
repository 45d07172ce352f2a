//! All tests of Gatepost: one binary, a file a family.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout)]
#![allow(missing_docs)]

mod support;

mod actions;
mod address;
mod arc;
mod attack;
mod authentication_results;
mod author;
mod bad_input;
mod block_lists;
mod canonicalization;
mod cases;
mod chunk;
mod condition;
mod config;
mod conformance;
mod crash;
mod data;
mod deliver;
mod demo;
mod deploy;
mod dialogs;
mod dkim;
mod dmarc;
mod end_to_end;
mod explain;
mod facts;
mod header;
mod helo;
mod http;
mod invariants;
mod iprev;
mod journal;
mod log;
mod metrics;
mod mime;
mod outage;
mod policy;
mod privacy;
mod problem;
mod rates;
mod receive;
mod recipients;
mod replay;
mod resolver;
mod reverse_mx;
mod search;
mod server;
mod session;
mod spf;
mod splits;
mod state;
mod trace;
mod whole;
