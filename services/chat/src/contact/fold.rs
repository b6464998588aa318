//! Makes a text plain: whatever a reader takes for the letter `a` or the digit `1` becomes that.

use std::collections::BTreeSet;
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
        .flat_map(char::to_lowercase)
        .map(plain)
        .collect()
}

static SENTENCES: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?P<end>[a-zñáéíóúü])\.(?P<begin>[A-ZÑÁÉÍÓÚ])").expect("a constant that tests compile")
});

fn invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

/// The zeros of scripts whose digits NFKD leaves as they are.
const ZEROS: &[char] = &[
    '٠', '۰', '߀', '०', '০', '੦', '૦', '୦', '௦', '౦', '೦', '൦', '෦', '๐', '໐', '༠', '၀', '႐', '០', '᠐', '᥆', '᧐', '᪀',
    '᪐', '᭐', '᮰', '᱀', '᱐', '꘠', '꣐', '꤀', '꧐', '꧰', '꩐', '꯰',
];
/// Letters in the form of small capitals, in their order.
const SMALL: &str = "ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘꞯʀꜱᴛᴜᴠᴡxʏᴢ";

/// What NFKD keeps apart although it looks the same, of what is in lower case.
fn plain(c: char) -> char {
    if c.is_ascii() {
        return c;
    }
    let of = |first: char, range: char| char::from(range as u8 + (c as u32 - first as u32) as u8);
    if let Some(zero) = ZEROS.iter().find(|zero| (0..10).contains(&(i64::from(c as u32) - i64::from(**zero as u32)))) {
        return of(*zero, '0');
    }
    if let Some(place) = SMALL.chars().position(|small| small == c) {
        return char::from(b'a' + place as u8);
    }
    match c {
        '❶'..='❾' => of('❶', '1'),
        '➀'..='➈' => of('➀', '1'),
        '➊'..='➒' => of('➊', '1'),
        '⓵'..='⓽' => of('⓵', '1'),
        '⚀'..='⚅' => of('⚀', '1'),
        // Circled, squared, and as flags are made of.
        '\u{1f150}'..='\u{1f169}' => of('\u{1f150}', 'a'),
        '\u{1f170}'..='\u{1f189}' => of('\u{1f170}', 'a'),
        '\u{1f1e6}'..='\u{1f1ff}' => of('\u{1f1e6}', 'a'),
        '⓿' | '〇' | '零' => '0',
        '一' => '1',
        '二' => '2',
        '三' | 'з' => '3',
        '四' => '4',
        '五' => '5',
        '六' | 'б' => '6',
        '七' => '7',
        '八' => '8',
        '九' => '9',
        'а' | 'α' => 'a',
        'в' | 'β' => 'b',
        'с' => 'c',
        'е' | 'ε' => 'e',
        'ɡ' => 'g',
        'н' | 'һ' => 'h',
        'і' | 'ı' | 'ι' => 'i',
        'ј' => 'j',
        'к' | 'κ' => 'k',
        'м' => 'm',
        'о' | 'ο' | 'ø' | 'θ' => 'o',
        'р' | 'ρ' => 'p',
        'ѕ' => 's',
        'т' | 'τ' => 't',
        'υ' => 'u',
        'ν' => 'v',
        'ԝ' | 'ω' => 'w',
        'х' | 'χ' => 'x',
        'у' | 'γ' => 'y',
        '‐'..='―' | '−' | '➖' => '-',
        '⁄' | '∕' => '/',
        '➕' => '+',
        // Nothing to be seen.
        '\u{2800}' | '\u{3164}' | '\u{115f}' | '\u{1160}' | '\u{ffa0}' => ' ',
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
        // Fewer are words like `y`, `a` and `o`, or numbers, as in `1 o 2 o 3 o 4 o 5`.
        let letters: Vec<char> = spelled.chars().filter(|c| c.is_alphabetic()).collect();
        if letters.len() >= 4 && letters.iter().collect::<BTreeSet<_>>().len() >= 3 {
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
    // `juan_arroba_gmail`.
    SIGNED.replace_all(&lettered(&joined), " $said ").into_owned()
}

static SIGNED: LazyLock<Regex> = LazyLock::new(|| regex(r#"[-_*~"'|+=/]+(?P<said>arr?o[bv]a|punto)[-_*~"'|+=/]+"#));

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
    regex(
        r"^(?:arroba|punto|com|gmail|hotmail|outlook|yahoo|w\w*sapp?|wsp|wpp|telegram|instagram|insta|facebook|face)$",
    )
});
static MIXED: LazyLock<Regex> = LazyLock::new(|| regex(r"[a-z0-9@$]+"));

fn lettered(text: &str) -> String {
    let letter = |c: char| match c {
        '0' => 'o',
        '1' => 'i',
        '3' => 'e',
        '4' => 'a',
        '5' | '$' => 's',
        '@' => 'a',
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
        assert_eq!(fold("௧௧ ᴡᴀꜱᴀᴘ 🅆🆂🅿 ФЗ三 Ωѕр g\u{202e}m"), "11 wasap wsp ф33 wsp gm");
        assert_eq!(fold("а\u{200b}r\u{ad}rоba — 4º ½"), "arroba - 4° 1/2");
    }

    #[test]
    fn spelled_words_are_joined_and_short_ones_are_not() {
        assert_eq!(joined("mi w a s a p o w.a.s.a.p"), "mi wasapo wasap");
        assert_eq!(joined("a 3 y a 4, s.r.l."), "a 3 y a 4, s.r.l.");
        assert_eq!(joined("rosa2 4rr0b4 gm4il"), "rosa2 arroba gmail");
        assert_eq!(joined("in$ta w@sap rosa_arroba_gmail-punto-c0m"), "insta wasap rosa arroba gmail punto com");
        assert_eq!(joined("m a r i o @ g m a i l . c o m"), "mario@gmail.com");
    }
}
