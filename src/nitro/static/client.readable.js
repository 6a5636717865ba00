// node_modules/eventsource-parser/dist/index.js
var ParseError = class extends Error {
  constructor(message, options) {
    super(message), this.name = "ParseError", this.type = options.type, this.field = options.field, this.value = options.value, this.line = options.line;
  }
};
var LF = 10;
var CR = 13;
var SPACE = 32;
function noop(_arg) {
}
function createParser(config) {
  if (typeof config == "function")
    throw new TypeError(
      "`config` must be an object, got a function instead. Did you mean `createParser({onEvent: fn})`?"
    );
  const { onEvent = noop, onError = noop, onRetry = noop, onComment, maxBufferSize } = config, pendingFragments = [];
  let pendingFragmentsLength = 0, isFirstChunk = true, id, data = "", dataLines = 0, eventType, terminated = false;
  function feed(chunk) {
    if (terminated)
      throw new Error(
        "Cannot feed parser: it was terminated after exceeding the configured max buffer size. Call `reset()` to resume parsing."
      );
    if (isFirstChunk && (isFirstChunk = false, chunk.charCodeAt(0) === 239 && chunk.charCodeAt(1) === 187 && chunk.charCodeAt(2) === 191 && (chunk = chunk.slice(3))), pendingFragments.length === 0) {
      const trailing2 = processLines(chunk);
      trailing2 !== "" && (pendingFragments.push(trailing2), pendingFragmentsLength = trailing2.length), checkBufferSize();
      return;
    }
    if (chunk.indexOf(`
`) === -1 && chunk.indexOf("\r") === -1) {
      pendingFragments.push(chunk), pendingFragmentsLength += chunk.length, checkBufferSize();
      return;
    }
    pendingFragments.push(chunk);
    const input = pendingFragments.join("");
    pendingFragments.length = 0, pendingFragmentsLength = 0;
    const trailing = processLines(input);
    trailing !== "" && (pendingFragments.push(trailing), pendingFragmentsLength = trailing.length), checkBufferSize();
  }
  function checkBufferSize() {
    maxBufferSize !== void 0 && (pendingFragmentsLength + data.length <= maxBufferSize || (terminated = true, pendingFragments.length = 0, pendingFragmentsLength = 0, id = void 0, data = "", dataLines = 0, eventType = void 0, onError(
      new ParseError(`Buffered data exceeded max buffer size of ${maxBufferSize} characters`, {
        type: "max-buffer-size-exceeded"
      })
    )));
  }
  function processLines(chunk) {
    let searchIndex = 0;
    if (chunk.indexOf("\r") === -1) {
      let lfIndex = chunk.indexOf(`
`, searchIndex);
      for (; lfIndex !== -1; ) {
        if (searchIndex === lfIndex) {
          dataLines > 0 && onEvent({ id, event: eventType, data }), id = void 0, data = "", dataLines = 0, eventType = void 0, searchIndex = lfIndex + 1, lfIndex = chunk.indexOf(`
`, searchIndex);
          continue;
        }
        const firstCharCode = chunk.charCodeAt(searchIndex);
        if (isDataPrefix(chunk, searchIndex, firstCharCode)) {
          const valueStart = chunk.charCodeAt(searchIndex + 5) === SPACE ? searchIndex + 6 : searchIndex + 5, value = chunk.slice(valueStart, lfIndex);
          if (dataLines === 0 && chunk.charCodeAt(lfIndex + 1) === LF) {
            onEvent({ id, event: eventType, data: value }), id = void 0, data = "", eventType = void 0, searchIndex = lfIndex + 2, lfIndex = chunk.indexOf(`
`, searchIndex);
            continue;
          }
          data = dataLines === 0 ? value : `${data}
${value}`, dataLines++;
        } else isEventPrefix(chunk, searchIndex, firstCharCode) ? eventType = chunk.slice(
          chunk.charCodeAt(searchIndex + 6) === SPACE ? searchIndex + 7 : searchIndex + 6,
          lfIndex
        ) || void 0 : parseLine(chunk, searchIndex, lfIndex);
        searchIndex = lfIndex + 1, lfIndex = chunk.indexOf(`
`, searchIndex);
      }
      return chunk.slice(searchIndex);
    }
    for (; searchIndex < chunk.length; ) {
      const crIndex = chunk.indexOf("\r", searchIndex), lfIndex = chunk.indexOf(`
`, searchIndex);
      let lineEnd = -1;
      if (crIndex !== -1 && lfIndex !== -1 ? lineEnd = crIndex < lfIndex ? crIndex : lfIndex : crIndex !== -1 ? crIndex === chunk.length - 1 ? lineEnd = -1 : lineEnd = crIndex : lfIndex !== -1 && (lineEnd = lfIndex), lineEnd === -1)
        break;
      parseLine(chunk, searchIndex, lineEnd), searchIndex = lineEnd + 1, chunk.charCodeAt(searchIndex - 1) === CR && chunk.charCodeAt(searchIndex) === LF && searchIndex++;
    }
    return chunk.slice(searchIndex);
  }
  function parseLine(chunk, start, end) {
    if (start === end) {
      dispatchEvent();
      return;
    }
    const firstCharCode = chunk.charCodeAt(start);
    if (isDataPrefix(chunk, start, firstCharCode)) {
      const valueStart = chunk.charCodeAt(start + 5) === SPACE ? start + 6 : start + 5, value2 = chunk.slice(valueStart, end);
      data = dataLines === 0 ? value2 : `${data}
${value2}`, dataLines++;
      return;
    }
    if (isEventPrefix(chunk, start, firstCharCode)) {
      eventType = chunk.slice(chunk.charCodeAt(start + 6) === SPACE ? start + 7 : start + 6, end) || void 0;
      return;
    }
    if (firstCharCode === 105 && chunk.charCodeAt(start + 1) === 100 && chunk.charCodeAt(start + 2) === 58) {
      const value2 = chunk.slice(chunk.charCodeAt(start + 3) === SPACE ? start + 4 : start + 3, end);
      value2.includes("\0") || (id = value2);
      return;
    }
    if (firstCharCode === 58) {
      if (onComment) {
        const line2 = chunk.slice(start, end);
        onComment(line2.slice(chunk.charCodeAt(start + 1) === SPACE ? 2 : 1));
      }
      return;
    }
    const line = chunk.slice(start, end), fieldSeparatorIndex = line.indexOf(":");
    if (fieldSeparatorIndex === -1) {
      processField(line, "", line);
      return;
    }
    const field = line.slice(0, fieldSeparatorIndex), offset = line.charCodeAt(fieldSeparatorIndex + 1) === SPACE ? 2 : 1, value = line.slice(fieldSeparatorIndex + offset);
    processField(field, value, line);
  }
  function processField(field, value, line) {
    switch (field) {
      case "event":
        eventType = value || void 0;
        break;
      case "data":
        data = dataLines === 0 ? value : `${data}
${value}`, dataLines++;
        break;
      case "id":
        value.includes("\0") || (id = value);
        break;
      case "retry":
        /^\d+$/.test(value) ? onRetry(parseInt(value, 10)) : onError(
          new ParseError(`Invalid \`retry\` value: "${value}"`, {
            type: "invalid-retry",
            value,
            line
          })
        );
        break;
      default:
        onError(
          new ParseError(
            `Unknown field "${field.length > 20 ? `${field.slice(0, 20)}\u2026` : field}"`,
            { type: "unknown-field", field, value, line }
          )
        );
        break;
    }
  }
  function dispatchEvent() {
    dataLines > 0 && onEvent({
      id,
      event: eventType,
      data
    }), id = void 0, data = "", dataLines = 0, eventType = void 0;
  }
  function reset(options = {}) {
    if (options.consume && pendingFragments.length > 0) {
      const incompleteLine = pendingFragments.join("");
      parseLine(incompleteLine, 0, incompleteLine.length);
    }
    isFirstChunk = true, id = void 0, data = "", dataLines = 0, eventType = void 0, pendingFragments.length = 0, pendingFragmentsLength = 0, terminated = false;
  }
  return { feed, reset };
}
function isDataPrefix(chunk, i, firstCharCode) {
  return firstCharCode === 100 && chunk.charCodeAt(i + 1) === 97 && chunk.charCodeAt(i + 2) === 116 && chunk.charCodeAt(i + 3) === 97 && chunk.charCodeAt(i + 4) === 58;
}
function isEventPrefix(chunk, i, firstCharCode) {
  return firstCharCode === 101 && chunk.charCodeAt(i + 1) === 118 && chunk.charCodeAt(i + 2) === 101 && chunk.charCodeAt(i + 3) === 110 && chunk.charCodeAt(i + 4) === 116 && chunk.charCodeAt(i + 5) === 58;
}

