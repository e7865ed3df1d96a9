//! What a role says of itself.

use std::sync::Arc;

use axum::Router;
use futures::future::BoxFuture;
use hatch_api::health::Dependency;
use hatch_api::{Drain, Requests};

use super::process::{Follows, Process, Workers};
use crate::telemetry::exposition::Metric;

/// A role, as `roles.rs` lists it.
pub(crate) struct RoleDefinition {
    /// On the command line, in logs, and among the processes of `up --split`.
    pub(crate) name: &'static str,
    /// What it does, in a few words.
    pub(crate) about: &'static str,
    /// Which requests it answers, if any come to it.
    pub(crate) requests: Option<Requests>,
    /// How it follows the log.
    pub(crate) follows: Follows,
    /// Makes it for a process, which may run it or not.
    pub(crate) make: fn(&Process) -> anyhow::Result<Box<dyn RoleInstance>>,
}

/// A role in one process.
pub(crate) trait RoleInstance: Send + Sync {
    /// Starts its work, which goes on until `process.workers` is canceled.
    ///
    /// # Errors
    /// A bad setting.
    fn start(&self, process: &Process, workers: &mut Workers) -> anyhow::Result<()>;

    /// What it answers by HTTP.
    ///
    /// # Errors
    /// A bad setting.
    fn routes(&self, process: &Process, drain: &Drain) -> anyhow::Result<Router> {
        let _ = (process, drain);
        Ok(Router::new())
    }

    /// What it cannot work without, for `/ready`.
    ///
    /// # Errors
    /// A bad setting.
    fn ready(&self, process: &Process) -> anyhow::Result<Vec<Dependency>> {
        let _ = process;
        Ok(Vec::new())
    }

    /// How those are that it can do without, later, and whose number changes: each by its name, for `/ready`.
    fn ready_each(&self, process: &Process) -> Vec<(String, Result<(), String>)> {
        let _ = process;
        Vec::new()
    }

    /// What it counts. Where the process does not run it, its metrics are named all the same.
    fn metrics<'a>(&'a self, process: &'a Process) -> BoxFuture<'a, Vec<Metric>> {
        let _ = process;
        Box::pin(std::future::ready(Vec::new()))
    }
}

/// Every role in a process by its name, whether or not it runs there.
pub(crate) type Instances = Arc<[(&'static str, Box<dyn RoleInstance>)]>;
