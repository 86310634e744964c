//! A TCP stack in memory that plays a script: no socket, no time, every operation waits once, so a
//! future over it has the same number of polls each time.

use core::cell::RefCell;
use core::convert::Infallible;
use core::future::poll_fn;
use core::net::SocketAddr;
use core::task::Poll;
use std::collections::VecDeque;
use std::rc::Rc;

use embedded_io_async::{ErrorType, Read, Write};
use embedded_nal_async::TcpConnect;

/// What a connection has taken and what it is to give.
#[derive(Default)]
struct Shared {
    /// The bytes that each connection took.
    taken: RefCell<Vec<Vec<u8>>>,
    /// What the server says to each request; the connection ends after it unless it holds more.
    answers: RefCell<VecDeque<Vec<u8>>>,
}

/// The stack; its connections take and give at most `step` bytes at a time.
pub(crate) struct Scripted {
    shared: Rc<Shared>,
    step: usize,
}

impl Scripted {
    /// Answers each request with the next of `answers`; one that is not complete is followed by the
    /// end of the connection.
    pub(crate) fn new<A: Into<Vec<u8>>>(step: usize, answers: impl IntoIterator<Item = A>) -> Self {
        let shared = Shared::default();
        shared
            .answers
            .replace(answers.into_iter().map(Into::into).collect());
        Self {
            shared: Rc::new(shared),
            step,
        }
    }

    /// What arrived, by connection.
    pub(crate) fn taken(&self) -> Vec<Vec<u8>> {
        self.shared.taken.borrow().clone()
    }
}

impl TcpConnect for Scripted {
    type Error = Infallible;
    type Connection<'a> = ScriptedConnection;

    async fn connect(&self, _: SocketAddr) -> Result<ScriptedConnection, Infallible> {
        pause().await;
        let mut taken = self.shared.taken.borrow_mut();
        taken.push(Vec::new());
        Ok(ScriptedConnection {
            shared: Rc::clone(&self.shared),
            number: taken.len() - 1,
            step: self.step,
            answer: VecDeque::new(),
        })
    }
}

pub(crate) struct ScriptedConnection {
    shared: Rc<Shared>,
    number: usize,
    step: usize,
    answer: VecDeque<u8>,
}

impl ErrorType for ScriptedConnection {
    type Error = Infallible;
}

impl Write for ScriptedConnection {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        pause().await;
        let len = bytes.len().min(self.step);
        self.shared.taken.borrow_mut()[self.number].extend_from_slice(&bytes[..len]);
        Ok(len)
    }

    /// The end of a request.
    async fn flush(&mut self) -> Result<(), Infallible> {
        pause().await;
        let answer = self.shared.answers.borrow_mut().pop_front();
        self.answer.extend(answer.unwrap_or_default());
        Ok(())
    }
}

impl Read for ScriptedConnection {
    async fn read(&mut self, target: &mut [u8]) -> Result<usize, Infallible> {
        pause().await;
        let len = target.len().min(self.step).min(self.answer.len());
        for (target, byte) in target.iter_mut().zip(self.answer.drain(..len)) {
            *target = byte;
        }
        Ok(len)
    }
}

async fn pause() {
    let mut first = true;
    poll_fn(|context| {
        if core::mem::take(&mut first) {
            context.waker().wake_by_ref();
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    })
    .await;
}
