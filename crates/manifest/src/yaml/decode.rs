//! A serde `Deserializer` over a [`Node`], so that plain types can be read with the place of every mistake.
//!
//! Null is "not said": `None`, an empty text, list or map, zero, `false`. Null items of a list are dropped. A text takes any
//! scalar as written.

use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Unexpected, Visitor,
};

use super::{Entry, Node, Position, Value, YamlError};

/// Decodes `node` as a `T`.
///
/// # Errors
/// [`YamlError::Decode`] with the place of what does not fit.
pub fn from_node<T: DeserializeOwned>(node: &Node) -> Result<T, YamlError> {
    T::deserialize(Decoder(node)).map_err(|error| {
        let at = error.at.unwrap_or(node.at);
        YamlError::Decode { at, reason: error.reason }
    })
}

/// What serde says, and where once that is known: the innermost part that failed says so.
#[derive(Debug)]
struct DecodeFailure {
    at: Option<Position>,
    reason: String,
}

impl DecodeFailure {
    fn at(mut self, at: Position) -> Self {
        self.at.get_or_insert(at);
        self
    }
}

impl fmt::Display for DecodeFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for DecodeFailure {}

impl de::Error for DecodeFailure {
    fn custom<T: fmt::Display>(reason: T) -> Self {
        Self { at: None, reason: reason.to_string() }
    }
}

struct Decoder<'a>(&'a Node);

impl Decoder<'_> {
    fn wrong<'de, V: Visitor<'de>>(&self, visitor: &V) -> DecodeFailure {
        let found = match &self.0.value {
            Value::Scalar(scalar) => Unexpected::Str(&scalar.text),
            Value::Sequence(_) => Unexpected::Seq,
            Value::Mapping(_) => Unexpected::Map,
        };
        de::Error::invalid_type(found, visitor)
    }

    fn integer<'de, V: Visitor<'de>>(&self, visitor: V) -> Result<V::Value, DecodeFailure> {
        if self.0.is_null() {
            return visitor.visit_u64(0);
        }
        let Some(number) = self.0.as_integer() else { return Err(self.wrong(&visitor)) };
        match (u64::try_from(number), i64::try_from(number)) {
            (Ok(number), _) => visitor.visit_u64(number),
            (_, Ok(number)) => visitor.visit_i64(number),
            _ => Err(self.wrong(&visitor)),
        }
    }

    fn float<'de, V: Visitor<'de>>(&self, visitor: V) -> Result<V::Value, DecodeFailure> {
        if self.0.is_null() {
            return visitor.visit_f64(0.0);
        }
        match self.0.as_str().and_then(|text| text.parse().ok()) {
            Some(number) => visitor.visit_f64(number),
            None => Err(self.wrong(&visitor)),
        }
    }

    fn text<'de, V: Visitor<'de>>(&self, visitor: V) -> Result<V::Value, DecodeFailure> {
        match self.0.as_str() {
            _ if self.0.is_null() => visitor.visit_str(""),
            Some(text) => visitor.visit_str(text),
            None => Err(self.wrong(&visitor)),
        }
    }
}

macro_rules! numbers {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeFailure> {
            self.integer(visitor).map_err(|e| e.at(self.0.at))
        }
    )*};
}

impl<'de> Deserializer<'de> for Decoder<'_> {
    type Error = DecodeFailure;

    numbers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
    }

    /// For types that take what comes: a number or a truth value only where it is written plainly.
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeFailure> {
        match &self.0.value {
            _ if self.0.is_null() => visitor.visit_unit(),
            Value::Sequence(_) => self.deserialize_seq(visitor),
            Value::Mapping(_) => self.deserialize_map(visitor),
            Value::Scalar(scalar) => {
                let number = self.0.as_integer().is_some_and(|n| u64::try_from(n).is_ok() || i64::try_from(n).is_ok());
                match &*scalar.text {
                    "true" | "True" | "TRUE" | "false" | "False" | "FALSE" if scalar.plain => self.deserialize_bool(visitor),
                    _ if number => self.deserialize_i64(visitor),
                    text if scalar.plain && text.contains('.') && text.parse::<f64>().is_ok_and(f64::is_finite) => {
                        self.deserialize_f64(visitor)
                    }
                    _ => self.deserialize_str(visitor),
                }
            }
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeFailure> {
        match self.0.as_bool() {
            _ if self.0.is_null() => visitor.visit_bool(false),
            Some(value) => visitor.visit_bool(value),
            None => Err(self.wrong(&visitor)),
        }
        .map_err(|e: DecodeFailure| e.at(self.0.at))
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeFailure> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeFailure> {
        self.float(visitor).map_err(|e| e.at(self.0.at))
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeFailure> {
        self.deserialize_str(visitor)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeFailure> {
        self.text(visitor).map_err(|e| e.at(self.0.at))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeFailure> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeFailure> {
        self.deserialize_str(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeFailure> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeFailure> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeFailure> {
        if self.0.is_null() { visitor.visit_unit() } else { Err(self.wrong(&visitor).at(self.0.at)) }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, DecodeFailure> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, DecodeFailure> {
        let at = self.0.at;
        visitor.visit_newtype_struct(self).map_err(|e| e.at(at))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeFailure> {
        let items = match &self.0.value {
            Value::Sequence(items) => items.as_slice(),
            _ if self.0.is_null() => &[],
            _ => return Err(self.wrong(&visitor).at(self.0.at)),
        };
        visitor.visit_seq(Items(items.iter())).map_err(|e| e.at(self.0.at))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, DecodeFailure> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, DecodeFailure> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeFailure> {
        let entries = match &self.0.value {
            Value::Mapping(entries) => entries.as_slice(),
            _ if self.0.is_null() => &[],
            _ => return Err(self.wrong(&visitor).at(self.0.at)),
        };
        visitor.visit_map(Entries { rest: entries.iter(), value: None }).map_err(|e| e.at(self.0.at))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeFailure> {
        self.deserialize_map(visitor)
    }

    /// Only enums of plain words: documents of ours have no others.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeFailure> {
        let at = self.0.at;
        let Some(word) = self.0.as_str() else { return Err(self.wrong(&visitor).at(at)) };
        let word: StrDeserializer<'_, DecodeFailure> = word.into_deserializer();
        visitor.visit_enum(word).map_err(|e| e.at(at))
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeFailure> {
        self.deserialize_str(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeFailure> {
        visitor.visit_unit()
    }
}

struct Items<'a>(std::slice::Iter<'a, Node>);

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = DecodeFailure;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, DecodeFailure> {
        match self.0.find(|node| !node.is_null()) {
            Some(node) => seed.deserialize(Decoder(node)).map(Some).map_err(|e| e.at(node.at)),
            None => Ok(None),
        }
    }
}

struct Entries<'a> {
    rest: std::slice::Iter<'a, Entry>,
    value: Option<&'a Node>,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = DecodeFailure;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, DecodeFailure> {
        let Some(entry) = self.rest.next() else { return Ok(None) };
        self.value = Some(&entry.value);
        let key: StrDeserializer<'_, DecodeFailure> = entry.key.as_str().into_deserializer();
        seed.deserialize(key).map(Some).map_err(|e| e.at(entry.at))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, DecodeFailure> {
        let Some(node) = self.value.take() else { return Err(de::Error::custom("a value without a key")) };
        seed.deserialize(Decoder(node)).map_err(|e| e.at(node.at))
    }
}
