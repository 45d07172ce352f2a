//! The floor: an SMTP server that checks nothing and keeps each message durably in a Maildir of each recipient before its 250.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::system;

static NUMBER: AtomicU64 = AtomicU64::new(0);

/// Serves until it is ended.
pub fn serve(root: &Path) -> io::Result<()> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).max_blocking_threads(16).enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(system::address()).await?;
        let root = Arc::new(root.to_owned());
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(session(stream, Arc::clone(&root)));
        }
    })
}

async fn session(mut stream: TcpStream, root: Arc<PathBuf>) -> io::Result<()> {
    stream.write_all(b"220 sink\r\n").await?;
    let mut read = Vec::with_capacity(65_536);
    let mut mailboxes: Vec<PathBuf> = Vec::new();
    loop {
        let line = line(&mut stream, &mut read).await?;
        let reply: &[u8] = match line.get(..4).unwrap_or_default() {
            "EHLO" => b"250-sink\r\n250-PIPELINING\r\n250 8BITMIME\r\n",
            "RCPT" => {
                mailboxes.push(root.join(line.split(['<', '@']).nth(1).unwrap_or_default()));
                b"250 OK\r\n"
            }
            "DATA" => {
                stream.write_all(b"354 Go\r\n").await?;
                let message = message(&mut stream, &mut read).await?;
                let maildirs = std::mem::take(&mut mailboxes);
                let keep = move || maildirs.iter().try_for_each(|maildir| keep(maildir, &message));
                tokio::task::spawn_blocking(keep).await.map_err(io::Error::other)??;
                b"250 OK\r\n"
            }
            "QUIT" => return stream.write_all(b"221 Bye\r\n").await,
            _ => b"250 OK\r\n",
        };
        stream.write_all(reply).await?;
    }
}

async fn line(stream: &mut TcpStream, read: &mut Vec<u8>) -> io::Result<String> {
    let end = until(stream, read, b"\r\n").await?;
    Ok(String::from_utf8_lossy(&read.drain(..end).collect::<Vec<_>>()).into_owned())
}

async fn message(stream: &mut TcpStream, read: &mut Vec<u8>) -> io::Result<Vec<u8>> {
    let end = until(stream, read, b"\r\n.\r\n").await?;
    Ok(read.drain(..end).collect())
}

/// Reads until this has come; gives where it ends.
async fn until(stream: &mut TcpStream, read: &mut Vec<u8>, end: &[u8]) -> io::Result<usize> {
    let mut searched = 0_usize;
    loop {
        if let Some(at) = memchr::memmem::find(&read[searched..], end) {
            return Ok(searched + at + end.len());
        }
        searched = read.len().saturating_sub(end.len());
        if stream.read_buf(read).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

fn keep(maildir: &Path, message: &[u8]) -> io::Result<()> {
    let (tmp, new) = (maildir.join("tmp"), maildir.join("new"));
    if !new.exists() {
        fs::create_dir_all(&tmp)?;
        fs::create_dir_all(&new)?;
        fs::create_dir_all(maildir.join("cur"))?;
    }
    let name = format!("{}.sink", NUMBER.fetch_add(1, Ordering::Relaxed));
    let mut file = File::create(tmp.join(&name))?;
    file.write_all(message)?;
    file.sync_all()?;
    fs::rename(tmp.join(&name), new.join(&name))?;
    File::open(new)?.sync_all()
}
