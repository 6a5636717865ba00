// What members and the host of a line say to each other. A host may be in a worker, in another tab, or beside its member.

import type { Gap, State } from "./stream.js";
import type { Failure } from "./transports.js";

/** To be raised with each change here: it is in the name of what is shared, so that versions live side by side. */
export const PROTOCOL = 4;

export interface Config {
  url: string;
  credentials: RequestCredentials;
  hasHeaders: boolean;
  /** Whoever shares it has said for whom it is, so nobody has to prove it. */
  isTrusted: boolean;
}

export type ToHost =
  /** `user`: for whom the member has been greeted so far, if at all; in the life of the page before it, perhaps. */
  | { do: "join"; turn: number; topics: string[] | null; last: string; user: string; isOfPageBefore: boolean }
  /** `isForGood`: it does not come back, so nothing is kept for it. */
  | { do: "leave"; isForGood: boolean }
  | { do: "wake" }
  | { do: "ask" }
  | { do: "heard"; last: string }
  /** The answer to the question of that number; without headers if there are none to be had. */
  | { do: "headers"; number: number; headers?: Record<string, string> | null };

export type ToMember =
  /** The host, by the name of the lock that it holds: it knows the member, or (`new`) wants it to join. */
  | { is: "here" | "new"; host: string }
  /** What comes behind this answers the join of that number; what came before it is of an earlier one. */
  | { is: "joined"; turn: number }
  | { is: "state"; state: State; failure?: Failure | undefined }
  /** For whom the stream is. */
  | { is: "user"; user: string }
  | { is: "message"; topic: string; text: string; id: string }
  | { is: "gap"; gap: Gap }
  /** There is nothing for it up to here. */
  | { is: "at"; id: string }
  | { is: "headers"; number: number }
  /** It can't share this stream: it needs one of its own. */
  | { is: "apart" };

export type Tell = (news: ToMember) => void;

/** Members confirm each so many messages. One that has not confirmed `MOST_UNCONFIRMED` is asleep, and gets no more. */
export const CONFIRM_EACH = 100;
export const MOST_UNCONFIRMED = 1000;
/** A member asks its host so often whether both know each other, and waits so long for any word, in milliseconds. */
export const ASKS_EACH = 10_000;
export const ANSWERS_WITHIN = 5000;
/** A host forgets who has said nothing for so long: hidden pages may run their timers once a minute. */
export const FORGETS_AFTER = 150_000;
