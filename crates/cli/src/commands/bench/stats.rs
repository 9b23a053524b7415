//! What came of the requests: counted while they run, told at the end.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::mix::Kind;
use crate::commands::table::{Table, bytes};
use crate::error::printable;

/// Of one node and kind. A request counts as an error, or with its time.
#[derive(Debug, Clone, Default)]
struct Cell {
    microseconds: Vec<u32>,
    /// `stored`, `computed`, `joined`; of gets also `absent`: a hit that was evicted is no hit.
    sources: BTreeMap<String, u64>,
    errors: BTreeMap<String, u64>,
}

#[derive(Debug, Clone, Default)]
pub struct Stats {
    cells: BTreeMap<(String, Kind), Cell>,
    pub sent_bytes: u64,
}

impl Stats {
    pub fn answered(&mut self, node: &str, kind: Kind, time: Duration, source: String) {
        let cell = self.cell(node, kind);
        cell.microseconds.push(u32::try_from(time.as_micros()).unwrap_or(u32::MAX));
        *cell.sources.entry(source).or_default() += 1;
    }

    pub fn failed(&mut self, node: &str, kind: Kind, word: &str) {
        *self.cell(node, kind).errors.entry(word.to_owned()).or_default() += 1;
    }

    fn cell(&mut self, node: &str, kind: Kind) -> &mut Cell {
        self.cells.entry((node.to_owned(), kind)).or_default()
    }

    pub fn add(&mut self, other: Stats) {
        self.sent_bytes += other.sent_bytes;
        for (key, cell) in other.cells {
            self.cells.entry(key).or_default().add(&cell);
        }
    }

    pub fn report(&self, seconds: f64) -> BenchReport {
        let all = self.cells.iter().map(|((_, kind), cell)| (*kind, cell));
        let mut by_node: BTreeMap<&str, Vec<(Kind, &Cell)>> = BTreeMap::new();
        for ((node, kind), cell) in &self.cells {
            by_node.entry(node).or_default().push((*kind, cell));
        }
        let nodes = by_node.into_iter().map(|(node, cells)| NodeReport {
            node: node.to_owned(),
            figures: figures(cells.into_iter(), seconds),
        });
        BenchReport {
            seconds,
            sent_bytes: self.sent_bytes,
            figures: figures(all, seconds),
            nodes: nodes.collect(),
        }
    }
}

impl Cell {
    fn add(&mut self, other: &Cell) {
        self.microseconds.extend(&other.microseconds);
        for (mine, others) in
            [(&mut self.sources, &other.sources), (&mut self.errors, &other.errors)]
        {
            for (word, count) in others {
                *mine.entry(word.clone()).or_default() += count;
            }
        }
    }
}

#[derive(Debug, Serialize)]
pub struct BenchReport {
    pub seconds: f64,
    pub sent_bytes: u64,
    #[serde(flatten)]
    pub figures: Figures,
    pub nodes: Vec<NodeReport>,
}

#[derive(Debug, Serialize)]
pub struct NodeReport {
    pub node: String,
    #[serde(flatten)]
    pub figures: Figures,
}

#[derive(Debug, Serialize)]
pub struct Figures {
    pub requests: u64,
    pub per_second: f64,
    pub errors: BTreeMap<String, u64>,
    pub kinds: Vec<KindReport>,
}

#[derive(Debug, Serialize)]
pub struct KindReport {
    pub kind: Kind,
    pub answered: u64,
    pub failed: u64,
    pub sources: BTreeMap<String, u64>,
    pub ms: TimeQuantiles,
}

#[derive(Debug, Default, Serialize)]
pub struct TimeQuantiles {
    pub p50: f64,
    pub p95: f64,
    pub p99: f64,
    pub max: f64,
}

