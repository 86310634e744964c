//! The connection under TLS, if the feature is there.

#[cfg(not(feature = "tls"))]
pub(super) use absent::Secure;
#[cfg(feature = "tls")]
pub(super) use present::Secure;

#[cfg(feature = "tls")]
mod present {
    use std::io::{self, Read, Write};
    use std::sync::Arc;

    use rustls::{ServerConfig, ServerConnection, StreamOwned};

    use crate::loopback::Socket;

    pub(in crate::fault_server) struct Secure(StreamOwned<ServerConnection, Socket>);

    impl Secure {
        pub(in crate::fault_server) fn handshake(
            config: Arc<ServerConfig>,
            mut socket: Socket,
        ) -> io::Result<Self> {
            let mut connection = ServerConnection::new(config).map_err(io::Error::other)?;
            while connection.is_handshaking() {
                if let Err(error) = connection.complete_io(&mut socket) {
                    // The alert that tells the client why is still queued.
                    while connection.wants_write() && connection.write_tls(&mut socket).is_ok() {}
                    return Err(error);
                }
            }
            Ok(Self(StreamOwned::new(connection, socket)))
        }

        /// Sends what an orderly server sends at the end of its side.
        pub(in crate::fault_server) fn close_notify(&mut self) {
            self.0.conn.send_close_notify();
            let _ = self.0.flush();
        }
    }

    impl Read for Secure {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.read(buffer)
        }
    }

    impl Write for Secure {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            self.0.flush()
        }
    }
}

#[cfg(not(feature = "tls"))]
mod absent {
    use std::io::{self, Read, Write};

    pub(in crate::fault_server) enum Secure {}

    impl Secure {
        pub(in crate::fault_server) fn close_notify(&mut self) {
            match *self {}
        }
    }

    impl Read for Secure {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            match *self {}
        }
    }

    impl Write for Secure {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            match *self {}
        }

        fn flush(&mut self) -> io::Result<()> {
            match *self {}
        }
    }
}
