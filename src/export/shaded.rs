//! shaded
