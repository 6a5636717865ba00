// Server-sent events from text that comes in pieces, as the HTML Standard has it (9.2.6), but for what `fetch` does itself.

export function parser(hear: (type: string, data: string, id: string) => void): (piece: string) => void {
  let rest = "";
  let [type, last] = ["", ""];
  let data: string[] = [];
  const take = (line: string) => {
    const [, field, value] = /([^:]*):? ?([^]*)/.exec(line)!;
    if (!line) {
      if (data.length) hear(type || "message", data.join("\n"), last);
      [type, data] = ["", []];
    } else if (field === "data") data.push(value!);
    else if (field === "event") type = value!;
    else if (field === "id" && !value!.includes("\0")) last = value!;
  };
  return (piece) => {
    const lines = (rest + piece).split(/\r\n|\n|\r(?!$)/); // a return at the end may be half of a line's end
    rest = lines.pop()!;
    lines.forEach(take);
  };
}
