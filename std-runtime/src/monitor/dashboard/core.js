"use strict";
// Asks for the numbers once a second, keeps five minutes of what panels make of them, and draws.
// Panels and tiles are data: files in `panels/` call panel() and tile(); nothing here knows them.
const KEPT = 300;
// A page that was just opened shows less, larger.
const SHOWN_MIN = 30;
const COLOURS = 6;
const panels = [];
const tiles = [];

/** A plot. `lines(n)` returns [{ name, value }]; value null where there is nothing to show. */
function panel(definition) { panels.push({ ...definition, history: new Map() }); }
/** One number. `value(n)` returns it, or null. */
function tile(definition) { tiles.push(definition); }

// --- Numbers: the newest answer beside the one before it.

class Numbers {
  constructor(now, before) {
    this.now = now;
    this.before = before;
    this.seconds = before ? (now.at - before.at) / 1000 : 0;
  }
  /** All series of a family whose labels match. */
  series(name, labels = {}) {
    const family = this.now.families.get(name);
    if (!family) return [];
    return family.filter((one) => Object.entries(labels).every(([k, v]) => one.labels[k] === v));
  }
  has(name) { return this.now.families.has(name); }
  /** The values of a gauge or counter, summed; null where there is none. */
  value(name, labels) {
    const all = this.series(name, labels);
    return all.length ? all.reduce((sum, one) => sum + (one.value ?? 0), 0) : null;
  }
  earlier(name, one) {
    const family = this.before && this.before.families.get(name);
    return family ? family.find((old) => old.key === one.key) : undefined;
  }
  /** Change per second, summed; what begins now or was reset counts from 0. */
  rate(name, labels) {
    if (!(this.seconds > 0)) return null;
    const all = this.series(name, labels);
    if (!all.length) return null;
    let sum = 0;
    for (const one of all) {
      const old = this.earlier(name, one);
      const [to, from] = [one.value ?? one.count, old ? old.value ?? old.count : 0];
      sum += to >= from ? to - from : to;
    }
    return sum / this.seconds;
  }
  /** What a histogram saw since the last answer: [[upper, count]], count and sum. */
  recent(name, labels) {
    const buckets = new Map();
    let count = 0, sum = 0;
    for (const one of this.series(name, labels)) {
      if (!one.buckets) continue;
      const old = this.earlier(name, one);
      const was = old && old.count <= one.count ? old : undefined;
      count += one.count - (was ? was.count : 0);
      sum += one.sum - (was ? was.sum : 0);
      let [below, belowBefore] = [0, 0];
      one.buckets.forEach(([upper, cumulative], at) => {
        const before = was && was.buckets[at] ? was.buckets[at][1] : 0;
        const here = cumulative - below - (before - belowBefore);
        [below, belowBefore] = [cumulative, before];
        const key = upper === null ? Infinity : upper;
        buckets.set(key, (buckets.get(key) ?? 0) + here);
      });
    }
    return { buckets: [...buckets].sort((a, b) => a[0] - b[0]), count, sum };
  }
  quantile(name, q, labels) {
    const { buckets, count } = this.recent(name, labels);
    if (!count) return null;
    let [seen, lower] = [0, 0];
    for (const [upper, here] of buckets) {
      if (here > 0 && seen + here >= q * count) {
        return upper === Infinity ? lower : lower + (upper - lower) * ((q * count - seen) / here);
      }
      seen += here;
      if (upper !== Infinity) lower = upper;
    }
    return lower;
  }
  mean(name, labels) {
    const { count, sum } = this.recent(name, labels);
    return count ? sum / count : null;
  }
  /** The different values of one label in a family. */
  labels(name, label) {
    return [...new Set(this.series(name).map((one) => one.labels[label]).filter((v) => v !== undefined))];
  }
}

function parse(answer) {
  const families = new Map();
  for (const family of answer.families) {
    for (const one of family.series) one.key = JSON.stringify(Object.entries(one.labels).sort());
    families.set(family.name, family.series);
  }
  return { at: answer.at_unix_ms, families };
}

