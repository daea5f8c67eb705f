(async () => {
  "use strict";
  const config = JSON.parse(document.getElementById("browser-config").textContent);
  const place = document.getElementById("browser");
  const note = document.getElementById("browser-note");
  if (!location.protocol.startsWith("http")) return;
  const found = async (url) => {
    try { return (await fetch(url, { method: "HEAD" })).ok; } catch { return false; }
  };
  const load = (url) => new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = url;
    script.onload = resolve;
    script.onerror = () => reject(new Error(`igv.js is not at ${url}: put dist/igv.min.js of the npm package igv there`));
    document.head.append(script);
  });
  try {
    const { url, name } = config.genome;
    if (!await found(url)) throw new Error(`the genome is not at ${url}: serve a folder that holds it and this page`);
    await load(config.igv);
    const twoBit = /\.2bit$/i.test(url);
    const reference = { id: name, name, [twoBit ? "twoBitURL" : "fastaURL"]: url };
    if (twoBit) {
      // It holds its own index.
    } else if (await found(url + ".fai")) {
      reference.indexURL = url + ".fai";
      if (await found(url + ".gzi")) reference.compressedIndexURL = url + ".gzi";
    } else {
      reference.indexed = false;
    }
    const tracks = [];
    for (const track of config.tracks) {
      if (!await found(track.url)) continue;
      const whole = { visibilityWindow: -1, displayMode: "EXPANDED", height: 60 };
      const index = [".tbi", ".csi"].map((extension) => track.url + extension);
      const there = track.url.endsWith(".gz") ? await Promise.all(index.map(found)) : [];
      const indexURL = index[there.indexOf(true)];
      tracks.push({ ...whole, ...track, ...(indexURL && { indexURL }) });
    }
    const locus = config.locus ?? undefined;
    // Nothing but this page's own data: no list of genomes from elsewhere.
    const browser = await igv.createBrowser(place, { reference, locus, tracks, loadDefaultGenomes: false });
    window.bindscanBrowser = browser;
    note.remove();
    for (const locus of document.querySelectorAll("[data-locus]")) {
      locus.tabIndex = 0;
      locus.role = "link";
      locus.classList.add("linked");
      const go = () => { browser.search(locus.dataset.locus); place.scrollIntoView({ behavior: "smooth" }); };
      locus.addEventListener("click", go);
      locus.addEventListener("keydown", (event) => { if (event.key === "Enter") go(); });
    }
  } catch (error) {
    note.textContent = `No view along the genome: ${error.message || error}.`;
  }
})();
