"use strict";
// Shows the states that come as events. All text of programs goes into the page as text, never as
// markup. Elements are kept and updated, so that focus and what was opened stay as they are.

const SHOWN_CALLS = 6; // of those that have ended
const SAMPLES = 120; // of each worker's lane
const STALE_MS = 5000;
const base = location.pathname.replace(/\/?$/, "/");
const byId = (id) => document.getElementById(id);

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "class") made.className = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/// Has `parent` contain one child for each item, in this order; `make` makes one, `update` fills it.
function keyed(parent, items, key, make, update) {
  const present = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  let before = parent.firstElementChild;
  for (const item of items) {
    const name = String(key(item));
    let child = present.get(name);
    present.delete(name);
    if (!child) {
      child = make(item);
      child.dataset.key = name;
    }
    if (child === before) before = before.nextElementSibling;
    else parent.insertBefore(child, before);
    update(child, item);
  }
  for (const child of present.values()) child.remove();
}

// Numbers, times and sizes.
const count = (number) => number === null ? "?" : number.toLocaleString("en").replaceAll(",", "\u202f");
function duration(ms) {
  if (ms === null || !isFinite(ms)) return "–";
  if (ms < 10) return `${ms < 1 ? ms.toFixed(2) : ms.toFixed(1)} ms`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const seconds = ms / 1000;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const [hours, minutes, rest] = [seconds / 3600, (seconds / 60) % 60, seconds % 60].map(Math.floor);
  const two = (part) => String(part).padStart(2, "0");
  return hours > 0 ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)} min`;
}
const seconds = (number) => number === null ? "–" : number === 0 ? "0 s" : duration(number * 1000);
function moment(ms) {
  if (ms === null) return "–";
  const at = new Date(ms), two = (part) => String(part).padStart(2, "0");
  const time = [at.getHours(), at.getMinutes(), at.getSeconds()].map(two).join(":");
  if (at.toDateString() === new Date().toDateString()) return time;
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${time}`;
}
function bytes(number) {
  if (number === null) return "–";
  const mib = number / 1048576;
  return mib < 1024 ? `${mib.toFixed(mib < 10 ? 1 : 0)} MiB` : `${(mib / 1024).toFixed(1)} GiB`;
}
function perSecond(rate) {
  if (rate === null || !isFinite(rate)) return "–";
  for (const [limit, unit] of [[1e9, "G"], [1e6, "M"], [1e4, "k"]]) {
    if (rate >= limit) return `${(rate / (unit === "k" ? 1e3 : limit)).toFixed(1)} ${unit}/s`;
  }
  return `${rate.toFixed(rate < 10 ? 2 : 0)} /s`;
}
const percent = (share) => share === null ? "–" : `${(share * 100).toFixed(share < 0.1 ? 2 : 1)} %`;

// What is remembered between states.
const rates = new Map(); // of a call: { at, done, rate }
const outcomes = new Map(); // of a call: the last one that was told
const lanes = new Map(); // of a worker: its last stages
let state = null;
let isLost = false;

/// Items a second: of a call that goes on those of the last seconds, else of its whole time.
function rateOf(id, call, now) {
  if (call.ended !== null) {
    rates.delete(id);
    const took = call.ended - call.began;
    return took > 0 ? call.done * 1000 / took : null;
  }
  const last = rates.get(id);
  const whole = now > call.began ? call.done * 1000 / (now - call.began) : null;
  if (!last || call.done < last.done) {
    rates.set(id, { at: now, done: call.done, rate: whole });
    return whole;
  }
  if (now - last.at >= 400) {
    const recent = (call.done - last.done) * 1000 / (now - last.at);
    const share = 1 - Math.exp((last.at - now) / 4000);
    last.rate = last.rate === null ? recent : last.rate + share * (recent - last.rate);
    Object.assign(last, { at: now, done: call.done });
  }
  return last.rate;
}

const WORDS = { running: "Running", done: "Done", failed: "Failed", cancelled: "Cancelled" };

