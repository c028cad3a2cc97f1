use serde_json::{Map, Value, json};

use crate::audit::read::line::Record;

/// An event that is being made of a record. What an attribute was made of is taken, and what is not stays with the event as
/// it is: so nothing is lost, also of what is not known here or is not as it should be.
pub(super) struct Draft<'r> {
    pub(super) record: &'r Record,
    event: Map<String, Value>,
    outer: Vec<&'static str>,
    inner: Vec<&'static str>,
}

impl<'r> Draft<'r> {
    pub(super) fn new(record: &'r Record) -> Self {
        Self {
            record,
            event: Map::new(),
            outer: Vec::new(),
            inner: Vec::new(),
        }
    }

    /// Gives the event an attribute.
    pub(super) fn set(&mut self, attribute: &str, value: impl Into<Value>) {
        self.event.insert(attribute.to_owned(), value.into());
    }

    /// Takes a member of the envelope, if it is what `read` wants.
    pub(super) fn outer<T>(
        &mut self,
        name: &'static str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Option<T> {
        let members = self.record.members();
        take(members, &mut self.outer, name, read)
    }

    /// Takes a member of what the type adds, if it is what `read` wants.
    pub(super) fn inner<T>(
        &mut self,
        name: &'static str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Option<T> {
        take(self.record.d()?, &mut self.inner, name, read)
    }

    /// Gives the event an attribute that is a member of what the type adds.
    pub(super) fn moved<T: Into<Value>>(
        &mut self,
        name: &'static str,
        read: impl Fn(&Value) -> Option<T>,
        attribute: &str,
    ) {
        if let Some(value) = self.inner(name, read) {
            self.set(attribute, value);
        }
    }

    /// The event, with what is left of the record.
    pub(super) fn finish(mut self) -> Value {
        let mut unmapped = Map::new();
        for (name, value) in self.record.members() {
            match value {
                Value::Object(d) if name == "d" => {
                    let d = left(d, &self.inner);
                    if !d.is_empty() {
                        unmapped.insert(name.clone(), d.into());
                    }
                }
                value if !self.outer.contains(&name.as_str()) => {
                    unmapped.insert(name.clone(), value.clone());
                }
                _ => {}
            }
        }
        self.set("unmapped", unmapped);
        Value::Object(self.event)
    }
}

/// What was taken is there for nobody else.
fn take<T>(
    members: &Map<String, Value>,
    taken: &mut Vec<&'static str>,
    name: &'static str,
    read: impl Fn(&Value) -> Option<T>,
) -> Option<T> {
    if taken.contains(&name) {
        return None;
    }
    let value = read(members.get(name)?)?;
    taken.push(name);
    Some(value)
}

fn left(members: &Map<String, Value>, taken: &[&'static str]) -> Map<String, Value> {
    let kept = members
        .iter()
        .filter(|(name, _)| !taken.contains(&name.as_str()));
    kept.map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// Gives an object a member.
pub(super) fn put(object: &mut Value, name: &str, value: impl Into<Value>) {
    if let Value::Object(members) = object {
        members.insert(name.to_owned(), value.into());
    }
}

/// A text that is not empty.
pub(super) fn text(value: &Value) -> Option<String> {
    let text = value.as_str().filter(|text| !text.is_empty())?;
    Some(text.to_owned())
}

/// A number for an attribute that has 64 bits, one of them the sign: `long_t`, `timestamp_t`.
pub(super) fn long(value: &Value) -> Option<i64> {
    value.as_i64().filter(|number| *number >= 0)
}

/// A number for an attribute that has 32 bits, one of them the sign: `integer_t`.
pub(super) fn integer(value: &Value) -> Option<i32> {
    i32::try_from(long(value)?).ok()
}

/// A moment, in milliseconds since 1970.
pub(super) fn moment(value: &Value) -> Option<i64> {
    let at: jiff::Timestamp = value.as_str()?.parse().ok()?;
    Some(at.as_millisecond())
}

/// An address.
pub(super) fn address(value: &Value) -> Option<Value> {
    let ip: std::net::IpAddr = value.as_str()?.parse().ok()?;
    Some(json!({"ip": ip}))
}

/// An address with its port.
pub(super) fn endpoint(value: &Value) -> Option<Value> {
    let members = value.as_object().filter(|members| members.len() == 2)?;
    let mut endpoint = address(members.get("ip")?)?;
    let port = u16::try_from(members.get("port")?.as_u64()?).ok()?;
    put(&mut endpoint, "port", port);
    Some(endpoint)
}
