// A page of tests/apps/typed.py: what its handlers are given, and which of its lines are errors. Compiled by tests/test_browser_package.py.

import { connect, type Events, type Handler, type HandlerOf, type Heard } from "nitro-realtime";
import type { Message, TodoOut } from "./events.js";

const live = connect("/events");
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const same = <A, B>(is: Same<A, B>): void => void is;
const title = (text: string): void => console.log(text);

live.on("todo.created", (todo, { topic, id }) => title(todo.title + topic + id));
live.on("todo.created", ({ due, done, color, price, length }) => {
  same<typeof due, string | null>(true);
  same<typeof done, boolean>(true);
  same<typeof color, "red" | "blue">(true);
  same<typeof price, string>(true);
  same<typeof length, number>(true);
});
const show: Handler<TodoOut> = (todo) => title(todo.title);
live.on("todo.created", show);
// @ts-expect-error: it has no such field
live.on("todo.created", (todo) => title(todo.titel));
// @ts-expect-error: its id is a number
live.on("todo.created", ({ id }) => title(id));
// @ts-expect-error: it is no string
live.on("todo.created", (todo: string) => title(todo));
// @ts-expect-error: it has that topic
live.on("todo.created", (_, { topic }) => topic === "todo.deleted");
// @ts-expect-error: it may be null
live.on("todo.created", ({ due }) => title(due));

live.on("todo.*", (data, { topic }) => {
  const heard = { topic, data } as Heard<"todo.*">;
  if (heard.topic === "todo.created") title(heard.data.title);
  // @ts-expect-error: the others have no title
  else title(heard.data.title);
  switch (heard.topic) {
    case "todo.created":
    case "todo.deleted":
      return;
    case "todo.renamed.twice":
      return title(heard.data['an "odd"\nname']);
    default:
      heard satisfies never;
  }
});
// @ts-expect-error: not all that match have a title
live.on("todo.*", (data) => title(data.title));
// @ts-expect-error: no event is called so
live.on("todo.*", (_, { topic }) => topic === "todo.soup");
// @ts-expect-error: a handler of one topic is none of all
live.on("todo.*", show);
live.on("todo.*d", (data, { topic }) => ({ topic, data }) as Heard<"todo.created" | "todo.deleted">);
same<Heard<"todo.*d">["topic"], "todo.created" | "todo.deleted">(true);
same<Heard<"*.*.*">["topic"], "todo.renamed.twice">(true);
same<Heard<"todo*renamed*twice">["topic"], "todo.renamed.twice">(true);
same<Heard<"todo.renamed.*twice">["topic"], never>(true);
same<Heard<"todo.renamed.twice*">["topic"], never>(true);
same<Heard<"*.created" | "part">["topic"], "todo.created" | "part">(true);
same<Heard<"todo.created*">["topic"], never>(true);
same<Heard<"t*e">["topic"], "todo.renamed.twice" | "tree" | "tuple">(true);
same<Heard["topic"], keyof Events | "">(true);
same<Heard<"ANY">, Heard<"*">>(true);
live.on("*", (data, { topic }) => {
  const heard = { topic, data } as Heard;
  if (heard.topic === "tuple") title(heard.data[1] ?? "");
  // @ts-expect-error: what was sent to this connection alone may be anything
  if (heard.topic === "") title(heard.data);
});
live.on("ANY", (data: unknown, { topic }) => console.log(data, topic === "", topic === "tree"));

// as ever, for what isn't known
live.on("untyped", (data) => title(data.anything));
live.on("untyped", (data: TodoOut) => title(data.title));
live.on<TodoOut>("untyped", (data) => title(data.title));
live.on<string>("untyped", (data) => title(data));
live.on(`user.${location.hash}.*`, (data) => title(data.anything));
live.on(location.hash, (data: TodoOut, message) => title(data.title + message.topic));
live.on("gap", ({ reason }) => title(reason));
live.on("nitro.position", (position) => title(position));
const own = <P extends string>(pattern: P, handler: HandlerOf<P, unknown>) => live.on(pattern, handler);
own("todo.created", (todo) => title(todo.title));

live.on("tree", ({ children, more }) => [children[0]?.children, more satisfies unknown]);
live.on("part", ({ colors, sides, point }) => [colors?.["red"] satisfies number | undefined, sides?.left?.toFixed(), point?.[0].toFixed()]);
live.on("page", ({ items }) => items[0]?.number satisfies Message["number"] | undefined);
live.on("pet", (pet) => pet.kind === "cat" ? pet.lives.toFixed() : pet.tricks.join());
live.on("pets", ([pet]) => pet?.kind);
live.on("nothing", (data) => data satisfies []);
live.on("json", (json) => Array.isArray(json) ? title(String(json[0])) : json);
live.on("string", ({ TypedEvents }) => TypedEvents satisfies unknown);
