//! Whatever mails refer to, a conversation stays with those who have a part in it: mails of a few people, posted as
//! their provider does, with what they refer to, their subjects and their Message-IDs taken from what was seen.
//!
//! A run posts a few threads. `HATCH_TEST_FUZZ_MINUTES=10` goes on with new ones for ten minutes.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::json;

use crate::harness::{Hatch, unique};
use crate::mail_threads::{Mail, sent, text};

/// Threads of a run, and of each round of a longer one.
const THREADS: usize = 8;

/// Mails of a thread at most.
const MAILS_MAX: usize = 8;

const OURS: [&str; 2] = ["support@example.com", "sales@example.com"];

/// Who writes to whom. The first gets a mail of ours at the beginning.
const PEOPLE: [&str; 3] = ["ann", "bob", "cleo"];

/// Who got a blind copy of that mail, and who learned of ids in another way. Nobody writes to them.
const OUTSIDERS: [&str; 2] = ["dora", "mallory"];

const SUBJECTS: [&str; 3] = ["Your order", "An invoice", ""];

const ANSWERS: [&str; 4] = ["", "Re: ", "AW: ", "Fwd: Re: "];

/// What a mail refers to.
#[derive(Debug, Clone)]
enum Named {
    /// The mail of ours.
    Ours,
    /// One of those that were posted before.
    Earlier(Index),
    /// A mail that nobody has seen.
    Unknown,
}

/// A mail that is made up.
#[derive(Debug, Clone)]
struct Made {
    /// Somebody of the people, or beyond them an outsider.
    writer: usize,
    /// At which of our mailboxes it arrives.
    ours: usize,
    /// Who else gets it, and whether as a copy.
    others: Vec<(usize, bool)>,
    subject: usize,
    answers: usize,
    in_reply_to: Option<Named>,
    references: Vec<Named>,
    /// Whether it carries the Message-ID of an earlier one.
    takes_id_of: Option<Index>,
}

fn named() -> impl Strategy<Value = Named> {
    prop_oneof![
        2 => Just(Named::Ours),
        6 => any::<Index>().prop_map(Named::Earlier),
        1 => Just(Named::Unknown),
    ]
}

fn mail() -> impl Strategy<Value = Made> {
    let who = (0..PEOPLE.len() + OUTSIDERS.len(), 0..OURS.len());
    let others = prop::collection::vec((0..PEOPLE.len(), any::<bool>()), 0..3);
    let subject = (prop_oneof![4 => Just(0), 1 => Just(1), 1 => Just(2)], 0..ANSWERS.len());
    let refers = (prop::option::weighted(0.7, named()), prop::collection::vec(named(), 0..4));
    let takes_id_of = prop::option::weighted(0.1, any::<Index>());
    (who, others, subject, refers, takes_id_of).prop_map(
        |((writer, ours), others, (subject, answers), (in_reply_to, references), takes_id_of)| {
            // Nobody takes notice of an outsider, and he of nobody.
            let others = if writer < PEOPLE.len() { others } else { Vec::new() };
            Made { writer, ours, others, subject, answers, in_reply_to, references, takes_id_of }
        },
    )
}

/// A thread, and in which other order its mails may come.
fn mails() -> impl Strategy<Value = (Vec<Made>, Vec<u8>)> {
    let order = prop::collection::vec(any::<u8>(), MAILS_MAX);
    (prop::collection::vec(mail(), 2..=MAILS_MAX), order)
}

/// A mail with the earlier ones that it means.
#[derive(Debug)]
struct Thread {
    mails: Vec<Made>,
}

impl Thread {
    /// Which one of the earlier ones is meant, where there are any.
    fn earlier(n: usize, index: &Index) -> Option<usize> {
        (n > 0).then(|| index.index(n))
    }

    /// The earlier mails that have to come before the mail of that number.
    fn needs(&self, n: usize) -> BTreeSet<usize> {
        let mail = &self.mails[n];
        let named = mail.in_reply_to.iter().chain(&mail.references);
        let named = named.filter_map(|one| match one {
            Named::Earlier(index) => Self::earlier(n, index),
            Named::Ours | Named::Unknown => None,
        });
        named.chain(self.taken(n)).collect()
    }

    /// The mail whose Message-ID it carries.
    fn taken(&self, n: usize) -> Option<usize> {
        Self::earlier(n, self.mails[n].takes_id_of.as_ref()?)
    }

