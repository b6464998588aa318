//! Several answers in one snapshot: what was asked, in words, and what came back.

use std::fmt;
use std::sync::LazyLock;

use regex::Regex;

use crate::answer::Answer;

/// What a test saw, in order.
#[derive(Default)]
pub(crate) struct Story(String);

impl Story {
    pub(crate) fn tell(&mut self, asked: &str, answer: &Answer) {
        let answer = answer.to_string();
        let answer = SECONDS.replace_all(answer.trim_end(), "$1[seconds]");
        let answer = RANDOM.replace_all(&answer, "$1[token]");
        self.0 += &format!("## {asked}\n{answer}\n\n");
    }
}

/// How long one is told to wait depends on the second of the test.
static SECONDS: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r#"(retry-after: |"retry_after": )\d+"#).expect("a pattern"));

/// What is random, also where it happens to look like a word.
static RANDOM: LazyLock<Regex> = LazyLock::new(|| {
    let places = r#"("refresh": "|"secret": "|secret=|signature=|cursor=|page_token=)[^"&\s]+"#;
    Regex::new(places).expect("a pattern")
});

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.trim_end())
    }
}
