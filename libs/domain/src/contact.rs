//! The contact that an address belongs to. Its id is computed from the address.

use uuid::Uuid;

use crate::address::Address;
use crate::ids::{ContactId, IdentifierId, TenantId};

/// Namespace of [`identifier_id`]: a UUIDv4 drawn once for hatch.
const IDENTIFIER_NAMESPACE: Uuid = Uuid::from_u128(0x8f1d_6b52_90c3_4e7a_b0d4_57a2_1c9e_f368);

/// The contact that an address belongs to while nobody linked or merged it: UUIDv5 with the tenant's
/// id as the namespace and the address's identity as the name. So two tenants never share a contact,
/// and nothing has to be looked up.
#[must_use]
pub fn contact_id(tenant: TenantId, address: &Address) -> ContactId {
    ContactId(Uuid::new_v5(&tenant.0, address.identity().as_str().as_bytes()))
}

/// The stream that says whose an address is, so that no two contacts can have it. Its namespace is
/// another than the contacts', because a stream is of one kind only.
#[must_use]
pub fn identifier_id(tenant: TenantId, address: &Address) -> IdentifierId {
    let name = format!("{tenant}\n{}", address.identity());
    IdentifierId(Uuid::new_v5(&IDENTIFIER_NAMESPACE, name.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_a_contact_has_not_changed_and_an_identifier_has_another() {
        let address = Address::phone("+18045551234").expect("a possible number");
        let contact = contact_id(TenantId::DEFAULT, &address);
        assert_eq!(contact.0, Uuid::new_v5(&TenantId::DEFAULT.0, b"+18045551234"));
        assert_ne!(identifier_id(TenantId::DEFAULT, &address).0, contact.0);
    }

    #[test]
    fn a_mailbox_has_one_contact_however_it_is_written() {
        let mail = |text| Address::email(text).expect("a mailbox");
        let (ann, written) = (mail("ann@example.com"), mail("Ann@Example.com"));
        let tenant = TenantId::DEFAULT;
        assert_eq!(contact_id(tenant, &ann), contact_id(tenant, &written));
        assert_eq!(identifier_id(tenant, &ann), identifier_id(tenant, &written));
    }

    #[test]
    fn two_tenants_share_neither() {
        let address = Address::email("user@example.com").expect("a mailbox");
        let other = TenantId(Uuid::from_u128(2));
        assert_ne!(contact_id(TenantId::DEFAULT, &address), contact_id(other, &address));
        assert_ne!(identifier_id(TenantId::DEFAULT, &address), identifier_id(other, &address));
    }
}
