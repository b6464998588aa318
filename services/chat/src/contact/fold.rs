//! Makes a text plain: whatever a reader takes for the letter `a` or the digit `1` becomes that.

use std::iter::once;
use std::sync::LazyLock;

use regex::{Captures, Regex};
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use super::regex;

/// Lower case without accents, wide, circled and mathematical forms (NFKD), marks, invisible characters and look-alikes
/// of other scripts. `１`, `①`, `❶`, `1️⃣` and `𝟏` are all `1`.
pub(super) fn fold(text: &str) -> String {
    // `No sirve.Ni hoy` lacks a blank, and is no address in Nicaragua.
    SENTENCES
        .replace_all(text, "$end. $begin")
        .chars()
        // In `nº 4` and `1ª` it is a mark, not the letter that NFKD makes of it.
        .map(|c| if matches!(c, 'º' | 'ª' | '№') { '°' } else { c })
        .nfkd()
        .filter(|c| !is_combining_mark(*c) && !invisible(*c))
        .map(plain)
        .flat_map(char::to_lowercase)
        .collect()
}

static SENTENCES: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?P<end>[a-zñáéíóúü])\.(?P<begin>[A-ZÑÁÉÍÓÚ])").expect("a constant that tests compile")
});

fn invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2064}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

/// What NFKD keeps apart although it looks the same.
fn plain(c: char) -> char {
    let digit = |zero: char| char::from(b'0' + (c as u32 - zero as u32) as u8);
    match c {
        '❶'..='❾' => digit('\u{2775}'),
        '➀'..='➈' => digit('\u{277f}'),
        '➊'..='➒' => digit('\u{2789}'),
        '⓵'..='⓽' => digit('\u{24f4}'),
        '⓿' => '0',
        '٠'..='٩' => digit('٠'),
        '۰'..='۹' => digit('۰'),
        '०'..='९' => digit('०'),
        'а' | 'А' => 'a',
        'е' | 'Е' => 'e',
        'о' | 'О' | 'ο' | 'Ο' => 'o',
        'р' | 'Р' => 'p',
        'с' | 'С' => 'c',
        'х' | 'Х' => 'x',
        'і' | 'І' | 'ı' => 'i',
        'ѕ' => 's',
        '‐'..='―' | '−' | '➖' => '-',
        '⁄' | '∕' => '/',
        '➕' => '+',
        _ => c,
    }
}

/// The text with its spelled words written together, `w.a.s.a.p` and `j u a n @ g m a i l . c o m`, and with letters
/// for digits in words like `arr0ba`.
pub(super) fn joined(folded: &str) -> String {
    let mut joined = String::with_capacity(folded.len());
    let mut spelled = String::new();
    for word in folded.split_whitespace().map(unspelled).chain(once(String::new())) {
        if word.chars().count() == 1 {
            spelled.push_str(&word);
            continue;
        }
        // Fewer are words like `y`, `a` and `o`, or numbers.
        if spelled.chars().filter(|c| c.is_alphabetic()).count() >= 4 {
            joined.push_str(&spelled);
            joined.push(' ');
        } else {
            spelled.chars().for_each(|c| joined.extend([c, ' ']));
        }
        spelled.clear();
        joined.push_str(&word);
        joined.push(' ');
    }
    joined.truncate(joined.trim_end().len());
    lettered(&joined)
}

/// `w.a.s.a.p` → `wasap`; any other word as it is.
fn unspelled(word: &str) -> String {
    let gap = |c: char| matches!(c, '.' | '-' | '_' | '*' | '/' | '|');
    let letters = || word.split(gap).filter(|part| !part.is_empty());
    let spelled =
        letters().count() >= 4 && letters().all(|part| part.len() == 1 && part.as_bytes()[0].is_ascii_alphabetic());
    if spelled { letters().collect() } else { word.to_owned() }
}

/// Words that only disguise makes somebody write with digits.
static DISGUISED: LazyLock<Regex> = LazyLock::new(|| {
    regex(r"^(?:arroba|punto|gmail|hotmail|outlook|yahoo|w\w*sapp?|telegram|instagram|insta|facebook|face)$")
});
static MIXED: LazyLock<Regex> = LazyLock::new(|| regex("[a-z0-9]+"));

fn lettered(text: &str) -> String {
    let letter = |c: char| match c {
        '0' => 'o',
        '1' => 'i',
        '3' => 'e',
        '4' => 'a',
        '5' => 's',
        _ => c,
    };
    MIXED
        .replace_all(text, |word: &Captures<'_>| {
            let read: String = word[0].chars().map(letter).collect();
            if DISGUISED.is_match(&read) { read } else { word[0].to_owned() }
        })
        .into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn look_alikes_become_what_they_look_like() {
        assert_eq!(fold("ÁRBOL ｗｈａｔｓ ⓐⓑ 𝟏１①❶1️⃣²"), "arbol whats ab 111112");
        assert_eq!(fold("а\u{200b}r\u{ad}rоba — 4º ½"), "arroba - 4° 1/2");
    }

    #[test]
    fn spelled_words_are_joined_and_short_ones_are_not() {
        assert_eq!(joined("mi w a s a p o w.a.s.a.p"), "mi wasapo wasap");
        assert_eq!(joined("a 3 y a 4, s.r.l."), "a 3 y a 4, s.r.l.");
        assert_eq!(joined("rosa2 4rr0b4 gm4il"), "rosa2 arroba gmail");
        assert_eq!(joined("m a r i o @ g m a i l . c o m"), "mario@gmail.com");
    }
}
