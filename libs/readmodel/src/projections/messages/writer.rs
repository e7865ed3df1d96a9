//! Applies pages of the log to the tables of messages and conversations.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use hatch_domain::ids::MessageId;
use hatch_eventstore::RecordedEvent;

use super::fold::{MessageRows, message_facts};
use super::recent::RecentMessages;
use super::tables;
use crate::Error;
use crate::engine::{Half, Parallel, WriteContext, Writer};

/// Writes pages one after the other, and remembers the messages that began lately.
#[derive(Default)]
pub(super) struct MessagesWriter {
    recent: RecentMessages,
    /// The page that was applied last, as it was written, and the messages of it that were remembered before.
    applied: Option<(MessageRows, Vec<MessageId>)>,
}

impl MessagesWriter {
    pub(super) fn boxed() -> Box<dyn Writer> {
        Box::<Self>::default()
    }

    async fn write(
        &mut self,
        into: WriteContext<'_>,
        page: &[Arc<RecordedEvent>],
    ) -> Result<(), Error> {
        self.applied = None;
        let facts = message_facts(page)?;
        let known = self.recent.take(&facts);
        let remembered = known.keys().copied().collect();
        let rows = tables::load(into, &facts, known).await?.after(&facts)?;
        tables::write(into, &rows).await?;
        self.applied = Some((rows, remembered));
        Ok(())
    }
}

impl Writer for MessagesWriter {
    fn apply<'a>(
        &'a mut self,
        into: WriteContext<'a>,
        page: &'a [Arc<RecordedEvent>],
    ) -> BoxFuture<'a, Result<(), Error>> {
        self.write(into, page).boxed()
    }

    fn committed(&mut self) {
        if let Some((rows, remembered)) = self.applied.take() {
            self.recent.keep(rows, &remembered);
        }
    }
}

/// Replays the messages of several streams side by side, and their conversations in the order of the log.
pub(super) struct SideBySide;

impl Parallel for SideBySide {
    fn streams<'a>(
        &'a self,
        into: WriteContext<'a>,
        events: &'a [Arc<RecordedEvent>],
    ) -> BoxFuture<'a, Result<Half, Error>> {
        async move {
            let facts = message_facts(events)?;
            let states = tables::load_states(into, &facts, BTreeMap::new()).await?;
            let rows = MessageRows { states, ..MessageRows::default() }.messages_after(&facts)?;
            tables::write_messages(into, &rows).await?;
            let half: Half = Box::new(MessageRows { states: BTreeMap::new(), ..rows });
            Ok(half)
        }
        .boxed()
    }

    fn shared<'a>(
        &'a self,
        into: WriteContext<'a>,
        halves: Vec<Half>,
    ) -> BoxFuture<'a, Result<(), Error>> {
        async move {
            let mut rows = MessageRows::default();
            for half in halves {
                let half = half.downcast::<MessageRows>().expect("what the first half returned");
                rows.contents.extend(half.contents);
                rows.reread.extend(half.reread);
                rows.joined.extend(half.joined);
                rows.provider_messages.extend(half.provider_messages);
            }
            rows.contents.sort_unstable_by_key(|content| content.created_position);
            rows.provider_messages.sort_unstable_by_key(|learned| learned.position);
            rows.joined.sort_unstable_by_key(|joined| joined.position);
            // The first halves are written, with all that is said of these messages. What is here is not read again.
            let begun: BTreeSet<MessageId> = rows.contents.iter().map(|one| one.id).collect();
            let joining = rows.joined.iter().map(|one| one.message_id);
            let joining: Vec<MessageId> = joining.filter(|id| !begun.contains(id)).collect();
            let reread: Vec<MessageId> = rows.reread.values().map(|content| content.id).collect();
            rows.elsewhere = tables::load_elsewhere(into, &joining, &reread).await?;
            let ids = rows.conversations_joined();
            rows.conversations = tables::load_conversations(into, &ids).await?;
            tables::write_shared(into, &rows.conversations_after((0, 0))).await
        }
        .boxed()
    }
}
