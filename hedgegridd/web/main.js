// The page's life: log in, read, listen, and never let old figures look new.
import { begin, showActions } from "./actions.js";
import { showAlerts } from "./alerts.js";
import { forgetCharts, showCharts, takeHistory, takeStatus } from "./charts.js";
import { showLadder } from "./ladder.js";
import { Refused, Stream, read, send } from "./net.js";
import { Journal, showFills, showGuards, showLegs, showMoney, showOrders } from "./panels.js";
import { showHeader, showIncidents, showState, showTiles } from "./state.js";
import { age, byId, clock, el, say, short } from "./words.js";

const OLD_S = 5; // figures dim
const GONE_S = 15; // nothing about the state is known any more
const BACK_S = 30; // how long it stands that contact is back
const CHART_MS = 3_000;
const EVENT_MS = 60; // events that come together cause one reading
const HURRY_MS = 500; // between two such readings: a busy market must not use up the key's reads a minute
const URGENT = ["KillStateChanged", "TripsChanged"]; // read without waiting for what may come with them
const QUIET = ["Fill", "Recentred", "IncomeBooked", "RegimeChanged"]; // the next regular reading shows them
const SLOWER = 3; // times, for a minute after the daemon has said that we ask too often
const EVERY_MS = { status: 1_000, ladders: 2_000, positions: 2_000, guards: 2_000, orders: 3_000, alerts: 3_000, fills: 4_000, equity: 60_000 };
const PATHS = { alerts: "/alerts?limit=5", fills: "/fills?limit=30", equity: "/equity?limit=1000" };
const HURRIED = ["status", "guards", "alerts"]; // read at once when something has happened
const WHO = "hedgegridd-who"; // name and role, to show the right buttons; the server decides by the session

const got = {}; // newest answer of each reading
const journal = new Journal();
let statusAt = null; // performance.now() of the newest status
let beatAt = null; // of the newest beat of the trading actors; null: no stream yet
let lostAt = null; // when contact was lost; null: it is there
let lostWhy = "";
let back = null; // { at, text } after contact came back
let readySince = null;
let asking = false; // the log-in dialog is open
let hurry = null;
let chartAt = 0;
let hurriedAt = -Infinity;
let slowUntil = 0;
const reading = {};
const again = {};
const nextAt = {};

const stream = new Stream(heard, streamLost);

// ---------------------------------------------------------------------------------------------- reading

async function refresh(name, news = false) {
  if (asking) return;
  if (reading[name]) {
    again[name] ||= news; // what is under way may have been asked before it happened
    return;
  }
  reading[name] = true;
  const at = performance.now();
  nextAt[name] = at + EVERY_MS[name] * (at < slowUntil ? SLOWER : 1);
  try {
    const body = await read(PATHS[name] || `/${name}`);
    got[name] = body;
    if (name === "status") gotStatus(body);
    draw(name);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    if (error.status === 401) logIn("");
    else if (error.status === 429) slowUntil = performance.now() + 60_000; // old figures say so by their age
    else if (name === "status") lost(error.status === 403 ? `${error.body.title}: ${error.message}` : error.message);
  } finally {
    reading[name] = false;
    if (again[name]) {
      again[name] = false;
      refresh(name);
    }
  }
}

function gotStatus(status) {
  const began = performance.now();
  if (lostAt !== null) {
    const gap = (began - lostAt) / 1000;
    back = { at: began, text: `Connection is back after ${age(gap)}, at ${clock(status.time)} UTC.` };
    lostAt = null;
    stream.start();
  }
  const boot = status.boot;
  if (boot && boot.ready) {
    const since = Date.parse(status.time) / 1000 - boot.age_s;
    if (readySince !== null && since - readySince > 1) {
      back = { at: began, text: `The daemon was restarted; it is ready since ${clock(new Date(since * 1000).toISOString())} UTC. ${back ? back.text : ""}`.trim() };
    }
    readySince = since;
  }
  statusAt = began;
  takeStatus(status);
  (status.recent || []).forEach((line) => journal.add(line));
}

