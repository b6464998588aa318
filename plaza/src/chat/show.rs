//! How a conversation looks: a line for each thing, in words.

use std::collections::BTreeMap;

use chrono::{DateTime, Local};
use proto::chat::v1::{Message, MessageKind};

/// Names by id.
#[derive(Debug, Default)]
pub(super) struct Names(pub(super) BTreeMap<String, String>);

impl Names {
    pub(super) fn of(&self, id: &str, number: i64) -> String {
        match self.0.get(id) {
            Some(name) if !name.is_empty() => harmless(name),
            _ if number == 0 => "Plaza".to_owned(),
            _ => format!("person {number}"),
        }
    }
}

/// `#3 14:05 Ana Ejemplo: Hola`.
pub(super) fn message(message: &Message, names: &Names) -> String {
    let sender = names.of(&message.sender_id, message.sender_number);
    let at = message.created_at.as_ref().map_or(0, |at| at.seconds);
    let answer = if message.reply_to > 0 { format!(" (to #{})", message.reply_to) } else { String::new() };
    format!("#{} {} {sender}{answer}: {}", message.sequence, clock(at), content(message))
}

/// What it says, on one line as long as it is written on one.
pub(super) fn content(message: &Message) -> String {
    let file = match message.kind() {
        MessageKind::Image => "[picture]",
        MessageKind::File => "[file]",
        MessageKind::Voice => "[voice note]",
        MessageKind::Text | MessageKind::System | MessageKind::Unspecified => "",
    };
    match message {
        _ if message.deleted_at.is_some() => "[deleted]".to_owned(),
        _ if message.censored => "[taken away: it told contact details]".to_owned(),
        _ if message.text.is_empty() => file.to_owned(),
        _ if file.is_empty() => harmless(&message.text),
        _ => format!("{file} {}", harmless(&message.text)),
    }
}

/// How far a message of one's own has come, when it is shown.
pub(super) fn fate(message: &Message) -> &'static str {
    match &message.receipts {
        receipts if receipts.is_empty() => "sent",
        receipts if receipts.iter().all(|receipt| receipt.read_at.is_some()) => "read",
        receipts if receipts.iter().all(|receipt| receipt.delivered_at.is_some()) => "delivered",
        _ => "sent",
    }
}

/// `#5` or `#5–#9`.
pub(super) fn range(sequences: &[i64]) -> String {
    match sequences {
        [] => String::new(),
        [one] => format!("#{one}"),
        [first, .., last] => format!("#{first}–#{last}"),
    }
}

/// Here, in hours and minutes; with the day if it was another one.
pub(super) fn clock(seconds: i64) -> String {
    let at = DateTime::from_timestamp(seconds, 0).unwrap_or_default().with_timezone(&Local);
    let format = if at.date_naive() == Local::now().date_naive() { "%H:%M" } else { "%F %H:%M" };
    at.format(format).to_string()
}

/// What others wrote shall write on the terminal, and do nothing else to it.
pub(super) fn harmless(text: &str) -> String {
    text.replace("\r\n", "\n")
        .chars()
        .map(|c| match c {
            '\n' => "\n    ".to_owned(),
            '\t' => " ".to_owned(),
            c if c.is_control() => "\u{fffd}".to_owned(),
            c => c.to_string(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_write_cannot_move_the_cursor() {
        let names = Names(BTreeMap::from([("a".to_owned(), "Ana\u{1b}[2J".to_owned())]));
        let shown = message(
            &Message {
                sequence: 3,
                sender_id: "a".to_owned(),
                text: "uno\r\ndos\u{7}\u{9b}31m".to_owned(),
                reply_to: 2,
                ..Message::default()
            },
            &names,
        );
        assert!(shown.starts_with("#3 "), "{shown}");
        assert!(shown.ends_with(" Ana\u{fffd}[2J (to #2): uno\n    dos\u{fffd}\u{fffd}31m"), "{shown:?}");
    }
}
