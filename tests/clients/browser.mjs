// What a browser sees of a server over TLS: `node browser.mjs PORT…` prints a JSON line for each port.
//
// The page loads a script, a style and a picture, and then fetches, uploads, follows events and talks over a socket.

import { chromium } from "playwright-core";

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run", "--host-resolver-rules=MAP app.example 127.0.0.1"],
});
for (const port of process.argv.slice(2)) {
  const context = await browser.newContext({ ignoreHTTPSErrors: true });
  const page = await context.newPage();
  const faults = [];
  page.on("console", (m) => m.type() === "error" && !m.text().includes("404") && faults.push(m.text()));
  page.on("pageerror", (e) => faults.push(e.message));
  let said = "nothing";
  let protocols = [];
  try {
    await page.goto(`https://app.example:${port}/page`, { timeout: 20000 });
    said = await page.evaluate(() => Promise.race([window.said, new Promise((good) => setTimeout(() => good("failed: late"), 25000))]));
    protocols = await page.evaluate(() => [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")].map((e) => e.nextHopProtocol));
  } catch (error) {
    said = `failed: ${error.message}`;
  }
  console.log(JSON.stringify({ said, protocols: [...new Set(protocols)].sort(), faults }));
  await context.close();
}
await browser.close();
