//! Contact details in messages, as people write them in Spanish, and as they disguise them: `11 5550-0142`, `once
//! cinco cinco…`, `11 y 5550 y 0142`, `2O2-5S5-O125`, `juan arroba gmail punto com`, `w.a.s.a.p`. What only looks like
//! one is left alone: prices, dates, times, measures, addresses, numbers of parts and papers.
//!
//! First the text is made plain (`fold`), then numbers are read as groups of digits (`phone`), and everything that is
//! words is looked for by regular expressions (`patterns`). All of it is linear in the text. How good it is, a test
//! measures on `tests/data/contacts.tsv`.

mod fold;
mod patterns;
mod phone;

use std::collections::BTreeSet;

use regex::Regex;

use phone::pieces::Piece;

/// What a message told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Phone,
    Email,
    /// A page, or a chat elsewhere by its address.
    Link,
    /// A name in another network, or that one should go on there.
    Handle,
}

impl Kind {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Phone => "PHONE",
            Self::Email => "EMAIL",
            Self::Link => "LINK",
            Self::Handle => "HANDLE",
        }
    }
}

/// A message of more words or bytes than these is no fragment of a detail that is told in pieces.
const FRAGMENT: (usize, usize) = (5, 100);
/// How many messages a detail may be told in.
const PIECES: usize = 12;

/// What this text tells, each kind once, in their order.
pub fn find(text: &str) -> Vec<Kind> {
    let folded = fold::fold(text);
    let joined = fold::joined(&folded);
    let mut found = BTreeSet::new();
    // `c i n c o` is a word only when it is joined.
    if phone::told(&folded) || joined.len() < folded.trim_end().len() && phone::told(&joined) {
        found.insert(Kind::Phone);
    }
    patterns::search(&joined, &mut found);
    found.into_iter().collect()
}

/// Whether it is short enough to be a part of something that is told in pieces.
pub fn is_fragment(text: &str) -> bool {
    let (words, bytes) = FRAGMENT;
    text.len() <= bytes && text.split_whitespace().nth(words).is_none()
}

/// Whether it may be a part of a number or an address, whatever is said before its other parts.
pub fn is_piece(text: &str) -> bool {
    let short = is_fragment(text);
    Piece::of(text, short).is_some() || short && patterns::hint(&fold::joined(&fold::fold(text)))
}

/// Whether one text says what another said before, only with the number corrected.
pub fn corrects(text: &str, former: &str) -> bool {
    let piece = |text| Piece::of(text, is_fragment(text));
    piece(text).is_some_and(|new| piece(former).is_some_and(|old| new.corrects(&old)))
}

/// What is told only by this text together with the messages that the same person sent just before it, oldest first:
/// `once` / `cinco cinco cinco cero` / `cero uno cuatro dos`. Only fragments are put together, see [`is_fragment`].
pub fn find_across(previous: &[&str], text: &str) -> Vec<Kind> {
    find_around(previous, text, &[])
}

/// The same of a text that stands between what its sender said before and after it, in their order.
pub fn find_around(previous: &[&str], text: &str, following: &[&str]) -> Vec<Kind> {
    if !is_fragment(text) {
        return Vec::new();
    }
    let fragments = previous.iter().rev().take(PIECES).take_while(|text| is_fragment(text)).count();
    let mut before = &previous[previous.len() - fragments..];
    let fragments = following.iter().take(PIECES).take_while(|text| is_fragment(text)).count();
    let mut after = &following[..fragments];
    // What is told without this text was told otherwise.
    while let [_, rest @ ..] = before
        && !find(&before.join(" ")).is_empty()
    {
        before = rest;
    }
    while let [rest @ .., _] = after
        && !find(&after.join(" ")).is_empty()
    {
        after = rest;
    }
    if before.is_empty() && after.is_empty() {
        return Vec::new();
    }
    let alone = find(text);
    let together = find(&[before, &[text], after].concat().join(" "));
    together.into_iter().filter(|kind| !alone.contains(kind)).collect()
}

