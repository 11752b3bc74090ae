//! Medians of rounds, their ratios, and Markdown tables that read well as plain text too.

use std::fmt::Write;
use std::io;

use super::contender::Contender;
use super::measure::Sample;
use super::workload::Cost;

/// A contender's rounds of one workload, or why there are none.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) contender: Contender,
    pub(super) samples: Vec<Sample>,
    pub(super) failure: Option<io::Error>,
}

impl Row {
    pub(super) fn new(contender: Contender) -> Self {
        Self { contender, samples: Vec::new(), failure: None }
    }

    /// The rounds can be compared: there are some, and nothing went wrong in them.
    pub(super) fn is_valid(&self) -> bool {
        self.failure.is_none() && !self.samples.is_empty() && self.errors() == 0
    }

    pub(super) fn errors(&self) -> u64 {
        self.samples.iter().map(|sample| sample.errors).sum()
    }

    pub(super) fn median(&self, value: impl Fn(&Sample) -> f64) -> f64 {
        let values = self.sorted(value);
        let middle = values.len() / 2;
        if values.len() % 2 == 1 { values[middle] } else { f64::midpoint(values[middle - 1], values[middle]) }
    }

    pub(super) fn cost_us(&self, cost: Cost) -> f64 {
        match cost {
            Cost::Core => self.median(Sample::core_us),
            Cost::Process => self.median(Sample::process_us),
        }
    }

    /// The load, not this contender, set the pace: core 0 had time to spare.
    pub(super) fn is_below_full_load(&self) -> bool {
        self.median(|sample| sample.core.busy_share()) < FULL_LOAD_SHARE
    }

    /// Core 0 was shared with somebody else's work: only the process's own time can be compared.
    pub(super) fn is_disturbed(&self) -> bool {
        self.contender.cores().len() == 1 && self.median(Sample::others_share) > OTHERS_SHARE_MAX
    }

    fn sorted(&self, value: impl Fn(&Sample) -> f64) -> Vec<f64> {
        let mut values: Vec<f64> = self.samples.iter().map(value).collect();
        values.sort_by(f64::total_cmp);
        values
    }

    fn notes(&self, at_full_load: bool) -> String {
        let mut notes = Vec::new();
        if self.errors() > 0 {
            notes.push("INVALID: errors".to_owned());
        }
        if at_full_load && self.is_below_full_load() {
            notes.push("below 95 % busy: the load was the limit".to_owned());
        }
        if self.is_disturbed() {
            let others = self.median(Sample::others_share) * 100.0;
            notes.push(format!("{others:.0} % of core 0 was others' work"));
        }
        notes.join("; ")
    }
}

/// The ratio of the medians of two contenders, where both are valid.
pub(super) fn ratio(rows: &[Row], of: Contender, against: Contender, cost: Cost) -> Option<f64> {
    let find = |contender| rows.iter().find(|row| row.contender == contender && row.is_valid());
    Some(find(of)?.cost_us(cost) / find(against)?.cost_us(cost))
}

/// Whether either of the two was disturbed, so that their ratio of core time is not to be trusted.
pub(super) fn is_disturbed(rows: &[Row], of: Contender, against: Contender) -> bool {
    let concerned = |row: &&Row| [of, against].contains(&row.contender) && row.is_valid();
    rows.iter().filter(concerned).any(Row::is_disturbed)
}

/// The table of one workload.
pub(super) fn of_workload(rows: &[Row], at_full_load: bool) -> String {
    let present = |contender: &Contender| rows.iter().any(|row| row.contender == *contender);
    let references: Vec<Contender> = REFERENCES.into_iter().filter(present).collect();
    let mut head = vec!["contender".to_owned()];
    head.extend(
        ["CPU us/request (range)", "process us", "requests/s", "p99 ms", "core 0 busy", "errors"]
            .map(String::from),
    );
    head.extend(references.iter().map(|reference| format!("/ {} (process)", reference.name())));
    head.push("notes".to_owned());
    let body = rows.iter().map(|row| cells(row, rows, &references, at_full_load)).collect();
    markdown(&head, body)
}

