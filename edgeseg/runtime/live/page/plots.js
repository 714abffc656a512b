// Owns the plots of the last minute. Asks for no figure.

import { byId, element } from "./page.js";

const WINDOW_S = 60;

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

export const plots = { stages: new Plot("stages", "ms"), age: new Plot("age", "ms"), rate: new Plot("rate", "/s") };
