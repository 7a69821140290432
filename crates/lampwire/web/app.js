// The page: what it shows, and what keeps it true.

import { follow, get, onTokenWanted, pages, post } from "/assets/api.js";
import { byId, clock } from "/assets/dom.js";
import { onChange, store, take, touch } from "/assets/store.js";
import { lamps, mailboxes } from "/assets/board.js";
import { web } from "/assets/web.js";
import { changes, exchange } from "/assets/tables.js";
import { cluster } from "/assets/cluster.js";
import { again, ask, close, explain, opened } from "/assets/explain.js";

/** How often is asked for what has no events. */
const POLL = 2000;

const VIEWS = ["lamps", "mailboxes", "peers", "exchange", "cluster", "changes"];
let view = null;

onTokenWanted((wrong) => new Promise((done) => {
  const dialog = byId("ask-token");
  byId("token-wrong").hidden = !wrong;
  byId("token").value = "";
  dialog.oncancel = (event) => event.preventDefault();
  dialog.onclose = () => done(byId("token").value);
  dialog.showModal();
}));

const open = (kind, name) => {
  if (kind === "device" || kind === "mailbox") explain(kind, name);
};

const drawLamps = lamps((name) => explain("device", name));
const drawMailboxes = mailboxes((name) => explain("mailbox", name));

const draw = () => {
  byId("count-lamps").textContent = store.devices.byName.size || "";
  byId("count-mailboxes").textContent = store.mailboxes.byName.size || "";
  byId("count-peers").textContent = store.peers.length || "";
  byId("node").textContent = store.status ? `${store.status.entity_id} · ${store.status.version}` : "";
  const share = store.status?.cluster;
  byId("tab-cluster").hidden = !share && view !== "cluster";
  byId("count-nodes").textContent = share ? (share.nodes_down ? `${share.nodes_up}/${share.nodes_up + share.nodes_down}` : share.nodes_up) : "";
  warn();
  if (view === "lamps") drawLamps();
  else if (view === "mailboxes") drawMailboxes();
  else if (view === "peers") web();
  else if (view === "exchange") exchange(() => post("refresh").catch(() => {}));
  else if (view === "cluster") cluster();
  else changes(open);
};

const show = (name) => {
  view = VIEWS.includes(name) ? name : "lamps";
  for (const it of VIEWS) byId(`view-${it}`).hidden = it !== view;
  for (const button of byId("tabs").children) {
    if (button.dataset.view === view) button.setAttribute("aria-current", "page");
    else button.removeAttribute("aria-current");
  }
  poll();
  touch();
};

/** Reads the lists anew: at the beginning, and when events were lost. */
const reload = async () => {
  const [devices, boxes] = [[], []];
  await pages("devices", (page) => devices.push(...page));
  await pages("mailboxes", (page) => boxes.push(...page));
  store.devices.clear();
  store.mailboxes.clear();
  devices.forEach((it) => store.devices.put(it));
  boxes.forEach((it) => store.mailboxes.put(it));
  touch();
};

let polling = false;

/** Reads what is not told by events. A node that does not answer is told by the stream. */
const poll = async () => {
  if (polling || document.hidden) return;
  polling = true;
  try {
    store.peers = (await get("peers")).peers;
    store.status = await get("status");
    if (view === "exchange") {
      store.publishers = (await get("publishers")).publishers;
      store.publications = (await get("publications")).publications;
    }
    if (view === "cluster") store.cluster = store.status.cluster && await get("cluster");
    touch();
    if (opened()) again(opened().kind, opened().name);
  } catch {
    // Tried again soon.
  } finally {
    polling = false;
  }
};

// Events that come while the lists are read are taken in behind them: each holds the whole device, so the last one is right. Where some
// are lost meanwhile, those before them are not the last, and the lists are read once more.
let waiting = [];
let reading = false;
let stale = false;
const begin = async () => {
  waiting = [];
  stale = true;
  if (reading) return;
  reading = true;
  while (stale) {
    stale = false;
    try {
      await reload();
    } catch {
      stale = true;
      await new Promise((done) => setTimeout(done, 1000));
    }
  }
  reading = false;
  const behind = waiting;
  waiting = null;
  for (const [kind, data] of behind) take(kind, data);
};

const event = (kind, data) => {
  if (kind === "reset" || kind === "lost") {
    begin();
    return;
  }
  if (waiting) {
    waiting.push([kind, data]);
    return;
  }
  take(kind, data);
  again(kind, data[kind]);
};

let since = null;

/** What concerns the whole node, above everything else. */
const warn = () => {
  const { problem, since: failed } = store.status?.store ?? {};
  const share = store.status?.cluster;
  const apart = share && (share.bus === "down" ? "NATS cannot be reached" : share.stage === "alone" && "the other nodes cannot be seen");
  const at = since?.toLocaleTimeString([], { hour12: false });
  const text = since ? `The node does not answer since ${at}. What is shown may be old; it is tried again.`
    : problem ? `States are in memory only since ${clock(failed)}: ${problem}. A restart would lose what changes now.`
    : apart && `Cluster ${share.cluster}: ${apart}. This node goes on with what it has and its own peers.`;
  byId("banner").textContent = text ?? "";
  byId("banner").hidden = !text;
};

const connection = (state) => {
  const pill = byId("connection");
  const live = state === "live";
  pill.textContent = live ? "live" : "lost";
  pill.className = `pill ${state}`;
  if (live) {
    since = null;
    poll();
  } else {
    since ??= new Date();
  }
  warn();
};

byId("tabs").addEventListener("click", ({ target }) => {
  const name = target.closest("button")?.dataset.view;
  // Not the name alone: that of an element would make the browser go there.
  if (name) location.hash = `/${name}`;
});
byId("set-device").addEventListener("click", () => ask("device"));
byId("set-mailbox").addEventListener("click", () => ask("mailbox"));
addEventListener("hashchange", () => show(location.hash.slice(2)));
addEventListener("keydown", (pressed) => {
  if (pressed.key === "Escape") close();
  if (pressed.key === "/" && !/INPUT|SELECT/.test(document.activeElement.tagName)) {
    pressed.preventDefault();
    byId("search").focus();
  }
});
document.addEventListener("visibilitychange", () => document.hidden || poll());

onChange(draw);
show(location.hash.slice(2));
setInterval(() => { poll(); touch(); }, POLL);
follow(event, (state, resumed) => {
  connection(state);
  if (state === "live" && !resumed) begin();
});
