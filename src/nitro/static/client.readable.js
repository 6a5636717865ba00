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

// src/topics.ts
var GRAMMAR = /^(?!nitro($|\.)|presence\..*\*|.*\*\*|.{256})[\w:*-]+(\.[\w:*-]+)*$/;
var PRESENCE = "presence.";
function checked(pattern) {
  if (pattern !== `${pattern}` || !GRAMMAR.test(pattern)) {
    throw new TypeError(
      `${JSON.stringify(pattern)} is no pattern: "a-Z0-9_-:*" between ".", no "**", "presence.*", "nitro."`
    );
  }
  return pattern === "ANY" ? "*" : pattern;
}
function matches(pattern, topic) {
  if (pattern === topic) return true;
  if (topic.startsWith(PRESENCE)) return false;
  const [first = "", ...rest] = pattern.split("*");
  if (!rest.length || !topic.startsWith(first)) return false;
  const last = rest.pop();
  let place = first.length;
  for (const literal of rest) {
    const found = topic.indexOf(literal, place + 1);
    if (found < 0) return false;
    place = found + literal.length;
  }
  return topic.length - last.length > place && topic.endsWith(last);
}

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
var hears = (pattern, topic) => pattern !== "gap" && (topic ? matches(pattern, topic) : pattern === "*");
var HEADERS_WITHIN = 5e3;
async function headersOf(env, { headers }) {
  try {
    return Object.fromEntries(new Headers(await headers?.()));
  } catch (error) {
    env.report(error);
    return null;
  }
}

// src/position.ts
var epoch = (id) => id.slice(0, id.indexOf("-") + 1);
var NO_LOG = "0-0";
var NO_ROWS = "snapshot-0";
var isIncomplete = (id) => id.startsWith("snapshot-");
var isOneLog = (a, b) => epoch(a) === epoch(b) || isIncomplete(a) || isIncomplete(b);
var isKnown = (id, last) => epoch(id) === epoch(last) && !isIncomplete(id) && (id.length < last.length || id.length === last.length && id <= last);

// src/protocol.ts
var PROTOCOL = 4;
var CONFIRM_EACH = 100;
var MOST_UNCONFIRMED = 1e3;
var ASKS_EACH = 1e4;
var ANSWERS_WITHIN = 5e3;
var FORGETS_AFTER = 15e4;

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

// src/rooms.ts
function listed(before, { room, count, members, joined, updated, left }) {
  members ??= (joined ?? updated ?? left) && (before?.members ?? []);
  return {
    room,
    count,
    members: members && [...new Map(members.concat(joined ?? [], updated ?? []).map((member) => [member.user_id, member])).values()].filter(({ user_id }) => !left?.includes(user_id)).sort((a, b) => a.since - b.since)
  };
}

