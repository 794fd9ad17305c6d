// What clients on node see of a server: `node node_clients.mjs PORT TLS-PORT CA-FILE` prints it as JSON.
//
// node's own fetch, undici (HTTP/2 too), node:http with a kept connection, and node:http2.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import http from "node:http";
import http2 from "node:http2";
import { Readable } from "node:stream";
import { Agent, request } from "undici";

const [port, secure, file] = process.argv.slice(2);
const ca = readFileSync(file);
const NAME = "app.example";
const passing = new Set(["date", "server", "via", "connection", "keep-alive", "transfer-encoding", "alt-svc"]);
const kept = (fields) => Object.fromEntries(Object.entries(fields).filter(([n]) => !passing.has(n) && !n.startsWith(":")).sort());
const sha = (data) => createHash("sha256").update(data).digest("hex");
const said = {};

async function tried(name, what) {
  try {
    said[name] = await what();
  } catch (error) {
    said[name] = `failed: ${error.cause?.code ?? error.code ?? error.message}`;
  }
}

async function* pieces(count, size) {
  for (let number = 0; number < count; number++) yield Buffer.alloc(size, number);
}

/* fetch, as node brings it: HTTP/1.1. */
async function withFetch() {
  const base = `http://127.0.0.1:${port}`;
  const ask = async (name, path, options = {}) =>
    tried(`fetch ${name}`, async () => {
      const answer = await fetch(base + path, { ...options, signal: AbortSignal.timeout(20000) });
      const body = Buffer.from(await answer.arrayBuffer());
      let text = body;
      try {
        const { fields, ...rest } = JSON.parse(body);
        delete fields?.host; // the ports differ
        text = JSON.stringify({ ...rest, fields });
      } catch {}
      const headers = kept(Object.fromEntries(answer.headers));
      if (path.startsWith("/echo")) delete headers["content-length"]; // it holds the port
      return [answer.status, answer.redirected, headers, sha(text)];
    });
  await ask("get", "/echo?x=%20");
  await ask("gzip", "/gzip");
  await ask("large", "/bytes/2000000");
  await ask("pieces", "/chunks/300");
  await ask("none", "/status/204");
  await ask("post", "/echo", { method: "POST", body: "x".repeat(100000) });
  await ask("stream", "/echo", { method: "POST", body: Readable.toWeb(Readable.from(pieces(50, 10000))), duplex: "half" });
  await tried("fetch many", async () =>
    (await Promise.all([...Array(200).keys()].map((n) => fetch(`${base}/bytes/${n * 100}`).then((r) => r.arrayBuffer())))).map((b) => b.byteLength),
  );
  await tried("fetch abort", async () => {
    const abort = new AbortController();
    const answer = await fetch(`${base}/events/100/50`, { signal: abort.signal });
    const { value } = await answer.body.getReader().read();
    abort.abort();
    return [answer.status, Buffer.from(value).toString()];
  });
}

/* undici, over TLS with HTTP/2. */
async function withUndici() {
  for (const allowH2 of [false, true]) {
    const dispatcher = new Agent({ allowH2, connect: { ca, servername: NAME } });
    const base = `https://127.0.0.1:${secure}`;
    const word = `undici h${allowH2 ? 2 : 1}`;
    const ask = (name, path, options = {}) =>
      tried(`${word} ${name}`, async () => {
        const { statusCode, headers, body } = await request(base + path, { dispatcher, ...options, headers: { host: NAME, ...options.headers } });
        return [statusCode, kept(headers), sha(Buffer.from(await body.arrayBuffer()))];
      });
    await ask("get", "/bytes/1000");
    await ask("large", "/bytes/2000000");
    await ask("none", "/status/204");
    await ask("post", "/echo", { method: "POST", body: Buffer.alloc(300000, 7) });
    await ask("head", "/bytes/10", { method: "HEAD" });
    await tried(`${word} many`, async () =>
      (await Promise.all([...Array(200).keys()].map((n) => request(`${base}/bytes/${n * 100}`, { dispatcher }).then((r) => r.body.arrayBuffer())))).map((b) => b.byteLength),
    );
    await dispatcher.close();
  }
}

/* node:http, one kept connection: how often is one opened? */
async function withHttp() {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  const sockets = new Set();
  const once = (path) =>
    new Promise((good, bad) => {
      const ask = http.get({ host: "127.0.0.1", port, path, agent }, (answer) => {
        sockets.add(ask.socket);
        // The order of different names is not kept; their case and number are.
        const names = answer.rawHeaders.filter((n, at) => at % 2 === 0 && !passing.has(n.toLowerCase())).sort();
        answer.resume().on("end", () => good([answer.statusCode, answer.httpVersion, names]));
      });
      ask.on("error", bad).setTimeout(20000, () => ask.destroy(new Error("late")));
    });
  await tried("http kept", async () => {
    const found = [];
    for (const path of ["/bytes/1", "/chunks/3", "/status/204", "/file", "/status/500", "/cookies"]) found.push(await once(path));
    return [found, sockets.size];
  });
  agent.destroy();
}

/* node:http2: one session, many streams, trailers, a cancelled one. */
async function withHttp2(base, word, options) {
  const session = http2.connect(base, options);
  session.on("error", () => {});
  const ask = (fields, body) =>
    new Promise((good, bad) => {
      const stream = session.request({ ":authority": NAME, ...fields });
      const parts = [];
      let head = {};
      let trailers = {};
      stream.on("response", (h) => (head = h)).on("trailers", (t) => (trailers = { ...t }));
      stream.on("data", (d) => parts.push(d)).on("error", bad);
      stream.on("close", () => good([head[":status"], kept(head), kept(trailers), sha(Buffer.concat(parts)), stream.rstCode]));
      stream.setTimeout(20000, () => stream.close(http2.constants.NGHTTP2_CANCEL));
      if (body) Readable.from(body).pipe(stream);
      else stream.end();
    });
  await tried(`${word} get`, () => ask({ ":path": "/echo?x=1" }));
  await tried(`${word} post`, () => ask({ ":path": "/echo", ":method": "POST" }, pieces(50, 10000)));
  await tried(`${word} large`, () => ask({ ":path": "/bytes/3000000" }));
  await tried(`${word} cookies`, () => ask({ ":path": "/echo", cookie: ["a=1", "b=2"] }));
  await tried(`${word} trailers`, () => ask({ ":path": "/trailers", te: "trailers" }));
  await tried(`${word} many`, () => Promise.all([...Array(150).keys()].map((n) => ask({ ":path": `/bytes/${n * 1000}` }))));
  await tried(`${word} cancel`, () =>
    new Promise((good, bad) => {
      const stream = session.request({ ":path": "/events/100/50", ":authority": NAME });
      stream.on("error", bad).once("data", (data) => {
        stream.close(http2.constants.NGHTTP2_CANCEL);
        stream.on("close", () => good(data.toString()));
      });
    }),
  );
  await tried(`${word} after it`, () => ask({ ":path": "/bytes/7" }));
  session.close();
}

await withFetch();
await withHttp();
await withUndici();
await withHttp2(`https://127.0.0.1:${secure}`, "http2", { ca, servername: NAME });
await withHttp2(`http://127.0.0.1:${port}`, "h2c", {});
console.log(JSON.stringify(said));
process.exit(0);
