// The drawer: why a lamp is lit, and this node's own word on it.

import { get, put, remove } from "/assets/api.js";
import { ago, byId, clock, h, lamp, prose, refill, who, words, STATES } from "/assets/dom.js";

const drawer = () => byId("drawer");
let open = null;

const path = (kind, name) => `${kind === "device" ? "devices" : "mailboxes"}/${encodeURIComponent(name)}`;

const tag = (text, on) => h("span", { class: on ? "tag on" : "tag" }, text);

const command = (text) => {
  const copy = h("button", {
    onclick: async () => {
      await navigator.clipboard?.writeText(text);
      copy.textContent = "copied";
    },
  }, "copy");
  return h("div", { class: "command" }, h("code", null, text), copy);
};

const entity = (kind) => (it) => h("div", { class: it.decides ? "entity decides" : "entity", "data-eid": it.eid },
  h("div", { class: "line" },
    kind === "device" ? [lamp(it.state), words(it.state)] : [lamp(it.new ? "MAIL" : "NOMAIL"), `${it.new} new, ${it.old} old`],
    h("span", { class: "dim" }, who(it)),
    it.lost && tag("lost"), it.cachable === false && tag("not cachable"), it.decides ? tag("decides", true) : it.counts === false && tag("does not count")),
  h("div", { class: "dim" }, `${ago(it.updated_at)}, at ${clock(it.updated_at)} · ${it.eid} · ${it.source}`),
  h("div", { class: "dim" }, `To clear it on ${it.clear.on}:`), it.clear.command && command(it.clear.command),
  it.clear.note && h("div", { class: "dim" }, prose(it.clear.note)));

const TOLD = { confirmed: "good", waiting: "warn", refused: "bad" };

const told = (names) => (it) => {
  const ours = it.values.filter((value) => value.delivery !== "not-told");
  const about = it.why != null ? h("span", { class: "warn" }, it.why)
    : ours.length === 0 ? h("span", { class: "dim" }, "nothing that is ours to tell")
    : h("span", null, ours.map((value, index) => [index > 0 && ", ", `${names[value.eid] ?? value.eid} `, h("span", { class: TOLD[value.delivery] }, value.delivery, value.confirmed_at && ` ${ago(value.confirmed_at)}`)]));
  const answer = it.last_answer?.status >= 300 && h("span", { class: "dim" }, `last answer ${it.last_answer.status} ${it.last_answer.reason}, ${ago(it.last_answer.at)}`);
  return h("li", null, h("b", null, it.peer ?? it.publisher), about, answer);
};

const change = (it) => h("li", null, h("span", { class: "dim" }, clock(it.at)),
  h("span", null, `${it.previous ?? "–"} → ${it.said ?? "taken back"}`), h("span", { class: "dim" }, who(it)));

const refused = (error) => h("p", { class: "wrong", role: "alert" }, error.message);

/** The form by which this node's own word is set and taken back; without a name it asks for one. */
const own = (kind, name, has, again) => {
  const told = h("div");
  const text = name == null && h("input", { type: "text", placeholder: kind === "device" ? "Custom:door" : "100@default", "aria-label": "Name", required: true });
  const state = h("select", { "aria-label": "State" }, ["NOT_INUSE", "INUSE", "RINGING", ...STATES.filter((it) => !["NOT_INUSE", "INUSE", "RINGING"].includes(it))]
    .map((it) => h("option", { value: it }, words(it))));
  const count = (label) => h("input", { type: "number", min: 0, max: 65535, value: 0, "aria-label": label, title: label });
  const [fresh, old] = [count("new messages"), count("old messages")];
  const act = (work) => async (event) => {
    event.preventDefault();
    const asked = name ?? text.value;
    try {
      await work(path(kind, asked));
      again(asked);
    } catch (error) {
      refill(told, refused(error));
    }
  };
  return h("form", { class: "form", onsubmit: act((at) => put(at, kind === "device" ? { state: state.value } : { new: +fresh.value, old: +old.value })) },
    text, kind === "device" ? state : [fresh, old], h("button", { class: "main" }, "Set"),
    has && h("button", { type: "button", class: "plain", onclick: act(remove) }, "Take back"), told);
};

