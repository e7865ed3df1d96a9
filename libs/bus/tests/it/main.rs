//! The bus against a real nats-server. Every test has a prefix, and so a stream, of its own.

mod access;
mod follow;
mod foreign;
mod publish;
mod restart;
mod support;
mod work_queue;
