//! Numbers in words, also as people misspell them: `sinko`, `c1nco`, `nuebe`.

use std::collections::HashMap;
use std::sync::LazyLock;

/// The digits that a word means.
pub(super) fn digits(word: &str) -> Option<String> {
    // Numbers in words are short, and written in letters but for some.
    let sounds = || SOUNDS.get(&sound(word)).filter(|_| word.len() <= 16).map(|digits| (*digits).to_owned());
    glued(word).or_else(sounds)
}

/// `once5550cerouno` → `11555001`.
fn glued(word: &str) -> Option<String> {
    let (mut digits, mut rest) = (String::new(), word);
    while let Some(first) = rest.chars().next() {
        let longest = SAID.iter().filter(|(name, _)| rest.starts_with(name)).max_by_key(|(name, _)| name.len());
        let (length, meant) = match longest {
            Some((name, meant)) => (name.len(), *meant),
            None if first.is_ascii_digit() => (1, &rest[..1]),
            None => return None,
        };
        digits.push_str(meant);
        rest = &rest[length..];
    }
    Some(digits)
}

/// The digit of which a word says that there are several: `cincos`.
pub(super) fn several(word: &str) -> Option<&'static str> {
    let single = word.strip_suffix('s')?;
    SAID.iter().find(|(name, digits)| *name == single && digits.len() == 1).map(|(_, digits)| *digits)
}

/// How it sounds, in letters for the digits that look like these, so that all spellings of a sound are one.
fn sound(word: &str) -> String {
    let letter = |b: u8| match b {
        b'0' => b'o',
        b'1' => b'i',
        b'3' => b'e',
        b'4' => b'a',
        b'5' => b's',
        b'7' => b't',
        _ => b,
    };
    let word: Vec<u8> = word.bytes().map(letter).collect();
    let mut sound = String::new();
    let mut at = 0;
    while at < word.len() {
        let next = word.get(at + 1).copied().unwrap_or_default();
        let bright = |b: u8| matches!(b, b'e' | b'i');
        let (heard, length) = match word[at] {
            b'c' | b's' if next == b'h' => ('x', 2),
            b'c' if bright(next) => ('s', 1),
            b'q' if next == b'u' && word.get(at + 2).is_some_and(|b| bright(*b)) => ('k', 2),
            b'c' | b'q' => ('k', 1),
            b'z' => ('s', 1),
            b'v' => ('b', 1),
            b'h' => {
                at += 1;
                continue;
            }
            b => (char::from(b), 1),
        };
        if !sound.ends_with(heard) {
            sound.push(heard);
        }
        at += length;
    }
    sound
}

static SOUNDS: LazyLock<HashMap<String, &str>> =
    LazyLock::new(|| SAID.iter().chain(MEANT).map(|(name, digits)| (sound(name), *digits)).collect());

const SAID: &[(&str, &str)] = &[
    ("cero", "0"),
    ("uno", "1"),
    ("dos", "2"),
    ("tres", "3"),
    ("cuatro", "4"),
    ("cinco", "5"),
    ("seis", "6"),
    ("siete", "7"),
    ("ocho", "8"),
    ("nueve", "9"),
    ("diez", "10"),
    ("once", "11"),
    ("doce", "12"),
    ("trece", "13"),
    ("catorce", "14"),
    ("quince", "15"),
    ("dieciseis", "16"),
    ("diecisiete", "17"),
    ("dieciocho", "18"),
    ("diecinueve", "19"),
    ("veinte", "20"),
    ("veintiuno", "21"),
    ("veintidos", "22"),
    ("veintitres", "23"),
    ("veinticuatro", "24"),
    ("veinticinco", "25"),
    ("veintiseis", "26"),
    ("veintisiete", "27"),
    ("veintiocho", "28"),
    ("veintinueve", "29"),
    ("treinta", "30"),
    ("cuarenta", "40"),
    ("cincuenta", "50"),
    ("sesenta", "60"),
    ("setenta", "70"),
    ("ochenta", "80"),
    ("noventa", "90"),
    ("cien", "100"),
    ("ciento", "100"),
    ("doscientos", "200"),
    ("trescientos", "300"),
    ("cuatrocientos", "400"),
    ("quinientos", "500"),
    ("seiscientos", "600"),
    ("setecientos", "700"),
    ("ochocientos", "800"),
    ("novecientos", "900"),
];

/// What is found in their place: letters left out, and the neighbours' words.
const MEANT: &[(&str, &str)] = &[
    ("sro", "0"),
    ("cuatr", "4"),
    ("cuato", "4"),
    ("cnco", "5"),
    ("cico", "5"),
    ("siet", "7"),
    ("och", "8"),
    ("nuev", "9"),
    ("one", "1"),
    ("two", "2"),
    ("three", "3"),
    ("four", "4"),
    ("five", "5"),
    ("six", "6"),
    ("seven", "7"),
    ("eight", "8"),
    ("nine", "9"),
    ("dois", "2"),
    ("sete", "7"),
    ("oito", "8"),
    ("nove", "9"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_a_sound_are_one() {
        for (word, meant) in [
            ("sinko", "5"),
            ("c1nco", "5"),
            ("zinco", "5"),
            ("quatro", "4"),
            ("kuatro", "4"),
            ("0cho", "8"),
            ("osho", "8"),
            ("nuebe", "9"),
            ("sero", "0"),
            ("zero", "0"),
            ("c3r0", "0"),
            ("onze", "11"),
            ("kince", "15"),
            ("beinte", "20"),
            ("sincuenta", "50"),
            ("un0", "1"),
            ("tr3s", "3"),
            ("siette", "7"),
        ] {
            assert_eq!(digits(word).as_deref(), Some(meant), "{word}");
        }
        for word in ["cuarto", "nuevo", "siente", "cuadro", "cinta", "un", "unos", "lo", "nube", "sera", "tras"] {
            assert_eq!(digits(word), None, "{word}");
        }
    }

    #[test]
    fn words_may_be_glued_and_digits_counted() {
        assert_eq!(digits("once5550cerouno").as_deref(), Some("11555001"));
        assert_eq!(digits("55cincuenta").as_deref(), Some("5550"));
        assert_eq!(digits("oncemil"), None);
        assert_eq!((several("ceros"), several("dos"), several("veintes")), (Some("0"), None, None));
    }
}
