//! What the examples and the tests share: an in-process collector and a waterfall printer.
