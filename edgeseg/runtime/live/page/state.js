// Owns the loop's and the device's state as text, tables and points of plots. Asks for none.

import { byId, element, view } from "./page.js";
import { plots } from "./plots.js";

const number = (value) => (typeof value === "number" ? value.toLocaleString("en") : "-");
const gigabytes = (bytes) => `${(bytes / 2 ** 30).toFixed(1)} GiB`;
const megabytes = (bytes) => `${(bytes / 2 ** 20).toFixed(0)} MiB`;
const seconds = (value) => (typeof value !== "number" ? "-" : value < 1 ? `${(1000 * value).toFixed(0)} ms` : `${value.toFixed(1)} s`);

function duration(total) {
  const days = Math.floor(total / 86400), hours = Math.floor(total / 3600) % 24, minutes = Math.floor(total / 60) % 60;
  return days ? `${days} d ${hours} h` : hours ? `${hours} h ${minutes} min` : minutes ? `${minutes} min` : `${Math.floor(total)} s`;
}

export function showState(state) {
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
  for (const [name, value] of Object.entries(device.power_w || {})) rows.push([name, `${value.toFixed(1)} W`]);
  (device.gpus || []).forEach((gpu, index) => {
    if ("lost" in gpu) rows.push([`GPU ${index}`, "lost", true]);
    if ("throttled_by" in gpu) rows.push([`GPU ${index} throttled`, gpu.throttled_by.join(", "), true]);
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
