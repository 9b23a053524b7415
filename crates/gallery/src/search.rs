//! The exact search, on a snapshot, on any thread.

use std::cmp::Ordering;
use std::sync::Arc;

use super::allocation::Memory;
use super::chunk::{Chunk, LANES, Line, Owner, lines_per_row};
use super::error::GalleryError;
use super::ids::{SampleId, SubjectId};
use super::kernel;
use super::vector::UnitVector;

/// Rows that all queries go through before the next ones: they stay in the cache nearest to the core.
const BLOCK_BYTES: usize = 16 << 10;

/// The rows of a gallery as they were at one moment.
#[derive(Clone)]
pub struct Snapshot<A: Memory> {
    dimensions: usize,
    chunks: Vec<Arc<Chunk<A>>>,
}

/// A subject that is like the query.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Match {
    pub subject: SubjectId,
    /// The subject's sample that is most like the query.
    pub sample: SampleId,
    /// The cosine of the angle between both, from -1 to 1.
    pub similarity: f32,
}

impl<A: Memory> Snapshot<A> {
    pub(super) fn new(dimensions: usize, chunks: Vec<Arc<Chunk<A>>>) -> Snapshot<A> {
        Snapshot { dimensions, chunks }
    }

    pub fn sample_count(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.rows()).sum()
    }

    /// For each query the `wanted` most similar subjects, the most similar first, each by its best
    /// sample; equal ones by sample id.
    pub fn search(
        &self,
        queries: &[UnitVector],
        wanted: usize,
    ) -> Result<Vec<Vec<Match>>, GalleryError> {
        let queries: Vec<Vec<Line>> =
            queries.iter().map(|query| self.lines(query)).collect::<Result<_, _>>()?;
        let query_lines: Vec<&[Line]> = queries.iter().map(Vec::as_slice).collect();
        let rows = self.sample_count();
        let mut bests: Vec<Best> = queries.iter().map(|_| Best::new(wanted, rows)).collect();
        let rows_per_block =
            (BLOCK_BYTES / size_of::<Line>() / lines_per_row(self.dimensions)).max(1);
        let mut products = Vec::new();
        for chunk in &self.chunks {
            for (first, owners) in
                (0..).step_by(rows_per_block).zip(chunk.owners().chunks(rows_per_block))
            {
                let rows = chunk.rows_from(first, owners.len());
                kernel::products(rows, &query_lines, &mut products);
                for (best, products) in bests.iter_mut().zip(products.chunks(owners.len())) {
                    best.offer_all(products, owners);
                }
            }
        }
        Ok(bests.into_iter().map(Best::into_matches).collect())
    }

    /// How similar a subject is to the query, by its best sample.
    pub fn verify(
        &self,
        query: &UnitVector,
        subject: SubjectId,
    ) -> Result<Option<Match>, GalleryError> {
        let query = self.lines(query)?;
        let mut product = Vec::new();
        let mut best: Option<Match> = None;
        for chunk in &self.chunks {
            for (row, owner) in chunk.owners().iter().enumerate() {
                if owner.subject == subject {
                    kernel::products(chunk.row(row), &[&query], &mut product);
                    let found = matching(product[0], owner);
                    if best.is_none_or(|best| order(&found, &best).is_lt()) {
                        best = Some(found);
                    }
                }
            }
        }
        Ok(best.map(Match::bounded))
    }

    fn lines(&self, query: &UnitVector) -> Result<Vec<Line>, GalleryError> {
        if query.dimensions() != self.dimensions {
            return Err(GalleryError::Dimensions {
                expected: self.dimensions,
                found: query.dimensions(),
            });
        }
        let line = |numbers: &[f32]| {
            let mut line = Line::default();
            line.0[..numbers.len()].copy_from_slice(numbers);
            line
        };
        Ok(query.as_slice().chunks(LANES).map(line).collect())
    }
}

impl Match {
    /// Rounding may make a product of unit vectors a little more than 1.
    fn bounded(self) -> Match {
        Match { similarity: self.similarity.clamp(-1.0, 1.0), ..self }
    }
}

fn matching(similarity: f32, owner: &Owner) -> Match {
    Match { subject: owner.subject, sample: owner.sample, similarity }
}

/// The best first.
fn order(a: &Match, b: &Match) -> Ordering {
    b.similarity.total_cmp(&a.similarity).then(a.sample.cmp(&b.sample))
}

/// The best subjects so far. What may be among them is collected; once there is no room the best
/// are kept, which costs a row the logarithm of the room at most, in whatever order rows come.
struct Best {
    wanted: usize,
    room: usize,
    candidates: Vec<Match>,
    /// Below it nothing is among the best any more.
    threshold: f32,
}

impl Best {
    fn new(wanted: usize, rows: usize) -> Best {
        let room = wanted.saturating_mul(2).saturating_add(64).min(rows.saturating_add(1));
        Best { wanted, room, candidates: Vec::with_capacity(room), threshold: f32::NEG_INFINITY }
    }

    fn offer_all(&mut self, similarities: &[f32], owners: &[Owner]) {
        for (&similarity, owner) in similarities.iter().zip(owners) {
            if similarity >= self.threshold {
                self.candidates.push(matching(similarity, owner));
                if self.candidates.len() == self.room {
                    self.keep_best();
                }
            }
        }
    }

    fn keep_best(&mut self) {
        let candidates = &mut self.candidates;
        candidates.sort_unstable_by(|a, b| a.subject.cmp(&b.subject).then(order(a, b)));
        candidates.dedup_by_key(|candidate| candidate.subject);
        candidates.sort_unstable_by(order);
        candidates.truncate(self.wanted);
        if candidates.len() == self.wanted
            && let Some(last) = candidates.last()
        {
            self.threshold = last.similarity;
        }
    }

    fn into_matches(mut self) -> Vec<Match> {
        self.keep_best();
        self.candidates.into_iter().map(Match::bounded).collect()
    }
}
