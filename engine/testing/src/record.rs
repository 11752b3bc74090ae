//! Lines of the access log.

/// One line, by its keys.
#[derive(Clone)]
pub struct Record(Vec<(String, String)>);

impl Record {
    /// Reads a flat JSON object.
    pub fn parse(line: &str) -> Self {
        let mut rest = line.strip_prefix('{').and_then(|line| line.strip_suffix('}')).expect("an object");
        let mut fields = Vec::new();
        while !rest.is_empty() {
            let (key, behind) = quoted(rest);
            rest = behind.strip_prefix(':').expect("a colon");
            let (value, behind) = if rest.starts_with('"') {
                quoted(rest)
            } else {
                let end = rest.find(',').unwrap_or(rest.len());
                (rest[..end].to_string(), &rest[end..])
            };
            fields.push((key, value));
            rest = behind.strip_prefix(',').unwrap_or(behind);
        }
        Self(fields)
    }

    /// A value as text; empty when the key is not there.
    pub fn text(&self, key: &str) -> &str {
        self.0.iter().find(|(other, _)| other == key).map_or("", |(_, value)| value)
    }

    /// Checks a value.
    #[track_caller]
    pub fn expect(&self, key: &str, expected: &str) -> &Self {
        assert_eq!(self.text(key), expected, "{key} in {self:?}");
        self
    }
}

impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let fields: Vec<String> = self.0.iter().map(|(key, value)| format!("{key}={value}")).collect();
        f.write_str(&fields.join(" "))
    }
}

/// Splits a quoted string off the front.
fn quoted(text: &str) -> (String, &str) {
    let text = text.strip_prefix('"').expect("a quote");
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return (value, &text[at + 1..]),
            '\\' => value.push(chars.next().expect("something escaped").1),
            other => value.push(other),
        }
    }
    panic!("no end of a string: {text}");
}
