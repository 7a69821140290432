//! The document of a run.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::report::{RUNS, Report, Target, number};
use crate::{Lab, others, plot};

/// The machine and the programs, a line each. The load at the start shows whether it had anything else to do.
pub(crate) fn machine(lab: &Lab) -> Vec<String> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpus = read("/proc/cpuinfo");
    let models: Vec<&str> = cpus
        .lines()
        .filter_map(|line| line.strip_prefix("model name")?.split_once(':'))
        .map(|(_, name)| name.trim())
        .collect();
    let memory = read("/proc/meminfo");
    let memory = memory.lines().find_map(|line| {
        line.strip_prefix("MemTotal:")?
            .trim()
            .split(' ')
            .next()?
            .parse::<f64>()
            .ok()
    });
    let load = read("/proc/loadavg");
    let load = load.split(' ').take(2).collect::<Vec<_>>().join(" and ");
    let mut lines = vec![
        format!(
            "{} processors: {}",
            models.len(),
            models.first().unwrap_or(&"of an unknown kind")
        ),
        format!("{:.0} GB of memory", memory.unwrap_or(0.0) * 1024.0 / 1e9),
        format!("Linux {}", read("/proc/sys/kernel/osrelease").trim()),
        format!("load of the machine in the minute and the five before the run: {load}"),
    ];
    let own = Command::new(env!("CARGO_BIN_EXE_lampwire"))
        .arg("--version")
        .output();
    let own = own.map(|it| String::from_utf8_lossy(&it.stdout).trim().to_owned());
    let commit = Command::new("git")
        .args(["rev-parse", "--short", "HEAD"])
        .output();
    let commit = commit.map(|it| String::from_utf8_lossy(&it.stdout).trim().to_owned());
    lines.push(format!(
        "{}, commit {}",
        own.unwrap_or_default(),
        commit.unwrap_or_default()
    ));
    lines.extend(others::versions(lab));
    lines
}

/// Writes the document, and its plots into `images` beside it.
pub(crate) fn write(report: &Report, file: &Path) {
    let images = file.parent().unwrap_or(Path::new(".")).join("images");
    fs::create_dir_all(&images).expect("a directory for the plots");
    for curve in &report.curves {
        fs::write(images.join(format!("{}.svg", curve.name)), plot::svg(curve)).expect("a plot");
    }
    let text = match report.of_cluster {
        true => text_of_cluster(report),
        false => text(report),
    };
    fs::write(file, text).expect("the document");
}

fn text(report: &Report) -> String {
    let mut out = String::from(
        "# Performance\n\n\
         What Lampwire costs, and how fast it is, beside a bare echo, an Asterisk 22 and a Kamailio that ran in the same minutes on the same\n\
         machine. This page is written by the run itself: no figure of its tables and curves is put right by hand. What is said of how they were\n\
         taken and of what was tried stands in the program that wrote it (`crates/lampwire/benches/figures/document.rs`), with figures of the time when it was tried.\n\n",
    );
    if report.quick {
        out.push_str("This was a quick run: fewer repetitions, and not all curves.\n\n");
    }
    let with_target = || {
        report
            .rows
            .iter()
            .filter(|row| !matches!(row.target, Target::None))
    };
    let reached = with_target().filter(|row| row.verdict() == "yes").count();
    let _ = write!(
        out,
        "{reached} of {} targets are reached. Figures are medians of {RUNS} runs, with the least and the most of them in brackets; where there were fewer, that stands\n\
         there. A ratio is Lampwire's median to the other's.\n\n\
         ## Figures and targets\n\n\
         | figure | Lampwire | beside it | ratio | target | reached |\n|---|--:|--:|--:|--:|:--|\n",
        with_target().count()
    );
    for row in &report.rows {
        let beside = row.other.as_ref();
        let beside = beside.map_or_else(
            || "-".to_owned(),
            |(name, sample)| format!("{name}: {}", sample.told()),
        );
        let _ = writeln!(
            out,
            "| {}, {} | {} | {beside} | {} | {} | {} |",
            row.figure,
            row.unit,
            row.ours.told(),
            row.ratio_told(),
            row.target_told(),
            row.verdict()
        );
    }
    out.push_str("\n## Curves\n");
    for curve in &report.curves {
        let _ = write!(
            out,
            "\n![{}](images/{}.svg)\n\n| {} |",
            curve.title, curve.name, curve.x
        );
        let mut places: Vec<f64> = curve
            .lines
            .iter()
            .flat_map(|(_, points)| points.iter().map(|it| it.0))
            .collect();
        places.sort_by(f64::total_cmp);
        places.dedup();
        for (name, _) in &curve.lines {
            let _ = write!(out, " {name}, {} |", curve.y);
        }
        let _ = writeln!(out, "\n|--:|{}", "--:|".repeat(curve.lines.len()));
        for place in places {
            let _ = write!(out, "| {place} |");
            for (_, points) in &curve.lines {
                let found = points.iter().find(|it| it.0 == place);
                let cell = found.map_or_else(String::new, |it| number(it.1));
                let _ = write!(out, " {cell} |");
            }
            out.push('\n');
        }
    }
    machine_told(report, &mut out);
    out.push_str(METHOD);
    for note in &report.notes {
        let _ = writeln!(out, "- {note}");
    }
    out.push_str(TRIED);
    out.push_str(REPEAT);
    out
}

