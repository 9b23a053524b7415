//! What is wrong, and what a person should know.

use std::collections::BTreeMap;

use super::durability;
use super::findings::Findings;
use super::node::{Module, Node};

pub fn diagnose(nodes: &[Node]) -> Findings {
    let mut findings = Findings::default();
    for node in nodes {
        diagnose_node(node, &mut findings);
    }
    let with_module: Vec<(&str, &Module)> = nodes
        .iter()
        .filter_map(|node| Some((node.address.as_str(), node.module.as_ref()?)))
        .collect();
    compare(&with_module, &mut findings);
    findings
}

fn diagnose_node(node: &Node, findings: &mut Findings) {
    let address = &node.address;
    let mut problem = |text: String| findings.problems.push(format!("{address}: {text}"));
    if let Some(reason) = &node.unreachable {
        return problem(format!("unreachable: {reason}"));
    }
    if node.loading {
        problem("is loading its data".to_owned());
    }
    if node.link.as_deref() == Some("down") {
        let master = node.master.as_deref().unwrap_or("its master");
        problem(format!("replica without a link to {master}"));
    }
    if node.cluster_ok == Some(false) {
        problem("the cluster's state is `fail`: not all slots are served".to_owned());
    }
    let Some(module) = &node.module else {
        return problem(
            "no module redis-image: add `loadmodule …/libredis_image.so` to its redis.conf"
                .to_owned(),
        );
    };
    let default = &module.default_model;
    if !default.is_empty() && !module.models.iter().any(|model| model.name == *default) {
        problem(format!("its default model {default} is not in its folder of models"));
    }
    for model in module.models.iter().filter(|model| model.state == "failed") {
        let error = if model.error.is_empty() { "see its log" } else { &model.error };
        let text = format!("{address}: model {} failed: {error}", model.name);
        // Where the default is not known, any might be it.
        if model.name == *default || default.is_empty() {
            findings.problems.push(text);
        } else {
            findings.notes.push(text);
        }
    }
    for text in &node.not_told {
        findings.notes.push(format!("{address}: not told: {text}"));
    }
    if module.galleries > 0 {
        durability::diagnose(node, module.galleries, findings);
    }
}

fn compare(nodes: &[(&str, &Module)], findings: &mut Findings) {
    let names: std::collections::BTreeSet<&str> = nodes
        .iter()
        .flat_map(|(_, module)| module.models.iter().map(|model| model.name.as_str()))
        .collect();
    for name in names {
        let version_at = |module: &Module| {
            let model = module.models.iter().find(|model| model.name == name)?;
            Some(model.version.clone())
        };
        let mut versions: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        let mut missing = Vec::new();
        for (address, module) in nodes {
            match version_at(module) {
                // A failed one whose manifest could not be read has none, and is told as failed.
                Some(version) if version.is_empty() => (),
                Some(version) => versions.entry(version).or_default().push(address),
                None => missing.push(*address),
            }
        }
        if versions.len() > 1 {
            findings.problems.push(format!(
                "model {name} has different versions: {}; none serves another's results: give all nodes the same \
                 folder of models",
                spread(&versions)
            ));
        }
        if !missing.is_empty() {
            findings.problems.push(format!("model {name} is missing on {}", missing.join(", ")));
        }
    }
    let by = |what: fn(&Module) -> &str| {
        let mut groups: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for (address, module) in nodes {
            groups.entry(what(module).to_owned()).or_default().push(address);
        }
        groups.remove("");
        (groups.len() > 1).then(|| spread(&groups))
    };
    if let Some(spread) = by(|module| &module.default_model) {
        findings.problems.push(format!("the default model (image.model) differs: {spread}"));
    }
    if let Some(spread) = by(|module| &module.version) {
        findings.notes.push(format!("the module's version differs: {spread}"));
    }
    if let Some(spread) = by(|module| &module.engine) {
        findings.notes.push(format!("the engine differs: {spread}"));
    }
}

/// `1f on a, b; 2e on c`
fn spread(groups: &BTreeMap<String, Vec<&str>>) -> String {
    let groups = groups.iter().map(|(what, nodes)| format!("{what} on {}", nodes.join(", ")));
    groups.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::super::node::{Model, Role};
    use super::*;

    fn node(address: &str, models: &[(&str, &str, &str)]) -> Node {
        let models = models.iter().map(|(name, state, version)| Model {
            name: (*name).to_owned(),
            state: (*state).to_owned(),
            version: (*version).to_owned(),
            ..Model::default()
        });
        let module = Module {
            version: "0.1.0".to_owned(),
            engine: "tract".to_owned(),
            default_model: "tiny".to_owned(),
            models: models.collect(),
            ..Module::default()
        };
        Node {
            address: address.to_owned(),
            role: Role::Master,
            module: Some(module),
            ..Node::default()
        }
    }

    #[test]
    fn equal_nodes_are_fine() {
        let models = [("tiny", "ready", "aa"), ("other", "waiting", "bb")];
        let findings = diagnose(&[node("a:1", &models), node("b:1", &models)]);
        assert!(findings.problems.is_empty() && findings.notes.is_empty(), "{findings:?}");
    }

    #[test]
    fn every_difference_of_models_is_a_problem_that_names_the_nodes() {
        let one = node("a:1", &[("tiny", "ready", "aa"), ("other", "ready", "cc")]);
        let two = node("b:1", &[("tiny", "ready", "bb")]);
        let problems = diagnose(&[one, two]).problems;
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems[0].contains("other is missing on b:1"), "{problems:?}");
        assert!(problems[1].contains("aa on a:1; bb on b:1"), "{problems:?}");
    }

    #[test]
    fn a_failed_default_model_is_a_problem_and_another_one_a_note() {
        let findings = diagnose(&[node("a:1", &[("tiny", "failed", "aa"), ("x", "failed", "bb")])]);
        assert_eq!((findings.problems.len(), findings.notes.len()), (1, 1));
        assert!(findings.problems[0].contains("tiny failed"));
    }

    #[test]
    fn nodes_that_are_away_or_without_the_module_are_problems() {
        let refused = Some("connection refused".to_owned());
        let away = Node { unreachable: refused, module: None, ..node("a:1", &[]) };
        let bare = Node { module: None, ..node("b:1", &[]) };
        let cut = Node {
            role: Role::Replica,
            link: Some("down".to_owned()),
            ..node("c:1", &[("tiny", "ready", "aa")])
        };
        let problems = diagnose(&[away, bare, cut]).problems;
        for (problem, words) in
            problems.iter().zip(["a:1: unreachable", "b:1: no module", "c:1: replica"])
        {
            assert!(problem.starts_with(words), "{problem}");
        }
        assert_eq!(problems.len(), 3);
    }
}
