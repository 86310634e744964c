//! The child that is a collector, and the name server beside it.

use std::net::IpAddr;

use spandrel_tests::fault_server::{FaultServer, Reply, Script};

use crate::dns::NameServer;
use crate::remote::{commands, say};

/// The port of OTLP over HTTP; nothing else has it in a namespace of its own.
pub(crate) const PORT: u16 = 4318;

/// Does what it is told until its input ends. Its addresses must be there before `listen`.
pub(crate) fn run() {
    let mut servers = Vec::new();
    let mut names = None;
    for command in commands() {
        let mut words = command.split_whitespace();
        let verb = words.next().unwrap_or_default();
        match verb {
            "listen" => {
                servers = words
                    .map(|address| {
                        let address: IpAddr = address.parse().expect("an address");
                        FaultServer::start_at((address, PORT).into(), Script::new())
                    })
                    .collect();
                names = servers.first().map(|it| NameServer::start(it.addr().ip()));
                say("listening");
            }
            "names" => {
                let names = names.as_ref().expect("a collector that listens");
                names.answer(words.collect());
                say("noted");
            }
            "available" => {
                servers[0].available(words.next() == Some("true"));
                say("done");
            }
            "close-each" => {
                servers[0].set_default(Reply::ConnectionClose);
                say("done");
            }
            "books" => {
                let names = names.as_ref().map_or(0, NameServer::questions);
                let mut books = format!("questions {names}");
                for (number, server) in servers.iter().enumerate() {
                    let oracle = server.oracle();
                    assert_eq!(oracle.malformed(), 0);
                    let (stored, copies) = (oracle.stored().len(), oracle.copies_stored());
                    let accepted = server.counters().accepted;
                    books += &format!(
                        " stored{number} {stored} copies{number} {copies} accepted{number} \
                         {accepted}"
                    );
                }
                say(&books);
            }
            other => unreachable!("no such command: {other}"),
        }
    }
}
