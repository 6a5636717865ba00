// What members and the host of a line say to each other. A host may be in a worker, in another tab, or beside its member.

import type { Gap, State } from "./stream.js";
import type { Failure } from "./transports.js";

/** To be raised with each change here: a worker may be older than the page that joins it. */
export const PROTOCOL = 1;

export interface Config {
  url: string;
  credentials: RequestCredentials;
  hasHeaders: boolean;
}

export type ToHost =
  | { do: "join"; topics: string[] | null; last: string }
  | { do: "leave" }
  | { do: "wake" }
  | { do: "ask" }
  | { do: "heard"; last: string }
  | { do: "headers"; headers?: Record<string, string> };

export type ToMember =
  | { is: "state"; state: State; failure: Failure | undefined }
  | { is: "message"; topic: string; text: string; id: string }
  | { is: "gap"; gap: Gap }
  | { is: "at"; id: string }
  /** The host asks for headers, is there, or is a new one, whom to join. */
  | { is: "headers" | "here" | "new" };

export type Tell = (news: ToMember) => void;

/** A member's way to its host. */
export interface Way {
  post(request: ToHost): void;
  close(): void;
}

/** Members confirm each so many messages. One that has not confirmed `MOST_UNCONFIRMED` is asleep, and gets no more. */
export const CONFIRM_EACH = 100;
export const MOST_UNCONFIRMED = 1000;
