//! "Did you mean": the names closest to one that is not known.
//!
//! Optimal string alignment distance (swapped neighbours count once), since most wrong names are
//! slips of the hand. Whoever asks decides what to do; this never corrects anything by itself.

use std::fmt;

/// Names given back at most.
const NEAR_MAX: usize = 3;

/// A name longer than this has no near ones: the distance costs length times length.
const NAME_CHARS_MAX: usize = 120;

/// The near names, best first; prints itself as ` (did you mean a or b?)`, or as nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Near(pub Vec<String>);

impl fmt::Display for Near {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [] => Ok(()),
            [one] => write!(f, " (did you mean {one}?)"),
            [first @ .., last] => write!(f, " (did you mean {} or {last}?)", first.join(", ")),
        }
    }
}

/// Those of `names` that are close to `wrong`.
pub fn among<'a>(wrong: &str, names: impl Iterator<Item = &'a str>) -> Near {
    let wanted: Vec<char> = wrong.chars().flat_map(char::to_lowercase).collect();
    if wanted.is_empty() || wanted.len() > NAME_CHARS_MAX {
        return Near::default();
    }
    let worst = (wanted.len() / 3).clamp(1, 6);
    let mut found: Vec<(usize, &str)> = names
        .filter_map(|name| Some((distance_within(&wanted, name, worst)?, name)))
        .collect();
    found.sort();
    let best = found.first().map_or(0, |(distance, _)| *distance);
    found.retain(|(distance, _)| *distance <= best + 1);
    found.truncate(NEAR_MAX);
    Near(found.into_iter().map(|(_, name)| name.to_owned()).collect())
}

fn distance_within(wanted: &[char], name: &str, worst: usize) -> Option<usize> {
    let name: Vec<char> = name.chars().flat_map(char::to_lowercase).collect();
    if name.len().abs_diff(wanted.len()) > worst {
        return None;
    }
    let distance = distance(wanted, &name);
    (distance <= worst).then_some(distance)
}

fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let same = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (last[j - 1] + same).min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_of_the_hand_are_near() {
        let names = ["services", "service", "rules", "vars", "main"];
        let check = |wrong: &str, expect: &str| {
            assert_eq!(
                among(wrong, names.into_iter()).to_string(),
                expect,
                "{wrong}"
            );
        };
        check("sevices", " (did you mean services or service?)");
        check("VARS", " (did you mean vars?)");
        check("mian", " (did you mean main?)");
        check("rulse", " (did you mean rules?)");
        check("kv", "");
        check("", "");
    }
}
