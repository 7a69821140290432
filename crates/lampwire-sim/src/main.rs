//! Runs many seeds of the simulation and says which fail.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use lampwire_sim::scenario;

const USAGE: &str = "usage: lampwire-sim [--seeds FIRST..LAST | --seeds SEED] [--first]
(default 1..200, LAST included; --first: ends with the first seed that fails)";

fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let first = arguments.last().is_some_and(|last| last == "--first");
    arguments.truncate(arguments.len() - usize::from(first));
    let seeds = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => Some(1..=200),
        ["--seeds", seeds] => parse(seeds),
        _ => None,
    };
    let Some(seeds) = seeds else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let began = Instant::now();
    let (mut ran, mut failed, mut changes, mut datagrams) = (0u64, 0u64, 0, 0);
    let mut slowest = Duration::ZERO;
    for seed in seeds {
        ran += 1;
        match scenario::run(seed) {
            Ok(outcome) => {
                changes += outcome.changes;
                datagrams += outcome.datagrams;
                slowest = slowest.max(outcome.converged_after);
            }
            Err(problem) => {
                failed += 1;
                println!("{problem}");
                if first {
                    return ExitCode::FAILURE;
                }
            }
        }
        if ran % 1000 == 0 {
            println!(
                "{ran} seeds, {failed} failed, {:.0} s",
                began.elapsed().as_secs_f32()
            );
        }
    }
    println!(
        "{ran} seeds, {failed} failed; {changes} changes, {datagrams} datagrams, agreement at most {} s after the faults; {:.1} s",
        slowest.as_secs(),
        began.elapsed().as_secs_f32()
    );
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn parse(seeds: &str) -> Option<std::ops::RangeInclusive<u64>> {
    match seeds.split_once("..") {
        Some((first, last)) => {
            Some(first.parse().ok()?..=last.trim_start_matches('=').parse().ok()?)
        }
        None => seeds.parse().ok().map(|seed| seed..=seed),
    }
}
