//! The pages for machines: `/metrics`, `/healthz` and `/readyz` over HTTP/1.1, on a listener of their own.
//!
//! A connection gets one answer and ten seconds. Bodies of requests are not read.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::escape::shown;
use super::metrics::Metrics;

/// Connections that are served at once; more wait in the kernel's queue.
pub const CONNECTIONS: usize = 32;
/// From a connection to the end of the request's header.
pub const HEADER_DEADLINE: Duration = Duration::from_secs(5);
/// From a connection to its end.
pub const TOTAL_DEADLINE: Duration = Duration::from_secs(10);
/// How long connections may go on after the server was asked to stop.
pub const STOP_DEADLINE: Duration = Duration::from_secs(2);
/// After a failure to accept (no file descriptors, mostly).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Octets of a request's header.
const HEADER_OCTETS: usize = 16 * 1024;

/// What the pages show.
pub struct Pages {
    metrics: Arc<Metrics>,
    not_ready: Box<dyn Fn() -> Vec<String> + Send + Sync>,
}

impl Pages {
    /// `not_ready` gives the reasons why mail should not be sent here now; none means ready. It must not block.
    pub fn new(metrics: Arc<Metrics>, not_ready: impl Fn() -> Vec<String> + Send + Sync + 'static) -> Pages {
        Pages { metrics, not_ready: Box::new(not_ready) }
    }

    fn answer(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        let page = match path {
            "/metrics" | "/healthz" | "/readyz" => path,
            _ => return text(StatusCode::NOT_FOUND, "not found: here are /metrics, /healthz and /readyz\n".to_owned()),
        };
        if method != Method::GET && method != Method::HEAD {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n".to_owned());
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        match page {
            "/metrics" => {
                let mut response = text(StatusCode::OK, self.metrics.text());
                let format = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
                response.headers_mut().insert(CONTENT_TYPE, format);
                response
            }
            "/healthz" => text(StatusCode::OK, "ok\n".to_owned()),
            _ => self.readiness(),
        }
    }

    fn readiness(&self) -> Response<Full<Bytes>> {
        let reasons = (self.not_ready)();
        if reasons.is_empty() {
            return text(StatusCode::OK, "ready\n".to_owned());
        }
        let lines = reasons.iter().map(|reason| format!("not ready: {}\n", shown(reason, 500))).collect();
        text(StatusCode::SERVICE_UNAVAILABLE, lines)
    }
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Serves the pages until `stop` is ready, then finishes the requests that it has begun.
pub async fn serve(listener: TcpListener, pages: Arc<Pages>, stop: impl Future<Output = ()>) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    let mut failing = false;
    tokio::pin!(stop);
    loop {
        // The permit comes first: without one nothing is accepted.
        let permit = tokio::select! {
            () = &mut stop => break,
            permit = Arc::clone(&permits).acquire_owned() => permit,
        };
        let accepted = tokio::select! {
            () = &mut stop => break,
            accepted = listener.accept() => accepted,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, _)) => {
                failing = false;
                let pages = Arc::clone(&pages);
                connections.spawn(async move {
                    let _permit = permit;
                    // A peer that is slow, rude or gone is its own affair.
                    let _ = timeout(TOTAL_DEADLINE, converse(stream, pages)).await;
                });
            }
            Err(error) => {
                if !failing {
                    failing = true;
                    tracing::warn!(%error, "connections to the metrics page cannot be accepted");
                }
                tokio::select! {
                    () = &mut stop => break,
                    () = tokio::time::sleep(ACCEPT_PAUSE) => {}
                }
            }
        }
    }
    drop(listener);
    let all = async { while connections.join_next().await.is_some() {} };
    let _ = timeout(STOP_DEADLINE, all).await;
}

async fn converse(stream: TcpStream, pages: Arc<Pages>) -> Result<(), hyper::Error> {
    let service = service_fn(move |request: Request<Incoming>| {
        let response = pages.answer(request.method(), request.uri().path());
        async move { Ok::<_, Infallible>(response) }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_DEADLINE)
        .keep_alive(false)
        .max_buf_size(HEADER_OCTETS)
        .max_headers(64)
        .serve_connection(TokioIo::new(stream), service)
        .await
}
