//! Work that takes too long for a thread that others wait for: signatures over very large headers, many of them, huge keys.

use std::num::NonZero;
use std::sync::{Arc, LazyLock};

use tokio::sync::Semaphore;

/// Octets of a header beyond which a signature over it is heavy work.
pub(super) const LARGE_HEADER: usize = 32 * 1024;
/// Signatures of one message that are verified in one go.
pub(super) const FEW: usize = 2;

/// Heavy work that is done at once, in the whole process.
static PERMITS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    Arc::new(Semaphore::new(cores))
});

/// Does it here, or, where it is heavy, on a thread for such work when its turn comes. A panic goes on in the caller.
pub(super) async fn run<T: Send + 'static>(is_heavy: bool, work: impl FnOnce() -> T + Send + 'static) -> T {
    if !is_heavy {
        return work();
    }
    // The semaphore is never closed; without a permit the work is done all the same.
    let permit = Arc::clone(&PERMITS).acquire_owned().await;
    let done = tokio::task::spawn_blocking(move || {
        let result = work();
        drop(permit);
        result
    });
    match done.await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Only a runtime that shuts down cancels it: nobody waits for the result any more.
            Err(_) => std::future::pending().await,
        },
    }
}
