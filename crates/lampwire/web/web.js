// The web of nodes as a picture: this node in the middle, an arrow for who publishes to whom, and a card for each peer.

import { ago, byId, h, prose, refill, s } from "/assets/dom.js";
import { store } from "/assets/store.js";

const HALF = { width: 74, height: 25 };

const head = (kind) => s("marker", { id: `head-${kind}`, viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 6, markerHeight: 6, orient: "auto-start-reverse" },
  s("path", { d: "M0 0 8 4 0 8z" }));

const node = (x, y, kind, name, more) => s("g", { class: `node ${kind}`, transform: `translate(${x} ${y})` },
  s("rect", { x: -HALF.width, y: -HALF.height, width: 2 * HALF.width, height: 2 * HALF.height, rx: 12 }),
  s("text", { y: more ? -3 : 5 }, name.length > 19 ? `${name.slice(0, 18)}…` : name), more && s("text", { class: "dim", y: 14 }, more));

/** Where the line from the middle of a box in this direction leaves it. */
const edge = (x, y, dx, dy) => {
  const scale = Math.min((HALF.width + 6) / Math.max(Math.abs(dx), 0.01), (HALF.height + 6) / Math.max(Math.abs(dy), 0.01));
  return [x + dx * scale, y + dy * scale];
};

/** Where the peers stand around the middle. On a telephone the picture is higher than wide. */
const places = (count) => {
  const narrow = innerWidth < 736;
  const rings = Math.max(1, Math.ceil(count / (narrow ? 8 : 14)));
  const [rx, ry] = narrow ? [95 + 75 * rings, 60 + 110 * rings] : [250 + 170 * rings, 95 + 95 * rings];
  const first = narrow ? -Math.PI / 2 : count > 2 ? -Math.PI / 2 + Math.PI / count : 0;
  return Array.from({ length: count }, (_, index) => {
    const angle = first + (index / count) * 2 * Math.PI;
    const ring = (rings - (index % rings)) / rings;
    return [rx * ring * Math.cos(angle), ry * ring * Math.sin(angle)];
  });
};

const picture = () => {
  const { peers } = store;
  const around = places(peers.length);
  const wires = [];
  const boxes = [];
  peers.forEach((peer, index) => {
    const [x, y] = around[index];
    const length = Math.hypot(x, y) || 1;
    const [dx, dy] = [x / length, y / length];
    const [sx, sy] = [-dy * 9, dx * 9];
    const [ax, ay] = edge(0, 0, dx, dy);
    const [bx, by] = edge(x, y, -dx, -dy);
    const wire = (from, to, side, title) => s("path", {
      class: `wire ${peer.status}`, "marker-end": `url(#head-${peer.status})`,
      d: `M${from[0] + side * sx} ${from[1] + side * sy}L${to[0] + side * sx} ${to[1] + side * sy}`,
    }, s("title", null, title));
    if (peer.publishers.length) wires.push(wire([ax, ay], [bx, by], 1, `this node publishes to ${peer.name}`));
    if (peer.publications) wires.push(wire([bx, by], [ax, ay], -1, `${peer.name} publishes to this node: ${peer.publications} publications`));
    const [mx, my] = [(ax + bx) / 2, (ay + by) / 2];
    const trip = peer.round_trip_ms == null ? "" : `${peer.round_trip_ms.toFixed(peer.round_trip_ms < 10 ? 1 : 0)} ms`;
    const behind = peer.behind ? `${peer.behind} behind` : "";
    const label = [trip, behind].filter(Boolean).join(" · ");
    if (label) {
      wires.push(s("rect", { class: "plate", x: mx - label.length * 3.6, y: my - 14, width: label.length * 7.2, height: 28, rx: 8 }),
        s("text", { class: peer.behind ? "dim bad" : "dim", x: mx, y: my + 4 }, label));
    }
    boxes.push(node(x, y, peer.status, peer.name, peer.status === "down" ? `lost, heard ${ago(peer.last_heard)}` : peer.status));
  });
  const wide = HALF.width + 12 + Math.max(...around.map(([x]) => Math.abs(x)));
  const tall = HALF.height + 18 + Math.max(...around.map(([, y]) => Math.abs(y)));
  return s("svg", { viewBox: `${-wide} ${-tall} ${2 * wide} ${2 * tall}`, role: "img", "aria-label": `This node and its ${peers.length} peers` },
    s("defs", null, head("up"), head("down"), head("unknown")), wires, node(0, 0, "self", "this node", store.status?.entity_id), boxes);
};

const card = (peer) => h("article", { class: `card ${peer.status}`, "data-peer": peer.name },
  h("header", null, h("span", null, peer.name), h("span", { class: peer.status === "up" ? "good" : peer.status === "down" ? "bad" : "dim" }, peer.status === "down" ? "lost" : peer.status)),
  h("dl", null,
    h("dt", null, "Entity id"), h("dd", { class: "mono" }, peer.entity_id ?? "not known"),
    h("dt", null, "Heard"), h("dd", null, ago(peer.last_heard)),
    h("dt", null, "Round trip"), h("dd", null, peer.round_trip_ms == null ? "–" : `${peer.round_trip_ms.toFixed(1)} ms`),
    peer.canary_ms == null ? null : h("dt", null, "Canary"), peer.canary_ms == null ? null : h("dd", null, `${peer.canary_ms.toFixed(1)} ms`),
    h("dt", null, "Behind"), h("dd", { class: peer.behind ? "warn" : null }, `${peer.behind} states`),
    h("dt", null, "Tells us"), h("dd", null, `${peer.publications} publications${peer.endpoints.length ? ` of ${peer.endpoints.join(", ")}` : ""}`),
    h("dt", null, "Told by"), h("dd", null, peer.publishers.join(", ") || "nothing")),
  peer.notes.length > 0 && h("div", { class: "notes" }, peer.notes.map((note) => h("p", null, prose(note)))));

/** Draws the picture and the cards. */
export const web = () => {
  const { peers } = store;
  refill(byId("web"), peers.length ? picture() : h("p", { class: "nothing" }, "No peer is configured: this node exchanges nothing."));
  refill(byId("peers"), peers.map(card));
};