function figure(name) {
  const value = element("dd");
  return { node: element("div", {}, element("dt", {}, name), value), value };
}

function makeCall() {
  const node = element("li", { class: "call" });
  const parts = {
    name: element("h4", { class: "code" }), where: element("span", { class: "where" }),
    word: element("span", { class: "word" }), state: element("span", { class: "state" }),
    cancel: element("button", { type: "button", hidden: "" }, "Cancel"),
    bar: element("div", { class: "bar", role: "progressbar", "aria-valuemin": "0" }, element("div", { class: "fill" })),
    errors: element("ul", { class: "errors" }),
  };
  parts.state.append(element("span", { class: "dot", "aria-hidden": "true" }), parts.word);
  parts.figures = Object.fromEntries(["Done", "Rate", "Elapsed", "Remaining", "Started", "Finished"].map((name) => [name, figure(name)]));
  parts.cancel.addEventListener("click", () => cancel(node));
  parts.cancel.addEventListener("blur", () => calm(parts.cancel));
  node.append(
    element("div", { class: "first" }, parts.name, parts.where, parts.state, parts.cancel), parts.bar,
    element("dl", { class: "figures" }, ...Object.values(parts.figures).map((figure) => figure.node)), parts.errors);
  node.parts = parts;
  return node;
}

function updateCall(node, { program, pool, call, id }) {
  const { parts } = node;
  const now = state.now, isRunning = call.outcome === "running";
  node.dataset.outcome = call.outcome;
  node.names = { program: program.id, pool: pool.number, call: call.number };
  setText(parts.name, call.function);
  setText(parts.where, [call.form, call.location].filter(Boolean).join(" · "));
  parts.state.dataset.state = call.outcome;
  setText(parts.word, isRunning && (isLost || program.lost !== null) ? "Was running" : WORDS[call.outcome]);
  parts.cancel.hidden = !(isRunning && program.cancel && call.cancel && !isLost && pool.number !== null && call.number !== null);
  parts.cancel.setAttribute("aria-label", `${parts.cancel.textContent} ${call.function}`);

  const share = call.total ? Math.min(1, call.done / call.total) : call.total === 0 || call.outcome === "done" ? 1 : null;
  const text = `${count(call.done)} of ${call.total === null ? "an unknown number" : count(call.total)}`;
  parts.bar.classList.toggle("unknown", share === null && isRunning);
  parts.bar.firstChild.style.width = share === null ? (isRunning ? "" : "0") : `${share * 100}%`;
  parts.bar.setAttribute("aria-label", `Progress of ${call.function}`);
  parts.bar.setAttribute("aria-valuetext", text);
  if (share === null) {
    parts.bar.removeAttribute("aria-valuenow");
  } else {
    parts.bar.setAttribute("aria-valuenow", Math.round(share * 100));
    parts.bar.setAttribute("aria-valuemax", "100");
  }
  const rate = rateOf(id, call, now);
  const left = isRunning && call.total !== null && rate > 0 ? (call.total - call.done) * 1000 / rate : null;
  // 100 % only when all is done.
  const shown = share === null ? "" : ` · ${share === 1 ? 100 : Math.min(99.9, share * 100).toFixed(1)} %`;
  const failed = call.failed > 0 ? ` · ${count(call.failed)} failed` : "";
  const figures = {
    Done: `${count(call.done)} / ${count(call.total)}${shown}${failed}`, Rate: perSecond(rate),
    Elapsed: duration((call.ended ?? Math.max(now, call.began)) - call.began),
    Remaining: isRunning ? duration(left) : "–", Started: moment(call.began),
    Finished: isRunning && left !== null ? `about ${moment(now + left)}` : moment(call.ended),
  };
  for (const [name, text] of Object.entries(figures)) setText(parts.figures[name].value, text);
  parts.figures.Remaining.node.hidden = !isRunning;

  const errors = call.errors.map((error, at) => ({ ...error, at })).reverse();
  parts.errors.hidden = errors.length === 0;
  keyed(parts.errors, errors, (error) => error.text + error.backtrace, (error) => {
    const made = element("li", {}, element("p", {}, error.text));
    if (error.backtrace) made.append(element("details", {}, element("summary", {}, "Backtrace"), element("pre", { tabindex: "0" }, error.backtrace)));
    return made;
  }, () => {});

  if (outcomes.get(id) !== call.outcome) {
    if (outcomes.has(id)) tell(`${call.function}: ${WORDS[call.outcome].toLowerCase()}, ${text}`);
    outcomes.set(id, call.outcome);
  }
}

