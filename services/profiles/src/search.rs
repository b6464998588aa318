//! What is typed into a search of profiles. Words are found anywhere in the text, by an index of trigrams, which needs
//! three letters in a row. Shorter ones are meant as beginnings: of words of the same text when longer ones stand beside
//! them, and otherwise of names, which have an index for it; see migrations/0005_short_searches.sql.

use kit::search::{Patterns, anywhere};

/// All of it must be found.
#[derive(Debug)]
pub(crate) struct Search {
    /// Words that stand anywhere.
    pub(crate) patterns: Patterns,
    /// Short words beside those as patterns, one per line.
    pub(crate) beginnings: String,
    /// Short words when there is nothing else, one per line.
    pub(crate) names: String,
}

impl Search {
    pub(crate) fn of(words: Vec<String>) -> Self {
        let (long, short): (Vec<String>, Vec<String>) = words.into_iter().partition(|word| has_trigram(word));
        let patterns = long.iter().map(|word| anywhere(word)).collect();
        if long.is_empty() {
            let names: Vec<_> = short.iter().flat_map(|word| parts(word)).collect();
            Self { patterns, beginnings: String::new(), names: names.join("\n") }
        } else {
            let runs = short.iter().flat_map(|word| runs(word)).filter(|run| !run.is_empty());
            let beginnings: Vec<_> = runs.map(beginning).collect();
            Self { patterns, beginnings: beginnings.join("\n"), names: String::new() }
        }
    }
}

fn has_trigram(word: &str) -> bool {
    runs(word).any(|run| run.chars().count() >= 3)
}

/// Letters and digits that stand together; empty ones between signs.
fn runs(word: &str) -> impl Iterator<Item = &str> {
    word.split(|c: char| !c.is_alphanumeric())
}

/// The beginnings that this can be. Signs alone stay what they are and begin no name: without them it would be a search
/// for everybody.
fn parts(word: &str) -> Vec<&str> {
    let parts: Vec<_> = runs(word).filter(|run| !run.is_empty()).collect();
    if parts.is_empty() { vec![word] } else { parts }
}

/// For a text whose words stand behind blanks, the first one too, and that has no signs.
fn beginning(run: &str) -> String {
    format!("% {run}%")
}

#[cfg(test)]
mod tests {
    use kit::search::words;

    use super::*;

    fn search(typed: &str) -> (String, String, String, String) {
        let Search { patterns, beginnings, names } = Search::of(words(typed));
        (patterns.best, patterns.others, beginnings, names)
    }

    fn parts_of(best: &str, others: &str, beginnings: &str, names: &str) -> (String, String, String, String) {
        (best.into(), others.into(), beginnings.into(), names.into())
    }

    #[test]
    fn short_words_are_of_names_by_themselves_and_of_the_text_beside_longer_ones() {
        assert_eq!(search("ana ganado"), parts_of("%ganado%", "%ana%", "", ""));
        assert_eq!(search("An"), parts_of("%", "", "", "An"));
        assert_eq!(search("an r"), parts_of("%", "", "", "an\nr"));
        assert_eq!(search("cría y engorde 5%"), parts_of("%engorde%", "%cría%", "% y%\n% 5%", ""));
        assert_eq!(search(""), parts_of("%", "", "", ""));
    }

    #[test]
    fn signs_make_no_word_longer_and_are_nobodys_name() {
        assert_eq!(search("S.A. \"de la\""), parts_of("%", "", "", "S\nA\nde\nla"));
        assert_eq!(search("zq\u{301}"), parts_of("%", "", "", "zq"));
        assert_eq!(search("---"), parts_of("%", "", "", "---"));
        assert_eq!(search("--- ana"), parts_of("%ana%", "", "", ""));
    }
}
