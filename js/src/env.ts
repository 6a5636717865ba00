// What the client needs of its surroundings. `browser.ts` has the real ones; the explorer in `test/` a world of its own,
// in which time, messages and crashes are in its hand. Nothing else touches a global of the browser's.

import type { Close, Request, Sink } from "./transports.js";

/** Undoes what returned it: a timer, a listener, a lock that is held or waited for. Harmless when called again. */
export type Undo = () => void;

export interface Port {
  post(data: unknown): void;
  close(): void;
}

export interface Locks {
  /** Hold a lock of this name as long as this process lives. `held` is called when it is, or when it can't be. */
  hold(name: string, held: () => void): Undo;
  /** Call `gone` when nobody holds this lock (any more). */
  watch(name: string, gone: () => void): Undo;
  /**
   * Lead when it is this one's turn, or at once if it is stolen. `led` gets what gives it up; `over` says that somebody
   * took it, or that it is given up.
   */
  lead(name: string, isStolen: boolean, led: (resign: Undo) => void, over: () => void): Undo;
}

export interface Env {
  /** Milliseconds on a clock that nobody sets. */
  now(): number;
  after(milliseconds: number, act: () => void): Undo;
  /** When what runs now is done. */
  soon(act: () => void): void;
  random(): number;
  /** Whatever nobody else has as a name. */
  name(): string;
  read(request: Request, sink: Sink): Close;
  /** Null where the browser has none or forbids them: pages without HTTPS, frames in a sandbox. */
  locks: Locks | null;
  channel: ((name: string, hear: (data: any) => void) => Port) | null;
}

/** What a page has beyond that. */
export interface PageEnv extends Env {
  worker: ((script: string | URL, name: string, hear: (data: any) => void, broken: () => void) => Port) | null;
  /** Where the tab keeps something for its next page; null removes it. Never throws. */
  keep(key: string, thing: object | null): void;
  /** What is kept there, or null. */
  kept(key: string): any;
  /** What the page before left, as it is used up. */
  before: Record<string, any>;
  /** Milliseconds since 1970, by which pages compare what they kept. */
  date(): number;
  /**
   * `start`: at once, or when a page that was loaded ahead is shown. `hide`, and `show` again from the browser's cache of
   * pages. `look`: it is seen again, online again or thawed, and so seen and online. `freeze`.
   */
  on(what: "hide" | "show" | "look" | "freeze" | "start", act: () => void): Undo;
  report(error: unknown): void;
}
