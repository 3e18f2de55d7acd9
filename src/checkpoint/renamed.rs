//! A family's own tensor names and layouts, read as if they were Llama's in Hugging Face's layout.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;

use candle_core::{D, Device, Tensor};

use super::mxfp4::BLOCKS;
use crate::error::Result;
use crate::weights::{Blocks, TensorSource};

/// Where a tensor is stored, and which part of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// Name in the file.
    pub name: String,
    /// Whether a matrix is stored as `[in, out]` (GPT-2's Conv1D), or each of a stack of them (Llama 4's
    /// experts).
    pub transposed: bool,
    /// The rows that belong to it.
    pub part: Part,
    /// What its numbers are multiplied by (Falcon-H1).
    pub factor: f64,
}

/// Rows of a stored tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// All of them.
    All,
    /// `len` from `start` on (Phi-3's fused projections).
    Rows {
        /// The first.
        start: usize,
        /// How many.
        len: usize,
    },
    /// Of `[heads, of, head_dim]` rows, those of one part of each head: of q (0), k (1) or v (2) (GPT-NeoX),
    /// or of q (0) and its gate (1) (Qwen 3.5).
    Interleaved {
        /// Which of the parts.
        which: usize,
        /// How many parts a head has.
        of: usize,
        /// Width of a head.
        head_dim: usize,
    },
    /// Of every `group` rows, `len` from `start` on (Qwen 3.5's queries beside their gates).
    Grouped {
        /// Rows of a group.
        group: usize,
        /// The first of each.
        start: usize,
        /// How many of each.
        len: usize,
    },
    /// All numbers as one vector, whatever the shape that they are stored in.
    Flat,
    /// Of each matrix or vector of a stack, all rows with an even number before all others (gpt-oss, whose
    /// gates and up projections alternate).
    EvenRowsFirst,
    /// A single row, without the dimension of rows (Cohere's norms of heads).
    Row(usize),
}

impl Part {
    /// Which of so many rows it has, in their order; `None` where it is no choice of rows.
    fn of_rows(self, all: usize) -> Option<Vec<Range<usize>>> {
        let every = |step: usize, start: usize, len: usize| {
            let whole = step > 0 && all.is_multiple_of(step) && start + len <= step;
            whole.then(|| (0..all).step_by(step).map(|at| at + start..at + start + len).collect())
        };
        match self {
            Self::All => Some(vec![0..all]),
            Self::Rows { start, len } => (start + len <= all).then(|| vec![start..start + len]),
            Self::Interleaved { which, of, head_dim } => every(of * head_dim, which * head_dim, head_dim),
            Self::Grouped { group, start, len } => every(group, start, len),
            Self::Flat | Self::EvenRowsFirst | Self::Row(_) => None,
        }
    }
}

impl Stored {
    /// Where `name` is in a matrix that holds q, k and v of each head, `[heads, 3, head_dim]` rows: `q_proj`
    /// and the like are called `fused` there. `None` for any other name.
    #[must_use]
    pub fn fused_by_head(name: &str, fused: &str, head_dim: usize) -> Option<Self> {
        let projections = ["q_proj", "k_proj", "v_proj"].into_iter().enumerate();
        let (which, projection) = { projections }.find(|(_, projection)| name.contains(projection))?;
        let part = Part::Interleaved { which, of: 3, head_dim };
        Some(Self { part, ..Self::whole(name.replace(projection, fused)) })
    }

    /// A whole tensor under its own name.
    #[must_use]
    pub fn whole(name: impl Into<String>) -> Self {
        Self { name: name.into(), transposed: false, part: Part::All, factor: 1.0 }
    }
}

/// Where a family keeps the tensor that Llama would call by a name.
pub type NameMap = Box<dyn Fn(&str) -> Stored + Send + Sync>;

/// A source seen through a family's names. Read as well: files that leave out the leading `model.`,
/// `transformer.` or `multiscreen.`, files of which only a part is the language model, and single tensors
/// that stand under Llama's name whatever the family's own.
pub(super) struct Renamed {
    pub(super) inner: Box<dyn TensorSource>,
    pub(super) map: NameMap,
}

impl Renamed {
    fn stored(&self, name: &str) -> Stored {
        let own = (self.map)(name);
        // Blocks have outputs as their rows, whatever the layout of plain numbers is.
        let blocks = Stored { name: format!("{}{BLOCKS}", own.name), transposed: false, ..own.clone() };
        let candidates = [own.clone(), blocks, Stored::whole(name)].into_iter().flat_map(|stored| {
            places(&stored.name).into_iter().map(move |name| Stored { name, ..stored.clone() })
        });
        let found = { candidates }.find(|stored| self.inner.contains(&stored.name));
        found.unwrap_or(own)
    }

    /// The rows of a stored matrix that belong to a tensor, and how many it has in all; `None` where the
    /// tensor is more than a choice of rows.
    fn rows(&self, stored: &Stored) -> Option<(Vec<Range<usize>>, usize)> {
        let all = *self.inner.shape(&stored.name)?.first().filter(|rows| **rows > 0)?;
        if stored.transposed {
            return None;
        }
        Some((stored.part.of_rows(all)?, all))
    }
}

