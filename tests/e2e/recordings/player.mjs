// Plays a recording with asciinema-player's own loader, playback and terminal, and prints what its screen shows then, as JSON.
// What is left out is the page: rows are read as the player reads them, and not drawn.
//
//   node player.mjs FOLDER_OF_THE_PACKAGE RECORDING SCRATCH_FOLDER
import fs from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

const [folder, file, scratch] = process.argv.slice(2);
const dist = path.join(folder, "dist");
const named = (start) => path.join(dist, fs.readdirSync(dist).find((name) => name.startsWith(start) && name.endsWith(".js")));

// The package does not export its terminal by itself: the same module, with a line more. It wants to know the page's events.
globalThis.window = { document: { addEventListener() {} } };
const inside = fs.readFileSync(named("opts-"), "utf8").replaceAll(/from '\.\/([^']+)'/g, (_, name) => `from ${JSON.stringify(pathToFileURL(path.join(dist, name)))}`);
const copy = path.join(scratch, "terminal.mjs");
fs.writeFileSync(copy, `${inside}\nexport { Vt };\n`);
const { Vt, c: coreOpts } = await import(pathToFileURL(copy));
const { C: Core } = await import(pathToFileURL(named("core-")));

const logger = Object.fromEntries(["debug", "info", "warn", "error", "log"].map((level) => [level, () => {}]));
const core = new Core({ driver: "recording", data: fs.readFileSync(file, "utf8") }, coreOpts({ speed: 1000, idleTimeLimit: 0.01 }, { logger }));
const seen = { sizes: [], markers: [], output: "", errors: [] };
let vt;
const terminal = Vt.build(80, 24, false, logger).then((built) => (vt = built));
const output = (data) => [data].flat().forEach((text) => { seen.output += text; vt.feed(text); });
core.addEventListener("reset", ({ size, init }) => { seen.sizes.push([size.cols, size.rows]); vt.reset(size.cols, size.rows, init); });
core.addEventListener("resize", (size) => { seen.sizes.push([size.cols, size.rows]); vt.resize(size.cols, size.rows); });
core.addEventListener("output", output);
core.addEventListener("marker", (marker) => seen.markers.push(marker.label));
core.addEventListener("error", (error) => seen.errors.push(String(error.message ?? error)));
const ended = new Promise((done) => core.addEventListener("ended", done));
await terminal;
core.terminalReady();
await core.init();
await core.play();
await ended;

const row = (n) => {
  const line = vt.getLine(n, false);
  const [spans, points] = [vt.getDataView(line.text, 12), vt.getUint32Array(line.codepoints)];
  let text = "";
  for (let at = 0; at < spans.byteLength; at += 12) {
    const [column, start, length] = [0, 2, 4].map((of) => spans.getUint16(at + of, true));
    text = text.padEnd(column) + String.fromCodePoint(...points.subarray(start, start + length));
  }
  return text.trimEnd();
};
seen.screen = Array.from({ length: vt.rows }, (_, n) => row(n));
seen.duration = core.getDuration();
process.stdout.write(JSON.stringify(seen), () => process.exit(0));
