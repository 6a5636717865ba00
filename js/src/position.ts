// Positions in the server's log, "<epoch>-<sequence>": the ids of its events. In a log that many processes share there are
// six digits of the event behind that, ".<stamp>", in all of them: so they are compared as they are.

const epoch = (id: string) => id.slice(0, id.indexOf("-") + 1);

/** Of those who stand in two logs: whoever resumes from there is told of a gap. */
export const NO_LOG = "0-0";
/** Of one who has no rows of a live query: whoever resumes from there gets all of them. */
export const NO_ROWS = "snapshot-0";
/** Of one who has rows that may be wrong: they are read again. */
export const WRONG_ROWS = "snapshot-1";

/** Whether it is one of them. It is of no log, and nobody has had what comes with it, since the parts of all rows have the first one. */
export const isIncomplete = (id: string): boolean => id.startsWith("snapshot-");

/** Whether both are of one log, or may be. */
export const isOneLog = (a: string, b: string): boolean => epoch(a) === epoch(b) || isIncomplete(a) || isIncomplete(b);

/** Whether somebody who stands at `last` has had what is at `id`. A number that is longer is larger, however large it is. */
export const isKnown = (id: string, last: string): boolean =>
  epoch(id) === epoch(last) && !isIncomplete(id) && (id.length < last.length || (id.length === last.length && id <= last));
