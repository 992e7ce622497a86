// Receive Linescribe's webhooks: verify, take each event once, answer quickly. Node 18 or later, no packages.
import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

const key = Buffer.from(process.env.WEBHOOK_SECRET.replace(/^whsec_/, ""), "base64");
const seen = new Set(); // in earnest: a unique column of the table that the events are stored in

function genuine(headers, body) {
  const [id, sentAt, signatures] = ["id", "timestamp", "signature"].map((each) => headers[`webhook-${each}`] ?? "");
  if (!/^\d{1,12}$/.test(sentAt) || Math.abs(Date.now() / 1000 - Number(sentAt)) > 300) return false;
  const digest = createHmac("sha256", key).update(`${id}.${sentAt}.`).update(body).digest("base64");
  const wanted = Buffer.from(`v1,${digest}`);
  const given = signatures.split(" ").map((each) => Buffer.from(each));
  return given.some((each) => each.length === wanted.length && timingSafeEqual(each, wanted));
}

async function receive(request, response) {
  let body = Buffer.alloc(0);
  for await (const part of request) if ((body = Buffer.concat([body, part])).length > 1_000_000) throw Error("too large");
  const verified = request.method === "POST" && genuine(request.headers, body);
  if (verified && !seen.has(request.headers["webhook-id"])) {
    seen.add(request.headers["webhook-id"]);
    const event = JSON.parse(body);
    console.log(event.type, event.data.text ?? ""); // in earnest: store it, and work later
  }
  response.writeHead(verified ? 204 : 401).end();
}

const server = createServer((request, response) => receive(request, response).catch(() => response.destroy()));
server.listen(Number(process.env.PORT ?? 9901), "127.0.0.1", () => console.log("listening on", server.address().port));
