//! A broker that knows one conversation: it answers the requests of a list, in their order.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};

use super::conversation::Exchange;

/// A broker.
pub struct Broker {
    socket: PathBuf,
    thread: JoinHandle<Vec<String>>,
}

impl Broker {
    /// Starts a broker, whose socket is in the directory.
    pub fn start(directory: &Path, exchanges: Vec<Exchange>) -> Broker {
        let socket = directory.join("management.sock");
        _ = fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket).expect("a directory of our own");
        Broker { socket, thread: thread::spawn(move || serve(&listener, exchanges)) }
    }

    /// Ends the broker. Returns the differences from the conversation.
    pub fn stop(self) -> Vec<String> {
        UnixStream::connect(&self.socket).and_then(|mut stream| stream.write_all(END)).expect("the broker listens");
        self.thread.join().expect("the broker does not panic")
    }
}

/// What ends a broker instead of a request.
const END: &[u8] = b"\n";

fn serve(listener: &UnixListener, exchanges: Vec<Exchange>) -> Vec<String> {
    let mut expected = exchanges.into_iter().peekable();
    let mut differences = Vec::new();
    for stream in listener.incoming() {
        let mut reader = BufReader::new(stream.expect("a connection"));
        while let Some(request) = read(&mut reader) {
            if request.is_empty() {
                differences.extend(expected.map(|exchange| format!("not asked: {}", exchange.request)));
                return differences;
            }
            let answer = match expected.next_if(|exchange| exchange.request == request) {
                Some(exchange) => exchange,
                None if request == "GET /ctl/node" => Exchange { request, status: 200, body: NODE.into() },
                None => {
                    let next = expected.peek().map_or("nothing", |exchange| exchange.request.as_str());
                    differences.push(format!("asked: {request}\nexpected: {next}"));
                    Exchange { request, status: 500, body: String::new() }
                }
            };
            let head = format!("HTTP/1.1 {} Answer\r\ncontent-length: {}\r\n\r\n", answer.status, answer.body.len());
            reader.get_mut().write_all((head + &answer.body).as_bytes()).expect("the tool reads");
        }
    }
    differences
}

/// Who the broker is, which the tool asks in most conversations.
const NODE: &str = r#"{"name":"peer@localhost","app":"running","pid":1,"maintenance":false}"#;

/// Reads a request as a conversation has it: none at the end, an empty one to end the broker.
fn read(reader: &mut BufReader<UnixStream>) -> Option<String> {
    let mut line = String::new();
    let mut next = || {
        line.clear();
        reader.read_line(&mut line).ok().filter(|length| *length > 0).map(|_| line.trim_end().to_owned())
    };
    let first = next()?;
    let Some((request, _)) = first.rsplit_once(' ') else { return Some(String::new()) };
    let mut request = request.to_owned();
    let mut length = 0;
    loop {
        let header = next()?;
        match header.split_once(": ") {
            Some(("content-length", value)) => length = value.parse().expect("a length"),
            Some(("x-reason", reason)) => request += &format!(" [{reason}]"),
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    if length > 0 {
        request += &format!(" {}", String::from_utf8_lossy(&body));
    }
    Some(request)
}