    /// Which mail of the thread has given the mail its Message-ID.
    fn id_of(&self, n: usize) -> usize {
        self.taken(n).map_or(n, |of| self.id_of(of))
    }

    /// Another order of the mails, in which each comes after those that it needs.
    fn shuffled(&self, keys: &[u8]) -> Vec<usize> {
        let (mut order, mut left): (Vec<usize>, BTreeSet<usize>) =
            (Vec::new(), (0..self.mails.len()).collect());
        let ready = |left: &BTreeSet<usize>, n: &usize| self.needs(*n).is_disjoint(left);
        while let Some(next) =
            left.iter().copied().filter(|n| ready(&left, n)).max_by_key(|n| (keys[*n], *n))
        {
            left.remove(&next);
            order.push(next);
        }
        order
    }

    /// Whether only what the mail itself and those that it answers say decides on its conversation, and not who else
    /// came into a conversation before it.
    fn is_settled(&self, n: usize) -> bool {
        let mail = &self.mails[n];
        let names: Vec<&Named> = mail.in_reply_to.iter().chain(&mail.references).collect();
        if names.iter().all(|one| matches!(one, Named::Unknown)) {
            return true;
        }
        if names.iter().any(|one| matches!(one, Named::Ours)) {
            return mail.writer == 0;
        }
        let Some(Named::Earlier(index)) = &mail.in_reply_to else { return false };
        let Some(parent) = Self::earlier(n, index) else { return false };
        let (answered, id) = (&self.mails[parent], self.id_of(parent));
        let is_one = (0..self.mails.len()).filter(|other| self.id_of(*other) == id).count() == 1;
        let has_part = answered.writer == mail.writer
            || answered.others.iter().any(|(other, _)| *other == mail.writer);
        let is_same = answered.subject == mail.subject && !SUBJECTS[mail.subject].is_empty();
        is_one && has_part && is_same && self.is_settled(parent)
    }
}

/// People of a thread's own, and the mail of ours that it begins with.
struct Scene<'a> {
    hatch: &'a Hatch,
    thread: &'a Thread,
    tag: String,
    ours_id: String,
}

impl<'a> Scene<'a> {
    async fn begin(hatch: &'a Hatch, thread: &'a Thread) -> (Self, String) {
        let tag = unique();
        let (to, bcc) = (mailbox(PEOPLE[0], &tag), mailbox(OUTSIDERS[0], &tag));
        let request =
            json!({"from": OURS[0], "to": to, "bcc": [bcc], "subject": SUBJECTS[0], "body": "Hi"});
        let ours = sent(hatch, &request).await;
        let ours_id = text(&ours, "message_id_header").to_owned();
        let conversation = text(&ours, "conversation_id").to_owned();
        (Self { hatch, thread, tag, ours_id }, conversation)
    }

    fn writer(&self, n: usize) -> String {
        let writer = self.thread.mails[n].writer;
        let name = PEOPLE.iter().chain(&OUTSIDERS).nth(writer).expect("there are so many");
        mailbox(name, &self.tag)
    }

    /// The people beside us whom others can see in the mail.
    fn seen(&self, n: usize) -> BTreeSet<String> {
        let others = self.thread.mails[n].others.iter();
        let others = others.map(|(other, _)| mailbox(PEOPLE[*other], &self.tag));
        others.chain([self.writer(n)]).collect()
    }

    fn id(&self, n: usize) -> String {
        format!("<{}.{}@mail.example.org>", self.thread.id_of(n), self.tag)
    }

    fn name(&self, n: usize, named: &Named) -> String {
        match named {
            Named::Ours => self.ours_id.clone(),
            Named::Earlier(index) => Thread::earlier(n, index)
                .map_or_else(|| format!("<none.{}@mail.example.org>", self.tag), |of| self.id(of)),
            Named::Unknown => format!("<unknown.{}@mail.example.org>", self.tag),
        }
    }

