//! Numbers whose groups something holds apart that a phone's has nothing to do with: `11 y 5550 y 0142`, `11x5550x0142`,
//! `11 : 5550 : 0142`, `1 1 5 5 5 o o 1 4 2`. Sizes, lists and sums are written in the same way, so only what has
//! the length of a phone, and is grouped like none of these, is one.

use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::{Candidate, Group, How, MASK, Says, Token, lists, nearest, parts, read};
use crate::contact::regex;

/// Whether what [`super::without_amounts`] left tells one.
pub(super) fn told(masked: &str) -> bool {
    let days = DAY.replace_all(masked, |_: &Captures<'_>| MASK);
    let mut tokens = read(&days, &APART);
    read_letters(&mut tokens);
    chains(&tokens).iter().any(|chain| chain.has_phone(&tokens))
}

/// Here letters end a group too: `120x80`.
static APART: LazyLock<Regex> = LazyLock::new(|| regex("[0-9]+|[a-z]+|[^a-z0-9]+"));
/// `15/06`.
static DAY: LazyLock<Regex> = LazyLock::new(|| regex(r"\b(?:0?[1-9]|[12]\d|3[01])/(?:0?[1-9]|1[0-2])\b"));

/// Makes digits of `o`, `l` and `i` in `1 1 5 5 5 o o 1 4 2`; in `1 o 2 o 3` it is a word.
fn read_letters(tokens: &mut [Token<'_>]) {
    let near = |token: Option<&Token<'_>>| match token {
        Some(Token::Digits(group)) => group.digits.len() == 1,
        Some(Token::Word(word)) => like_digits(word),
        _ => false,
    };
    let found: Vec<_> = (2..tokens.len().saturating_sub(2))
        .filter(|at| matches!(tokens[*at], Token::Word(word) if like_digits(word)))
        .filter(|at| near(tokens.get(at - 2)) && near(tokens.get(at + 2)))
        .collect();
    // As many as there are in a phone, and not every other one.
    if found.is_empty() || found.len() > 6 || found.len() > 2 && !found.windows(2).any(|pair| pair[1] == pair[0] + 2) {
        return;
    }
    for at in found {
        if let Token::Word(word) = tokens[at] {
            let digits = word.replace('o', "0").replace(['l', 'i'], "1");
            tokens[at] = Token::Digits(Group { digits, how: How::Disguised });
        }
    }
}

fn like_digits(word: &str) -> bool {
    word.len() <= 4 && word.bytes().all(|b| matches!(b, b'o' | b'l' | b'i'))
}

/// Words that hold together what they part.
const JOINERS: &[&str] = &[
    "y", "e", "x", "con", "por", "mas", "entonces", "despues", "luego", "sigue", "seguido", "guion", "raya", "barra",
    "coma", "punto", "espacio", "medio",
];
/// They follow what is measured, counted or paid.
const UNITS: &[&str] = &[
    "m", "mt", "mts", "metro", "metros", "cm", "mm", "km", "kg", "kilos", "g", "gr", "l", "lts", "litros", "h", "hs",
    "hora", "horas", "min", "minutos", "dia", "dias", "mes", "meses", "pesos", "mil", "u", "unidades", "cuotas", "w",
    "v", "k", "mb", "gb", "hp", "rpm", "bar", "pulgadas", "varas", "c",
];

/// What stands between two groups.
#[derive(Debug)]
enum Joint<'a> {
    /// What may stand between those of a phone.
    None,
    /// The comma of a list, or a sign of sums.
    Sign,
    Word(&'a str),
}

/// Groups with joints between them.
#[derive(Debug, Default)]
struct Chain<'a> {
    groups: Vec<&'a Group>,
    /// Where each stands among the tokens.
    places: Vec<usize>,
    /// Before each group but the first.
    joints: Vec<Joint<'a>>,
}

