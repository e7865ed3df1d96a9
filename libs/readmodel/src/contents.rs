//! Contents that are kept beside the log, each by its SHA-256.

use std::fmt;
use std::sync::Arc;

use hatch_domain::ids::TenantId;
use hatch_eventstore::{Position, Unanswered};
use sha2::{Digest as _, Sha256};
use tokio::sync::OwnedSemaphorePermit;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::query::READ_TIMEOUT;
use crate::{Error, QueryError, ReadModel};

/// Bytes of a content from which on it is worth compressing.
const COMPRESSED_BYTES_MIN: usize = 256;

/// How hard zstd tries: its own default.
const LEVEL: i32 = 3;

/// Bytes of contents that one statement brings; a content that is larger alone has one of its own.
const STATEMENT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// In the order of their digests, so that two who bring the same do not wait for each other in a circle.
const KEEP: &str = "
    INSERT INTO hatch.contents (tenant_id, digest, bytes, encoding, content)
    SELECT $1::uuid, * FROM unnest($2::bytea[], $3::bigint[], $4::text[], $5::bytea[])
        ON CONFLICT (tenant_id, digest) DO NOTHING";

const CONTENT: &str = "
    SELECT bytes, encoding, content FROM hatch.contents WHERE tenant_id = $1 AND digest = $2";

const ATTACHMENT: &str =
    "SELECT position, place FROM rm.attachments WHERE tenant_id = $1 AND id = $2";

/// How the bytes of a content are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// As they are.
    Identity,
    /// Compressed by Zstandard (RFC 8878).
    Zstd,
}

impl Encoding {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Zstd => "zstd",
        }
    }

    /// The `bytes` bytes for which `stored` stands, if it does.
    pub(crate) fn decode(name: &str, stored: &[u8], bytes: i64) -> Result<Vec<u8>, Error> {
        let bytes = usize::try_from(bytes).map_err(|_| Error::Content("its size is none"))?;
        let content = match name {
            "identity" => stored.to_vec(),
            "zstd" => zstd::bulk::decompress(stored, bytes)
                .map_err(|_| Error::Content("it cannot be decompressed"))?,
            _ => return Err(Error::Content("its encoding is unknown to this build")),
        };
        if content.len() == bytes { Ok(content) } else { Err(Error::Content("it is not whole")) }
    }
}

/// A content as it is kept: compressed, where that makes it smaller.
#[derive(Clone, PartialEq, Eq)]
pub struct Content {
    pub(crate) digest: [u8; 32],
    bytes: usize,
    pub(crate) encoding: Encoding,
    pub(crate) stored: Vec<u8>,
}

/// Says how much it is and not what.
impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Content")
            .field("digest", &self.digest())
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

impl Content {
    /// `content`, hashed and compressed, which takes its time where there is much.
    #[must_use]
    pub fn of(content: &[u8]) -> Self {
        let digest = Sha256::digest(content).into();
        let compressed = (content.len() >= COMPRESSED_BYTES_MIN)
            .then(|| zstd::bulk::compress(content, LEVEL).ok())
            .flatten()
            .filter(|compressed| compressed.len() < content.len());
        let (encoding, stored) = match compressed {
            Some(compressed) => (Encoding::Zstd, compressed),
            None => (Encoding::Identity, content.to_vec()),
        };
        Self { digest, bytes: content.len(), encoding, stored }
    }

    /// The SHA-256 of `content` in lower-case hexadecimal digits.
    #[must_use]
    pub fn digest_of(content: &[u8]) -> String {
        hex(&Sha256::digest(content))
    }

    /// The SHA-256 of it in lower-case hexadecimal digits, by which an event names it.
    #[must_use]
    pub fn digest(&self) -> String {
        hex(&self.digest)
    }

    /// Bytes of it.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes as u64
    }

    pub(crate) fn size(&self) -> i64 {
        i64::try_from(self.bytes).unwrap_or(i64::MAX)
    }
}

/// A content that was asked for. Few are in memory at a time: the next one waits for the place of this one.
#[derive(Debug)]
pub struct KeptContent {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Its place among those that are in memory.
    pub place: OwnedSemaphorePermit,
}

impl ReadModel {
    /// Keeps `contents` for `tenant`; those that are kept already stay.
    ///
    /// # Errors
    /// [`QueryError::Database`].
    pub async fn keep_contents(
        &self,
        tenant: TenantId,
        contents: &[Content],
    ) -> Result<(), QueryError> {
        let mut sorted: Vec<&Content> = contents.iter().collect();
        sorted.sort_unstable_by_key(|content| content.digest);
        sorted.dedup_by_key(|content| content.digest);
        for some in portions(&sorted) {
            let digests: Vec<&[u8]> = some.iter().map(|one| &one.digest[..]).collect();
            let sizes: Vec<i64> = some.iter().map(|one| one.size()).collect();
            let encodings: Vec<&str> = some.iter().map(|one| one.encoding.as_str()).collect();
            let stored: Vec<&[u8]> = some.iter().map(|one| &one.stored[..]).collect();
            self.prepared(KEEP, &[&tenant.0, &digests, &sizes, &encodings, &stored]).await?;
        }
        Ok(())
    }

