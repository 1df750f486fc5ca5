//! Collections that are walked where they stand.

use core::fmt::{self, Debug, Write};
use core::marker::PhantomData;

use super::{FromJson, MapKey, Shape, ToJson};
use crate::rocketmq::wire::json::{JsonError, Reader, Value, Writer};

/// A list or set: of JSON that was read, or a slice that is to be written.
#[derive(Clone, Copy)]
pub struct List<'a, T>(Source<'a, T>);

/// A map: of JSON that was read, or a slice of pairs that is to be written. Keys may be texts,
/// numbers or objects.
#[derive(Clone, Copy)]
pub struct Map<'a, K, V>(Source<'a, (K, V)>);

#[derive(Clone, Copy)]
enum Source<'a, T> {
    Json(Value<'a>),
    Slice(&'a [T]),
}

impl<'a, T: FromJson<'a> + Clone> List<'a, T> {
    /// Its items, `null` left out; an item that is none ends the walk.
    pub fn iter(&self) -> ListIter<'a, T> {
        ListIter(match self.0 {
            Source::Slice(items) => Walk::Slice(items.iter()),
            Source::Json(value) => Walk::start(value, Reader::begin_array),
        })
    }
}

impl<'a, K: MapKey<'a> + Clone, V: FromJson<'a> + Clone> Map<'a, K, V> {
    /// Its entries, those with `null` left out; an entry that is none ends the walk. A key may be
    /// there twice.
    pub fn iter(&self) -> MapIter<'a, K, V> {
        MapIter(match self.0 {
            Source::Slice(items) => Walk::Slice(items.iter()),
            Source::Json(value) => Walk::start(value, Reader::begin_object),
        })
    }
}

/// The items of a [`List`].
#[derive(Clone)]
pub struct ListIter<'a, T>(Walk<'a, T>);

/// The entries of a [`Map`].
#[derive(Clone)]
pub struct MapIter<'a, K, V>(Walk<'a, (K, V)>);

#[derive(Clone)]
enum Walk<'a, T> {
    Json(Reader<'a>, PhantomData<T>),
    Slice(core::slice::Iter<'a, T>),
}

impl<'a, T> Walk<'a, T> {
    fn start(
        value: Value<'a>,
        begin: impl FnOnce(&mut Reader<'a>) -> Result<(), JsonError>,
    ) -> Self {
        let mut reader = value.reader();
        match begin(&mut reader) {
            Ok(()) => Self::Json(reader, PhantomData),
            // It was looked at when it was read.
            Err(_) => Self::Slice([].iter()),
        }
    }
}

impl<'a, T: FromJson<'a> + Clone> Iterator for ListIter<'a, T> {
    type Item = Result<T, JsonError>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Walk::Slice(items) => items.next().cloned().map(Ok),
            Walk::Json(reader, _) => {
                let item = next_item(reader).transpose();
                if matches!(item, Some(Err(_))) {
                    self.0 = Walk::Slice([].iter());
                }
                item
            }
        }
    }
}

fn next_item<'a, T: FromJson<'a>>(reader: &mut Reader<'a>) -> Result<Option<T>, JsonError> {
    while reader.next_item()? {
        if !reader.null()? {
            return T::from_json(reader).map(Some);
        }
    }
    Ok(None)
}

impl<'a, K: MapKey<'a> + Clone, V: FromJson<'a> + Clone> Iterator for MapIter<'a, K, V> {
    type Item = Result<(K, V), JsonError>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Walk::Slice(items) => items.next().cloned().map(Ok),
            Walk::Json(reader, _) => {
                let entry = next_entry(reader).transpose();
                if matches!(entry, Some(Err(_))) {
                    self.0 = Walk::Slice([].iter());
                }
                entry
            }
        }
    }
}

fn next_entry<'a, K: MapKey<'a>, V: FromJson<'a>>(
    reader: &mut Reader<'a>,
) -> Result<Option<(K, V)>, JsonError> {
    while let Some(key) = reader.next_key()? {
        if !reader.null()? {
            return Ok(Some((K::from_key(key)?, V::from_json(reader)?)));
        }
    }
    Ok(None)
}

