// Owns the picture with its overlay, and the classes beside it; strength and hidden classes are this page's own. The wire
// format is told in wire.py.

import { byId, element, say, view } from "./page.js";
import { plots } from "./plots.js";

const UNSEEN = 255;

export async function takePicture(socket, buffer) {
  const isIdle = () => view.isHeld || document.hidden;
  if (socket !== view.socket) return;
  if (isIdle()) { view.owed += 1; return; }
  const picture = await unpack(buffer);
  if (socket !== view.socket) return;
  if (isIdle()) { view.owed += 1; return; } // held while it was unpacked: what stands must not move
  say({ shown: 1 });
  if (picture.header.source !== view.source) return;
  if (view.last) view.last.camera.close();
  view.last = picture;
  draw();
  showPictureFacts(picture.header);
}

async function unpack(buffer) {
  const headBytes = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, headBytes)));
  const jpegAt = 4 + headBytes;
  const jpeg = new Blob([new Uint8Array(buffer, jpegAt, header.jpeg_bytes)], { type: "image/jpeg" });
  const packed = new Blob([new Uint8Array(buffer, jpegAt + header.jpeg_bytes)]);
  const inflated = new Response(packed.stream().pipeThrough(new DecompressionStream("deflate"))).arrayBuffer();
  const [camera, rows] = await Promise.all([createImageBitmap(jpeg), inflated]);
  const [width] = header.picture_wh;
  const mask = new Uint8Array(rows);
  for (let at = width; at < mask.length; at += 1) mask[at] ^= mask[at - width]; // each row came as the change of the one above
  return { header, camera, mask };
}

const overlay = document.createElement("canvas");

function draw() {
  if (!view.last) return;
  const { header, camera, mask } = view.last;
  const [width, height] = header.picture_wh;
  const canvas = byId("picture");
  for (const one of [canvas, overlay]) {
    if (one.width !== width || one.height !== height) { one.width = width; one.height = height; }
  }
  const colours = colourTable();
  const image = new ImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  for (let at = 0; at < pixels.length; at += 1) pixels[at] = colours[mask[at]];
  overlay.getContext("2d").putImageData(image, 0, 0);
  const context = canvas.getContext("2d");
  context.drawImage(camera, 0, 0, width, height);
  context.drawImage(overlay, 0, 0);
  byId("waiting").hidden = true;
}

// RGBA of every id; ids without a class are black, as in a video of `edgeseg run`
function colourTable() {
  const bytes = new Uint8Array(4 * 256);
  const alpha = Math.round(255 * byId("strength").value / 100);
  for (let id = 0; id < 256; id += 1) {
    const isClear = id === UNSEEN || view.hidden.has(id);
    const colour = view.classes[id] ? view.classes[id].colour : [0, 0, 0];
    bytes.set([...colour, isClear ? 0 : alpha], 4 * id);
  }
  return new Uint32Array(bytes.buffer);
}

function showPictureFacts(header) {
  const now = performance.now();
  view.shownAt.push(now);
  while (view.shownAt[0] < now - 2000) view.shownAt.shift();
  const [width, height] = header.size_wh;
  const scaled = header.picture_wh.join("x");
  const size = scaled === `${width}x${height}` ? scaled : `${width}x${height}, shown as ${scaled}`;
  byId("picture-facts").textContent =
    `frame ${header.sequence} · ${size} · ${(view.shownAt.length / 2).toFixed(0)} pictures/s here · ${header.age_ms.toFixed(1)} ms from arrival to view` +
    (header.pixels[UNSEEN] ? ` · ${share(header.pixels, UNSEEN).toFixed(1)} % not seen by the net` : "");
  byId("picture").setAttribute("aria-label", `Stream of source ${header.source} with overlay`);
  showAreas(header.pixels);
  plots.age.add("arrival to view", header.age_ms);
  for (const [stage, ms] of Object.entries(header.stages_ms)) plots.stages.add(stage, ms);
  view.hasStages = Object.keys(header.stages_ms).length > 0;
}

// classes

export function makeLegend() {
  const rows = view.classes.map((one, id) => {
    const row = element("li"), label = element("label"), box = element("input"), swatch = element("span", "swatch");
    box.type = "checkbox";
    box.checked = true;
    box.addEventListener("change", () => hide(id, !box.checked));
    const bar = element("span", "bar");
    swatch.style.backgroundColor = bar.style.backgroundColor = `rgb(${one.colour.join(" ")})`;
    label.append(box, swatch, element("span", "name", one.name), element("span", "area", "-"), bar);
    row.dataset.id = id;
    row.append(label);
    return row;
  });
  byId("legend").replaceChildren(...rows);
}

function hide(id, isHidden) {
  if (isHidden) view.hidden.add(id); else view.hidden.delete(id);
  refresh();
}

export function hideAll(isHidden) {
  view.classes.forEach((_, id) => (isHidden ? view.hidden.add(id) : view.hidden.delete(id)));
  for (const box of byId("legend").querySelectorAll("input")) box.checked = !isHidden;
  refresh();
}

export function refresh() {
  byId("strength-value").textContent = `${byId("strength").value} %`;
  const hidden = [...view.hidden].join(",");
  byId("save").href = `snapshot.png?source=${view.source}&alpha=${byId("strength").value / 100}&hide=${hidden}`;
  draw();
}

function showAreas(pixels) {
  for (const row of byId("legend").children) {
    const percent = share(pixels, row.dataset.id);
    row.querySelector(".area").textContent = percent === 0 ? "-" : `${percent.toFixed(1)} %`;
    row.querySelector(".bar").style.width = `${percent}%`;
    row.classList.toggle("is-absent", percent === 0);
  }
}

function share(pixels, id) {
  return 100 * (pixels[id] || 0) / Object.values(pixels).reduce((sum, one) => sum + one, 0);
}
