//! The walk over all sources, family by family.

use super::descriptor::Descriptor;
use super::labels::Labels;
use super::samples::{Pass, Samples};
use super::visit::{Source, VisitError, Visitor};

/// Visits `sources` family by family, in the order in which families first appear in their tables.
///
/// `labels` are added to every sample (`client="x"`). Sources that list the same family may stand
/// apart and be of different types; all its samples reach the visitor together. Sources that have
/// nothing in their labels to tell them apart show the same series twice, which scrapers refuse.
///
/// Nothing is stored. The work is bounded by the sources' samples times the families they list,
/// plus a comparison of every source's table with those before it.
///
/// # Errors
///
/// [`VisitError`]; the visitor may have seen part of the samples.
pub fn visit_all<S: Source>(
    sources: &[S],
    labels: &[(&str, &str)],
    visitor: &mut dyn Visitor,
) -> Result<(), VisitError> {
    let labels = Labels::new(labels).map_err(|error| VisitError::ConstantLabel { error })?;
    for (first, source) in sources.iter().enumerate() {
        let table = source.families();
        let (before, from_here) = sources.split_at(first);
        if before.iter().any(|earlier| core::ptr::eq(earlier.families(), table)) {
            continue;
        }
        for (position, &family) in table.iter().enumerate() {
            let visited = lists(&table[..position], family)? || any_lists(before, family)?;
            if !visited && visitor.wants(family) {
                visit_family(from_here, family, labels, visitor)?;
            }
        }
    }
    Ok(())
}

/// Visits all samples of one family.
fn visit_family<S: Source>(
    sources: &[S],
    family: &'static Descriptor,
    labels: Labels<'_>,
    visitor: &mut dyn Visitor,
) -> Result<(), VisitError> {
    let mut pass = Pass { family, table: &[], checking: false, begun: false };
    let mut listed = false;
    for source in sources {
        let table = source.families();
        // Sources of one type mostly stand together: one look at their table serves them all.
        if !core::ptr::eq(table, pass.table) {
            listed = lists(table, family)?;
            pass.table = table;
            pass.checking = table.first().is_some_and(|first| same(first, family));
        }
        if listed {
            source.visit(&mut Samples { visitor, pass: &mut pass, labels })?;
        }
    }
    Ok(())
}

/// Whether any source lists `family`, asking each run of equal tables once.
fn any_lists<S: Source>(sources: &[S], family: &'static Descriptor) -> Result<bool, VisitError> {
    let mut asked: &[&Descriptor] = &[];
    for source in sources {
        let table = source.families();
        if !core::ptr::eq(table, asked) && lists(table, family)? {
            return Ok(true);
        }
        asked = table;
    }
    Ok(false)
}

/// Whether `table` lists `family`; an error where it lists another one under its name.
pub(super) fn lists(
    table: &[&'static Descriptor],
    family: &'static Descriptor,
) -> Result<bool, VisitError> {
    match table.iter().find(|listed| same(listed, family)) {
        None => Ok(false),
        Some(listed) if core::ptr::eq(*listed, family) || **listed == *family => Ok(true),
        Some(_) => Err(VisitError::Conflict { family: family.name() }),
    }
}

/// Whether two descriptors are of one family: OpenMetrics names families without `_total`.
#[inline]
pub(super) fn same(one: &Descriptor, other: &Descriptor) -> bool {
    core::ptr::eq(one, other) || one.base() == other.base()
}

#[cfg(test)]
mod tests;
