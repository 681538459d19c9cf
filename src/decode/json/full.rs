//! A line of JSON by serde_json: the reference for the shapes, and the way for lines of none.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::decode::slot::{Kind, Slot};
use crate::decode::wanted::Wanted;

/// Fills the slots of a row from a line that begins at `base` in its text. Slots of fields that
/// the line does not have are left alone.
///
/// # Errors
/// If the line is not one JSON object, with the reason.
pub(super) fn read(
    line: &str,
    base: usize,
    wanted: &Wanted,
    row: &mut [Slot],
    spill: &mut String,
) -> Result<(), String> {
    if !line.trim_ascii_start().starts_with('{') {
        return Err(match serde_json::from_str::<IgnoredAny>(line) {
            Ok(_) => "not a JSON object".to_owned(),
            Err(error) => malformed(&error),
        });
    }
    let mut target = Target {
        line,
        base,
        wanted,
        row,
        spill,
    };
    let mut deserializer = serde_json::Deserializer::from_str(line);
    ObjectSeed {
        target: &mut target,
        node: Wanted::ROOT,
    }
    .deserialize(&mut deserializer)
    .and_then(|()| deserializer.end())
    .map_err(|error| malformed(&error))
}

/// The parser's message with the place in the line instead of its line number, which is always one.
fn malformed(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let message = message
        .rsplit_once(" at line ")
        .map_or(message.as_str(), |(what, _)| what);
    format!("malformed JSON at byte {}: {message}", error.column())
}

struct Target<'a> {
    line: &'a str,
    base: usize,
    wanted: &'a Wanted,
    row: &'a mut [Slot],
    spill: &'a mut String,
}

impl Target<'_> {
    /// Stores a wanted value, given as its text within the line.
    fn store(&mut self, leaf: usize, raw: &str) -> Result<(), serde_json::Error> {
        let start = self.base + (raw.as_ptr() as usize - self.line.as_ptr() as usize);
        let end = start + raw.len();
        self.row[leaf] = match raw.as_bytes()[0] {
            b'"' if raw.contains('\\') => {
                let unescaped: String = serde_json::from_str(raw)?;
                let start = self.spill.len();
                self.spill.push_str(&unescaped);
                Slot::new(Kind::Spilled, start, self.spill.len())
            }
            b'"' => Slot::new(Kind::Text, start + 1, end - 1),
            b'{' | b'[' => Slot::new(Kind::Nested, start, end),
            b't' => Slot::new(Kind::True, start, end),
            b'f' => Slot::new(Kind::False, start, end),
            b'n' => Slot::new(Kind::Null, start, end),
            _ => Slot::new(Kind::Number, start, end),
        };
        Ok(())
    }
}

/// An object of which some fields are wanted.
struct ObjectSeed<'a, 'b> {
    target: &'a mut Target<'b>,
    node: usize,
}

impl<'de> DeserializeSeed<'de> for ObjectSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for ObjectSeed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Target { wanted, .. } = *self.target;
        while let Some(key) = map.next_key_seed(Key)? {
            let Some(node) = wanted.child(self.node, &key) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let raw = map.next_value::<&RawValue>()?.get();
            wanted.leaves_below(node, &mut |leaf| self.target.row[leaf] = Slot::MISSING);
            if let Some(leaf) = wanted.leaf(node) {
                self.target
                    .store(leaf, raw)
                    .map_err(serde::de::Error::custom)?;
            }
            if wanted.has_children(node) && raw.starts_with('{') {
                let inner = ObjectSeed {
                    target: &mut *self.target,
                    node,
                };
                let mut deserializer = serde_json::Deserializer::from_str(raw);
                inner
                    .deserialize(&mut deserializer)
                    .map_err(serde::de::Error::custom)?;
            }
        }
        Ok(())
    }
}

/// A field's name, borrowed unless it has escapes.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field's name")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}