/// The page of a run that measured a cluster only.
fn text_of_cluster(report: &Report) -> String {
    let mut out = String::from(
        "# Figures of a cluster\n\n\
         What it costs that nodes are one over NATS (`type=cluster`), and how fast it is, beside the same nodes related by SIP in the same minutes on the same\n\
         machine. This page is written by the run itself: no figure is put right by hand. What it comes to for many servers stands in [A large cluster](scale.md).\n\n",
    );
    if report.quick {
        out.push_str("This was a quick run: fewer repetitions, and fewer states.\n\n");
    }
    let _ = write!(
        out,
        "Two processors do everything here: the load, three nodes, up to three nats-servers; and they had other work at the time (the load below). So a figure is worth its ratio to\n\
         that of SIP beside it, and its spread. Figures are medians of {RUNS} runs, with the least and the most in brackets; where there were fewer, that stands there.\n\n\
         | figure | Lampwire | by SIP | ratio |\n|---|--:|--:|--:|\n"
    );
    for row in &report.rows {
        let beside = row.other.as_ref();
        let beside = beside.map_or_else(|| "-".to_owned(), |(_, sample)| sample.told());
        let (figure, unit) = (&row.figure, row.unit);
        let (told, ratio) = (row.ours.told(), row.ratio_told());
        let _ = writeln!(out, "| {figure}, {unit} | {told} | {beside} | {ratio} |");
    }
    machine_told(report, &mut out);
    out.push_str("\n## How it is measured\n\n");
    out.push_str(METHOD_OF_CLUSTER);
    for note in &report.notes {
        let _ = writeln!(out, "- {note}");
    }
    out.push_str(REPEAT_OF_CLUSTER);
    out
}

fn machine_told(report: &Report, out: &mut String) {
    out.push_str("\n## The machine\n\n");
    for line in &report.machine {
        let _ = writeln!(out, "- {line}");
    }
    let _ = writeln!(out, "- the run took {:.0} s", report.took);
}

