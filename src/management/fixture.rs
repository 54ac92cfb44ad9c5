//! A management server to test with: on a real socket, with a broker whose only shard is a task that
//! has a catalog, and numbers that a test gives it.

use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use log::LevelFilter;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};
use tokio::task::{LocalSet, spawn_local};

use super::broker::{Broker, Door, Reported};
use super::controls::{Closure, Controls, Limits, LogLines};
use super::host::{Host, Usage};
use super::server::{Sockets, serve};
use super::site::{Listeners, Site};
use crate::base::alarms::{Alarm, AlarmSet, Alarms};
use crate::base::ids::ShardId;
use crate::base::inbox::Inbox;
use crate::broker::catalog::{Catalog, Change, Quotas, Verdict};
use crate::config::Config;
use crate::config::watermark::Watermark;
use crate::contract::{
    ChannelFigures, Code, Command, ConnectionFigures, ConsumerFigures, Demand, ExchangeFigures, Fault, Figures, Intervened, Intervention,
    Part, Query, QueueFigures, Reply, Report, Topology, Totals,
};
use crate::shard::Made;

/// What the shard answers beside what its catalog says.
#[derive(Clone, Default)]
pub struct Numbers {
    pub queues: Vec<QueueFigures>,
    pub exchanges: Vec<ExchangeFigures>,
    pub connections: Vec<ConnectionFigures>,
    pub channels: Vec<ChannelFigures>,
    pub consumers: Vec<ConsumerFigures>,
    pub totals: Totals,
}

/// A client of a server.
pub struct Client {
    address: SocketAddr,
    pub alarms: Arc<Alarms>,
}

/// A response.
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub bytes: Vec<u8>,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or(Value::Null)
    }

    /// The reason of a refusal.
    pub fn reason(&self) -> String {
        self.json()["reason"].as_str().unwrap_or_default().to_owned()
    }
}

/// Runs a test with a client of a server.
pub fn with_server<F: Future<Output = ()>>(config: Config, numbers: Numbers, test: impl FnOnce(Rc<Client>) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let tasks = LocalSet::new();
    tasks.block_on(&runtime, async move {
        let client = start(config, numbers).await;
        test(Rc::new(client)).await;
    });
}

async fn start(config: Config, numbers: Numbers) -> Client {
    let bell = Arc::new(Notify::new());
    let ring = bell.clone();
    let door: Door = Arc::new(Inbox::new(move || ring.notify_one()));
    let (reports, heard) = mpsc::unbounded_channel();
    let broker = Broker::new(Arc::new(config), Catalog::new(), vec![door.clone()]);
    let follower = broker.clone();
    spawn_local(async move { follower.follow(heard).await });
    spawn_local(Shard { door, bell, reports, catalog: Catalog::new(), numbers, next: 1 }.run());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let alarms = Arc::new(Alarms::default());
    let listeners = Listeners { amqp: vec!["127.0.0.1:5672".parse().expect("an address")], http: vec![address], metrics: Vec::new() };
    let site = Site::new(broker, Machine(alarms.clone()), listeners);
    spawn_local(serve(site, Sockets { http: vec![listener], ..Sockets::default() }));
    Client { address, alarms }
}

impl Client {
    pub async fn send(&self, method: &str, path: &str, user: Option<&str>, headers: &str, body: &str) -> Response {
        let login = user.map(|user| format!("authorization: Basic {}\r\n", BASE64_STANDARD.encode(user))).unwrap_or_default();
        let head = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{login}{headers}");
        let mut stream = TcpStream::connect(self.address).await.expect("a server");
        let request = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
        stream.write_all(request.as_bytes()).await.expect("it is taken");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.expect("an answer");
        response(&answer)
    }

    pub async fn get(&self, path: &str) -> Response {
        self.send("GET", path, Some("guest:guest"), "", "").await
    }

    pub async fn put(&self, path: &str, body: &str) -> Response {
        self.send("PUT", path, Some("guest:guest"), "", body).await
    }

    pub async fn post(&self, path: &str, body: &str) -> Response {
        self.send("POST", path, Some("guest:guest"), "", body).await
    }
}

fn response(bytes: &[u8]) -> Response {
    let end = memchr::memmem::find(bytes, b"\r\n\r\n").expect("a head");
    let head = std::str::from_utf8(&bytes[..end]).expect("text");
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).expect("a status");
    let headers: Vec<(String, String)> =
        lines.filter_map(|line| line.split_once(": ")).map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
    let is_chunked = headers.iter().any(|(name, value)| name == "transfer-encoding" && value == "chunked");
    let body = &bytes[end + 4..];
    Response { status, headers, bytes: if is_chunked { joined(body) } else { body.to_vec() } }
}

/// Joins the chunks of a body.
fn joined(mut body: &[u8]) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(end) = memchr::memmem::find(body, b"\r\n") {
        let len = usize::from_str_radix(std::str::from_utf8(&body[..end]).expect("text"), 16).expect("a length");
        all.extend_from_slice(&body[end + 2..end + 2 + len]);
        body = &body[(end + 4 + len).min(body.len())..];
    }
    all
}

/// A machine with an alarm that tests set.
struct Machine(Arc<Alarms>);

impl Host for Machine {
    fn now_ms(&self) -> u64 {
        1_796_059_931_442
    }

    fn random(&self) -> [u8; 16] {
        *b"quite random.   "
    }

    fn process(&self) -> u32 {
        7
    }

