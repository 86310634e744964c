//! Ends that nothing in the program waits for: signals, panics, and exits.

#[cfg(feature = "signal")]
use std::io;
use std::process;
use std::sync::Arc;

use spandrel_core::hosted::unversioned::ends::{AtEnd, record_panics};
#[cfg(feature = "signal")]
use spandrel_core::hosted::unversioned::ends::{end_on_signal, listen};

use crate::telemetry::Telemetry;

/// Ends that nothing in the program waits for. Without these lines, a signal, a panic that aborts and
/// `std::process::exit` lose what has not been sent yet.
impl Telemetry {
    /// Has a signal end the program only after its spans are sent: SIGTERM, SIGINT (ctrl-c) and SIGHUP;
    /// on Windows ctrl-c, ctrl-break and the end of the session.
    ///
    /// ```no_run
    /// use spandrel_transport_std::{Config, init};
    ///
    /// let telemetry = init(Config::development("shop"))?;
    /// telemetry.shutdown_on_signal()?;
    /// // .. the program's work, for hours ..
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// The first signal shuts the pipeline down, within
    /// [`Config::shutdown_timeout`](crate::Config::shutdown_timeout), and then ends the process as it
    /// would have without a handler, so that a shell or a service manager sees which signal it was.
    /// A second signal ends the process at once. Spans that are still open are not sent.
    ///
    /// On Linux, a signal that the process ignores, as under `nohup`, stays ignored. Handlers that were set before
    /// are called too. A handler that replaces all others, such as the one of the crate `ctrlc`, must be
    /// set before this call. A program that has more to do at its end than to send its spans calls
    /// [`until_signal`](Self::until_signal) instead, or [`shutdown`](Self::shutdown) in a handler of its
    /// own. After a `fork` without `exec`, the child calls
    /// [`after_fork_child`](spandrel_core::hosted::rng::after_fork_child), or the first signal does not
    /// end it.
    ///
    /// Does nothing on a handle that records nothing.
    ///
    /// # Errors
    ///
    /// The system refused a handler or a thread.
    #[cfg(feature = "signal")]
    #[cfg_attr(docsrs, doc(cfg(feature = "signal")))]
    pub fn shutdown_on_signal(&self) -> io::Result<()> {
        self.at_end().map_or(Ok(()), |end| end_on_signal(&end))
    }

    /// Waits for a signal that asks the program to end; for a program that then ends by itself.
    ///
    /// ```no_run
    /// use spandrel_transport_std::{Config, init};
    /// use std::time::Duration;
    ///
    /// let telemetry = init(Config::development("shop"))?;
    /// // .. threads serve requests ..
    /// telemetry.until_signal()?;
    /// // .. they finish what they have begun ..
    /// println!("{}", telemetry.shutdown(Duration::from_secs(5)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// At the signal the sender begins to send what has ended, so that less is lost if the program does
    /// not end in time. Returns at once if the signal has come before. Otherwise it is as with
    /// [`shutdown_on_signal`](Self::shutdown_on_signal): a second signal ends the process at once, and
    /// so does the first one once the handle is dropped. With tracing disabled it waits all the same.
    ///
    /// # Errors
    ///
    /// The system refused a handler or a thread.
    #[cfg(feature = "signal")]
    #[cfg_attr(docsrs, doc(cfg(feature = "signal")))]
    pub fn until_signal(&self) -> io::Result<()> {
        listen(self.at_end().as_ref())?.wait();
        Ok(())
    }

    /// Records panics from now on: as an event `exception` on the span that is current where the panic
    /// happens, with the message and the place, and as its status.
    ///
    /// ```
    /// use spandrel_transport_std::{Config, init};
    ///
    /// let telemetry = init(Config { enabled: false, ..Config::default() })?;
    /// telemetry.record_panics();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// A panic that unwinds ends the spans that it passes, and they are sent as all others. When the
    /// thread is the main one, the handle that it drops flushes; a handle in a `static` is never
    /// dropped. A panic that aborts the process, as with `panic = "abort"` or in a destructor while
    /// another panic unwinds, leaves all open spans unsent. A span `panic` below the current one then
    /// tells of it, and the pipeline is shut down first, within
    /// [`Config::shutdown_timeout`](crate::Config::shutdown_timeout).
    ///
    /// The panic hook that is there is called as before; a hook that is set later replaces this one
    /// unless it calls it. A hook that ends the process calls [`shutdown`](Self::shutdown) itself.
    pub fn record_panics(&self) {
        if let Some(end) = self.at_end() {
            record_panics(&end);
        }
    }

    /// Sends what is left, within [`Config::shutdown_timeout`](crate::Config::shutdown_timeout), and
    /// ends the process with `code`. [`std::process::exit`] alone drops nothing, so it loses what has
    /// not been sent yet.
    ///
    /// ```no_run
    /// # use spandrel_transport_std::{Config, init};
    /// let telemetry = init(Config::development("shop"))?;
    /// // .. the work failed ..
    /// telemetry.exit(2)
    /// # ; Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn exit(&self, code: i32) -> ! {
        let timeout = self.ending().map(|it| it.shutdown_timeout);
        let _ = self.shutdown(timeout.unwrap_or_default());
        process::exit(code)
    }

    fn at_end(&self) -> Option<Arc<dyn AtEnd>> {
        self.ending().map(|it| Arc::clone(it) as _)
    }
}