fn chains<'a>(tokens: &'a [Token<'_>]) -> Vec<Chain<'a>> {
    let mut chains = vec![Chain::default()];
    for (at, token) in tokens.iter().enumerate() {
        let Token::Digits(group) = token else { continue };
        let mut chain = chains.pop().unwrap_or_default();
        let joint = chain.places.last().and_then(|last| joint(&tokens[*last..=at]));
        match joint {
            Some(joint) => chain.joints.push(joint),
            None => chains.push(std::mem::take(&mut chain)),
        }
        chain.groups.push(group);
        chain.places.push(at);
        chains.push(chain);
    }
    chains
}

/// What stands between the first and the last of these, if it holds them together.
fn joint<'a>(tokens: &'a [Token<'_>]) -> Option<Joint<'a>> {
    let [Token::Digits(before), between @ .., Token::Digits(after)] = tokens else { return None };
    let mut words = between.iter().filter_map(|token| if let Token::Word(word) = token { Some(*word) } else { None });
    let gaps = between.iter().filter_map(|token| if let Token::Gap(gap) = token { Some(*gap) } else { None });
    let (mut signs, mut length) = (false, 0);
    for gap in gaps {
        if gap.contains('\u{1}') {
            return None;
        }
        signs |= parts(gap) || lists(gap, before, after);
        length += gap.chars().count();
    }
    let (first, second) = (words.next(), words.next());
    let joins = |word: Option<&str>| word.is_some_and(|word| JOINERS.contains(&word));
    let article = matches!(second, Some("el" | "los"));
    // `12 con 50` is an amount.
    let amount = first == Some("con") && after.digits.len() <= 2 && before.digits.len() > 2;
    if length > 40
        || words.next().is_some()
        || second.is_some() && !(joins(first) && (article || joins(second)))
        || amount
    {
        return None;
    }
    Some(match first {
        Some(word) => Joint::Word(word),
        None if signs => Joint::Sign,
        None => Joint::None,
    })
}

impl Chain<'_> {
    fn has_phone(&self, tokens: &[Token<'_>]) -> bool {
        // No group is empty, so a phone has at most 13 of them.
        (0..self.groups.len()).any(|from| {
            let mut length = 0;
            let ends = self.groups[from..].iter().take_while(|group| {
                length += group.digits.len();
                length <= 13
            });
            (from + 1..from + ends.count()).any(|to| self.is_phone(tokens, from, to))
        })
    }

    /// Whether the groups from one to another are one.
    fn is_phone(&self, tokens: &[Token<'_>], from: usize, to: usize) -> bool {
        let (groups, joints) = (&self.groups[from..=to], &self.joints[from..to]);
        let letters = groups.iter().any(|group| group.how == How::Disguised);
        // What nothing holds apart has been read.
        if !letters && joints.iter().all(|joint| matches!(joint, Joint::None)) {
            return false;
        }
        let candidate = Candidate::of(groups, false);
        let length = candidate.digits.len();
        if length < 8 {
            return false;
        }
        if candidate.is_price() || candidate.is_years() || candidate.is_list() {
            return false;
        }
        let after = tokens[self.places[to] + 1..]
            .iter()
            .find(|token| !matches!(token, Token::Gap(gap) if gap.trim().is_empty()));
        let zero = groups[1..].iter().any(|group| group.begins_with_zero());
        if !zero && matches!(after, Some(Token::Word(unit)) if UNITS.contains(unit)) {
            return false;
        }
        let said = nearest(tokens, self.places[from], self.places[to]);
        if matches!(said, Some(Says::Other | Says::Price)) {
            return false;
        }
        let lengths: Vec<_> = groups.iter().map(|group| group.digits.len()).collect();
        let sized = joints.iter().any(|joint| matches!(joint, Joint::Word("x" | "por")));
        let round = groups.iter().any(|group| group.ends_with(if sized { "0" } else { "00" }));
        // In `2x4 3x5` something else parts one size from the next.
        let evenly = !sized || joints.iter().all(|joint| matches!(joint, Joint::Word(_)));
        let singly = evenly && lengths.iter().filter(|length| **length == 1).count() >= 6;
        let words = groups.iter().filter(|group| group.said(1..=2)).count() >= 4;
        let sure = zero || singly || words || said == Some(Says::Phone) && !round;
        let has = |wanted: fn(&Joint<'_>) -> bool| joints.iter().any(wanted);
        let ends_round = groups.iter().any(|group| group.ends_with("0"));
        let called = said == Some(Says::Phone) && lengths == [2, 4, 4] && !ends_round;
        let long_zero = groups[1..].iter().any(|group| group.begins_with_zero() && group.digits.len() > 2);
        if has(|joint| matches!(joint, Joint::Sign)) && !sure || foreign(joints) && !long_zero && !called {
            return false;
        }
        // Days and hours: `15-01 y 20-02 y 11`.
        let pairs = lengths.iter().all(|length| *length <= 2);
        let mixed = has(|joint| matches!(joint, Joint::None)) && has(|joint| matches!(joint, Joint::Word(_)));
        if pairs && mixed && !singly && !words {
            return false;
        }
        let last = lengths.last().copied().unwrap_or_default();
        match length {
            8 if singly || words => true,
            8 if pairs => said == Some(Says::Phone) && zero,
            8 => {
                (long_zero && candidate.fits_a_plan() || said == Some(Says::Phone) && !ends_round)
                    && !round
                    && matches!(lengths[..], [4, 4] | [2, 2, 4] | [4, 2, 2])
            }
            9 => false,
            10 if candidate.digits.starts_with("11") || candidate.digits.starts_with("15") => {
                sure || !round && (last >= 3 || pairs && !sized)
            }
            10 => candidate.fits_a_plan() && (sure || !round && last == 4 && lengths[0] >= 2),
            _ => candidate.fits_a_plan() && (sure || !round && last == 4),
        }
    }
}

/// Whether some word between them is neither usual there nor the same each time.
fn foreign(joints: &[Joint<'_>]) -> bool {
    let words: Vec<_> = joints
        .iter()
        .filter_map(|joint| if let Joint::Word(word) = joint { Some(*word) } else { None })
        .filter(|word| !JOINERS.contains(word))
        .collect();
    let same = words.len() >= 2 && words.iter().all(|word| *word == words[0]) && !UNITS.contains(&words[0]);
    !words.is_empty() && !same
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_may_be_joined_by_anything_that_is_no_measure() {
        for phone in [
            "11 y 5550 y 0142",
            "11x5550x0142",
            "11 con 5550 con 0142",
            "11y5550y0142",
            "11pollo5550pollo0142",
            "11 jaja 5550 jaja 0142",
            "1155 y 500142",
            "11, 5550, 0142",
            "11 : 5550 : 0142",
            "11 y 55 y 50 y 01 y 42",
            "1 y 1 y 5 y 5 y 5 y 0 y 0 y 1 y 4 y 2",
            "11s5550s0142",
            "cel 4555 y 0142",
            "8855x0142",
            "11 y el 5550 y el 0142",
            "cel 88 y 55 y 01 y 42",
            "cel 11 perro 5553 gato 4142",
            "1 1 5 5 5 o o 1 4 2",
            "once y cinco y cinco y cinco y cero y cero y uno y cuatro y dos",
            "11 y despues 5550 y despues 0142",
            "351 y 555 y 0142",
            "11 ........... 5550 ........... 0142",
        ] {
            assert!(told(phone), "{phone}");
        }
    }

    #[test]
    fn sizes_lists_and_sums_are_left_alone() {
        for honest in [
            "3 x 5 x 10",
            "2x4x6 m",
            "tablero 120x80x18",
            "entre 10 y 15 y 20",
            "de 8 a 12 y de 14 a 18",
            "2440x1220x18",
            "15 x 2440 x 1220",
            "3050 x 1500 x 20",
            "11 y 1500 y 2350",
            "1150 con 50 y 1500",
            "1 o 2 o 3 o 4 o 5 o 6",
            "250 + 1500 + 320",
            "el 11/01, 15/02 y 20/03",
            "medidas 11 y 2445 y 1225",
            "compre 11 bolsas 4550 clavos 1225",
            "15000 y 25500",
            "11 y 15 y 20 y 25 y 30",
            "12x4 4x6 3x8 2x9 m",
            "calle 11 y 55 nro 1042",
            "11x2445x1225mm",
            "10 por 15 por 20 y 12 por 18 por 22",
            "del 15-01 al 20-02 y 11-03",
            "3x3 2x4 3x6 2x8",
        ] {
            assert!(!told(honest), "{honest}");
        }
    }
}
