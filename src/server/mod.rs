//! The server around the stages: it binds, gives up root, starts the threads, accepts, reloads and ends.
//!
//! ```text
//! bind (root may still be needed) -> become security.user -> confine -> runtime (the first threads) -> start -> signals -> drain
//! ```

mod abuses;
mod audit;
mod behaved;
mod bind;
mod certificates;
mod connection;
mod counts;
mod descriptors;
mod dns;
mod expiry;
mod generation;
mod handover;
pub mod harvest;
mod inherited;
mod list_files;
mod listener;
mod lists;
mod memory;
mod notify;
mod patience;
mod permits;
mod private;
mod privileges;
pub mod proxy;
mod reload;
mod running;
mod sandbox;
mod shutdown;
mod signals;
mod start;
mod stress;
mod tls;
mod turned_away;
mod watch;
mod wire;

pub use behaved::Behaved;
pub use bind::{Bound, StartError, bind, bind_what_is_missing};
pub use certificates::expiry_warning;
pub use dns::asking;
pub use generation::policies;
pub use handover::GivenUp;
pub use inherited::Inherited;
pub use lists::block_lists;
pub use patience::{Deadline, Patience, Waits};
pub use permits::{Denied, Permit, Permits, Places};
pub use privileges::{is_root, keep_files_private};
pub use running::Running;
pub use sandbox::{Sandbox, confine_thread, filters};
pub use shutdown::{DRAIN, Shutdown};
pub use signals::Signals;
pub use start::{runtime, start};
pub use stress::{Heaviest, Pressure, Stress};
pub use tls::{TlsError, acceptor};
