//! Random lives of an exporter.

use core::time::Duration;

use spandrel_core::exporter::FlushReport;

use super::{Answer, Reply, Setup, Sim};
use crate::models::back;

/// Something that happens to an exporter.
#[derive(Clone, Copy, Debug)]
pub enum Action {
    /// So many spans end, with names of so many bytes.
    Push(u8, u8),
    /// Time passes, in milliseconds.
    Run(u32),
    /// The clock jumps, in milliseconds, without a timer firing on the way.
    Jump(u32),
    /// The clock goes back, in milliseconds.
    Back(u32),
    /// A flush with a deadline in milliseconds.
    Flush(u16),
}

/// A life.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// How the exporter is made.
    pub setup: Setup,
    /// What the collector does, and after how many milliseconds.
    pub replies: Vec<(Reply, u16)>,
    /// What it does after that.
    pub then: Reply,
    /// What happens.
    pub actions: Vec<Action>,
    /// How long the shutdown at the end may take, in milliseconds.
    pub shutdown: u16,
}

impl Schedule {
    /// The world at its beginning.
    #[must_use]
    pub fn start(&self) -> Sim {
        let mut replies = self.replies.clone().into_iter();
        let then = self.then;
        Sim::new(self.setup, move |_: &super::Request<'_>| {
            let (reply, millis) = replies.next().unwrap_or((then, 0));
            Answer {
                reply,
                after: Duration::from_millis(millis.into()),
            }
        })
    }

    /// Everything but the shutdown.
    #[must_use]
    pub fn live(&self) -> Sim {
        let mut sim = self.start();
        for &action in &self.actions {
            sim.act(action);
        }
        sim
    }

    /// The whole life; the ledger must be closed after it.
    #[must_use]
    pub fn run(&self) -> (Sim, FlushReport) {
        let mut sim = self.live();
        let report = sim.shutdown(Duration::from_millis(self.shutdown.into()));
        assert!(sim.ledger().is_closed(), "I1: {}", sim.ledger());
        assert_eq!(sim.exporter.poll_timeout(), None, "I45");
        (sim, report)
    }
}

impl Sim {
    /// Does one thing.
    pub fn act(&mut self, action: Action) {
        match action {
            Action::Push(count, padding) => {
                for _ in 0..count {
                    let _ = self.push_sized(padding);
                }
            }
            Action::Run(millis) => self.run_for(Duration::from_millis(millis.into())),
            Action::Jump(millis) => {
                self.set_clock(
                    self.now
                        .saturating_add(Duration::from_millis(millis.into())),
                );
                self.poll();
            }
            Action::Back(millis) => {
                self.set_clock(back(self.now, millis.into()));
                self.poll();
            }
            Action::Flush(millis) => {
                self.force_flush(Duration::from_millis(millis.into()));
                self.poll();
            }
        }
    }
}