function lost(why) {
  if (lostAt === null) lostAt = statusAt ?? performance.now();
  lostWhy = why;
  back = null;
  contact();
}

/** Something has happened: read what it may have changed, once for all that comes together. */
function soon() {
  hurry ??= setTimeout(() => {
    hurry = null;
    hurriedAt = performance.now();
    HURRIED.forEach((name) => refresh(name, true));
  }, Math.max(EVENT_MS, hurriedAt + HURRY_MS - performance.now()));
}

function heard(event, data) {
  if (event === "beat") {
    beatAt = performance.now();
    return;
  }
  if (event === "silent" || event === "missed") {
    soon();
    return;
  }
  if (!data.words) return;
  journal.add({ seq: data.seq, time_ns: data.time_ns, cause: data.cause, text: data.words });
  if (URGENT.includes(event)) HURRIED.forEach((name) => refresh(name, true));
  else if (!QUIET.includes(event)) soon();
}

function streamLost(error) {
  beatAt = null; // readings go on; while they fail too, contact is lost
  if (error instanceof Refused && error.status === 401) logIn("");
  else refresh("status");
}

// ---------------------------------------------------------------------------------------------- drawing

function draw(name) {
  const status = got.status;
  if (!status) return;
  byId("main").hidden = false;
  if (name === "status") {
    showHeader(status);
    showState(status, false);
    showLegs(status);
    showMoney(status);
    chooser(status);
  }
  if (name === "status" || name === "guards") {
    showTiles(got.guards || null, status);
    showIncidents(status, got.guards || null);
  }
  if (name === "guards") showGuards(got.guards);
  if (name === "alerts") showAlerts(got.alerts, !["none", "viewer"].includes(who().role), () => refresh("alerts", true));
  if (name === "orders") showOrders(got.orders, status);
  if (name === "fills") showFills(got.fills, status);
  if (name === "equity") takeHistory(got.equity.equity);
  if (["ladders", "positions", "fills"].includes(name)) drawLadder();
  contact();
}

function drawLadder() {
  if (!got.ladders || !got.positions || !got.status.instruments) return;
  const wanted = byId("instrument").value;
  const item = got.status.instruments.find((each) => each.instrument === wanted);
  const ladder = got.ladders.ladders.find((each) => each.instrument === wanted);
  if (!item || !ladder) return;
  const of = (rows) => rows.filter((each) => each.instrument === wanted);
  showLadder(item, ladder, of(got.positions.positions), of(got.fills ? got.fills.fills : []));
}

function chooser(status) {
  const select = byId("instrument");
  const names = (status.instruments || []).map((item) => item.instrument);
  if (names.join() === [...select.options].map((option) => option.value).join()) return;
  const chosen = select.value;
  select.replaceChildren(...names.map((name) => el("option", { value: name, text: short(name) })));
  if (names.includes(chosen)) select.value = chosen;
  byId("instrument-label").hidden = names.length < 2;
}

/** How old the figures are, said and shown: dim after 5 s or once contact is known to be lost; after 15 s nothing is known. */
function contact() {
  const at = performance.now();
  const ageS = statusAt === null ? null : (at - statusAt) / 1000;
  const beatS = beatAt === null ? null : (at - beatAt) / 1000;
  const oldest = Math.max(ageS ?? 0, beatS ?? 0);
  const isLost = lostAt !== null;
  const old = isLost || oldest > OLD_S;
  const gone = statusAt !== null && oldest > GONE_S;
  document.body.classList.toggle("old", old);
  document.body.classList.toggle("gone", gone);
  const box = byId("contact");
  let text = "";
  if (old) {
    const from = got.status ? ` Figures are old, from ${clock(got.status.time)} UTC.` : "";
    const why = isLost ? ` (${lostWhy})` : beatS !== null && beatS > OLD_S ? " (its trading part does not answer)" : "";
    text = gone ? `No contact for ${age(oldest)}${why}.${from} It may still be trading. Act elsewhere: hedgegridctl panic --yes, or the venue's app.`
      : `Connection lost ${age(isLost ? (at - lostAt) / 1000 : oldest)} ago${why}.${from} Trying again.`;
  } else if (back !== null && at - back.at < BACK_S * 1000) {
    text = back.text;
  }
  box.hidden = !text;
  box.dataset.kind = old ? "lost" : "back";
  say(box, text);
  say(byId("age"), ageS === null ? "no figures yet" : `${old ? "OLD: " : ""}${age(ageS)} old · ${stream.open ? "live" : "asking each second"}`);
  say(byId("utc"), `${new Date().toISOString().slice(11, 19)} UTC`);
  if (got.status) showState(got.status, gone);
}

