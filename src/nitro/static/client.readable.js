// src/position.ts
var split = (id) => id.split("-");
var isOneLog = (a, b) => split(a)[0] === split(b)[0];
function isKnown(id, last) {
  if (!last || !isOneLog(id, last)) return false;
  const [a = "", b = ""] = [split(id)[1], split(last)[1]];
  return a.length < b.length || a.length === b.length && a <= b;
}

// src/protocol.ts
var PROTOCOL = 1;
var CONFIRM_EACH = 100;
var MOST_UNCONFIRMED = 1e3;

// src/topics.ts
var GRAMMAR = /^[A-Za-z0-9_:*-]+(\.[A-Za-z0-9_:*-]+)*$/;
function checked(pattern) {
  if (typeof pattern !== "string" || pattern.length > 255 || !GRAMMAR.test(pattern)) {
    throw new TypeError(
      `${JSON.stringify(pattern)} is no pattern: use A-Z, a-z, 0-9, "_-:*" in segments joined by "."`
    );
  }
  return pattern;
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

// src/backoff.ts
var LONGEST = 3e4;
var backoff = (attempt2, retry, random = Math.random) => random() * Math.min(LONGEST, retry * 2 ** attempt2);

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
function openEventSource({ url, credentials }, sink) {
  const source = new EventSource(url, { withCredentials: credentials === "include" });
  const hear2 = ({ type, data, lastEventId }) => sink.event(type, data, lastEventId);
  source.onmessage = hear2;
  source.addEventListener("gap", hear2);
  source.onerror = () => {
    const isRefused = source.readyState === EventSource.CLOSED;
    source.close();
    sink.end(isRefused ? { message: "The server refused it." } : void 0);
  };
  return () => source.close();
}
function openFetch({ url, credentials, headers }, sink) {
  const aborter = new AbortController();
  const read = async () => {
    const response = await fetch(url, {
      headers: { Accept: "text/event-stream", ...await headers?.() },
      cache: "no-store",
      credentials,
      signal: aborter.signal
    });
    const { status, body } = response;
    if (status !== 200 || !body || !response.headers.get("content-type")?.startsWith("text/event-stream")) {
      aborter.abort();
      const after = response.headers.get("retry-after") ?? "";
      const seconds = /^\d+$/.test(after) ? Number(after) : (Date.parse(after) - Date.now()) / 1e3;
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
  read().catch(() => aborter.signal.aborted || sink.end());
  return () => aborter.abort();
}
var REASONS = {
  200: "This is no stream of Nitro's: return an EventSourceResponse.",
  204: "The server ended it, and wants nobody back.",
  401: "Log in, and connect again.",
  403: "You may not hear these topics."
};
var explain = (status) => REASONS[status] ?? `The server answered ${status}.`;

// src/stream.ts
var OPENS_WITHIN = 2e4;
var PASSING = [408, 425, 429];
var Stream = class {
  state = "closed";
  failure;
  last = "";
  #request;
  #listener;
  #topics = null;
  #attempt = 0;
  #retry = 2e3;
  #heartbeat = 15e3;
  #ending = -1;
  // what the server said at the end: how long to wait
  #asks = false;
  // the next attempt shall tell why it is refused
  #isGreeted = false;
  #close = () => {
  };
  #timer;
  #watchdog;
  #heardAt = 0;
  constructor(request, listener) {
    this.#request = request;
    this.#listener = listener;
  }
  /** Read on from `last`, with these topics, or those that the server chooses. */
  open(topics, last) {
    this.#topics = topics;
    this.last = last;
    this.#attempt = 0;
    this.#connect();
  }
  /** Hear nothing more, until `open`. */
  pause() {
    this.#release();
    if (this.state !== "open") this.#tell("connecting");
  }
  end(failure) {
    this.#release();
    this.#tell("closed", failure);
  }
  /** There may be a network again, or somebody looks. */
  wake() {
    if (this.state === "waiting") this.#connect();
    else if (this.state === "open" && Date.now() - this.#heardAt > this.#heartbeat * 1.5) this.#dropped();
  }
  #release() {
    this.#close();
    clearTimeout(this.#timer);
    clearTimeout(this.#watchdog);
  }
  #connect() {
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
        end: (failure, seconds) => isMine && this.#dropped(failure, seconds)
      }
    );
    this.#close = () => {
      isMine = false;
      close();
    };
    this.#watch(OPENS_WITHIN);
  }
  #hear(type, data, id) {
    this.#heardAt = Date.now();
    const [topic, text] = cut(data);
    if (type === "gap") {
      const gap = JSON.parse(data);
      this.last = gap.resumed_at;
      return this.#listener.gap(gap);
    }
    if (topic === "nitro.stream") return this.#control(JSON.parse(text), id);
    if (!this.#isGreeted) return this.end({ status: 200, message: explain(200) });
    this.last = id || this.last;
    return this.#listener.message(topic, text, topic && id);
  }
  #control(news, id) {
    if (news.stop) return this.end({ status: 204, message: explain(204) });
    if (news.heartbeat) {
      this.#heartbeat = news.heartbeat * 1e3;
      this.#retry = news.retry || this.#retry;
      this.#isGreeted = true;
      this.#asks = false;
      this.#attempt = 0;
      this.#watch(this.#heartbeat * 2.5);
      if (this.state !== "open") this.#tell("open");
    } else if (news.retry) this.#ending = news.retry;
    if (id) this.#listener.at(this.last = id);
  }
  /** Wait, and try again, unless there is no hope. */
  #dropped(failure, seconds = 0) {
    this.#release();
    const status = failure?.status;
    if (status && status < 500 && !PASSING.includes(status)) return this.end(failure);
    this.#asks = !!failure;
    const wait = this.#ending >= 0 ? this.#ending : backoff(this.#attempt, this.#retry) + (seconds && seconds * 1e3 + this.#retry * Math.random());
    this.#attempt++;
    this.#tell("waiting", failure);
    this.#timer = setTimeout(() => this.#connect(), wait);
  }
  /** Let go of a line on which nothing comes for so long. A timer that is late has slept: once, what came meanwhile goes first. */
  #watch(limit, isForgiven) {
    const due = Math.max(this.#heardAt + limit, Date.now() + 1e3);
    clearTimeout(this.#watchdog);
    this.#watchdog = setTimeout(() => {
      const now = Date.now();
      const isSilent = now - this.#heardAt >= limit;
      if (isSilent && (isForgiven || now - due < 2e3)) this.#dropped();
      else this.#watch(limit, isSilent);
    }, due - Date.now());
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

