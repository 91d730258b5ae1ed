//! A reader of JSON, as far as what compilers and cargo print needs one.
//!
//! Invariant: text that is no JSON is none for the reader, too; nothing is guessed.

use std::str::Chars;

/// A value. Numbers are whole ones, since compilers print no others.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    Number(i64),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    /// Reads a text that is one value.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let mut reader = Reader(text.chars());
        let value = reader.value()?;
        reader.skip_space();
        reader.0.next().is_none().then_some(value)
    }

    /// What an object has under the key; null if there is none.
    pub(crate) fn get(&self, key: &str) -> &Self {
        let Self::Object(fields) = self else { return &Self::Null };
        fields.iter().find(|(name, _)| name == key).map_or(&Self::Null, |(_, value)| value)
    }

    /// The text, or an empty one if it is none.
    pub(crate) fn text(&self) -> &str {
        if let Self::Text(text) = self { text } else { "" }
    }

    /// The number, or 0 if it is none.
    pub(crate) fn number(&self) -> i64 {
        if let Self::Number(number) = self { *number } else { 0 }
    }

    /// The values of a list, or none.
    pub(crate) fn list(&self) -> &[Self] {
        if let Self::List(values) = self { values } else { &[] }
    }
}

struct Reader<'t>(Chars<'t>);

impl Reader<'_> {
    fn skip_space(&mut self) {
        let rest = self.0.as_str();
        self.0 = rest.trim_start_matches([' ', '\t', '\r', '\n']).chars();
    }

    /// Reads the word if it comes next.
    fn takes(&mut self, word: &str) -> bool {
        self.skip_space();
        let rest = self.0.as_str().strip_prefix(word);
        if let Some(rest) = rest {
            self.0 = rest.chars();
        }
        rest.is_some()
    }

    fn value(&mut self) -> Option<Json> {
        if self.takes("{") {
            return self
                .members("}", |reader| {
                    let key = reader.takes("\"").then(|| reader.text())??;
                    reader.takes(":").then(|| Some((key, reader.value()?)))?
                })
                .map(Json::Object);
        }
        if self.takes("[") {
            return self.members("]", Self::value).map(Json::List);
        }
        if self.takes("\"") {
            return self.text().map(Json::Text);
        }
        for (word, value) in
            [("null", Json::Null), ("true", Json::Bool(true)), ("false", Json::Bool(false))]
        {
            if self.takes(word) {
                return Some(value);
            }
        }
        let rest = self.0.as_str();
        let end = rest.find(|c: char| c != '-' && !c.is_ascii_digit()).unwrap_or(rest.len());
        let (digits, rest) = rest.split_at(end);
        self.0 = rest.chars();
        digits.parse().ok().map(Json::Number)
    }

    /// What stands between commas, up to the end.
    fn members<T>(
        &mut self,
        end: &str,
        mut member: impl FnMut(&mut Self) -> Option<T>,
    ) -> Option<Vec<T>> {
        let mut members = Vec::new();
        if self.takes(end) {
            return Some(members);
        }
        loop {
            members.push(member(self)?);
            if self.takes(end) {
                return Some(members);
            }
            if !self.takes(",") {
                return None;
            }
        }
    }

    /// The rest of a text, behind its first quotation mark.
    fn text(&mut self) -> Option<String> {
        let mut text = String::new();
        loop {
            match self.0.next()? {
                '"' => return Some(text),
                '\\' => text.push(match self.0.next()? {
                    'n' => '\n',
                    't' => '\t',
                    'r' => '\r',
                    'b' => '\u{8}',
                    'f' => '\u{c}',
                    'u' => self.escaped()?,
                    other => other,
                }),
                other => text.push(other),
            }
        }
    }

    /// A character that is written as its number; one that takes two numbers is replaced.
    fn escaped(&mut self) -> Option<char> {
        let digits: String = self.0.by_ref().take(4).collect();
        let number = u32::from_str_radix(&digits, 16).ok()?;
        Some(char::from_u32(number).unwrap_or(char::REPLACEMENT_CHARACTER))
    }
}

#[test]
fn values_are_read() {
    let text = r#" {"a": [1, -20, {}], "b\n\"\u0041": null, "c": {"d": [true, false, []]}} "#;
    let value = Json::read(text).expect("it is one");
    assert_eq!(value.get("a").list()[..2], [Json::Number(1), Json::Number(-20)]);
    assert_eq!(*value.get("b\n\"A"), Json::Null);
    assert_eq!(value.get("c").get("d").list().len(), 3);
    for wrong in ["", "{", "[1,]", "[1 2]", "\"a", "{\"a\" 1}", "1 2", "nul"] {
        assert_eq!(Json::read(wrong), None, "{wrong}");
    }
}
