// src/parser.ts
function parser(hear) {
  let rest = "";
  let [type, last] = ["", ""];
  let data = [];
  const take = (line) => {
    const [, field, value] = /([^:]*):? ?([^]*)/.exec(line);
    if (!line) {
      if (data.length) hear(type || "message", data.join("\n"), last);
      [type, data] = ["", []];
    } else if (field === "data") data.push(value);
    else if (field === "event") type = value;
    else if (field === "id" && !value.includes("\0")) last = value;
  };
  return (piece) => {
    const lines = (rest + piece).split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop();
    lines.forEach(take);
  };
}

// src/transports.ts
function read({ url, credentials, headers }, sink) {
  const aborter = new AbortController();
  const run = async () => {
    const { status, body, headers: answered } = await fetch(url, {
      headers: { Accept: "text/event-stream", ...headers },
      cache: "no-store",
      credentials,
      signal: aborter.signal
    });
    if (status !== 200 || !body || !answered.get("content-type")?.startsWith("text/event-stream")) {
      aborter.abort();
      return sink.end(failed(status), Math.min(+answered.get("retry-after") || 0, 3600));
    }
    const feed = parser(sink.event);
    await body.pipeThrough(new TextDecoderStream()).pipeTo(new WritableStream({ write: feed }));
  };
  const over = (error) => aborter.signal.aborted || sink.end(error && { message: error.message });
  run().then(over, over);
  return () => aborter.abort();
}
var REASONS = {
  200: "No stream of Nitro's: use EventSourceResponse.",
  204: "The server stopped it.",
  401: "Log in and connect again.",
  403: "You may not hear this.",
  414: "Too many topics: use requested_topics.",
  419: "Another user has logged in: reload."
};
var failed = (status) => ({ status, message: REASONS[status] ?? `The server answered ${status}.` });

// src/browser.ts
function after(milliseconds, act) {
  const timer = setTimeout(act, milliseconds);
  return () => clearTimeout(timer);
}
function portOf(opened, hear) {
  let isOpen = true;
  opened.onmessage = ({ data }) => hear(data);
  return {
    post: (data) => isOpen && opened.postMessage(data),
    close() {
      isOpen = false;
      opened.onmessage = null;
      opened.close();
    }
  };
}
function locksOf(manager) {
  const ask = (name, options, got, over = () => {
  }, isRefused = () => got(over)) => {
    const aborter = new AbortController();
    let free;
    const hold = () => new Promise((resolve) => {
      free = resolve;
      got(resolve);
    });
    manager.request(name, options.steal ? options : { ...options, signal: aborter.signal }, hold).then(over, ({ name: name2 }) => free ? over() : name2 === "AbortError" || isRefused());
    return () => {
      aborter.abort();
      free?.();
    };
  };
  return {
    hold: (name, held) => ask(name, {}, held),
    watch: (name, gone) => ask(name, { mode: "shared" }, (free) => (free(), gone()), void 0, () => {
    }),
    lead: (name, steal, led, over) => ask(name, { steal }, led, over)
  };
}
var browser = () => ({
  now: () => performance.now(),
  after,
  soon: (act) => queueMicrotask(act),
  random: Math.random,
  name: () => `${Math.random()}`,
  read,
  locks: navigator.locks && locksOf(navigator.locks),
  channel: globalThis.BroadcastChannel && ((name, hear) => portOf(new BroadcastChannel(name), hear))
});
function worker(script, name, hear, broken) {
  const started = new SharedWorker(script, { type: "module", name, extendedLifetime: true });
  const port = portOf(started.port, hear);
  started.onerror = broken;
  return {
    post: port.post,
    close() {
      started.onerror = null;
      port.close();
    }
  };
}
function storage(use) {
  try {
    return use(sessionStorage);
  } catch {
    return null;
  }
}
var page = () => ({
  ...browser(),
  worker: globalThis.SharedWorker && worker,
  keep: (key, thing) => storage((kept) => thing ? kept.setItem(key, JSON.stringify(thing)) : kept.removeItem(key)),
  kept: (key) => storage((kept) => JSON.parse(kept.getItem(key))),
  before: {},
  date: Date.now,
  on(what, act) {
    const end = new AbortController();
    const shown = ({ persisted }) => persisted && act();
    const looked = () => document.visibilityState === "visible" && navigator.onLine && act();
    if (what === "hide") addEventListener("pagehide", act, end);
    else if (what === "show") addEventListener("pageshow", shown, end);
    else if (what === "freeze") document.addEventListener("freeze", act, end);
    else if (what === "look") {
      addEventListener("online", looked, end);
      for (const name of ["visibilitychange", "resume"]) document.addEventListener(name, looked, end);
    } else if (document.prerendering) document.addEventListener("prerenderingchange", act, end);
    else act();
    return () => end.abort();
  },
  report: (error) => reportError(error)
});
var own;
var here = (url) => [own ??= page(), new URL(url, document.baseURI).href];

