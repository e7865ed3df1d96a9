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
    /// The messages of a conversation, the oldest first.
    Timeline = 4,
    ApiKeys = 5,
    Tenants = 6,
    Members = 7,
    Accounts = 8,
    Audit = 9,
    Requests = 10,
    InDoubt = 11,
    Routes = 20,
    Pools = 21,
    Attempts = 22,
    Providers = 23,
}

/// A list of which all is at hand, in the order of names: a page is cut out of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WholeList {
    /// The attempts of a message.
    Attempts,
    /// The accounts at providers.
    Providers,
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

    /// Rows at most.
    #[must_use]
    pub const fn limit(&self) -> u32 {
        self.limit
    }

    /// The page of `rows`, which are all of the list, each with what it is told apart by, in the order of that.
    ///
    /// # Errors
    /// [`PageError::Cursor`] for a cursor of another list.
    pub fn of<T: Serialize>(
        &self,
        list: WholeList,
        rows: impl IntoIterator<Item = (String, T)>,
    ) -> Result<List<T>, PageError> {
        let kind = match list {
            WholeList::Attempts => ListKind::Attempts,
            WholeList::Providers => ListKind::Providers,
        };
        let after: Option<String> = self.key(kind)?;
        let mut page = Filling::new(kind, self.limit);
        for (name, row) in rows {
            let is_shown = after.as_ref().is_none_or(|after| name > *after);
            if is_shown && !page.add(name, row) {
                break;
            }
        }
        Ok(page.list())
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

/// Bytes of a page's rows as JSON: the page ends before the row that goes beyond, unless that is its first.
const PAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A page that is being filled.
pub(crate) struct Filling<K, T> {
    kind: ListKind,
    limit: usize,
    bytes: usize,
    last: Option<K>,
    data: Vec<T>,
    goes_on: bool,
}

impl<K: SortKey, T: Serialize> Filling<K, T> {
    /// An empty one, for at most `limit` rows.
    pub(crate) fn new(kind: ListKind, limit: u32) -> Self {
        let limit = limit as usize;
        Self { kind, limit, bytes: 0, last: None, data: Vec::new(), goes_on: false }
    }

    /// Adds a row; false where there is no room for it, and the page has ended before it.
    pub(crate) fn add(&mut self, key: K, row: T) -> bool {
        let bytes = Size::of(&row);
        let is_full = self.data.len() == self.limit || self.bytes + bytes > PAGE_BYTES_MAX;
        self.goes_on = is_full && !self.data.is_empty();
        if !self.goes_on {
            self.bytes += bytes;
            self.last = Some(key);
            self.data.push(row);
        }
        !self.goes_on
    }

    /// Bytes of its rows as JSON.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The page.
    pub(crate) fn list(self) -> List<T> {
        let last = self.last.filter(|_| self.goes_on);
        List { data: self.data, next_cursor: last.map(|key| encode(self.kind, &key)) }
    }
}

/// Counts what is written.
#[derive(Default)]
struct Size(usize);

impl Size {
    /// Bytes of `value` as JSON.
    fn of(value: &impl Serialize) -> usize {
        let mut size = Self::default();
        // Nothing of ours fails to serialise, and counting does not.
        let _ = serde_json::to_writer(&mut size, value);
        size.0
    }
}

impl std::io::Write for Size {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
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

impl SortKey for String {
    fn to_bytes(&self) -> Vec<u8> {
        self.as_bytes().to_vec()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Self::from_utf8(bytes.to_vec()).ok()
    }
}

/// The cursor of the page that comes after `key`, or begins with it.
pub(crate) fn encode(kind: ListKind, key: &impl SortKey) -> String {
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
    fn a_page_ends_with_its_rows_or_its_bytes_and_goes_on_after_its_last_row() {
        let fill = |limit, sizes: &[usize]| {
            let mut page = Filling::new(ListKind::Messages, limit);
            for (n, size) in (1..).zip(sizes) {
                if !page.add(Position(100 - n), "x".repeat(*size)) {
                    break;
                }
            }
            let list = page.list();
            let next = list.next_cursor.map(|text| decode::<Position>(ListKind::Messages, &text));
            (list.data.len(), next.map(|key| key.expect("a cursor").0))
        };
        let (small, half, large) = (10, PAGE_BYTES_MAX / 2, PAGE_BYTES_MAX + 1);
        assert_eq!(fill(2, &[]), (0, None));
        assert_eq!(fill(2, &[small, small]), (2, None));
        assert_eq!(fill(2, &[small, small, small]), (2, Some(98)));
        assert_eq!(fill(9, &[half, small, half]), (2, Some(98)));
        assert_eq!(fill(9, &[large]), (1, None), "one that is larger alone");
        assert_eq!(fill(9, &[large, small]), (1, Some(99)));
        assert_eq!(fill(9, &[small, large]), (1, Some(99)));
    }

    #[test]
    fn a_whole_list_is_cut_into_pages_by_names() {
        let rows = || ["a", "b", "c"].map(|name| (name.to_owned(), name));
        let cut = |list, cursor: Option<String>| {
            Page::new(Some(2), cursor).and_then(|page| page.of(list, rows()))
        };
        let first = cut(WholeList::Providers, None).expect("a page");
        assert_eq!((first.data, first.next_cursor.is_some()), (vec!["a", "b"], true));
        let last = cut(WholeList::Providers, first.next_cursor.clone()).expect("a page");
        assert_eq!((last.data, last.next_cursor), (vec!["c"], None));
        assert_eq!(cut(WholeList::Attempts, first.next_cursor), Err(PageError::Cursor));
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
