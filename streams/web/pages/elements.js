// Elements of the page: text, tables, lists and curves. What stands already is left alone.

export const find = (id) => document.getElementById(id);
export const number = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
export const fine = new Intl.NumberFormat("en", { maximumFractionDigits: 3 });
const SVG = "http://www.w3.org/2000/svg";
const drawn = new Map(); // id of an element to what it shows

export function make(tag, text, attributes = {}) {
  const made = document.createElement(tag);
  if (text !== undefined && text !== null) made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

function draw(tag, attributes, text) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

/** Say whether an element shows this already: what is left alone keeps selections and places. */
export function shows(id, what) {
  const text = JSON.stringify(what);
  if (drawn.get(id) === text) return true;
  drawn.set(id, text);
  return false;
}

/** Set a text once per change: a screen reader must not hear it every second. */
export function tell(id, text) {
  if (find(id).textContent !== text) find(id).textContent = text;
}

export function rows(table, cells, empty) {
  if (shows(table, cells)) return;
  const body = find(table).tBodies[0];
  const made = cells.map((line) => {
    const row = make("tr");
    line.forEach((cell, at) => {
      const isNumber = cell !== null && typeof cell === "object";
      const text = isNumber ? cell.number : cell;
      const options = isNumber ? { class: "number" } : {};
      row.append(at === 0 ? make("th", text, { scope: "row", ...options }) : make("td", text, options));
    });
    return row;
  });
  if (!made.length) {
    const row = make("tr");
    row.append(make("td", empty, { colspan: find(table).tHead.rows[0].cells.length }));
    made.push(row);
  }
  body.replaceChildren(...made);
}

export function list(id, lines, empty) {
  if (shows(id, lines)) return;
  const made = (lines.length ? lines : [empty]).map((line) => make("li", line));
  find(id).replaceChildren(...made);
}

export const count = (value) => ({ number: number.format(value) });
export const known = (value) => (value === null || value === undefined ? "not yet known" : fine.format(value));
export const day = (at) => (at ? at.slice(0, 16).replace("T", " ") : "");
export const words = (name) => name.replaceAll("_", " ");

/** Draw series of [x, y] into one picture, marks as upright lines, and say in words what it shows. */
export function curve(series, marks, said) {
  const points = series.flatMap((each) => each.points);
  const picture = draw("svg", { viewBox: "0 0 420 150", role: "img", "aria-label": said });
  if (points.length < 2) {
    picture.append(draw("text", { x: 10, y: 75 }, "not yet known"));
    return picture;
  }
  const xs = points.map((point) => point[0]);
  const ys = points.map((point) => point[1]);
  const [left, right] = [Math.min(...xs), Math.max(...xs)];
  const [low, high] = [Math.min(...ys), Math.max(...ys)];
  const x = (value) => 60 + (350 * (value - left)) / (right - left || 1);
  const y = (value) => 130 - (110 * (value - low)) / (high - low || 1);
  picture.append(draw("line", { x1: 60, x2: 410, y1: 130, y2: 130, class: "axis" }));
  picture.append(draw("text", { x: 54, y: 134, "text-anchor": "end" }, fine.format(low)));
  if (high > low) picture.append(draw("text", { x: 54, y: 24, "text-anchor": "end" }, fine.format(high)));
  for (const mark of marks) {
    if (mark.at < left || mark.at > right) continue;
    const line = draw("line", { x1: x(mark.at), x2: x(mark.at), y1: 12, y2: 130, class: "drift" });
    line.append(draw("title", {}, mark.text));
    picture.append(line);
  }
  for (const each of series) {
    const path = each.points.map(([a, b]) => `${x(a).toFixed(1)},${y(b).toFixed(1)}`).join(" ");
    picture.append(draw("polyline", { points: path, class: each.kind }));
  }
  return picture;
}