    /// The content of `tenant` with that SHA-256 in hexadecimal digits, if it is kept.
    ///
    /// # Errors
    /// [`QueryError::Database`].
    pub async fn content(
        &self,
        tenant: TenantId,
        digest: &str,
    ) -> Result<Option<KeptContent>, QueryError> {
        let Some(digest) = unhex(digest) else { return Ok(None) };
        let place = Arc::clone(&self.contents).acquire_owned();
        let place = tokio::time::timeout(READ_TIMEOUT, place).await;
        let Ok(Ok(place)) = place else {
            return Err(Error::from(Unanswered::Silent(READ_TIMEOUT)).into());
        };
        let rows = self.prepared(CONTENT, &[&tenant.0, &digest]).await?;
        let Some(row) = rows.into_iter().next() else { return Ok(None) };
        let decoded = tokio::task::spawn_blocking(move || decoded(&row, "content")).await;
        let bytes = decoded.map_err(|_| Error::Content("it was not decoded"))??;
        Ok(Some(KeptContent { bytes, place }))
    }

    /// Where the attachment `id` of `tenant` is: the event, and its place among the files of that.
    ///
    /// # Errors
    /// [`QueryError::Database`].
    pub async fn attachment(
        &self,
        tenant: TenantId,
        id: Uuid,
    ) -> Result<Option<(Position, usize)>, QueryError> {
        let rows = self.prepared(ATTACHMENT, &[&tenant.0, &id]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let position = Position(row.try_get("position").map_err(Error::from)?);
        let place: i32 = row.try_get("place").map_err(Error::from)?;
        Ok(Some((position, usize::try_from(place).unwrap_or_default())))
    }
}

/// The bytes of the row's column `stored`.
pub(crate) fn decoded(row: &Row, stored: &str) -> Result<Vec<u8>, Error> {
    let (encoding, bytes): (&str, i64) = (row.try_get("encoding")?, row.try_get("bytes")?);
    Encoding::decode(encoding, row.try_get(stored)?, bytes)
}

/// `contents` in portions, each for one statement.
fn portions<'a, 'c>(contents: &'a [&'c Content]) -> Vec<&'a [&'c Content]> {
    let (mut portions, mut from, mut bytes) = (Vec::new(), 0, 0);
    for (n, content) in contents.iter().enumerate() {
        if n > from && bytes + content.stored.len() > STATEMENT_BYTES_MAX {
            portions.push(&contents[from..n]);
            (from, bytes) = (n, 0);
        }
        bytes += content.stored.len();
    }
    if from < contents.len() {
        portions.push(&contents[from..]);
    }
    portions
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0xf)]).collect()
}

/// The 32 bytes that 64 hexadecimal digits stand for.
pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    let digits = digits.filter(|digits| digits.len() == 64)?;
    Some(digits.chunks_exact(2).map(|pair| (pair[0] << 4) | pair[1]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_is_compressed_where_that_helps_and_is_the_same_again() {
        let noise: Vec<u8> = (0..64_u8).flat_map(|n| Sha256::digest([n]).to_vec()).collect();
        for (content, encoding) in [
            (Vec::new(), Encoding::Identity),
            (b"short".to_vec(), Encoding::Identity),
            (b"again and ".repeat(10_000), Encoding::Zstd),
            (noise, Encoding::Identity),
        ] {
            let kept = Content::of(&content);
            assert_eq!(kept.encoding, encoding, "{kept:?}");
            let decoded = Encoding::decode(kept.encoding.as_str(), &kept.stored, kept.size());
            assert_eq!(decoded.expect("whole"), content);
            assert_eq!(unhex(&kept.digest()).as_deref(), Some(&kept.digest[..]));
        }
    }

    #[test]
    fn what_is_damaged_is_an_error() {
        let kept = Content::of(&b"again and ".repeat(10_000));
        let name = kept.encoding.as_str();
        for (name, stored, bytes) in [
            (name, &kept.stored[1..], kept.size()),
            (name, &kept.stored[..], kept.size() - 1),
            (name, &kept.stored[..], -1),
            ("identity", &kept.stored[..], 1),
            ("rot13", &kept.stored[..], kept.size()),
        ] {
            let decoded = Encoding::decode(name, stored, bytes);
            assert!(matches!(decoded, Err(Error::Content(_))), "{name} {bytes}");
        }
    }

    #[test]
    fn a_digest_is_64_digits_and_nothing_else() {
        assert!(unhex(&"aB".repeat(32)).is_some());
        for text in ["", "ab", &"a".repeat(63), &"a".repeat(66), &"g".repeat(64), &"ä".repeat(64)]
        {
            assert_eq!(unhex(text), None, "{text}");
        }
    }

    #[test]
    fn statements_bring_so_many_bytes_and_each_content_once() {
        let content = |bytes| Content {
            digest: [0; 32],
            bytes,
            encoding: Encoding::Identity,
            stored: vec![0; bytes],
        };
        let (large, small) = (content(STATEMENT_BYTES_MAX + 1), content(10));
        let sizes = |contents: &[&Content]| {
            portions(contents).iter().map(|some| some.len()).collect::<Vec<_>>()
        };
        assert_eq!(sizes(&[]), Vec::<usize>::new());
        assert_eq!(sizes(&[&small, &small]), [2]);
        assert_eq!(sizes(&[&large, &small, &large, &small, &small]), [1, 1, 1, 2]);
    }
}