// src/transports.ts
function read(request, sink) {
  const canTell = request.headers || request.asksWhy || typeof EventSource === "undefined";
  return (canTell ? openFetch : openEventSource)(request, sink);
}
function openEventSource({ url, credentials }, sink) {
  const source = new EventSource(url, { withCredentials: credentials === "include" });
  const hear = ({ type, data, lastEventId }) => sink.event(type, data, lastEventId);
  source.onmessage = hear;
  source.addEventListener("gap", hear);
  source.onerror = () => {
    const isRefused = source.readyState === EventSource.CLOSED;
    source.close();
    sink.end(isRefused ? { message: "The server refused it." } : void 0);
  };
  return () => source.close();
}
function openFetch({ url, credentials, headers }, sink) {
  const aborter = new AbortController();
  const run = async () => {
    const response = await fetch(url, {
      headers: { Accept: "text/event-stream", ...headers },
      cache: "no-store",
      credentials,
      signal: aborter.signal
    });
    const { status, body } = response;
    if (status !== 200 || !body || !response.headers.get("content-type")?.startsWith("text/event-stream")) {
      aborter.abort();
      const after2 = response.headers.get("retry-after") ?? "";
      const seconds = /^\d+$/.test(after2) ? Number(after2) : (Date.parse(after2) - Date.now()) / 1e3;
      return sink.end({ status, message: explain(status) }, Math.min(Math.max(seconds || 0, 0), 3600));
    }
    let last = "";
    const parser = createParser({
      onEvent: ({ event = "message", data, id }) => sink.event(event, data, last = id ?? last)
    });
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    for (let part = await reader.read(); !part.done; part = await reader.read()) parser.feed(part.value);
    return sink.end();
  };
  run().catch(() => aborter.signal.aborted || sink.end());
  return () => aborter.abort();
}
var REASONS = {
  200: "This is no stream of Nitro's: return an EventSourceResponse.",
  204: "The server ended it, and wants nobody back.",
  401: "Log in, and connect again.",
  403: "You may not hear these topics.",
  414: "So many topics are sent in headers: let the endpoint read them with nitro.requested_topics.",
  419: "Somebody else has logged in: load the page again."
};
var explain = (status) => REASONS[status] ?? `The server answered ${status}.`;

// src/browser.ts
function after(milliseconds, act) {
  const timer = setTimeout(act, milliseconds);
  return () => clearTimeout(timer);
}
function channel(name, hear) {
  const opened = new BroadcastChannel(name);
  opened.onmessage = ({ data }) => hear(data);
  let isOpen = true;
  return {
    post: (data) => isOpen && opened.postMessage(data),
    close() {
      isOpen = false;
      opened.close();
    }
  };
}
function locksOf(manager) {
  const ask = (name, options, got, over = (_) => {
  }) => {
    const aborter = new AbortController();
    let free;
    const hold = () => new Promise((resolve) => {
      free = resolve;
      if (aborter.signal.aborted) resolve();
      else got(resolve);
    });
    const all = options.steal ? options : { ...options, signal: aborter.signal };
    manager.request(name, all, hold).then(over, over);
    return () => {
      aborter.abort();
      free?.();
    };
  };
  return {
    hold: (name, held) => ask(name, {}, held, held),
    watch(name, gone) {
      const undo = ask(name, { mode: "shared" }, (free) => {
        free();
        gone();
      });
      return undo;
    },
    lead(name, steal, led, over) {
      let hasLed = false;
      const step = (free) => {
        hasLed = true;
        led(free);
      };
      return ask(name, { steal }, step, (error) => {
        if (hasLed) over();
        else if (error?.name !== "AbortError") step(over);
      });
    }
  };
}
var browser = () => ({
  now: () => performance.now(),
  after,
  random: Math.random,
  name: () => Math.random().toString(36).slice(2) + Math.random().toString(36).slice(2),
  read,
  locks: navigator.locks ? locksOf(navigator.locks) : null,
  channel: typeof BroadcastChannel === "undefined" ? null : channel
});
function worker(script, name, hear, broken) {
  const started = new SharedWorker(script, { type: "module", name, extendedLifetime: true });
  const { port } = started;
  started.onerror = broken;
  port.onmessage = ({ data }) => hear(data);
  return {
    post: (data) => port.postMessage(data),
    close() {
      started.onerror = port.onmessage = null;
      port.close();
    }
  };
}
var storage = (use) => {
  try {
    return use(sessionStorage);
  } catch {
    return null;
  }
};
var page = () => ({
  ...browser(),
  worker: typeof SharedWorker === "undefined" ? null : worker,
  keep: (key, text) => void storage((kept) => text === null ? kept.removeItem(key) : kept.setItem(key, text)),
  kept: (key) => storage((kept) => kept.getItem(key)),
  date: Date.now,
  isSeen: () => document.visibilityState === "visible",
  isOnline: () => navigator.onLine,
  isPrerendering: () => !!document.prerendering,
  on(what, act) {
    const end = new AbortController();
    const shown = ({ persisted }) => persisted && act();
    if (what === "hide") addEventListener("pagehide", act, end);
    else if (what === "show") addEventListener("pageshow", shown, end);
    else if (what === "start") document.addEventListener("prerenderingchange", act, end);
    else if (what === "freeze") document.addEventListener("freeze", act, end);
    else {
      addEventListener("online", act, end);
      document.addEventListener("visibilitychange", act, end);
      document.addEventListener("resume", act, end);
    }
    return () => end.abort();
  },
  report: (error) => reportError(error)
});

