//! Many small worlds in every test run; thousands more by `cargo run --release -p lampwire-sim -- --seeds 1..10000`.

use lampwire_sim::scenario;

#[test]
fn two_hundred_seeds_converge() {
    let failures: Vec<String> = (1..=200)
        .filter_map(|seed| scenario::run(seed).err())
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn one_seed_is_one_world() {
    for seed in [3, 17, 42] {
        assert_eq!(scenario::run(seed), scenario::run(seed));
    }
}
