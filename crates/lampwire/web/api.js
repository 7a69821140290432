// The node's interface, with the token where it wants one, and its events as a stream that is made again when it breaks.

const KEY = "lampwire-token";

/** A node that says nothing for so long is gone: quiet ones say so every 15 seconds. */
const SILENCE = 40_000;

/** What the node refused: `status` and the problem's `detail`. */
export class Refused extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

let token = sessionStorage.getItem(KEY);
let askForToken = async () => null;

/** Who is asked for the token: a function from "the last one was wrong" to a promise of the next. */
export const onTokenWanted = (ask) => { askForToken = ask; };

let asking = null;

/** Asks once, however many requests want it. */
const newToken = (used) => {
  if (token !== used) return Promise.resolve();
  asking ??= askForToken(used != null).then((given) => {
    token = given;
    sessionStorage.setItem(KEY, given);
    asking = null;
  });
  return asking;
};

/** A header takes bytes: those of the token in UTF-8, so that whatever was typed can be sent, and refused by the node. */
const bearer = (given) => `Bearer ${String.fromCharCode(...new TextEncoder().encode(given))}`;

const send = async (path, options = {}) => {
  for (;;) {
    const used = token;
    const headers = { ...options.headers };
    if (used != null) headers.Authorization = bearer(used);
    const response = await fetch(`/api/v1/${path}`, { ...options, headers, cache: "no-store" });
    if (response.ok) return response;
    if (response.status === 401) {
      await newToken(used);
      continue;
    }
    const problem = await response.json().catch(() => ({}));
    throw new Refused(response.status, problem.detail ?? `the node answers ${response.status}`);
  }
};

const json = async (path, options) => {
  const response = await send(path, options);
  return response.status === 204 ? null : response.json();
};

export const get = (path) => json(path);
export const put = (path, body) => json(path, { method: "PUT", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
export const remove = (path) => json(path, { method: "DELETE" });
export const post = (path) => json(path, { method: "POST" });

/** All pages of a listing; `take` gets each. */
export const pages = async (kind, take) => {
  let after = null;
  do {
    const query = after == null ? "" : `&after=${encodeURIComponent(after)}`;
    const page = await get(`${kind}?limit=1000${query}`);
    take(page[kind]);
    after = page.next;
  } while (after != null);
};

const pause = (time) => new Promise((done) => setTimeout(done, time));

/** One connection: every event goes to `take`; ends where it breaks. */
const read = async (last, opened, take) => {
  const breaker = new AbortController();
  let watch = setTimeout(() => breaker.abort(), SILENCE);
  try {
    const headers = last.id == null ? {} : { "Last-Event-ID": last.id };
    const response = await send("events", { headers, signal: breaker.signal });
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    // Without a number to go on behind, nobody knows what there was meanwhile.
    opened(last.id != null);
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      clearTimeout(watch);
      watch = setTimeout(() => breaker.abort(), SILENCE);
      const blocks = (rest + value).split("\n\n");
      rest = blocks.pop();
      for (const block of blocks) {
        const event = { kind: "", data: "" };
        for (const line of block.split("\n")) {
          const [, field, text] = /^([^:]*): ?(.*)$/.exec(line) ?? [];
          if (field === "id") last.id = text;
          else if (field === "event") event.kind = text;
          else if (field === "data") event.data += text;
        }
        if (event.data) take(event.kind, JSON.parse(event.data));
      }
    }
  } finally {
    clearTimeout(watch);
    breaker.abort();
  }
};

/** Follows events for ever. `told` hears `lost`, and `live` with whether the stream goes on where it was. */
export const follow = async (take, told) => {
  const last = { id: null };
  for (let failures = 0; ; failures += 1) {
    try {
      await read(last, (resumed) => { failures = 0; told("live", resumed); }, take);
    } catch (error) {
      if (!(error instanceof TypeError || error.name === "AbortError" || error instanceof Refused)) console.error(error);
    }
    told("lost");
    await pause(Math.min(500 * 2 ** failures, 4000));
  }
};
