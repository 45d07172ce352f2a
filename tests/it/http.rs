//! Tests of the pages for machines.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gatepost::observe::http::{self, Pages};
use gatepost::observe::metrics::Metrics;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

const PATIENCE: Duration = Duration::from_secs(20);

/// The pages on a free port, until it is dropped.
struct Server {
    address: SocketAddr,
    reasons: Arc<Mutex<Vec<String>>>,
    stopped: Arc<AtomicBool>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Server {
    fn start() -> Server {
        let reasons = Arc::new(Mutex::new(Vec::new()));
        let stopped = Arc::new(AtomicBool::new(false));
        let (stop, stopping) = oneshot::channel();
        let (tell, told) = std::sync::mpsc::channel();
        let (given, ended) = (Arc::clone(&reasons), Arc::clone(&stopped));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                tell.send(listener.local_addr().unwrap()).unwrap();
                let metrics = Arc::new(Metrics::new("test").unwrap());
                let pages = Arc::new(Pages::new(metrics, move || given.lock().unwrap().clone()));
                http::serve(listener, pages, async { drop(stopping.await) }).await;
            });
            ended.store(true, Ordering::SeqCst);
        });
        Server { address: told.recv().unwrap(), reasons, stopped, stop: Some(stop), thread: Some(thread) }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    fn ask(&self, request: &str) -> String {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn get(&self, path: &str) -> String {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        self.thread.take().unwrap().join().unwrap();
    }
}

fn status(answer: &str) -> &str {
    answer.get(9..12).unwrap_or(answer)
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").unwrap().1
}

#[test]
fn metrics_are_a_page_that_prometheus_understands() {
    let server = Server::start();
    let answer = server.get("/metrics");
    assert_eq!(status(&answer), "200");
    assert!(answer.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"), "{answer}");
    assert!(body(&answer).contains("\ngatepost_build_info{version=\"test\"} 1\n"), "{answer}");
}

#[test]
fn health_is_always_ok_and_readiness_gives_its_reasons() {
    let server = Server::start();
    assert_eq!(body(&server.get("/healthz")), "ok\n");
    let ready = server.get("/readyz?verbose");
    assert_eq!((status(&ready), body(&ready)), ("200", "ready\n"));
    *server.reasons.lock().unwrap() = vec!["the journal can't be written".into(), "x\n\u{1b}[31my".into()];
    let answer = server.get("/readyz");
    assert_eq!(status(&answer), "503");
    assert_eq!(body(&answer), "not ready: the journal can't be written\nnot ready: x\\n\\u{1b}[31my\n");
    assert_eq!(status(&server.get("/healthz")), "200");
}

#[test]
fn other_paths_and_methods_are_refused() {
    let server = Server::start();
    for path in ["/", "/metrics/", "/metrics/../healthz", "//metrics", "/%6detrics", "/favicon.ico"] {
        assert_eq!(status(&server.get(path)), "404", "{path}");
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "get", "BREW"] {
        let answer = server.ask(&format!("{method} /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"));
        assert_eq!(status(&answer), "405", "{method}");
        assert!(answer.contains("allow: GET, HEAD\r\n"), "{answer}");
    }
}

#[test]
fn head_gives_the_header_of_get_without_its_body() {
    let server = Server::start();
    let answer = server.ask("HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(status(&answer), "200");
    assert!(answer.contains("content-length: 3\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
}

#[test]
fn a_connection_gets_one_answer_and_bodies_are_not_read() {
    let server = Server::start();
    let two = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n".repeat(2);
    assert_eq!(server.ask(&two).matches("HTTP/1.1 ").count(), 1);
    let answer = server.ask("GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\nabc");
    assert_eq!(status(&answer), "200");
}

#[test]
fn what_is_no_http_is_refused_and_hurts_nobody() {
    let server = Server::start();
    let long = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(60_000));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(1_000));
    for junk in ["EHLO mail.example\r\n\r\n", "\u{0}\u{1}\u{2}\r\n\r\n", "GET /metrics HTTP/9.9\r\n\r\n", &long, &many]
    {
        let mut stream = server.connect();
        // The server may close before it has read all of it.
        let _ = stream.write_all(junk.as_bytes());
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.is_empty() || matches!(status(&answer), "400" | "414" | "431" | "505"), "{answer}");
    }
    assert_eq!(status(&server.get("/healthz")), "200");
}

#[test]
fn silent_connections_take_the_places_of_others_only_for_a_while() {
    let server = Server::start();
    let silent: Vec<TcpStream> = (0..http::CONNECTIONS).map(|_| server.connect()).collect();
    // Answered once the deadline has freed a place.
    assert_eq!(status(&server.get("/healthz")), "200");
    drop(silent);
}

#[test]
fn a_request_in_flight_may_end_after_the_stop_and_then_the_port_is_free() {
    let mut server = Server::start();
    let mut stream = server.connect();
    stream.write_all(b"GET /healthz HTTP/1.1\r\n").unwrap();
    // The first of these connections is accepted before the second is answered.
    assert_eq!(status(&server.get("/healthz")), "200");
    drop(server.stop.take());
    stream.write_all(b"Host: x\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(status(&answer), "200");
    server.thread.take().unwrap().join().unwrap();
    assert!(server.stopped.load(Ordering::SeqCst));
    assert!(TcpStream::connect(server.address).is_err());
    server.thread = Some(std::thread::spawn(|| ()));
}
