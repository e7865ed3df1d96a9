//! Servers are believed as far as the settings say, and nobody on the way reads or changes anything.

mod certificates;
mod cluster;
mod listener;
mod postgres;
mod scenario;
