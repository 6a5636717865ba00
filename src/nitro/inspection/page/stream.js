// @ts-check
/** The page's own stream: it is opened again until the server says that the session has ended. */
import { SESSION_ENDED, whyClosed } from "./contract.js";

/** @typedef {import("./contract.js").Hello} Hello @typedef {import("./contract.js").Report} Report */
/** @typedef {"connecting" | "live" | "waiting" | "ended"} State */

const LEAST_SECONDS = 1;
const MOST_SECONDS = 15;
/** So long without a report, what is shown is old. */
export const OLD_SECONDS = 8;

export class Stream {
  /** @param {{hello: (hello: Hello) => void, report: (report: Report) => void, state: (state: State, words: string) => void}} to */
  constructor(to) {
    this.to = to;
    /** @type {State} */
    this.state = "connecting";
    this.words = "";
    this.failures = 0;
    this.heardAt = performance.now();
    /** @type {EventSource | null} */
    this.source = null;
    addEventListener(SESSION_ENDED, () => this.end("Your session has ended. Reload the page to sign in again."));
    setInterval(() => this.look(), 1000);
    this.open();
  }

  open() {
    const source = this.source = new EventSource("events");
    source.addEventListener("hello", ({ data }) => this.to.hello(JSON.parse(data)));
    source.addEventListener("report", ({ data }) => {
      this.heardAt = performance.now();
      this.failures = 0;
      this.say("live", "");
      this.to.report(JSON.parse(data));
    });
    source.addEventListener("error", () => {
      if (this.state === "ended") return;
      this.say(this.state === "connecting" ? "connecting" : "waiting", "The connection to the server is lost. It is tried again.");
      if (source.readyState === EventSource.CLOSED) void this.findOut();
    });
  }

  async findOut() {
    this.source?.close();
    const why = await whyClosed("events");
    if (!why || this.state === "ended") return;
    this.say(this.state === "connecting" ? "connecting" : "waiting", `${why} It is tried again.`);
    const most = Math.min(MOST_SECONDS, LEAST_SECONDS * 2 ** this.failures++);
    setTimeout(() => this.state !== "ended" && this.open(), 1000 * most * (0.5 + Math.random() / 2));
  }

  /** A stream that is open but silent is as good as lost. */
  look() {
    if (this.state !== "live" || performance.now() - this.heardAt < 1000 * OLD_SECONDS) return;
    this.say("waiting", "No report has come for a while. What is shown is old.");
  }

  /** @param {string} words */
  end(words) {
    this.source?.close();
    this.say("ended", words);
  }

  /** @param {State} state @param {string} words */
  say(state, words) {
    if (state === this.state && words === this.words) return;
    this.state = state;
    this.words = words;
    this.to.state(state, words);
  }
}