// src/topics.ts
var GRAMMAR = /^(?!nitro($|\.))(?!.*\*\*)[A-Za-z0-9_:*-]+(\.[A-Za-z0-9_:*-]+)*$/;
function checked(pattern) {
  if (typeof pattern !== "string" || pattern.length > 255 || !GRAMMAR.test(pattern)) {
    throw new TypeError(
      `${JSON.stringify(pattern)} is no pattern: use A-Z, a-z, 0-9, "_-:" in segments joined by ".", and "*" for any characters; "nitro." is reserved`
    );
  }
  return pattern === "ANY" ? "*" : pattern;
}
function matches(pattern, topic) {
  const [first = "", ...rest] = pattern.split("*");
  const last = rest.pop();
  if (last === void 0) return pattern === topic;
  if (!topic.startsWith(first)) return false;
  let place = first.length;
  for (const literal of rest) {
    const found = topic.indexOf(literal, place + 1);
    if (found < 0) return false;
    place = found + literal.length;
  }
  return topic.length - last.length > place && topic.endsWith(last);
}

// src/handlers.ts
var Handlers = class {
  #byPattern = /* @__PURE__ */ new Map();
  #parse;
  #report;
  constructor(parse, report) {
    this.#parse = parse;
    this.#report = report;
  }
  /** Each call counts: who adds a handler twice is told twice. */
  add(pattern, handler) {
    const all = this.#byPattern.get(pattern) ?? /* @__PURE__ */ new Set();
    const own = { handler };
    this.#byPattern.set(pattern, all.add(own));
    return () => {
      if (all.delete(own) && !all.size && this.#byPattern.get(pattern) === all) this.#byPattern.delete(pattern);
    };
  }
  /** What was sent to this connection alone has no topic, and `*` hears it. Each handler gets data of its own. */
  hear(topic, text, id) {
    for (const pattern of [...this.#byPattern.keys()]) {
      if (pattern === "gap" || (topic ? !matches(pattern, topic) : pattern !== "*")) continue;
      this.tell(pattern, (handler) => handler(this.#parse(text), { topic, id }));
    }
  }
  /** One handler's error is everybody's to see, and stops nobody. */
  tell(pattern, call) {
    for (const { handler } of [...this.#byPattern.get(pattern) ?? []]) {
      try {
        call(handler);
      } catch (error) {
        this.#report(error);
      }
    }
  }
};

// src/position.ts
var split = (id) => id.split("-");
var isOneLog = (a, b) => split(a)[0] === split(b)[0];
function isKnown(id, last) {
  if (!last || !isOneLog(id, last)) return false;
  const [a = "", b = ""] = [split(id)[1], split(last)[1]];
  return a.length < b.length || a.length === b.length && a <= b;
}

// src/protocol.ts
var PROTOCOL = 2;
var CONFIRM_EACH = 100;
var MOST_UNCONFIRMED = 1e3;
var ASKS_EACH = 1e4;
var ANSWERS_WITHIN = 5e3;
var FORGETS_AFTER = 15e4;

// src/backoff.ts
var LONGEST = 3e4;
var backoff = (attempt, retry, random = Math.random) => random() * Math.min(LONGEST, retry * 2 ** attempt);

// src/stream.ts
var OPENS_WITHIN = 2e4;
var PASSING = [408, 425, 429];
var PASSING_LATER = [200, 404, 421];
var MOST_IN_URL = 4e3;
var NOBODY = "-";
var Stream = class {
  state = "closed";
  failure;
  last = "";
  /** Whether it has been open, so that the server is one of ours. */
  wasOpen = false;
  /** Whether the next attempt shall tell why it is refused. */
  asksWhy = false;
  #env;
  #url;
  #credentials;
  #listener;
  #attempt = 0;
  #retry = 2e3;
  #heartbeat = 15e3;
  #ending = -1;
  // what the server said at the end: how long to wait
  #isGreeted = false;
  #inHeaders = 0;
  #close = () => {
  };
  #timer = () => {
  };
  #watchdog = () => {
  };
  #heardAt = 0;
  constructor(env2, url, credentials, listener) {
    this.#env = env2;
    this.#url = url;
    this.#credentials = credentials;
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
    this.#close();
    this.#timer();
    this.#watchdog();
  }
  #connect() {
    this.#release();
    const { topics, last } = this.#listener.wanted();
    const url = new URL(this.#url);
    url.searchParams.append("envelope", "1");
    const headers = parcels(topics ?? []);
    this.#inHeaders = headers ? topics.length : 0;
    if (!headers) for (const topic of topics ?? []) url.searchParams.append("topic", topic);
    if (last) url.searchParams.append("last_event_id", last);
    this.last = last;
    if (this.state === "waiting") this.#tell("connecting");
    this.#isGreeted = false;
    this.#ending = -1;
    let isMine = true;
    let close = () => {
    };
    this.#close = () => {
      isMine = false;
      close();
    };
    const read2 = (more) => {
      this.#heardAt = this.#env.now();
      this.#watch(OPENS_WITHIN);
      close = this.#env.read(
        {
          url: url.href,
          credentials: this.#credentials,
          headers: more || headers ? { ...more, ...headers } : void 0,
          asksWhy: this.asksWhy
        },
        {
          event: (type, data, id) => isMine && this.#hear(type, data, id),
          end: (failure, seconds) => isMine && this.#dropped(failure, seconds)
        }
      );
    };
    if (this.#listener.headers) this.#listener.headers((more) => isMine && (more ? read2(more) : this.#dropped()));
    else read2();
  }
  #hear(type, data, id) {
    this.#heardAt = this.#env.now();
    const [topic, text] = cut(data);
    if (type === "gap") {
      const gap = JSON.parse(data);
      this.last = gap.resumed_at;
      return this.#listener.gap(gap);
    }
    if (topic === "nitro.stream") return this.#control(JSON.parse(text), id);
    if (!this.#isGreeted) return this.#dropped({ status: 200, message: explain(200) });
    this.last = id || this.last;
    return this.#listener.message(topic, text, topic && id);
  }
  #control(news, id) {
    if (news.stop) return this.#dropped({ status: 204, message: explain(204) });
    if (news.heartbeat) {
      if (this.#inHeaders && !news.topics) return this.#dropped({ status: 414, message: explain(414) });
      this.#heartbeat = news.heartbeat * 1e3;
      this.#retry = news.retry || this.#retry;
      this.#isGreeted = this.wasOpen = true;
      this.asksWhy = false;
      this.#attempt = 0;
      this.#watch(this.#heartbeat * 2.5);
      const close = this.#close;
      this.#listener.greeted(news.for ?? NOBODY);
      if (close !== this.#close || this.state === "closed") return;
      if (this.state !== "open") this.#tell("open");
    } else if (news.retry) this.#ending = news.retry;
    if (id) this.#listener.at(this.last = id);
  }
  /** Wait, and try again, unless there is no hope. */
  #dropped(failure, seconds = 0) {
    this.#release();
    const status = failure?.status;
    const isPassing = !status || status >= 500 || PASSING.includes(status) || this.wasOpen && PASSING_LATER.includes(status);
    if (!isPassing) {
      if (this.state !== "connecting") this.#tell("connecting");
      return this.#listener.refused(failure);
    }
    this.asksWhy = !!failure;
    const wait = this.#ending >= 0 ? this.#ending : backoff(this.#attempt, this.#retry, this.#env.random) + this.#politely(seconds);
    this.#attempt++;
    this.#timer = this.#env.after(wait, () => this.#connect());
    this.#tell("waiting", failure);
  }
  #politely = (seconds) => seconds && seconds * 1e3 + this.#retry * this.#env.random();
  /** Let go of a line on which nothing comes for so long. A timer that is late has slept: once, what came meanwhile goes first. */
  #watch(limit, isForgiven) {
    const due = Math.max(this.#heardAt + limit, this.#env.now() + 1e3);
    this.#watchdog();
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
function cut(data) {
  const end = data.indexOf("\n");
  return [data.slice(0, Math.max(end, 0)), data.slice(end + 1)];
}
function parcels(topics) {
  if (topics.join("&topic=").length <= MOST_IN_URL) return void 0;
  const headers = {};
  let [number, length] = [1, 0];
  for (const topic of topics) {
    if ((length += topic.length + 1) > MOST_IN_URL) [number, length] = [number + 1, topic.length + 1];
    const name = `Nitro-Topics-${number}`;
    headers[name] = headers[name] ? `${headers[name]},${topic}` : topic;
  }
  return headers;
}

// src/line.ts
var MOST_RECENT = 256;
var SETTLES_AFTER = 3e3;
var PAUSE = 20;
var LONGEST_PAUSE = 2e3;
var Line = class {
  members = /* @__PURE__ */ new Set();
  /** For whom it was greeted; empty before. */
  user = "";
  /** Its sum of topics was refused: it takes no more of them. */
  isFull = false;
  #owner;
  #stream;
  #topics = null;
  // what is read
  #recent = [];
  // what came behind `since`, for who joins with an id of its own
  #since = "";
  #newest = "";
  // an id of the newest joiner's: of the log that the server has now, most likely
  #hasBegun = false;
  #isReading = false;
  // an attempt is on its way
  #pause = PAUSE;
  #begunAt = Number.NEGATIVE_INFINITY;
  #opening = null;
  #settling = () => {
  };
  #tried = /* @__PURE__ */ new Set();
  // those whose headers were of no use
  #giver;
  constructor(owner) {
    this.#owner = owner;
    const { url, credentials, hasHeaders } = owner.config;
    this.#stream = new Stream(owner.env, url, credentials, {
      wanted: () => this.#wanted(),
      ...hasHeaders && { headers: (give) => this.#headers(give) },
      state: (state, failure) => {
        this.#isReading = state === "connecting";
        for (const { tell, isWaiting } of this.members) if (!isWaiting || state !== "open") tell({ is: "state", state, failure });
      },
      greeted: (user) => this.#greeted(user),
      refused: (failure) => this.#refused(failure),
      message: (topic, text, id) => this.#message({ topic, text, id }),
      gap: (gap) => this.#gap(gap),
      at: (id) => this.#at(id)
    });
  }
  /** Whether its first request is still to be sent, and so speaks for whoever joins now. */
  get isFresh() {
    return !this.#hasBegun;
  }
  /** Whether nothing has to be read anew for these topics. */
  covers(topics) {
    const read2 = this.#topics;
    if (this.#stream.state === "closed") return false;
    return !topics || topics.every((topic) => read2?.some((own) => own === topic || !topic.includes("*") && matches(own, topic)));
  }
  /** Serve a member that is new, that asks for other topics than before, or that woke up. */
  add(member) {
    const stream = this.#stream;
    const isNew = !this.members.has(member);
    this.members.add(member);
    if (member.user) stream.wasOpen ||= !member.isOfPageBefore;
    if (member.last) this.#newest = member.last;
    if (stream.state === "open" && stream.last) {
      if (!member.last) member.tell({ is: "at", id: member.last = stream.last });
      else if (!isOneLog(member.last, stream.last)) this.#lose(member, { reason: "epoch", resumed_at: stream.last });
    }
    const isBehind = member.last && !isKnown(stream.last, member.last) && !isKnown(this.#since, member.last);
    member.isWaiting = !!isBehind || !this.covers(member.topics);
    if (member.isWaiting) {
      member.isNewcomer = true;
      if (isNew || stream.state !== "waiting") this.openSoon();
      if (isNew) member.tell({ is: "state", state: "connecting", failure: void 0 });
    } else {
      if (member.last) for (const message of this.#recent) this.#give(member, message);
      this.#settleSoon();
      member.tell({ is: "state", state: stream.state, failure: stream.failure });
    }
  }
  remove(member, isForGood) {
    this.members.delete(member);
    this.#tried.delete(member);
    if (isForGood && !this.members.size) this.end();
    else this.#settleSoon();
  }
  wake() {
    this.#stream.wake();
  }
  /** It is as new then. */
  end() {
    this.members.clear();
    this.#settling();
    this.#opening?.();
    this.#opening = null;
    this.#stream.end();
    this.#stream.last = this.#newest = this.user = "";
    this.#stream.wasOpen = this.#hasBegun = this.#isReading = this.isFull = false;
  }
  /** Read anew with everybody's topics, soon: who asks at once with others is read with them. What is read goes on until then. */
  openSoon() {
    if (this.#opening || this.#isReading) return;
    const { env: env2 } = this.#owner;
    const since = env2.now() - this.#begunAt;
    if (since > 2 * LONGEST_PAUSE) this.#pause = PAUSE;
    const delay = this.#stream.state === "closed" ? 0 : Math.max(PAUSE, this.#pause - since);
    this.#opening = env2.after(delay, () => {
      this.#opening = null;
      this.#pause = Math.min(this.#pause * 2, LONGEST_PAUSE);
      if (this.#topicsOfAll()?.length !== 0) this.#stream.open();
    });
  }
  /** Null if the server decides; then it does for all members. */
  #topicsOfAll() {
    const all = [...this.members].flatMap(({ topics }) => topics);
    return all.includes(null) ? null : [...new Set(all)].sort();
  }
  /** Of an attempt: everybody's topics, from where the one stands who has had least. */
  #wanted() {
    this.#opening?.();
    this.#opening = null;
    const { state, last } = this.#stream;
    const ids = this.#hasBegun ? [last] : [];
    for (const member of this.members) {
      if (!member.isWaiting) continue;
      if (state === "open" && member.last && !isOneLog(member.last, last)) this.#lose(member, { reason: "epoch", resumed_at: last });
      member.isWaiting = false;
      ids.push(member.last);
    }
    const newest = ids.includes(this.#newest) ? this.#newest : last;
    let from = "";
    for (const id of ids) if (isOneLog(id, newest || id) && (!from || isKnown(id, from))) from = id || from;
    this.#topics = this.#topicsOfAll();
    this.#since = from;
    this.#recent = [];
    this.#hasBegun = this.#isReading = true;
    this.#begunAt = this.#owner.env.now();
    return { topics: this.#topics, last: from };
  }
  /** The newest member's first; the next one's if it has none, or if they are refused. */
  #headers(give) {
    const next = [...this.members].reverse().find((member) => !this.#tried.has(member));
    this.#giver = next;
    if (!next) {
      this.#tried.clear();
      return give(null);
    }
    this.#tried.add(next);
    return this.#owner.headers(next, (headers) => headers ? give(headers) : this.#headers(give));
  }
  #refused(failure) {
    const isOfToken = this.#giver && (failure.status === 401 || failure.status === 403);
    if (isOfToken && [...this.members].some((member) => !this.#tried.has(member))) return this.#stream.open();
    this.#tried.clear();
    if (this.members.size && this.#topicsOfAll()?.join() !== this.#topics?.join()) return this.#stream.open();
    return this.#owner.refused(this, failure);
  }
  #greeted(user) {
    this.#tried.clear();
    this.#isReading = false;
    this.#owner.greeted(this, user, this.#giver);
    if (this.#isReading || this.#stream.state === "closed") return;
    for (const member of this.members) {
      if (member.isWaiting) continue;
      member.isNewcomer = false;
      member.tell({ is: "state", state: "open", failure: void 0 });
    }
    if ([...this.members].some(({ isWaiting }) => isWaiting)) this.openSoon();
    else this.#settleSoon();
  }
  /** Ask again at once, as after somebody had to leave. */
  again() {
    this.#stream.open();
  }
  /** Ask again from where the members are: what was asked for was somebody else's. */
  restart() {
    this.#stream.last = "";
    for (const member of this.members) member.isWaiting = true;
    this.#stream.open();
  }
  #settleSoon() {
    this.#settling();
    this.#settling = this.#owner.env.after(SETTLES_AFTER, () => {
      if (!this.members.size) this.end();
      else if (this.#stream.state === "open" && this.#topicsOfAll()?.join() !== this.#topics?.join()) this.openSoon();
    });
  }
  #message(message) {
    if (message.id && this.#recent.push(message) > MOST_RECENT) this.#since = this.#recent.shift().id;
    for (const member of this.members) this.#give(member, message);
  }
  #give(member, { topic, text, id }) {
    if (member.isAsleep || member.isWaiting || id && isKnown(id, member.last)) return;
    if (id) member.last = id;
    if (topic && member.topics && !member.topics.some((pattern) => matches(pattern, topic))) return;
    if (++member.unconfirmed > MOST_UNCONFIRMED) member.isAsleep = true;
    else member.tell({ is: "message", topic, text, id });
  }
  #gap(gap) {
    this.#recent = [];
    this.#since = gap.resumed_at;
    for (const member of this.members) {
      if (member.isWaiting || isKnown(gap.resumed_at, member.last)) continue;
      this.#lose(member, gap);
    }
  }
  #lose(member, gap) {
    const isNew = !member.last;
    member.last = gap.resumed_at;
    if (!member.isAsleep) member.tell(isNew ? { is: "at", id: member.last } : { is: "gap", gap });
  }
  #at(id) {
    if (!this.#since) this.#since = id;
    for (const member of this.members) {
      if (member.isAsleep || member.isWaiting || isKnown(id, member.last)) continue;
      if (member.last && !isOneLog(id, member.last)) this.#lose(member, { reason: "epoch", resumed_at: id });
      else {
        member.last = id;
        member.tell({ is: "at", id });
      }
    }
  }
};

// src/host.ts
var HEADERS_WITHIN = 5e3;
var OTHER_USER = { status: 419, message: explain(419) };
var FRESH = { isWaiting: false, isNewcomer: true, topics: null, last: "", unconfirmed: 0, isAsleep: false, heardAt: 0 };
var Host = class {
  env;
  config;
  /** The lock that it holds, or whatever tells it from others. */
  name;
  #members = /* @__PURE__ */ new Map();
  #lines = [];
  #probes = /* @__PURE__ */ new Map();
  #questions = /* @__PURE__ */ new Map();
  #count = 0;
  #sweeping = null;
  constructor(env2, config, name) {
    this.env = env2;
    this.config = config;
    this.name = name;
  }
  hear(name, tell, request) {
    const member = this.#members.get(name);
    if (member) member.heardAt = this.env.now();
    if (request.do === "join") this.#join(name, tell, request, member);
    else if (request.do === "ask") tell({ is: member ? "here" : "new", host: this.name });
    else if (!member) return;
    else if (request.do === "leave") this.leave(name, request.isForGood);
    else if (request.do === "wake") this.#wake(member);
    else if (request.do === "headers") this.#questions.get(request.number)?.give(request.headers ?? null);
    else if (request.do === "heard") {
      member.unconfirmed -= CONFIRM_EACH;
      if (member.isAsleep && member.unconfirmed < CONFIRM_EACH) this.#rejoin(member, request.last);
    }
  }
  leave(name, isForGood = false) {
    const member = this.#members.get(name);
    if (member) this.#forget(member, isForGood);
  }
  end() {
    for (const member of [...this.#members.values()]) this.#forget(member, true);
    for (const line of this.#lines) line.end();
    this.#sweeping?.();
  }
  headers(member, give) {
    const number = ++this.#count;
    const answer = (headers) => {
      undo();
      if (this.#questions.delete(number)) give(headers);
    };
    const undo = this.env.after(HEADERS_WITHIN, () => answer(null));
    this.#questions.set(number, { member, give: answer });
    member.tell({ is: "headers", number });
  }
  greeted(line, user, giver) {
    if (giver && line.user && line.user !== user) {
      if (line.members.has(giver)) this.#expel(giver, OTHER_USER);
      if (line.members.size) line.again();
      return;
    }
    line.user = user;
    let isMisplaced = false;
    for (const member of [...line.members]) {
      const { last } = member;
      if (this.#prove(member, user)) isMisplaced ||= member.last !== last;
    }
    if (!line.members.size) line.end();
    else if (isMisplaced) line.restart();
  }
  /** Find out whose fault it is: of some of them, or of their number. */
  refused(line, failure) {
    const members = [...line.members];
    if (members.length < 2) {
      line.end();
      for (const member of members) this.#expel(member, failure);
      return;
    }
    let left = members.length;
    let isAnyRefused = false;
    for (const member of members) {
      this.#probe(member, true, (verdict) => {
        isAnyRefused ||= verdict === "refused";
        if (--left) return;
        if (!line.members.size) line.end();
        else if (!isAnyRefused) this.#divide(line);
        else line.again();
      });
    }
  }
  /** Those who came last, or one half, get a line of their own. */
  #divide(line) {
    const members = [...line.members];
    const newcomers = members.filter(({ isNewcomer }) => isNewcomer);
    const parting = newcomers.length < members.length && newcomers.length ? newcomers : members.slice(members.length >> 1);
    const other = this.#newLine();
    other.user = line.user;
    line.isFull = other.isFull = true;
    for (const member of parting) {
      line.members.delete(member);
      other.add(member);
    }
    if (line.members.size) line.again();
    else line.end();
  }
  #join(name, tell, request, known) {
    const { topics, last, user, isOfPageBefore, turn } = request;
    const member = known ?? { ...FRESH, name, tell, user, isOfPageBefore };
    Object.assign(member, { tell, topics, last, unconfirmed: 0, isAsleep: false, heardAt: this.env.now() });
    this.#members.set(name, member);
    this.#sweeping ??= this.env.after(FORGETS_AFTER / 4, this.#sweep);
    this.#stopProbe(member);
    if (turn) tell({ is: "joined", turn });
    const own = this.#lineOf(member);
    if (topics?.length === 0) {
      own?.remove(member, false);
      return tell({ is: "state", state: "waiting", failure: void 0 });
    }
    if (own && (own.covers(topics) || own.members.size === 1)) return own.add(member);
    if (!own && this.#needsNoProof(member)) return this.#place(member);
    member.isWaiting = true;
    if (!own) tell({ is: "state", state: "connecting", failure: void 0 });
    return this.#probe(member, false, (verdict) => verdict === "right" && this.#place(member));
  }
  /** Whether the first request speaks for it, or whoever shares the line has said that it is one user's. */
  #needsNoProof({ topics }) {
    const { isTrusted, hasHeaders } = this.config;
    return this.#lines.every((line) => line.isFresh && !(hasHeaders && line.members.size)) || isTrusted && this.#lines.some((line) => line.covers(topics));
  }
  #place(member) {
    const { user, topics } = member;
    const own = this.#lineOf(member);
    const fitting = this.#lines.filter((line2) => line2.isFresh || line2.user === user || this.config.isTrusted && !user);
    const line = fitting.find((each) => each.covers(topics)) ?? (own && fitting.includes(own) && !own.isFull ? own : fitting.find((each) => !each.isFull)) ?? this.#newLine();
    if (own && own !== line) own.remove(member, false);
    line.add(member);
  }
  #newLine() {
    const line = new Line(this);
    this.#lines = [...this.#lines.filter((each) => each.members.size || !each.isFresh), line];
    return line;
  }
  #lineOf(member) {
    return this.#lines.find((line) => line.members.has(member));
  }
  /** Ask for what it asks for, alone. `isOnce`: a server that is not to be had just now says nothing against it. */
  #probe(member, isOnce, then) {
    this.#stopProbe(member);
    const { env: env2, config } = this;
    const url = new URL(config.url);
    url.searchParams.append("probe", "1");
    const end = (verdict) => {
      if (this.#probes.get(member) !== probe) return;
      this.#probes.delete(member);
      probe.stream.end();
      then(verdict);
    };
    const stream = new Stream(env2, url.href, config.credentials, {
      wanted: () => ({ topics: member.topics, last: "" }),
      ...config.hasHeaders && { headers: (give) => this.headers(member, give) },
      state: (state, failure) => {
        if (state !== "waiting" || this.#probes.get(member) !== probe) return;
        if (isOnce) end();
        else member.tell({ is: "state", state, failure });
      },
      greeted: (user) => end(this.#prove(member, user) ? "right" : "refused"),
      refused: (failure) => {
        this.#expel(member, failure, false);
        end("refused");
      },
      message: () => {
      },
      gap: () => {
      },
      at: () => {
      }
    });
    const probe = { stream, end };
    stream.asksWhy = true;
    stream.wasOpen = !!member.user && !member.isOfPageBefore;
    this.#probes.set(member, probe);
    stream.open();
  }
  #stopProbe(member) {
    this.#probes.get(member)?.end();
  }
  /** It is this user's, as a greeting says that was asked for after it had joined. False if it is not, and has to go. */
  #prove(member, user) {
    if (member.user && member.user !== user) {
      if (member.isOfPageBefore) member.last = "";
      else if (member.user.startsWith("u")) {
        this.#expel(member, OTHER_USER, false);
        return false;
      } else member.tell({ is: "gap", gap: { reason: "rights", resumed_at: member.last } });
    }
    if (member.user !== user || member.isOfPageBefore) member.tell({ is: "user", user });
    member.user = user;
    member.isOfPageBefore = false;
    return true;
  }
  #expel(member, failure, stopsProbe = true) {
    this.#forget(member, false, stopsProbe);
    member.tell({ is: "state", state: "closed", failure });
  }
  #forget(member, isForGood, stopsProbe = true) {
    this.#members.delete(member.name);
    this.#lineOf(member)?.remove(member, isForGood);
    for (const { member: asked, give } of [...this.#questions.values()]) if (asked === member) give(null);
    if (stopsProbe) this.#stopProbe(member);
  }
  #rejoin(member, last) {
    const { name, tell, topics, user, isOfPageBefore } = member;
    this.#join(name, tell, { do: "join", turn: 0, topics, last, user, isOfPageBefore }, member);
  }
  #wake(member) {
    this.#lineOf(member)?.wake();
    this.#probes.get(member)?.stream.wake();
  }
  #sweep = () => {
    this.#sweeping = this.#members.size ? this.env.after(FORGETS_AFTER / 4, this.#sweep) : null;
    for (const member of [...this.#members.values()]) if (this.env.now() - member.heardAt > FORGETS_AFTER) this.#forget(member, false);
  };
};

