// @ts-check
/** The list of clients: as many rows as are seen, of a list that the server sorts, filters and sends a window of. */
import { ClientRow } from "./client_row.js";
import { $, make, mark, put } from "./dom.js";
import { count, counted } from "./format.js";

/** @typedef {import("./contract.js").Row} Row @typedef {import("./contract.js").Report} Report */
/** @typedef {{filter: string, sort: string, descending: boolean, from: number, count: number}} View */

const BEYOND = 5;
const MARGIN = 15;
const LEAST = 60;
const MOST = 200;
const TYPING_MILLISECONDS = 250;
const SCROLLING_MILLISECONDS = 120;

export class ClientList {
  /**
   * @param {HTMLElement} root with the filter, the head and the list
   * @param {{ask: (view: View) => Promise<void>, open: (row: Row) => void}} does
   */
  constructor(root, does) {
    this.does = does;
    this.filter = /** @type {HTMLInputElement} */ ($("input[type=search]", root));
    this.said = $(".matching", root);
    this.empty = $(".empty", root);
    this.table = $("[role=table]", root);
    this.box = $(".rows", root);
    this.sheet = make("div", "sheet");
    mark(this.sheet, "role", "presentation");
    this.box.append(this.sheet);
    this.heads = /** @type {HTMLElement[]} */ ([...root.querySelectorAll("[data-sort]")]);
    /** @type {View} */
    this.view = { filter: "", sort: "since", descending: false, from: 0, count: LEAST };
    /** @type {ClientRow[]} */
    this.pool = [];
    /** @type {Row[]} */
    this.rows = [];
    this.from = 0;
    this.matching = 0;
    this.now = 0;
    this.height = 44;
    this.active = 0;
    /** @type {View | null} what the server has yet to hear of: until then its rows are of another view */
    this.asked = null;
    /** @type {Map<string, string>} */
    this.names = new Map();
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;

    this.filter.addEventListener("input", () => this.ask({ filter: this.filter.value.trim(), from: 0 }, TYPING_MILLISECONDS));
    for (const head of this.heads) $("button", head).addEventListener("click", () => this.sort(head.dataset.sort ?? ""));
    this.box.addEventListener("scroll", () => this.draw(), { passive: true });
    this.box.addEventListener("keydown", (event) => this.walk(event));
    new ResizeObserver(() => this.measure()).observe(this.box);
    this.paintHeads();
  }

  /** @param {Report} report @param {Map<string, string>} names */
  take({ clients, at }, names) {
    this.now = at;
    this.names = names;
    this.matching = clients.matching;
    this.from = clients.from;
    this.rows = clients.rows ?? [];
    if (!this.asked) this.box.classList.remove("is-old");
    const all = counted(clients.total, "client");
    put(this.said, clients.matching === clients.total ? all : `${count(clients.matching)} of ${all} match`);
    put(this.empty, clients.total ? `No client matches “${this.view.filter}”.` : "No client is connected.");
    this.empty.hidden = clients.matching > 0;
    this.table.hidden = !clients.matching;
    mark(this.table, "aria-rowcount", `${clients.matching + 1}`);
    this.draw();
  }

  /** After it was hidden, or its size has changed. */
  measure() {
    if (!this.box.offsetParent) return;
    const height = parseFloat(getComputedStyle(this.box).getPropertyValue("--row")) || this.height;
    if (height !== this.height) {
      const first = this.box.scrollTop / this.height;
      this.height = height;
      this.sheet.style.height = `${this.matching * height}px`;
      this.box.scrollTop = first * height;
      for (const row of this.pool) this.place(row);
    }
    this.draw();
  }