const METHOD: &str = "\n## How it is measured\n\n\
- Everything runs on one machine and speaks over loopback, load and target beside each other. Nothing is pinned to a processor.\n\
- **CPU** is what the scheduler counts for a process, all its threads and all processes below it, in the kernel and out of it\n  (`/proc/PID/task/*/schedstat`), divided by the PUBLISHes that it answered with 200. The load is closed: 200 publications over one\n  UDP socket, each kept by its tag, 50 requests on their way, each changing a state. All takers are measured in turn, run by run, so that what disturbs\n  the machine disturbs all.\n\
- **Nothing is kept on the disk** (`state_dir=`), as the others keep nothing, but where a figure says that it is. With a store the same node writes changes every 100 ms,\n  by another thread, whose time counts; what it writes stands in [Over a restart](store.md).\n\
- **The echo** is a tokio program of one thread that sends the first 330 bytes of each datagram back: what the socket alone costs.\n\
- **Asterisk** is Debian's 22 with only the modules of the exchange, without a SIP trace; its configuration is the one that Lampwire reads.\n  **Kamailio** has presence in memory (`publ_cache=2`) and takes presence documents of about the same size.\n\
- **Kept states** are those of one peer for the cost, in PUBLISHes that change any of them in no order; and the node's own for the memory, set over HTTP.\n  Memory is resident memory (`VmRSS`), less that of the same node without states.\n\
- **The highest rate** is what `lampwire bench publish` finds: requests leave when they are due, and latency counts from then. A rate is held when all are\n  granted, 99 % within 50 ms, and at most one in a thousand was sent twice, in the first or a second try. Load and target share the processors, so it is a lower bound.\n  The run of a minute counts only where it held its rate in the same way; else the next lower rate is taken. A transaction is live for 32 s (RFC 3261, timer J).\n\
- **From a change to its event** is the time from the first byte of the request (HTTP at a Lampwire, the manager interface at an Asterisk) to the line of the\n  event at the other node (event stream, manager interface). Nothing else happens at that time.\n\
- **A fresh peer** knows nothing. Over loopback the time runs from its first state to its last, looked at every 2 ms; over a line from the first\n  request that gets through a relay which holds each datagram for half the round trip.\n";

const METHOD_OF_CLUSTER: &str = "\
- **A cluster** is three nodes that have nothing but each other; *R1* has one nats-server, *R3* three that are clustered, each node connected to one of its own, and a bucket that all\n  three keep. The buckets are files, as by default. *By SIP* the first node tells the two others, as hubs (`relay=yes`) with nothing set beyond a relation; *hangs*: that first\n  node is in a cluster too, and its nats-server was stopped (SIGSTOP) and stays so. All arrangements run at the same time and are measured in turn.\n\
- **Changes all at once** are states of as many devices, each another than before, set at the first node over HTTP, a thousand a request; the time runs from the first request until the\n  second node has counted the last of them, looked at every 10 ms. CPU and bytes are of the same runs. **Bytes** are what the kernel counts of the connection to the nats-server (`ss`), so with\n  everything around a change but the headers of TCP and below; by SIP it is not counted.\n\
- **Changes that a peer publishes** come from `lampwire bench publish` at a steady rate over 200 publications, to the first node. Fewer come at once then, so each costs more than of those\n  that come all at once: it is these figures that a capacity is reckoned with.\n\
- **Peers that are not to hear of a change** have a `@device_state_filter` that no device matches; it is the CPU of such a node less that of the same one without peers, in the same\n  minutes.\n\
- **A start** is that of the process, with nothing kept, to the moment at which it has all states and, over NATS, is `joined`; they were set at one node before. By SIP that node asks once\n  a second whether the late one is there, so up to a second of it is waiting. Memory is resident memory.\n";

const REPEAT_OF_CLUSTER: &str = "\n## Repeat it\n\n\
With a nats-server in the path, put there by `.ci/install-nats`, or named by `LAMPWIRE_NATS`:\n\n\
```sh\n\
cargo bench --profile release -p lampwire --bench figures -- --only cluster --document docs/cluster-figures.md\n\
cargo bench --profile release -p lampwire --bench figures -- --only cluster --quick\n\
```\n";

