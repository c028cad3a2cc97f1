//! Every kind of place in a record: each member's name, each value's beginning, middle and end, each mark between them.

use std::collections::BTreeMap;

/// A place of each kind: the line, and the byte in it.
pub type Places = BTreeMap<String, (usize, usize)>;

/// Finds a place of each kind in the lines of a file. The envelope is the same for all types: there the first record, the
/// last one and one between are told apart; the members of `d` are told apart by the type.
pub fn of_lines(lines: &[Vec<u8>]) -> Places {
    let mut found = Places::new();
    for (number, line) in lines.iter().enumerate() {
        let record: serde_json::Value = serde_json::from_slice(line).unwrap();
        let kind = record["type"].as_str().unwrap();
        let place = match number {
            0 => "first",
            last if last + 1 == lines.len() => "last",
            _ => "inner",
        };
        let mut scan = Scan {
            line,
            at: 0,
            each: &mut |path: &str, what: &str, at: usize| {
                let name = match path.strip_prefix(".d") {
                    Some(member) => format!("{kind}{member} {what}"),
                    None => format!("{place} {path} {what}"),
                };
                found.entry(name).or_insert((number, at));
            },
        };
        scan.value("");
        found
            .entry(format!("{place} newline"))
            .or_insert((number, line.len()));
    }
    found
}

/// Goes through a line of JSON as audit writes it: without spaces.
struct Scan<'s> {
    line: &'s [u8],
    at: usize,
    each: &'s mut dyn FnMut(&str, &str, usize),
}

impl Scan<'_> {
    fn mark(&mut self, path: &str, what: &str) {
        (self.each)(path, what, self.at);
        self.at += 1;
    }

    fn value(&mut self, path: &str) {
        match self.line[self.at] {
            b'{' => {
                self.mark(path, "opens");
                while self.line[self.at] != b'}' {
                    let begin = self.at + 1;
                    let length = self.line[begin..]
                        .iter()
                        .position(|byte| *byte == b'"')
                        .unwrap();
                    let name = std::str::from_utf8(&self.line[begin..begin + length]).unwrap();
                    let inner = format!("{path}.{name}");
                    (self.each)(&inner, "name", begin + length / 2);
                    self.at = begin + length + 1;
                    self.mark(&inner, "colon");
                    self.value(&inner);
                    if self.line[self.at] == b',' {
                        self.mark(&inner, "comma");
                    }
                }
                self.mark(path, "closes");
            }
            b'[' => {
                self.mark(path, "opens");
                let inner = format!("{path}[]");
                while self.line[self.at] != b']' {
                    self.value(&inner);
                    if self.line[self.at] == b',' {
                        self.mark(&inner, "comma");
                    }
                }
                self.mark(path, "closes");
            }
            b'"' => {
                self.mark(path, "quotes");
                let begin = self.at;
                while self.line[self.at] != b'"' {
                    self.at += if self.line[self.at] == b'\\' { 2 } else { 1 };
                }
                let end = self.at;
                if end > begin {
                    (self.each)(path, "begins", begin);
                    (self.each)(path, "middle", begin + (end - begin) / 2);
                    (self.each)(path, "ends", end - 1);
                }
                self.mark(path, "unquotes");
            }
            _ => {
                let begin = self.at;
                while !b",}]".contains(&self.line[self.at]) {
                    self.at += 1;
                }
                (self.each)(path, "begins", begin);
                (self.each)(path, "ends", self.at - 1);
            }
        }
    }
}
