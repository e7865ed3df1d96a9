//! A table of a projection, declared once: its name, and for each column its name, type and value. The
//! statements that write it follow from that. One statement writes a table, whatever the number of rows.

use std::sync::OnceLock;

use tokio_postgres::types::ToSql;

use super::definition::WriteContext;
use crate::Error;

/// Declares tables as statics: `key` columns name a row, `fixed` ones are written when it is inserted and never
/// after, `moving` ones whenever it is written.
macro_rules! table {
    ($($(#[$attribute:meta])* $visibility:vis static $name:ident: $row_type:ty = $table:literal, $row:ident => {
        $($role:ident $column:ident: $kind:literal = $value:expr),+ $(,)?
    })+) => {
        $($(#[$attribute])* $visibility static $name: $crate::engine::Table<$row_type> =
            $crate::engine::Table {
                name: $table,
                columns: &[$($crate::engine::Column {
                    role: $crate::engine::table!(@$role),
                    name: stringify!($column),
                    kind: $kind,
                    values: |rows| {
                        let values = rows.iter().map(|&$row| {
                            // A value may be the same in all rows.
                            let _ = $row;
                            $value
                        });
                        Box::new(values.collect::<Vec<_>>())
                    },
                }),+],
                statements: [const { std::sync::OnceLock::new() }; 4],
            };)+
    };
    (@key) => { $crate::engine::Role::Key };
    (@fixed) => { $crate::engine::Role::Fixed };
    (@moving) => { $crate::engine::Role::Moving };
}

pub(crate) use table;

/// A table whose rows are made of values of type `Row`.
pub(crate) struct Table<Row: 'static> {
    /// Its name, with the schema of the live tables.
    pub(crate) name: &'static str,
    pub(crate) columns: &'static [Column<Row>],
    /// One for each [`Verb`], made when it is first wanted.
    pub(crate) statements: [OnceLock<String>; 4],
}

/// One column of a table.
pub(crate) struct Column<Row: 'static> {
    pub(crate) role: Role,
    pub(crate) name: &'static str,
    /// Its type.
    pub(crate) kind: &'static str,
    /// Its values in several rows, as one array.
    pub(crate) values: for<'r> fn(&[&'r Row]) -> Values<'r>,
}

/// A column of several rows.
type Values<'r> = Box<dyn ToSql + Sync + Send + 'r>;

/// When a column is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// It names the row, maybe with others.
    Key,
    /// When the row is inserted.
    Fixed,
    /// Whenever the row is written.
    Moving,
}

/// What is done to rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    Insert,
    InsertMissing,
    Update,
    Upsert,
}

impl<Row: Sync> Table<Row> {
    /// Inserts `rows`, none of which exists.
    ///
    /// # Errors
    /// PostgreSQL's, as all of these.
    pub(crate) async fn insert(&self, into: WriteContext<'_>, rows: &[&Row]) -> Result<(), Error> {
        self.write(into, Verb::Insert, rows).await.map(drop)
    }

    /// Inserts those of `rows` that do not exist. Of two with the same key the first is.
    pub(crate) async fn insert_missing(
        &self,
        into: WriteContext<'_>,
        rows: &[&Row],
    ) -> Result<(), Error> {
        self.write(into, Verb::InsertMissing, rows).await.map(drop)
    }

    /// Updates those of `rows` that exist; returns how many that were.
    pub(crate) async fn update(&self, into: WriteContext<'_>, rows: &[&Row]) -> Result<u64, Error> {
        self.write(into, Verb::Update, rows).await
    }

    /// Inserts or updates `rows`, which have different keys. Costs more than an insert or an update: each row is
    /// looked for and locked.
    pub(crate) async fn upsert(&self, into: WriteContext<'_>, rows: &[&Row]) -> Result<(), Error> {
        self.write(into, Verb::Upsert, rows).await.map(drop)
    }

