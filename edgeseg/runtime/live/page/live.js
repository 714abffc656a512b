// Owns the page of the live view: one WebSocket, pictures onto a canvas, state into text and plots. Changes nothing at
// the other end; strength and hidden classes are this page's own. The wire format is told in wire.py.
"use strict";

const WINDOW_S = 60;
const UNSEEN = 255;
const RETRY_MS = [500, 1000, 2000, 4000];
const byId = (id) => document.getElementById(id);
const view = {
  socket: null, tries: 0, classes: [], hidden: new Set(), source: 0, isHeld: false, owed: 0, last: null,
  turn: Promise.resolve(), shownAt: [],
};

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

// the way to the server

function connect() {
  const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws`);
  socket.binaryType = "arraybuffer";
  view.socket = socket;
  view.owed = 0;
  socket.onmessage = (event) => {
    if (typeof event.data === "string") return takeText(JSON.parse(event.data));
    view.turn = view.turn.then(() => takePicture(socket, event.data)).catch((error) => setLink(`bad picture: ${error}`, "is-lost"));
  };
  socket.onclose = (event) => {
    const wait = RETRY_MS[Math.min(view.tries++, RETRY_MS.length - 1)];
    setLink(event.code === 1006 && !view.classes.length ? "not reached, trying again" : "connection lost, trying again", "is-lost");
    setTimeout(connect, wait);
  };
}

function say(word) {
  if (view.socket.readyState === WebSocket.OPEN) view.socket.send(JSON.stringify(word));
}

function setLink(text, className) {
  const link = byId("link");
  if (link.textContent !== text) link.textContent = text;
  link.className = `pill ${className}`;
}

function takeText(message) {
  if (message.type === "hello") takeHello(message);
  else if (message.type === "state") showState(message);
}

function takeHello(hello) {
  view.tries = 0;
  setLink("live", "is-live");
  byId("title").textContent = hello.title;
  document.title = `${hello.title} - edgeseg live view`;
  byId("reload").hidden = !hello.has_reload;
  if (JSON.stringify(view.classes) !== JSON.stringify(hello.classes)) {
    view.classes = hello.classes;
    view.hidden.clear();
    makeLegend();
  }
  if (view.source !== 0) say({ source: view.source });
}

// pictures

async function takePicture(socket, buffer) {
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

function makeLegend() {
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

function hideAll(isHidden) {
  view.classes.forEach((_, id) => (isHidden ? view.hidden.add(id) : view.hidden.delete(id)));
  for (const box of byId("legend").querySelectorAll("input")) box.checked = !isHidden;
  refresh();
}

function refresh() {
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

// state

const number = (value) => (typeof value === "number" ? value.toLocaleString("en") : "-");
const gigabytes = (bytes) => `${(bytes / 2 ** 30).toFixed(1)} GiB`;
const megabytes = (bytes) => `${(bytes / 2 ** 20).toFixed(0)} MiB`;
const seconds = (value) => (typeof value !== "number" ? "-" : value < 1 ? `${(1000 * value).toFixed(0)} ms` : `${value.toFixed(1)} s`);

function duration(total) {
  const days = Math.floor(total / 86400), hours = Math.floor(total / 3600) % 24, minutes = Math.floor(total / 60) % 60;
  return days ? `${days} d ${hours} h` : hours ? `${hours} h ${minutes} min` : minutes ? `${minutes} min` : `${Math.floor(total)} s`;
}

function showState(state) {
  const sinks = state.sinks || [], sources = state.sources || [];
  const facts = [
    state.engine, typeof state.uptime_s === "number" ? `up ${duration(state.uptime_s)}` : null,
    `${state.viewers} viewer${state.viewers === 1 ? "" : "s"}`,
  ];
  byId("facts").textContent = facts.filter(Boolean).join(" · ");
  const sum = (name, all = sources) => all.reduce((total, one) => total + one[name], 0);
  tiles(byId("counts"), [
    ["frames in", number(sum("frames_in"))], ["masks", number(sum("masks"))], ["dropped", number(sum("dropped"))],
    ["stale", number(sum("stale"))], alarm("corrupt", sum("corrupt")), alarm("sink drops", sum("dropped", sinks)),
    alarm("reconnects", sum("reconnects")), alarm("stalls", sum("stalls")), ["reloads", number(state.reloads)],
    alarm("refused reloads", state.reload_failures), ["newest mask", state.mask_age_s === null ? "-" : `${seconds(state.mask_age_s)} ago`],
  ]);
  table("sources", sources.map((one) =>
    [one.name, one.standing, seconds(one.frame_age_s), number(one.masks), number(one.dropped), number(one.reconnects)]));
  table("sinks", sinks.map((one) => [one.name, one.standing, number(one.queued), number(one.dropped)]));
  const errors = [...sources, ...sinks].filter((one) => one.error)
    .map(({ name, error }) => (error.includes(name) ? error : `${name}: ${error}`));
  byId("errors").replaceChildren(...errors.map((text) => element("li", "", text)));
  showStages(state.stages || {});
  showRate(sum("masks"), state.uptime_s);
  showDevice(state.device || {});
  offerSources(sources);
}

function showStages(stages) {
  const ms = (value) => (typeof value === "number" ? value.toFixed(2) : "-");
  table("stages", Object.entries(stages).map(([name, one]) =>
    [name, ms(one.p50_ms), ms(one.p95_ms), ms(one.p99_ms), ms(one.max_ms), number(one.count)]));
  if (view.hasStages !== false) return; // each picture tells its own times, or none has come yet
  for (const [name, one] of Object.entries(stages)) plots.stages.add(`${name} p50`, one.p50_ms);
}

const alarm = (name, count) => [name, number(count), count > 0];

function showRate(masks, uptime) {
  const before = view.before, now = { masks, uptime };
  view.before = now;
  if (!before || !(now.uptime > before.uptime) || now.masks < before.masks) return; // the first, or of another process
  plots.rate.add("masks", (now.masks - before.masks) / (now.uptime - before.uptime));
}

function showDevice(device) {
  const rows = [];
  if ("cpu_percent" in device) rows.push(["CPU", `${device.cpu_percent.toFixed(0)} %`, device.cpu_percent > 95]);
  if ("load_1min" in device) rows.push(["load, 1 min", device.load_1min.toFixed(2)]);
  if ("memory_total_bytes" in device) rows.push(memoryRow("memory", device));
  if ("process_bytes" in device) rows.push(["this process", megabytes(device.process_bytes)]);
  for (const [name, value] of Object.entries(device.temperatures_c || {})) rows.push([name, `${value.toFixed(0)} °C`, value > 90]);
  (device.gpus || []).forEach((gpu, index) => {
    if ("gpu_percent" in gpu) rows.push([`GPU ${index}`, `${gpu.gpu_percent.toFixed(0)} %`]);
    if ("memory_total_bytes" in gpu) rows.push(memoryRow(`GPU ${index} memory`, gpu));
    if ("temperature_c" in gpu) rows.push([`GPU ${index}`, `${gpu.temperature_c} °C`, gpu.temperature_c > 90]);
  });
  tiles(byId("device"), rows);
}

function memoryRow(name, one) {
  const isFull = one.memory_used_bytes > 0.95 * one.memory_total_bytes;
  return [name, `${gigabytes(one.memory_used_bytes)} of ${gigabytes(one.memory_total_bytes)}`, isFull];
}

function tiles(list, rows) {
  list.replaceChildren(...rows.map(([name, value, isBad]) => {
    const tile = element("div", isBad ? "is-bad" : "");
    tile.append(element("dt", "", name), element("dd", "", value));
    return tile;
  }));
}

function table(id, rows) {
  byId(id).hidden = rows.length === 0;
  byId(id).tBodies[0].replaceChildren(...rows.map((cells) => {
    const row = element("tr");
    row.append(...cells.map((cell) => element("td", "", cell ?? "-")));
    return row;
  }));
}

function offerSources(sources) {
  const select = byId("source");
  byId("source-choice").hidden = sources.length < 2;
  const names = sources.map((one) => one.name);
  if (JSON.stringify(names) === select.dataset.names) return; // an open list is left alone
  select.dataset.names = JSON.stringify(names);
  select.replaceChildren(...names.map((name, index) => new Option(name, index, false, index === view.source)));
}

// plots

class Plot {
  constructor(id, unit) {
    this.canvas = byId(`${id}-plot`);
    this.key = byId(`${id}-key`);
    this.unit = unit;
    this.series = new Map();
  }

  add(name, value) {
    if (typeof value !== "number") return;
    if (!this.series.has(name)) this.series.set(name, []);
    const points = this.series.get(name), now = performance.now() / 1000;
    points.push([now, value]);
    while (points[0][0] < now - WINDOW_S - 1) points.shift();
  }

  draw() {
    const ratio = window.devicePixelRatio || 1, canvas = this.canvas;
    const width = canvas.clientWidth, height = canvas.clientHeight;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    const area = { left: 44, top: 8, right: width - 8, bottom: height - 20 };
    const top = niceTop(Math.max(...[...this.series.values()].flat().map((point) => point[1]), 0));
    this.axes(context, area, top);
    let index = 0;
    const entries = [];
    for (const [name, points] of this.series) {
      const colour = style(`--s${index++ % 8}`);
      this.line(context, area, top, points, colour);
      if (points.length) entries.push([name, colour, points[points.length - 1][1]]);
    }
    this.showKey(entries);
    canvas.dataset.points = [...this.series.values()].reduce((sum, points) => sum + points.length, 0);
  }

  axes(context, area, top) {
    context.font = "11px system-ui, sans-serif";
    context.fillStyle = style("--quiet");
    context.strokeStyle = style("--line");
    context.lineWidth = 1;
    context.textAlign = "right";
    context.textBaseline = "middle";
    for (const part of [0, 0.5, 1]) {
      const y = Math.round(area.bottom + (area.top - area.bottom) * part) + 0.5;
      context.beginPath();
      context.moveTo(area.left, y);
      context.lineTo(area.right, y);
      context.stroke();
      context.fillText(String(Number((top * part).toPrecision(3))), area.left - 6, y);
    }
    context.textBaseline = "alphabetic";
    context.fillText("now", area.right, area.bottom + 15);
    context.textAlign = "left";
    context.fillText(`${WINDOW_S} s ago`, area.left, area.bottom + 15);
  }

  line(context, area, top, points, colour) {
    const now = performance.now() / 1000;
    context.strokeStyle = colour;
    context.lineWidth = 1.5;
    context.beginPath();
    let before = -Infinity;
    for (const [at, value] of points) {
      const x = area.right - (area.right - area.left) * (now - at) / WINDOW_S;
      const y = area.bottom + (area.top - area.bottom) * value / top;
      if (x >= area.left) {
        if (at - before > 3) context.moveTo(x, y); else context.lineTo(x, y); // a gap stays a gap
      }
      before = x >= area.left ? at : -Infinity;
    }
    context.stroke();
  }

  showKey(entries) {
    this.key.replaceChildren(...entries.map(([name, colour, value]) => {
      const row = element("li"), swatch = element("span", "swatch");
      swatch.style.backgroundColor = colour;
      row.append(swatch, `${name} ${value.toFixed(1)} ${this.unit}`);
      return row;
    }));
  }
}

function style(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function niceTop(value) {
  if (!(value > 0)) return 1;
  const step = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 3, 4, 5, 6, 8, 10].map((one) => one * step).find((one) => one >= value);
}

const plots = { stages: new Plot("stages", "ms"), age: new Plot("age", "ms"), rate: new Plot("rate", "/s") };

// what a viewer may do

function settle() {
  if (view.isHeld || document.hidden) return;
  while (view.owed > 0) { view.owed -= 1; say({ shown: 1 }); }
}

byId("strength").addEventListener("input", refresh);
byId("show-all").addEventListener("click", () => hideAll(false));
byId("hide-all").addEventListener("click", () => hideAll(true));
byId("hold").addEventListener("click", (event) => {
  view.isHeld = !view.isHeld;
  event.currentTarget.setAttribute("aria-pressed", String(view.isHeld));
  settle();
});
byId("source").addEventListener("change", (event) => {
  view.source = Number(event.target.value);
  say({ source: view.source });
  refresh();
});
byId("reload").addEventListener("submit", async (event) => {
  event.preventDefault();
  const answer = await fetch("reload", { method: "POST", headers: { Authorization: `Bearer ${byId("token").value}` } })
    .then(async (response) => (response.ok ? "asked for" : (await response.text()).trim()), () => "the server was not reached");
  byId("reload-answer").textContent = answer;
});
document.addEventListener("visibilitychange", settle);
setInterval(() => { if (!document.hidden) Object.values(plots).forEach((plot) => plot.draw()); }, 250);
refresh();
connect();
