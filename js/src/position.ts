// Positions in the server's log, "<epoch>-<sequence>": the ids of its events.

const split = (id: string) => id.split("-") as [string, string?];

/** Whether both are of one log. */
export const isOneLog = (a: string, b: string) => split(a)[0] === split(b)[0];

/** Whether somebody who stands at `last` has had what is at `id`. */
export function isKnown(id: string, last: string): boolean {
  if (!last || !isOneLog(id, last)) return false;
  const [a = "", b = ""] = [split(id)[1], split(last)[1]];
  return a.length < b.length || (a.length === b.length && a <= b); // longer than a number is exact
}
