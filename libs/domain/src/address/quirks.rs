//! Phone numbers that have two forms for one subscriber, because their country changed how they are dialled.
//! Carriers and people go on with both for years, and each form would be another person.
//!
//! The forms are those that WhatsApp's and carriers' users report to meet for one person: the identity is the form
//! that the country's plan has now, or for Argentina the one that both of its forms hold.

/// Digits of a national number of Mexico and of Argentina.
const NATIONAL_DIGITS: usize = 10;

/// The identity of the number, where it is another text.
pub(super) fn identity(number: &str) -> Option<String> {
    let (country, national) = number.split_at_checked(3)?;
    match country {
        // Until August 2019 a mobile number was dialled from abroad with a 1 (IFT, plan of 2 August 2019).
        "+52" => after(national, '1').map(|rest| format!("+52{rest}")),
        // A mobile number is dialled with a 9 from abroad; carriers and people leave it out. A block of
        // numbers is of fixed lines or of mobiles, so nobody else has the number without it (ENACOM, fundamental
        // plan of numbering).
        "+54" => after(national, '9').map(|rest| format!("+54{rest}")),
        // Mobile numbers, which began with 6 to 9, got a 9 before them from 2012 to 2016 (Anatel, resolution 553).
        // Fixed lines begin with 2 to 5.
        "+55" => {
            let (area, local) = national.split_at_checked(2)?;
            let is_area = area.bytes().all(|byte| (b'1'..=b'9').contains(&byte));
            let is_mobile = local.len() == 8 && local.starts_with(['6', '7', '8', '9']);
            (is_area && is_mobile).then(|| format!("+55{area}9{local}"))
        }
        _ => None,
    }
}

/// The national number after the digit, where that is there.
fn after(national: &str, digit: char) -> Option<&str> {
    national.strip_prefix(digit).filter(|rest| rest.len() == NATIONAL_DIGITS)
}
