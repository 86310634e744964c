//! Long and wide runs on the virtual clock: the loss table, a fleet, a year, and every short story.

mod explore;
mod fleet;
mod loss_table;
mod year;
