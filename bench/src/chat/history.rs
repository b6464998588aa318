//! What clients heard, and whether it is what was stored: nothing lost, nothing twice, nothing out of order. Pure, so that
//! the checker itself is tested.

use std::collections::{HashMap, HashSet};

/// A message as a client heard it, or as the database has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) sequence: i64,
    pub(crate) id: i64,
    pub(crate) sender: i64,
    pub(crate) name: String,
    pub(crate) text: String,
}

/// That somebody has, or has read, a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Receipt {
    pub(crate) message: i64,
    pub(crate) user: i64,
    pub(crate) read: bool,
    pub(crate) at: String,
}

/// All that one client heard in one room, over all its connections.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    pub(crate) who: String,
    pub(crate) room: i64,
    pub(crate) user: i64,
    pub(crate) heard: Vec<Heard>,
    /// Names and texts of what it sent and saw acknowledged, in that order.
    pub(crate) acknowledged: Vec<(String, String)>,
    pub(crate) receipts: Vec<Receipt>,
}

/// What was wrong, counted; the first few in words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) messages: usize,
    pub(crate) heard: usize,
    pub(crate) lost: usize,
    pub(crate) duplicated: usize,
    pub(crate) reordered: usize,
    pub(crate) different: usize,
    pub(crate) receipts: usize,
    pub(crate) receipts_changed: usize,
    pub(crate) words: Vec<String>,
}

impl Verdict {
    pub(crate) fn clean(&self) -> bool {
        self.lost + self.duplicated + self.reordered + self.different + self.receipts_changed == 0
    }

    fn note(&mut self, what: String) {
        if self.words.len() < 20 {
            self.words.push(what);
        }
    }
}

/// Compares histories with what is stored, by room in the order of sequences.
pub(crate) fn check(histories: &[History], stored: &HashMap<i64, Vec<Heard>>) -> Verdict {
    let mut verdict = Verdict { messages: stored.values().map(Vec::len).sum(), ..Verdict::default() };
    let mut names = HashSet::new();
    for (room, messages) in stored {
        for (place, message) in messages.iter().enumerate() {
            if message.sequence != place as i64 + 1 {
                verdict.lost += 1;
                verdict.note(format!("room {room} has sequence {} at place {}", message.sequence, place + 1));
            }
            if !message.name.is_empty() && !names.insert((*room, message.sender, message.name.as_str())) {
                verdict.duplicated += 1;
                verdict.note(format!("room {room} stores {} of {} twice", message.name, message.sender));
            }
        }
    }
    let nothing = Vec::new();
    for history in histories {
        let stored = stored.get(&history.room).unwrap_or(&nothing);
        verdict.heard += history.heard.len();
        order(history, stored, &mut verdict);
        acknowledged(history, stored, &mut verdict);
        receipts(history, &mut verdict);
    }
    verdict
}

fn order(history: &History, stored: &[Heard], verdict: &mut Verdict) {
    let mut seen = HashSet::new();
    let mut last = 0;
    for heard in &history.heard {
        if !seen.insert(heard.sequence) {
            verdict.duplicated += 1;
            verdict.note(format!("{} heard {} again", history.who, heard.sequence));
            continue;
        }
        if heard.sequence < last {
            verdict.reordered += 1;
            verdict.note(format!("{} heard {} after {last}", history.who, heard.sequence));
        }
        last = last.max(heard.sequence);
        let place = usize::try_from(heard.sequence - 1).unwrap_or(usize::MAX);
        if stored.get(place) != Some(heard) {
            verdict.different += 1;
            verdict.note(format!("{} heard {heard:?}, stored is {:?}", history.who, stored.get(place)));
        }
    }
    let missing = stored.iter().filter(|message| !seen.contains(&message.sequence));
    for message in missing {
        verdict.lost += 1;
        verdict.note(format!("{} never heard {}", history.who, message.sequence));
    }
}

