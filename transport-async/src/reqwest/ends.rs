//! Ends that nothing in the program waits for: signals, panics, and exits.

#[cfg(feature = "signal")]
use core::future::{Future, pending, poll_fn};
use core::sync::atomic::Ordering;
#[cfg(feature = "signal")]
use std::io;
use std::process;
use std::sync::Arc;

#[cfg(feature = "signal")]
use spandrel_core::hosted::diagnostics::{Kind, Severity, report};
use spandrel_core::hosted::unversioned::ends::record_panics;
#[cfg(feature = "signal")]
use spandrel_core::hosted::unversioned::ends::{AtEnd, end_on_signal, listen};

use super::telemetry::Telemetry;

/// Ends that nothing in the program waits for. Without these lines, a signal, a panic that aborts and
/// `std::process::exit` lose what has not been sent yet.
impl Telemetry {
    /// Has a signal end the program only after its spans are sent: SIGTERM, SIGINT (ctrl-c) and SIGHUP;
    /// on Windows ctrl-c, ctrl-break and the end of the session.
    ///
    /// ```no_run
    /// use spandrel_transport_async::{Config, init};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let telemetry = init(Config::development("shop"))?;
    /// telemetry.shutdown_on_signal()?;
    /// // .. the program's work, for hours ..
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// The first signal shuts the pipeline down, within
    /// [`Config::shutdown_timeout`](super::Config::shutdown_timeout), and then ends the process as it
    /// would have without a handler, so that a shell or a service manager sees which signal it was.
    /// A second signal ends the process at once. Spans that are still open are not sent. A thread hears the
    /// signal, so a runtime that stands still does not keep the process from its end, nor the spans from
    /// being sent.
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
    /// use spandrel_transport_async::{Config, init};
    /// use std::time::Duration;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let serve = std::future::pending::<()>();
    /// let telemetry = init(Config::development("shop"))?;
    /// tokio::select! {
    ///     () = serve => {}
    ///     () = telemetry.until_signal() => {}
    /// }
    /// println!("{}", telemetry.shutdown(Duration::from_secs(5)).await);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Signals are heard from the call on, and the future needs no runtime; a server that shuts down
    /// gracefully takes it as it is. At the signal the sender begins to send what has ended, so that less
    /// is lost if the program does not end in time. The future is ready at once if the signal has come
    /// before. Otherwise it is as with [`shutdown_on_signal`](Self::shutdown_on_signal): a second signal
    /// ends the process at once, and so does the first one once the handle is dropped. With tracing
    /// disabled it waits all the same.
    ///
    /// If the system refuses a handler, which is reported as an error, the future waits without an end,
    /// and signals end the process as they do without it.
    #[cfg(feature = "signal")]
    #[cfg_attr(docsrs, doc(cfg(feature = "signal")))]
    pub fn until_signal(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        let arrival = listen(self.at_end().as_ref());
        if let Err(error) = &arrival {
            report(
                Kind::Misuse,
                Severity::Error,
                format_args!("cannot listen for signals, so they end the program at once: {error}"),
            );
        }
        async move {
            match arrival {
                Ok(arrival) => poll_fn(|context| arrival.poll(context)).await,
                Err(_) => pending().await,
            }
        }
    }

    /// Records panics from now on: as an event `exception` on the span that is current where the panic
    /// happens, with the message and the place, and as its status.
    ///
    /// ```
    /// use spandrel_transport_async::{Config, init};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let telemetry = init(Config { enabled: false, ..Config::default() })?;
    /// telemetry.record_panics();
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// A panic that unwinds ends the spans that it passes, and they are sent as all others. If it drops
    /// this handle, as a panic in `main` does, what is left is sent then, before the unwinding goes on;
    /// a handle in a `static` is never dropped. A panic that aborts the process, as with
    /// `panic = "abort"` or in a destructor while another panic unwinds, leaves all open spans unsent.
    /// A span `panic` below the current one then tells of it, and the pipeline is shut down first. Both
    /// take [`Config::shutdown_timeout`](super::Config::shutdown_timeout) at most.
    ///
    /// The panic hook that is there is called as before; a hook that is set later replaces this one
    /// unless it calls it. A hook that ends the process calls [`shutdown`](Self::shutdown) itself.
    pub fn record_panics(&self) {
        if let Some(ending) = self.ending() {
            ending.records_panics.store(true, Ordering::Relaxed);
            record_panics(&(Arc::clone(ending) as _));
        }
    }

    /// Sends what is left, within [`Config::shutdown_timeout`](super::Config::shutdown_timeout), and
    /// ends the process with `code`. [`std::process::exit`] alone drops nothing, so it loses what has
    /// not been sent yet.
    ///
    /// ```no_run
    /// # use spandrel_transport_async::{Config, init};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let telemetry = init(Config::development("shop"))?;
    /// // .. the work failed ..
    /// telemetry.exit(2).await
    /// # }
    /// ```
    pub async fn exit(&self, code: i32) -> ! {
        let timeout = self.ending().map(|it| it.shutdown_timeout);
        let _ = self.shutdown(timeout.unwrap_or_default()).await;
        process::exit(code)
    }

    #[cfg(feature = "signal")]
    fn at_end(&self) -> Option<Arc<dyn AtEnd>> {
        self.ending().map(|it| Arc::clone(it) as _)
    }
}
