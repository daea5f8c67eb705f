// Takes a picture of the tracks of a scan report in igv.js.
//
// usage: node picture.mjs PLAN, a JSON file that `scripts/regenerate picture` writes.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { serve } from "./server.mjs";

const plan = JSON.parse(readFileSync(process.argv[2], "utf8"));
const browser = await chromium.launch({ executablePath: plan.chromium, args: ["--no-sandbox", "--disable-gpu"] });
const { server, address } = await serve(plan.folder);
try {
  const page = await browser.newPage({ viewport: { width: 1000, height: 900 } });
  await page.goto(`${address}/${plan.report}`);
  await page.waitForFunction(() => window.bindscanBrowser, null, { timeout: 60_000 });
  await page.evaluate((locus) => window.bindscanBrowser.search(locus), plan.locus);
  await page.waitForFunction(() => !document.querySelector(".igv-loading-spinner-container:not([style*='none'])"));
  await page.waitForTimeout(2000);
  await page.locator("#browser").screenshot({ path: join(plan.folder, plan.picture) });
} finally {
  await browser.close();
  server.close();
}
