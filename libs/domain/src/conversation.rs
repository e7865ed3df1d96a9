//! Which conversation a message belongs to: computed from its participants, never looked up.

use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::address::Address;
use crate::ids::{ConversationId, TenantId};

/// The conversation of `participants` (the sender and every recipient, in any order) on `topic`.
///
/// SHA-256 over the UTF-8 lines tenant id, the identity of each distinct participant sorted bytewise, and topic
/// (an empty line if there is none), joined by `\n`; the first 16 bytes as a UUID of version 8. The same
/// on every machine, so two first messages at once cannot open two conversations.
#[must_use]
pub fn conversation_id<'a>(
    tenant: TenantId,
    participants: impl IntoIterator<Item = &'a Address>,
    topic: Option<&str>,
) -> ConversationId {
    let identities: Vec<_> = participants.into_iter().map(Address::identity).collect();
    let mut lines: Vec<&str> = identities.iter().map(|address| address.as_str()).collect();
    lines.sort_unstable();
    lines.dedup();
    let tenant = tenant.to_string();
    lines.insert(0, &tenant);
    lines.push(topic.unwrap_or_default());
    let digest = Sha256::digest(lines.join("\n"));
    let mut first = [0; 16];
    first.copy_from_slice(&digest[..16]);
    ConversationId(Uuid::new_v8(first))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The published rule, computed otherwise than above.
    fn by_the_rule(texts: &[String], topic: &str) -> Uuid {
        let sorted: std::collections::BTreeSet<&String> = texts.iter().collect();
        let mut hash = Sha256::new();
        hash.update("00000000-0000-0000-0000-000000000001");
        for text in sorted {
            hash.update("\n");
            hash.update(text);
        }
        hash.update("\n");
        hash.update(topic);
        let digest = hash.finalize();
        Uuid::new_v8(digest[..16].try_into().expect("16 bytes"))
    }

    proptest! {
        /// A conversation's id is for ever: it follows from the texts that addresses always had.
        #[test]
        fn the_id_follows_from_the_texts_alone(
            phones in prop::collection::vec("\\+1201666[0-9]{4}", 0..4),
            mails in prop::collection::vec("[a-z]{1,8}@[a-z]{1,8}\\.(com|org)", 0..4),
            names in prop::collection::vec("[a-z0-9äß/_:.-]{1,12}", 0..4),
            topic in "[a-z ]{0,8}",
        ) {
            let texts: Vec<String> = [&phones[..], &mails, &names].concat();
            let phones = phones.iter().map(|text| Address::phone(text));
            let mails = mails.iter().map(|text| Address::email(text));
            let names = names.iter().map(|text| Address::name(text));
            let addresses: Result<Vec<_>, _> = phones.chain(mails).chain(names).collect();
            let addresses = addresses.expect("addresses");
            let id = conversation_id(TenantId::DEFAULT, &addresses, Some(&topic));
            prop_assert_eq!(id.0, by_the_rule(&texts, &topic));
        }
    }

    fn phone(text: &str) -> Address {
        Address::phone(text).expect("a possible number")
    }

    #[test]
    fn the_published_vector_holds_in_both_directions() {
        let (a, b) = (phone("+12016661234"), phone("+18045551234"));
        let expected = "9a2476e4-4694-8b3f-8121-f933c8b3c73b";
        let there = conversation_id(TenantId::DEFAULT, [&a, &b], None);
        let back = conversation_id(TenantId::DEFAULT, [&b, &a], None);
        assert_eq!(there.to_string(), expected);
        assert_eq!(back, there);
    }

    #[test]
    fn tenants_topics_and_participants_keep_conversations_apart() {
        let (a, b, c) = (phone("+12016661234"), phone("+18045551234"), phone("+18045551235"));
        let base = conversation_id(TenantId::DEFAULT, [&a, &b], None);
        let other_tenant = TenantId(Uuid::from_u128(2));
        assert_ne!(conversation_id(other_tenant, [&a, &b], None), base);
        assert_ne!(conversation_id(TenantId::DEFAULT, [&a, &b], Some("invoice")), base);
        assert_ne!(conversation_id(TenantId::DEFAULT, [&a, &b, &c], None), base);
    }

    #[test]
    fn a_mailbox_is_one_participant_however_it_is_written() {
        let mail = |text| Address::email(text).expect("a mailbox");
        let (us, ann) = (mail("us@example.com"), mail("ann@example.com"));
        let expected = conversation_id(TenantId::DEFAULT, [&us, &ann], None);
        for written in ["Ann@example.com", "ANN@EXAMPLE.COM"] {
            let ann = mail(written);
            assert_eq!(
                conversation_id(TenantId::DEFAULT, [&ann, &us], None),
                expected,
                "{written}"
            );
        }
    }

    #[test]
    fn a_participant_named_twice_counts_once() {
        let (a, b) = (phone("+12016661234"), phone("+18045551234"));
        assert_eq!(
            conversation_id(TenantId::DEFAULT, [&a, &b, &b], None),
            conversation_id(TenantId::DEFAULT, [&a, &b], None),
        );
    }
}
