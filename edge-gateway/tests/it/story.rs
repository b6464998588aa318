//! Several answers in one snapshot: what was asked, in words, and what came back.

use std::fmt;

use crate::answer::Answer;

/// What a test saw, in order.
#[derive(Default)]
pub(crate) struct Story(String);

impl Story {
    pub(crate) fn tell(&mut self, asked: &str, answer: &Answer) {
        // How long one is told to wait depends on the second of the test.
        let answer: Vec<String> = answer.to_string().lines().map(without_seconds).collect();
        self.0 += &format!("## {asked}\n{}\n\n", answer.join("\n").trim_end());
    }
}

fn without_seconds(line: &str) -> String {
    for name in ["retry-after: ", "  \"retry_after\": "] {
        if line.starts_with(name) {
            return format!("{name}[seconds]");
        }
    }
    line.to_owned()
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.trim_end())
    }
}