/// What is told only by this text together with pieces before and after it, which sentences may part: numbers, mails and
/// links. See [`is_piece`].
pub fn find_pieces(before: &[&str], text: &str, after: &[&str]) -> Vec<Kind> {
    let alone = find(text);
    let short = is_fragment(text);
    let mut found = Vec::new();
    if let Some(own) = Piece::of(text, short) {
        let pieces = |texts: &mut dyn Iterator<Item = &&str>| {
            texts.filter_map(|text| Piece::of(text, is_fragment(text))).take(PIECES).collect::<Vec<_>>()
        };
        let mut earlier = pieces(&mut before.iter().rev());
        earlier.reverse();
        if phone::pieces::told(&earlier, &own, &pieces(&mut after.iter())) {
            found.push(Kind::Phone);
        }
    }
    if short && patterns::hint(&fold::joined(&fold::fold(text))) {
        let fragments = |texts: &mut dyn Iterator<Item = &&str>| {
            texts.copied().filter(|text| is_fragment(text)).take(PIECES).map(str::to_owned).collect::<Vec<_>>()
        };
        let mut earlier = fragments(&mut before.iter().rev());
        earlier.reverse();
        let (before, after) = (earlier.join(" "), fragments(&mut after.iter()).join(" "));
        let apart = [find(&before), find(&after)].concat();
        let together = find(&[&*before, text, &*after].join(" "));
        let address = |kind: &Kind| matches!(kind, Kind::Email | Kind::Link);
        found.extend(together.into_iter().filter(|kind| address(kind) && !apart.contains(kind)));
    }
    found.retain(|kind| !alone.contains(kind));
    found
}

