//! Many runs: nothing that must not happen happens, and a seed tells the whole story.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::time::Duration;

use sim::{Options, Report, run};

fn simulate(options: &Options) -> Report {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(run(options))
}

#[test]
fn the_same_seed_gives_the_same_journal() {
    let options = Options {
        seed: 7,
        storm: Duration::from_secs(40),
        calm: Duration::from_secs(60),
        ..Options::default()
    };
    let (first, second) = (simulate(&options).journal, simulate(&options).journal);
    assert!(first.len() > 50, "too little happened: {} requests", first.len());
    let differs = first.iter().zip(&second).position(|(a, b)| a != b);
    if let Some(at) = differs {
        let from = at.saturating_sub(5);
        let until = |lines: &[String]| lines[from..(at + 3).min(lines.len())].join("\n");
        panic!("the runs part at request {at}:\n{}\n--\n{}", until(&first), until(&second));
    }
    assert_eq!(first.len(), second.len());
}

#[test]
fn another_seed_gives_another_journal() {
    let options =
        |seed| Options { seed, storm: Duration::from_secs(10), calm: Duration::ZERO, ..Options::default() };
    assert_ne!(simulate(&options(1)).journal, simulate(&options(2)).journal);
}

#[test]
fn calm_days() {
    verdict(&Options { seed: 3, faults: false, ..Options::default() });
}

#[test]
fn storms() {
    let count = option_env!("SIM_SEEDS").and_then(|text| text.parse().ok()).unwrap_or(12);
    for seed in 100..100 + count {
        verdict(&Options { seed, ..Options::default() });
    }
}

/// In this storm a deletion was once refused and not tried again.
#[test]
fn a_storm_that_left_something_behind() {
    verdict(&Options { seed: 511, ..Options::default() });
}

fn verdict(options: &Options) {
    let report = simulate(options);
    if !report.complaints.is_empty() {
        let tail = report.journal.len().saturating_sub(150);
        panic!(
            "seed {}: {}\n\nthe last of {} requests:\n{}",
            options.seed,
            report.complaints.join("\n"),
            report.journal.len(),
            report.journal[tail..].join("\n"),
        );
    }
}
