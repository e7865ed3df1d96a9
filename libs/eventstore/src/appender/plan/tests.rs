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
    /// Tenant, stream and version of each event.
    events: Vec<(Uuid, Uuid, i64)>,
    commands: HashMap<Uuid, RecordedCommand>,
}

impl Model {
    fn version(&self, stream_id: Uuid) -> i64 {
        let events = self.events.iter().filter(|(_, stream, _)| *stream == stream_id);
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
        for write in &append.writes {
            let mut of_stream = self.events.iter().filter(|e| e.1 == write.stream_id);
            if of_stream.any(|(tenant, ..)| *tenant != write.tenant_id) {
                return "foreign".to_owned();
            }
            if !write.expected.holds(self.version(write.stream_id)) {
                return format!("conflict {}", write.stream_id);
            }
        }
        for guard in &append.guards {
            if !guard.expected.holds(self.version(guard.stream_id)) {
                return format!("conflict {}", guard.stream_id);
            }
        }
        let before = self.head();
        for write in &append.writes {
            for _ in &write.events {
                let version = self.version(write.stream_id) + 1;
                self.events.push((write.tenant_id, write.stream_id, version));
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
        let streams = self.events.iter().map(|(tenant_id, stream_id, _)| {
            let version = self.version(*stream_id);
            (*stream_id, StreamState { tenant_id: *tenant_id, version })
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
        Err(AppendError::ForeignTenant(_)) => "foreign".to_owned(),
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

fn event() -> NewEvent {
    NewEvent {
        event_id: Uuid::nil(),
        event_type: "Happened",
        schema_version: 1,
        routing: hatch_domain::Routing::default(),
        metadata: Metadata::default(),
        payload: "{}".to_owned(),
    }
}

prop_compose! {
    fn write()(
        stream_id in id(),
        tenant in prop_oneof![9 => Just(1_u128), 1 => Just(2)],
        expected in expected(),
        count in 1..4_usize,
    ) -> StreamWrite {
        let events = vec![event(); count];
        StreamWrite { stream_id, tenant_id: Uuid::from_u128(tenant), expected, events }
    }
}

prop_compose! {
    fn append()(
        mut writes in vec(write(), 0..3),
        guards in vec((id(), expected()), 0..2),
        key in proptest::option::of((id(), 0..2_u8)),
    ) -> Append {
        writes.sort_by_key(|write| write.stream_id);
        writes.dedup_by_key(|write| write.stream_id);
        let guard = |(stream_id, expected)| Guard { stream_id, expected };
        Append {
            key: key.map(|(id, hash)| CommandKey { id, request_hash: [hash; 32] }),
            writes,
            guards: guards.into_iter().map(guard).collect(),
            ..Append::default()
        }
    }
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
                plan.events.iter().map(|e| (e.tenant_id, e.stream_id, e.version)).collect();
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
