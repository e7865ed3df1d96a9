//! The WHERE of a list: only the conditions that were asked for, so that each combination is planned
//! for what it is.

use std::fmt::Write;

use hatch_domain::ids::TenantId;
use tokio_postgres::types::{ToSql, Type};

/// Conditions and their values, the tenant's always first, except where tenants themselves are listed.
pub(crate) struct Conditions {
    sql: String,
    values: Vec<(Box<dyn ToSql + Sync + Send>, Type)>,
}

impl Conditions {
    /// Rows of `tenant`, which `column` names.
    pub(crate) fn of(tenant: TenantId, column: &str) -> Self {
        Self {
            sql: format!("WHERE {column} = $1\n"),
            values: vec![(Box::new(tenant.0), Type::UUID)],
        }
    }

    /// Rows of all tenants, for lists of what is the installation's: those for which `condition` holds, with `value` behind
    /// it.
    pub(crate) fn of_all(
        condition: &str,
        value: impl ToSql + Sync + Send + 'static,
        kind: Type,
    ) -> Self {
        Self { sql: format!("WHERE {condition}$1\n"), values: vec![(Box::new(value), kind)] }
    }

    /// And `before`, `value`, `after`, written together.
    pub(crate) fn and(
        mut self,
        before: &str,
        after: &str,
        value: impl ToSql + Sync + Send + 'static,
        kind: Type,
    ) -> Self {
        self.values.push((Box::new(value), kind));
        writeln!(self.sql, "  AND {before}${}{after}", self.values.len())
            .expect("a String takes all that is written to it");
        self
    }

    /// And what needs no value.
    pub(crate) fn and_that(mut self, condition: &str) -> Self {
        writeln!(self.sql, "  AND {condition}").expect("a String takes all that is written to it");
        self
    }

    /// The conditions.
    pub(crate) fn sql(&self) -> &str {
        &self.sql
    }

    /// Their values, with their types.
    pub(crate) fn values(&self) -> Vec<(&(dyn ToSql + Sync), Type)> {
        let values = self.values.iter().map(|(value, kind)| {
            let value: &(dyn ToSql + Sync) = value.as_ref();
            (value, kind.clone())
        });
        values.collect()
    }
}
