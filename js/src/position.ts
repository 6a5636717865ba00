// Positions in the server's log, "<epoch>-<sequence>": the ids of its events. In a log that many processes share there are
// six digits of the event behind that, ".<stamp>", in all of them: so they are compared as they are.

const epoch = (id: string) => id.slice(0, id.indexOf("-") + 1);

/** Whether both are of one log. */
export const isOneLog = (a: string, b: string): boolean => epoch(a) === epoch(b);

/** Whether somebody who stands at `last` has had what is at `id`. A number that is longer is larger, however large it is. */
export const isKnown = (id: string, last: string): boolean =>
  !!last && isOneLog(id, last) && (id.length < last.length || (id.length === last.length && id <= last));
