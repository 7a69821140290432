// Boards of lamps and of mailboxes: only the cells that are to be seen exist, so thousands scroll as well as ten.

import { byId, h, lamp, refill, relight, span, who, words, STATES } from "/assets/dom.js";
import { store, touch } from "/assets/store.js";

const GAP = 8;

/** A telephone: two columns, whatever they hold. */
const NARROW = 480;

/** A scrolling grid of cells of one size. */
class Grid {
  constructor(scroller, { height, width, make, update, empty }) {
    Object.assign(this, { scroller, height, width, make, update, empty });
    this.sizer = h("div", { class: "sizer" });
    this.nothing = h("p", { class: "nothing", hidden: true });
    scroller.append(this.sizer, this.nothing);
    this.items = [];
    this.cells = new Map();
    this.free = [];
    scroller.addEventListener("scroll", () => this.draw(), { passive: true });
    new ResizeObserver(() => this.draw()).observe(scroller);
  }
  show(items) {
    this.items = items;
    this.draw();
  }
  draw() {
    const { scroller, items, height } = this;
    const style = getComputedStyle(scroller);
    const wide = scroller.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
    if (wide <= 0) return;
    const columns = Math.max(wide > NARROW ? 1 : 2, Math.floor((wide + GAP) / (this.width + GAP)));
    const width = (wide - GAP * (columns - 1)) / columns;
    const step = height + GAP;
    this.sizer.style.height = `${Math.ceil(items.length / columns) * step + GAP}px`;
    this.nothing.hidden = items.length > 0;
    this.nothing.textContent = this.empty();
    const first = Math.max(0, Math.floor(scroller.scrollTop / step) - 2) * columns;
    const last = Math.min(items.length, (Math.ceil((scroller.scrollTop + scroller.clientHeight) / step) + 2) * columns);
    const wanted = new Set();
    for (let index = first; index < last; index += 1) wanted.add(items[index].key);
    for (const [key, cell] of this.cells) {
      if (!wanted.has(key)) {
        cell.remove();
        this.cells.delete(key);
        this.free.push(cell);
      }
    }
    for (let index = first; index < last; index += 1) {
      const { key, item } = items[index];
      let cell = this.cells.get(key);
      if (!cell) {
        cell = this.free.pop() ?? this.make();
        cell.dataset.key = key;
        cell.classList.remove("flash");
        this.cells.set(key, cell);
        this.sizer.append(cell);
      }
      cell.style.width = `${width}px`;
      cell.style.height = `${height}px`;
      cell.style.left = `${(index % columns) * (width + GAP)}px`;
      cell.style.top = `${Math.floor(index / columns) * step}px`;
      this.update(cell, item);
      if (item.changed && item.changed !== cell.changed && performance.now() - item.changed < 1200) {
        cell.classList.remove("flash");
        void cell.offsetWidth;
        cell.classList.add("flash");
      }
      cell.changed = item.changed;
    }
  }
}

const parts = (extra) => {
  const cell = h("button", { class: "cell" }, lamp("UNKNOWN"), h("span", null, h("span", { class: "name" }), h("span", { class: "more" })), extra);
  const find = (selector) => cell.querySelector(selector);
  // Not on the element itself: a button has a `name` of its own.
  cell.parts = { lamp: find("svg"), name: find(".name"), more: find(".more"), number: find(".number") };
  return cell;
};

/** Who said something, in few letters. */
const near = (said) => said.peer ?? "here";

const newest = (device) => device.entities.reduce((max, entity) => (entity.updated_at > max ? entity.updated_at : max), "");

const filters = { states: new Set(), peer: "", text: "", order: "name" };

const matching = () => {
  const text = filters.text.toLowerCase();
  const found = store.devices.all().filter((device) =>
    (!text || device.device.toLowerCase().includes(text)) && (!filters.peer || device.entities.some((entity) => who(entity) === filters.peer)));
  const counts = {};
  for (const device of found) counts[device.state] = (counts[device.state] ?? 0) + 1;
  const shown = filters.states.size ? found.filter((device) => filters.states.has(device.state)) : found;
  if (filters.order === "latest") {
    const times = new Map(shown.map((device) => [device, newest(device)]));
    shown.sort((a, b) => (times.get(a) < times.get(b) ? 1 : -1));
  } else if (filters.order === "state") {
    shown.sort((a, b) => STATES.indexOf(a.state) - STATES.indexOf(b.state));
  }
  return { shown, counts };
};

