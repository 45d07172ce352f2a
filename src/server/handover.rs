//! An upgrade that loses no connection: a process that somebody else started takes the listening sockets over (SCM_RIGHTS), and the old one
//! ends when its sessions have. After the drop of privileges we could neither run a program nor bind port 25 again.
//!
//! ```text
//! new: connects ------------------------------> old: is it root, or who we are? (SO_PEERCRED)
//! new: <---- a letter a socket, the secret that names what is remembered, and the sockets
//! new: becomes the user, is confined, starts threads, accepts
//! new: "ready" -------------------------------> old: hangs up, accepts no more, finishes its sessions, ends
//! ```
//!
//! The socket at the path is one of them: both listen on it until the old one has ended, so that whoever fails takes nothing away. Where the
//! new one fails before "ready", the old one goes on as if nothing had been. One that is slower than the patience of the next who asks hears
//! "taken" in place of the hanging up, and ends: two that serve would not know of each other.

use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net;
use std::path::Path;
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::io::{AsyncReadExt, Interest};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::receive::State;

/// Sockets that can be handed over: more than anybody listens on.
pub(super) const MOST: usize = 64;
/// How long the other side may take to say its part.
const ANSWER: Duration = Duration::from_secs(10);
/// How long a new process may take until it accepts mail.
const READY: Duration = Duration::from_secs(300);
/// How long it has at least, where another asks: that one waits for [`ANSWER`].
const STARTING: Duration = Duration::from_secs(5);

/// Octets of the secret under which the old one remembers.
const SECRET: usize = 32;
const READY_WORD: &[u8; 6] = b"ready\n";
const TAKEN_WORD: &[u8; 6] = b"taken\n";

/// Whose a socket is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Mail comes in.
    Smtp,
    /// The metrics.
    Http,
    /// The handover itself.
    Handover,
}

impl Kind {
    const ALL: [Kind; 3] = [Kind::Smtp, Kind::Http, Kind::Handover];

    fn letter(self) -> u8 {
        match self {
            Kind::Smtp => b's',
            Kind::Http => b'h',
            Kind::Handover => b'u',
        }
    }
}

/// What is handed over.
pub(super) struct Sockets {
    pub all: Vec<(Kind, OwnedFd)>,
    /// Tells the secret, which may change when the file of what is remembered comes to us.
    pub state: State,
}

/// What was handed over.
pub(super) struct Taken {
    /// To tell the old process that we are ready.
    pub predecessor: net::UnixStream,
    pub sockets: Vec<(Kind, OwnedFd)>,
    pub secret: Option<[u8; SECRET]>,
}

/// Why sockets can't be taken over: cause and mend.
#[derive(Debug, thiserror::Error)]
pub(super) enum TakeError {
    /// Whoever is there says nothing.
    #[error(
        "no answer within {} s: another take-over may be under way, or it is not Gatepost's; try again when that one has ended, and see \
         who listens there (ss -xlp)",
        ANSWER.as_secs()
    )]
    Silent,
    /// Whoever is there does not speak as we do.
    #[error("{0}; is that Gatepost's?")]
    Io(io::Error),
    /// There must be a letter a socket.
    #[error("it has {0} names for {1} sockets; is that Gatepost's?")]
    Count(usize, usize),
    /// We would not know what to do with it.
    #[error(
        "it hands over a socket of a kind ({0}) that this version does not know: start a version at least as new as the one that runs"
    )]
    Unknown(std::ascii::EscapeDefault),
}

impl From<io::Error> for TakeError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            // what the system calls a wait that was too long
            ErrorKind::WouldBlock | ErrorKind::TimedOut => TakeError::Silent,
            _ => TakeError::Io(error),
        }
    }
}

/// A connection to whoever listens at the path; `None` where nobody does.
///
/// # Errors
/// The system's own.
pub(super) fn connect(path: &Path) -> io::Result<Option<net::UnixStream>> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // connecting waits for as long where the other side does not come to accept
    socket.set_write_timeout(Some(ANSWER))?;
    socket.set_read_timeout(Some(ANSWER))?;
    match socket.connect(&SockAddr::unix(path)?) {
        Ok(()) => Ok(Some(net::UnixStream::from(OwnedFd::from(socket)))),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Asks who listens at the path for its sockets; `None` where nobody is there.
///
/// # Errors
/// Somebody is there and does not answer as we would.
pub(super) fn take(path: &Path) -> Result<Option<Taken>, TakeError> {
    let Some(stream) = connect(path)? else { return Ok(None) };
    let mut said = [0; MOST + 1 + SECRET];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(&stream, &mut [IoSliceMut::new(&mut said)], &mut control, RecvFlags::CMSG_CLOEXEC)
        .map_err(io::Error::from)?;
    let mut sockets = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(handed) = message {
            sockets.extend(handed);
        }
    }
    let said = said.get(..received.bytes).unwrap_or_default();
    let mut parts = said.splitn(2, |octet| *octet == b'\n');
    let letters = parts.next().unwrap_or_default();
    if letters.is_empty() || letters.len() != sockets.len() {
        return Err(TakeError::Count(letters.len(), sockets.len()));
    }
    let known = letters.iter().map(|letter| {
        let kind = Kind::ALL.into_iter().find(|kind| kind.letter() == *letter);
        kind.ok_or(TakeError::Unknown(std::ascii::escape_default(*letter)))
    });
    let kinds = known.collect::<Result<Vec<_>, _>>()?;
    let secret = parts.next().and_then(|secret| secret.try_into().ok());
    Ok(Some(Taken { predecessor: stream, sockets: kinds.into_iter().zip(sockets).collect(), secret }))
}

