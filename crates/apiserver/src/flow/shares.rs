//! How the server's seats are divided among priority levels: by their shares at first, then again and again by what they
//! need, within what each lends and may borrow.

/// What a priority level's object says of its seats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Shares {
    /// Its part, relative to those of the other levels.
    pub(super) nominal: u32,
    /// Per cent of its seats that others may have while it does not need them.
    pub(super) lendable: u32,
    /// Per cent of its seats that it may have of others on top; nothing for no limit.
    pub(super) borrowing: Option<u32>,
}

/// Seats of a level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Bounds {
    /// What its shares give it.
    pub(super) nominal: u32,
    /// What it never lends.
    pub(super) lower: u32,
    /// What it has at most.
    pub(super) upper: u32,
}

impl Bounds {
    /// The seats of a level of which no need is known yet: it lends half of what it may.
    pub(super) fn first(&self) -> u32 {
        self.nominal - (self.nominal - self.lower) / 2
    }

    /// Seats of one request at most: no single one takes a large part of its level, or more than a queue's worth.
    pub(super) fn widest(&self, hand: u32) -> u32 {
        let part = (self.nominal * 15).div_ceil(100);
        part.min(self.nominal / hand.max(1)).max(1)
    }
}

/// Divides `total` seats. Parts are rounded up, so that their sum may be a little more.
pub(super) fn divide(total: u32, levels: &[Shares]) -> Vec<Bounds> {
    let sum: u64 = levels.iter().map(|level| u64::from(level.nominal)).sum();
    let percent = |seats: u32, percent: u32| (u64::from(seats) * u64::from(percent) + 50) / 100;
    let bounds = levels.iter().map(|level| {
        let nominal = (u64::from(total) * u64::from(level.nominal)).div_ceil(sum.max(1)) as u32;
        let borrowing = match level.borrowing {
            Some(borrowing) => percent(nominal, borrowing),
            None => u64::from(total),
        };
        let upper = u64::from(nominal) + borrowing;
        Bounds {
            nominal,
            lower: nominal - percent(nominal, level.lendable.min(100)) as u32,
            upper: u32::try_from(upper).unwrap_or(u32::MAX),
        }
    });
    bounds.collect()
}

/// What a level needs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Need {
    /// Seats that it gets in any case; at most `upper`.
    pub(super) lower: u32,
    /// Seats that it gets at most.
    pub(super) upper: u32,
    /// Seats that it would use.
    pub(super) target: f64,
}

/// Gives out `total` seats: all levels get the same part of what they would use, as far as their bounds allow. Where the lower
/// bounds alone are more than there is, each gets its lower bound; rounding may give out a few more or less.
pub(super) fn allot(total: u32, needs: &[Need]) -> Vec<u32> {
    let give = |part: f64| {
        let one = move |need: &Need| {
            (need.target.max(0.001) * part).clamp(f64::from(need.lower), f64::from(need.upper))
        };
        needs.iter().map(one).collect::<Vec<f64>>()
    };
    // The sum grows with the part. Above this one, every level has its upper bound.
    let (mut low, mut high) = (0.0, f64::from(u32::MAX));
    for _ in 0..100 {
        let middle = f64::midpoint(low, high);
        if give(middle).iter().sum::<f64>() < f64::from(total) { low = middle } else { high = middle }
    }
    give(high).iter().map(|seats| seats.round() as u32).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn seats_are_divided_by_shares() {
        let shares = |nominal, lendable, borrowing| Shares { nominal, lendable, borrowing };
        let levels = [shares(30, 33, None), shares(5, 0, None), shares(20, 50, Some(10)), shares(0, 0, None)];
        let expected = [(328, 220, 928), (55, 55, 655), (219, 109, 241), (0, 0, 600)];
        for (bounds, (nominal, lower, upper)) in divide(600, &levels).into_iter().zip(expected) {
            assert_eq!(bounds, Bounds { nominal, lower, upper });
        }
        assert_eq!(divide(10, &[shares(0, 0, None)]), [Bounds { nominal: 0, lower: 0, upper: 10 }]);
    }

    #[test]
    fn no_request_takes_most_of_a_level() {
        for (nominal, hand, widest) in [(49, 6, 8), (245, 6, 37), (13, 1, 2), (3, 6, 1), (0, 6, 1)] {
            let bounds = Bounds { nominal, lower: nominal, upper: nominal };
            assert_eq!(bounds.widest(hand), widest, "{nominal} seats");
        }
    }

    #[test]
    fn idle_levels_lend_and_get_back() {
        let idle = Need { lower: 10, upper: 100, target: 0.0 };
        let busy = Need { lower: 20, upper: 1000, target: 500.0 };
        assert_eq!(allot(100, &[idle, busy]), [10, 90]);
        let capped = Need { upper: 50, ..busy };
        assert_eq!(allot(100, &[idle, capped]), [50, 50]);
        assert_eq!(allot(100, &[busy, busy]), [50, 50]);
        assert_eq!(allot(10, &[idle, busy]), [10, 20], "lower bounds hold");
    }

    proptest! {
        #[test]
        fn all_seats_are_given_out_within_bounds(
            needs in prop::collection::vec((0..50_u32, 0..200_u32, 0.0..300.0_f64), 1..12),
            total in 1..1000_u32,
        ) {
            let needs: Vec<Need> =
                needs.into_iter().map(|(lower, more, target)| Need { lower, upper: lower + more, target }).collect();
            let given = allot(total, &needs);
            for (seats, need) in given.iter().zip(&needs) {
                prop_assert!((need.lower..=need.upper).contains(seats));
            }
            let (low, high): (u32, u32) = needs.iter().fold((0, 0), |(low, high), need| (low + need.lower, high + need.upper));
            let wanted = total.clamp(low.min(total.max(low)), high);
            let sum: u32 = given.iter().sum();
            prop_assert!(sum.abs_diff(wanted) as usize <= needs.len(), "{} of {}", sum, wanted);
        }
    }
}