/// The names under which a tensor may stand in a file: its own, without the leading `model.` or the like, or
/// among the tensors of the text part of a checkpoint that sees images.
fn places(name: &str) -> Vec<String> {
    let mut places = vec![name.to_string(), format!("language_model.{name}")];
    if let Some(short) =
        ["model.", "transformer.", "multiscreen."].iter().find_map(|prefix| name.strip_prefix(prefix))
    {
        places
            .extend(["", "model.language_model.", "model.text_model."].map(|part| format!("{part}{short}")));
    }
    // Ling's outputs of attention have two names.
    if let Some((before, behind)) = name.split_once(".attention.dense.") {
        places.push(format!("{before}.attention.o_proj.{behind}"));
    }
    places
}

/// `[stack, 2 n, ..]` with the rows 0, 2, .. of the second dimension before 1, 3, ..
fn even_rows_first(stack: &Tensor) -> Result<Tensor> {
    let mut split = stack.dims().to_vec();
    let rows = split.get(1).copied().filter(|rows| rows.is_multiple_of(2));
    let Some(rows) = rows else { return Ok(stack.clone()) };
    split.splice(1..2, [rows / 2, 2]);
    let pairs = stack.reshape(split)?; // [stack, n, 2, ..]
    Ok(pairs.transpose(1, 2)?.contiguous()?.reshape(stack.shape())?)
}

impl TensorSource for Renamed {
    fn contains(&self, name: &str) -> bool {
        self.inner.contains(&self.stored(name).name)
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        let stored = self.stored(name);
        let mut shape = self.inner.shape(&stored.name)?;
        if stored.transposed
            && let [.., a, b] = &mut shape[..]
        {
            std::mem::swap(a, b);
        }
        if stored.part == Part::Flat {
            return Some(vec![shape.into_iter().product()]);
        }
        // A single number has no rows.
        if let Some(rows) = shape.first_mut() {
            // A part that reaches past the tensor keeps the whole shape, which then is reported as the wrong
            // one.
            *rows = match stored.part {
                Part::Rows { start, len } if start + len <= *rows => len,
                Part::Interleaved { of, .. } if rows.is_multiple_of(of) => *rows / of,
                Part::Grouped { group, len, .. } if rows.is_multiple_of(group) => *rows / group * len,
                _ => *rows,
            };
        }
        if let Part::Row(row) = stored.part
            && shape.first().is_some_and(|rows| row < *rows)
        {
            shape.remove(0);
        }
        Some(shape)
    }

    fn read(&self, name: &str, device: &Device) -> Result<Tensor> {
        let stored = self.stored(name);
        let whole = self.inner.read(&stored.name, device)?;
        let matrices = whole.rank() >= 2;
        let whole = match stored.transposed && matrices {
            true => whole.transpose(D::Minus2, D::Minus1)?.contiguous()?,
            false => whole,
        };
        let part = match stored.part {
            Part::All => whole,
            Part::Flat => whole.flatten_all()?,
            Part::EvenRowsFirst => even_rows_first(&whole)?,
            Part::Rows { start, len } => whole.narrow(0, start, len)?.contiguous()?,
            Part::Grouped { group, start, len } => {
                let mut shape = whole.dims().to_vec();
                shape[0] = shape[0] / group * len;
                let groups = whole.reshape((shape[0] / len, group, ()))?; // [groups, group, in]
                groups.narrow(1, start, len)?.contiguous()?.reshape(shape)?
            }
            Part::Row(row) => whole.get(row)?,
            Part::Interleaved { which, of, head_dim } => {
                let mut shape = whole.dims().to_vec();
                shape[0] /= of;
                let heads = shape[0] / head_dim;
                let split = whole.reshape((heads, of, head_dim, ()))?; // [heads, of, head_dim, in]
                split.narrow(1, which, 1)?.contiguous()?.reshape(shape)?
            }
        };
        Ok(if stored.factor == 1.0 { part } else { (part * stored.factor)? })
    }

    fn block_bytes(&self, name: &str) -> Option<usize> {
        let stored = self.stored(name);
        let (rows, all) = self.rows(&stored)?;
        let kept: usize = rows.iter().map(Range::len).sum();
        Some(self.inner.block_bytes(&stored.name)? / all * kept)
    }

    fn read_blocks(&self, name: &str) -> Result<Option<Blocks>> {
        let stored = self.stored(name);
        let Some((rows, all)) = self.rows(&stored) else { return Ok(None) };
        let blocks = self.inner.read_blocks(&stored.name)?;
        let blocks = match stored.part {
            Part::All => blocks,
            _ => blocks.filter(|blocks| blocks.shape()[0] == all).and_then(|blocks| blocks.rows(&rows)),
        };
        Ok(blocks.and_then(|blocks| match stored.factor {
            1.0 => Some(blocks),
            factor => blocks.times(factor as f32),
        }))
    }

    fn check_dtype(&self, name: &str) -> Result<()> {
        self.inner.check_dtype(&self.stored(name).name)
    }

    fn dtypes(&self) -> BTreeMap<String, usize> {
        self.inner.dtypes()
    }

    fn file_of(&self, name: &str) -> PathBuf {
        self.inner.file_of(&self.stored(name).name)
    }

    fn stored_name(&self, name: &str) -> Option<String> {
        self.inner.stored_name(&self.stored(name).name)
    }

    fn stored_names(&self) -> Vec<String> {
        self.inner.stored_names()
    }

    fn stored_shape(&self, stored: &str) -> Option<Vec<usize>> {
        self.inner.stored_shape(stored)
    }

    fn read_stored(&self, stored: &str) -> Result<Tensor> {
        self.inner.read_stored(stored)
    }
}
