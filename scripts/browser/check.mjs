// Opens a scan report in headless Chromium, from disk and from a server, and looks at what igv.js draws of the tracks.
//
// usage: node check.mjs PLAN, a JSON file that `scripts/validate browser` writes.

import assert from "node:assert/strict";
import { readFileSync, renameSync } from "node:fs";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { serve } from "./server.mjs";

const plan = JSON.parse(readFileSync(process.argv[2], "utf8"));
const flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync"];

// A page that fails the check with what goes wrong in it, and notes which addresses it asks for.
async function open(browser, address, width) {
  const page = await browser.newPage({ viewport: { width, height: 900 } });
  const seen = { errors: [], requests: [] };
  page.on("pageerror", (error) => seen.errors.push(String(error)));
  page.on("request", (request) => seen.requests.push(request.url()));
  await page.goto(address);
  return { page, ...seen };
}

// From disk: nothing is loaded, one line says what the view takes, and a phone need not scroll sideways.
async function checkFromDisk(browser) {
  for (const width of [360, 1100]) {
    const { page, errors, requests } = await open(browser, `file://${join(plan.folder, plan.report)}`, width);
    assert.deepEqual(errors, []);
    assert.equal(requests.length, 1, `the page asks for ${requests.slice(1)}`);
    assert.match(await page.textContent("#browser-note"), /web server/);
    const { scrollWidth, clientWidth } = await page.evaluate(() => {
      const { scrollWidth, clientWidth } = document.documentElement;
      return { scrollWidth, clientWidth };
    });
    assert.ok(scrollWidth <= clientWidth, `${scrollWidth} px wide on a screen of ${clientWidth}`);
    await page.screenshot({ path: join(plan.folder, `report.${width}.png`), fullPage: true });
    await page.close();
  }
  console.log("the report from disk: on its own, and as wide as the screen at 360 and 1100 px");
}

// From a server without igv.js, or without the genome: a line says where it was looked for.
async function checkMissing(browser, address, file) {
  const away = join(plan.folder, `${file}.away`);
  renameSync(join(plan.folder, file), away);
  try {
    const { page } = await open(browser, `${address}/${plan.report}`, 1100);
    await page.waitForFunction((name) => document.getElementById("browser-note")?.textContent.includes(`not at ${name}`), file);
    await page.close();
  } finally {
    renameSync(away, join(plan.folder, file));
  }
  console.log(`without ${file}: a line says so`);
}

// Moves the view to a locus and waits until it is drawn.
async function go(page, locus) {
  await page.evaluate((locus) => window.bindscanBrowser.search(locus), locus);
  await page.waitForFunction(() => !document.querySelector(".igv-loading-spinner-container:not([style*='none'])"));
  await page.waitForTimeout(500);
}

// What igv.js has of a track between two positions, and how many pixels of its canvas are not blank.
async function look(page, track, { contig, start, end }) {
  return await page.evaluate(async ({ track, contig, start, end }) => {
    const view = window.bindscanBrowser.trackViews.find((view) => view.track.name === track);
    if (!view) return null;
    const features = await view.track.getFeatures(contig, start, end, 1);
    const drawn = view.viewports.flatMap((viewport) => {
      const canvas = viewport.canvas;
      if (!canvas?.width) return [];
      const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
      let count = 0;
      for (let i = 0; i < pixels.length; i += 4) {
        const white = pixels[i] > 250 && pixels[i + 1] > 250 && pixels[i + 2] > 250;
        if (pixels[i + 3] > 0 && !white) count += 1;
      }
      return [count];
    });
    return {
      features: features.map(({ start, end, value, name, strand }) => ({ start, end, value, name, strand })),
      drawn: drawn.reduce((a, b) => a + b, 0),
    };
  }, { track, contig, start, end });
}

async function checkTracks(browser, address) {
  const { page, errors, requests } = await open(browser, `${address}/${plan.report}`, 1100);
  await page.waitForFunction(() => window.bindscanBrowser, null, { timeout: 60_000 });
  assert.equal(await page.locator("#browser-note").count(), 0);
  const { site, empty } = plan;
  const locus = ({ contig, start, end }) => `${contig}:${start + 1}-${end}`;
  const around = { contig: site.contig, start: site.start - 100, end: site.end + 100 };
  for (const track of plan.tracks) {
    await go(page, locus(empty));
    const nothing = await look(page, track.name, empty);
    assert.ok(nothing, `${track.name} is not among the tracks`);
    await go(page, locus(around));
    const something = await look(page, track.name, around);
    if (track.kind === "sites") {
      assert.ok(!nothing.features.some((feature) => feature.start < empty.end && feature.end > empty.start), track.name);
      assert.equal(nothing.drawn, 0, `${track.name} draws something where there is no site`);
      const found = something.features.find((feature) => feature.start === site.start && feature.end === site.end);
      assert.ok(found, `${track.name} has no site at ${locus(site)}`);
      assert.equal(found.name, site.name);
      assert.equal(found.strand, site.strand);
    } else {
      const centre = site.start + Math.floor((site.end - site.start) / 2);
      const found = something.features.find((feature) => feature.start <= centre && centre < feature.end);
      assert.ok(found, `${track.name} has no value at ${site.contig}:${centre + 1}`);
      assert.ok(Math.abs(found.value - site.score) < 1e-3, `${track.name}: ${found.value} instead of ${site.score}`);
    }
    assert.ok(something.drawn > 20, `${track.name} draws ${something.drawn} pixels at ${locus(site)}`);
    console.log(`${track.name}: drawn at ${locus(site)} (${something.drawn} pixels)`);
  }
  const picture = join(plan.folder, "igv.png");
  await page.locator("#browser").screenshot({ path: picture });
  console.log(`picture: ${picture}`);

  // A click on a site of the table moves the view there.
  const last = page.locator(".linked").last();
  const wanted = await last.getAttribute("data-locus");
  await last.click();
  await page.waitForFunction((wanted) => {
    const plain = (locus) => String(locus).replaceAll(",", "");
    return [window.bindscanBrowser.currentLoci()].flat().some((locus) => plain(locus).startsWith(plain(wanted).split("-")[0]));
  }, wanted);
  console.log(`a click on a site leads to ${wanted}`);
  assert.deepEqual(errors, []);
  const elsewhere = requests.filter((url) => !url.startsWith(address) && !url.startsWith("data:") && !url.startsWith("blob:"));
  assert.deepEqual(elsewhere, [], "the page asks other servers");
}

const browser = await chromium.launch({ executablePath: plan.chromium, args: flags });
const { server, address } = await serve(plan.folder);
try {
  await checkFromDisk(browser);
  await checkMissing(browser, address, "igv.min.js");
  await checkMissing(browser, address, plan.genome);
  await checkTracks(browser, address);
} finally {
  await browser.close();
  server.close();
}