// src/ways.ts
var lifeOf = (name) => `nitro life ${name}`;
function listen(host) {
  const watched = /* @__PURE__ */ new Map();
  return (name, tell, request) => {
    if (request.do === "join" && !watched.has(name)) {
      const gone = () => {
        watched.delete(name);
        host.leave(name);
      };
      watched.set(name, host.env.locks?.watch(lifeOf(name), gone) ?? (() => {
      }));
    }
    if (request.do === "leave") {
      watched.get(name)?.();
      watched.delete(name);
    }
    host.hear(name, tell, request);
  };
}
function alone(env2, config, name, tell) {
  const host = new Host(env2, config, name);
  return { kind: "alone", post: (request) => host.hear(name, tell, request), close: () => host.end() };
}
function throughWorker(env2, script, key, config, name, tell, gone) {
  let watch;
  const hear = (news) => {
    if ("host" in news) watch ??= env2.locks?.watch(lifeOf(news.host), () => gone(false));
    tell(news);
  };
  const port = env2.worker(script, key, hear, () => gone(true));
  port.post({ name, config });
  return {
    kind: "worker",
    post: port.post,
    close() {
      watch?.();
      port.close();
    }
  };
}
function serve(env2) {
  const own = env2.name();
  let host;
  let hear;
  let isReady = false;
  let waiting = [];
  const ready = () => {
    isReady = true;
    for (const tell of waiting.splice(0)) tell();
  };
  if (env2.locks) env2.locks.hold(lifeOf(own), ready);
  else ready();
  return (port) => {
    const tell = (news) => port.post(news);
    let name = "";
    return (data) => {
      if ("do" in data) return hear?.(name, tell, data);
      host ??= new Host(env2, data.config, own);
      hear ??= listen(host);
      name = data.name;
      const welcome = () => tell({ is: "new", host: own });
      if (isReady) welcome();
      else waiting.push(welcome);
    };
  };
}
function throughLeader(env2, key, config, name, tell) {
  const locks = env2.locks;
  const open = env2.channel;
  let host;
  let hear;
  let isClosed = false;
  let resign;
  let leader = "";
  const members = /* @__PURE__ */ new Map();
  const memberAt = (from) => {
    let member = members.get(from);
    if (!member) {
      const port = open(`${key} ${from}`, () => {
      });
      members.set(from, member = { port, tell: (news) => port.post({ by: name, news }) });
    }
    return member.tell;
  };
  const step = (down) => {
    resign = down;
    if (isClosed) return down();
    host = new Host(env2, config, name);
    hear = listen(host);
    channel2.post({ isLed: name });
    tell({ is: "new", host: name });
  };
  const over = () => {
    host?.end();
    host = hear = resign = void 0;
    for (const { port } of members.values()) port.close();
    members.clear();
    leader = "";
    if (!isClosed) channel2.post({ from: name, request: { do: "ask" } });
  };
  const channel2 = open(key, (parcel) => {
    if ("isLed" in parcel) host || tell({ is: "new", host: leader = parcel.isLed });
    else if (hear) {
      const { from, request } = parcel;
      hear(from, memberAt(from), request);
      if (request.do === "leave") {
        members.get(from)?.port.close();
        members.delete(from);
      }
    }
  });
  const inbox = open(`${key} ${name}`, ({ by, news }) => {
    if (host) return;
    if (by === leader) tell(news);
    else if ("host" in news) tell({ is: "new", host: leader = by });
  });
  let candidacy = locks.lead(key, false, step, over);
  const freeze = env2.on("freeze", () => {
    if (!host) return;
    const down = resign;
    candidacy = locks.lead(key, false, step, over);
    down?.();
  });
  return {
    kind: "leader",
    post: (request) => hear ? hear(name, tell, request) : channel2.post({ from: name, request }),
    replace() {
      candidacy();
      candidacy = locks.lead(key, true, step, over);
    },
    close() {
      isClosed = true;
      freeze();
      candidacy();
      resign?.();
      channel2.close();
      inbox.close();
    }
  };
}

