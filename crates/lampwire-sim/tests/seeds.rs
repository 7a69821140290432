//! Many small worlds in every test run; thousands more by `cargo run --release -p lampwire-sim -- --seeds 1..10000`.

use lampwire_sim::{scenario, streams};

#[test]
fn two_hundred_seeds_converge() {
    let failures: Vec<String> = (1..=200)
        .filter_map(|seed| scenario::run(seed).err())
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn two_hundred_seeds_with_connections_that_break_converge() {
    let failures: Vec<String> = (1..=200)
        .filter_map(|seed| streams::run(seed).err())
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Worlds in which something was once wrong.
fn converges(seed: u64) {
    if let Err(problem) = scenario::run(seed) {
        panic!("{problem}");
    }
}

/// A slow walk that was due and held back by a rate limit kept the node awake for ever.
#[test]
fn a_walk_held_back_by_the_pace_comes_to_an_end() {
    converges(8);
}

/// An idle lane whose work waited for a rate limit kept the node awake for ever.
#[test]
fn a_lane_held_back_by_the_pace_comes_to_an_end() {
    converges(18);
}

/// A rate limit that held back the first try after a pause stopped the publisher for good.
#[test]
fn a_try_held_back_by_the_pace_is_made_after_all() {
    converges(3396);
}

/// A stock Asterisk restarted unseen, its counter passed our old tag, and it granted what it should have refused: a device was lost, and in
/// the other world a mailbox.
#[test]
fn a_tag_that_a_restarted_asterisk_gave_to_somebody_else_loses_nothing() {
    converges(799);
    converges(3589);
}

#[test]
fn one_seed_is_one_world() {
    for seed in [3, 17, 42] {
        assert_eq!(scenario::run(seed), scenario::run(seed));
    }
}