function calm(button) {
  button.classList.remove("sure");
  setText(button, "Cancel");
}

/// The first press asks, the second one cancels.
async function cancel(node) {
  const button = node.parts.cancel;
  if (!button.classList.contains("sure")) {
    button.classList.add("sure");
    setText(button, "Really cancel?");
    return;
  }
  calm(button);
  const query = new URLSearchParams(node.names);
  try {
    const answer = await fetch(`${base}cancel?${query}`, { method: "POST" });
    tell(await answer.text());
  } catch {
    tell("The program does not answer.");
  }
}

function tell(text) {
  setText(byId("news"), text);
}

const LANES = [["working", "--accent"], ["waiting", "--idle"], ["starting or ending", "--warn"], ["not there, or not known", "--track"]];

function laneOf(stage) {
  if (stage === "working") return 0;
  if (stage === "waiting") return 1;
  return stage === "" || stage === "not started" || stage === "ended" ? 3 : 2;
}

function drawLane(canvas, lane) {
  const ratio = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth * ratio, canvas.clientHeight * ratio].map(Math.round);
  if (!width) return;
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  const context = canvas.getContext("2d");
  const style = getComputedStyle(document.documentElement);
  const colors = LANES.map(([, name]) => style.getPropertyValue(name).trim());
  context.clearRect(0, 0, width, height);
  lane.forEach((kind, at) => {
    const from = Math.floor((SAMPLES - lane.length + at) * width / SAMPLES);
    const to = Math.floor((SAMPLES - lane.length + at + 1) * width / SAMPLES);
    context.fillStyle = colors[kind];
    const rise = kind === 0 ? 1 : kind === 1 ? 0.35 : 0.6;
    context.fillRect(from, Math.round(height * (1 - rise)), to - from, Math.round(height * rise));
  });
}

function makeWorkers() {
  const heads = [["Worker", ""], ["Last minute", ""], ["Now", ""], ["Since", "n"], ["Items", "n"], ["CPU", "n"], ["Memory", "n"], ["PID", "n"]];
  const body = element("tbody");
  const table = element("table", {}, element("caption", { class: "unseen" }, "Workers and what they run now"),
    element("thead", {}, element("tr", {}, ...heads.map(([name, kind]) => element("th", { scope: "col", class: kind }, name)))), body);
  const key = element("p", { class: "key note", "aria-hidden": "true" }, ...LANES.map(([name, color]) => {
    const swatch = element("span", { class: "swatch" });
    swatch.style.background = `var(${color})`;
    return element("span", {}, swatch, name);
  }));
  const node = element("details", { class: "block", open: "" }, element("summary", {}, element("h4", {}, "Workers")),
    element("div", { class: "scroll" }, table), key);
  node.body = body;
  return node;
}

