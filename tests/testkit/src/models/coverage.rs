//! What happened to an exporter in a run ("sometimes" properties).

use spandrel_core::response::DropReason;

macro_rules! coverage {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Counts of interesting things; a run without them proves little.
        #[derive(Clone, Debug, Default)]
        pub struct Coverage {
            $($(#[$doc])* pub $name: u32,)*
            /// Spans that may have arrived twice.
            pub duplicates: u64,
            /// Spans dropped, by reason.
            pub dropped: [u64; DropReason::COUNT],
        }

        impl Coverage {
            /// Adds another run.
            pub fn add(&mut self, other: &Self) {
                $(self.$name += other.$name;)*
                self.duplicates += other.duplicates;
                for (sum, count) in self.dropped.iter_mut().zip(other.dropped) {
                    *sum += count;
                }
            }

            /// The properties that never fired, but for the reasons of loss.
            #[must_use]
            pub fn missing(&self) -> Vec<&'static str> {
                let counts = [$((stringify!($name), u64::from(self.$name)),)*];
                counts
                    .into_iter()
                    .chain([("duplicates", self.duplicates)])
                    .filter_map(|(name, count)| (count == 0).then_some(name))
                    .collect()
            }
        }
    };
}

coverage! {
    /// The circuit opened.
    opened,
    /// An export ran out of time, and the circuit opened.
    ran_out,
    /// The circuit closed again.
    recovered,
    /// A probe failed.
    probe_failed,
    /// A probe was never reported.
    probe_lost,
    /// A batch arrived after more than one attempt.
    retried,
    /// A `Retry-After` was obeyed.
    paused,
    /// A batch was sent while a suspect was set aside.
    parked,
    /// A 413 split a batch.
    split,
    /// A request on a stale connection was repeated at once.
    stale_repeated,
    /// A collector rejected some spans of a batch.
    partial,
    /// A success could not be understood.
    response_invalid,
    /// A shutdown forced an attempt through an open circuit.
    forced,
    /// An answer came too late and changed nothing.
    late_ignored,
    /// A request was never answered for.
    lost,
    /// A request was given back.
    cancelled,
    /// A span was evicted.
    evicted,
    /// A loss for lack of room began.
    loss_started,
    /// It ended.
    loss_ended,
    /// The clock went back.
    clock_back,
}

impl Coverage {
    /// The reasons for which no span was lost.
    #[must_use]
    pub fn missing_reasons(&self) -> Vec<&'static str> {
        DropReason::ALL
            .into_iter()
            .filter(|reason| self.dropped[reason.index()] == 0)
            .map(DropReason::as_str)
            .collect()
    }
}
