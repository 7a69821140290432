// Publishers, publications, and the list of what changes.

import { ago, byId, clock, h, lamp, refill, table, who, words, STATES } from "/assets/dom.js";
import { store } from "/assets/store.js";

const status = (word) => h("span", { class: word === "back-off" ? "bad" : word === "idle" ? "good" : "warn" }, word);

const soonest = (lanes) => lanes.map((lane) => lane.expires_at).filter(Boolean).sort()[0];

/** Since when the oldest of the open publications is there; those of before the node's start are older than any. */
const oldest = (lanes) => {
  const open = lanes.filter((lane) => lane.open);
  if (open.length === 0) return null;
  return open.some((lane) => !lane.opened_at) ? "before the start" : ago(open.map((lane) => lane.opened_at).sort()[0]);
};

/** How the exchange stands, with a button that asks peers for everything. */
export const exchange = (refresh) => {
  const publishers = store.publishers.map((it) => [
    it.name, status(it.status), it.peer, it.event, h("span", { class: "mono" }, it.target ?? it.server_uri),
    `${it.lanes.filter((lane) => lane.open).length}`, it.lanes.filter((lane) => lane.in_flight).length, it.behind, it.confirmed, it.refused,
    oldest(it.lanes), soonest(it.lanes) && ago(soonest(it.lanes)),
    it.last_answer && h("span", { class: it.last_answer.status < 300 ? null : "bad" }, `${it.last_answer.status} ${it.last_answer.reason}, ${ago(it.last_answer.at)}`),
    it.retry_at && ago(it.retry_at),
  ]);
  const publications = store.publications.map((it) => [
    it.id, it.endpoint, it.resource, it.event, h("span", { class: "mono" }, it.remote), it.states, ago(it.created_at), ago(it.changed_at), ago(it.expires_at),
  ]);
  refill(byId("view-exchange"),
    h("div", { class: "panel" },
      h("h2", null, "Publishers: what this node tells"),
      publishers.length
        ? table(["Name", "Status", "Peer", "Event", "To", "#Lanes", "#In flight", "#Behind", "#Confirmed", "#Refused", "Open since", "Tag ends", "Last answer", "Tried again"], publishers)
        : h("p", { class: "dim" }, "none is configured"),
      h("p", null, h("button", { class: "plain", onclick: refresh }, "Ask all peers for everything"))),
    h("div", { class: "panel" },
      h("h2", null, "Publications: what peers tell this node"),
      publications.length
        ? table(["#Id", "Endpoint", "Resource", "Event", "From", "#States", "Began", "Changed", "Expires"], publications)
        : h("p", { class: "dim" }, "no peer holds one here")));
};

const shown = (kind, value) => {
  if (value == null) return h("span", { class: "dim" }, "–");
  return kind === "device" && STATES.includes(value) ? h("span", null, lamp(value), words(value)) : value;
};

/** The newest changes first. */
export const changes = (open) => {
  const rows = store.changes.map((it) => ({
    properties: { onclick: () => open(it.kind, it.name), "data-kind": it.kind },
    cells: [clock(it.at), it.kind, it.name, shown(it.kind, it.from), it.to == null ? "taken back" : shown(it.kind, it.to), it.kind === "peer" ? null : who(it.by) ?? it.by.eid],
  }));
  refill(byId("view-changes"), h("div", { class: "panel" },
    rows.length ? table(["Time", "What", "Name", "From", "To", "Who"], rows) : h("p", { class: "nothing" }, "Nothing has changed since this page was opened.")));
};
