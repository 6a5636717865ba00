// The surroundings of a page, or of a worker, as the browser has them.

import type { Env, Locks, PageEnv, Port, Undo } from "./env.js";
import { read } from "./transports.js";

function after(milliseconds: number, act: () => void): Undo {
  const timer = setTimeout(act, milliseconds);
  return () => clearTimeout(timer);
}

/** A port or channel that says and hears nothing once it is closed. */
export function portOf(opened: MessagePort | BroadcastChannel, hear: (data: any) => void): Port {
  let isOpen = true;
  opened.onmessage = ({ data }: MessageEvent) => hear(data);
  return {
    post: (data) => isOpen && opened.postMessage(data),
    close() {
      isOpen = false;
      opened.onmessage = null; // Chromium keeps a worker's ports for as long as the worker, with all that they hold
      opened.close();
    },
  };
}

/** Web Locks. Where a request is refused, as the browser may for a frame, it is as if nobody else was there. */
function locksOf(manager: LockManager): Locks {
  /** Ask for a lock, and call `got` with what frees it, and `over` when it is free again. */
  const ask = (name: string, options: LockOptions, got: (free: Undo) => void, over = () => {}, isRefused = () => got(over)): Undo => {
    const aborter = new AbortController();
    let free: Undo | undefined;
    const hold = () =>
      new Promise<void>((resolve) => {
        free = resolve;
        got(resolve);
      });
    // a lock that is stolen can't be waited for, and so has no signal
    manager
      .request(name, options.steal ? options : { ...options, signal: aborter.signal }, hold)
      .then(over, ({ name }) => (free ? over() : name === "AbortError" || isRefused()));
    return () => {
      aborter.abort();
      free?.();
    };
  };
  return {
    hold: (name, held) => ask(name, {}, held),
    watch: (name, gone) => ask(name, { mode: "shared" }, (free) => (free(), gone()), undefined, () => {}),
    lead: (name, steal, led, over) => ask(name, { steal }, led, over),
  };
}

export const browser = (): Env => ({
  now: () => performance.now(),
  after,
  soon: (act) => queueMicrotask(act),
  random: Math.random,
  name: () => `${Math.random()}`,
  read,
  locks: navigator.locks && locksOf(navigator.locks),
  channel: globalThis.BroadcastChannel && ((name, hear) => portOf(new BroadcastChannel(name), hear)),
});

function worker(script: string | URL, name: string, hear: (data: any) => void, broken: () => void): Port {
  // It outlives the page, where the browser can do so: a site of many pages keeps its stream.
  const started = new SharedWorker(script, { type: "module", name, extendedLifetime: true } as WorkerOptions);
  const port = portOf(started.port, hear);
  started.onerror = broken;
  return {
    post: port.post,
    close() {
      started.onerror = null;
      port.close();
    },
  };
}

function storage(use: (storage: Storage) => unknown): any {
  try {
    return use(sessionStorage);
  } catch {
    return null; // it is full, or the browser forbids it
  }
}

const page = (): PageEnv => ({
  ...browser(),
  worker: globalThis.SharedWorker && worker,
  keep: (key, thing) => storage((kept) => (thing ? kept.setItem(key, JSON.stringify(thing)) : kept.removeItem(key))),
  kept: (key) => storage((kept) => JSON.parse(kept.getItem(key)!)),
  before: {},
  date: Date.now,
  on(what, act) {
    const end = new AbortController(); // its `signal` is an option of listeners
    const shown = ({ persisted }: PageTransitionEvent) => persisted && act();
    const looked = () => document.visibilityState === "visible" && navigator.onLine && act();
    if (what === "hide") addEventListener("pagehide", act, end);
    else if (what === "show") addEventListener("pageshow", shown, end);
    else if (what === "freeze") document.addEventListener("freeze", act, end);
    else if (what === "look") {
      addEventListener("online", looked, end);
      for (const name of ["visibilitychange", "resume"]) document.addEventListener(name, looked, end);
    } else if ((document as { prerendering?: boolean }).prerendering) document.addEventListener("prerenderingchange", act, end);
    else act();
    return () => end.abort();
  },
  report: (error) => reportError(error),
});

let own: PageEnv | undefined;

/** This page, and the URL as a link in it is resolved. */
export const here = (url: string | URL): [PageEnv, string] => [(own ??= page()), new URL(url, document.baseURI).href];
