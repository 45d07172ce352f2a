//! The server around the stages: it binds, gives up root, starts the threads, accepts, reloads and ends.
//!
//! ```text
//! bind (root may still be needed) -> become security.user -> runtime (the first threads) -> start -> signals -> drain
//! ```

mod audit;
mod bind;
mod connection;
mod counts;
mod dns;
mod generation;
pub mod harvest;
mod list_files;
mod listener;
mod lists;
mod memory;
mod private;
mod privileges;
pub mod proxy;
mod reload;
mod running;
mod shutdown;
mod signals;
mod start;
mod tls;
mod wire;

pub use bind::{Bound, StartError, bind};
pub use dns::asking;
pub use generation::policies;
pub use listener::{Denied, Permit, Permits};
pub use lists::block_lists;
pub use privileges::is_root;
pub use running::Running;
pub use shutdown::{DRAIN, Shutdown};
pub use signals::Signals;
pub use start::{runtime, start};
pub use tls::{TlsError, acceptor};