fn figures<'a>(cells: impl Iterator<Item = (Kind, &'a Cell)>, seconds: f64) -> Figures {
    let mut by_kind: BTreeMap<Kind, Cell> = BTreeMap::new();
    for (kind, cell) in cells {
        by_kind.entry(kind).or_default().add(cell);
    }
    let mut errors = BTreeMap::new();
    for (word, count) in by_kind.values().flat_map(|cell| &cell.errors) {
        *errors.entry(word.clone()).or_default() += count;
    }
    let kinds: Vec<KindReport> = by_kind
        .into_iter()
        .map(|(kind, mut cell)| KindReport {
            kind,
            answered: cell.microseconds.len() as u64,
            failed: cell.errors.values().sum(),
            ms: quantiles(&mut cell.microseconds),
            sources: cell.sources,
        })
        .collect();
    let answered: u64 = kinds.iter().map(|kind| kind.answered).sum();
    let failed: u64 = kinds.iter().map(|kind| kind.failed).sum();
    let per_second = if seconds > 0.0 { answered as f64 / seconds } else { 0.0 };
    Figures { requests: answered + failed, per_second, errors, kinds }
}

fn quantiles(microseconds: &mut [u32]) -> TimeQuantiles {
    microseconds.sort_unstable();
    let at = |share: f64| {
        let rank = (microseconds.len() as f64 * share).ceil() as usize;
        microseconds.get(rank.saturating_sub(1)).map_or(0.0, |time| f64::from(*time) / 1e3)
    };
    TimeQuantiles { p50: at(0.5), p95: at(0.95), p99: at(0.99), max: at(1.0) }
}

impl BenchReport {
    pub fn table(&self) -> String {
        let mut table = Table::new([
            "NODE",
            "KIND",
            "ANSWERED",
            "PER SECOND",
            "ms p50",
            "p95",
            "p99",
            "max",
            "FAILED",
            "SOURCES",
        ]);
        let mut add = |node: &str, figures: &Figures| {
            for kind in &figures.kinds {
                let sources =
                    kind.sources.iter().map(|(source, count)| format!("{count} {source}"));
                let [p50, p95, p99, max] = [kind.ms.p50, kind.ms.p95, kind.ms.p99, kind.ms.max]
                    .map(|time| format!("{time:.2}"));
                table.add([
                    node.to_owned(),
                    kind.kind.name().to_owned(),
                    kind.answered.to_string(),
                    format!("{:.1}", kind.answered as f64 / self.seconds.max(1e-9)),
                    p50,
                    p95,
                    p99,
                    max,
                    kind.failed.to_string(),
                    printable(&sources.collect::<Vec<_>>().join(", ")),
                ]);
            }
        };
        add("all", &self.figures);
        if self.nodes.len() > 1 {
            self.nodes.iter().for_each(|node| add(&node.node, &node.figures));
        }
        let mut text = table.to_string();
        text += &format!(
            "\n{} requests in {:.1} s: {:.1} answered per second, {} sent\n",
            self.figures.requests,
            self.seconds,
            self.figures.per_second,
            bytes(self.sent_bytes)
        );
        for (word, count) in &self.figures.errors {
            text += &format!("! {count} failed with {}\n", printable(word));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_those_of_all_nodes_and_of_each() {
        let mut stats = Stats::default();
        for milliseconds in 1..=100 {
            let node = if milliseconds <= 50 { "a:1" } else { "b:1" };
            stats.answered(
                node,
                Kind::Hits,
                Duration::from_millis(milliseconds),
                "stored".to_owned(),
            );
        }
        let mut other = Stats::default();
        other.failed("b:1", Kind::Misses, "QUEUEFULL");
        stats.add(other);

        let report = stats.report(2.0);
        assert_eq!((report.figures.requests, report.figures.per_second), (101, 50.0));
        assert_eq!(report.figures.errors["QUEUEFULL"], 1);
        let hits = &report.figures.kinds[0];
        assert_eq!((hits.ms.p50, hits.ms.p95, hits.ms.p99, hits.ms.max), (50.0, 95.0, 99.0, 100.0));
        assert_eq!(hits.sources["stored"], 100);
        let [a, b] = report.nodes.as_slice() else { panic!("{report:?}") };
        assert_eq!((a.figures.requests, b.figures.requests), (50, 51));
        assert_eq!(a.figures.kinds[0].ms.max, 50.0);
        assert!(report.table().contains("1 failed with QUEUEFULL"));
    }

    #[test]
    fn no_request_is_no_figure() {
        assert_eq!(quantiles(&mut []).max, 0.0);
        assert_eq!(Stats::default().report(0.0).figures.per_second, 0.0);
    }
}
