//! A TCP stack in the terms of `embedded-nal-async`, made of the standard library's sockets and of
//! embassy's timers: it looks again every half millisecond.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use embassy_time::{Duration, Timer};
use embedded_io_async::{ErrorType, Read, Write};
use embedded_nal_async::TcpConnect;

pub(crate) struct StdStack;

pub(crate) struct StdConnection(TcpStream);

#[derive(Debug)]
pub(crate) struct StdError(std::io::Error);

impl StdError {
    pub(crate) fn not_found() -> Self {
        Self(ErrorKind::NotFound.into())
    }
}

impl core::fmt::Display for StdError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.fmt(f)
    }
}

impl core::error::Error for StdError {}

impl embedded_io_async::Error for StdError {
    fn kind(&self) -> embedded_io_async::ErrorKind {
        embedded_io_async::ErrorKind::Other
    }
}

impl TcpConnect for StdStack {
    type Error = StdError;
    type Connection<'a> = StdConnection;

    async fn connect(&self, remote: SocketAddr) -> Result<StdConnection, StdError> {
        let stream = TcpStream::connect(remote).map_err(StdError)?;
        stream.set_nonblocking(true).map_err(StdError)?;
        Ok(StdConnection(stream))
    }
}

async fn when_ready<T>(mut operation: impl FnMut() -> std::io::Result<T>) -> Result<T, StdError> {
    loop {
        match operation() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                Timer::after(Duration::from_micros(500)).await;
            }
            result => return result.map_err(StdError),
        }
    }
}

impl ErrorType for StdConnection {
    type Error = StdError;
}

impl Read for StdConnection {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, StdError> {
        when_ready(|| self.0.read(buffer)).await
    }
}

impl Write for StdConnection {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, StdError> {
        when_ready(|| self.0.write(bytes)).await
    }

    async fn flush(&mut self) -> Result<(), StdError> {
        Ok(())
    }
}
