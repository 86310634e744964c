//! A name server that answers as a test wants, for as long as its process lives.

use std::net::{IpAddr, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

/// The length of a message's header.
const HEADER: usize = 12;
const TYPE_A: u16 = 1;
const TYPE_AAAA: u16 = 28;

/// What every question is answered with.
#[derive(Clone, Debug)]
enum Answer {
    /// There is no such name.
    Missing,
    /// Nothing at all.
    Silence,
    /// The name exists, and these are its addresses, or none.
    Addresses(Vec<IpAddr>),
}

/// The server.
pub(crate) struct NameServer {
    answer: Arc<Mutex<Answer>>,
    questions: Arc<AtomicU64>,
}

impl NameServer {
    /// Starts to answer at port 53 of `address`.
    pub(crate) fn start(address: IpAddr) -> Self {
        let socket = UdpSocket::bind((address, 53)).expect("the port of name servers");
        let answer = Arc::new(Mutex::new(Answer::Addresses(vec![address])));
        let questions = Arc::new(AtomicU64::new(0));
        let server = Self {
            answer: Arc::clone(&answer),
            questions: Arc::clone(&questions),
        };
        std::thread::spawn(move || {
            let mut question = [0; 512];
            while let Ok((len, client)) = socket.recv_from(&mut question) {
                questions.fetch_add(1, Relaxed);
                let answer = answer.lock().unwrap().clone();
                let reply = question.get(..len).and_then(|it| reply(it, &answer));
                if let Some(reply) = reply {
                    let _ = socket.send_to(&reply, client);
                }
            }
        });
        server
    }

    /// Answers from now on with `words`: `missing`, `silence`, or addresses, perhaps none.
    pub(crate) fn answer(&self, words: Vec<&str>) {
        let answer = match words.first() {
            Some(&"missing") => Answer::Missing,
            Some(&"silence") => Answer::Silence,
            _ => Answer::Addresses(words.iter().map(|it| it.parse().unwrap()).collect()),
        };
        *self.answer.lock().unwrap() = answer;
    }

    /// How many questions came.
    pub(crate) fn questions(&self) -> u64 {
        self.questions.load(Relaxed)
    }
}

/// The answer to a message that asks one question, <https://www.rfc-editor.org/rfc/rfc1035#section-4>.
fn reply(question: &[u8], answer: &Answer) -> Option<Vec<u8>> {
    let addresses = match answer {
        Answer::Silence => return None,
        Answer::Missing => &Vec::new(),
        Answer::Addresses(addresses) => addresses,
    };
    let name = question.get(HEADER..)?.iter().position(|&byte| byte == 0)?;
    // The root label, the type and the class follow the name.
    let end = HEADER + name + 5;
    let asked = question.get(HEADER..end)?;
    let kind = u16::from_be_bytes([asked[name + 1], asked[name + 2]]);
    let octets = addresses.iter().filter_map(|address| match address {
        IpAddr::V4(address) if kind == TYPE_A => Some(address.octets().to_vec()),
        IpAddr::V6(address) if kind == TYPE_AAAA => Some(address.octets().to_vec()),
        _ => None,
    });
    let octets: Vec<_> = octets.collect();
    let mut reply = question.get(..2)?.to_vec();
    // A response that recursion was asked for and is available for; 3 is "no such name".
    reply.extend([
        0x81,
        0x80 | if matches!(answer, Answer::Missing) {
            3
        } else {
            0
        },
    ]);
    reply.extend([0, 1, 0, u8::try_from(octets.len()).ok()?, 0, 0, 0, 0]);
    reply.extend(asked);
    for octets in octets {
        // The name of the question, its type, the class of the Internet, and no time to live.
        reply.extend([0xc0, HEADER as u8]);
        reply.extend(kind.to_be_bytes());
        reply.extend([0, 1, 0, 0, 0, 0, 0, octets.len() as u8]);
        reply.extend(octets);
    }
    Some(reply)
}
