//! What a person sees of a long run: a bar while it goes on (only on a terminal), a summary at its end. All of it goes to
//! standard error, where it is in no program's way.

use crate::error::{Error, printable};
use crate::output::{Format, Outcome, print};
use crate::recognizer::Source;
use crate::terminal::tell;
use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use std::time::Instant;

/// Failures that the summary names; the output has them all.
const MOST_NAMED: usize = 100;

pub struct Report {
    format: Format,
    bar: ProgressBar,
    total: u64,
    pub computed: u64,
    pub stored: u64,
    pub failed: u64,
    /// Computed a second time, as a failover had lost what was stored.
    pub restored: u64,
    /// Of the failures, those that the photo is no reason for.
    unreachable: u64,
    named: Vec<String>,
    began: Instant,
}

impl Report {
    pub fn begin(format: Format, total: usize) -> Result<Report, Error> {
        if let Some(head) = format.head() {
            print(&head)?;
        }
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len}  {rate}  {eta} left  {msg}")
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .with_key("rate", |state: &ProgressState, out: &mut dyn std::fmt::Write| {
                // A bar that can't be written is no loss.
                let _ = write!(out, "{:.1}/s", state.per_sec());
            });
        // Hidden by itself where standard error is no terminal.
        let bar = ProgressBar::with_draw_target(Some(total as u64), ProgressDrawTarget::stderr());
        bar.set_style(style);
        Ok(Report {
            format,
            bar,
            total: total as u64,
            computed: 0,
            stored: 0,
            failed: 0,
            restored: 0,
            unreachable: 0,
            named: Vec::new(),
            began: Instant::now(),
        })
    }

    pub fn add(&mut self, outcome: &Outcome) -> Result<(), Error> {
        match &outcome.recognized {
            Ok(found) if found.source == Source::Stored => self.stored += 1,
            Ok(_) => self.computed += 1,
            Err(error) => {
                self.unreachable += u64::from(crate::connect::is_temporary(error));
                self.fail(&outcome.path, error);
            }
        }
        let line = self.format.line(outcome);
        self.bar.suspend(|| print(&line))?;
        self.bar.inc(1);
        if self.failed > 0 {
            self.bar.set_message(format!("{} failed", self.failed));
        }
        Ok(())
    }

    /// Something that went wrong beside the recognition of a photo.
    pub fn warn(&mut self, path: &str, why: &str) {
        self.failed += 1;
        self.name(path, why);
    }

    fn fail(&mut self, path: &str, error: &Error) {
        self.failed += 1;
        self.name(path, &error.to_string());
    }

    fn name(&mut self, path: &str, why: &str) {
        if self.named.len() < MOST_NAMED {
            let path = printable(path);
            // A file's own error begins with its name already.
            let line =
                if why.starts_with(&path) { why.to_owned() } else { format!("{path}: {why}") };
            self.named.push(line);
        }
    }

    /// No photo was recognised, and none of them is to blame.
    pub fn nothing_worked(&self) -> bool {
        self.stored + self.computed == 0 && self.failed > 0 && self.unreachable == self.failed
    }

    pub fn end(&self, interrupted: bool) {
        self.bar.finish_and_clear();
        for line in &self.named {
            tell(&format!("failed: {}", printable(line)));
        }
        let unnamed = self.failed - self.named.len() as u64;
        if unnamed > 0 {
            tell(&format!("failed: {unnamed} more"));
        }
        let took = self.began.elapsed();
        let done = self.computed + self.stored;
        let rate = done as f64 / took.as_secs_f64().max(0.001);
        tell(&format!(
            "{done} of {} recognised: {} computed, {} stored already; {} failed; {} ({rate:.1}/s)",
            self.total,
            self.computed,
            self.stored,
            self.failed,
            HumanDuration(took)
        ));
        if self.restored > 0 {
            tell(&format!("{} results that a failover had lost were stored again", self.restored));
        }
        if interrupted {
            tell("interrupted: the same command goes on where this one ended");
        }
    }
}
