//! The test tools themselves, used by a client that is not ours: a test that relies on a tool
//! which does not do what it says proves nothing.

mod conformance;
mod fault_answers;
mod fault_server;
mod network;
mod support;
mod tls;
