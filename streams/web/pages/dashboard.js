// The dashboard: reads /v1/figures/stream and draws it. No library, no build step, nothing from
// elsewhere. What comes from customers is only ever set as text.

const find = (id) => document.getElementById(id);
const number = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const fine = new Intl.NumberFormat("en", { maximumFractionDigits: 3 });
const SVG = "http://www.w3.org/2000/svg";
const NAMES = { churn: "Churn: AUC", value: "Expected value: mean absolute error", next_item: "Next item: hit rate" };
const RETRY_MS = 2000;
const MOST_MOVES = 20;
let began = null; // sizes of segments when the page was opened

// -- making elements ---------------------------------------------------------------------------

function make(tag, text, attributes = {}) {
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

function rows(table, cells, empty) {
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

function list(id, lines, empty) {
  const made = (lines.length ? lines : [empty]).map((line) => make("li", line));
  find(id).replaceChildren(...made);
}

const count = (value) => ({ number: number.format(value) });
const known = (value) => (value === null || value === undefined ? "not yet known" : fine.format(value));
const day = (at) => (at ? at.slice(0, 16).replace("T", " ") : "");
const words = (name) => name.replaceAll("_", " ");

// -- curves ------------------------------------------------------------------------------------

/** Draw series of [x, y] into one picture, marks as upright lines, and say in words what it shows. */
function curve(series, marks, said) {
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

function qualityCurves(figures) {
  const alarms = figures.drift?.alarms ?? [];
  const marks = alarms.map((alarm) => ({ at: Date.parse(alarm.at), text: drifted(alarm) }));
  const made = Object.entries(figures.curves).map(([model, points]) => {
    const of = (kind) => points.filter((p) => p.at && p[kind] !== null).map((p) => [Date.parse(p.at), p[kind]]);
    const series = [{ kind: "settled", points: of("settled") }];
    if (model === "churn") series.push({ kind: "estimated", points: of("estimated") });
    const last = points.at(-1);
    const estimated = model === "churn" ? `, estimated ${known(last.estimated)}` : "";
    const said = `settled ${known(last.settled)}${estimated}`;
    const figure = make("figure");
    figure.append(make("h3", NAMES[model] ?? model), make("p", said, { class: "note" }));
    figure.append(curve(series, marks, `${NAMES[model] ?? model}: ${said}; ${marks.length} drift marks`));
    return figure;
  });
  if (!made.length) made.push(make("p", "Nothing is settled yet."));
  find("curves").replaceChildren(...made);
}

const drifted = (alarm) =>
  `${day(alarm.at)}: ${alarm.kind} ${alarm.name}, ${fine.format(alarm.value)} where ${fine.format(alarm.usual)} is usual`;

// -- figures -----------------------------------------------------------------------------------

function show(figures) {
  find("rate").textContent = number.format(figures.events_per_second);
  const rates = [{ kind: "settled", points: figures.rates }];
  const last = number.format(figures.events_per_second);
  find("rate-curve").replaceChildren(curve(rates, [], `Events scored per second, now ${last}`));
  const lags = figures.workers.flatMap((worker) =>
    Object.entries(worker.lag).map(([place, lag]) => [place, worker.role, count(lag)]));
  lags.sort((a, b) => a[0].localeCompare(b[0], "en", { numeric: true }));
  rows("lag", lags, "No worker has reported of late.");
  segments(figures.cache);
  moves(figures.moves);
  actions(figures.actions, figures.uplift);
  qualityCurves(figures);
  rows("quality", figures.quality.map((each) => [
    `${words(each.model)}, ${each.window}`, each.champion, count(each.outcomes),
    Object.entries(each.figures).filter(([, value]) => value !== null)
      .map(([name, value]) => `${words(name)} ${fine.format(value)}`).join(", "),
  ]), "Nothing is settled yet.");
  list("drift", (figures.drift?.alarms ?? []).slice(-10).reverse().map(drifted), "No drift was found.");
  champions(figures.contests);
  rows("letters", Object.entries(figures.dead_letters).map(([reason, n]) => [reason, count(n)]), "None.");
  rows("workers", figures.workers.map((each) => [
    each.role, each.worker, each.state, count(each.events_per_second),
  ]), "No worker has reported of late.");
}

function segments(cache) {
  find("cache-away").hidden = !cache.away;
  find("cache-away").textContent = cache.away ?? "";
  if (cache.away) return;
  began ??= cache.segments;
  find("at-risk").textContent = number.format(cache.at_risk);
  const sorted = Object.entries(cache.segments).sort((a, b) => b[1] - a[1]);
  rows("segments", sorted.map(([name, size]) => {
    const change = size - (began[name] ?? 0);
    return [words(name), count(size), change > 0 ? `+${number.format(change)}` : change < 0 ? number.format(change) : "="];
  }), "The cache is empty.");
}

const pairs = (counts) => Object.entries(counts)
  .flatMap(([first, seconds]) => Object.entries(seconds).map(([second, n]) => [first, second, n]));

function moves(counts) {
  const sorted = pairs(counts).sort((a, b) => b[2] - a[2]).slice(0, MOST_MOVES);
  rows("moves", sorted.map(([before, after, n]) => [words(before), words(after), count(n)]), "Nobody yet.");
}

function actions(counts, uplift) {
  rows("actions", pairs(counts).sort().map(([action, status, n]) => [words(action), status, count(n)]), "None yet.");
  const lines = uplift.flatMap((each) => each.effects.map((effect) => [
    `${words(each.action)}, ${effect.measure}`, `${fine.format(effect.treated)}, ${fine.format(effect.control)}`,
    effect.low === null ? "not yet known"
      : `${fine.format(effect.difference)} (${fine.format(effect.low)} to ${fine.format(effect.high)})`,
    each.balanced ? effect.verdict : "groups not as drawn",
  ]));
  rows("uplift", lines, "No outcome of an action is known yet.");
}

function champions(contests) {
  const lines = contests.flatMap((contest) => [
    `${contest.model}: ${contest.champion} predicts`,
    ...contest.changes.slice(-5).reverse().map((change) =>
      `${day(change.at)}: ${contest.model}, ${change.name} ${change.kind}: ${change.why}`),
  ]);
  list("champions", lines, "No model has challengers.");
}

// -- the stream --------------------------------------------------------------------------------

const headers = () => {
  const key = sessionStorage.getItem("key");
  return key ? { authorization: `Bearer ${key}` } : {};
};

async function follow() {
  const answer = await fetch("v1/figures/stream", { headers: headers(), cache: "no-store" });
  if (answer.status === 401 || answer.status === 403) return needKey(await answer.json());
  if (!answer.ok) throw new Error(`the server answers ${answer.status}`);
  find("key-form").hidden = true;
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let text = ""; ;) {
    const { done, value } = await reader.read();
    if (done) return true;
    text += value;
    for (let end; (end = text.indexOf("\n\n")) >= 0; text = text.slice(end + 2)) {
      const line = text.slice(0, end).split("\n").find((each) => each.startsWith("data: "));
      if (!line) continue;
      show(JSON.parse(line.slice(6)));
      connection("live");
    }
  }
}

function connection(text) {
  // Said once per change: a screen reader must not hear it every second.
  if (find("connection").textContent !== text) find("connection").textContent = text;
}

function needKey(problem) {
  find("key-form").hidden = false;
  connection(problem.message);
  return false;
}

async function keepFollowing() {
  for (;;) {
    try {
      if (!(await follow())) return;
    } catch (error) {
      connection(`not connected: ${error.message}; trying again`);
    }
    await new Promise((done) => setTimeout(done, RETRY_MS));
  }
}

find("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("key", find("key").value);
  find("key").value = "";
  keepFollowing();
});

// -- one customer ------------------------------------------------------------------------------

find("customer-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const id = find("customer").value.trim();
  const result = find("customer-result");
  try {
    const answer = await fetch(`v1/customers/${encodeURIComponent(id)}?history=true`, { headers: headers() });
    const body = await answer.json();
    result.replaceChildren(...(answer.ok ? customer(body) : [make("p", body.message, { class: "warning" })]));
  } catch (error) {
    result.replaceChildren(make("p", error.message, { class: "warning" }));
  }
});

