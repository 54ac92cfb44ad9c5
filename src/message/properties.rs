//! The property list.
/// A view.
pub struct Properties<'a>(&'a [u8]);
