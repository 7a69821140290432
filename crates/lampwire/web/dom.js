// Elements, lamps and times, in few words. Text is always text: nothing from outside becomes markup.

const SVG = "http://www.w3.org/2000/svg";

const fill = (element, properties, children) => {
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.flat(9).filter((child) => child != null && child !== false));
  return element;
};

/** An element: its name, properties (`onclick` and the like are listeners) and children. */
export const h = (name, properties, ...children) => fill(document.createElement(name), properties, children);

/** The same in SVG. */
export const s = (name, properties, ...children) => fill(document.createElementNS(SVG, name), properties, children);

/** Gives an element other children. */
export const refill = (element, ...children) => {
  element.replaceChildren();
  fill(element, null, children);
};

export const byId = (id) => document.getElementById(id);

/** The lamp of a state: a colour and a shape. */
export const lamp = (state) => s("svg", { class: `lamp ${state}`, "aria-hidden": "true" }, s("use", { href: `#lamp-${state}` }));

/** Changes a lamp in place. */
export const relight = (svg, state) => {
  if (svg.dataset.state === state) return;
  svg.dataset.state = state;
  svg.setAttribute("class", `lamp ${state}`);
  svg.firstChild.setAttribute("href", `#lamp-${state}`);
};

/** The states, those that ask for attention first. */
export const STATES = ["RINGING", "RINGINUSE", "INUSE", "BUSY", "ONHOLD", "NOT_INUSE", "UNAVAILABLE", "UNKNOWN", "INVALID"];

const WORDS = {
  RINGING: "ringing", RINGINUSE: "ringing in use", INUSE: "in use", BUSY: "busy", ONHOLD: "on hold",
  NOT_INUSE: "free", UNAVAILABLE: "unavailable", UNKNOWN: "unknown", INVALID: "invalid",
};

/** A state as people say it. */
export const words = (state) => WORDS[state] ?? state;

/** Who said something. */
export const who = (said) => said.peer ?? (said.source === "local" ? "this node" : said.source);

const secondsSince = (moment) => Math.round((Date.now() - Date.parse(moment)) / 1000);

/** The time since a moment, or until it. */
export const span = (moment) => {
  const distance = Math.abs(secondsSince(moment));
  return distance < 120 ? `${distance} s` : distance < 7200 ? `${Math.floor(distance / 60)} min`
    : distance < 172800 ? `${Math.floor(distance / 3600)} h` : `${Math.floor(distance / 86400)} days`;
};

/** A moment as people say it. */
export const ago = (moment) => {
  if (!moment) return "never";
  const seconds = secondsSince(moment);
  return seconds === 0 ? "now" : seconds > 0 ? `${span(moment)} ago` : `in ${span(moment)}`;
};

/** A sentence in which `what stands so` is code. */
export const prose = (text) => text.split("`").map((part, index) => (index % 2 ? h("code", null, part) : part));

/** The time of the day of a moment. */
export const clock = (moment) => new Date(moment).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });

/** A table. A row is its cells, or `{ properties, cells }`; the head of a column of numbers begins with #. */
export const table = (head, rows) => {
  const kind = (index) => (head[index].startsWith("#") ? "number" : null);
  return h("table", null,
    h("thead", null, h("tr", null, head.map((name, index) => h("th", { class: kind(index) }, name.replace("#", ""))))),
    h("tbody", null, rows.map((row) => {
      const { properties, cells } = Array.isArray(row) ? { cells: row } : row;
      return h("tr", properties, cells.map((cell, index) => h("td", { class: kind(index) }, cell ?? "–")));
    })));
};