/// What a profile shows, and what came of what was done about it.
const TRIED: &str = "\n\
## Where the time goes\n\
\n\
![Where a node spends its time that takes 20,000 modify PUBLISHes a second](images/flame.svg)\n\
\n\
The width is CPU: a fifth of it is what Lampwire itself does with a datagram; most of the rest is the system's and the runtime's, which wake, read and send. The picture is\n\
the one thing here that the run does not make. It was made of a node without a store, built with `CARGO_PROFILE_RELEASE_DEBUG=line-tables-only`, under\n\
`lampwire bench publish sip:load@127.0.0.1 --rate 20000 --duration 30`, by `perf` and the `inferno` crate:\n\
\n\
```sh\n\
perf record -e cpu-clock -F 500 --call-graph dwarf,16384 -p $(pidof lampwire) -o perf.data -- sleep 10\n\
perf script -i perf.data --no-inline | inferno-collapse-perf > stacks\n\
inferno-flamegraph --title 'A node that takes 20,000 modify PUBLISHes a second' --countname 'ns of CPU' stacks > docs/images/flame.svg\n\
```\n\
\n\
What each part takes in instructions stands in `crates/lampwire-core/benches/instructions.txt`, which CI holds to within 5 % (15 % where compiler, C library, valgrind or processor\n\
are others than those it was counted with), and `cargo bench -p lampwire-core --bench micro` tells times and allocations: a modify PUBLISH that is taken in allocates nothing. Where\n\
states are kept, what has changed is listed and then copied, a batch at a time, and that allocates.\n\
\n\
## What was tried\n\
\n\
| what | what it gave |\n\
|---|---|\n\
| what every message has is typed once, texts are searched by bytes, answers are written without formatting, the last tag given is known again | 86,800 instructions of a modify PUBLISH became 30,500, three allocations none |\n\
| a thread of its own for the node; datagrams read and written 32 at a time | 16 us of a PUBLISH became 13.8, in the same minutes, before the above |\n\
| the digest of a password and the key of nonces reckoned once | 267,000 instructions with SHA-256 became 69,700 |\n\
| names in order by their numbers, cells of 64 bytes | 240 bytes a state became 187 |\n\
| many states in one request, and a window that opens after an outage as for any other | 51.9 s to a Lampwire over 40 ms became 0.5 |\n\
| foreign crates built for size, but for those that a PUBLISH goes through | 16.4 MB became 14.6, at no cost that can be measured |\n\
| link-time optimisation over all crates, one code generation unit | 1 to 5 % and a third less of a file for two more minutes of build: taken when the client of NATS came in, for the size |\n\
| a timer wheel | not built: each reason to wake has one deadline, and one that is put off is put off when it comes. A modify PUBLISH of a known publication touches none: callgrind finds no instruction of theirs among its 29,700 |\n\
| sums kept up to date with each change | not built: the sum of a device that eight nodes speak of is 157 instructions, and is reckoned where somebody looks or watches, not for a PUBLISH that goes through |\n\
| several sockets by SO_REUSEPORT, threads that parse | not tried: on two processors one thread holds 40,000 a second beside its load, and 100,000 where nothing else runs |\n\
| another allocator | not tried: nothing is allocated where it would count |\n\
| **not reached on an idle machine:** a twentieth of Asterisk's time for a PUBLISH, an eighth of Kamailio's | of a run on a busy machine (174 and 100 us for them, 8.0 here) both were: 1/21.8 and 1/12.5. With nothing else to do the others take half of that, and a bare echo alone is a twenty-second of Asterisk's: two thirds of a PUBLISH here are the echo's, and the rest is some 30,000 instructions |\n\
| **not reached:** half of Asterisk's time from a change to its event | five threads are woken on that way, one after another: HTTP and node of A, node and HTTP of B, and whoever waits. HTTP on the node's own thread would save two of them, and let a long answer hold up the exchange: not taken |\n\
";

const REPEAT: &str = "\n## Repeat it\n\n\
Everything on this page, in 25 minutes on a machine that does nothing else, with Debian's `kamailio` and\n\
`kamailio-presence-modules`, and an Asterisk 22 put there by `.ci/install-asterisks` (the latter needs root; what is missing is left out):\n\n\
```sh\n\
cargo bench --profile release -p lampwire --bench figures -- --document docs/performance.md\n\
cargo bench --profile release -p lampwire --bench figures -- --quick              # four minutes, fewer repetitions\n\
cargo bench --profile release -p lampwire --bench figures -- --only cost          # one part: cost, growth, memory, rate, change, dump, hub, start, size\n\
```\n\n\
One's own server under load, from one's own place:\n\n\
```console\n\
$ lampwire bench publish --to sip:bench@192.0.2.10 --rate 1000 --duration 30\n\
```\n\n\
What a flood of strangers does, what a hub costs and what the store writes have benches of their own: `--bench flood`, `hub`, `store`, `restart`.\nWhat nodes cost that are one over NATS stands in [Figures of a cluster](cluster-figures.md).\n";
