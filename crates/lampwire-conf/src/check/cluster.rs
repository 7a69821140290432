//! The nodes of a cluster together: what they share over NATS ties them as an exchange would, and some of their options must be the same.

use std::collections::BTreeMap;

use super::instance::Instance;
use crate::diagnostic::{Findings, quote};
use crate::section::cluster::Cluster;

/// Whether both are nodes of one cluster, so that each tells its peers what those of the other say.
pub(super) fn are_tied(one: &Instance, other: &Instance) -> bool {
    let mut both = one.config.cluster.iter().zip(&other.config.cluster);
    both.any(|(one, other)| one.cluster == other.cluster)
}

/// What keeps two hubs apart that look as if they were of one cluster.
pub(super) fn apart(one: &Instance, other: &Instance) -> Option<String> {
    let (one, other) = (one.config.cluster.as_ref()?, other.config.cluster.as_ref()?);
    Some(format!(
        "they are of two clusters, {} and {}: give both the same `cluster`",
        quote(&one.cluster),
        quote(&other.cluster)
    ))
}

/// What two nodes of one cluster say differently and should not.
pub(super) fn nodes(instances: &[Instance], findings: &mut Findings) {
    let mut clusters: BTreeMap<&str, Vec<(&Instance, &Cluster)>> = BTreeMap::new();
    for instance in instances {
        if let Some(cluster) = &instance.config.cluster {
            let of_cluster = clusters.entry(&cluster.cluster).or_default();
            of_cluster.push((instance, cluster));
        }
    }
    for nodes in clusters.values() {
        names(nodes, findings);
        domains(nodes, findings);
        for (index, (instance, cluster)) in nodes.iter().enumerate() {
            let first = nodes[..index]
                .iter()
                .find(|(_, other)| other.site == cluster.site);
            if let Some((other, settings)) = first {
                bucket(instance, cluster, other, settings, findings);
            }
        }
    }
}

fn names(nodes: &[(&Instance, &Cluster)], findings: &mut Findings) {
    let mut seen: BTreeMap<&str, &Instance> = BTreeMap::new();
    for (instance, cluster) in nodes {
        let Some(name) = cluster.node.as_deref() else {
            continue;
        };
        let Some(other) = seen.get(name) else {
            seen.insert(name, instance);
            continue;
        };
        let message = format!(
            "{} and {} are both called {}",
            quote(&other.name),
            quote(&instance.name),
            quote(name)
        );
        findings.warning("cluster-node-twice", &cluster.at, message, None);
    }
}

/// Each site's bucket is looked for in one domain.
fn domains(nodes: &[(&Instance, &Cluster)], findings: &mut Findings) {
    let mut sites: BTreeMap<&str, Option<(&str, &Instance)>> = BTreeMap::new();
    for (instance, cluster) in nodes {
        let known = sites.entry(&cluster.site).or_default();
        match (&cluster.domain, &known) {
            (Some(domain), Some((other, first))) if domain != other => {
                let message = format!(
                    "site {} is in domain {} here, and in {} at {}",
                    quote(&cluster.site),
                    quote(domain),
                    quote(other),
                    quote(&first.name)
                );
                findings.warning("cluster-domain-differs", &cluster.at, message, None);
            }
            (Some(domain), None) => *known = Some((domain.as_str(), *instance)),
            _ => {}
        }
    }
    let Some(other) = sites
        .iter()
        .find_map(|(site, domain)| domain.map(|_| *site))
    else {
        return;
    };
    for (site, _) in sites.iter().filter(|(_, domain)| domain.is_none()) {
        let first = nodes.iter().find(|(_, cluster)| cluster.site == *site);
        let message = format!(
            "site {} has no `domain`, and site {} has one",
            quote(site),
            quote(other)
        );
        if let Some((_, cluster)) = first {
            findings.warning("cluster-without-domain", &cluster.at, message, None);
        }
    }
}

/// Both keep one bucket.
fn bucket(
    instance: &Instance,
    cluster: &Cluster,
    other: &Instance,
    settings: &Cluster,
    findings: &mut Findings,
) {
    let of = |cluster: &Cluster| {
        [
            ("replicas", cluster.replicas.to_string()),
            (
                "storage",
                if cluster.in_memory { "memory" } else { "file" }.to_owned(),
            ),
            ("max_bytes", cluster.max_bytes.unwrap_or(0).to_string()),
        ]
    };
    for ((option, here), (_, there)) in of(cluster).into_iter().zip(of(settings)) {
        if here != there {
            let message = format!(
                "`{option}` of {} is {here}, and that of {}, which keeps the same bucket, is {there}",
                quote(&instance.name),
                quote(&other.name)
            );
            findings.warning("cluster-bucket-differs", &cluster.at, message, None);
        }
    }
}

/// One server is attached to two nodes of a site that tell other sites different things: which of the two is its home makes the difference.
pub(super) fn attached(server: &Instance, nodes: &[&Instance], findings: &mut Findings) {
    for (index, node) in nodes.iter().enumerate() {
        let Some(cluster) = &node.config.cluster else {
            continue;
        };
        let same_site = |other: &&&Instance| {
            are_tied(node, other)
                && other
                    .config
                    .cluster
                    .as_ref()
                    .is_some_and(|it| it.site == cluster.site && wide(it) != wide(cluster))
        };
        if let Some(other) = nodes[..index].iter().find(same_site) {
            let message = format!(
                "{} is attached to {} and {}, which tell other sites different states",
                quote(&server.name),
                quote(&other.name),
                quote(&node.name)
            );
            findings.warning("cluster-wide-differs", &cluster.at, message, None);
        }
    }
}

fn wide(cluster: &Cluster) -> [Option<&str>; 2] {
    [
        cluster.wide_device_state_filter.as_ref(),
        cluster.wide_mailbox_state_filter.as_ref(),
    ]
    .map(|filter| filter.map(crate::Filter::as_str))
}