/// What was acknowledged is stored, in the order in which it was sent: the client waited for each.
fn acknowledged(history: &History, stored: &[Heard], verdict: &mut Verdict) {
    let own: HashMap<&str, &Heard> =
        stored.iter().filter(|message| message.sender == history.user).map(|m| (m.name.as_str(), m)).collect();
    let mut last = 0;
    for (name, text) in &history.acknowledged {
        match own.get(name.as_str()) {
            Some(message) if message.text == *text => {
                if message.sequence < last {
                    verdict.reordered += 1;
                    verdict.note(format!("{}'s {name} is stored before what it sent earlier", history.who));
                }
                last = message.sequence;
            }
            Some(message) => {
                verdict.different += 1;
                verdict.note(format!("{}'s {name} is stored as {:?}", history.who, message.text));
            }
            None => {
                verdict.lost += 1;
                verdict.note(format!("{}'s {name} was acknowledged and is not stored", history.who));
            }
        }
    }
}

/// A receipt once told stays, and nothing is read before it is there.
fn receipts(history: &History, verdict: &mut Verdict) {
    let mut told: HashMap<(i64, i64, bool), &str> = HashMap::new();
    for receipt in &history.receipts {
        verdict.receipts += 1;
        let before = told.insert((receipt.message, receipt.user, receipt.read), &receipt.at);
        let early = !receipt.read
            && told.get(&(receipt.message, receipt.user, true)).is_some_and(|read| *read < receipt.at.as_str());
        if before.is_some_and(|before| before != receipt.at) || early {
            verdict.receipts_changed += 1;
            verdict.note(format!("{} was told {receipt:?} after {before:?}", history.who));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(sequence: i64) -> Heard {
        let name = format!("n{sequence}");
        Heard { sequence, id: 100 + sequence, sender: 1, name, text: format!("t{sequence}") }
    }

    fn verdict(heard: &[i64]) -> Verdict {
        let stored = HashMap::from([(7, (1..=4).map(message).collect())]);
        let heard = heard.iter().copied().map(message).collect();
        check(&[History { room: 7, user: 2, heard, ..History::default() }], &stored)
    }

    #[test]
    fn all_in_order_is_clean() {
        assert!(verdict(&[1, 2, 3, 4]).clean());
    }

    #[test]
    fn what_is_wrong_is_found() {
        assert_eq!(verdict(&[1, 2, 4]).lost, 1);
        assert_eq!(verdict(&[1, 2, 2, 3, 4]).duplicated, 1);
        let swapped = verdict(&[1, 3, 2, 4]);
        assert_eq!((swapped.reordered, swapped.lost), (1, 0));
        assert_eq!(verdict(&[1, 2, 3, 4, 5]).different, 1, "heard what is not stored");
    }

    #[test]
    fn acknowledged_means_stored_once_and_in_order() {
        let mut twice: Vec<_> = (1..=3).map(message).collect();
        twice[2].name = "n1".into();
        let acknowledged = |sent: &[i64]| History {
            room: 7,
            user: 1,
            heard: twice.clone(),
            acknowledged: sent.iter().map(|n| (format!("n{n}"), format!("t{n}"))).collect(),
            ..History::default()
        };
        let stored = HashMap::from([(7, twice.clone())]);
        assert_eq!(check(&[acknowledged(&[2])], &stored).duplicated, 1);
        assert_eq!(check(&[acknowledged(&[9])], &stored).lost, 1);
        let stored = HashMap::from([(7, (1..=3).map(message).collect::<Vec<_>>())]);
        let history = History { heard: stored[&7].clone(), ..acknowledged(&[2, 1]) };
        assert_eq!(check(&[history], &stored).reordered, 1);
    }

    #[test]
    fn receipts_only_move_forward() {
        let told = |receipts: &[(bool, &str)]| {
            let receipt = |(read, at): &(bool, &str)| Receipt { message: 1, user: 2, read: *read, at: (*at).into() };
            let receipts = receipts.iter().map(receipt).collect();
            check(&[History { receipts, ..History::default() }], &HashMap::new()).receipts_changed
        };
        assert_eq!(told(&[(false, "10"), (true, "11"), (true, "11"), (false, "10")]), 0);
        assert_eq!(told(&[(true, "11"), (true, "12")]), 1);
        assert_eq!(told(&[(true, "11"), (false, "12")]), 1);
    }
}
