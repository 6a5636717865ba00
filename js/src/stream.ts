// One stream that resumes: it waits, comes back with its last id, and notices a dead line. Given up only for a reason.

import { backoff } from "./backoff.js";
import { type Close, explain, type Failure, openEventSource, openFetch, type Request } from "./transports.js";

export type State = "connecting" | "open" | "waiting" | "closed";

export interface Gap {
  reason: "expired" | "epoch" | "overflow" | "invalid";
  resumed_at: string;
}

export interface Listener {
  state(state: State, failure?: Failure): void;
  message(topic: string, text: string, id: string): void;
  gap(gap: Gap): void;
  /** There is nothing more up to here. */
  at(id: string): void;
}

const OPENS_WITHIN = 20_000;
/** Answers that may be others the next time. */
const PASSING = [408, 425, 429];

export class Stream {
  state: State = "closed";
  failure: Failure | undefined;
  last = "";
  #request: Request;
  #listener: Listener;
  #topics: string[] | null = null;
  #attempt = 0;
  #retry = 2000;
  #heartbeat = 15_000;
  #ending = -1; // what the server said at the end: how long to wait
  #asks = false; // the next attempt shall tell why it is refused
  #isGreeted = false;
  #close: Close = () => {};
  #timer: ReturnType<typeof setTimeout> | undefined;
  #watchdog: ReturnType<typeof setTimeout> | undefined;
  #heardAt = 0;

  constructor(request: Request, listener: Listener) {
    this.#request = request;
    this.#listener = listener;
  }

  /** Read on from `last`, with these topics, or those that the server chooses. */
  open(topics: string[] | null, last: string): void {
    this.#topics = topics;
    this.last = last;
    this.#attempt = 0;
    this.#connect();
  }

  /** Hear nothing more, until `open`. */
  pause(): void {
    this.#release();
    if (this.state !== "open") this.#tell("connecting");
  }

  end(failure?: Failure): void {
    this.#release();
    this.#tell("closed", failure);
  }

  /** There may be a network again, or somebody looks. */
  wake(): void {
    if (this.state === "waiting") this.#connect();
    else if (this.state === "open" && Date.now() - this.#heardAt > this.#heartbeat * 1.5) this.#dropped();
  }

  #release(): void {
    this.#close();
    clearTimeout(this.#timer);
    clearTimeout(this.#watchdog);
  }

  #connect(): void {
    this.#release();
    const url = new URL(this.#request.url);
    url.searchParams.append("envelope", "1");
    for (const topic of this.#topics ?? []) url.searchParams.append("topic", topic);
    if (this.last) url.searchParams.append("last_event_id", this.last);
    if (this.state === "waiting") this.#tell("connecting");
    this.#isGreeted = false;
    this.#ending = -1;
    this.#heardAt = Date.now();
    let isMine = true;
    const open = this.#request.headers || this.#asks || typeof EventSource === "undefined" ? openFetch : openEventSource;
    const close = open(
      { ...this.#request, url: url.href },
      {
        event: (type, data, id) => isMine && this.#hear(type, data, id),
        end: (failure, seconds) => isMine && this.#dropped(failure, seconds),
      },
    );
    this.#close = () => {
      isMine = false;
      close();
    };
    this.#watch(OPENS_WITHIN);
  }

  #hear(type: string, data: string, id: string): void {
    this.#heardAt = Date.now();
    const [topic, text] = cut(data);
    if (type === "gap") {
      const gap = JSON.parse(data) as Gap;
      this.last = gap.resumed_at;
      return this.#listener.gap(gap);
    }
    if (topic === "nitro.stream") return this.#control(JSON.parse(text), id);
    if (!this.#isGreeted) return this.end({ status: 200, message: explain(200) });
    this.last = id || this.last;
    return this.#listener.message(topic, text, topic && id); // an EventSource repeats the last id where there is none
  }

  #control(news: { retry?: number; heartbeat?: number; stop?: boolean }, id: string): void {
    if (news.stop) return this.end({ status: 204, message: explain(204) });
    if (news.heartbeat) {
      this.#heartbeat = news.heartbeat * 1000;
      this.#retry = news.retry || this.#retry;
      this.#isGreeted = true;
      this.#asks = false;
      this.#attempt = 0;
      this.#watch(this.#heartbeat * 2.5);
      if (this.state !== "open") this.#tell("open");
    } else if (news.retry) this.#ending = news.retry;
    if (id) this.#listener.at((this.last = id));
  }

  /** Wait, and try again, unless there is no hope. */
  #dropped(failure?: Failure, seconds = 0): void {
    this.#release();
    const status = failure?.status;
    if (status && status < 500 && !PASSING.includes(status)) return this.end(failure);
    this.#asks = !!failure;
    const wait =
      this.#ending >= 0 ? this.#ending : backoff(this.#attempt, this.#retry) + (seconds && seconds * 1000 + this.#retry * Math.random());
    this.#attempt++;
    this.#tell("waiting", failure);
    this.#timer = setTimeout(() => this.#connect(), wait);
  }

  /** Let go of a line on which nothing comes for so long. A timer that is late has slept: once, what came meanwhile goes first. */
  #watch(limit: number, isForgiven?: boolean): void {
    const due = Math.max(this.#heardAt + limit, Date.now() + 1000);
    clearTimeout(this.#watchdog);
    this.#watchdog = setTimeout(() => {
      const now = Date.now();
      const isSilent = now - this.#heardAt >= limit;
      if (isSilent && (isForgiven || now - due < 2000)) this.#dropped();
      else this.#watch(limit, isSilent);
    }, due - Date.now());
  }

  #tell(state: State, failure?: Failure): void {
    this.state = state;
    this.failure = failure;
    this.#listener.state(state, failure);
  }
}

function cut(data: string): [topic: string, text: string] {
  const end = data.indexOf("\n");
  return [data.slice(0, Math.max(end, 0)), data.slice(end + 1)];
}