  /** Draws what is seen now, and asks for what it needs. */
  draw() {
    const { height, matching } = this;
    if (!matching || !this.box.offsetParent) return;
    this.sheet.style.height = this.box.style.maxHeight = `${matching * height}px`;
    const top = Math.max(0, Math.floor(this.box.scrollTop / height));
    const seen = Math.ceil(this.box.clientHeight / height);
    const from = Math.max(0, top - BEYOND);
    const to = Math.min(matching, top + seen + BEYOND);
    this.active = Math.max(0, Math.min(this.active, matching - 1));
    while (this.pool.length < seen + 2 * BEYOND + 1) this.pool.push(new ClientRow(this.does.open));
    const size = this.pool.length;
    let isMoved = false;
    for (let i = from; i < from + size; i++) {
      const row = /** @type {ClientRow} */ (this.pool[i % size]);
      if (i >= to) {
        row.root.remove();
        row.index = -1;
        continue;
      }
      if (row.index !== i || !row.root.parentNode) {
        this.move(row, i);
        isMoved = true;
      }
      row.show(this.rows[i - this.from] ?? null, this.now, this.names);
      row.button.tabIndex = i === this.active || (i === top && (this.active < from || this.active >= to)) ? 0 : -1;
    }
    if (isMoved) this.arrange();
    const { view } = this;
    const isCovered = view.from <= top && view.from + view.count >= Math.min(matching, top + seen);
    const wanted = Math.min(MOST, Math.max(LEAST, seen + 2 * MARGIN));
    if (!isCovered || view.count < Math.min(wanted, seen)) this.ask({ from: Math.max(0, top - MARGIN), count: wanted }, SCROLLING_MILLISECONDS);
  }

  /** @param {ClientRow} row @param {number} index */
  move(row, index) {
    if (row.root.contains(document.activeElement)) this.box.focus({ preventScroll: true });  // it will be another client's
    row.index = index;
    this.place(row);
    mark(row.root, "aria-rowindex", `${index + 2}`);
    row.root.classList.toggle("is-odd", index % 2 === 1);
  }

  /** Brings the rows into their order, as they are read aloud in that of the document. One that has the focus stays where it is. */
  arrange() {
    const rows = this.pool.filter(({ index }) => index >= 0).sort((a, b) => b.index - a.index);
    /** @type {HTMLElement | null} */
    let next = null;
    for (const { root } of rows) {
      const isThere = root.parentNode === this.sheet && root.nextSibling === next;
      if (!isThere && !root.contains(document.activeElement)) this.sheet.insertBefore(root, next);
      next = root;
    }
  }

  /** @param {ClientRow} row */
  place(row) {
    row.root.style.transform = `translateY(${row.index * this.height}px)`;
  }

  /** By arrow keys from name to name. @param {KeyboardEvent} event */
  walk(event) {
    if (!(event.target instanceof HTMLButtonElement)) return;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const at = this.pool.find(({ button }) => button === event.target)?.index ?? this.active;
    this.active = Math.max(0, Math.min(this.matching - 1, at + step));
    const [top, bottom] = [this.active * this.height, (this.active + 1) * this.height];
    if (top < this.box.scrollTop) this.box.scrollTop = top;
    else if (bottom > this.box.scrollTop + this.box.clientHeight) this.box.scrollTop = bottom - this.box.clientHeight;
    this.draw();
    this.pool.find(({ index }) => index === this.active)?.button.focus({ preventScroll: true });
  }

  /** @param {string} by the same again turns the order */
  sort(by) {
    const { sort, descending } = this.view;
    this.box.scrollTop = 0;
    this.ask({ sort: by, descending: by === sort ? !descending : by === "waiting", from: 0 }, 0);
    this.paintHeads();
  }

  async tell() {
    const { view } = this;
    await this.does.ask(view);
    if (this.asked === view) this.asked = null;
  }

  paintHeads() {
    for (const head of this.heads) {
      const isIt = head.dataset.sort === this.view.sort;
      mark(head, "aria-sort", isIt ? (this.view.descending ? "descending" : "ascending") : "none");
    }
  }

  /** @param {Partial<View>} change @param {number} milliseconds */
  ask(change, milliseconds) {
    const { filter, sort, descending } = this.view;
    this.view = { ...this.view, ...change };
    const isOther = filter !== this.view.filter || sort !== this.view.sort || descending !== this.view.descending;
    this.asked = this.view;
    if (isOther) {
      this.box.classList.add("is-old");
      this.box.scrollTop = 0;
    }
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.tell(), milliseconds);
  }
}
