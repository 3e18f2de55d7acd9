//! What lies on disk and survives a crash: the tables that grow while a run lasts, the record of what ran,
//! the directories of a training and of measurements. Reports are made of it elsewhere.

pub mod answered;
pub mod bench;
pub mod csv;
pub mod directory;
pub mod exchange;
pub mod holding;
pub mod loss;
mod machines;
pub mod margins;
pub mod merged;
pub mod models;
mod order;
pub mod page;
pub mod ranking;
mod record_file;
pub mod rescored;
pub mod retrieval;
pub(crate) mod served;
pub mod stored;
pub mod tasks;
pub mod training;
