//! The server: accepts connections and serves HTTP/1.1 on them, all on the thread of its caller.
//!
//! A client that is slow costs a connection and nothing else; there is a limit of connections, of
//! the time for a request's head and body, and of the time for which a client may take nothing of
//! its answer.

use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::Semaphore;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::sleep;

use super::gate;
use super::login::Origin;
use super::metrics::Metrics;
use super::patience::Patient;
use super::sampler;
use super::scrape;
use super::site::Site;

/// The listeners of the server.
#[derive(Debug, Default)]
pub struct Sockets {
    /// Of the API, for users who log in.
    pub http: Vec<TcpListener>,
    /// Of metrics, which need no login.
    pub metrics: Vec<TcpListener>,
    /// For the machine's operator, who needs no login: the file's permissions tell who that is.
    pub local: Option<UnixListener>,
}

/// Serves requests until the future is dropped. Samples of numbers are taken meanwhile.
pub async fn serve(site: Site, sockets: Sockets) {
    let (site, places) = (Rc::new(site), Arc::new(Semaphore::new(CONNECTIONS_MAX)));
    let metrics_places = Arc::new(Semaphore::new(METRICS_CONNECTIONS_MAX));
    let tasks = LocalSet::new();
    for listener in sockets.http {
        let site = site.clone();
        tasks.spawn_local(serve_tcp(places.clone(), listener, move |stream, peer| serve_one(site.clone(), Origin::Remote(peer), stream)));
    }
    let clock = site.clone();
    let metrics = Rc::new(Metrics::new(site.broker.clone(), Box::new(move || Duration::from_millis(clock.host.now_ms()))));
    for listener in sockets.metrics {
        let (site, metrics) = (site.clone(), metrics.clone());
        let places = metrics_places.clone();
        tasks.spawn_local(serve_tcp(places, listener, move |stream, _| serve_metrics(site.clone(), metrics.clone(), stream)));
    }
    tasks.spawn_local(async move { metrics.keep_sums().await });
    if let Some(listener) = sockets.local {
        tasks.spawn_local(serve_local(site.clone(), listener));
    }
    tasks.run_until(sampler::sample(site)).await;
}

/// Accepts connections and serves each of them.
async fn serve_tcp<F: Future<Output = ()> + 'static>(
    places: Arc<Semaphore>,
    listener: TcpListener,
    serve: impl Fn(TcpStream, IpAddr) -> F,
) {
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, peer)) => {
                let _ = stream.set_nodelay(true); // an answer in two packets is only slower without it
                let served = serve(stream, peer.ip().to_canonical());
                spawn_local(async move {
                    served.await;
                    drop(place);
                });
            }
            Err(error) => rest_after(&error).await,
        }
    }
}

async fn serve_local(site: Rc<Site>, listener: UnixListener) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => _ = spawn_local(serve_one(site.clone(), Origin::Local, stream)),
            Err(error) => rest_after(&error).await,
        }
    }
}

/// Waits after a failed accept: descriptors are short, and trying at once would fail again.
async fn rest_after(error: &io::Error) {
    log::warn!("management: a connection cannot be accepted: {error}");
    sleep(Duration::from_millis(100)).await;
}

/// Serves the requests of one connection.
async fn serve_one(site: Rc<Site>, origin: Origin, stream: impl AsyncRead + AsyncWrite + Unpin) {
    let service = service_fn(move |request| {
        let (site, origin) = (site.clone(), origin.clone());
        async move { Ok::<_, Infallible>(gate::answer(site, origin, request).await) }
    });
    serve_http(service, stream).await;
}

/// Serves the requests for metrics of one connection.
async fn serve_metrics(site: Rc<Site>, metrics: Rc<Metrics>, stream: impl AsyncRead + AsyncWrite + Unpin) {
    let service = service_fn(move |request| {
        let (site, metrics) = (site.clone(), metrics.clone());
        async move { Ok::<_, Infallible>(scrape::answer(site, metrics, request).await) }
    });
    serve_http(service, stream).await;
}

async fn serve_http<S, B>(service: S, stream: impl AsyncRead + AsyncWrite + Unpin)
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    B: Body<Error = Infallible> + 'static,
    B::Data: 'static,
{
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(HEAD_MAX);
    let served = http.serve_connection(TokioIo::new(Patient::new(stream, WRITE_TIMEOUT)), service).await;
    if let Err(error) = served {
        log::debug!("management: a connection ended: {error}");
    }
}

/// Connections to the API at a time.
const CONNECTIONS_MAX: usize = 1024;
/// Connections for metrics at a time.
const METRICS_CONNECTIONS_MAX: usize = 256;
/// How long a client may take for the head of its next request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a client may take nothing of its answer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);
/// Largest head of a request, bytes.
const HEAD_MAX: usize = 64 << 10;