    fn alarms(&self) -> AlarmSet {
        self.0.get()
    }

    fn usage(&self) -> Usage {
        Usage { process: 7, memory: (1 << 20, 1 << 30), ..Usage::default() }
    }
}

/// Nothing of the machine changes.
impl Controls for Machine {
    fn shut_down(&self) {}

    fn limits(&self) -> Limits {
        Limits { memory: Watermark::Bytes(1 << 30), disk_free: Watermark::Bytes(0) }
    }

    fn set_limits(&self, _: Limits) {}

    fn force_alarm(&self, alarm: Alarm, on: bool) {
        self.0.set(alarm, on);
    }

    fn log_level(&self) -> LevelFilter {
        LevelFilter::Info
    }

    fn set_log_level(&self, _: LevelFilter) {}

    fn newest_log_lines(&self, _: u64) -> LogLines {
        LogLines::default()
    }

    fn log_lines_from(&self, _: u64) -> LogLines {
        LogLines::default()
    }

    fn plugins_file(&self) -> Option<String> {
        None
    }

    fn write_plugins_file(&self, _: &str) -> Result<(), String> {
        Ok(())
    }

    fn close_listeners(&self, _: Closure, _: bool) {}

    fn is_in_maintenance(&self) -> bool {
        false
    }
}

/// Raises or clears an alarm.
pub fn set_alarm(client: &Client, on: bool) {
    client.alarms.set(Alarm::Memory, on);
}

/// The only shard.
struct Shard {
    door: Door,
    bell: Arc<Notify>,
    reports: mpsc::UnboundedSender<Reported>,
    catalog: Catalog,
    numbers: Numbers,
    next: u64,
}

impl Shard {
    async fn run(mut self) {
        loop {
            self.bell.notified().await;
            for (ticket, demand) in self.door.take() {
                let reply = match demand {
                    Demand::Command(command) => Reply::Decided(self.command(command)),
                    Demand::Query(query) => Reply::Figures(self.answer(query)),
                    Demand::Intervention(intervention) => Reply::Intervened(self.intervene(&intervention)),
                };
                self.reports.send(Report::Reply(ticket, reply)).expect("the broker listens");
            }
        }
    }

    fn command(&mut self, command: Command) -> Result<(), Fault> {
        let command = command.hashed(|| *b"salt");
        match self.catalog.check_command(&command, ShardId(0))? {
            Verdict::Change(change) => self.make(change),
            Verdict::Already => {}
            Verdict::Queue(queue) => self.delete(command, queue.queue)?,
        }
        Ok(())
    }

    fn delete(&mut self, command: Command, queue: crate::base::ids::QueueId) -> Result<(), Fault> {
        let Command::Topology { vhost, topology: Topology::DeleteQueue { name, if_unused, if_empty } } = command else { return Ok(()) };
        let figures = self.numbers.queues.iter().find(|figures| figures.id == queue).cloned().unwrap_or_default();
        let refused = |why: &str| Err(Fault::new(Code::PreconditionFailed, format!("queue '{name}' in vhost '{vhost}' {why}")));
        if if_empty && figures.ready > 0 {
            return refused("not empty");
        }
        if if_unused && figures.consumers > 0 {
            return refused("in use");
        }
        self.make(Change::topology(&vhost, Topology::DeleteQueue { name, if_unused: false, if_empty: false }));
        Ok(())
    }

    fn make(&mut self, change: Change) {
        let change = change.numbered(&mut self.next);
        self.catalog.apply(&change);
        let made = Arc::new(Made { change, quotas: Quotas::default() });
        self.reports.send(Report::Changed(made)).expect("the broker listens");
    }

    fn answer(&self, query: Query) -> Figures {
        let numbers = &self.numbers;
        match query {
            Query::Totals => Figures::Totals(Box::new(numbers.totals)),
            Query::Queues { .. } => Figures::Queues(self.queues(|_| true)),
            Query::QueuesById(ids) => Figures::Queues(self.queues(|figures| ids.contains(&figures.id))),
            Query::Exchanges { .. } => Figures::Exchanges(part(&numbers.exchanges)),
            Query::Connections { .. } => Figures::Connections(part(&numbers.connections)),
            Query::Channels { .. } => Figures::Channels(part(&numbers.channels)),
            Query::Consumers { .. } => Figures::Consumers(part(&numbers.consumers)),
        }
    }

    fn queues(&self, which: impl Fn(&QueueFigures) -> bool) -> Part<QueueFigures> {
        let known = |id| self.numbers.queues.iter().find(|figures| figures.id == id).cloned();
        let all = self.catalog.queues().map(|queue| {
            let id = queue.addr.queue;
            known(id).unwrap_or(QueueFigures { id, ..QueueFigures::default() })
        });
        Part { items: all.filter(which).collect(), next: None }
    }

    fn intervene(&mut self, intervention: &Intervention) -> Intervened {
        match intervention {
            Intervention::CloseConnection { conn, .. } => {
                let connections = &mut self.numbers.connections;
                let len = connections.len();
                connections.retain(|connection| connection.addr != *conn);
                if connections.len() < len { Intervened::Done { messages: 0 } } else { Intervened::Absent }
            }
            Intervention::Purge(_) | Intervention::Publish(_) => Intervened::Done { messages: 0 },
        }
    }
}

fn part<T: Clone>(items: &[T]) -> Part<T> {
    Part { items: items.to_vec(), next: None }
}
