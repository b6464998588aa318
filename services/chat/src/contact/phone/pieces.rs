//! Numbers told in several messages, whatever else is said between them, in whichever rooms: `11`, a sentence, `5550`,
//! `0142`. People also answer with nothing but a number, so what its pieces make must look like a phone more than what one
//! message tells: a zero where no size or price has one, or a word that says so.

use std::sync::LazyLock;

use regex::Regex;

use super::{Candidate, Group, PHONE, Says, Token, nearest, numbers, read, without_amounts};
use crate::contact::{fold, regex};

/// Bytes of a message in which a piece is looked for.
const LONGEST: usize = 500;

/// The number in a message that may be a part of a longer one.
#[derive(Debug)]
pub(in crate::contact) struct Piece {
    groups: Vec<Group>,
    /// Whether a word says that it is.
    named: bool,
}

/// Whether the piece of a text makes a phone with those before and after it, in their order.
pub(in crate::contact) fn told(before: &[Piece], own: &Piece, after: &[Piece]) -> bool {
    (0..=before.len()).any(|from| {
        (0..=after.len()).any(|to| {
            let pieces: Vec<_> = before[from..].iter().chain([own]).chain(&after[..to]).collect();
            pieces.len() > 1 && makes_phone(&pieces)
        })
    })
}

impl Piece {
    /// That of a text of few words, none of which says that its number is something else; or of a sentence that names one.
    pub(in crate::contact) fn of(text: &str, short: bool) -> Option<Self> {
        if text.len() > LONGEST {
            return None;
        }
        let masked = without_amounts(&fold::fold(text));
        let tokens = read(&masked, &super::TOKEN);
        let bare = short
            && tokens.iter().all(|token| match token {
                Token::Digits(_) => true,
                Token::Word(word) => NAMES.is_match(word) || FILLERS.is_match(word) || PHONE.is_match(word),
                Token::Gap(gap) => !gap.contains(['\u{1}', '$', '%', '°', '"']),
            });
        let mut piece = Self { groups: Vec::new(), named: false };
        for number in numbers(&tokens) {
            let length: usize = number.groups.iter().map(|group| group.digits.len()).sum();
            let zero = number.groups.iter().any(|group| group.begins_with_zero());
            let named = is_named(&tokens, number.first, number.last);
            piece.named |= named;
            // In a sentence, hours and pieces of things are told as well.
            if bare || named && (length >= 4 || zero) {
                piece.groups.extend(number.groups.into_iter().cloned());
            }
        }
        Some(piece).filter(|piece| (1..=9).contains(&piece.length()))
    }

    /// Whether somebody only corrected the other: `4500` to `4550` or `45000`.
    pub(in crate::contact) fn corrects(&self, former: &Self) -> bool {
        let (new, old) = (self.digits(), former.digits());
        let same = new.bytes().zip(old.bytes()).filter(|(new, old)| new == old).count();
        let within = |whole: &str, part: &str| whole.starts_with(part) || whole.ends_with(part);
        new.len() == old.len() && same * 2 >= new.len() || within(&new, &old) || within(&old, &new)
    }

    fn digits(&self) -> String {
        self.groups.iter().map(|group| group.digits.as_str()).collect()
    }

    fn length(&self) -> usize {
        self.groups.iter().map(|group| group.digits.len()).sum()
    }
}

