//! In which order the lines of an account are served, which share what it takes.

use std::collections::HashMap;

use hatch_domain::Priority;

use crate::sweep::{PRIORITIES, TURNS};

/// Whose lines of an account were served last.
#[derive(Debug, Default)]
pub(super) struct Served {
    times: usize,
    /// Of each priority, the line of which somebody was let go last.
    last: HashMap<Priority, String>,
}

impl Served {
    /// The lines in the order in which they are served now: by how urgent the most urgent of each is, as within a line. Of
    /// those alike, the one behind the last that was served is the first: no sender has all that the account takes.
    pub(super) fn in_turn<'a>(&self, lines: &[(Priority, &'a str)]) -> Vec<(Priority, &'a str)> {
        let priorities = TURNS.get(self.times % TURNS.len()).copied().unwrap_or(PRIORITIES);
        let mut in_turn = Vec::with_capacity(lines.len());
        for name in priorities {
            let alike = lines.iter().filter(|(priority, _)| priority.as_str() == *name);
            let mut alike: Vec<_> = alike.copied().collect();
            alike.sort_unstable_by_key(|(_, line)| *line);
            let last = alike.first().and_then(|(priority, _)| self.last.get(priority));
            if let Some(last) = last {
                let behind = alike.partition_point(|(_, line)| *line <= last.as_str());
                alike.rotate_left(behind);
            }
            in_turn.extend(alike);
        }
        in_turn
    }

    /// Of these some were let go, one line after the other.
    pub(super) fn note(&mut self, lines: &[(Priority, &str)]) {
        if !lines.is_empty() {
            self.times = self.times.wrapping_add(1);
        }
        for (priority, line) in lines {
            self.last.insert(*priority, (*line).to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_alike_take_turns_behind_the_urgent_and_bulk_comes_first_one_time_in_four() {
        let (high, normal, bulk) = (Priority::High, Priority::Normal, Priority::Bulk);
        let lines = [(normal, "b"), (bulk, "m"), (normal, "a"), (high, "z"), (normal, "c")];
        let (mut served, mut first) = (Served::default(), String::new());
        for _ in 0..8 {
            let in_turn = served.in_turn(&lines);
            assert_eq!((in_turn.len(), in_turn[0]), (lines.len(), (high, "z")));
            // There is room for two.
            first.push_str(in_turn[1].1);
            served.note(&in_turn[..2]);
        }
        assert_eq!(first, "abcmabcm");
        served.note(&[]);
        let others = [(normal, "a"), (normal, "d")];
        assert_eq!(
            served.in_turn(&others),
            [(normal, "d"), (normal, "a")],
            "behind one that is gone"
        );
    }
}
