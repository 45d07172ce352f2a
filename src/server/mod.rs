//! The server around the stages: it binds, gives up root, starts the threads, accepts, reloads and ends.
//!
//! ```text
//! bind (root may still be needed) -> become security.user -> runtime (the first threads) -> start -> signals -> drain
//! ```

mod connection;
mod counts;
mod listener;
mod private;
mod privileges;
mod reload;
mod shutdown;
mod signals;
mod start;
mod tls;
mod wire;

pub use listener::{Denied, Permit, Permits};
pub use privileges::is_root;
pub use shutdown::{DRAIN, Shutdown};
pub use signals::Signals;
pub use start::{Bound, Running, StartError, bind, policies, runtime, start};
pub use tls::{TlsError, acceptor};
