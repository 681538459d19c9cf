//! What one message of a feed holds, as lines of JSON.

use serde_json::value::RawValue;

/// Appends the records of a message, one a line: JSON lines as they are, a value that is spread
/// over several lines as one, a list as its elements. What is not JSON stays as it is, for the
/// decoder to refuse.
pub(super) fn append_records(text: &mut Vec<u8>, message: &[u8]) {
    let message = message.trim_ascii();
    let is_line = message.starts_with(b"{") && memchr::memchr2(b'\n', b'\r', message).is_none();
    if message.is_empty() {
        return;
    }
    let before = text.len();
    if is_line || append_values(text, message).is_none() {
        text.truncate(before);
        text.extend_from_slice(message);
        text.push(b'\n');
    }
}

/// Appends the values of a message; `None` if it is not JSON.
fn append_values(text: &mut Vec<u8>, message: &[u8]) -> Option<()> {
    for value in serde_json::Deserializer::from_slice(message).into_iter::<&RawValue>() {
        let value = value.ok()?.get();
        if value.starts_with('[') {
            for element in serde_json::from_str::<Vec<&RawValue>>(value).ok()? {
                append_line(text, element.get());
            }
        } else {
            append_line(text, value);
        }
    }
    Some(())
}

/// Appends a value as a line. Line breaks can only stand between its parts: within texts JSON
/// escapes them.
fn append_line(text: &mut Vec<u8>, value: &str) {
    let is_break = |byte| matches!(byte, b'\n' | b'\r');
    text.extend(
        value
            .bytes()
            .map(|byte| if is_break(byte) { b' ' } else { byte }),
    );
    text.push(b'\n');
}