function updateWorkers(node, program, pool) {
  node.hidden = pool.workers.length === 0;
  const names = new Map(pool.calls.map((call) => [call.number, call.function]));
  keyed(node.body, pool.workers, (worker) => worker.id, () => {
    const cells = ["", "wide", "n", "n", "n", "n", "n"].map((kind) => element("td", { class: kind }));
    const canvas = element("canvas", { "aria-hidden": "true" });
    cells[0].append(canvas);
    const row = element("tr", {}, element("th", { scope: "row" }), ...cells);
    row.parts = { canvas, cells };
    return row;
  }, (row, worker) => {
    const { canvas, cells } = row.parts;
    setText(row.firstChild, String(worker.id));
    const id = `${program.id}/${pool.number}/${worker.id}`;
    const lane = lanes.get(id) ?? [];
    if (!isLost && program.lost === null) {
      lane.push(laneOf(worker.stage));
      if (lane.length > SAMPLES) lane.shift();
      lanes.set(id, lane);
    }
    drawLane(canvas, lane);
    const item = worker.item === null ? "" : `, item ${count(worker.item)}`;
    const runs = worker.call !== null && names.has(worker.call) ? ` ${names.get(worker.call)}${item}` : item ? ` ${item.slice(2)}` : "";
    const text = [worker.stage ? worker.stage + runs : "not known without enable_insights", worker.since === null ? "–" : duration(Math.max(0, state.now - worker.since)),
      worker.completed === null ? "–" : count(worker.completed), worker.cpu === null ? "–" : `${Math.round(worker.cpu / 10)} %`,
      bytes(worker.memory), worker.pid === null ? "–" : String(worker.pid)];
    text.forEach((text, at) => setText(cells[at + 1], text));
    cells[1].title = text[0];
  });
}

function table(caption, heads, rows) {
  const cell = (tag, text, at, kind) => element(tag, { class: kind ?? (at ? "n" : ""), ...(tag === "th" ? { scope: "col" } : {}) }, text);
  return element("div", { class: "scroll" }, element("h4", {}, caption), element("table", {}, element("caption", { class: "unseen" }, caption),
    element("thead", {}, element("tr", {}, ...heads.map((name, at) => cell("th", name, at, name === "Argument" ? "" : undefined)))),
    element("tbody", {}, ...rows.map((row) => element("tr", {}, ...row.map((text, at) => typeof text === "string" ? cell("td", text, at) : text))))));
}

function updateInsights(node, insights) {
  node.hidden = !insights;
  if (!insights) return;
  const text = JSON.stringify(insights);
  if (node.shown === text) return;
  node.shown = text;
  const parts = insights.parts.map((part) => {
    const ratio = element("td", { class: part.name === "working" && part.ratio < 0.8 ? "n low" : "n" }, percent(part.ratio));
    return [part.name, seconds(part.total), seconds(part.mean), seconds(part.std), ratio];
  });
  const inside = [table(`All workers: ${count(insights.completed)} tasks`, ["", "Total", "Mean", "Std", "Share"], parts)];
  if (insights.longest.length) {
    inside.push(table("Longest tasks", ["Time", "Item", "Argument"], insights.longest.map((task) =>
      [seconds(task.time), count(task.item), element("td", { class: "wrap code" }, task.argument || "–")])));
  }
  const names = insights.parts.map((part) => part.name);
  inside.push(table("Each worker", ["Worker", "Tasks", ...names], insights.workers.map((worker) =>
    [String(worker.id), count(worker.completed), ...worker.times.map(seconds)])));
  if (insights.note) inside.push(element("p", { class: "note" }, insights.note));
  node.lastChild.replaceChildren(...inside);
}

function makePool() {
  const parts = { name: element("h3"), note: element("span", { class: "note" }), calls: element("ul", { class: "calls", "aria-label": "Calls" }),
    more: element("button", { type: "button", class: "more", "aria-expanded": "false" }), workers: makeWorkers(),
    insights: element("details", { class: "block", hidden: "" }, element("summary", {}, element("h4", {}, "Insights")), element("div", { class: "pair" })) };
  const node = element("section", { class: "pool" }, element("div", { class: "title" }, parts.name, parts.note), parts.calls, parts.more, parts.workers, parts.insights);
  parts.more.addEventListener("click", () => {
    const expanded = parts.more.getAttribute("aria-expanded") === "true";
    parts.more.setAttribute("aria-expanded", String(!expanded));
    show();
  });
  node.parts = parts;
  return node;
}