    /// Posts a mail twice, and returns the conversation of the one message that came of it.
    async fn post(&self, n: usize) -> String {
        let made = &self.thread.mails[n];
        let ours = OURS[made.ours];
        let others = |copies: bool| -> Vec<String> {
            let others = made.others.iter().filter(|(_, is_copy)| *is_copy == copies);
            others.map(|(other, _)| mailbox(PEOPLE[*other], &self.tag)).collect()
        };
        let to = [vec![ours.to_owned()], others(false)].concat().join(", ");
        let cc = others(true).join(", ");
        let names = |named: &[Named]| -> Vec<String> {
            named.iter().map(|one| self.name(n, one)).collect()
        };
        let answered = names(made.in_reply_to.as_slice());
        let references = names(&made.references);
        let header = |name: &str, names: &[String]| match names {
            [] => String::new(),
            names => format!("{name}: {}\r\n", names.join("\r\n ")),
        };
        let headers = header("In-Reply-To", &answered) + &header("References", &references);
        let subject = format!("{}{}", ANSWERS[made.answers], SUBJECTS[made.subject]);
        let (from, words) = (self.writer(n), format!("mail {n} of {}", self.tag));
        let mail = Mail {
            from: &from,
            to: &to,
            cc: &cc,
            envelope: &[ours],
            subject: &subject,
            text: &words,
            id: self.id(n),
            headers,
        };
        mail.post(self.hatch).await;
        let length = self.hatch.log_length().await;
        mail.post(self.hatch).await;
        assert_eq!(self.hatch.log_length().await, length, "a repeat is no message");
        self.shown(&words).await
    }

    /// The conversation of the message with these words, once it is shown.
    async fn shown(&self, words: &str) -> String {
        self.hatch
            .eventually("the mail is shown", async |hatch| {
                let list = hatch.get("/api/v1/messages?direction=inbound&limit=50").await;
                let data = list.body["data"].as_array()?;
                let one = data.iter().find(|message| message["body"] == words)?;
                Some(text(one, "conversation_id").to_owned())
            })
            .await
    }
}

fn mailbox(name: &str, tag: &str) -> String {
    format!("{name}.{tag}@example.org")
}

/// Posts the mails in that order, and returns the conversation of each. Nobody has come into a conversation that he has
/// no part in.
async fn play(hatch: &Hatch, thread: &Thread, order: &[usize]) -> HashMap<usize, String> {
    let (scene, first) = Scene::begin(hatch, thread).await;
    let mut members: HashMap<String, BTreeSet<String>> = HashMap::new();
    members.insert(first, [mailbox(PEOPLE[0], &scene.tag)].into());
    let mut conversations = HashMap::new();
    for &n in order {
        let conversation = scene.post(n).await;
        let (writer, seen) = (scene.writer(n), scene.seen(n));
        if let Some(known) = members.get(&conversation) {
            let shown = format!("mail {n} of {order:?} in {thread:#?}");
            // Somebody who is there already may be written to by somebody new, whom others can see then.
            assert!(!known.is_disjoint(&seen), "{writer} came to {known:?}: {shown}");
            let is_outsider = thread.mails[n].writer >= PEOPLE.len();
            assert!(!is_outsider || known.iter().eq([&writer]), "{writer} in {known:?}: {shown}");
        }
        members.entry(conversation.clone()).or_default().extend(seen);
        conversations.insert(n, conversation);
    }
    conversations
}

/// What decides on a mail was there before it in both orders, so both have it in the same company.
async fn check(hatch: &Hatch, thread: &Thread, keys: &[u8]) {
    let in_order: Vec<usize> = (0..thread.mails.len()).collect();
    let shuffled = thread.shuffled(keys);
    assert_eq!(shuffled.len(), in_order.len(), "every mail has its turn");
    let one = play(hatch, thread, &in_order).await;
    let other = play(hatch, thread, &shuffled).await;
    let settled: Vec<usize> = in_order.into_iter().filter(|n| thread.is_settled(*n)).collect();
    for a in &settled {
        for b in &settled {
            let (together, again) = (one[a] == one[b], other[a] == other[b]);
            assert_eq!(together, again, "{a} and {b}, also as {shuffled:?}: {thread:#?}");
        }
    }
}

#[tokio::test]
async fn nobody_comes_into_a_conversation_by_what_a_mail_refers_to() {
    let minutes = std::env::var("HATCH_TEST_FUZZ_MINUTES").ok();
    let minutes: u64 = minutes.map_or(0, |minutes| minutes.parse().expect("a number of minutes"));
    let hatch = Hatch::start().await;
    let (began, mut runner, mut threads, mut posted) =
        (Instant::now(), TestRunner::default(), 0, 0);
    while threads < THREADS || began.elapsed() < Duration::from_secs(60 * minutes) {
        let (mails, keys) = mails().new_tree(&mut runner).expect("a thread").current();
        posted += 4 * mails.len();
        check(&hatch, &Thread { mails }, &keys).await;
        threads += 1;
    }
    eprintln!("{threads} threads, {posted} posts in {:?}", began.elapsed());
    hatch.finish().await;
}