function customer(body) {
  const made = [make("h3", body.customer_id)];
  const score = body.scores;
  if (score) {
    const facts = make("dl");
    const terms = {
      Segment: words(score.segment),
      "Leaves with probability": known(score.churn_probability) + (score.calibrated ? "" : ", the base rate so far"),
      "Expected value": `${known(score.expected_value)} ${score.currency}`,
      Orders: `${score.orders}, ${fine.format(score.spend)} ${score.currency}`,
      "Last active": day(score.last_activity_at),
    };
    for (const [term, text] of Object.entries(terms)) facts.append(make("dt", term), make("dd", text));
    made.push(facts, make("h3", "Why"));
    const reasons = make("ul");
    for (const reason of score.churn_reasons) {
      reasons.append(make("li", `${reason.text} (${reason.contribution > 0 ? "speaks for leaving" : "speaks for staying"})`));
    }
    made.push(reasons.children.length ? reasons : make("p", "No reasons yet."));
  }
  const points = (body.scores_history ?? []).filter((each) => each.churn_probability !== null)
    .map((each) => [Date.parse(each.at), each.churn_probability]).reverse();
  const said = points.length
    ? `Probability of leaving over the newest ${points.length} scores, ${fine.format(points[0][1])} to ${fine.format(points.at(-1)[1])}`
    : "Probability of leaving: not yet known";
  made.push(make("h3", said), curve([{ kind: "settled", points }], [], said));
  made.push(make("h3", "Recommended next"));
  const items = make("ol");
  for (const item of body.recommendations?.items ?? []) items.append(make("li", `${item.item_id}: ${item.reason.text}`));
  made.push(items.children.length ? items : make("p", "No list yet."));
  made.push(make("h3", "Actions"));
  const acted = make("ul");
  for (const each of body.actions ?? []) {
    const why = each.why ? ` (${words(each.why)})` : "";
    const by = each.triggers.map((trigger) => trigger.text).join(", ");
    acted.append(make("li", `${day(each.at)}: ${words(each.action)}, ${each.status}${why}: ${by}`));
  }
  made.push(acted.children.length ? acted : make("p", "None yet."));
  return made;
}

// -- theme -------------------------------------------------------------------------------------

function theme(dark) {
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  find("theme").setAttribute("aria-pressed", String(dark));
}

find("theme").addEventListener("click", () => {
  const dark = document.documentElement.dataset.theme !== "dark";
  localStorage.setItem("theme", dark ? "dark" : "light");
  theme(dark);
});
const chosen = localStorage.getItem("theme");
theme(chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches);
keepFollowing();