/// Whether a word near it says that it is a phone or the part of one, and none that it is something else.
fn is_named(tokens: &[Token<'_>], first: usize, last: usize) -> bool {
    match nearest(tokens, first, last) {
        Some(says) => says == Says::Phone,
        None => tokens[first.saturating_sub(12)..first]
            .iter()
            .chain(tokens[last + 1..].iter().take(6))
            .any(|token| matches!(token, Token::Word(word) if NAMES.is_match(word))),
    }
}

fn makes_phone(pieces: &[&Piece]) -> bool {
    let groups: Vec<_> = pieces.iter().flat_map(|piece| &piece.groups).collect();
    let candidate = Candidate::of(&groups, false);
    let length = candidate.digits.len();
    if !(8..=13).contains(&length) || candidate.is_price() || candidate.is_years() || candidate.is_list() {
        return false;
    }
    let zero = groups[1..].iter().any(|group| group.begins_with_zero());
    let named = pieces.iter().any(|piece| piece.named);
    let words = groups.iter().filter(|group| group.said(1..=2)).count() >= 4;
    let singly = groups.iter().filter(|group| group.digits.len() == 1).count() >= 6;
    let round = |zeros| groups.iter().any(|group| group.ends_with(zeros));
    // What is measured or paid ends so more often than not.
    let even = round("0") || round("5");
    let lengths: Vec<_> = groups.iter().map(|group| group.digits.len()).collect();
    let last = lengths.last().copied().unwrap_or_default();
    let sure = words || singly || zero && !round("000") || named && !round("00");
    match length {
        8 if singly || words => true,
        8 => candidate.fits_a_plan() && (sure || lengths == [4, 4] && !even),
        10 if candidate.digits.starts_with("11") => sure || last >= 3 && lengths.len() <= 4 && !round("00"),
        _ => candidate.fits_a_plan() && (sure || last == 4 && lengths.len() <= 3 && !even),
    }
}

/// Words about a number that is told in parts.
static NAMES: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"(?x)^(?:digitos?|caracteristica|prefijo|empieza|arranca|comienza|termina|sigue|seguido
        |faltan?|resto|final|primeros?|primera|ultimos?|ultima|mitad|parte)$",
    )
});

/// Words that change nothing about what a number is.
static FILLERS: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"(?x)^(?:y|e|o|x|con|mi|numeros?|numerito|nro|num|es|el|eso|esto|ese|este|lo|que|va|ahi|aca|asi|ahora|despues|luego|entonces|otro|otra|segundo
        |segunda|ok|oka|okey|dale|listo|bueno|bien|si|no|ya|mira|fijate|toma|te|paso|mando|dejo|guion|raya|barra|coma
        |punto|espacio|medio|mas|junto|pegado|adelante|atras|antes|ja+|jaja\w*|jeje\w*|jiji\w*|gracias|porfa|favor|che
        |amigo|amiga|senor|senora|don|dona|vecino|vecina|perdon|digo|seria)$",
    )
});

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the last of these, after the others.
    fn found(texts: &[&str]) -> bool {
        let mut pieces: Vec<_> = texts.iter().filter_map(|text| Piece::of(text, text.len() < 30)).collect();
        pieces.pop().is_some_and(|own| told(&pieces, &own, &[]))
    }

    #[test]
    fn pieces_of_a_phone_are_put_together_whatever_is_between_them() {
        for texts in [
            &["11", "5550", "0142"][..],
            &["11", "después te explico todo lo de la obra, que son tres días", "5550", "dale", "0142"],
            &["anotá 11", "mi número sigue 5550", "y 0142"],
            &["once", "cinco cinco cinco cero", "cero uno cuatro dos"],
            &["empieza con 11 5550, después te digo lo que falta del número", "0142"],
            &["4555", "0142 al final jaja"],
            &["1", "1", "5", "5", "5", "0", "0", "1", "4", "2"],
            &["45", "11", "5553", "4142"],
        ] {
            assert!(found(texts), "{texts:?}");
        }
    }

    #[test]
    fn answers_of_one_number_are_not() {
        for texts in [
            &["45", "3", "12500"][..],
            &["2440", "1220"],
            &["4500", "3850"],
            &["11", "3500", "1250"],
            &["15", "2440", "1220"],
            &["10", "15", "20", "25", "30"],
            &["mide 11", "5550 pesos", "piso 0142"],
            &["a las 11 y media voy con el material de la obra", "5550", "14"],
            &["15", "20", "3", "4", "12"],
            &["2019", "2024"],
        ] {
            assert!(!found(texts), "{texts:?}");
        }
    }

    #[test]
    fn a_correction_repeats_most_of_what_it_corrects() {
        let corrects = |new: &str, old: &str| {
            let [new, old] = [new, old].map(|text| Piece::of(text, true).expect("it is one"));
            new.corrects(&old)
        };
        assert!(corrects("4550", "4500") && corrects("45000", "4500") && corrects("mi numero es 4550", "4500"));
        assert!(!corrects("0142", "5550") && !corrects("5550", "11") && !corrects("0142", "11 5550"));
    }
}
