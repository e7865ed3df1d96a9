//! A batch must come to what its commands would have come to one by one.

use std::collections::{HashSet, VecDeque};

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::appender::batch;
use crate::{Guard, Metadata, StreamWrite};

impl AsRef<Self> for Append {
    fn as_ref(&self) -> &Self {
        self
    }
}

/// The log as the simplest thing that could be one: a list.
#[derive(Default)]
struct Model {
    /// Tenant, stream, version and kind of each event.
    events: Vec<(Uuid, Uuid, i64, &'static str)>,
    commands: HashMap<Uuid, RecordedCommand>,
}

impl Model {
    fn version(&self, stream_id: Uuid) -> i64 {
        let events = self.events.iter().filter(|(_, stream, ..)| *stream == stream_id);
        i64::try_from(events.count()).expect("small")
    }

    fn head(&self) -> i64 {
        i64::try_from(self.events.len()).expect("small")
    }

    fn append(&mut self, append: &Append) -> String {
        if let Some(key) = append.key
            && let Some(recorded) = self.commands.get(&key.id)
        {
            return match recorded.request_hash == key.request_hash {
                true => format!("duplicate {} {}", recorded.first, recorded.last),
                false => "reused".to_owned(),
            };
        }
        let written =
            append.writes.iter().map(|w| (w.stream_id, w.tenant_id, w.kind(), w.expected));
        let guarded = append.guards.iter().map(|g| (g.stream_id, g.tenant_id, g.kind, g.expected));
        for (stream_id, tenant_id, kind, expected) in written.chain(guarded) {
            if let Some(first) = self.events.iter().find(|event| event.1 == stream_id) {
                if first.0 != tenant_id {
                    return "foreign tenant".to_owned();
                }
                if first.3 != kind {
                    return "foreign kind".to_owned();
                }
            }
            if !expected.holds(self.version(stream_id)) {
                return format!("conflict {stream_id}");
            }
        }
        let before = self.head();
        for write in &append.writes {
            for _ in &write.events {
                let version = self.version(write.stream_id) + 1;
                self.events.push((write.tenant_id, write.stream_id, version, write.kind()));
            }
        }
        let last = self.head();
        let first = if last > before { before + 1 } else { last };
        if let Some(CommandKey { id, request_hash }) = append.key {
            let (first, last) = (Position(first), Position(last));
            self.commands.insert(id, RecordedCommand { request_hash, first, last });
        }
        format!("committed {first} {last}")
    }

    /// What flight 1 would read.
    fn state(&self) -> LogState {
        let streams = self.events.iter().map(|(tenant_id, stream_id, _, kind)| {
            let version = self.version(*stream_id);
            (*stream_id, StreamState { tenant_id: *tenant_id, kind, version })
        });
        LogState {
            head: Position(self.head()),
            streams: streams.collect(),
            commands: self.commands.clone(),
            fenced: false,
        }
    }
}

fn say(outcome: &Result<Appended, AppendError>) -> String {
    match outcome {
        Ok(Appended::Committed { first, last }) => format!("committed {first} {last}"),
        Ok(Appended::Duplicate { first, last }) => format!("duplicate {first} {last}"),
        Err(AppendError::KeyReused) => "reused".to_owned(),
        Err(AppendError::ForeignTenant(_)) => "foreign tenant".to_owned(),
        Err(AppendError::ForeignKind(_)) => "foreign kind".to_owned(),
        Err(AppendError::Conflict { stream_id, .. }) => format!("conflict {stream_id}"),
        Err(error) => error.to_string(),
    }
}

fn expected() -> impl Strategy<Value = ExpectedVersion> {
    prop_oneof![
        Just(ExpectedVersion::NoStream),
        Just(ExpectedVersion::Exists),
        Just(ExpectedVersion::Any),
        (0..4_i64).prop_map(ExpectedVersion::Exact),
    ]
}

/// One of few ids, so that commands meet.
fn id() -> impl Strategy<Value = Uuid> {
    (1..6_u128).prop_map(Uuid::from_u128)
}

fn tenant() -> impl Strategy<Value = Uuid> {
    prop_oneof![9 => Just(1_u128), 1 => Just(2)].prop_map(Uuid::from_u128)
}

fn kind() -> impl Strategy<Value = &'static str> {
    prop_oneof![9 => Just("thing"), 1 => Just("other")]
}

fn event(aggregate: &'static str) -> NewEvent {
    NewEvent {
        event_id: Uuid::nil(),
        event_type: "Happened",
        schema_version: 1,
        routing: hatch_domain::Routing { aggregate, ..hatch_domain::Routing::default() },
        metadata: Metadata::default(),
        payload: "{}".to_owned(),
    }
}

prop_compose! {
    fn write()(
        stream_id in id(),
        tenant_id in tenant(),
        kind in kind(),
        expected in expected(),
        count in 1..4_usize,
    ) -> StreamWrite {
        StreamWrite { stream_id, tenant_id, expected, events: vec![event(kind); count] }
    }
}

prop_compose! {
    fn guard()(
        stream_id in id(),
        tenant_id in tenant(),
        kind in kind(),
        expected in expected(),
    ) -> Guard {
        Guard { stream_id, tenant_id, kind, expected }
    }
}

prop_compose! {
    fn append()(
        mut writes in vec(write(), 0..3),
        guards in vec(guard(), 0..2),
        key in proptest::option::of((id(), 0..2_u8)),
    ) -> Append {
        writes.sort_by_key(|write| write.stream_id);
        writes.dedup_by_key(|write| write.stream_id);
        Append {
            key: key.map(|(id, hash)| CommandKey { id, request_hash: [hash; 32] }),
            writes,
            guards,
            ..Append::default()
        }
    }
}

fn planned_event(planned: &PlannedEvent<'_>) -> (Uuid, Uuid, i64, &'static str) {
    let PlannedEvent { tenant_id, stream_id, version, event, .. } = planned;
    (*tenant_id, *stream_id, *version, event.routing.aggregate)
}

proptest! {
    #[test]
    fn batches_come_to_what_their_commands_come_to_one_by_one(appends in vec(append(), 1..40)) {
        let mut model = Model::default();
        let mut waiting: VecDeque<&Append> = appends.iter().collect();
        while !waiting.is_empty() {
            let commands = batch::take(&mut waiting);
            let state = model.state();
            let before = state.head;
            let known: HashSet<Uuid> = state.streams.keys().copied().collect();
            let plan = plan(commands.iter().copied(), state);

            let outcomes: Vec<String> = plan.outcomes.iter().map(say).collect();
            let one_by_one: Vec<String> = commands.iter().map(|c| model.append(c)).collect();
            prop_assert_eq!(outcomes, one_by_one);

            // The rows that it writes are the model's new ones, at dense positions.
            let planned: Vec<_> =
                plan.events.iter().map(planned_event).collect();
            let first = usize::try_from(before.0).expect("small");
            prop_assert_eq!(&planned[..], &model.events[first..]);
            for (offset, event) in (1..).zip(&plan.events) {
                prop_assert_eq!(event.position.0, before.0 + offset);
            }
            for (stream_id, stream) in plan.new_streams.iter().chain(&plan.streams) {
                prop_assert_eq!(stream.version, model.version(*stream_id));
            }
            let began = |id: &Uuid| !known.contains(id);
            prop_assert!(plan.new_streams.iter().all(|(id, _)| began(id)));
            prop_assert!(!plan.streams.iter().any(|(id, _)| began(id)));
            for (key, first, last) in &plan.commands {
                let recorded = model.commands[&key.id];
                prop_assert_eq!((recorded.first, recorded.last), (*first, *last));
            }
        }
    }
}
