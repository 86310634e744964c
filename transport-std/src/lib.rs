//! The blocking OTLP/HTTP transport of Spandrel.
