//! Models, generators and servers that the tests of Spandrel share.

pub mod models;
pub mod sim;
