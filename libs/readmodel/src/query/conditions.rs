//! The WHERE of a list: only the conditions that were asked for, so that each combination is planned
//! for what it is.

use std::fmt::Write;

use hatch_domain::ids::TenantId;
use tokio_postgres::types::{ToSql, Type};

/// Conditions and their values, the tenant's always first.
pub(crate) struct Conditions {
    sql: String,
    values: Vec<(Box<dyn ToSql + Sync + Send>, Type)>,
}

impl Conditions {
    /// Rows of `tenant`, which every one of `columns` is to name.
    pub(crate) fn of(tenant: TenantId, columns: &[&str]) -> Self {
        let named: Vec<String> = columns.iter().map(|column| format!("{column} = $1")).collect();
        let sql = format!("WHERE {}\n", named.join(" AND "));
        Self { sql, values: vec![(Box::new(tenant.0), Type::UUID)] }
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

    /// The conditions as SQL, and their values with their types.
    pub(crate) fn parts(&self) -> (&str, Vec<(&(dyn ToSql + Sync), Type)>) {
        let values = self.values.iter().map(|(value, kind)| {
            let value: &(dyn ToSql + Sync) = value.as_ref();
            (value, kind.clone())
        });
        (&self.sql, values.collect())
    }
}