    /// Nothing is asked for no rows.
    async fn write(&self, into: WriteContext<'_>, verb: Verb, rows: &[&Row]) -> Result<u64, Error> {
        if rows.is_empty() {
            return Ok(0);
        }
        let statement = into.tables.sql(self.statement(verb));
        let statement = into.transaction.prepare_cached(&statement).await?;
        let values: Vec<Values<'_>> =
            self.written(verb).map(|column| (column.values)(rows)).collect();
        let values: Vec<&(dyn ToSql + Sync)> =
            values.iter().map(|column| &**column as &(dyn ToSql + Sync)).collect();
        Ok(into.transaction.execute(&statement, &values).await?)
    }
}

impl<Row> Table<Row> {
    fn statement(&self, verb: Verb) -> &str {
        self.statements[verb as usize].get_or_init(|| self.sql(verb))
    }

    /// The columns that `verb` has values of, in the order of its parameters.
    fn written(&self, verb: Verb) -> impl Iterator<Item = &'static Column<Row>> {
        let all = verb != Verb::Update;
        self.columns.iter().filter(move |column| all || column.role != Role::Fixed)
    }

    fn sql(&self, verb: Verb) -> String {
        let name = self.name;
        let parameter = |(n, column): (usize, &Column<Row>)| {
            let (name, kind) = (column.name, column.kind);
            format!("unnest(${}::{kind}[]) AS {name}", n + 1)
        };
        let rows = list(self.written(verb).enumerate().map(parameter), ", ");
        let columns = list(self.written(verb).map(|column| column.name.to_owned()), ", ");
        let of = |role| self.columns.iter().filter(move |column| column.role == role);
        let keys = list(of(Role::Key).map(|column| column.name.to_owned()), ", ");
        let set = |from: &str| {
            list(of(Role::Moving).map(|column| format!("{0} = {from}.{0}", column.name)), ", ")
        };
        let insert = format!("INSERT INTO {name} ({columns}) SELECT {rows}");
        match verb {
            Verb::Insert => insert,
            Verb::InsertMissing => format!("{insert} ON CONFLICT DO NOTHING"),
            Verb::Update => {
                let same = |column: &Column<Row>| format!("t.{0} = u.{0}", column.name);
                let same = list(of(Role::Key).map(same), " AND ");
                let set = set("u");
                format!("UPDATE {name} AS t SET {set} FROM (SELECT {rows}) AS u WHERE {same}")
            }
            Verb::Upsert => {
                format!("{insert} ON CONFLICT ({keys}) DO UPDATE SET {}", set("EXCLUDED"))
            }
        }
    }
}

fn list(parts: impl Iterator<Item = String>, between: &str) -> String {
    parts.collect::<Vec<_>>().join(between)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Score {
        player: i32,
        name: &'static str,
        points: i64,
    }

    table! {
        /// For these tests.
        static SCORES: Score = "rm_games.scores", score => {
            key player: "integer" = score.player,
            fixed name: "text" = score.name,
            moving points: "bigint" = score.points,
        }
    }

    #[test]
    fn statements_follow_from_the_columns() {
        let insert = "INSERT INTO rm_games.scores (player, name, points) \
            SELECT unnest($1::integer[]) AS player, unnest($2::text[]) AS name, \
            unnest($3::bigint[]) AS points";
        assert_eq!(SCORES.statement(Verb::Insert), insert);
        let missing = format!("{insert} ON CONFLICT DO NOTHING");
        assert_eq!(SCORES.statement(Verb::InsertMissing), missing);
        let upsert =
            format!("{insert} ON CONFLICT (player) DO UPDATE SET points = EXCLUDED.points");
        assert_eq!(SCORES.statement(Verb::Upsert), upsert);
        let update = "UPDATE rm_games.scores AS t SET points = u.points FROM (SELECT \
            unnest($1::integer[]) AS player, unnest($2::bigint[]) AS points) AS u \
            WHERE t.player = u.player";
        assert_eq!(SCORES.statement(Verb::Update), update);
    }

    #[test]
    fn an_update_sends_no_value_of_a_fixed_column() {
        assert_eq!(SCORES.written(Verb::Update).count(), 2);
        assert_eq!(SCORES.written(Verb::Upsert).count(), 3);
    }
}
