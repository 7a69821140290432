//! Runs many seeds of the simulation and says which fail.

use std::ops::RangeInclusive;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use lampwire_sim::{capacity, clusters, hubs, scenario, streams};

const USAGE: &str = "usage: lampwire-sim [--streams | --hubs | --clusters] [--seeds FIRST..LAST | --seeds SEED] [--trace]

  --seeds     which worlds are run (default 1..200, LAST included)
  --streams   the world of connections instead of that of datagrams
  --hubs      that of hubs
  --clusters  that of nodes on a bus
  --trace     what is sent, what nodes report and what the bus stores is printed, each with its time: for one seed that fails (not with --streams)

       lampwire-sim --capacity [--nodes N] [--sites N] [--devices N] [--wide PERCENT] [--changes N] [--seconds N]

  --nodes     nodes of a cluster, each with one server (default 1000)
  --sites     sites over which they are spread (10)
  --devices   devices of each server (100)
  --wide      how many of a hundred of them are for all sites (5)
  --changes   how often each device changes in an hour (10)
  --seconds   seconds in which they do (60)";

/// Which kind of world is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum World {
    Datagrams,
    Streams,
    Hubs,
    Clusters,
}

/// What is asked for.
struct Asked {
    world: World,
    seeds: RangeInclusive<u64>,
    trace: bool,
}

/// What a seed came to: two numbers, and the time until all agreed.
type Counted = (u64, u64, Duration);

impl World {
    fn run(self, seed: u64, trace: bool) -> Result<Counted, String> {
        match self {
            Self::Datagrams => scenario::run_with(seed, trace)
                .map(|it| (it.changes, it.datagrams, it.converged_after)),
            Self::Streams => {
                streams::run(seed).map(|it| (it.connections, it.broken, it.converged_after))
            }
            Self::Hubs => hubs::run_with(seed, trace)
                .map(|it| (it.links, it.of_one_change, it.converged_after)),
            Self::Clusters => clusters::run_with(seed, trace)
                .map(|it| (it.stored, it.of_one_change, it.converged_after)),
        }
    }

    /// What the two numbers are.
    const fn words(self) -> [&'static str; 2] {
        match self {
            Self::Datagrams => ["changes", "datagrams"],
            Self::Streams => ["connections", "broken"],
            Self::Hubs => ["links", "requests for one change"],
            Self::Clusters => ["keys put", "requests for one change"],
        }
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "--capacity") {
        return run_capacity(&arguments[1..]);
    }
    let Some(Asked {
        world,
        seeds,
        trace,
    }) = parse(&arguments)
    else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let began = Instant::now();
    let (mut ran, mut failed, mut counted) = (0u64, 0u64, [0, 0]);
    let mut slowest = Duration::ZERO;
    for seed in seeds {
        ran += 1;
        match world.run(seed, trace) {
            Ok((first, second, converged_after)) => {
                counted[0] += first;
                counted[1] += second;
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
    let words = world.words();
    println!(
        "{ran} seeds, {failed} failed; {} {}, {} {}, agreement at most {} s after the faults; {:.1} s",
        counted[0],
        words[0],
        counted[1],
        words[1],
        slowest.as_secs(),
        began.elapsed().as_secs_f32()
    );
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// What the arguments ask for; `None`: they make no sense.
fn parse(arguments: &[String]) -> Option<Asked> {
    let mut asked = Asked {
        world: World::Datagrams,
        seeds: 1..=200,
        trace: false,
    };
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--streams" => asked.world = World::Streams,
            "--hubs" => asked.world = World::Hubs,
            "--clusters" => asked.world = World::Clusters,
            "--seeds" => asked.seeds = seeds(arguments.next()?)?,
            "--trace" => asked.trace = true,
            _ => return None,
        }
    }
    (!asked.trace || asked.world != World::Streams).then_some(asked)
}

fn seeds(text: &str) -> Option<RangeInclusive<u64>> {
    match text.split_once("..") {
        Some((first, last)) => {
            Some(first.parse().ok()?..=last.trim_start_matches('=').parse().ok()?)
        }
        None => text.parse().ok().map(|seed| seed..=seed),
    }
}

fn run_capacity(arguments: &[String]) -> ExitCode {
    let Some(plan) = plan(arguments) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let began = Instant::now();
    match capacity::run(plan) {
        Ok(outcome) => {
            println!("{outcome}");
            println!(
                "in all {:.0} s, at most {} MB",
                began.elapsed().as_secs_f32(),
                most_memory()
            );
            ExitCode::SUCCESS
        }
        Err(wrong) => {
            println!("{wrong}");
            ExitCode::FAILURE
        }
    }
}

/// How large a run is asked for; `None`: the arguments make no sense.
fn plan(arguments: &[String]) -> Option<capacity::Plan> {
    let mut plan = capacity::Plan::DEFAULT;
    for pair in arguments.chunks(2) {
        let [name, value] = pair else { return None };
        let number: usize = value.parse().ok()?;
        match name.as_str() {
            "--nodes" => plan.nodes = number,
            "--sites" => plan.sites = number,
            "--devices" => plan.devices = number,
            "--wide" => plan.wide = number,
            "--changes" => plan.changes = number,
            "--seconds" => plan.seconds = number as u64,
            _ => return None,
        }
    }
    let sound = plan.nodes > 0 && plan.sites > 0 && plan.devices > 0 && plan.seconds > 0;
    (sound && plan.nodes <= 65_536).then_some(plan)
}

/// The most memory that the process has taken, in megabytes; 0 where the system does not say.
fn most_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|it| it.trim().trim_end_matches(" kB").parse::<u64>().ok());
    number.unwrap_or(0) / 1024
}