/// Another process had asked for the sockets, which serves now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this process took too long to start, and another has taken the sockets over meanwhile: this one ends")]
pub struct GivenUp;

/// Tells the old process that we accept mail: it may go. One that is gone already is told of in the log.
///
/// # Errors
/// It has given us up: then we may not serve.
pub(super) fn tell_ready(mut predecessor: net::UnixStream) -> Result<(), GivenUp> {
    let told = predecessor.write_all(READY_WORD);
    let mut answer = Vec::new();
    // what is read until it fails counts; the wait has its end by the socket's own limit
    let _ = predecessor.take(TAKEN_WORD.len() as u64).read_to_end(&mut answer);
    if answer == TAKEN_WORD {
        return Err(GivenUp);
    }
    if let Err(error) = told {
        tracing::warn!(%error, "the old process has ended before it was told that it may");
    }
    Ok(())
}

/// Hands the sockets to whoever may have them; says so when one of them accepts mail. Who has had them for a while and does not is given
/// up for the next who asks.
pub(super) async fn serve(listener: UnixListener, sockets: Sockets, taken_over: mpsc::Sender<()>) {
    let mut asker = next(&listener).await;
    loop {
        let newer = async {
            tokio::time::sleep(STARTING).await;
            next(&listener).await
        };
        let handed = tokio::select! {
            biased;
            handed = hand(&mut asker, &sockets) => handed,
            newer = newer => {
                tracing::warn!("the process that has asked for the sockets says nothing, another has them now");
                // one that still starts finds it before it serves
                let _ = asker.try_write(TAKEN_WORD);
                asker = newer;
                continue;
            }
        };
        match handed {
            Ok(()) => {
                drop(asker);
                let _ = taken_over.send(()).await;
                return;
            }
            Err(error) => say(&error),
        }
        asker = next(&listener).await;
    }
}

fn say(error: &io::Error) {
    tracing::warn!(%error, "the sockets were not handed over, this process goes on");
}

/// The next who asks and may have them.
async fn next(listener: &UnixListener) -> UnixStream {
    loop {
        match listener.accept().await.and_then(|(stream, _)| may_ask(&stream).map(|()| stream)) {
            Ok(stream) => return stream,
            Err(error) => {
                say(&error);
                if error.kind() != ErrorKind::PermissionDenied {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }
}

fn may_ask(stream: &UnixStream) -> io::Result<()> {
    let peer = stream.peer_cred()?.uid();
    if peer == 0 || peer == nix::unistd::geteuid().as_raw() {
        return Ok(());
    }
    Err(io::Error::new(ErrorKind::PermissionDenied, format!("user {peer} asked for them")))
}

async fn hand(stream: &mut UnixStream, sockets: &Sockets) -> io::Result<()> {
    tracing::info!("another process asks for the sockets");
    timeout(ANSWER, stream.async_io(Interest::WRITABLE, || send(stream, sockets))).await??;
    let mut word = [0; READY_WORD.len()];
    timeout(READY, stream.read_exact(&mut word)).await??;
    if &word == READY_WORD { Ok(()) } else { Err(ErrorKind::InvalidData.into()) }
}

fn send(stream: &UnixStream, sockets: &Sockets) -> io::Result<()> {
    let handed: Vec<BorrowedFd<'_>> = sockets.all.iter().map(|(_, socket)| socket.as_fd()).collect();
    let letters = sockets.all.iter().map(|(kind, _)| kind.letter());
    let said: Vec<u8> = letters.chain([b'\n']).chain(sockets.state.secret()).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&handed)) {
        return Err(io::Error::new(ErrorKind::InvalidInput, "there are too many sockets to hand over"));
    }
    let sent = sendmsg(stream, &[IoSlice::new(&said)], &mut control, SendFlags::NOSIGNAL)?;
    if sent == said.len() { Ok(()) } else { Err(ErrorKind::WriteZero.into()) }
}