// src/handlers.ts
function tried({ report }, act) {
  try {
    act();
  } catch (error) {
    report(error);
  }
}
function turn(env, it, state, failure) {
  if (it.state === "closed" || it.state === state && !failure && !it.error) return;
  it.state = state;
  it.error = failure ?? null;
  tried(env, () => it.onstate?.(state, it.error));
}
var HEADERS_WITHIN = 5e3;
async function headersOf(env, { headers }) {
  try {
    return Object.fromEntries(new Headers(await headers?.()));
  } catch (error) {
    env.report(error);
    return null;
  }
}

// src/backoff.ts
var LONGEST = 3e4;
var backoff = (attempt, retry, random) => random() * Math.min(LONGEST, retry * 2 ** attempt);

// src/stream.ts
var OPENS_WITHIN = 2e4;
var PASSING = [408, 425, 429];
var PASSING_LATER = [200, 404, 421];
var MOST_IN_URL = 4e3;
var PARCEL = /[^,].{0,3998}(?=,|$)/g;
var NOBODY = "-";
var Stream = class {
  state = "closed";
  failure;
  last = "";
  /** Whether it has been open, so that the server is one of ours. */
  wasOpen = false;
  #env;
  #source;
  #listener;
  #attempt = 0;
  #retry = 2e3;
  #heartbeat = 15e3;
  #ending = -1;
  // what the server said at the end: how long to wait
  #isGreeted = false;
  #inHeaders = false;
  #close;
  #timer;
  #watchdog;
  #heardAt = 0;
  constructor(env, source, listener) {
    this.#env = env;
    this.#source = source;
    this.#listener = listener;
  }
  /** Read on, with what is wanted now. */
  open() {
    this.#attempt = 0;
    if (this.state !== "open") this.#tell("connecting");
    this.#connect();
  }
  end(failure) {
    this.#release();
    this.#tell("closed", failure);
  }
  /** There may be a network again, or somebody looks. */
  wake() {
    if (this.state === "waiting") this.#connect();
    else if (this.state === "open" && this.#env.now() - this.#heardAt > this.#heartbeat * 1.5) this.#dropped();
  }
  #release() {
    this.#close?.();
    this.#timer?.();
    this.#watchdog?.();
  }
  #connect() {
    this.#release();
    const { topics, last } = this.#listener.wanted();
    const { credentials } = this.#source;
    const url = new URL(this.#source.url);
    const add = (name, value) => url.searchParams.append(name, value);
    add("envelope", "1");
    const headers = parcels(topics ?? []);
    this.#inHeaders = !!headers;
    if (!headers) for (const topic of topics ?? []) add("topic", topic);
    if (last) add("last_event_id", last);
    this.last = last;
    if (this.state === "waiting") this.#tell("connecting");
    this.#isGreeted = false;
    this.#ending = -1;
    let isMine = true;
    let close;
    this.#close = () => {
      isMine = false;
      close?.();
    };
    this.#listener.headers((more) => {
      if (!isMine) return;
      if (!more) return this.#dropped();
      this.#heardAt = this.#env.now();
      this.#watch(OPENS_WITHIN);
      close = this.#env.read(
        { url: url.href, credentials, headers: { ...more, ...headers } },
        {
          event: (type, data, id) => isMine && this.#hear(type, data, id),
          end: (failure, seconds) => isMine && this.#dropped(failure, seconds)
        }
      );
    });
  }
  #hear(type, data, id) {
    this.#heardAt = this.#env.now();
    const [, topic = "", text] = /(?:(.*)\n)?([^]*)/.exec(data);
    if (type === "gap") {
      const gap = JSON.parse(data);
      this.#listener.gap(gap);
      this.last = gap.resumed_at;
      return;
    }
    if (topic === "nitro.stream") return this.#control(JSON.parse(text), id);
    if (!this.#isGreeted) return this.#dropped(failed(200));
    this.last = id || this.last;
    return this.#listener.message(topic, text, topic && id, type);
  }
  #control(news, id) {
    if (news.stop) return this.#dropped(failed(204));
    if (news.heartbeat) {
      if (this.#inHeaders && !news.topics) return this.#dropped(failed(414));
      this.#heartbeat = news.heartbeat * 1e3;
      this.#retry = news.retry || this.#retry;
      this.#isGreeted = this.wasOpen = true;
      this.#attempt = 0;
      this.#watch(this.#heartbeat * 2.5);
      const close = this.#close;
      this.#listener.greeted(news.for ?? NOBODY);
      if (close !== this.#close || this.state === "closed") return;
    } else if (news.retry) this.#ending = news.retry;
    if (id) this.#listener.at(this.last = id);
    if (news.heartbeat) this.#tell("open");
  }
  /** Wait, and try again, unless there is no hope. */
  #dropped(failure, seconds = 0) {
    this.#release();
    const status = failure?.status;
    const isPassing = !status || status >= 500 || PASSING.includes(status) || this.wasOpen && PASSING_LATER.includes(status);
    if (failure && !isPassing) {
      if (this.state !== "connecting") this.#tell("connecting");
      return this.#listener.refused(failure);
    }
    const { random } = this.#env;
    const atLeast = seconds && seconds * 1e3 + this.#retry * random();
    const wait = this.#ending >= 0 ? this.#ending : backoff(this.#attempt, this.#retry, random) + atLeast;
    this.#attempt++;
    this.#timer = this.#env.after(wait, () => this.#connect());
    this.#tell("waiting", failure);
  }
  /** Let go of a line on which nothing comes for so long. A timer that is late has slept: once, what came meanwhile goes first. */
  #watch(limit, isForgiven) {
    const due = Math.max(this.#heardAt + limit, this.#env.now() + 1e3);
    this.#watchdog?.();
    this.#watchdog = this.#env.after(due - this.#env.now(), () => {
      const now = this.#env.now();
      const isSilent = now - this.#heardAt >= limit;
      if (isSilent && (isForgiven || now - due < 2e3)) this.#dropped();
      else this.#watch(limit, isSilent);
    });
  }
  #tell(state, failure) {
    this.state = state;
    this.failure = failure;
    this.#listener.state(state, failure);
  }
};
function parcels(topics) {
  if (topics.join("&topic=").length <= MOST_IN_URL) return void 0;
  return Object.fromEntries(topics.join().match(PARCEL).map((parcel, place) => [`Nitro-Topics-${place + 1}`, parcel]));
}

