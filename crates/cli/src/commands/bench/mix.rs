//! What kinds of requests a load is made of, and in which proportion.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// `IMAGE.RECOGNIZE` of a picture whose result is stored.
    Hits,
    /// `IMAGE.RECOGNIZE` of a picture that nobody has sent before.
    Misses,
    /// `IMAGE.GET` of a stored result: what a client sends that asks first.
    Gets,
}

impl Kind {
    pub const ALL: [Kind; 3] = [Kind::Hits, Kind::Misses, Kind::Gets];

    pub fn name(self) -> &'static str {
        match self {
            Kind::Hits => "hits",
            Kind::Misses => "misses",
            Kind::Gets => "gets",
        }
    }
}

/// The kinds of the requests in their order, again and again: proportions hold over every short stretch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mix {
    pattern: Vec<Kind>,
}

impl Mix {
    pub fn kind(&self, sequence: u64) -> Kind {
        self.pattern[(sequence % self.pattern.len() as u64) as usize]
    }
}

const MAX_WEIGHT: u32 = 1000;

impl FromStr for Mix {
    type Err = String;

    /// `hits=90,misses=10`
    fn from_str(text: &str) -> Result<Mix, String> {
        let mut weights = [0u32; Kind::ALL.len()];
        for part in text.split(',') {
            let (name, weight) =
                part.split_once('=').ok_or_else(|| format!("`{part}` is no KIND=WEIGHT"))?;
            let kind = Kind::ALL.iter().position(|kind| kind.name() == name.trim());
            let kind = kind.ok_or_else(|| format!("`{name}` is none of hits, misses, gets"))?;
            let weight = weight.trim().parse().ok().filter(|weight| *weight <= MAX_WEIGHT);
            weights[kind] =
                weight.ok_or_else(|| format!("the weight of {name} must be 0 to {MAX_WEIGHT}"))?;
        }
        let total: u32 = weights.iter().sum();
        if total == 0 {
            return Err("one weight must be more than 0".to_owned());
        }
        // Who is furthest behind its share comes next.
        let mut credit = [0i64; Kind::ALL.len()];
        let mut pattern = Vec::new();
        for _ in 0..total {
            for (credit, weight) in credit.iter_mut().zip(weights) {
                *credit += i64::from(weight);
            }
            let next = (0..credit.len()).max_by_key(|place| credit[*place]).unwrap_or(0);
            credit[next] -= i64::from(total);
            pattern.push(Kind::ALL[next]);
        }
        Ok(Mix { pattern })
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = Kind::ALL.iter().filter_map(|kind| {
            let count = self.pattern.iter().filter(|one| *one == kind).count();
            (count > 0).then(|| format!("{}={count}", kind.name()))
        });
        write!(f, "{}", parts.collect::<Vec<_>>().join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proportions_hold_over_every_stretch() {
        let mix: Mix = "hits=90,misses=10".parse().expect("a mix");
        for start in 0..100 {
            let misses = (start..start + 20).filter(|n| mix.kind(*n) == Kind::Misses).count();
            assert_eq!(misses, 2, "from {start}");
        }
        assert_eq!(mix.to_string(), "hits=90,misses=10");
        let three: Mix = "gets=1,hits=1,misses=1".parse().expect("a mix");
        let kinds: std::collections::HashSet<Kind> = (0..3).map(|n| three.kind(n)).collect();
        assert_eq!(kinds.len(), 3);
    }

    #[test]
    fn what_is_no_mix_is_refused_and_named() {
        let wrong =
            [("hits", "hits"), ("hots=1", "hots"), ("hits=-1", "hits"), ("hits=0", "0"), ("", "")];
        for (text, word) in wrong {
            let error = text.parse::<Mix>().expect_err(text);
            assert!(error.contains(word), "{error}");
        }
        assert!("hits=1001".parse::<Mix>().is_err());
    }
}
