//! The status for people: nodes, models, times, and loudly what is wrong.

use std::collections::BTreeMap;

use super::findings::Findings;
use super::node::{Model, Module, Node, Role};
use crate::commands::table::{Table, bytes, or_dash, percent};
use crate::error::printable;

pub fn render(nodes: &[Node], galleries: &Table, findings: &Findings, in_colour: bool) -> String {
    let mut parts = vec![node_table(nodes).to_string()];
    parts.extend(
        [&model_table(nodes), &time_table(nodes), galleries]
            .into_iter()
            .filter(|t| !t.is_empty())
            .map(|table| table.to_string()),
    );
    let mut verdict = String::new();
    for (mark, colour, lines) in
        [("WRONG", "\x1b[1;31m", &findings.problems), ("note ", "\x1b[33m", &findings.notes)]
    {
        for line in lines {
            let line = printable(line);
            verdict += &match in_colour {
                true => format!("{colour}{mark} {line}\x1b[0m\n"),
                false => format!("{mark} {line}\n"),
            };
        }
    }
    if findings.problems.is_empty() {
        verdict += &match findings.notes.is_empty() {
            true => format!("all {} node(s) are well\n", nodes.len()),
            false => {
                format!("nothing wrong was found on {} node(s), but see the notes\n", nodes.len())
            }
        };
    }
    parts.push(verdict);
    parts.join("\n")
}

fn node_table(nodes: &[Node]) -> Table {
    let mut table = Table::new([
        "NODE",
        "ROLE",
        "LINK",
        "SERVER",
        "MODULE",
        "ENGINE",
        "BUSY",
        "QUEUE",
        "BYTES",
        "HIT RATE",
        "REFUSED",
        "TIMED OUT",
        "NOT STORED",
    ]);
    for node in nodes {
        let role = match (&node.unreachable, node.role) {
            (Some(_), _) => "UNREACHABLE".to_owned(),
            (None, Role::Master) => "master".to_owned(),
            (None, Role::Replica) => "replica".to_owned(),
            (None, Role::Unknown) => "-".to_owned(),
        };
        let link = node.link.as_deref().map_or("-".to_owned(), |link| match link {
            "up" => format!("up, {}", node.master.as_deref().unwrap_or_default()),
            other => other.to_uppercase(),
        });
        let of =
            |tell: &dyn Fn(&Module) -> String| node.module.as_ref().map_or("-".to_owned(), tell);
        let module = match (&node.module, &node.unreachable) {
            (Some(module), _) => module.version.clone(),
            (None, None) => "NONE".to_owned(),
            (None, Some(_)) => "-".to_owned(),
        };
        let cells = [
            node.address.clone(),
            role,
            link,
            or_dash(&node.server),
            module,
            of(&|module| or_dash(&module.engine)),
            of(&|module| format!("{} of {}", module.workers_busy, module.workers)),
            of(&|module| module.queue_length.to_string()),
            of(&|module| bytes(module.queue_bytes)),
            of(&|module| percent(module.hit_rate())),
            of(&|module| module.refused.to_string()),
            of(&|module| module.timed_out.to_string()),
            of(&|module| module.not_stored.to_string()),
        ];
        table.add(cells.map(|cell| printable(&cell)));
    }
    table
}

/// A row for each model and version, with the states it is in: of six equal nodes one row a model.
fn model_table(nodes: &[Node]) -> Table {
    let mut groups: BTreeMap<(&str, &str), Vec<(&str, &Model)>> = BTreeMap::new();
    let modules = nodes.iter().filter_map(|node| Some((&node.address, node.module.as_ref()?)));
    let mut all = 0;
    for (address, module) in modules {
        all += 1;
        for model in &module.models {
            let group = groups.entry((&model.name, &model.version)).or_default();
            group.push((address, model));
        }
    }
    let mut table = Table::new(["MODEL", "TASK", "VERSION", "STATE", "NODES"]);
    for ((name, version), on) in groups {
        let mut states: BTreeMap<&str, usize> = BTreeMap::new();
        for (_, model) in &on {
            let state = if model.state == "failed" { "FAILED" } else { &model.state };
            *states.entry(state).or_default() += 1;
        }
        let states = match states.len() {
            1 => states.into_keys().collect(),
            _ => states
                .iter()
                .map(|(state, count)| format!("{count} {state}"))
                .collect::<Vec<_>>()
                .join(", "),
        };
        let task = on.iter().map(|(_, model)| model.task.as_str()).find(|task| !task.is_empty());
        let nodes = match on.len() {
            count if count == all => format!("all {all}"),
            count => {
                let addresses: Vec<&str> = on.iter().map(|(address, _)| *address).collect();
                format!("{count} of {all}: {}", addresses.join(" "))
            }
        };
        let task = or_dash(task.unwrap_or_default());
        let cells = [name.to_owned(), task, or_dash(version), states, nodes];
        table.add(cells.map(|cell| printable(&cell)));
    }
    table
}

/// A row for each model that a node was asked for.
fn time_table(nodes: &[Node]) -> Table {
    let mut table = Table::new([
        "NODE",
        "MODEL",
        "HITS",
        "MISSES",
        "JOINED",
        "COMPUTED",
        "FAILED",
        "HIT RATE",
        "WAIT ms p50",
        "p95",
        "p99",
        "COMPUTE ms p50",
        "p95",
        "p99",
    ]);
    for node in nodes {
        let models = node.module.iter().flat_map(|module| &module.models);
        for model in models.filter(|model| was_asked(model)) {
            let [wait, compute] = [&model.wait_ms, &model.compute_ms]
                .map(|of| [of.p50, of.p95, of.p99].map(|number| format!("{number:.1}")));
            let ([wait50, wait95, wait99], [compute50, compute95, compute99]) = (wait, compute);
            table.add([
                node.address.clone(),
                printable(&model.name),
                model.hits.to_string(),
                model.misses.to_string(),
                model.joined.to_string(),
                model.computed.to_string(),
                model.failed.to_string(),
                percent(model.hit_rate()),
                wait50,
                wait95,
                wait99,
                compute50,
                compute95,
                compute99,
            ]);
        }
    }
    table
}

fn was_asked(model: &Model) -> bool {
    [model.hits, model.misses, model.computed, model.failed].iter().any(|count| *count > 0)
}