// --- Numbers as text

const SCALES = {
  seconds: [[1, "s"], [1e-3, "ms"], [1e-6, "µs"], [1e-9, "ns"]],
  bytes: [[1e12, "TB"], [1e9, "GB"], [1e6, "MB"], [1e3, "kB"], [1, "B"]],
  count: [[1e9, "G"], [1e6, "M"], [1e3, "k"], [1, ""]],
};
function show(value, unit) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  if (unit === "ratio") return (100 * value).toFixed(value > 0.999 && value < 1 ? 2 : 1) + " %";
  const per = unit.endsWith("/s");
  const scales = SCALES[unit.replace("/s", "")] ?? SCALES.count;
  if (value === 0) return "0" + (per ? " /s" : "");
  const [factor, name] = scales.find(([factor]) => Math.abs(value) >= factor) ?? scales[scales.length - 1];
  const scaled = value / factor;
  const digits = Math.abs(scaled) >= 100 || Number.isInteger(scaled) ? 0 : Math.abs(scaled) >= 10 ? 1 : 2;
  const text = scaled.toFixed(digits) + (name ? " " + name : "");
  return per ? text + (name ? "/s" : " /s") : text;
}

// --- Drawing

const SVG = "http://www.w3.org/2000/svg";
function shape(name, attributes, text) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}
function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function ceiling(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 2.5, 5, 10].find((step) => step * power >= value) * power;
}

function build(one) {
  one.root = element("article", "panel");
  one.root.append(element("h2", "", one.title), element("p", "about", one.about ?? ""));
  one.svg = shape("svg", { role: "img", "aria-label": one.title });
  one.legend = element("ul", "legend");
  one.root.append(one.svg, one.legend);
  const point = (event) => {
    const box = one.svg.getBoundingClientRect();
    one.cursor = Math.min(1, Math.max(0, (event.clientX - box.left - LEFT) / (box.width - LEFT - RIGHT)));
    draw(one);
  };
  one.svg.addEventListener("pointermove", point);
  one.svg.addEventListener("pointerdown", point);
  one.svg.addEventListener("pointerleave", () => { one.cursor = undefined; draw(one); });
  document.getElementById("panels").append(one.root);
}

const [LEFT, RIGHT, TOP, BOTTOM] = [58, 8, 8, 18];
let times = [];
const shown = () => Math.max(SHOWN_MIN, times.length);
const ago = (seconds) => seconds < 120 ? `${seconds} s ago` : `${Math.round(seconds / 60)} min ago`;