// src/line.ts
var MOST_RECENT = 256;
var SETTLES_AFTER = 3e3;
var PAUSE = 20;
var LONGEST_PAUSE = 500;
var Line = class {
  readers = /* @__PURE__ */ new Set();
  /** For whom it was greeted; empty before. */
  user = "";
  /** Whether its first request was sent: until then it speaks for whoever joins. */
  hasBegun = false;
  #owner;
  #stream;
  #topics = null;
  // what is read
  #recent = [];
  // what came behind `since`, for who joins with an id of its own
  #since = "";
  #rooms = /* @__PURE__ */ new Map();
  // who is where, by topic: they are told once, and who joins later gets them, too
  #newest = "";
  // an id of the newest joiner's: of the log that the server has now, most likely
  #isReading = false;
  // an attempt is on its way
  #pause = PAUSE;
  #begunAt = -LONGEST_PAUSE * 3;
  #opening = null;
  #settling = () => {
  };
  #tried = /* @__PURE__ */ new Set();
  // those whose headers were of no use
  #giver;
  #failure;
  // what the last one of them was answered
  constructor(owner) {
    this.#owner = owner;
    this.#stream = new Stream(owner.env, owner.config, this);
  }
  /** Whether nothing has to be read anew for these topics. */
  covers(topics) {
    const read2 = this.#topics;
    if (this.#stream.state === "closed") return false;
    return !topics || topics.every((topic) => read2?.some((own2) => matches(own2, topic)));
  }
  /** Serve a member that is new, that asks for other topics than before, or that woke up. */
  add(member) {
    const stream = this.#stream;
    const isNew = !this.readers.has(member);
    this.readers.add(member);
    if (member.user) stream.wasOpen ||= !member.isOfPageBefore;
    if (member.last) this.#newest = member.last;
    if (stream.state === "open" && stream.last && !isOneLog(stream.last, member.last)) this.#place(member, stream.last);
    const had = this.#recent.map(({ id }) => isKnown(id, member.last)).lastIndexOf(true);
    const isBehind = member.last === NO_ROWS ? !isIncomplete(this.#since) : member.last && had < 0 && !isKnown(stream.last, member.last) && !isKnown(this.#since, member.last);
    member.isWaiting = !!isBehind || !this.covers(member.topics);
    if (member.isWaiting) {
      member.isNewcomer = true;
      if (isNew || stream.state !== "waiting") this.openSoon();
      if (isNew) member.tell({ is: "state", state: "connecting" });
    } else {
      if (member.last) for (const message of this.#recent.slice(had + 1)) this.#give(member, message);
      for (const [topic, room] of this.#rooms) this.#give(member, { topic, text: JSON.stringify(room), id: "" });
      this.#settleSoon();
      member.tell({ is: "state", state: (isNew || !member.last) && this.#isReading ? "connecting" : stream.state, failure: stream.failure });
    }
  }
  remove(member, isForGood) {
    if (!this.readers.delete(member)) return;
    this.#tried.delete(member);
    if (isForGood && !this.readers.size) this.end();
    else this.#settleSoon();
  }
  wake() {
    this.#stream.wake();
  }
  /** It is as new then. */
  end() {
    this.readers.clear();
    this.#settling();
    this.#opening?.();
    this.#opening = null;
    this.#stream.end();
    this.user = "";
    this.#stream.wasOpen = this.hasBegun = this.#isReading = false;
  }
  state(state, failure) {
    this.#isReading = state === "connecting";
    if (state === "waiting") this.#forgetTrials();
    const isOpen = state === "open";
    let isWhole = true;
    for (const member of this.readers) {
      if (isOpen && member.isWaiting) isWhole = false;
      else if (!isOpen || member.last) {
        if (isOpen) member.isNewcomer = false;
        member.tell({ is: "state", state, failure });
      }
    }
    if (isOpen) isWhole ? this.#settleSoon() : this.openSoon();
  }
  /** Read anew with everybody's topics, soon: who asks at once with others is read with them. What is read goes on until then. */
  openSoon() {
    if (this.#opening || this.#isReading) return;
    const { env } = this.#owner;
    const since = env.now() - this.#begunAt;
    if (since > 2 * LONGEST_PAUSE) this.#pause = PAUSE;
    const delay = this.#stream.state === "closed" ? 0 : Math.max(PAUSE, this.#pause - since);
    this.#opening = env.after(delay, () => {
      this.#opening = null;
      this.#pause = Math.min(this.#pause * 2, LONGEST_PAUSE);
      if (this.#topicsOfAll()?.length !== 0) this.#stream.open();
    });
  }
  /** Null if the server decides; then it does for all members. */
  #topicsOfAll() {
    const all = new Set([...this.readers].flatMap(({ topics }) => topics ?? [""]));
    return all.has("") ? null : [...all].sort();
  }
  /** Of an attempt: everybody's topics, from where the one stands who has had least. */
  wanted() {
    this.#opening?.();
    this.#opening = null;
    const { state, last } = this.#stream;
    const ids = [];
    for (const member of this.readers) {
      if (state === "open" && last && member.last && !isOneLog(last, member.last)) this.#place(member, last);
      member.isWaiting = false;
      if (member.last && !member.isAsleep) ids.push(member.last);
    }
    const newest = ids.includes(this.#newest) ? this.#newest : ids.at(-1);
    let from = "";
    for (const id of ids) if (isIncomplete(id) || isOneLog(id, newest) && (!from || isKnown(id, from))) from = id;
    const topics = this.#topicsOfAll();
    if (topics?.join() !== this.#topics?.join()) this.#forgetTrials();
    this.#topics = topics;
    this.#since = from;
    this.#recent = [];
    this.#rooms.clear();
    this.hasBegun = this.#isReading = true;
    this.#begunAt = this.#owner.env.now();
    return { topics, last: from };
  }
  /** The newest member's first; the next one's if it has none, or if they are refused. */
  headers(give) {
    const next = [...this.readers].reverse().find((member) => !this.#tried.has(member));
    this.#giver = this.#owner.config.hasHeaders ? next : void 0;
    if (!next) {
      const failure = this.#failure;
      this.#forgetTrials();
      return failure ? this.#blame(failure) : give(null);
    }
    this.#tried.add(next);
    return this.#owner.headers(next, (headers) => headers ? give(headers) : this.headers(give));
  }
  /** It counts as reading until it is settled: who joins now doesn't open it. */
  refused(failure) {
    const isOfToken = this.#giver && (failure.status === 401 || failure.status === 403);
    this.#failure = failure;
    if (isOfToken && this.readers.size) this.#stream.open();
    else this.#blame(failure);
  }
  #blame(failure) {
    this.#forgetTrials();
    if (this.readers.size && this.#topicsOfAll()?.join() !== this.#topics?.join()) this.#stream.open();
    else this.#owner.refused(failure);
  }
  #forgetTrials() {
    this.#tried.clear();
    this.#failure = void 0;
  }
  greeted(user) {
    this.#forgetTrials();
    this.#isReading = false;
    this.#owner.greeted(user, this.#giver);
  }
  /** Ask again at once, from where the members are, as after somebody had to leave. It ends if nobody is left. */
  again() {
    if (this.readers.size) this.#stream.open();
    else this.end();
  }
  #settleSoon() {
    this.#settling();
    this.#settling = this.#owner.env.after(SETTLES_AFTER, () => {
      if (!this.readers.size) this.end();
      else if (this.#stream.state === "open" && this.#topicsOfAll()?.join() !== this.#topics?.join()) this.openSoon();
    });
  }
  message(topic, text, id) {
    if (topic.startsWith(PRESENCE)) {
      const room = listed(this.#rooms.get(topic), JSON.parse(text));
      this.#rooms.set(topic, room);
      text = JSON.stringify(room);
      id = "";
    }
    const message = { topic, text, id };
    const before = this.#recent.at(-1);
    if (before && isIncomplete(id) && !isIncomplete(before.id)) [this.#recent, this.#since] = [[], id];
    if (id && this.#recent.push(message) > MOST_RECENT) {
      const { id: id2 } = this.#recent.shift();
      this.#since = isIncomplete(id2) ? "" : id2;
    }
    for (const member of this.readers) this.#give(member, message);
  }
  #give(member, { topic, text, id }) {
    if (member.isAsleep || member.isWaiting || id && isKnown(id, member.last)) return;
    if (id) member.last = id;
    if (topic && member.topics && !member.topics.some((pattern) => matches(pattern, topic))) return;
    if (++member.unconfirmed > MOST_UNCONFIRMED) member.isAsleep = true;
    else member.tell({ is: "message", topic, text, id });
  }
  gap(gap) {
    const id = gap.resumed_at;
    this.#recent = [];
    this.#since = id;
    for (const member of this.readers) {
      const { last } = member;
      if (member.isWaiting || isKnown(id, last)) continue;
      member.isWaiting = !isIncomplete(last) && isOneLog(id, last) && !isKnown(last, this.#stream.last);
      if (!member.isWaiting) this.#place(member, id, gap);
    }
    this.state("open");
  }
  /** It stands there now, and is told so: by a gap if there is one, as where it stood in another log. */
  #place(member, id, gap = !isOneLog(id, member.last) && { reason: "epoch", resumed_at: id }) {
    const isNew = !member.last;
    member.last = id;
    if (!member.isAsleep) member.tell(gap && !isNew ? { is: "gap", gap } : { is: "at", id });
  }
  at(id) {
    this.#since ||= id;
    for (const member of this.readers) {
      if (!member.isWaiting) this.#place(member, isKnown(id, member.last) ? member.last : id);
    }
  }
};

// src/host.ts
var OTHER_USER = failed(419);
var FRESH = { isNewcomer: true, probedAt: -LONGEST_PAUSE };
var Host = class {
  env;
  config;
  /** The lock that it holds, or whatever tells it from others. */
  name;
  #members = /* @__PURE__ */ new Map();
  #line;
  #probes = /* @__PURE__ */ new Map();
  #questions = /* @__PURE__ */ new Map();
  #count = 0;
  #sweeping = null;
  constructor(env, config, name) {
    this.env = env;
    this.config = config;
    this.name = name;
    this.#line = new Line(this);
  }
  hear(name, tell, request) {
    const member = this.#members.get(name);
    if (member) member.heardAt = this.env.now();
    if (request.do === "join") this.#join(name, tell, request, member);
    else if (request.do === "ask") tell({ is: member ? "here" : "new", host: this.name });
    else if (!member) return;
    else if (request.do === "leave") this.#forget(member, request.isForGood);
    else if (request.do === "wake") this.#wake(member);
    else if (request.do === "headers") this.#questions.get(request.number)?.give(request.headers ?? null);
    else {
      member.unconfirmed -= CONFIRM_EACH;
      if (member.isAsleep && member.unconfirmed < CONFIRM_EACH) this.#join(name, tell, { ...member, do: "join", turn: 0, last: request.last }, member);
    }
  }
  end() {
    for (const member of [...this.#members.values()]) this.#forget(member, true);
    this.#line.end();
    this.#sweeping?.();
  }
  headers(member, give) {
    if (!this.config.hasHeaders) return give({});
    const number = ++this.#count;
    const answer = (headers) => {
      undo();
      if (this.#questions.delete(number)) give(headers);
    };
    const undo = this.env.after(HEADERS_WITHIN, () => answer(null));
    this.#questions.set(number, { member, give: answer });
    member.tell({ is: "headers", number });
  }
  greeted(user, giver) {
    const line = this.#line;
    if (giver && line.user && line.user !== user && !this.#prove(giver, user)) return line.again();
    line.user = user;
    let isMisplaced = false;
    for (const member of [...line.readers]) {
      const { last } = member;
      if (giver && member !== giver && (!member.user || member.isOfPageBefore)) {
        line.remove(member, false);
        this.#prepare(member, 0);
      } else if (this.#prove(member, user)) isMisplaced ||= member.last !== last;
    }
    if (isMisplaced || !line.readers.size) line.again();
  }
  /**
   * Those who are new have asked for too much, and go apart. Where nobody is, or everybody, the last one stays, and the
   * others join again, each by itself.
   */
  refused(failure) {
    const line = this.#line;
    const members = [...line.readers];
    const newcomers = members.filter(({ isNewcomer }) => isNewcomer);
    const areSomeNew = newcomers.length && newcomers.length < members.length;
    for (const member of areSomeNew ? newcomers : members.slice(0, -1)) {
      if (areSomeNew) this.#part(member);
      else {
        line.remove(member, false);
        this.#prepare(member, 0);
      }
    }
    if (members.length > 1) return line.again();
    line.end();
    for (const member of members) this.#expel(member, failure);
  }
  #join(name, tell, request, known) {
    const { topics, last, user, isOfPageBefore, turn: turn2 } = request;
    const now = { tell, topics, last, unconfirmed: 0, isAsleep: false, isWaiting: true, heardAt: this.env.now() };
    const isGreeted = user && !isOfPageBefore;
    const whose = isGreeted || !known?.user || known.isOfPageBefore ? { user, isOfPageBefore } : {};
    const member = Object.assign(known ?? { ...FRESH, name }, now, whose);
    this.#members.set(name, member);
    this.#sweeping ??= this.env.after(FORGETS_AFTER / 4, this.#sweep);
    if (turn2) tell({ is: "joined", turn: turn2 });
    if (member.user && !member.isOfPageBefore) tell({ is: "user", user: member.user });
    const line = this.#line;
    const isIn = line.readers.has(member);
    const hasTopics = topics?.length !== 0;
    if (!hasTopics || (isIn ? line.covers(topics) || line.readers.size === 1 : this.#needsNoProof(topics))) {
      this.#stopProbe(member);
      if (!hasTopics) {
        line.remove(member, false);
        tell({ is: "state", state: "waiting" });
      } else if (!line.user || this.#prove(member, line.user)) line.add(member);
      return;
    }
    if (!isIn) tell({ is: "state", state: "connecting" });
    if (!this.#probes.has(member)) this.#prepare(member, known ? PAUSE : 0);
  }
  /** Whether the first request speaks for it, or whoever shares the line has said that it is one user's. */
  #needsNoProof(topics) {
    const { isTrusted, hasHeaders } = this.config;
    const line = this.#line;
    return !line.hasBegun && !(hasHeaders && line.readers.size) || isTrusted && line.covers(topics);
  }
  /** Let it in if a probe is right. Who asks for more all the time is probed as seldom as a line is read anew. */
  #prepare(member, pause) {
    const { env, config } = this;
    const line = this.#line;
    const url = new URL(config.url);
    url.searchParams.append("probe", "1");
    let asked;
    this.#stopProbe(member);
    member.isWaiting = true;
    const end = () => {
      this.#probes.delete(member);
      undo();
      stream.end();
    };
    const isAskedAgain = () => asked !== member.topics && (this.#prepare(member, PAUSE), true);
    const stream = new Stream(env, { url: url.href, credentials: config.credentials }, {
      wanted: () => ({ topics: asked = member.topics, last: "" }),
      headers: (give) => this.headers(member, give),
      state: (state, failure) => state === "waiting" && member.tell({ is: "state", state, failure }),
      greeted: (user) => {
        end();
        const isSame = !line.user || line.user === user;
        if (!isSame && config.hasHeaders) return this.#part(member);
        if (!this.#prove(member, user) || isAskedAgain()) return;
        if (!isSame) line.again();
        line.add(member);
      },
      refused: (failure) => isAskedAgain() || this.#expel(member, failure),
      message: () => {
      },
      gap: () => {
      },
      at: () => {
      }
    });
    stream.wasOpen = !!member.user && !member.isOfPageBefore;
    this.#probes.set(member, { stream, end });
    const undo = env.after(Math.max(pause, member.probedAt + LONGEST_PAUSE - env.now()), () => {
      member.probedAt = env.now();
      stream.open();
    });
  }
  #stopProbe(member) {
    this.#probes.get(member)?.end();
  }
  /** It is this user's, as a greeting says that was asked for after it had joined. False if it is not, and has to go. */
  #prove(member, user) {
    if (member.user && member.user !== user) {
      if (member.isOfPageBefore) member.last = "";
      else if (member.user.startsWith("u")) {
        this.#expel(member, OTHER_USER);
        return false;
      } else member.tell({ is: "gap", gap: { reason: "rights", resumed_at: member.last } });
    }
    if (member.user !== user || member.isOfPageBefore) member.tell({ is: "user", user });
    member.user = user;
    member.isOfPageBefore = false;
    return true;
  }
  /** It has to have a stream of its own. */
  #part(member) {
    this.#forget(member, false);
    member.tell({ is: "apart" });
  }
  #expel(member, failure) {
    this.#forget(member, false);
    member.tell({ is: "state", state: "closed", failure });
  }
  #forget(member, isForGood) {
    this.#members.delete(member.name);
    this.#line.remove(member, isForGood);
    for (const { member: asked, give } of [...this.#questions.values()]) if (asked === member) give(null);
    this.#stopProbe(member);
  }
  #wake(member) {
    this.#line.wake();
    this.#probes.get(member)?.stream.wake();
  }
  #sweep = () => {
    this.#sweeping = this.#members.size ? this.env.after(FORGETS_AFTER / 4, this.#sweep) : null;
    for (const member of [...this.#members.values()]) if (this.env.now() - member.heardAt > FORGETS_AFTER) this.#forget(member, false);
  };
};

// src/ways.ts
var lifeOf = (name) => `nitro life ${name}`;
function bundled(env, post) {
  const all = [];
  return (news) => {
    if (all.push(news) === 1) env.soon(() => post(all.splice(0)));
  };
}
function listen(host, forget = (_) => {
}) {
  const watched = /* @__PURE__ */ new Map();
  return (name, tell, request) => {
    if (request.do === "join" && !watched.has(name)) {
      const gone = () => {
        watched.delete(name);
        host.hear(name, tell, { do: "leave", isForGood: false });
        forget(name);
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
function alone(env, config, name, tell) {
  const host = new Host(env, config, name);
  const later = bundled(env, (all) => all.forEach(tell));
  return { kind: "alone", post: (request) => host.hear(name, later, request), close: () => host.end() };
}
function throughWorker(env, script, key, config, name, tell, gone) {
  let watch;
  const hear = (all) => {
    for (const news of all) {
      if ("host" in news) watch ??= env.locks?.watch(lifeOf(news.host), () => gone(false));
      tell(news);
    }
  };
  const port = env.worker(script, key, hear, () => gone(true));
  port.post({ name, config });
  return {
    kind: "worker",
    post: port.post,
    close() {
      watch?.();
      port.post({ do: "leave", isForGood: false });
      port.close();
    }
  };
}
function serve(env) {
  const own2 = env.name();
  let hear;
  let waiting = [];
  const ready = () => {
    const all = waiting;
    waiting = null;
    for (const tell of all) tell({ is: "new", host: own2 });
  };
  if (env.locks) env.locks.hold(lifeOf(own2), ready);
  else ready();
  return (port) => {
    const tell = bundled(env, port.post);
    let name = "";
    return (data) => {
      if ("do" in data) return hear?.(name, tell, data);
      hear ??= listen(new Host(env, data.config, own2));
      name = data.name;
      if (waiting) waiting.push(tell);
      else tell({ is: "new", host: own2 });
    };
  };
}
function throughLeader(env, key, config, name, tell) {
  const locks = env.locks;
  const open = env.channel;
  let host;
  let hear;
  let isClosed = false;
  let resign;
  let leader = "";
  const members = /* @__PURE__ */ new Map();
  const later = bundled(env, (all) => all.forEach(tell));
  const memberAt = (from) => {
    const port = open(`${key} ${from}`, () => {
    });
    return { port, tell: bundled(env, (all) => port.post({ by: name, all })) };
  };
  const forget = (member) => {
    members.get(member)?.port.close();
    members.delete(member);
  };
  const step = (down) => {
    resign = down;
    if (isClosed) return down();
    host = new Host(env, config, name);
    hear = listen(host, forget);
    channel.post({ isLed: name });
    tell({ is: "new", host: name });
  };
  const over = () => {
    host?.end();
    host = hear = resign = void 0;
    for (const member of [...members.keys()]) forget(member);
    leader = "";
    if (isClosed) return;
    candidacy = locks.lead(key, false, step, over);
    channel.post({ from: name, request: { do: "ask" } });
  };
  const channel = open(key, (parcel) => {
    if ("isLed" in parcel) host || tell({ is: "new", host: leader = parcel.isLed });
    else if (hear) {
      const { from, request } = parcel;
      const member = members.get(from) ?? memberAt(from);
      if (request.do === "join") members.set(from, member);
      hear(from, member.tell, request);
      if (request.do === "leave") forget(from);
      if (!members.has(from)) env.soon(() => member.port.close());
    }
  });
  const inbox = open(`${key} ${name}`, ({ by, all }) => {
    for (const news of all) {
      if (host) return;
      if (by === leader) tell(news);
      else if ("host" in news) tell({ is: "new", host: leader = by });
    }
  });
  let candidacy = locks.lead(key, false, step, over);
  const freeze = env.on("freeze", () => resign?.());
  return {
    kind: "leader",
    post: (request) => hear ? hear(name, later, request) : channel.post({ from: name, request }),
    replace() {
      candidacy();
      candidacy = locks.lead(key, true, step, over);
    },
    close() {
      isClosed = true;
      freeze();
      candidacy();
      channel.close();
      inbox.close();
    }
  };
}

// src/route.ts
var TRIES_AGAIN_AFTER = 5e3;
var TRIES_AGAIN_AT_LATEST = 36e5;
var MOST_DEATHS = 3;
function makeRoute(env, { key, config, worker: worker2 }, tell) {
  const name = env.name();
  let secondBest = key && env.locks && env.channel ? "leader" : "alone";
  let way;
  let spare;
  let deaths = 0;
  let pause = TRIES_AGAIN_AFTER;
  let isHeard = false;
  let wasHeard = false;
  let letGo = () => {
  };
  let timer = () => {
  };
  let later = () => {
  };
  function use(kind) {
    isHeard = wasHeard = false;
    try {
      way = open(kind);
    } catch {
      if (kind !== "worker") secondBest = "alone";
      return use(secondBest);
    }
    if (kind !== "worker") way.post({ do: "ask" });
    wait();
  }
  function open(kind) {
    let own2;
    const hearOwn = (news) => hear(own2, news);
    if (kind === "alone") own2 = alone(env, config, name, hearOwn);
    else if (kind === "leader") own2 = throughLeader(env, key, config, name, hearOwn);
    else own2 = throughWorker(env, worker2, key, config, name, hearOwn, (isBroken) => lose(own2, isBroken));
    return own2;
  }
  function hear(from, news) {
    if (from && from === spare) adopt(from);
    if (from !== way) return;
    isHeard = wasHeard = true;
    if (news.is === "here") deaths = 0;
    else if (news.is === "apart") {
      later();
      way?.close();
      use("alone");
    } else tell(news);
  }
  function ask() {
    isHeard = false;
    way?.post({ do: "ask" });
    wait();
  }
  function wait() {
    const due = env.now() + ANSWERS_WITHIN;
    timer();
    timer = env.after(ANSWERS_WITHIN, () => {
      if (isHeard) timer = env.after(ASKS_EACH - ANSWERS_WITHIN, ask);
      else if (env.now() - due > 2e3 && wasHeard) ask();
      else lose(way, false);
    });
  }
  function lose(lost, isBroken) {
    if (!lost || lost !== way) return;
    if (lost.kind === "leader") {
      lost.replace();
      return wait();
    }
    if (!isBroken && wasHeard && ++deaths <= MOST_DEATHS) {
      lost.close();
      return use(lost.kind);
    }
    if (isBroken || wasHeard) lost.close();
    else spare = lost;
    tryLater();
    return use(secondBest);
  }
  function tryLater() {
    later = env.after(pause, () => {
      pause = Math.min(pause * 2, TRIES_AGAIN_AT_LATEST);
      spare?.close();
      try {
        spare = open("worker");
      } catch {
        spare = void 0;
      }
      tryLater();
    });
  }
  function adopt(found) {
    later();
    way?.post({ do: "leave", isForGood: false });
    way?.close();
    way = found;
    spare = void 0;
    wait();
  }
  return {
    open() {
      const begin = () => use(key && worker2 && env.worker ? "worker" : secondBest);
      if (key && env.locks) letGo = env.locks.hold(lifeOf(name), begin);
      else begin();
    },
    post: (request) => way?.post(request),
    ask: () => void (wasHeard && ask()),
    close() {
      timer();
      later();
      spare?.close();
      way?.close();
      letGo();
    }
  };
}

// src/live.ts
var POSITION = "nitro.position";
var KEPT_FOR = 6e4;
var STARTS_WITHIN = 1e4;
var Member = class {
  state = "connecting";
  error = null;
  onstate = null;
  #env;
  #options;
  #handlers = /* @__PURE__ */ new Set();
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
  constructor(env, href, options) {
    this.#env = env;
    this.#options = options;
    const { topics, headers, credentials = "same-origin", worker: worker2 = false } = options;
    const share = options.share ?? true;
    this.#topics = topics ? new Set(topics.map(checked)) : null;
    const key = `nitro ${PROTOCOL} ${JSON.stringify([href, !topics, !!headers, credentials, share])}`;
    this.#storageKey = `${key} ${this.#names()}`;
    this.#last = options.since ?? "";
    const isTrusted = share === `${share}`;
    const config = { url: href, credentials, hasHeaders: !!headers, isTrusted };
    this.#makeRoute = () => makeRoute(env, { key: share === false ? null : key, config, worker: worker2 }, (news) => this.#hear(news));
    const { on } = env;
    this.#undo.push(
      on("hide", () => this.#leave()),
      on("hide", () => this.#leave()),
      // where Firefox ends a page's process, it may break one listener off, past any `finally`
      on("show", this.#enter),
      on("look", this.#look),
      on("start", () => this.#start())
    );
  }
  on(pattern, handler) {
    const own2 = { pattern: pattern === "gap" || pattern === POSITION ? pattern : checked(pattern), handler };
    this.#handlers.add(own2);
    return () => void this.#handlers.delete(own2);
  }
  presence(room, handler) {
    const topic = checked(PRESENCE + checked(room));
    const end = this.on(topic, ({ members = [], count }) => handler(members, count));
    this.#topics?.add(topic);
    this.#join();
    return () => {
      end();
      if (this.#topics && ![...this.#handlers].some(({ pattern }) => pattern === topic)) this.unsubscribe(topic);
    };
  }
  subscribe(...topics) {
    const all = topics.map(checked);
    this.#change((own2) => all.forEach((topic) => own2.add(topic)));
  }
  unsubscribe(...topics) {
    this.#change((own2) => topics.forEach((topic) => own2.delete(topic === "ANY" ? "*" : topic)));
  }
  close() {
    this.#env.keep(this.#storageKey, null);
    this.#handlers.clear();
    this.#end(true);
    this.#tell("closed");
  }
  #names() {
    return [...this.#topics ?? []].sort().join();
  }
  /** At the place that the page before left, if it was there just now: a page that was loaded ahead comes later than it. */
  #start() {
    const { before, date, kept, now, after: after2 } = this.#env;
    const key = this.#storageKey;
    const found = before[key] ??= { ...kept(key), until: now() + STARTS_WITHIN };
    if (this.#options.since === void 0 && found.last && now() < found.until && Math.abs(date() - found.date) < KEPT_FOR) {
      this.#last = found.last;
      this.#user = found.user;
      this.#isOfPageBefore = true;
      this.#undo.push(after2(STARTS_WITHIN, () => this.#startsNow ||= this.#topics?.size === 0));
    }
    this.#enter();
  }
  #enter = () => {
    if (this.#route || this.state === "closed") return;
    this.#env.keep(this.#storageKey, null);
    this.#route = this.#makeRoute();
    this.#route.open();
  };
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
    if (news.is === "new") this.#join();
    else if (news.is === "joined") this.#isJoined ||= news.turn === this.#turn;
    else if (news.is === "headers") void this.#giveHeaders(this.#route, news.number);
    else if (!this.#isJoined || this.#topics?.size === 0 && ("id" in news || "gap" in news)) return;
    else if (news.is === "message") this.#message(news);
    else if (news.is === "user") [this.#user, this.#isOfPageBefore] = [news.user, false];
    else if (news.is === "at") {
      if (this.#stand(news.id)) this.#call((pattern) => pattern === POSITION, (handler) => handler(news.id));
    } else if (news.is === "gap") {
      if (news.gap.reason !== "rights" && isKnown(news.gap.resumed_at, this.#last)) return;
      this.#last = news.gap.resumed_at;
      this.#call((pattern) => pattern === "gap", (handler) => handler(news.gap));
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
    if (isOld) return;
    const { parse = JSON.parse } = this.#options;
    this.#call((pattern) => hears(pattern, topic), (handler) => handler((topic.startsWith(PRESENCE) ? JSON.parse : parse)(text), { topic, id }));
  }
  /** Call those that were there when it began, and still are. */
  #call(isMeant, call) {
    const all = this.#handlers;
    for (const own2 of [...all]) if (all.has(own2) && isMeant(own2.pattern)) tried(this.#env, () => call(own2.handler));
  }
  /** False if it stands there or behind already. */
  #stand(id) {
    this.#startsNow = false;
    const isNew = !isKnown(id, this.#last);
    if (isNew) this.#last = id;
    return isNew;
  }
  /** What is on its way to us is not heard, since it would move us past what we ask for now. It comes again. */
  #join() {
    this.#isJoined = false;
    this.#unconfirmed = 0;
    this.#route?.post({
      do: "join",
      turn: ++this.#turn,
      topics: this.#topics && [...this.#topics],
      last: this.#startsNow ? "" : this.#last,
      user: this.#user,
      isOfPageBefore: this.#isOfPageBefore
    });
  }
  #change(change) {
    if (!this.#topics) throw new TypeError("Without topics the server decides.");
    const before = this.#names();
    change(this.#topics);
    if (this.#names() === before) return;
    if (!this.#topics.size) {
      this.#startsNow = true;
      if (this.#route) this.#tell("waiting");
    }
    this.#join();
  }
  async #giveHeaders(route, number) {
    const headers = await headersOf(this.#env, this.#options);
    route.post({ do: "headers", number, headers });
  }
  #tell(state, failure) {
    turn(this.#env, this, state, failure);
  }
  #leave() {
    const { keep, kept, date } = this.#env;
    const own2 = this.#last;
    const other = kept(this.#storageKey)?.last;
    const last = !other || isKnown(own2, other) ? own2 : !own2 || isOneLog(own2, other) ? other : NO_LOG;
    if (last && !this.#startsNow) keep(this.#storageKey, { last, user: this.#user, date: date() });
    this.#exit(false);
  }
  #look = () => {
    this.#route?.post({ do: "wake" });
    this.#route?.ask();
  };
};

// src/serve.ts
function serveAll() {
  const welcome = serve(browser());
  const scope = self;
  scope.onconnect = ({ ports: [opened] }) => {
    const port = portOf(opened, (data) => hear(data));
    const hear = welcome(port);
  };
}

// src/client.ts
var connect = (url, options = {}) => new Member(...here(url), { worker: import.meta.url, ...options });
if ("SharedWorkerGlobalScope" in globalThis) serveAll();
export {
  connect
};
