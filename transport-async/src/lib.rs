//! The async OTLP/HTTP transports of Spandrel.