function draw(one) {
  const width = one.svg.clientWidth || 400, height = one.svg.clientHeight || 150;
  const lines = [...one.history].map(([name, values], at) => ({ name, values, colour: `var(--c${at % COLOURS})` }));
  const all = lines.flatMap((line) => line.values.filter((v) => v !== null));
  const top = one.unit === "ratio" ? 1 : ceiling(Math.max(...all, 0));
  const x = (at) => LEFT + ((shown() - times.length + at) / (shown() - 1)) * (width - LEFT - RIGHT);
  const y = (value) => TOP + (1 - Math.min(value, top) / top) * (height - TOP - BOTTOM);
  const shapes = [];
  for (const part of [0, 0.5, 1]) {
    shapes.push(shape("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(top * part), y2: y(top * part) }));
    shapes.push(shape("text", { x: LEFT - 6, y: y(top * part) + 4, "text-anchor": "end" }, show(top * part, one.unit)));
  }
  shapes.push(shape("text", { x: LEFT, y: height - 4 }, ago(shown())));
  shapes.push(shape("text", { x: width - RIGHT, y: height - 4, "text-anchor": "end" }, "now"));
  for (const line of lines) {
    let path = "", pen = false;
    line.values.forEach((value, at) => {
      if (value === null) { pen = false; return; }
      path += `${pen ? "L" : "M"}${x(at).toFixed(1)} ${y(value).toFixed(1)}`;
      // A value between two gaps would be no line at all.
      if (!pen && (line.values[at + 1] ?? null) === null) path += "h1.5";
      pen = true;
    });
    shapes.push(shape("path", { d: path, fill: "none", stroke: line.colour, "stroke-width": 2, "stroke-linejoin": "round" }));
  }
  let at = times.length - 1;
  if (one.cursor !== undefined && times.length) {
    at = Math.round(one.cursor * (shown() - 1)) - (shown() - times.length);
    at = Math.min(times.length - 1, Math.max(0, at));
    shapes.push(shape("line", { class: "cursor", x1: x(at), x2: x(at), y1: TOP, y2: height - BOTTOM }));
    const end = x(at) > width / 2;
    shapes.push(shape("text", { x: x(at) + (end ? -5 : 5), y: TOP + 10, "text-anchor": end ? "end" : "start" },
      new Date(times[at]).toLocaleTimeString()));
  }
  one.svg.replaceChildren(...shapes);
  one.legend.replaceChildren(...lines.map((line) => {
    const item = element("li");
    const mark = element("i");
    mark.style.background = line.colour;
    item.append(mark, line.name + " ", element("b", "", show(line.values[at] ?? null, one.unit)));
    return item;
  }));
}

function record(numbers) {
  times.push(numbers.now.at);
  if (times.length > KEPT) times.shift();
  let drawn = 0;
  for (const one of panels) {
    const lines = one.lines(numbers).filter((line) => line.value !== undefined);
    for (const { name } of lines) {
      if (!one.history.has(name)) one.history.set(name, Array(times.length - 1).fill(null));
    }
    for (const [name, values] of one.history) {
      values.push(lines.find((line) => line.name === name)?.value ?? null);
      while (values.length > times.length) values.shift();
    }
    if (!one.history.size) continue;
    drawn += 1;
    if (!one.root) build(one);
    draw(one);
  }
  const made = tiles.map((one) => [one, one.value(numbers)]).filter(([, value]) => value !== null && value !== undefined);
  document.getElementById("tiles").replaceChildren(...made.map(([one, value]) => {
    const card = element("div", "tile");
    card.append(element("b", "", show(value, one.unit)), element("span", "", one.title));
    return card;
  }));
  document.getElementById("empty").hidden = drawn > 0;
  const build_info = numbers.series("turbopump_build_info")[0];
  if (build_info) {
    const { version, runtime } = build_info.labels;
    document.getElementById("build").textContent = [version, runtime && `on ${runtime}`].filter(Boolean).join(" ");
  }
}

function alerts(answer) {
  const order = ["firing", "pending", "resolved"];
  const active = answer.alerts.filter((one) => order.includes(one.state));
  active.sort((a, b) => order.indexOf(a.state) - order.indexOf(b.state));
  document.getElementById("alerts").replaceChildren(...active.map((one) => {
    const card = element("div", `alert ${one.state}`);
    const since = one.since_unix_ms ? ` since ${new Date(one.since_unix_ms).toLocaleTimeString()}` : "";
    card.append(element("b", "", `${one.name}: ${one.state}`), element("span", "", `${one.severity}${since}. ${one.description}`));
    return card;
  }));
}

// --- Asking

let before = null;
async function get(path) {
  const answer = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(5000) });
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}
async function ask() {
  const status = document.getElementById("status");
  try {
    const now = parse(await get("metrics.json"));
    if (!before || now.at > before.at) {
      record(new Numbers(now, before));
      before = now;
    }
    alerts(await get("alerts.json"));
    status.className = "live";
    document.getElementById("status-text").textContent = `live, ${new Date(now.at).toLocaleTimeString()}`;
  } catch (error) {
    status.className = "lost";
    document.getElementById("status-text").textContent = "no answer; asking again";
  }
  setTimeout(ask, 1000);
}
addEventListener("resize", () => panels.filter((one) => one.root).forEach(draw));
addEventListener("DOMContentLoaded", ask);
