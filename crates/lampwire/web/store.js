// What is known of the node. Changes are told at most once a frame, however many events there are.

/** Changes that are kept for the list. */
const CHANGES_MAX = 400;

const collator = new Intl.Collator("en", { numeric: true });

/** Things by name, in order. */
class Sorted {
  constructor(key) {
    this.key = key;
    this.byName = new Map();
    this.list = null;
  }
  put(item) {
    const name = item[this.key];
    if (!this.byName.has(name)) this.list = null;
    item.changed = this.byName.get(name)?.changed;
    this.byName.set(name, item);
  }
  remove(name) {
    if (this.byName.delete(name)) this.list = null;
  }
  clear() {
    this.byName.clear();
    this.list = null;
  }
  names() {
    this.list ??= [...this.byName.keys()].sort(collator.compare);
    return this.list;
  }
  all() {
    return this.names().map((name) => this.byName.get(name));
  }
}

export const store = {
  devices: new Sorted("device"),
  mailboxes: new Sorted("mailbox"),
  peers: [],
  publishers: [],
  publications: [],
  status: null,
  cluster: null,
  changes: [],
};

const listeners = [];
let frame = null;

/** Calls back when something has changed, between two frames. */
export const onChange = (listener) => listeners.push(listener);

export const touch = () => {
  frame ??= requestAnimationFrame(() => {
    frame = null;
    for (const listener of listeners) listener();
  });
};

/** Takes an event of the stream in. */
export const take = (kind, data) => {
  const now = new Date().toISOString();
  const note = (name, from, to, by) => {
    store.changes.unshift({ at: now, kind, name, from, to, by });
    store.changes.length = Math.min(store.changes.length, CHANGES_MAX);
  };
  if (kind === "device") {
    const said = data.entities.find((entity) => entity.eid === data.eid);
    note(data.device, data.previous, said?.state ?? null, said ?? { eid: data.eid });
    if (data.entities.length === 0) store.devices.remove(data.device);
    else {
      store.devices.put(data);
      data.changed = performance.now();
    }
  } else if (kind === "mailbox") {
    const counts = (it) => it && `${it.new}/${it.old}`;
    note(data.mailbox, counts(data.previous), counts(data.said), data.said ?? { eid: data.eid });
    // What it shows may be another's than the speaker's.
    if (data.owner == null) store.mailboxes.remove(data.mailbox);
    else {
      const shown = { ...data, eid: data.owner };
      store.mailboxes.put(shown);
      shown.changed = performance.now();
    }
  } else if (kind === "peer") {
    note(data.name, null, data.status, data);
    store.peers = store.peers.map((peer) => (peer.name === data.name ? data : peer));
  } else if (kind === "publication") {
    note(data.resource, null, data.ended ? `ended: ${data.ended}` : "began", { peer: data.endpoint });
  }
  touch();
};
