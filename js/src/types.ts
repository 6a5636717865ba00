// The types that pages see, and what they make of the file that `nitro types` writes. No code, so no build has any of it.

import type { Handler, Message } from "./live.js";

export type { Handler, Live, Message, Options, RoomMember } from "./live.js";
export type { Gap, State } from "./stream.js";
export type { Failure } from "./transports.js";

/**
 * The data of each event by its topic. It is empty, and filled by the file that `nitro types main:app -o events.d.ts` writes:
 * the handlers of these topics, and of patterns that match some of them, are then given data of these types.
 */
export interface Events {}

type Topic = Extract<keyof Events, string>;

/** As `matches` in topics.ts: each `*` stands for one or more characters. */
type Matches<Pattern extends string, Text extends string> = Pattern extends `${infer Start}*${infer End}`
  ? Text extends `${Start}${infer Rest}` ? EndsSo<End, Rest> : false
  : Pattern extends Text ? true : false;
type EndsSo<End extends string, Text extends string> = Text extends `${string}${infer Rest}` // the one character
  ? End extends `${infer Next}*${infer More}`
    ? Rest extends `${string}${Next}${infer After}` ? EndsSo<More, After> : false
    : Rest extends `${string}${End}` ? true : false
  : false;

type IsOfAll<Pattern extends string> = true extends (Pattern extends "*" | "ANY" ? true : false) ? true : false;
type TopicOf<Pattern extends string> = IsOfAll<Pattern> extends true
  ? Topic
  : { [Each in Topic]: true extends Matches<Pattern, Each> ? Each : never }[Topic];
/** What `*` hears, and nothing else does: what was sent to this connection alone. */
type Alone<Pattern extends string> = IsOfAll<Pattern> extends true ? "" : never;
type Data<Each> = Each extends keyof Events ? Events[Each] : unknown;

/**
 * What the handlers of a pattern are given, as one object for each topic, so that `data` narrows by `topic`:
 * `live.on("todo.*", (data, { topic }) => show({ topic, data } as Heard<"todo.*">))`.
 */
export type Heard<Pattern extends string = "*"> = {
  [Each in TopicOf<Pattern> | Alone<Pattern>]: { topic: Each; data: Data<Each> };
}[TopicOf<Pattern> | Alone<Pattern>];

interface MessageOf<Each extends string> extends Message {
  topic: Each;
}

type Given<Pattern extends string> = {
  [Each in TopicOf<Pattern> | Alone<Pattern>]: [data: Data<Each>, message: MessageOf<Each>];
}[TopicOf<Pattern> | Alone<Pattern>];

/** The handler of a pattern: of data as `Events` has it, or of any (`T`) if nothing there matches, or the pattern isn't known. */
export type HandlerOf<Pattern extends string, T> = [keyof Events] extends [never]
  ? Handler<T>
  : {} extends Record<Pattern, true>
    ? Handler<T>
    : [TopicOf<Pattern>] extends [never]
      ? Handler<T>
      : (...heard: Given<Pattern>) => void;