fn cells(row: &Row, rows: &[Row], references: &[Contender], at_full_load: bool) -> Vec<String> {
    let mut cells = vec![row.contender.name().to_owned()];
    if let Some(failure) = &row.failure {
        cells.extend(std::iter::repeat_n("-".to_owned(), 6 + references.len()));
        cells.push(format!("FAILED: {failure}"));
        return cells;
    }
    let core = row.sorted(Sample::core_us);
    cells.push(format!("{:.2} ({:.2}-{:.2})", row.median(Sample::core_us), core[0], core[core.len() - 1]));
    cells.push(format!("{:.2}", row.median(Sample::process_us)));
    cells.push(format!("{:.0}", row.median(Sample::per_second)));
    cells.push(format!("{:.2}", row.median(|sample| sample.p99_us) / 1e3));
    cells.push(format!("{:.1} %", row.median(|sample| sample.core.busy_share()) * 100.0));
    cells.push(row.errors().to_string());
    for reference in references {
        let ratio = |cost| ratio(rows, row.contender, *reference, cost);
        cells.push(match (ratio(Cost::Core), ratio(Cost::Process)) {
            (Some(core), Some(process)) => format!("{core:.3} ({process:.3})"),
            _ => "-".to_owned(),
        });
    }
    cells.push(row.notes(at_full_load));
    cells
}

/// A Markdown table with aligned columns: the first left, the rest right, the last left.
pub(super) fn markdown(head: &[String], body: Vec<Vec<String>>) -> String {
    let width = |column: usize| {
        let cells = std::iter::once(&head[column]).chain(body.iter().map(|row| &row[column]));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0).max(3)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let is_left = |column: usize| column == 0 || column + 1 == head.len();
    let mut out = String::new();
    let mut line = |cells: &[String]| {
        for (column, (cell, &width)) in cells.iter().zip(&widths).enumerate() {
            let written = if is_left(column) {
                write!(out, "| {cell:<width$} ")
            } else {
                write!(out, "| {cell:>width$} ")
            };
            written.expect("writing to a string does not fail");
        }
        out.push_str("|\n");
    };
    line(head);
    let rule = |(column, &width): (usize, &usize)| {
        if is_left(column) { "-".repeat(width) } else { "-".repeat(width - 1) + ":" }
    };
    line(&widths.iter().enumerate().map(rule).collect::<Vec<_>>());
    body.iter().for_each(|row| line(row));
    out
}

const REFERENCES: [Contender; 3] = [Contender::Haproxy, Contender::HaproxyTuned, Contender::BareRelay];
const FULL_LOAD_SHARE: f64 = 0.95;
/// More than this of core 0 outside the process means that somebody else was at work.
pub(super) const OTHERS_SHARE_MAX: f64 = 0.10;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::procfs::CoreTimes;

    fn row(contender: Contender, busy_ms: &[u64], errors: u64) -> Row {
        let sample = |&busy_ms: &u64| Sample {
            requests: 1000,
            errors,
            seconds: 1.0,
            p99_us: 500.0,
            core: CoreTimes { busy: Duration::from_millis(busy_ms), total: Duration::from_secs(1) },
            process: Duration::from_millis(busy_ms),
        };
        Row { contender, samples: busy_ms.iter().map(sample).collect(), failure: None }
    }

    #[test]
    fn ratios_are_of_medians_and_only_of_valid_rows() {
        let rows = [row(Contender::Ringway, &[100, 900, 120], 0), row(Contender::Haproxy, &[200, 240], 0)];
        let ratio_now = ratio(&rows, Contender::Ringway, Contender::Haproxy, Cost::Core).unwrap();
        assert!((ratio_now - 120.0 / 220.0).abs() < 1e-9);
        let rows = [row(Contender::Ringway, &[100], 1), row(Contender::Haproxy, &[200], 0)];
        assert_eq!(ratio(&rows, Contender::Ringway, Contender::Haproxy, Cost::Core), None);
    }

    #[test]
    fn what_is_wrong_with_a_row_is_in_its_notes() {
        let mut failed = Row::new(Contender::Nginx);
        failed.failure = Some(io::Error::other("no such file"));
        let text = of_workload(&[row(Contender::Haproxy, &[500], 3), failed], true);
        assert!(
            text.contains("INVALID") && text.contains("below 95 %") && text.contains("FAILED: no such file")
        );
        let lines: Vec<usize> = text.lines().map(|line| line.chars().count()).collect();
        assert!(lines.windows(2).all(|pair| pair[0] == pair[1]), "columns are aligned:\n{text}");
    }
}