// src/route.ts
var TRIES_AGAIN_AFTER = 3e4;
var TRIES_AGAIN_AT_LATEST = 36e5;
var MOST_DEATHS = 3;
var Route = class {
  #env;
  #options;
  #tell;
  #name;
  #letGo = () => {
  };
  #isHeld = false;
  #isWelcome = false;
  // there is a host to join, and we may not yet
  #way;
  #spare;
  // a worker that is waited for, while another way is in use
  #deaths = 0;
  #pause = TRIES_AGAIN_AFTER;
  #timer = () => {
  };
  #later = () => {
  };
  #isHeard = false;
  // since it was asked
  #wasHeard = false;
  // at all
  constructor(env2, options, tell) {
    this.#env = env2;
    this.#options = options;
    this.#tell = tell;
    this.#name = env2.name();
  }
  open() {
    const held = () => {
      this.#isHeld = true;
      if (this.#isWelcome) this.#tell({ is: "new", host: "" });
    };
    const { key, worker: worker2 } = this.#options;
    if (key !== null && this.#env.locks) this.#letGo = this.#env.locks.hold(lifeOf(this.#name), held);
    else this.#isHeld = true;
    this.#use(key !== null && worker2 && this.#env.worker ? "worker" : this.#secondBest());
  }
  post(request) {
    if (this.#isHeld) this.#way.post(request);
  }
  /** Find out at once whether the host is there: time may have passed in which this page did not run. */
  ask() {
    if (this.#wasHeard) this.#ask();
  }
  close() {
    this.#timer();
    this.#later();
    this.#spare?.close();
    this.#way.close();
    this.#letGo();
  }
  #secondBest() {
    return this.#options.key !== null && this.#env.locks && this.#env.channel ? "leader" : "alone";
  }
  #use(kind) {
    this.#isHeard = this.#wasHeard = false;
    try {
      this.#way = this.#open(kind);
    } catch {
      return this.#use(this.#secondBest());
    }
    if (kind === "alone") this.#hear(this.#way, { is: "new", host: "" });
    if (kind === "leader") this.#way.post({ do: "ask" });
    this.#await();
  }
  #open(kind) {
    let way;
    const { config, key, worker: worker2 } = this.#options;
    const tell = (news) => this.#hear(way, news);
    if (kind === "alone") way = alone(this.#env, config, this.#name, tell);
    else if (kind === "leader") way = throughLeader(this.#env, key, config, this.#name, tell);
    else way = throughWorker(this.#env, worker2, key, config, this.#name, tell, (isBroken) => this.#lost(way, isBroken));
    return way;
  }
  #hear(way, news) {
    if (way && way === this.#spare) this.#adopt(way);
    if (way !== this.#way) return;
    this.#isHeard = this.#wasHeard = true;
    if (news.is === "here") this.#deaths = 0;
    else if (news.is === "new" && !this.#isHeld) this.#isWelcome = true;
    else this.#tell(news);
  }
  #ask() {
    this.#isHeard = false;
    this.#way.post({ do: "ask" });
    this.#await();
  }
  #await() {
    const due = this.#env.now() + ANSWERS_WITHIN;
    this.#timer();
    this.#timer = this.#env.after(ANSWERS_WITHIN, () => {
      if (this.#isHeard) this.#timer = this.#env.after(ASKS_EACH - ANSWERS_WITHIN, () => this.#ask());
      else if (this.#env.now() - due > 2e3 && this.#wasHeard) this.#ask();
      else this.#lost(this.#way, false);
    });
  }
  /** A way whose host is gone, doesn't answer, or (`isBroken`) can't be. */
  #lost(way, isBroken) {
    if (!way || way === this.#spare) return;
    if (way !== this.#way) return;
    if (way.kind === "leader") {
      way.replace();
      return this.#await();
    }
    const isAlive = !isBroken && this.#wasHeard && ++this.#deaths <= MOST_DEATHS;
    if (isAlive) {
      way.close();
      return this.#use("worker");
    }
    if (isBroken || this.#wasHeard) way.close();
    else this.#spare = way;
    this.#tryLater();
    return this.#use(this.#secondBest());
  }
  #tryLater() {
    this.#later = this.#env.after(this.#pause, () => {
      this.#pause = Math.min(this.#pause * 2, TRIES_AGAIN_AT_LATEST);
      this.#spare?.close();
      try {
        this.#spare = this.#open("worker");
      } catch {
        this.#spare = void 0;
      }
      this.#tryLater();
    });
  }
  /** A worker is to be had again. */
  #adopt(worker2) {
    this.#later();
    this.post({ do: "leave", isForGood: false });
    this.#way.close();
    this.#way = worker2;
    this.#spare = void 0;
    this.#pause = TRIES_AGAIN_AFTER;
    this.#await();
  }
};

// src/live.ts
var KEPT_FOR = 6e4;
var STARTS_WITHIN = 1e4;
var before = /* @__PURE__ */ new WeakMap();
var Live = class {
  /** `"waiting"`: it comes back by itself. `"closed"`: it does not. */
  state = "connecting";
  /** Why it is closed, or what it waits for. */
  error = null;
  /** Called at each change of `state`. */
  onstate = null;
  #env;
  #options;
  #handlers;
  #topics;
  #last;
  #startsNow = false;
  // and not where it stands
  #user = "";
  #isOfPageBefore = false;
  #storageKey;
  #unconfirmed = 0;
  #turn = 0;
  #isJoined = false;
  // whether what comes is the answer to the newest turn
  #makeRoute;
  #route = null;
  #undo = [];
  constructor(env2, href, options) {
    this.#env = env2;
    this.#options = options;
    const { topics, headers, credentials = "same-origin", share = true, worker: worker2 = false } = options;
    this.#topics = topics ? new Set(topics.map(checked)) : null;
    this.#handlers = new Handlers(options.parse ?? JSON.parse, env2.report);
    const key = `nitro ${PROTOCOL} ${JSON.stringify([href, !topics, !!headers, credentials, share])}`;
    this.#storageKey = `${key} ${this.#names()}`;
    const kept = options.since === void 0 ? this.#keptBefore() : null;
    this.#last = options.since ?? kept?.last ?? "";
    this.#user = kept?.user ?? "";
    this.#isOfPageBefore = !!kept;
    const isTrusted = share === false || typeof share === "string";
    const config = { url: href, credentials, hasHeaders: !!headers, isTrusted };
    this.#makeRoute = () => new Route(env2, { key: share === false ? null : key, config, worker: worker2 }, (news) => this.#hear(news));
    this.#undo = [env2.on("hide", this.#leave), env2.on("show", this.#comeBack), env2.on("look", this.#look)];
    if (env2.isPrerendering()) this.#undo.push(env2.on("start", () => this.#enter()));
    else this.#enter();
  }
  on(pattern, handler) {
    return this.#handlers.add(pattern === "gap" ? pattern : checked(pattern), handler);
  }
  /** Hear these topics too, from now on. Throws a `TypeError` if it was made without topics. */
  subscribe(...topics) {
    const all = topics.map(checked);
    this.#change((own) => all.forEach((topic) => own.add(topic)));
  }
  /** Drop topics that were subscribed to in the same words. */
  unsubscribe(...topics) {
    this.#change((own) => topics.forEach((topic) => own.delete(topic === "ANY" ? "*" : topic)));
  }
  /** For good: nothing is heard any more, and nothing is held. */
  close() {
    this.#env.keep(this.#storageKey, null);
    this.#end(true);
    this.#tell("closed");
  }
  #names() {
    return this.#topics ? [...this.#topics].sort().join() : "";
  }
  #enter() {
    if (this.#route || this.state === "closed") return;
    this.#route = this.#makeRoute();
    this.#route.open();
  }
  #exit(isForGood) {
    const route = this.#route;
    this.#route = null;
    route?.post({ do: "leave", isForGood });
    route?.close();
  }
  #end(isForGood) {
    this.#exit(isForGood);
    for (const undo of this.#undo.splice(0)) undo();
  }
  #hear(news) {
    if (!this.#route) return;
    if (news.is === "new") {
      this.#isJoined = false;
      this.#turn++;
      this.#join();
    } else if (news.is === "joined") this.#isJoined ||= news.turn === this.#turn;
    else if (news.is === "headers") void this.#giveHeaders(this.#route, news.number);
    else if (!this.#isJoined) return;
    else if (news.is === "message") this.#message(news);
    else if (news.is === "at") this.#stand(news.id);
    else if (news.is === "user") [this.#user, this.#isOfPageBefore] = [news.user, false];
    else if (news.is === "gap") {
      if (news.gap.reason !== "rights" && isKnown(news.gap.resumed_at, this.#last)) return;
      this.#last = news.gap.resumed_at;
      this.#handlers.tell("gap", (handler) => handler(news.gap));
    } else if (news.is === "state") {
      if (news.state === "closed") this.#end(false);
      this.#tell(news.state, news.failure);
    }
  }
  #message({ topic, text, id }) {
    const isOld = id && !this.#stand(id);
    if (++this.#unconfirmed === CONFIRM_EACH) {
      this.#unconfirmed = 0;
      this.#route?.post({ do: "heard", last: this.#last });
    }
    if (!isOld) this.#handlers.hear(topic, text, id);
  }
  /** False if it stands there or behind already. */
  #stand(id) {
    this.#startsNow = false;
    const isNew = !isKnown(id, this.#last);
    if (isNew) this.#last = id;
    return isNew;
  }
  #join() {
    this.#unconfirmed = 0;
    this.#route?.post({
      do: "join",
      turn: this.#turn,
      topics: this.#topics && [...this.#topics],
      last: this.#startsNow ? "" : this.#last,
      user: this.#user,
      isOfPageBefore: this.#isOfPageBefore
    });
  }
  #change(change) {
    if (!this.#topics) throw new TypeError("It was made without topics: the server decides.");
    const before2 = this.#names();
    change(this.#topics);
    if (this.#names() === before2) return;
    if (!this.#topics.size) {
      this.#startsNow = true;
      this.#tell("waiting");
    }
    this.#join();
  }
  async #giveHeaders(route, number) {
    let headers;
    try {
      headers = Object.fromEntries(new Headers(await this.#options.headers?.()));
    } catch (error) {
      this.#env.report(error);
    }
    route.post(headers ? { do: "headers", number, headers } : { do: "headers", number });
  }
  #tell(state, failure) {
    if (state === this.state && !failure && !this.error) return;
    this.state = state;
    this.error = failure ?? null;
    try {
      this.onstate?.(state, this.error);
    } catch (error) {
      this.#env.report(error);
    }
  }
  /** What the page before left, if it was there just now. */
  #keptBefore() {
    const { date, kept, keep, now } = this.#env;
    const key = this.#storageKey;
    const all = before.get(keep) ?? /* @__PURE__ */ new Map();
    before.set(keep, all);
    const text = kept(key);
    if (text && !all.has(key)) {
      keep(key, null);
      all.set(key, { kept: parsed(text), until: now() + STARTS_WITHIN });
    }
    const found = all.get(key);
    const isFresh = found && now() < found.until && Math.abs(date() - found.kept.date) < KEPT_FOR;
    return isFresh ? found.kept : null;
  }
  #leave = () => {
    const { keep, kept, date } = this.#env;
    if (this.#last) {
      const other = kept(this.#storageKey);
      const last = other && isKnown(parsed(other).last, this.#last) ? parsed(other).last : this.#last;
      keep(this.#storageKey, JSON.stringify({ last, user: this.#user, date: date() }));
    }
    this.#exit(false);
  };
  #comeBack = () => {
    this.#env.keep(this.#storageKey, null);
    this.#enter();
  };
  #look = () => {
    if (!this.#env.isSeen() || !this.#env.isOnline()) return;
    this.#route?.post({ do: "wake" });
    this.#route?.ask();
  };
};
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return { last: "", user: "", date: 0 };
  }
}

// src/index.ts
var env;
var connect = (url, options = {}) => new Live(env ??= page(), new URL(url, document.baseURI).href, options);

// src/serve.ts
function serveAll() {
  const welcome = serve(browser());
  const scope = self;
  scope.onconnect = ({ ports: [port] }) => {
    if (!port) return;
    const hear = welcome({ post: (data) => port.postMessage(data), close: () => port.close() });
    port.onmessage = ({ data }) => hear(data);
  };
}

// src/client.ts
var connect2 = (url, options = {}) => connect(url, { worker: import.meta.url, ...options });
if ("SharedWorkerGlobalScope" in globalThis) serveAll();
export {
  connect2 as connect
};
