// The ways to share a line: in a worker, in the tab that leads, or not at all. Each says "new" when there is a host to join.

import { Line } from "./line.js";
import type { Config, Tell, ToHost, ToMember, Way } from "./protocol.js";

const LOOKS_EACH = 10_000;
const ANSWERS_WITHIN = 5000;

/** A lock that is held as long as the tab lives: however it ends, who waits for the lock gets to know. */
const tabLock = (name: string) => `nitro tab ${name}`;

export const holdTabLock = (name: string, end?: AbortSignal) =>
  new Promise<unknown>((isHeld) => {
    const hold = () => (isHeld(0), new Promise((free) => end && (end.onabort = free)));
    // without HTTPS, or where the browser forbids it, only what a tab says itself is known
    Promise.resolve(navigator.locks?.request(tabLock(name), hold)).then(isHeld, isHeld);
  });

/** Let `line` hear a member, and know when its tab is gone. */
function hear(line: Line, watched: Set<string>, name: string, tell: Tell, request: ToHost): void {
  if (request.do === "join" && !watched.has(name)) {
    watched.add(name);
    void navigator.locks?.request(tabLock(name), () => {
      watched.delete(name);
      line.leave(name);
    });
  }
  line.hear(name, tell, request);
}

export function alone(config: Config, name: string, tell: Tell): Way {
  const line = new Line(config);
  queueMicrotask(() => tell({ is: "new" }));
  return { post: (request) => line.hear(name, tell, request), close: () => line.end() };
}

// ---- A shared worker: one for each key, since its name is part of what it is.

type FirstWord = { name: string; config: Config };

export function throughWorker(
  script: string | URL,
  key: string,
  config: Config,
  name: string,
  tell: Tell,
  gone: (isBroken: boolean) => void,
): Way {
  const worker = new SharedWorker(script, { type: "module", name: key });
  const { port } = worker;
  worker.onerror = () => gone(true);
  port.onmessage = ({ data }: MessageEvent<ToMember>) => {
    // held by the worker as long as it lives: it goes with the process of the tab that started it
    if (data.is === "new") void navigator.locks?.request(tabLock(key), { mode: "shared" }, () => gone(false));
    tell(data);
  };
  port.postMessage({ name, config } satisfies FirstWord);
  return { post: (request) => port.postMessage(request), close: () => ((gone = () => {}), port.close()) };
}

/** The worker's side. */
export function serve(scope: { name: string; onconnect: ((event: MessageEvent) => void) | null }): void {
  let line: Line | undefined;
  const watched = new Set<string>();
  const isHeld = holdTabLock(scope.name);
  scope.onconnect = ({ ports: [port] }) => {
    if (!port) return;
    const tell: Tell = (news) => port.postMessage(news);
    let name = "";
    port.onmessage = ({ data }: MessageEvent<FirstWord | ToHost>) => {
      if ("do" in data) return line && hear(line, watched, name, tell, data);
      line ??= new Line(data.config);
      name = data.name;
      void isHeld.then(() => tell({ is: "new" }));
    };
  };
}

// ---- The tab that leads: it holds a lock, and whoever waits for it is the next.

type Parcel = { to: string; news: ToMember } | { from: string; request: ToHost } | { isLed: true };

export function throughLeader(key: string, config: Config, name: string, tell: Tell): Way {
  const channel = new BroadcastChannel(key);
  let line: Line | undefined;
  const watched = new Set<string>();
  let resign = () => {};
  let answeredAt = Date.now();
  let isClosed: boolean | undefined;

  const lead = () =>
    new Promise<void>((resolve) => {
      if (isClosed) return resolve();
      line = new Line(config);
      watched.clear();
      resign = resolve;
      channel.postMessage({ isLed: true } satisfies Parcel);
      tell({ is: "new" });
    });
  const apply = (options: LockOptions) =>
    void navigator.locks
      .request(key, options, lead)
      // by somebody who took it from a leader that did not answer; or the browser forbids it
      .catch(({ name }): unknown => name === "AbortError" || lead())
      .finally(() => {
        line?.end();
        line = undefined;
      });

  channel.onmessage = ({ data }: MessageEvent<Parcel>) => {
    if ("request" in data) {
      if (!line) return;
      const { from, request } = data;
      hear(line, watched, from, (news) => channel.postMessage({ to: from, news } satisfies Parcel), request);
    } else if ("isLed" in data) tell({ is: "new" });
    else if (data.to === name) {
      answeredAt = Date.now();
      tell(data.news);
    }
  };
  const post = (request: ToHost) =>
    line ? line.hear(name, tell, request) : isClosed || channel.postMessage({ from: name, request } satisfies Parcel);

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
    if (line) apply({}); // again, behind all others
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
    },
  };
}
