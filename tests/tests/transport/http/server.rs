//! The smallest server that can misbehave on cue: a script per connection, over `std` alone.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// A request as it came.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) line: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find_map(|(n, v)| n.eq_ignore_ascii_case(name).then_some(v.as_str()))
    }

    /// Reads one request; `None` at the end of the connection.
    pub(crate) fn read(stream: &mut impl Read) -> Option<Self> {
        // One byte at a time, so that nothing of a later request is taken.
        let mut reader = BufReader::with_capacity(1, stream);
        let mut next = || {
            let mut line = String::new();
            reader.read_line(&mut line).ok().filter(|&n| n > 0)?;
            Some(line.trim_end().to_owned())
        };
        let line = next()?;
        let mut headers = Vec::new();
        loop {
            let text = next()?;
            let Some((name, value)) = text.split_once(':') else {
                break;
            };
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
        let mut request = Self {
            line,
            headers,
            body: Vec::new(),
        };
        let length = match request.header("content-length") {
            None if request.line.starts_with("CONNECT ") => 0,
            length => length?.parse().ok()?,
        };
        request.body = vec![0; length];
        reader.read_exact(&mut request.body).ok()?;
        Some(request)
    }
}

/// A server on a loopback port, for as long as the test runs.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Server {
    /// Runs `script` for every connection, with its number from 0, one after the other.
    pub(crate) fn start(mut script: impl FnMut(usize, TcpStream) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        thread::spawn(move || {
            for stream in listener.incoming() {
                script(count.fetch_add(1, Ordering::SeqCst), stream.unwrap());
            }
        });
        Self {
            address,
            connections,
        }
    }

    /// Answers every request with `answer`, verbatim.
    pub(crate) fn answering(answer: &'static [u8]) -> Self {
        Self::start(move |_, mut stream| {
            while Request::read(&mut stream).is_some() {
                if stream.write_all(answer).is_err() {
                    break;
                }
            }
        })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/v1/traces", self.address)
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}
