//! A dump as a stream of JSON objects, one after the other: `dumpdata --format jsonl` has one per line, and otherwise it
//! is an array. Of an array only one object is in memory at a time, too.

use std::io::{self, BufRead, Read};

/// Bytes of an object: no text of the monolith's comes near it, and a broken quote must not fill the memory.
const LARGEST: usize = 64 << 20;

/// Why there is no next object.
#[derive(Debug)]
pub(crate) enum Broken {
    /// It cannot be read at all.
    Io(io::Error),
    /// It is no such dump from here on.
    Form { line: u64, what: String },
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Form {
    Lines,
    Array,
    /// The array has ended.
    Over,
}

/// The objects of one dump.
pub(crate) struct Objects<R> {
    source: R,
    form: Option<Form>,
    line: u64,
    /// Bytes so far.
    pub(crate) read: u64,
}

impl<R: BufRead> Objects<R> {
    pub(crate) fn new(source: R) -> Self {
        Self { source, form: None, line: 1, read: 0 }
    }

    /// Puts the next one into `object` and says on which line it begins.
    pub(crate) fn next(&mut self, object: &mut Vec<u8>) -> Result<Option<u64>, Broken> {
        object.clear();
        let form = match self.form {
            Some(form) => form,
            None => match self.first()? {
                Some(form) => *self.form.insert(form),
                None => return Ok(None),
            },
        };
        if form == Form::Lines { self.next_line(object) } else { self.next_item(object) }
    }

    /// What the first byte that is no space says.
    fn first(&mut self) -> Result<Option<Form>, Broken> {
        loop {
            let Some(byte) = self.source.fill_buf()?.first().copied() else { return Ok(None) };
            match byte {
                // A byte order mark is none of the dump's.
                b' ' | b'\t' | b'\r' | b'\n' | 0xef | 0xbb | 0xbf => self.pass(byte),
                b'[' => {
                    self.pass(byte);
                    return Ok(Some(Form::Array));
                }
                _ => return Ok(Some(Form::Lines)),
            }
        }
    }

    fn pass(&mut self, byte: u8) {
        self.source.consume(1);
        self.read += 1;
        self.line += u64::from(byte == b'\n');
    }

    fn next_line(&mut self, object: &mut Vec<u8>) -> Result<Option<u64>, Broken> {
        loop {
            object.clear();
            let line = self.line;
            let length = (&mut self.source).take(LARGEST as u64).read_until(b'\n', object)?;
            if length == 0 {
                return Ok(None);
            }
            if length == LARGEST && object.last() != Some(&b'\n') {
                return Err(too_large(line));
            }
            self.read += length as u64;
            self.line += 1;
            // Or a text that was cut off would seem to have its end in it.
            object.truncate(object.trim_ascii_end().len());
            if !object.iter().all(u8::is_ascii_whitespace) {
                return Ok(Some(line));
            }
        }
    }

    fn next_item(&mut self, object: &mut Vec<u8>) -> Result<Option<u64>, Broken> {
        let (mut depth, mut quoted, mut escaped, mut begun) = (0_usize, false, false, 0);
        loop {
            let bytes = self.source.fill_buf()?;
            if bytes.is_empty() {
                if self.form == Some(Form::Over) {
                    return Ok(None);
                }
                return Err(Broken::Form { line: self.line, what: "the dump ends in its middle".to_owned() });
            }
            let mut used = 0;
            let mut whole = false;
            for &byte in bytes {
                used += 1;
                self.line += u64::from(byte == b'\n');
                if depth == 0 {
                    match byte {
                        b' ' | b'\t' | b'\r' | b'\n' => continue,
                        b',' if self.form == Some(Form::Array) => continue,
                        b']' if self.form == Some(Form::Array) => {
                            self.form = Some(Form::Over);
                            continue;
                        }
                        b'{' if self.form == Some(Form::Array) => begun = self.line,
                        _ => {
                            let what = format!("`{}` where an object should be", char::from(byte));
                            return Err(Broken::Form { line: self.line, what });
                        }
                    }
                }
                object.push(byte);
                match byte {
                    _ if escaped => escaped = false,
                    b'\\' if quoted => escaped = true,
                    b'"' => quoted = !quoted,
                    b'{' | b'[' if !quoted => depth += 1,
                    b'}' | b']' if !quoted => depth -= 1,
                    _ => {}
                }
                if depth == 0 {
                    whole = true;
                    break;
                }
            }
            self.source.consume(used);
            self.read += used as u64;
            if whole {
                return Ok(Some(begun));
            }
            if object.len() > LARGEST {
                return Err(too_large(begun));
            }
        }
    }
}

fn too_large(line: u64) -> Broken {
    Broken::Form { line, what: format!("an object of more than {} MiB", LARGEST >> 20) }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    /// A line and what is there.
    type Found = (u64, String);

    /// In a buffer so small that everything lies across its edge.
    fn objects(text: &str) -> (Vec<Found>, Option<Found>) {
        let mut objects = Objects::new(BufReader::with_capacity(3, text.as_bytes()));
        let (mut found, mut object) = (Vec::new(), Vec::new());
        loop {
            match objects.next(&mut object) {
                Ok(Some(line)) => found.push((line, String::from_utf8(object.clone()).unwrap().trim().to_owned())),
                Ok(None) => return (found, None),
                Err(Broken::Form { line, what }) => return (found, Some((line, what))),
                Err(Broken::Io(error)) => panic!("{error}"),
            }
        }
    }

    #[test]
    fn lines_and_arrays_have_the_same_objects() {
        let expected = vec![(2, r#"{"a":"]},{\"\\"}"#.to_owned()), (4, r#"{"b":[{}]}"#.to_owned())];
        assert_eq!(objects("\n{\"a\":\"]},{\\\"\\\\\"}\n\n{\"b\":[{}]}"), (expected.clone(), None));
        assert_eq!(objects("[\n{\"a\":\"]},{\\\"\\\\\"},\n\n{\"b\":[{}]}\n]\n"), (expected, None));
        assert_eq!(objects("[]"), (vec![], None));
        assert_eq!(objects(" \n"), (vec![], None));
    }

    #[test]
    fn a_dump_that_was_cut_off_is_told_from_one_that_ended() {
        let (found, broken) = objects("[{\"a\":1},\n{\"b\":");
        assert_eq!((found.len(), broken), (1, Some((2, "the dump ends in its middle".to_owned()))));
        let (found, broken) = objects("[{\"a\":1}]\n x");
        assert_eq!((found.len(), broken), (1, Some((2, "`x` where an object should be".to_owned()))));
    }
}
