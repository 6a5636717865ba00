// Patterns as on the server: `*` stands for one or more characters, dots included, anywhere. No regular expression.

const GRAMMAR = /^(?!nitro($|\.)|presence\..*\*|.*\*\*|.{256})[\w:*-]+(\.[\w:*-]+)*$/;
/** What tells who is in a room is heard by the room's name, and by no star. */
export const PRESENCE = "presence.";

/** The pattern itself, if it is one; `"ANY"` is `"*"`. Throws a `TypeError` that says what is wrong. */
export function checked(pattern: string): string {
  if (pattern !== `${pattern}` || !GRAMMAR.test(pattern)) { // or is no string
    throw new TypeError(
      `${JSON.stringify(pattern)} is no pattern: "a-Z0-9_-:*" between ".", no "**", "presence.*", "nitro."`,
    );
  }
  return pattern === "ANY" ? "*" : pattern;
}

export function matches(pattern: string, topic: string): boolean {
  if (pattern === topic) return true;
  if (topic.startsWith(PRESENCE)) return false;
  const [first = "", ...rest] = pattern.split("*");
  if (!rest.length || !topic.startsWith(first)) return false;
  const last = rest.pop()!;
  let place = first.length;
  for (const literal of rest) {
    const found = topic.indexOf(literal, place + 1);
    if (found < 0) return false;
    place = found + literal.length;
  }
  return topic.length - last.length > place && topic.endsWith(last);
}
