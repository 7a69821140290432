//! Runs many seeds of the simulation and says which fail.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use lampwire_sim::scenario;

const USAGE: &str = "usage: lampwire-sim [--streams | --hubs | --clusters] [--seeds FIRST..LAST | --seeds SEED]
(default 1..200, LAST included; --streams: the world of connections instead of that of datagrams; --hubs: that of hubs; --clusters: that of nodes on a bus)";

fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let streams = arguments.first().is_some_and(|first| first == "--streams");
    let hubs = arguments.first().is_some_and(|first| first == "--hubs");
    let clusters = arguments.first().is_some_and(|first| first == "--clusters");
    arguments.drain(..usize::from(streams || hubs || clusters));
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
    let (mut ran, mut failed, mut counted) = (0u64, 0u64, (0, 0));
    let words = if clusters {
        ("keys put", "requests for one change")
    } else if hubs {
        ("links", "requests for one change")
    } else if streams {
        ("connections", "broken")
    } else {
        ("changes", "datagrams")
    };
    let mut slowest = Duration::ZERO;
    for seed in seeds {
        ran += 1;
        let outcome = if clusters {
            lampwire_sim::clusters::run(seed)
                .map(|it| (it.stored, it.of_one_change, it.converged_after))
        } else if hubs {
            lampwire_sim::hubs::run(seed).map(|it| (it.links, it.of_one_change, it.converged_after))
        } else if streams {
            lampwire_sim::streams::run(seed)
                .map(|it| (it.connections, it.broken, it.converged_after))
        } else {
            scenario::run(seed).map(|it| (it.changes, it.datagrams, it.converged_after))
        };
        match outcome {
            Ok((first, second, converged_after)) => {
                counted.0 += first;
                counted.1 += second;
                slowest = slowest.max(converged_after);
            }
            Err(problem) => {
                failed += 1;
                println!("{problem}");
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
        "{ran} seeds, {failed} failed; {} {}, {} {}, agreement at most {} s after the faults; {:.1} s",
        counted.0,
        words.0,
        counted.1,
        words.1,
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
