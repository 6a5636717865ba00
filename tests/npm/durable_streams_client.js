// The protocol's own client: `write URL FIRST COUNT [close]`, or `follow URL LIVE`, which prints a value a line.
import { DurableStream, IdempotentProducer } from "@durable-streams/client";

const [what, url, ...rest] = process.argv.slice(2);

async function write(first, count, closes) {
  const stream = await DurableStream.create({ url, contentType: "application/json" });
  const producer = new IdempotentProducer(stream, `from ${first}`, {
    autoClaim: true,
    onError: (error) => {
      throw error;
    },
  });
  for (let n = first; n < first + count; n++) producer.append(JSON.stringify({ n }));
  await producer.flush();
  await (closes ? producer.close() : producer.detach());
}

async function follow(live) {
  const stream = await DurableStream.connect({ url });
  const response = await stream.stream({ live, json: true });
  for await (const value of response.jsonStream()) console.log(value.n);
  console.log("closed");
}

await (what === "write" ? write(Number(rest[0]), Number(rest[1]), rest[2] === "close") : follow(rest[0]));
