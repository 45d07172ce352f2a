//! What systemd is told (sd_notify(3)): ready, reloading, stopping, alive. Without systemd all of it is nothing.

use std::time::Duration;

use sd_notify::NotifyState;

/// Mail is accepted, by this configuration.
pub(super) fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// A reload has begun; [`ready`] ends it.
pub(super) fn reloading() {
    // systemd 253 wants to know when, and takes no reload without it
    let Ok(now) = NotifyState::monotonic_usec_now() else { return };
    tell(&[NotifyState::Reloading, now]);
}

/// The end has begun.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("finishing what is in flight")]);
}

/// Says that we are alive, twice in the time after which systemd would restart us; for ever.
pub(super) async fn stay_alive() {
    let Some(within) = sd_notify::watchdog_enabled() else { return };
    let mut due = tokio::time::interval((within / 2).max(Duration::from_millis(10)));
    loop {
        due.tick().await;
        tell(&[NotifyState::Watchdog]);
    }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "systemd can't be told our state");
    }
}
