// The dashboard: reads /v1/figures/stream and draws it. No library, no build step, nothing from
// elsewhere. What comes from customers is only ever set as text.

import { count, curve, day, find, fine, known, list, make, number, rows, shows, tell, words } from "./elements.js";

const NAMES = { churn: "Churn: AUC", value: "Expected value: mean absolute error", next_item: "Next item: hit rate" };
const RETRY_SECONDS = 2;
const SILENT_SECONDS = 5; // there is an event each second, or nobody is there
const MOST_MOVES = 20;
let began = null; // sizes of segments when the page was opened
let paused = false;
let newest = null; // figures

// -- curves ------------------------------------------------------------------------------------

function qualityCurves(figures) {
  const alarms = figures.drift?.alarms ?? [];
  if (shows("curves", [figures.curves, alarms])) return;
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
  tell("cache-away", cache.away ?? "");
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
  const connected = new AbortController();
  let watch;
  const heard = () => {
    clearTimeout(watch);
    const silent = () => connected.abort(new Error(`nothing came for ${SILENT_SECONDS} seconds`));
    watch = setTimeout(silent, 1000 * SILENT_SECONDS);
  };
  try {
    heard();
    const options = { headers: headers(), cache: "no-store", signal: connected.signal };
    const answer = await fetch("v1/figures/stream", options);
    if (answer.status === 401 || answer.status === 403) return needKey(await problem(answer));
    if (!answer.ok) {
      const seconds = Number(answer.headers.get("retry-after"));
      throw Object.assign(new Error(await problem(answer)), { seconds });
    }
    find("key-form").hidden = true;
    await read(answer.body.pipeThrough(new TextDecoderStream()).getReader(), heard);
    return true;
  } finally {
    clearTimeout(watch);
    connected.abort();
  }
}

async function read(reader, heard) {
  for (let text = ""; ;) {
    const { done, value } = await reader.read();
    if (done) return;
    heard();
    text += value;
    for (let end; (end = text.indexOf("\n\n")) >= 0; text = text.slice(end + 2)) {
      const line = text.slice(0, end).split("\n").find((each) => each.startsWith("data: "));
      if (!line) continue;
      newest = JSON.parse(line.slice(6));
      if (!paused) show(newest);
      connection(paused ? "paused" : "live");
    }
  }
}

/** Say what an answer found wrong; a proxy's has no message. */
async function problem(answer) {
  const body = await answer.json().catch(() => ({}));
  return body.message ?? `the server answers ${answer.status}`;
}

const connection = (text) => tell("connection", text);

function needKey(message) {
  find("key-form").hidden = false;
  connection(message);
  return false;
}

async function keepFollowing() {
  for (;;) {
    let seconds = RETRY_SECONDS;
    try {
      if (!(await follow())) return;
      connection("reconnecting");
    } catch (error) {
      connection(`not connected: ${error.message}; trying again`);
      seconds = Math.max(seconds, error.seconds || 0);
    }
    // All pages lose a server at the same moment, and must not come back at the same one.
    const wait = 1000 * seconds * (1 + Math.random());
    await new Promise((done) => setTimeout(done, wait));
  }
}

find("pause").addEventListener("click", () => {
  paused = !paused;
  find("pause").setAttribute("aria-pressed", String(paused));
  if (paused) connection("paused");
  else if (newest) show(newest);
});

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
    if (!answer.ok) throw new Error(await problem(answer));
    result.replaceChildren(...customer(await answer.json()));
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
