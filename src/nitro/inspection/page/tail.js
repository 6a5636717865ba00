// @ts-check
/** What is emitted, as it happens: the newest 500 messages of a pattern. */
import { whyClosed } from "./contract.js";
import { $, make, put } from "./dom.js";
import { bytes, count, counted, time } from "./format.js";

/** @typedef {import("./contract.js").Told} Told */

const MOST = 500;

/** @param {Told} told */
function drawn({ at, topic, id, sender, bytes: size, payload }) {
  const item = make("li", "told");
  const head = make("p", "title");
  const about = [id, bytes(size), ...(sender === null ? [] : [`sender ${sender}`])].join(" · ");
  head.append(make("time", "", time(at)), make("b", "", topic), make("span", "about", about));
  item.append(head);
  if (payload !== undefined) item.append(make("code", "", payload));
  return item;
}

export class Tail {
  /** @param {HTMLElement} root */
  constructor(root) {
    this.form = /** @type {HTMLFormElement} */ ($("form.follow", root));
    this.pattern = /** @type {HTMLInputElement} */ ($("[name=pattern]", this.form));
    this.start = $("[type=submit]", this.form);
    this.pauseButton = $(".pause", root);
    this.clearButton = $(".clear", root);
    this.list = $("ol", root);
    this.empty = $(".empty", root);
    this.state = $(".tail-state", root);
    this.error = $(".error", root);
    /** @type {EventSource | null} */
    this.source = null;
    this.isPaused = false;
    /** @type {Told[]} oldest first */
    this.fresh = [];
    this.missed = 0;
    this.unread = 0;
    this.unseen = 0;
    this.isDue = false;

    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.source) this.stop("");
      else this.follow(this.pattern.value.trim());
    });
    this.pattern.addEventListener("input", () => this.source && this.stop(""));
    this.pauseButton.addEventListener("click", () => this.pause());
    this.clearButton.addEventListener("click", () => this.clear());
    this.say();
  }

  /** Follows another pattern, from nothing. @param {string} pattern */
  restart(pattern) {
    this.stop("");
    this.clear();
    this.pattern.value = pattern;
    this.follow(pattern);
    this.pattern.focus();
  }

  /** @param {string} pattern */
  follow(pattern) {
    if (!pattern) return put(this.error, "Enter a pattern, such as todo.* or * for everything.");
    put(this.error, "");
    const address = `tail?pattern=${encodeURIComponent(pattern)}`;
    const source = this.source = new EventSource(address);
    source.addEventListener("open", () => this.say());
    source.addEventListener("message", ({ data }) => this.hear(JSON.parse(data)));
    source.addEventListener("missed", ({ data }) => {
      const { messages, unread } = JSON.parse(data);
      this.missed += messages;
      this.unread += unread;
      this.plan();
    });
    source.addEventListener("refused", ({ data }) => this.stop(String(JSON.parse(data).detail)));
    source.addEventListener("error", () => {
      this.say();
      if (this.source === source && source.readyState === EventSource.CLOSED) void this.findOut(address);
    });
    this.say();
  }

  /** @param {string} address */
  async findOut(address) {
    this.stop("The tail has ended.");
    put(this.error, await whyClosed(address));
  }

  /** @param {string} why "" if it was asked for */
  stop(why) {
    this.source?.close();
    this.source = null;
    if (this.isPaused) this.pause();
    put(this.error, why);
    this.say();
  }

  /** @param {Told} told */
  hear(told) {
    this.fresh.push(told);
    if (this.fresh.length > MOST) {
      this.fresh.shift();
      this.unseen += 1;
    }
    this.plan();
  }

  pause() {
    this.isPaused = !this.isPaused;
    put(this.pauseButton, this.isPaused ? "Go on" : "Pause");
    this.plan();
  }

  clear() {
    this.fresh = [];
    this.missed = 0;
    this.unread = 0;
    this.unseen = 0;
    this.list.replaceChildren();
    this.say();
  }

  /** Draws with the next frame, whatever comes until then. */
  plan() {
    if (this.isDue) return;
    this.isDue = true;
    requestAnimationFrame(() => {
      this.isDue = false;
      this.draw();
    });
  }

  draw() {
    if (!this.isPaused && this.fresh.length) {
      const { scrollTop, scrollHeight } = this.list;
      this.list.prepend(...this.fresh.splice(0).reverse().map(drawn));
      while (this.list.children.length > MOST) this.list.lastElementChild?.remove();
      if (scrollTop > 0) this.list.scrollTop = scrollTop + this.list.scrollHeight - scrollHeight;  // what is read stays where it is
      this.unseen = 0;
    }
    this.say();
  }

  say() {
    const { source, list, fresh } = this;
    put(this.start, source ? "Stop" : "Follow");
    this.start.classList.toggle("plain", Boolean(source));
    this.pauseButton.toggleAttribute("disabled", !source);
    const words = [];
    if (source?.readyState === EventSource.CONNECTING) words.push("Connecting.");
    if (this.isPaused) words.push(`Paused, ${counted(fresh.length + this.unseen, "newer message")}.`);
    if (list.children.length) words.push(`The newest ${count(list.children.length)}.`);
    if (this.missed) words.push(`${counted(this.missed, "message")} left out: more came than are sent to this page.`);
    if (this.unread) words.push(`${counted(this.unread, "message")} of all topics came too fast to be looked at.`);
    put(this.state, words.join(" "));
    this.empty.hidden = list.children.length > 0;
    list.hidden = !list.children.length;
    put(this.empty, source ? "Nothing has been emitted on it since." : "Follow a pattern to see its messages as they are emitted.");
  }
}