/// Compiles a pattern for folded text. Words are ASCII there, and only with such bounds does the automaton stay the
/// fast one when something else stands between them.
fn regex(pattern: &str) -> Regex {
    let ascii = pattern.replace(r"\b", r"(?-u:\b)").replace(r"\w", "[a-z0-9_]").replace(r"\d", "[0-9]");
    Regex::new(&ascii).expect("patterns are constants, and tests compile them")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const LABELLED: &str = include_str!("../tests/data/contacts.tsv");

    #[derive(Default)]
    struct Score {
        hits: u32,
        false_alarms: u32,
        misses: u32,
        silences: u32,
    }

    impl Score {
        fn note(&mut self, told: bool, found: bool) {
            *match (told, found) {
                (true, true) => &mut self.hits,
                (false, true) => &mut self.false_alarms,
                (true, false) => &mut self.misses,
                (false, false) => &mut self.silences,
            } += 1;
        }

        fn precision(&self) -> f64 {
            f64::from(self.hits) / f64::from((self.hits + self.false_alarms).max(1))
        }

        fn recall(&self) -> f64 {
            f64::from(self.hits) / f64::from((self.hits + self.misses).max(1))
        }
    }

    #[test]
    fn labelled_messages_are_told_apart() {
        let mut scores: BTreeMap<(&str, &str), Score> = BTreeMap::new();
        for line in LABELLED.lines().skip(1) {
            let [half, kinds, message] = *line.split('\t').collect::<Vec<_>>() else { panic!("three columns: {line}") };
            let found = find(message);
            scores.entry((half, "any")).or_default().note(kinds != "-", !found.is_empty());
            for kind in [Kind::Phone, Kind::Email, Kind::Link, Kind::Handle] {
                let told = kinds.split(',').any(|name| name == kind.name());
                scores.entry((half, kind.name())).or_default().note(told, found.contains(&kind));
            }
            // Nobody looks at single messages of the other half.
            if half == "development"
                && found.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(",") != kinds.replace('-', "")
            {
                println!("{kinds} read as {found:?}: {message}");
            }
        }
        for ((half, kind), score) in &scores {
            println!(
                "{half} {kind}: precision {:.3}, recall {:.3} ({} hits, {} false alarms, {} misses, {} left alone)",
                score.precision(),
                score.recall(),
                score.hits,
                score.false_alarms,
                score.misses,
                score.silences,
            );
        }
        let any = |half| &scores[&(half, "any")];
        assert!(any("development").precision() >= 0.99 && any("development").recall() >= 0.98);
        assert!(any("held-out").precision() >= 0.97 && any("held-out").recall() >= 0.95);
    }

    #[test]
    fn details_told_in_pieces_are_put_together() {
        assert_eq!(find_across(&["hola", "mi número es", "11", "5550"], "0142"), [Kind::Phone]);
        assert_eq!(find_across(&["once", "cinco cinco cinco cero"], "cero uno cuatro dos"), [Kind::Phone]);
        assert_eq!(find_across(&["juan.obras", "arroba"], "gmail"), [Kind::Email]);
        assert_eq!(find_across(&["¿cuántos metros?", "45"], "o 50 mejor"), []);
        assert_eq!(find_across(&["Necesito pintar un cuarto de la casa esta semana"], "mide 12"), []);
        assert_eq!(find_across(&["11 5550 0142"], "¿lo anotaste?"), [], "that was told before");
        assert_eq!(find_across(&["11", "5550 0142"], "llamame al 11 5550 0143"), [], "and this is told alone");
        assert_eq!(find_across(&[], "11 5550 0142"), []);
    }

    #[test]
    fn a_piece_may_stand_before_the_others_or_between_them() {
        assert_eq!(find_around(&[], "once cinco cinco", &["cinco cero", "cero uno cuatro dos"]), [Kind::Phone]);
        assert_eq!(find_around(&["once", "cinco cinco"], "cinco cero", &["cero uno cuatro dos"]), [Kind::Phone]);
        assert_eq!(find_around(&["juan.obras"], "arroba", &["gmail", "dale"]), [Kind::Email]);
        assert_eq!(find_around(&["¿cuántos metros?"], "45", &["o 50 mejor"]), []);
        assert_eq!(find_around(&[], "¿lo anotaste?", &["11 5550 0142"]), [], "that is told without it");
        assert_eq!(find_around(&["11"], "Necesito pintar un cuarto de la casa esta semana", &["5550 0142"]), []);
    }

    #[test]
    fn pieces_of_addresses_are_put_together_over_sentences() {
        let sentence = "mañana paso a ver la obra con el material que falta";
        assert!(is_piece("11") && is_piece("arroba gmail") && !is_piece("dale, gracias") && !is_piece(sentence));
        assert_eq!(find_pieces(&["juan.obras", sentence], "arroba gmail", &[]), [Kind::Email]);
        assert_eq!(find_pieces(&["obrasnorte", sentence], ".com", &[]), [Kind::Link]);
        assert_eq!(find_pieces(&["11", sentence], "5550", &["dale", sentence, "0142"]), [Kind::Phone]);
        assert_eq!(find_pieces(&["juan arroba gmail", sentence], "punto com?", &["no"]), [], "that is told without it");
        assert_eq!(find_pieces(&["¿qué medida?", sentence], "45", &["12500"]), []);
    }

    #[test]
    fn a_long_message_is_read_to_its_end() {
        // Were the reading quadratic in any of these, this would take minutes.
        for unit in [
            "1 ", "1; ", "uno ", "a@", "w.", "@ ", "1.", "mi ", "arroba ", "www ", "\u{fdfa}", "1️⃣", "1 y ", "doble ",
            "1x", "11x5550x", "1 o ", "o l ", "1, ", "cero y ", "1 a ", "_arroba", "w ", "01 ", "1 pesos ", "cien ",
            "1.1 ", "2 ceros ", "11 con ", "15/06 y ", "aarroba", "busco ",
        ] {
            let long = unit.repeat(10_000 / unit.chars().count());
            assert_eq!(find(&format!("{long} llamame al 11 5550 0142")).first(), Some(&Kind::Phone), "after {unit:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_text_makes_it_panic(text: String, previous: Vec<String>) {
            let previous: Vec<_> = previous.iter().map(String::as_str).collect();
            let _ = (find(&text), find_across(&previous, &text), find_around(&[], &text, &previous));
            let _ = (is_piece(&text), find_pieces(&previous, &text, &previous), corrects(&text, &text));
        }

        #[test]
        fn the_id_of_a_job_tells_nothing(id: u128) {
            prop_assert_eq!(find(&uuid::Uuid::from_u128(id).to_string()), []);
        }

        #[test]
        fn nor_one_made_of_what_it_knows(words in proptest::collection::vec(
            "[0-9oils]{1,4}|uno|once|veinte|y|doble|arroba|punto|gmail|com|[@.,/()$+:-]|wsp|insta|mi|es|\u{20e3}|ñ|１", 0..60,
        ), blank in "[ .]?") {
            let text = words.join(&blank);
            let _ = (find(&text), find_pieces(&[&text, &text], &text, &[]));
        }

        #[test]
        fn a_mobile_is_found_however_it_is_cut(line in 4_000_000u32..9_999_999, cuts in proptest::collection::vec(0usize..9, 0..4), gap in "[ .*_/-]|\u{200b}| - ") {
            prop_assume!(line % 100 != 0);
            let digits = format!("115{line}");
            let mut written = String::new();
            for (at, digit) in digits.chars().enumerate() {
                if at > 0 && cuts.contains(&(at - 1)) {
                    written.push_str(&gap);
                }
                written.push(digit);
            }
            // `1.154.000.001` is written as amounts are, and taken for one.
            let amount = gap == "." && written.split('.').skip(1).all(|group| group.len() == 3);
            prop_assume!(!amount || !written.contains('.'));
            prop_assert!(find(&format!("llamame al {written}")).contains(&Kind::Phone), "{}", written);
        }
    }
}
