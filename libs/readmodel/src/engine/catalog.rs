//! Copies of a projection's tables, made from what the database says of the live ones, so that
//! whatever a migration or an operator did to those is in the copy.

use tokio_postgres::GenericClient;

use super::tables::{SchemaSlot, Tables};
use crate::Error;

/// `LIKE` knows nothing of storage parameters, and gives keys and indexes new names, which migrations
/// would not find again: those follow by themselves.
const TABLES: &str = "
    SELECT format('CREATE %s TABLE %I.%I (LIKE %I.%I INCLUDING ALL EXCLUDING INDEXES)%s',
                  $3::text, $2::text, relname, $1::text, relname,
                  ' WITH (' || array_to_string(reloptions, ', ') || ')')
      FROM pg_class
     WHERE relnamespace = to_regnamespace($1) AND relkind = 'r'";

/// Primary keys and what else must be unique.
const KEYS: &str = "
    SELECT format('ALTER TABLE %I.%I ADD CONSTRAINT %I %s', $2::text, t.relname, c.conname,
                  pg_get_constraintdef(c.oid))
      FROM pg_constraint c
      JOIN pg_class t ON t.oid = c.conrelid
     WHERE t.relnamespace = to_regnamespace($1) AND c.contype IN ('p', 'u', 'x')";

/// Every other index.
const INDEXES: &str = "
    SELECT replace(pg_get_indexdef(i.indexrelid), format(' ON %I.', $1::text),
                   format(' ON %I.', $2::text))
      FROM pg_index i
      JOIN pg_class t ON t.oid = i.indrelid
     WHERE t.relnamespace = to_regnamespace($1)
       AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = i.indexrelid)";

const GRANTS: &str = "
    SELECT format('GRANT %s ON %I.%I TO %s', privilege_type, $2::text, relname,
                  CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END)
      FROM pg_class, aclexplode(relacl)
     WHERE relnamespace = to_regnamespace($1) AND relkind = 'r' AND grantee <> relowner
     UNION ALL
    SELECT format('GRANT %s ON SCHEMA %I TO %s', privilege_type, $2::text,
                  CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END)
      FROM pg_namespace, aclexplode(nspacl)
     WHERE oid = to_regnamespace($1) AND grantee <> nspowner";

/// What makes every view that reads the tables anew, of whatever has the tables' names by then. The
/// views keep their columns, owners and grants, and statements that are prepared go on working.
const VIEWS: &str = "
    SELECT DISTINCT format('CREATE OR REPLACE VIEW %s%s AS %s', v.oid::regclass,
                           ' WITH (' || array_to_string(v.reloptions, ', ') || ')',
                           pg_get_viewdef(v.oid))
      FROM pg_depend d
      JOIN pg_rewrite r ON r.oid = d.objid
      JOIN pg_class v ON v.oid = r.ev_class
      JOIN pg_class t ON t.oid = d.refobjid
     WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass
       AND t.relnamespace = to_regnamespace($1) AND v.relkind = 'v'
     ORDER BY 1";

const NAMES: &str = "
    SELECT relname::text
      FROM pg_class
     WHERE relnamespace = to_regnamespace($1) AND relkind = 'r'
     ORDER BY 1";

/// Whether a copy has to survive a crash of PostgreSQL.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Durability {
    Logged,
    /// Costs no write-ahead log.
    Unlogged,
}

/// Makes empty copies of the live tables as `copy`, with their keys and grants, without other
/// indexes.
pub(crate) async fn create(
    client: &impl GenericClient,
    copy: Tables,
    durability: Durability,
) -> Result<(), Error> {
    let (live, schema) = (copy.at(SchemaSlot::Live).schema(), copy.schema());
    let kind = match durability {
        Durability::Logged => "",
        Durability::Unlogged => "UNLOGGED",
    };
    client.batch_execute(&format!("CREATE SCHEMA {schema}")).await?;
    let mut statements = column(client.query(TABLES, &[&live, &schema, &kind]).await?)?;
    for sql in [KEYS, GRANTS] {
        statements.extend(column(client.query(sql, &[&live, &schema]).await?)?);
    }
    for statement in statements {
        client.batch_execute(&statement).await?;
    }
    Ok(())
}

/// Gives `copy` the indexes of the live tables, and the planner their statistics.
pub(crate) async fn create_indexes(client: &impl GenericClient, copy: Tables) -> Result<(), Error> {
    let (live, schema) = (copy.at(SchemaSlot::Live).schema(), copy.schema());
    for statement in column(client.query(INDEXES, &[&live, &schema]).await?)? {
        client.batch_execute(&statement).await?;
    }
    analyze(client, copy).await
}

/// Gives the planner statistics of `tables`.
pub(crate) async fn analyze(client: &impl GenericClient, tables: Tables) -> Result<(), Error> {
    for name in names(client, tables).await? {
        client.batch_execute(&format!("ANALYZE {}.{name}", tables.schema())).await?;
    }
    Ok(())
}

/// Drops `copy`, if it is there. No CASCADE beyond the tables: what somebody has built upon them
/// stays, and the error names it.
pub(crate) async fn drop(client: &impl GenericClient, copy: Tables) -> Result<(), Error> {
    let schema = copy.schema();
    for name in names(client, copy).await? {
        client.batch_execute(&format!("DROP TABLE {schema}.{name}")).await?;
    }
    Ok(client.batch_execute(&format!("DROP SCHEMA IF EXISTS {schema}")).await?)
}

/// Makes `copy` the live tables, and what they were [`SchemaSlot::Replaced`].
///
/// A schema's new name locks no table, and PostgreSQL plans every prepared statement anew after it. So
/// whoever names the live tables finds the new ones from the commit on. Views know their tables by
/// identity and are made anew, for which each waits for its readers.
pub(crate) async fn take_over(client: &impl GenericClient, copy: Tables) -> Result<(), Error> {
    let (live, replaced) =
        (copy.at(SchemaSlot::Live).schema(), copy.at(SchemaSlot::Replaced).schema());
    // Without a search path every name is written out.
    client.batch_execute("SET LOCAL search_path = ''").await?;
    let views = column(client.query(VIEWS, &[&live]).await?)?;
    let rename = format!(
        "ALTER SCHEMA {live} RENAME TO {replaced}; ALTER SCHEMA {} RENAME TO {live}",
        copy.schema()
    );
    client.batch_execute(&rename).await?;
    for view in views {
        client.batch_execute(&view).await?;
    }
    Ok(())
}

/// The tables' names, sorted.
pub(crate) async fn names(
    client: &impl GenericClient,
    tables: Tables,
) -> Result<Vec<String>, Error> {
    column(client.query(NAMES, &[&tables.schema()]).await?)
}

fn column(rows: Vec<tokio_postgres::Row>) -> Result<Vec<String>, Error> {
    rows.iter().map(|row| row.try_get(0).map_err(Error::from)).collect()
}
