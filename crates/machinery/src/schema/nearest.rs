//! What somebody may have meant by a field that is not there.

use super::Child;
use super::node::Shape;

/// Finds the declared field beside the place that `path` names whose name is most like that of the path's last element.
/// `path` is as [`prune`](super::prune) writes it, for example `spec.disks[0].buss`.
pub(super) fn nearest(root: &Child, path: &str) -> Option<String> {
    let (above, wrong) = path.rsplit_once('.').unwrap_or(("", path));
    let mut here = root;
    for step in above.split('.').filter(|step| !step.is_empty()) {
        let name = step.split('[').next().unwrap_or_default();
        here = here.node().object()?.child(name)?;
        for _ in 0..step.matches('[').count() {
            match &here.node().shape {
                Shape::List(list) => here = &list.items,
                _ => return None,
            }
        }
    }
    let fields = &here.node().object()?.fields;
    let most = wrong.chars().count() / 3;
    let found = fields.iter().map(|(name, _)| (distance(name, wrong), name)).min()?;
    (found.0 <= most).then(|| super::prune::join(above, found.1))
}

/// Counts the letters that have to be changed, added, left out or swapped with their neighbour, whatever their case.
fn distance(one: &str, other: &str) -> usize {
    let letters = |text: &str| text.to_lowercase().chars().collect::<Vec<_>>();
    let (one, other) = (letters(one), letters(other));
    let mut before = Vec::new();
    let mut last: Vec<usize> = (0..=other.len()).collect();
    for i in 1..=one.len() {
        let mut row = vec![i];
        for j in 1..=other.len() {
            let changed = usize::from(one[i - 1] != other[j - 1]);
            let mut best = (last[j - 1] + changed).min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && one[i - 1] == other[j - 2] && one[i - 2] == other[j - 1] {
                let swapped: &Vec<usize> = &before;
                best = best.min(swapped[j - 2] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last.pop().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::distance;

    #[test]
    fn slips_are_near_and_other_words_are_not() {
        for (one, other, expected) in [
            ("cores", "core", 1),
            ("runStrategy", "runstrategy", 0),
            ("bus", "bsu", 1),
            ("guest", "size", 5),
            ("", "ab", 2),
        ] {
            assert_eq!(distance(one, other), expected, "{one} {other}");
        }
    }
}
