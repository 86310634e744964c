//! Nothing: only the libraries that this crate pulls in are wanted.
#![no_std]
