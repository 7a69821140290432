// The cluster: its nodes, which of them is home of which server, and how the buckets of its sites are read.

import { ago, byId, h, refill, table } from "/assets/dom.js";
import { store } from "/assets/store.js";

const marked = (word, good, bad) => h("span", { class: good.includes(word) ? "good" : bad.includes(word) ? "bad" : "warn" }, word);

/** A row of two words each, for what there is one of. */
const facts = (pairs) => h("dl", { class: "facts" }, pairs.flatMap(([what, is]) => [h("dt", null, what), h("dd", null, is ?? "–")]));

const nodes = (all) => all.map((it) => [
  h("b", null, it.name), it.own ? h("span", { class: "good" }, "asked") : marked(it.status, ["up"], ["down"]), it.site, h("span", { class: "mono" }, it.entity_id),
  it.rank, it.last_heard && ago(it.last_heard), ago(it.started_at), it.version, it.protocol, it.states, it.status === "up" ? h("span", { class: it.lag > 1000 ? "warn" : null }, it.lag) : null, it.homes, it.speaks,
]);

/** Who of the nodes that are there has such a way, with the one that has the role in bold. */
const by = (server, which, role) => {
  const names = server.ways.filter((way) => way.up && way[which]).map((way) => way.node);
  if (names.length === 0) return null;
  return h("span", null, names.map((name, index) => [index ? ", " : "", name === role ? h("b", null, name) : name]).flat());
};

const servers = (all) => all.map((it) => [
  h("b", null, [...new Set(it.ways.map((way) => way.peer).filter(Boolean))].sort().join(", ") || "–"), h("span", { class: "mono" }, it.entity_id),
  it.home ?? h("span", { class: "bad" }, "nobody"), it.speaker, by(it, "hears", it.home), by(it, "tells", it.speaker),
]);

const sites = (all) => all.map((it) => [
  h("b", null, it.name), marked(it.reading, ["live"], ["not-read"]), it.read, it.pending, it.read_at && ago(it.read_at), it.domain,
]);

/** How the cluster stands, as this node sees it. */
export const cluster = () => {
  const it = store.cluster;
  if (!it) {
    refill(byId("view-cluster"), h("p", { class: "nothing" }, "This node is in no cluster."));
    return;
  }
  refill(byId("view-cluster"),
    h("div", { class: "panel" },
      h("h2", null, `Cluster ${it.cluster}, seen by ${it.node} of site ${it.site}`),
      facts([
        ["Stage", h("span", null, marked(it.stage, ["joined"], ["alone"]), `, ${ago(it.stage_since)}`)],
        ["NATS", it.bus.server ? h("span", null, h("span", { class: "mono" }, it.bus.server), `, ${ago(it.bus.since)}`) : h("span", { class: "bad" }, `${it.bus.problem}, ${ago(it.bus.since)}`)],
        ["Wait to be put", `${it.waiting}`], ["On their way", `${it.in_flight}`], ["Kept in mind for another home", `${it.shadows}`], ["Connections lost", `${it.bus.losses}`],
      ])),
    h("div", { class: "panel" },
      h("h2", null, "Nodes"),
      table(["Name", "Status", "Site", "Entity id", "#Rank", "Heard", "Began", "Version", "#Protocol", "#States", "#Lag", "#Home of", "#Speaks to"], nodes(it.nodes))),
    h("div", { class: "panel" },
      h("h2", null, "Servers: whose home is where, and who speaks to them"),
      it.servers.length
        ? table(["Called", "Entity id", "Home", "Speaker", "Heard by", "Told by"], servers(it.servers))
        : h("p", { class: "dim" }, "no node is attached to one")),
    h("div", { class: "panel" },
      h("h2", null, "Sites: the buckets that this node reads"),
      table(["Name", "Bucket", "#Read to", "#Waiting", "Last read", "Domain"], sites(it.sites))));
};