/// The collection that comes next, or that a reference means.
fn value<'a>(reader: &mut Reader<'a>) -> Result<Value<'a>, JsonError> {
    match reader.referred()? {
        Some(mut target) => target.skip(),
        None => reader.skip(),
    }
}

impl<'a, T: FromJson<'a>> FromJson<'a> for List<'a, T> {
    const SHAPE: Shape = Shape::List(&T::SHAPE);

    fn from_json(reader: &mut Reader<'a>) -> Result<Self, JsonError> {
        let value = value(reader)?;
        value.reader().begin_array()?;
        Ok(Self(Source::Json(value)))
    }

    fn absent() -> Option<Self> {
        Some(Self::default())
    }
}

impl<'a, K: MapKey<'a>, V: FromJson<'a>> FromJson<'a> for Map<'a, K, V> {
    const SHAPE: Shape = Shape::Map(&K::SHAPE, &V::SHAPE);

    fn from_json(reader: &mut Reader<'a>) -> Result<Self, JsonError> {
        let value = value(reader)?;
        value.reader().begin_object()?;
        Ok(Self(Source::Json(value)))
    }

    fn absent() -> Option<Self> {
        Some(Self::default())
    }
}

impl<'a, T: FromJson<'a> + ToJson + Clone> ToJson for List<'a, T> {
    fn to_json<W: Write>(&self, writer: &mut Writer<W>) -> fmt::Result {
        writer.begin_array()?;
        for item in self.iter() {
            item.map_err(|_| fmt::Error)?.to_json(writer)?;
        }
        writer.end_array()
    }
}

impl<'a, K, V> ToJson for Map<'a, K, V>
where
    K: MapKey<'a> + Clone,
    V: FromJson<'a> + ToJson + Clone,
{
    fn to_json<W: Write>(&self, writer: &mut Writer<W>) -> fmt::Result {
        writer.begin_object()?;
        for entry in self.iter() {
            let (key, value) = entry.map_err(|_| fmt::Error)?;
            key.write_key(writer)?;
            value.to_json(writer)?;
        }
        writer.end_object()
    }
}

impl<T> Default for List<'_, T> {
    fn default() -> Self {
        Self(Source::Slice(&[]))
    }
}

impl<K, V> Default for Map<'_, K, V> {
    fn default() -> Self {
        Self(Source::Slice(&[]))
    }
}

impl<'a, T> From<&'a [T]> for List<'a, T> {
    fn from(items: &'a [T]) -> Self {
        Self(Source::Slice(items))
    }
}

impl<'a, T, const N: usize> From<&'a [T; N]> for List<'a, T> {
    fn from(items: &'a [T; N]) -> Self {
        Self(Source::Slice(items))
    }
}

impl<'a, K, V> From<&'a [(K, V)]> for Map<'a, K, V> {
    fn from(items: &'a [(K, V)]) -> Self {
        Self(Source::Slice(items))
    }
}

impl<'a, K, V, const N: usize> From<&'a [(K, V); N]> for Map<'a, K, V> {
    fn from(items: &'a [(K, V); N]) -> Self {
        Self(Source::Slice(items))
    }
}

impl<'a, T: FromJson<'a> + Clone + PartialEq> PartialEq for List<'a, T> {
    /// Item by item, in their order.
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<'a, K, V> PartialEq for Map<'a, K, V>
where
    K: MapKey<'a> + Clone + PartialEq,
    V: FromJson<'a> + Clone + PartialEq,
{
    /// Entry by entry, in their order.
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<'a, T: FromJson<'a> + Clone + Debug> Debug for List<'a, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a, K, V> Debug for Map<'a, K, V>
where
    K: MapKey<'a> + Clone + Debug,
    V: FromJson<'a> + Clone + Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<T> Debug for ListIter<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ListIter")
    }
}

impl<K, V> Debug for MapIter<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MapIter")
    }
}