// src/runs.ts
var PLACE = /^[\da-f]{14}(\.[\da-f]{6})?$/;
function followIn(env, url, options) {
  const { credentials = "same-origin", lastEventId: begins = "", onstate = null, parse = JSON.parse } = options;
  const lastEventId = PLACE.test(begins) ? begins : "";
  const run = { state: "connecting", error: null, onstate, lastEventId, close: () => end() };
  const end = (failure) => {
    for (const undo of undos.splice(0)) undo();
    stream.end(failure);
  };
  const stream = new Stream(env, { url, credentials }, {
    wanted: () => ({ topics: null, last: run.lastEventId }),
    headers(give) {
      const undo = env.after(HEADERS_WITHIN, () => give(null));
      void headersOf(env, options).then(give).finally(undo);
    },
    state(state, failure) {
      if (run.state === "closed") return;
      if (state === "waiting" && failure?.status === 404) return end(failure);
      turn(env, run, state, failure);
      if (state === "closed" && failure) tried(env, () => options.onerror?.(failure));
    },
    refused: end,
    message(topic, text, _, type) {
      if (type === "end") {
        end();
        tried(env, () => options.onend?.(JSON.parse(text)));
      } else if (stream.last > run.lastEventId) {
        run.lastEventId = stream.last;
        tried(env, () => options.onitem?.(parse(text), stream.last));
      }
    },
    greeted: () => {
    },
    gap: () => {
    },
    at: () => {
    }
  });
  const undos = [env.on("look", () => stream.wake()), env.on("start", () => stream.open())];
  return run;
}

// src/follow.ts
var follow = (url, options) => followIn(...here(url), options);
export {
  follow
};
