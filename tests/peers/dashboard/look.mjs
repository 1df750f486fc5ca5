// Looks at the dashboard of a running monitor in headless Chromium: plots move, nothing is logged as
// an error, nothing is asked of anybody else, and nothing is wider than the window. Takes pictures.
//
//   node look.mjs URL FOLDER [SECONDS]
//
// With SECONDS it watches for so long before each picture.
import { mkdirSync } from "node:fs";
import { chromium } from "playwright-core";

const [url, folder, seconds] = process.argv.slice(2);
if (!url || !folder) {
  console.error("node look.mjs URL FOLDER [SECONDS]");
  process.exit(2);
}
mkdirSync(folder, { recursive: true });
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"],
});
const failures = [];
const expect = (holds, what) => holds || failures.push(what);

const sizes = { desktop: { width: 1280, height: 900 }, phone: { width: 390, height: 844 } };
try {
  for (const [name, viewport] of Object.entries(sizes)) {
    for (const colorScheme of ["light", "dark"]) {
      const page = await browser.newPage({ viewport, colorScheme, deviceScaleFactor: 1 });
      const at = `${name}, ${colorScheme}`;
      page.on("console", (message) => expect(message.type() !== "error", `${at}: ${message.text()}`));
      page.on("pageerror", (error) => failures.push(`${at}: ${error}`));
      page.on("request", (request) => expect(
        request.url().startsWith(url) || request.url().startsWith("data:"), `${at}: asks for ${request.url()}`));
      await page.goto(url);
      const points = () => page.$$eval(".panel path", (paths) =>
        paths.reduce((sum, path) => sum + path.getAttribute("d").split(/[ML]/).length - 1, 0));
      await page.waitForFunction(() => document.querySelectorAll(".panel path").length > 4, null, { timeout: 20000 });
      const before = await points();
      await page.waitForFunction((before) => [...document.querySelectorAll(".panel path")].reduce(
        (sum, path) => sum + path.getAttribute("d").split(/[ML]/).length - 1, 0) > before + 5, before, { timeout: 20000 });
      expect(await page.$("#status.live"), `${at}: the page is not live`);
      expect((await page.$$(".tile")).length >= 4, `${at}: hardly any tile`);
      const width = await page.evaluate(() => document.documentElement.scrollWidth);
      expect(width <= viewport.width, `${at}: ${width} wide, the window is ${viewport.width}`);
      if (seconds) await page.waitForTimeout(1000 * seconds);
      await page.screenshot({ path: `${folder}/${name}-${colorScheme}.png` });
      await page.close();
    }
  }
} finally {
  await browser.close();
}
for (const failure of failures) console.error(failure);
console.log(failures.length ? `${failures.length} failures` : `the page at ${url} is well`);
process.exit(failures.length ? 1 : 0);