const top = (title, line, picture) => h("div", { class: "top" }, picture, h("div", null, h("b", null, title), h("div", { class: "dim" }, line)),
  h("button", { class: "close", "aria-label": "Close", onclick: close }, "✕"));

/** Closes the drawer. */
export function close() {
  open = null;
  drawer().hidden = true;
}

const draw = (kind, it) => {
  const name = it.device ?? it.mailbox;
  const has = it.entities.some((entity) => entity.source === "local");
  const kept = it.publications.filter((taken) => !taken.wanted);
  const line = kind === "device" ? words(it.state) : it.new == null ? "nothing known" : `${it.new} new, ${it.old} old`;
  const held = document.activeElement?.closest("#drawer form");
  const form = held && open?.form ? open.form : own(kind, name, has, (again) => explain(kind, again));
  open.form = form;
  refill(drawer(),
    top(name, line, lamp(kind === "device" ? it.state : it.new ? "MAIL" : "NOMAIL")),
    h("p", { class: "why" }, it.sum),
    h("h3", null, "What each node says"), it.entities.length ? it.entities.map(entity(kind)) : h("p", { class: "dim" }, "Nobody says anything of it."),
    it.dropped && h("p", { class: "notes" }, `${it.dropped.count} states were dropped, the last ${ago(it.dropped.at)}: ${it.dropped.said} of ${it.dropped.eid}, `
      + (it.dropped.cause === "own-entity-id" ? "under this node's own entity id" : `which ${it.dropped.publication} does not take`)),
    h("h3", null, "Who has been told"), h("ul", { class: "list" }, it.publishers.length ? it.publishers.map(told(Object.fromEntries(it.entities.map((entity) => [entity.eid, who(entity)])))) : h("li", { class: "dim" }, "no publish tells of such states")),
    kept.length > 0 && [h("h3", null, "Who would keep it out"), h("ul", { class: "list" }, kept.map((taken) => h("li", null, h("b", null, taken.publication), h("span", { class: "warn" }, taken.why))))],
    h("h3", null, "Lately"), h("ul", { class: "list" }, it.history.length ? it.history.map(change) : h("li", { class: "dim" }, "nothing that is remembered")),
    h("h3", null, "This node's own word"), form);
};

/** Opens the drawer for a device or mailbox. */
export const explain = async (kind, name) => {
  const asked = { kind, name };
  open = asked;
  drawer().hidden = false;
  try {
    const found = await get(`explain/${path(kind, name)}`);
    if (open === asked) draw(kind, found);
  } catch (error) {
    if (open !== asked) return;
    refill(drawer(), top(name, "", null), refused(error), h("h3", null, "This node's own word"), own(kind, name, false, (again) => explain(kind, again)));
  }
};

/** Opens the drawer to set something of a name that is asked for. */
export const ask = (kind) => {
  open = null;
  drawer().hidden = false;
  refill(drawer(), top(kind === "device" ? "Set a device's state" : "Set a mailbox's counts", "under this node's own entity id", null),
    own(kind, null, false, (name) => explain(kind, name)));
  drawer().querySelector("input").focus();
};

let asking = false;
let stale = false;

/** Draws it anew where it is about this name. However fast that changes, one answer is waited for at a time. */
export const again = async (kind, name) => {
  if (open?.kind !== kind || open.name !== name) return;
  stale = true;
  if (asking) return;
  asking = true;
  while (stale && open) {
    stale = false;
    const asked = open;
    const found = await get(`explain/${path(asked.kind, asked.name)}`).catch(() => null);
    if (found && open === asked) draw(asked.kind, found);
  }
  asking = false;
};

/** What is open, if anything is. */
export const opened = () => open;
