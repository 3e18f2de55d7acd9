//! What a cache holds for a black box: what it has read, and copies of that at some places to go back to.

use std::fmt;

use candle_core::{Result, Tensor};

use super::Reader;
use crate::model::kv_cache::MARKS;

/// A reader with the places that it goes back to.
pub(in crate::model) struct Reading {
    start: Box<dyn Reader>,
    now: Box<dyn Reader>,
    /// In the order of their places.
    marks: Vec<(usize, Box<dyn Reader>)>,
}

impl fmt::Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places: Vec<_> = self.marks.iter().map(|(place, _)| place).collect();
        f.debug_struct("Reading").field("marks", &places).finish_non_exhaustive()
    }
}

impl Reading {
    /// Nothing read, by a reader that has read nothing.
    pub(super) fn new(start: Box<dyn Reader>) -> Self {
        Self { now: start.fork(), start, marks: Vec::new() }
    }

    pub(super) fn read(&mut self, tokens: &[u32]) -> Result<()> {
        if tokens.is_empty() { Ok(()) } else { self.now.read(tokens) }
    }

    /// Computes what is read so far, `len` tokens; a mark at this place keeps it computed.
    pub(super) fn settle(&mut self, len: usize) -> Result<()> {
        self.now.settle()?;
        if let Some((_, reader)) = self.marks.last_mut().filter(|(place, _)| *place == len) {
            *reader = self.now.fork();
        }
        Ok(())
    }

    pub(super) fn next(&mut self, token: u32) -> Result<Tensor> {
        self.now.next(token)
    }

    /// Keeps what is read so far, `len` tokens; of too many places the first is forgotten.
    pub(in crate::model) fn mark(&mut self, len: usize) {
        if self.marks.last().is_some_and(|(place, _)| *place == len) {
            return;
        }
        if self.marks.len() == MARKS {
            self.marks.remove(0);
        }
        self.marks.push((len, self.now.fork()));
    }

    /// Goes back to the last mark that is not behind `len`, and says where that is.
    pub(in crate::model) fn go_back(&mut self, len: usize) -> usize {
        self.marks.retain(|(place, _)| *place <= len);
        let (place, reader) = self.marks.last().map_or((0, &self.start), |(place, reader)| (*place, reader));
        self.now = reader.fork();
        place
    }
}
