//! What people type into search boxes as `like` patterns. Case and accents are taken off in SQL, by the function that
//! made the searched text: each service that searches has one called `plain` in its migrations.

/// The words of a search box: split on white space and commas; double quotes keep together what stands between them.
pub fn words(typed: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted) = (Vec::new(), String::new(), false);
    for c in typed.chars() {
        // PostgreSQL's texts cannot hold a NUL, and no name holds another control character.
        let blank = c.is_whitespace() || c.is_control();
        match c {
            '"' => quoted = !quoted,
            _ if quoted && blank => word.push(' '),
            _ if !quoted && (blank || c == ',') => words.push(std::mem::take(&mut word)),
            _ => word.push(c),
        }
    }
    words.push(word);
    words.iter().map(|word| word.trim().to_owned()).filter(|word| !word.is_empty()).collect()
}

/// The word anywhere in the text.
pub fn anywhere(word: &str) -> String {
    format!("%{}%", escape(word))
}

/// A word with LIKE's own signs made ordinary; besides, those that `unaccent` turns into them afterwards.
pub fn escape(word: &str) -> String {
    let mut escaped = String::with_capacity(word.len() + 2);
    for c in word.chars() {
        match c {
            '%' | '％' | '﹪' => escaped.push_str(r"\%"),
            '_' | '＿' => escaped.push_str(r"\_"),
            '\\' | '＼' | '﹨' | '∖' => escaped.push_str(r"\\"),
            _ => escaped.push(c),
        }
    }
    escaped
}

/// Patterns that must all match, as the SQL takes them.
#[derive(Debug, PartialEq, Eq)]
pub struct Patterns {
    /// The longest, for the index: it can use one pattern, and the longest finds the fewest rows.
    pub best: String,
    /// The others, one per line, for the rows that `best` found.
    pub others: String,
}

/// No patterns match everything.
impl FromIterator<String> for Patterns {
    fn from_iter<I: IntoIterator<Item = String>>(patterns: I) -> Self {
        let mut patterns: Vec<String> = patterns.into_iter().collect();
        patterns.sort_by_key(|pattern| pattern.chars().count());
        let best = patterns.pop().unwrap_or_else(|| "%".to_owned());
        Self { best, others: patterns.join("\n") }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_split_on_white_space_and_commas_and_quotes_group() {
        assert_eq!(words("  Ana,Rojas\t5058 "), ["Ana", "Rojas", "5058"]);
        assert_eq!(words(r#""Ana  María" Rojas"#), ["Ana  María", "Rojas"]);
        assert_eq!(words(r#"ana "de la, O"#), ["ana", "de la, O"]);
        assert_eq!(words("a\0b\u{7}"), ["a", "b"]);
        assert_eq!(words(r#" ,, "" "#), [""; 0]);
    }

    #[test]
    fn likes_own_signs_stand_for_themselves() {
        assert_eq!(anywhere("50%_a\\b"), "%50\\%\\_a\\\\b%");
        assert_eq!(anywhere("％＿＼"), "%\\%\\_\\\\%");
    }

    #[test]
    fn the_longest_pattern_goes_to_the_index() {
        let patterns: Patterns = ["%ana%", "%rojas%", "%5%"].into_iter().map(str::to_owned).collect();
        assert_eq!(patterns, Patterns { best: "%rojas%".into(), others: "%5%\n%ana%".into() });
        assert_eq!(Patterns::from_iter([]), Patterns { best: "%".into(), others: String::new() });
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_word_never_breaks_the_list_of_patterns(typed: String) {
            for word in words(&typed) {
                prop_assert!(!word.is_empty() && !word.contains(|c: char| c.is_control() || c == '"'));
                prop_assert_eq!(word.trim(), word.as_str());
            }
        }

        #[test]
        fn without_quotes_only_separators_are_lost(typed in "[^\"]*") {
            let letters = |text: &str| text.replace(|c: char| c.is_whitespace() || c.is_control() || c == ',', "");
            prop_assert_eq!(words(&typed).concat(), letters(&typed));
        }

        #[test]
        fn every_sign_between_the_outer_ones_is_escaped(word in "[a-c%_\\\\％]{1,20}") {
            let pattern = anywhere(&word);
            let mut inner = pattern[1..pattern.len() - 1].chars();
            let mut read = String::new();
            while let Some(c) = inner.next() {
                prop_assert!(!matches!(c, '%' | '_'));
                read.push(if c == '\\' { inner.next().expect("an escaped sign") } else { c });
            }
            prop_assert_eq!(read, word.replace('％', "%"));
        }
    }
}
