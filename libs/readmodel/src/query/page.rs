//! One page of a list: how many, and from where.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hatch_eventstore::Position;
use serde::Serialize;
use utoipa::ToSchema;

/// Rows of a page at most.
pub const LIMIT_MAX: u32 = 200;

/// Rows of a page when nothing is said.
pub const LIMIT_DEFAULT: u32 = 50;

/// Which list a cursor belongs to. One of another list is refused, since it would mean another place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ListKind {
    Messages = 1,
    Conversations = 2,
    Webhooks = 3,
}

/// Why a page cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    /// The limit is out of range.
    #[error("expected a limit from 1 to {LIMIT_MAX}")]
    Limit,
    /// The cursor is none that this list gave out.
    #[error("expected a cursor that this list returned as next_cursor")]
    Cursor,
}

/// Which page of a list is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    pub(crate) limit: u32,
    pub(crate) cursor: Option<String>,
}

impl Default for Page {
    fn default() -> Self {
        Self { limit: LIMIT_DEFAULT, cursor: None }
    }
}

impl Page {
    /// `limit` rows (from 1 to [`LIMIT_MAX`], [`LIMIT_DEFAULT`] if none) after `cursor`, which a
    /// former page gave; the newest if none.
    ///
    /// # Errors
    /// [`PageError::Limit`]. The list that the cursor is for judges the cursor.
    pub fn new(limit: Option<u32>, cursor: Option<String>) -> Result<Self, PageError> {
        let limit = limit.unwrap_or(LIMIT_DEFAULT);
        if (1..=LIMIT_MAX).contains(&limit) {
            Ok(Self { limit, cursor })
        } else {
            Err(PageError::Limit)
        }
    }

    /// The sort key that the page comes after; beyond the newest for the first page.
    pub(crate) fn before(&self, kind: ListKind) -> Result<Position, PageError> {
        Ok(self.key(kind)?.unwrap_or(Position(i64::MAX)))
    }

    /// The sort key that the page comes after; none for the first page.
    pub(crate) fn key<K: SortKey>(&self, kind: ListKind) -> Result<Option<K>, PageError> {
        self.cursor.as_deref().map(|text| decode(kind, text)).transpose()
    }
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct List<T> {
    /// The rows, newest first.
    pub data: Vec<T>,
    /// Where the next page begins; none when this is the last.
    pub next_cursor: Option<String>,
}

impl<T> List<T> {
    /// A page of at most `limit` of `rows`, which has one more if the list goes on.
    pub(crate) fn of(kind: ListKind, limit: u32, mut rows: Vec<(impl SortKey, T)>) -> Self {
        let limit = limit as usize;
        let goes_on = rows.len() > limit;
        rows.truncate(limit);
        let next_cursor = rows.last().filter(|_| goes_on).map(|(key, _)| encode(kind, key));
        Self { data: rows.into_iter().map(|(_, row)| row).collect(), next_cursor }
    }
}

/// What a list is sorted by, as bytes of a cursor.
pub(crate) trait SortKey: Sized {
    /// The bytes.
    fn to_bytes(&self) -> Vec<u8>;
    /// The key of these bytes, if they are one's.
    fn from_bytes(bytes: &[u8]) -> Option<Self>;
}

impl SortKey for Position {
    fn to_bytes(&self) -> Vec<u8> {
        self.0.to_be_bytes().to_vec()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let key = i64::from_be_bytes(bytes.try_into().ok()?);
        (key > 0).then_some(Self(key))
    }
}

fn encode(kind: ListKind, key: &impl SortKey) -> String {
    let mut bytes = vec![kind as u8];
    bytes.extend(key.to_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

fn decode<K: SortKey>(kind: ListKind, text: &str) -> Result<K, PageError> {
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| PageError::Cursor)?;
    let key = match bytes.split_first() {
        Some((&first, key)) if first == kind as u8 => K::from_bytes(key),
        _ => None,
    };
    key.ok_or(PageError::Cursor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_leads_back_to_its_place_in_its_own_list_only() {
        let cursor = encode(ListKind::Messages, &Position(42));
        assert_eq!(decode(ListKind::Messages, &cursor), Ok(Position(42)));
        assert_eq!(decode(ListKind::Conversations, &cursor), Err::<Position, _>(PageError::Cursor));
    }

    #[test]
    fn garbage_is_no_cursor() {
        let zero = encode(ListKind::Messages, &Position(0));
        let negative = encode(ListKind::Messages, &Position(-1));
        for text in ["", "x", "AQ", "%%%", "AQAAAAAAAAAAAA", "' OR 1=1 --", "é", &zero, &negative]
        {
            let decoded = decode::<Position>(ListKind::Messages, text);
            assert_eq!(decoded, Err(PageError::Cursor), "{text:?}");
        }
    }

    #[test]
    fn the_limit_has_a_range_and_a_default() {
        assert_eq!(Page::new(None, None).map(|page| page.limit), Ok(50));
        for limit in [1, 200] {
            assert_eq!(Page::new(Some(limit), None).map(|page| page.limit), Ok(limit));
        }
        for limit in [0, 201, u32::MAX] {
            assert_eq!(Page::new(Some(limit), None), Err(PageError::Limit));
        }
    }
}