function updatePool(node, { program, pool }) {
  const { parts } = node;
  setText(parts.name, `Pool ${pool.number ?? "?"}`);
  node.setAttribute("aria-label", `Pool ${pool.number ?? "?"} of ${program.name}`);
  setText(parts.note, [pool.method, pool.jobs === 1 ? "1 worker" : `${pool.jobs} workers`, pool.closed ? "dropped" : ""].filter(Boolean).join(" · "));
  const calls = [...pool.calls].reverse();
  const all = parts.more.getAttribute("aria-expanded") === "true";
  let ended = 0;
  const shown = calls.filter((call) => call.ended === null || all || ++ended <= SHOWN_CALLS);
  const over = calls.filter((call) => call.ended !== null).length - SHOWN_CALLS;
  parts.more.hidden = over <= 0;
  setText(parts.more, all ? "Show fewer calls" : over === 1 ? "Show 1 earlier call" : `Show ${over} earlier calls`);
  const items = shown.map((call) => ({ program, pool, call, id: `${program.id}/${pool.number}/${call.number}` }));
  keyed(parts.calls, items, (item) => item.call.number, makeCall, updateCall);
  updateWorkers(parts.workers, program, pool);
  updateInsights(parts.insights, pool.insights);
}

function makeProgram() {
  const node = element("section", { class: "program" });
  node.parts = { name: element("h2"), note: element("span", { class: "note" }), pools: element("div") };
  node.append(element("div", { class: "title" }, node.parts.name, node.parts.note), node.parts.pools);
  return node;
}

function updateProgram(node, program) {
  const { parts } = node;
  node.classList.toggle("lost", isLost || program.lost !== null);
  setText(parts.name, program.name);
  node.setAttribute("aria-label", `Program ${program.name}, PID ${program.pid}`);
  const ended = program.lost === null ? "" : ` · ended ${moment(program.lost)}: this is its last state`;
  setText(parts.note, `${program.user}@${program.host} · PID ${program.pid}${ended}`);
  keyed(parts.pools, [...program.pools].reverse().map((pool) => ({ program, pool })), (item) => item.pool.number, makePool, updatePool);
}

function show() {
  if (!state) return;
  keyed(byId("programs"), state.programs, (program) => program.id, makeProgram, updateProgram);
  const pools = state.programs.flatMap((program) => program.pools);
  byId("empty").hidden = pools.length > 0;
  const running = pools.flatMap((pool) => pool.calls).filter((call) => call.ended === null);
  setText(byId("summary"), pools.length === 0 ? "" : `${pools.length === 1 ? "1 pool" : `${pools.length} pools`} · ${running.length === 1 ? "1 call" : `${running.length} calls`} running`);
  const [first] = running;
  const share = first?.total ? `${Math.floor(first.done * 100 / first.total)} % · ` : "";
  document.title = isLost ? "Connection lost · Worker pools" : first ? `${share}${first.function} · Worker pools` : "Worker pools";
}

function setConnection(kind, text, banner) {
  byId("connection").dataset.state = kind;
  setText(byId("connection-text"), text);
  byId("banner").hidden = !banner;
  setText(byId("banner"), banner ?? "");
}

function lose(text, why) {
  isLost = true;
  setConnection("lost", text, state ? `${why} What you see is the last state, of ${moment(state.now)}.` : why);
  show();
}

let lastEvent = Date.now();
const events = new EventSource(`${base}events`);

function receive(event) {
  lastEvent = Date.now();
  state = JSON.parse(event.data);
}
events.addEventListener("state", (event) => {
  receive(event);
  if (isLost || byId("connection").dataset.state !== "live") {
    isLost = false;
    setConnection("live", "Live");
  }
  show();
});
events.addEventListener("end", (event) => {
  receive(event);
  events.close();
  clearInterval(watch);
  lose("Ended", "The dashboard has ended.");
});
events.addEventListener("error", () => {
  if (events.readyState === EventSource.CLOSED || !isLost) lose("Connection lost", "The connection to the dashboard is lost.");
});
const watch = setInterval(() => {
  if (!isLost && Date.now() - lastEvent > STALE_MS) lose("No answer", "The program does not answer.");
}, 1000);
