//! An upgrade that loses no connection: a process that somebody else started takes the listening sockets over (SCM_RIGHTS), and the old one
//! ends when its sessions have. After the drop of privileges we could neither run a program nor bind port 25 again.
//!
//! ```text
//! new: connects ------------------------------> old: is it root, or who we are? (SO_PEERCRED)
//! new: <---- a letter a socket, and the sockets
//! new: becomes the user, is confined, starts threads, accepts
//! new: "ready" -------------------------------> old: accepts no more, finishes its sessions, ends
//! ```
//!
//! Where the new one fails before "ready", the old one goes on as if nothing had been.

use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use tokio::io::{AsyncReadExt, Interest};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Sockets that can be handed over: more than anybody listens on.
pub(super) const MOST: usize = 64;
/// How long the other side may take to say its part.
const ANSWER: Duration = Duration::from_secs(10);
/// How long a new process may take until it accepts mail.
const READY: Duration = Duration::from_secs(300);

const SMTP_LETTER: u8 = b's';
const HTTP_LETTER: u8 = b'h';
const READY_WORD: &[u8; 6] = b"ready\n";

/// Sockets to hand over, and what each is for.
pub(super) struct Sockets {
    pub smtp: Vec<OwnedFd>,
    pub http: OwnedFd,
}

/// The stream to tell the old process that we are ready, and its sockets, each with whether it is for HTTP.
pub(super) type Taken = (UnixStream, Vec<(bool, TcpListener)>);

/// Asks who listens at the path for its sockets; `None` where nobody is there.
///
/// # Errors
/// Somebody is there and does not answer as we would.
pub(super) fn take(path: &Path) -> io::Result<Option<Taken>> {
    let stream = match UnixStream::connect(path) {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => return Ok(None),
        Err(error) => return Err(error),
    };
    stream.set_read_timeout(Some(ANSWER))?;
    stream.set_write_timeout(Some(ANSWER))?;
    let mut letters = [0; MOST];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(&stream, &mut [IoSliceMut::new(&mut letters)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let mut sockets = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(handed) = message {
            sockets.extend(handed.map(TcpListener::from));
        }
    }
    let letters = letters.get(..received.bytes).unwrap_or_default();
    if letters.is_empty() || letters.len() != sockets.len() {
        return Err(io::Error::new(ErrorKind::InvalidData, "it handed over no sockets"));
    }
    Ok(Some((stream, letters.iter().map(|letter| *letter == HTTP_LETTER).zip(sockets).collect())))
}

/// Tells the old process that we accept mail: it may go.
///
/// # Errors
/// It is gone already.
pub(super) fn tell_ready(mut predecessor: UnixStream) -> io::Result<()> {
    predecessor.write_all(READY_WORD)
}

/// Hands the sockets to whoever may have them, one after another; says so when one of them accepts mail.
pub(super) async fn serve(listener: tokio::net::UnixListener, sockets: Sockets, taken_over: mpsc::Sender<()>) {
    loop {
        let handed = match listener.accept().await {
            Ok((stream, _)) => hand(stream, &sockets).await,
            Err(error) => {
                tokio::time::sleep(Duration::from_secs(1)).await;
                Err(error)
            }
        };
        match handed {
            Ok(()) => {
                let _ = taken_over.send(()).await;
                return;
            }
            Err(error) => tracing::warn!(%error, "the sockets were not handed over, this process goes on"),
        }
    }
}

async fn hand(mut stream: tokio::net::UnixStream, sockets: &Sockets) -> io::Result<()> {
    let peer = stream.peer_cred()?.uid();
    if peer != 0 && peer != nix::unistd::geteuid().as_raw() {
        return Err(io::Error::new(ErrorKind::PermissionDenied, format!("user {peer} asked for them")));
    }
    tracing::info!("another process asks for the sockets");
    timeout(ANSWER, stream.async_io(Interest::WRITABLE, || send(&stream, sockets))).await??;
    let mut word = [0; READY_WORD.len()];
    timeout(READY, stream.read_exact(&mut word)).await??;
    if &word == READY_WORD { Ok(()) } else { Err(ErrorKind::InvalidData.into()) }
}

fn send(stream: &tokio::net::UnixStream, sockets: &Sockets) -> io::Result<()> {
    let handed: Vec<BorrowedFd<'_>> = sockets.smtp.iter().chain([&sockets.http]).map(OwnedFd::as_fd).collect();
    let mut letters = vec![SMTP_LETTER; sockets.smtp.len()];
    letters.push(HTTP_LETTER);
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&handed)) {
        return Err(io::Error::new(ErrorKind::InvalidInput, "there are too many sockets to hand over"));
    }
    let sent = sendmsg(stream, &[IoSlice::new(&letters)], &mut control, SendFlags::NOSIGNAL)?;
    if sent == letters.len() { Ok(()) } else { Err(ErrorKind::WriteZero.into()) }
}
