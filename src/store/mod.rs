//! What lies on disk and survives a crash: the tables that grow while a run lasts, the record of what ran, and the directory of a training.

pub mod csv;
pub mod directory;
pub mod stored;
pub mod training;
