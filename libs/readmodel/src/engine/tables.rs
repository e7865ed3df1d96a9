//! The PostgreSQL schemas of a projection: the live tables, and copies of them.

use std::borrow::Cow;

use super::definition::Definition;

/// Which of a projection's tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SchemaSlot {
    /// The tables that queries read and the projector writes. Migrations change these.
    Live,
    /// The tables that a rebuild fills. They become the live tables.
    Building,
    /// The tables that were live until a rebuild took over.
    Replaced,
    /// The tables that a verification compares with the live ones.
    Scratch,
}

impl SchemaSlot {
    /// Those that only a rebuild or a verification makes, and leaves behind when it is killed.
    pub(crate) const PASSING: [Self; 3] = [Self::Building, Self::Replaced, Self::Scratch];
}

/// One of the PostgreSQL schemas that hold the tables of a projection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tables {
    definition: &'static Definition,
    place: SchemaSlot,
}

impl Tables {
    /// What queries read and the projector writes.
    pub(crate) const fn live(definition: &'static Definition) -> Self {
        Self { definition, place: SchemaSlot::Live }
    }

    /// The same projection's tables at `place`.
    pub(crate) const fn at(self, place: SchemaSlot) -> Self {
        Self { place, ..self }
    }

    /// Whether these are to become the live tables.
    pub(crate) fn are_building(self) -> bool {
        self.place == SchemaSlot::Building
    }

    /// The schema's name.
    pub(crate) fn schema(self) -> Cow<'static, str> {
        let copy = match self.place {
            SchemaSlot::Live => return Cow::Borrowed(self.definition.tables),
            SchemaSlot::Building => "building",
            SchemaSlot::Replaced => "replaced",
            SchemaSlot::Scratch => "scratch",
        };
        Cow::Owned(format!("rm_{}_{copy}", self.definition.name))
    }

    /// `statement`, which names the live tables, for these.
    pub(crate) fn sql<'s>(self, statement: &'s str) -> Cow<'s, str> {
        match self.place {
            SchemaSlot::Live => Cow::Borrowed(statement),
            _ => Cow::Owned(statement.replace(self.definition.tables, &self.schema())),
        }
    }
}