// src/line.ts
var MOST_RECENT = 256;
var SETTLES_AFTER = 3e3;
var Line = class {
  #members = /* @__PURE__ */ new Map();
  #stream;
  #topics = null;
  #recent = [];
  // what came behind `since`, for who joins with an id of its own
  #since = "";
  #settling;
  #opening;
  #from = "";
  #answers = [];
  constructor(config) {
    const { url, credentials } = config;
    const headers = () => new Promise((resolve) => {
      this.#answers.push(resolve);
      for (const { tell } of this.#members.values()) tell({ is: "headers" });
    });
    this.#stream = new Stream(config.hasHeaders ? { url, credentials, headers } : { url, credentials }, {
      state: (state, failure) => this.#state(state, failure),
      message: (topic, text, id) => this.#message({ topic, text, id }),
      gap: (gap) => this.#gap(gap),
      at: (id) => this.#at(id)
    });
  }
  hear(name, tell, request) {
    const member = this.#members.get(name);
    if (request.do === "join") this.#join(name, tell, request.topics, request.last);
    else if (request.do === "leave") this.leave(name);
    else if (request.do === "wake") this.#stream.wake();
    else if (request.do === "ask") tell({ is: member ? "here" : "new" });
    else if (request.do === "headers") for (const answer of this.#answers.splice(0)) answer(request.headers ?? Promise.reject());
    else if (request.do === "heard" && member) {
      member.unconfirmed -= CONFIRM_EACH;
      if (member.isAsleep && member.unconfirmed < CONFIRM_EACH) this.#join(name, tell, member.topics, request.last);
    }
  }
  leave(name) {
    if (this.#members.delete(name)) this.#settleSoon();
  }
  end() {
    this.#members.clear();
    clearTimeout(this.#settling);
    clearTimeout(this.#opening);
    this.#stream.end();
  }
  #join(name, tell, topics, last) {
    const stream = this.#stream;
    if (last && stream.last && !isOneLog(last, stream.last)) {
      last = stream.last;
      tell({ is: "gap", gap: { reason: "epoch", resumed_at: last } });
    }
    const member = { tell, topics, last: last || stream.last, unconfirmed: 0, isAsleep: false };
    this.#members.set(name, member);
    const isBehind = last && !isKnown(stream.last, last) && !isKnown(this.#since, last);
    if (stream.state === "closed" || isBehind || !this.#covers(topics)) this.#open(last);
    else {
      for (const message of this.#recent) this.#give(member, message);
      this.#settleSoon();
    }
    tell({ is: "state", state: stream.state, failure: stream.failure });
  }
  /** Read anew with everybody's topics, from `last` if it is the older one. Who joins at once with others, is read with them. */
  #open(last) {
    const delay = this.#stream.state === "closed" ? 0 : 20;
    if (last && (!this.#from || isKnown(last, this.#from))) this.#from = last;
    this.#recent = [];
    this.#since = "";
    this.#stream.pause();
    clearTimeout(this.#opening);
    this.#opening = setTimeout(() => {
      const from = this.#from;
      const { last: last2 } = this.#stream;
      this.#from = "";
      this.#topics = this.#wanted();
      this.#since = !last2 || isKnown(from, last2) ? from : last2;
      if (this.#topics?.length === 0) this.#stream.end();
      else this.#stream.open(this.#topics, this.#since);
    }, delay);
  }
  /** Null if the server decides; then it does for all members. */
  #wanted() {
    const all = [...this.#members.values()].flatMap(({ topics }) => topics);
    return all.includes(null) ? null : [...new Set(all)].sort();
  }
  #covers(topics) {
    return !topics || topics.every((topic) => this.#topics?.includes(topic));
  }
  #settleSoon() {
    clearTimeout(this.#settling);
    this.#settling = setTimeout(() => {
      if (!this.#members.size) {
        this.#stream.end();
        this.#stream.last = "";
      } else if (this.#stream.state !== "closed" && this.#wanted()?.join() !== this.#topics?.join()) this.#open("");
    }, SETTLES_AFTER);
  }
  #state(state, failure) {
    for (const { tell } of this.#members.values()) tell({ is: "state", state, failure });
  }
  #message(message) {
    if (message.id && this.#recent.push(message) > MOST_RECENT) this.#since = this.#recent.shift().id;
    for (const member of this.#members.values()) this.#give(member, message);
  }
  #give(member, { topic, text, id }) {
    if (member.isAsleep || id && isKnown(id, member.last)) return;
    if (id) member.last = id;
    if (topic && member.topics && !member.topics.some((pattern) => matches(pattern, topic))) return;
    if (++member.unconfirmed > MOST_UNCONFIRMED) member.isAsleep = true;
    else member.tell({ is: "message", topic, text, id });
  }
  #gap(gap) {
    this.#recent = [];
    this.#since = gap.resumed_at;
    for (const member of this.#members.values()) {
      if (isKnown(gap.resumed_at, member.last)) continue;
      const isConcerned = member.last && !member.isAsleep;
      member.last = gap.resumed_at;
      if (isConcerned) member.tell({ is: "gap", gap });
    }
  }
  #at(id) {
    if (!this.#since) this.#since = id;
    for (const member of this.#members.values()) {
      if (member.isAsleep || isKnown(id, member.last)) continue;
      member.last = id;
      member.tell({ is: "at", id });
    }
  }
};

// src/ways.ts
var LOOKS_EACH = 1e4;
var ANSWERS_WITHIN = 5e3;
var tabLock = (name) => `nitro tab ${name}`;
var holdTabLock = (name, end) => new Promise((isHeld) => {
  const hold = () => (isHeld(0), new Promise((free) => end && (end.onabort = free)));
  Promise.resolve(navigator.locks?.request(tabLock(name), hold)).then(isHeld, isHeld);
});
function hear(line, watched, name, tell, request) {
  if (request.do === "join" && !watched.has(name)) {
    watched.add(name);
    void navigator.locks?.request(tabLock(name), () => {
      watched.delete(name);
      line.leave(name);
    });
  }
  line.hear(name, tell, request);
}
function alone(config, name, tell) {
  const line = new Line(config);
  queueMicrotask(() => tell({ is: "new" }));
  return { post: (request) => line.hear(name, tell, request), close: () => line.end() };
}
function throughWorker(script, key, config, name, tell, gone) {
  const worker = new SharedWorker(script, { type: "module", name: key });
  const { port } = worker;
  worker.onerror = () => gone(true);
  port.onmessage = ({ data }) => {
    if (data.is === "new") void navigator.locks?.request(tabLock(key), { mode: "shared" }, () => gone(false));
    tell(data);
  };
  port.postMessage({ name, config });
  return { post: (request) => port.postMessage(request), close: () => (gone = () => {
  }, port.close()) };
}
function serve(scope) {
  let line;
  const watched = /* @__PURE__ */ new Set();
  const isHeld = holdTabLock(scope.name);
  scope.onconnect = ({ ports: [port] }) => {
    if (!port) return;
    const tell = (news) => port.postMessage(news);
    let name = "";
    port.onmessage = ({ data }) => {
      if ("do" in data) return line && hear(line, watched, name, tell, data);
      line ??= new Line(data.config);
      name = data.name;
      void isHeld.then(() => tell({ is: "new" }));
    };
  };
}
function throughLeader(key, config, name, tell) {
  const channel = new BroadcastChannel(key);
  let line;
  const watched = /* @__PURE__ */ new Set();
  let resign = () => {
  };
  let answeredAt = Date.now();
  let isClosed;
  const lead = () => new Promise((resolve) => {
    if (isClosed) return resolve();
    line = new Line(config);
    watched.clear();
    resign = resolve;
    channel.postMessage({ isLed: true });
    tell({ is: "new" });
  });
  const apply = (options) => void navigator.locks.request(key, options, lead).catch(({ name: name2 }) => name2 === "AbortError" || lead()).finally(() => {
    line?.end();
    line = void 0;
  });
  channel.onmessage = ({ data }) => {
    if ("request" in data) {
      if (!line) return;
      const { from, request } = data;
      hear(line, watched, from, (news) => channel.postMessage({ to: from, news }), request);
    } else if ("isLed" in data) tell({ is: "new" });
    else if (data.to === name) {
      answeredAt = Date.now();
      tell(data.news);
    }
  };
  const post = (request) => line ? line.hear(name, tell, request) : isClosed || channel.postMessage({ from: name, request });
  let askedAt = 0;
  const look = setInterval(() => {
    if (line) return;
    if (askedAt > answeredAt && Date.now() - askedAt > ANSWERS_WITHIN) {
      askedAt = 0;
      apply({ steal: true });
    } else if (askedAt <= answeredAt) {
      askedAt = Date.now();
      post({ do: "ask" });
    }
  }, LOOKS_EACH);
  const freeze = () => {
    if (line) apply({});
    resign();
  };
  document.addEventListener("freeze", freeze);
  apply({});
  post({ do: "ask" });
  return {
    post,
    close() {
      isClosed = true;
      clearInterval(look);
      document.removeEventListener("freeze", freeze);
      resign();
      channel.close();
    }
  };
}

// src/index.ts
var Live = class {
  state = "connecting";
  /** Why it is closed, or what it waits for. */
  error = null;
  onstate = null;
  #options;
  #handlers = /* @__PURE__ */ new Map();
  #gapHandlers = /* @__PURE__ */ new Set();
  #topics;
  #last;
  #storageKey;
  #heard = 0;
  #way;
  #isHeld;
  #isLeft = false;
  #end = new AbortController();
  // its `signal` is an option of listeners
  constructor(url, options) {
    this.#options = options;
    const { topics, headers, credentials = "same-origin", share = true } = options;
    const href = new URL(url, location.href).href;
    this.#topics = topics ? new Set(topics.map(checked)) : null;
    const key = `nitro ${PROTOCOL} ${JSON.stringify([href, !topics, !!headers, credentials, share])}`;
    this.#storageKey = key;
    this.#last = options.since ?? stored(key);
    const config = { url: href, credentials, hasHeaders: !!headers };
    const name = `${Math.random()}`;
    this.#isHeld = share === false ? Promise.resolve() : holdTabLock(name, this.#end.signal);
    this.#way = this.#open(share === false ? null : key, config, name);
    addEventListener("pagehide", this.#leave, this.#end);
    addEventListener("pageshow", this.#comeBack, this.#end);
    addEventListener("online", this.#wake, this.#end);
    document.addEventListener("visibilitychange", this.#wake, this.#end);
    document.addEventListener("resume", this.#wake, this.#end);
  }
  on(pattern, handler) {
    if (pattern === "gap") {
      const hear2 = handler;
      this.#gapHandlers.add(hear2);
      return () => this.#gapHandlers.delete(hear2);
    }
    const all = this.#handlers.get(checked(pattern)) ?? /* @__PURE__ */ new Set();
    this.#handlers.set(pattern, all.add(handler));
    return () => all.delete(handler);
  }
  subscribe(...topics) {
    this.#change((own) => topics.forEach((topic) => own.add(checked(topic))));
  }
  unsubscribe(...topics) {
    this.#change((own) => topics.forEach((topic) => own.delete(topic)));
  }
  close() {
    this.#leave();
    this.#way.close();
    this.#end.abort();
    stored(this.#storageKey);
    this.#tell("closed");
  }
  #open(key, config, name) {
    const tell = (news) => this.#hear(news);
    const { worker } = this.#options;
    const otherwise = () => key !== null && navigator.locks && typeof BroadcastChannel !== "undefined" ? throughLeader(key, config, name, tell) : alone(config, name, tell);
    if (key === null || !worker || typeof SharedWorker === "undefined") return otherwise();
    try {
      return throughWorker(worker, key, config, name, tell, (isBroken) => {
        this.#way = isBroken ? otherwise() : this.#open(key, config, name);
      });
    } catch {
      return otherwise();
    }
  }
  #hear(news) {
    if (this.#isLeft) return;
    if (news.is === "message") this.#message(news);
    else if (news.is === "at") this.#last = isKnown(news.id, this.#last) ? this.#last : news.id;
    else if (news.is === "state") this.#tell(news.state, news.failure);
    else if (news.is === "new") void this.#join();
    else if (news.is === "headers") void this.#giveHeaders();
    else if (news.is === "gap" && !isKnown(news.gap.resumed_at, this.#last)) {
      this.#last = news.gap.resumed_at;
      for (const handler of [...this.#gapHandlers]) attempt(() => handler(news.gap));
    }
  }
  #message({ topic, text, id }) {
    if (++this.#heard % CONFIRM_EACH === 0) queueMicrotask(() => this.#way.post({ do: "heard", last: this.#last }));
    if (id && isKnown(id, this.#last)) return;
    if (id) this.#last = id;
    for (const [pattern, handlers] of [...this.#handlers]) {
      if (topic ? !matches(pattern, topic) : pattern !== "*") continue;
      for (const handler of [...handlers]) attempt(() => handler(JSON.parse(text), { topic, id }));
    }
  }
  async #join() {
    await this.#isHeld;
    if (this.#isLeft) return;
    this.#heard = 0;
    this.#way.post({ do: "join", topics: this.#topics && [...this.#topics], last: this.#last });
  }
  #change(change) {
    if (!this.#topics) throw new TypeError("It was made without topics: the server decides.");
    const before = [...this.#topics].join();
    change(this.#topics);
    if ([...this.#topics].join() !== before) void this.#join();
  }
  async #giveHeaders() {
    try {
      this.#way.post({ do: "headers", headers: await this.#options.headers?.() ?? {} });
    } catch (error) {
      reportError(error);
      this.#way.post({ do: "headers" });
    }
  }
  #tell(state, failure) {
    if (state === this.state && !failure && !this.error) return;
    this.state = state;
    this.error = failure ?? null;
    attempt(() => this.onstate?.(state, this.error));
  }
  #leave = () => {
    this.#isLeft = true;
    if (this.#last) sessionStorageOf()?.setItem(this.#storageKey, this.#last);
    this.#way.post({ do: "leave" });
  };
  #comeBack = ({ persisted }) => {
    if (!persisted) return;
    this.#isLeft = false;
    void this.#join();
  };
  #wake = () => {
    if (document.visibilityState === "visible" && navigator.onLine) this.#way.post({ do: "wake" });
  };
};
var connect = (url, options = {}) => new Live(url, options);
function attempt(work) {
  try {
    work();
  } catch (error) {
    reportError(error);
  }
}
function sessionStorageOf() {
  try {
    return sessionStorage;
  } catch {
    return null;
  }
}
function stored(key) {
  const storage = sessionStorageOf();
  const last = storage?.getItem(key);
  storage?.removeItem(key);
  return last ?? "";
}

// src/client.ts
var connect2 = (url, options = {}) => connect(url, { worker: import.meta.url, ...options });
if ("SharedWorkerGlobalScope" in globalThis) serve(self);
export {
  connect2 as connect
};