// ---------------------------------------------------------------------------------------------- who

function who() {
  try {
    return JSON.parse(localStorage.getItem(WHO)) || {};
  } catch {
    return {};
  }
}

function showWho() {
  const { name, role } = who();
  say(byId("me"), name ? `${name} (${role})` : "");
  byId("logout").hidden = !name;
  showActions(role || null);
}

function logIn(why) {
  if (asking) return;
  asking = true;
  stream.stop();
  beatAt = null;
  say(byId("login-error"), why);
  byId("login").showModal();
  byId("key").focus();
}

byId("login").addEventListener("cancel", (event) => event.preventDefault()); // there is nothing behind it
byId("login-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const field = byId("key");
  try {
    const { body } = await send("/login", { key: field.value.trim() });
    localStorage.setItem(WHO, JSON.stringify({ name: body.name, role: body.role }));
    field.value = "";
    say(byId("login-error"), "");
    byId("login").close();
    asking = false;
    showWho();
    start();
    byId("main").focus();
  } catch (error) {
    say(byId("login-error"), error.message);
    field.select();
  }
});
byId("logout").addEventListener("click", async () => {
  try {
    await send("/logout", {});
  } catch (error) {
    lost(error.message);
    return;
  }
  localStorage.removeItem(WHO);
  location.reload(); // nothing of the session stays in memory
});

// ---------------------------------------------------------------------------------------------- theme, start

const THEMES = ["system", "light", "dark"];

function showTheme(theme) {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  say(byId("theme"), `Theme: ${theme}`);
  forgetCharts();
  if (got.equity) showCharts();
}

byId("theme").addEventListener("click", () => {
  const theme = THEMES[(THEMES.indexOf(localStorage.getItem("hedgegridd-theme") || "system") + 1) % THEMES.length];
  localStorage.setItem("hedgegridd-theme", theme);
  showTheme(theme);
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => showTheme(localStorage.getItem("hedgegridd-theme") || "system"));
byId("instrument").addEventListener("change", drawLadder);
addEventListener("resize", drawLadder);

function start() {
  stream.start();
  Object.keys(EVERY_MS).forEach((name) => { nextAt[name] = 0; });
  tick();
}

/** Four times a second: what is due is read, ages are told. A hidden tab reads nothing and holds no stream. */
function tick() {
  contact();
  if (document.hidden || asking) return;
  const at = performance.now();
  Object.keys(EVERY_MS).filter((name) => at >= (nextAt[name] ?? 0) && (name === "status" || got.status)).forEach((name) => refresh(name));
  journal.show();
  if (got.equity && at >= chartAt) {
    chartAt = at + CHART_MS;
    showCharts();
  }
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    stream.stop();
    beatAt = null;
  } else if (!asking) start();
});

begin(() => ({ status: got.status || {}, ageS: statusAt === null ? null : (performance.now() - statusAt) / 1000 }), () => HURRIED.concat("orders", "ladders").forEach((name) => refresh(name, true)));
showTheme(THEMES.includes(localStorage.getItem("hedgegridd-theme")) ? localStorage.getItem("hedgegridd-theme") : "system");
showWho();
start();
setInterval(tick, 250);
