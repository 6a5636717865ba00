// What a page gives to be called: who wants to hear what, and what is asked of it. An error there is everybody's to see, and
// stops nobody.

import type { PageEnv } from "./env.js";
import type { Handler, Options } from "./live.js";
import type { State } from "./stream.js";
import { matches } from "./topics.js";
import type { Failure } from "./transports.js";

/** Each call of `on` has one, so who adds a handler twice is told twice. */
export interface Hearing {
  pattern: string;
  handler: Handler;
}

export function tried({ report }: PageEnv, act: () => unknown): void {
  try {
    act();
  } catch (error) {
    report(error);
  }
}

/** What has a state, and tells whenever that changes. */
interface Stateful {
  state: State;
  error: Failure | null;
  onstate: ((state: State, error: Failure | null) => void) | null;
}

export function turn(env: PageEnv, it: Stateful, state: State, failure?: Failure): void {
  if (it.state === "closed" || (it.state === state && !failure && !it.error)) return; // why it was closed is kept
  it.state = state;
  it.error = failure ?? null;
  tried(env, () => it.onstate?.(state, it.error));
}

/** Whether it hears this topic. What was sent to this connection alone has none, and `*` hears it. */
export const hears = (pattern: string, topic: string): boolean =>
  pattern !== "gap" && (topic ? matches(pattern, topic) : pattern === "*");

/** A page that has not given its headers by then has none. */
export const HEADERS_WITHIN = 5000;

/** Headers to ask with; null if the page can't give them. */
export async function headersOf(env: PageEnv, { headers }: Pick<Options, "headers">): Promise<Record<string, string> | null> {
  try {
    return Object.fromEntries(new Headers(await headers?.()));
  } catch (error) {
    env.report(error);
    return null;
  }
}
