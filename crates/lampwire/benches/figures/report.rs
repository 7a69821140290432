//! Figures, what they are held against, and curves.

/// So often each figure is taken where nothing else is said.
pub(crate) const RUNS: usize = 5;

/// What was measured several times, in the order of the runs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample(pub(crate) Vec<f64>);

impl Sample {
    fn at(&self, place: fn(usize) -> usize) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len().saturating_sub(1);
        sorted.get(place(last)).copied().unwrap_or(f64::NAN)
    }

    pub(crate) fn least(&self) -> f64 {
        self.at(|_| 0)
    }

    /// Of an even number the lower of the two in the middle.
    pub(crate) fn median(&self) -> f64 {
        self.at(|last| last / 2)
    }

    pub(crate) fn most(&self) -> f64 {
        self.at(|last| last)
    }

    /// Median, least and most; of how many runs, where those are fewer than [`RUNS`].
    pub(crate) fn told(&self) -> String {
        let median = number(self.median());
        let runs = self.0.len();
        let spread = || format!("{} to {}", number(self.least()), number(self.most()));
        match runs {
            0 => "-".to_owned(),
            1 => format!("{median} (1 run)"),
            _ if runs < RUNS => format!("{median} ({}, {runs} runs)", spread()),
            _ => format!("{median} ({})", spread()),
        }
    }
}

/// Three digits, or all before the point.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        it if !it.is_finite() => "-".to_owned(),
        it if it >= 100.0 => format!("{value:.0}"),
        it if it >= 10.0 => format!("{value:.1}"),
        it if it >= 1.0 => format!("{value:.2}"),
        it if it >= 0.001 || it == 0.0 => format!("{value:.3}"),
        _ => format!("{value:.1e}"),
    }
}

/// A figure and one target.
pub(crate) struct Row {
    pub(crate) figure: String,
    pub(crate) unit: &'static str,
    pub(crate) ours: Sample,
    /// Whose figure from the same run stands beside it.
    pub(crate) other: Option<(String, Sample)>,
    pub(crate) target: Target,
}

/// What is wanted.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    /// At most so much.
    Most(f64),
    /// At most this part of the other's.
    Part(f64),
    /// Nothing: the figure is there to be read.
    None,
}

impl Row {
    /// Ours for one of the other's.
    pub(crate) fn ratio(&self) -> Option<f64> {
        let (_, other) = self.other.as_ref()?;
        let ratio = self.ours.median() / other.median();
        ratio.is_finite().then_some(ratio)
    }

    pub(crate) fn ratio_told(&self) -> String {
        match self.ratio() {
            None => "-".to_owned(),
            Some(ratio) if ratio >= 1.0 => format!("{}x", number(ratio)),
            Some(ratio) => format!("1/{}", number(1.0 / ratio)),
        }
    }

    pub(crate) fn target_told(&self) -> String {
        match self.target {
            Target::Most(most) => format!("at most {} {}", number(most), self.unit),
            Target::Part(part) if part >= 1.0 => format!("at most {}x", number(part)),
            Target::Part(part) => format!("at most 1/{}", number(1.0 / part)),
            Target::None => "-".to_owned(),
        }
    }

    /// How many times too much it is; at most 1 where the target is reached. `None` where it cannot be said.
    fn excess(&self) -> Option<f64> {
        let excess = match self.target {
            Target::Most(most) => self.ours.median() / most,
            Target::Part(part) => self.ratio()? / part,
            Target::None => return None,
        };
        excess.is_finite().then_some(excess)
    }

    pub(crate) fn verdict(&self) -> String {
        match (self.excess(), self.target) {
            (_, Target::None) => "-".to_owned(),
            (None, _) => "not measured".to_owned(),
            (Some(excess), _) if excess <= 1.0 => "yes".to_owned(),
            (Some(excess), _) => format!("no, {}x too much", number(excess)),
        }
    }
}

/// Lines of a plot.
pub(crate) struct Curve {
    /// The name of its file, without its end.
    pub(crate) name: &'static str,
    pub(crate) title: String,
    pub(crate) x: &'static str,
    pub(crate) y: &'static str,
    pub(crate) lines: Vec<(String, Vec<(f64, f64)>)>,
}

/// Everything of one run.
pub(crate) struct Report {
    pub(crate) quick: bool,
    /// Nothing but a cluster was measured, which has a page of its own.
    pub(crate) of_cluster: bool,
    pub(crate) machine: Vec<String>,
    pub(crate) rows: Vec<Row>,
    pub(crate) curves: Vec<Curve>,
    /// What a reader should know of this run.
    pub(crate) notes: Vec<String>,
    /// In seconds.
    pub(crate) took: f64,
}

impl Report {
    pub(crate) fn new(quick: bool, of_cluster: bool, machine: Vec<String>) -> Self {
        Self {
            quick,
            of_cluster,
            machine,
            rows: Vec::new(),
            curves: Vec::new(),
            notes: Vec::new(),
            took: 0.0,
        }
    }

    /// A figure with one target for each of these; with none, one row without.
    pub(crate) fn row(
        &mut self,
        figure: impl Into<String>,
        unit: &'static str,
        ours: &Sample,
        targets: Vec<(Option<(&str, &Sample)>, Target)>,
    ) {
        let figure = figure.into();
        for (other, target) in targets {
            let row = Row {
                figure: figure.clone(),
                unit,
                ours: ours.clone(),
                other: other.map(|(name, sample)| (name.to_owned(), sample.clone())),
                target,
            };
            eprintln!(
                "  {}: {} {unit}; {}; {}: {}",
                row.figure,
                row.ours.told(),
                row.other
                    .as_ref()
                    .map_or_else(String::new, |(name, sample)| format!(
                        "{name} {}",
                        sample.told()
                    )),
                row.target_told(),
                row.verdict()
            );
            self.rows.push(row);
        }
    }

    /// Prints the table.
    pub(crate) fn print(&self) {
        let head = [
            "figure",
            "unit",
            "Lampwire",
            "beside it",
            "ratio",
            "target",
            "reached",
        ];
        let mut lines = vec![head.map(str::to_owned)];
        lines.extend(self.rows.iter().map(|row| {
            let beside = row.other.as_ref();
            [
                row.figure.clone(),
                row.unit.to_owned(),
                row.ours.told(),
                beside.map_or_else(
                    || "-".to_owned(),
                    |(name, sample)| format!("{name}: {}", sample.told()),
                ),
                row.ratio_told(),
                row.target_told(),
                row.verdict(),
            ]
        }));
        let widths: Vec<usize> = (0..head.len())
            .map(|column| {
                lines
                    .iter()
                    .map(|line| line[column].chars().count())
                    .max()
                    .unwrap_or(0)
            })
            .collect();
        for line in lines {
            let cells = line
                .iter()
                .zip(&widths)
                .map(|(cell, width)| format!("{cell:<width$}"));
            println!("{}", cells.collect::<Vec<_>>().join("  ").trim_end());
        }
        for curve in &self.curves {
            println!("\n{} ({} against {})", curve.title, curve.y, curve.x);
            for (name, points) in &curve.lines {
                let points = points
                    .iter()
                    .map(|(x, y)| format!("{}: {}", number(*x), number(*y)));
                println!("  {name}: {}", points.collect::<Vec<_>>().join(", "));
            }
        }
        for note in &self.notes {
            println!("\n{note}");
        }
        println!("\n{:.0} s in all", self.took);
    }
}
