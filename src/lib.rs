//! Gatepost receives mail for the domains that name it in their MX record.
//!
//! # The way of a message: one straight line
//!
//! ```text
//! listener -> session -> receive: connect, mail, recipient, header, message -> reply
//!                          each stage:  evidence -> facts -> decide -> (deliver) -> reply
//!                                                     |
//!                                  metrics, journal, explanation
//! ```
//!
//! The modules below stand in the order of that way, behind what all of them speak in. A stage returns values; [`receive`] alone
//! knows their order.
//!
//! # Invariants
//!
//! Each has a test (`tests/it/invariants.rs` unless it says otherwise).
//!
//! 1. The 250 after DATA is built only from an `Acknowledged`: a [`deliver::Stored`], which only `deliver/` can make once file
//!    and directory entry are durable, or an explicit discard that the journal has.
//! 2. Authentication yields evidence, never a verdict: rules decide.
//! 3. `smtp/` and `policy/` do no I/O, know no clock and spawn nothing.
//! 4. Only `authenticate/` names mail_auth; only it, `demo/` and tests name hickory; only `deliver/` writes mail; threads start
//!    only in `server::start`, after the drop of privileges.
//! 5. Our own trouble is a 4yz and never a 5yz. A panic in a check costs that message a 451.
//! 6. Every buffer has a bound that is checked before it is allocated, every wait a deadline, every queue a length.
//! 7. What a client sent is never trusted as text: it is escaped and cut wherever it lands, and never becomes a path.
//! 8. Metric labels come from closed sets.

// A blank line keeps rustfmt from sorting them.
// What everything is told in: problems with files, SMTP, the message.
pub mod problem;

pub mod smtp;

pub mod message;

// The way of a message.
pub mod server;

pub mod receive;

pub mod recipients;

pub mod authenticate;

pub mod facts;

pub mod state;

pub mod policy;

pub mod deliver;

pub mod observe;

// What is read before, and who starts it all.
pub mod config;

pub mod cli;

pub mod demo;
