// How long to wait before the next attempt.

const LONGEST = 30_000;

/** Full jitter: anything from nothing up to twice as much as before, so that a crowd spreads by itself. */
export const backoff = (attempt: number, retry: number, random: () => number) =>
  random() * Math.min(LONGEST, retry * 2 ** attempt);
