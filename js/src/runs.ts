// The follower of a run: it reads what began, grows and ends for good, each item once, and stays away behind the end.

import type { PageEnv } from "./env.js";
import { HEADERS_WITHIN, headersOf, tried, turn } from "./handlers.js";
import type { Live, Options } from "./live.js";
import { type State, Stream } from "./stream.js";
import type { Failure } from "./transports.js";

/** The place behind an item: places are compared as text. */
const PLACE = /^[\da-f]{14}(\.[\da-f]{6})?$/;

/** How a run ended. */
export interface End {
  /** `"lost"`: whoever wrote it died, and nobody could go on. */
  state: "done" | "failed" | "cancelled" | "lost";
  /** Why it failed, if the server says so. */
  reason?: string;
}

export interface FollowOptions<Item = any> extends Pick<Options, "headers" | "credentials" | "parse"> {
  /** Each item once, in order. `id` is the place behind it: a `lastEventId`. */
  onitem?: (item: Item, id: string) => void;
  /** Called once, behind the last item; nothing is read any more. */
  onend?: (end: End) => void;
  /** It can't be read, and is not asked for again: there is no such run (404), or not for this user. */
  onerror?: (error: Failure) => void;
  /** Called at each change of `state`. */
  onstate?: (state: State, error: Failure | null) => void;
  /** Begin behind this item; at the beginning if left out, or if no item has such an id. */
  lastEventId?: string;
}

/** A run that is followed. */
export interface Run extends Pick<Live, "state" | "error" | "onstate"> {
  /** The id of the newest item. */
  readonly lastEventId: string;
  /** Read no more. The run itself goes on. */
  close(): void;
}

export function followIn(env: PageEnv, url: string, options: FollowOptions): Run {
  const { credentials = "same-origin", lastEventId: begins = "", onstate = null, parse = JSON.parse } = options;
  const lastEventId = PLACE.test(begins) ? begins : ""; // as the server takes what is none
  const run = { state: "connecting" as State, error: null, onstate, lastEventId, close: () => end() };
  const end = (failure?: Failure): void => {
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
      if (state === "waiting" && failure?.status === 404) return end(failure); // it was kept for as long as it was
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
    greeted: () => {},
    gap: () => {},
    at: () => {},
  });
  const undos = [env.on("look", () => stream.wake()), env.on("start", () => stream.open())];
  return run;
}
