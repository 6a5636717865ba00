// @ts-check
/** One client as a row, whose node is used again for other clients, and in words. */
import { make, mark, put } from "./dom.js";
import { bytes, count, counted, span } from "./format.js";

/** @typedef {import("./contract.js").Row} Row */

/** @type {Record<string, string>} */
export const WAYS = {
  direct: "Direct: written to the socket itself",
  inline: "Inline: the server’s send is called at once",
  task: "By a task, which waits for the server’s send",
  reader: "Read by code of the application",
  none: "Nothing takes its messages yet",
};

/** @type {Record<string, string>} */
export const STATES = {
  idle: "Idle: has taken everything",
  busy: "Busy: a write is in progress",
  behind: "Behind: new messages come while it is still busy",
  held: "Held: this worker has yet to read up to the client’s id",
  replaying: "Replaying what it missed",
  paused: "Paused: its user’s replays have used their rate",
};

/** @param {Row} row */
export const nameOf = ({ user, address, key }) => user ?? address ?? key;

/** @param {string[]} shown @param {number} more */
const patterns = (shown, more) => `${shown.join(", ")}${more > 0 ? `${shown.length ? " " : ""}+${count(more)}` : ""}`;

/** @param {Row} row */
export const topicsOf = ({ topics, more_topics: more, mutes }) => `${patterns(topics, more) || "none"}${mutes ? `, ${counted(mutes, "mute")}` : ""}`;

/** @param {Row} row */
export const rightsOf = ({ rights, more_rights: more = 0 }) => (rights ? patterns(rights, more) || "nothing" : "everything");

/** @param {Row} row */
export const waitingOf = ({ waiting: [messages, size] }) => (messages ? `${count(messages)} · ${bytes(size)}` : "–");

const CELLS = ["user", "address", "topics", "rights", "waiting", "state", "way", "since", "worker"];

export class ClientRow {
  /** @param {(row: Row) => void} open what a click on its name does */
  constructor(open) {
    this.root = make("div", "client");
    mark(this.root, "role", "row");
    /** @type {Row | null} */
    this.row = null;
    this.index = -1;
    /** @type {Record<string, HTMLElement>} */
    this.cells = {};
    for (const name of CELLS) {
      const cell = make("div", `cell ${name}`);
      mark(cell, "role", "cell");
      this.root.append(cell);
      this.cells[name] = cell;
    }
    this.button = make("button", "name");
    this.button.type = "button";
    this.cell("user").append(this.button);
    this.badge = make("span", "badge");
    this.cell("state").append(this.badge);
    this.root.addEventListener("click", () => this.row && open(this.row));
  }

  /** @param {string} name */
  cell(name) {
    return /** @type {HTMLElement} */ (this.cells[name]);
  }

  /** @param {Row | null} row null if it has not come yet @param {number} now @param {Map<string, string>} names of the workers */
  show(row, now, names) {
    this.row = row;
    this.root.classList.toggle("is-empty", !row);
    this.button.disabled = !row;
    /** @param {string} name @param {string} text */
    const say = (name, text) => put(this.cell(name), text);
    put(this.button, row ? row.user ?? "no user" : "");
    this.button.classList.toggle("is-none", Boolean(row) && row?.user === null);
    put(this.badge, row?.state ?? "");
    mark(this.badge, "data-state", row?.state ?? null);
    say("address", row ? row.address ?? "–" : "");
    say("topics", row ? topicsOf(row) + (row.query === null ? "" : ` · ${row.query}`) : "");
    say("rights", row ? rightsOf(row) : "");
    say("waiting", row ? waitingOf(row) : "");
    say("way", row?.way ?? "");
    say("since", row ? span(now - row.since) : "");
    say("worker", row ? names.get(row.worker) ?? row.worker : "");
    this.cell("waiting").classList.toggle("is-some", Boolean(row?.waiting[0]));
  }
}