/** The board of lamps; `open` is called with the name of a lamp that is clicked. */
export const lamps = (open) => {
  const grid = new Grid(byId("lamps"), {
    height: 58, width: 200,
    make: () => {
      const cell = parts();
      cell.addEventListener("click", () => open(cell.dataset.key));
      return cell;
    },
    update: (cell, device) => {
      relight(cell.parts.lamp, device.state);
      cell.parts.name.textContent = device.device;
      cell.title = device.device;
      const lost = device.entities.some((entity) => entity.lost);
      const by = device.entities.length > 1 ? `${device.entities.length} nodes` : near(device.entities[0]);
      cell.parts.more.textContent = `${words(device.state)} · ${lost ? "lost · " : ""}${by} · ${span(newest(device))}`;
      cell.classList.toggle("lost", lost);
      cell.setAttribute("aria-label", `${device.device}: ${words(device.state)}`);
      cell.dataset.state = device.state;
    },
    empty: () => (store.devices.byName.size ? "No lamp is like that." : "No device has said anything yet."),
  });
  const chips = byId("by-state");
  const buttons = STATES.map((state) => {
    const count = h("b");
    const chip = h("button", {
      class: "chip", "aria-pressed": "false", "data-state": state,
      onclick: () => {
        if (!filters.states.delete(state)) filters.states.add(state);
        chip.setAttribute("aria-pressed", filters.states.has(state));
        touch();
      },
    }, lamp(state), words(state), count);
    chips.append(chip);
    return { state, chip, count };
  });
  const peers = byId("by-peer");
  const listen = (id, event, name) => byId(id).addEventListener(event, ({ target }) => {
    filters[name] = target.value;
    byId("lamps").scrollTop = 0;
    touch();
  });
  listen("search", "input", "text");
  listen("by-peer", "change", "peer");
  listen("order", "change", "order");
  return () => {
    const names = ["", "this node", ...store.peers.map((peer) => peer.name)];
    if (names.join("\n") !== [...peers.options].map((option) => option.value).join("\n")) {
      if (!names.includes(filters.peer)) filters.peer = "";
      refill(peers, names.map((name) => h("option", { value: name, selected: name === filters.peer }, name || "All peers")));
    }
    const { shown, counts } = matching();
    for (const { state, chip, count } of buttons) {
      count.textContent = counts[state] ?? 0;
      chip.hidden = !counts[state] && !filters.states.has(state);
    }
    grid.show(shown.map((item) => ({ key: item.device, item })));
  };
};

/** The board of mailboxes. */
export const mailboxes = (open) => {
  const grid = new Grid(byId("mailboxes"), {
    height: 58, width: 220,
    make: () => {
      const cell = parts(h("span", { class: "number" }));
      cell.addEventListener("click", () => open(cell.dataset.key));
      return cell;
    },
    update: (cell, mailbox) => {
      relight(cell.parts.lamp, mailbox.new ? "MAIL" : "NOMAIL");
      cell.parts.name.textContent = mailbox.mailbox;
      cell.title = mailbox.mailbox;
      cell.parts.more.textContent = `${mailbox.old} old · ${mailbox.lost ? "lost · " : ""}${near(mailbox)} · ${span(mailbox.updated_at)}`;
      cell.parts.number.textContent = mailbox.new || "";
      cell.setAttribute("aria-label", `${mailbox.mailbox}: ${mailbox.new} new, ${mailbox.old} old`);
    },
    empty: () => (store.mailboxes.byName.size ? "No mailbox is like that." : "No mailbox has said anything yet."),
  });
  for (const id of ["search-mailboxes", "only-new"]) byId(id).addEventListener("input", touch);
  return () => {
    const text = byId("search-mailboxes").value.toLowerCase();
    const fresh = byId("only-new").checked;
    const shown = store.mailboxes.all().filter((it) => it.mailbox.toLowerCase().includes(text) && (!fresh || it.new > 0));
    grid.show(shown.map((item) => ({ key: item.mailbox, item })));
  };
};
