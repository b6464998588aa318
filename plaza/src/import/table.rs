//! What an import says at its end.

use kit::bulk::import::Outcome;

use crate::import::dump::Read;

/// A line each, in this order.
const KINDS: [&str; 14] = [
    "accounts",
    "people",
    "files",
    "profiles",
    "categories",
    "ads",
    "follows",
    "rooms",
    "messages",
    "receipts",
    "communities",
    "posts",
    "comments",
    "reactions",
];

/// What became of everything.
pub(crate) fn table(outcome: &Outcome, read: &Read, dry_run: bool) -> String {
    let mut rows = vec![format!("\n  {:<14}{:>12}{:>12}{:>12}", "", "imported", "there", "left out")];
    for what in KINDS {
        let of = outcome.counts.iter().filter(|(found, _, _)| found == what);
        let (mut imported, mut there, mut reasons) = (0, 0, Vec::new());
        for (_, became, count) in of {
            match &**became {
                "imported" => imported += count,
                "there" => there += count,
                reason => reasons.push((reason, count)),
            }
        }
        let left: i64 = reasons.iter().map(|(_, count)| *count).sum();
        rows.push(format!("  {what:<14}{imported:>12}{there:>12}{left:>12}"));
        reasons.sort_unstable();
        rows.extend(reasons.iter().map(|(reason, count)| format!("  {:<38}{count:>12}  {reason}", "")));
    }
    let others =
        read.others.iter().map(|(model, count)| (format!("objects of {model} are not imported"), *count as i64));
    let notes: Vec<_> = outcome.notes.iter().cloned().chain(others).collect();
    if !notes.is_empty() {
        rows.push(String::new());
        rows.extend(notes.iter().map(|(note, count)| format!("  {count:>12} {note}")));
    }
    let conflicting = outcome.count("conflict");
    if conflicting > 0 {
        rows.push(format!("\n  {conflicting} in conflict with what is here, which stays as it is:"));
        rows.extend(outcome.conflicts.iter().map(|conflict| format!("    {conflict}")));
        if conflicting > outcome.conflicts.len() as i64 {
            rows.push("    …".to_owned());
        }
    }
    if dry_run {
        rows.push("\n  Nothing was written: it was a dry run.".to_owned());
    }
    rows.join("\n")
}
