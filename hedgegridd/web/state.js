// The state in words (safe, doing, wrong, do), eight annunciators in fixed places, and what is in force now.
import { LEG_MARK, UNKNOWN, age, byId, clock, el, say, short } from "./words.js";

const MARKS = { TRADING: "●", HELD: "◆", TRIPPED: "▲", HALTED: "■", STARTING: "○", STOPPING: "○", UNKNOWN: "⊘", "NO CONTACT": "⊘" };

/** Which guards light which tile; a guard that is in none lights `system`. */
const TILES = {
  venue: ["venue_health", "venue_errors", "venue_action", "depeg"],
  data: ["stale_market", "spread_depth"],
  account: ["stale_account", "reconcile_mismatch", "stop_missing"],
  margin: ["margin_ratio", "liquidation_distance", "leverage"],
  loss: ["daily_loss", "session_loss", "session_drawdown", "peak_drawdown", "equity_floor", "funding_cost"],
  orders: ["order_errors", "repeated_execution", "slippage", "rate_budget", "call_quota"],
  limits: ["exposure", "position_notional", "correlation"],
  system: ["loop_lag", "clock_skew", "external"],
};
const RANK = { OK: 0, WARN: 1, CRITICAL: 2, BLOCK: 3 };

/** What the state line says behind its word. */
function what(status) {
  const names = (status.instruments || []).map((item) => short(item.instrument)).join(", ");
  const kill = status.kill_switch || {};
  if (status.state === "HALTED" && kill.trip_id) return `latched by ${kill.trip_id} since ${clock(kill.since)} UTC`;
  if (status.state === "TRIPPED") return kill.trip_id ? `${kill.action || "trip"} by ${kill.trip_id}` : `removing on ${names}`;
  if (status.state === "HELD") return `${names}: no new entries, or fewer`;
  return names;
}

let announced = "";

/** The four answers. `lost` replaces the state: without contact nothing about it is known now. */
export function showState(status, lost) {
  const state = lost ? "NO CONTACT" : status.state;
  const section = byId("state");
  section.dataset.state = state;
  say(byId("state-mark"), MARKS[state] || "⊘");
  say(byId("state-word"), state);
  say(byId("state-what"), lost ? `last known: ${status.state}` : what(status));
  say(byId("safe"), `${status.safe}: ${status.safe_reason}`);
  byId("safe").dataset.safe = status.safe;
  say(byId("doing"), status.doing);
  lines(byId("wrong"), status.wrong, "nothing");
  lines(byId("do"), status.do, "nothing");
  document.title = `${MARKS[state] || "⊘"} ${state} ${(status.instruments || []).map((item) => short(item.instrument)).join(" ")}`;
  const told = `${state}. Safe: ${status.safe}.`;
  if (told !== announced) {
    // The alert role interrupts a screen reader: for what is critical only.
    say(byId(state === "TRIPPED" || status.safe === "no" ? "alarm" : "announce"), told);
    announced = told;
  }
}

function lines(place, found, none) {
  const texts = found && found.length ? found : [none];
  if (place.dataset.shown === texts.join("\n")) return;
  place.dataset.shown = texts.join("\n");
  place.replaceChildren(...texts.map((text) => el("div", { text })));
}

/** Who, where, with whose money. */
export function showHeader(status) {
  say(byId("account"), status.account || UNKNOWN);
  const live = status.environment !== "paper";
  say(byId("environment"), live ? `LIVE (${status.environment})` : "PAPER");
  byId("environment").dataset.live = live;
}

/** The tiles: dark while all is well. */
export function showTiles(guards, status) {
  const worst = Object.fromEntries(Object.keys(TILES).map((name) => [name, { level: "OK", by: "" }]));
  const home = (guard) => Object.keys(TILES).find((name) => TILES[name].includes(guard)) || "system";
  for (const each of guards ? guards.guards : []) {
    const tile = worst[home(each.guard)];
    if (RANK[each.level] > RANK[tile.level]) Object.assign(tile, { level: each.level, by: each.guard });
  }
  if (status.feeds && status.feeds.connected === false) worst.venue = { level: "CRITICAL", by: "not connected" };
  if (status.state === "UNKNOWN") worst.system = { level: "CRITICAL", by: "a part does not answer" };
  const unknown = guards === null;
  byId("tiles").replaceChildren(...Object.entries(worst).map(([name, { level, by }]) =>
    el("li", { "data-level": unknown ? "NONE" : level },
      el("b", { text: name }), el("span", { text: unknown ? "not known" : level }), el("small", { text: unknown ? "" : by }))));
}

/** Trips, holds, flattens and guards that are not OK: each with its cause and how it ends. */
export function showIncidents(status, guards) {
  const rows = [];
  const kill = status.kill_switch;
  if (kill && ["TRIPPED", "HALTED", "REARMING"].includes(kill.state)) {
    rows.push(incident("CRITICAL", kill.trip_id || "", `kill switch ${kill.state}, ${kill.action || "trip"}: ${kill.cause || "no cause given"}`, kill.since,
      kill.rearm_from ? `rearm from ${clock(kill.rearm_from)} UTC` : "rearm, with a reason"));
  }
  for (const trip of status.trips || []) {
    rows.push(incident("CRITICAL", trip.trip_id, `${scope(trip)} ${trip.state}, ${trip.action}: ${trip.cause}`, trip.since, `rearm from ${clock(trip.rearm_from)} UTC`));
  }
  for (const flat of (status.flattens || []).filter((item) => item.state !== "flat")) {
    rows.push(incident("CRITICAL", flat.flatten_id, `${scope(flat)}: ${flat.state}, attempt ${flat.attempts}, ${flat.residual_quantity ?? UNKNOWN} open, ${flat.residual_orders ?? UNKNOWN} orders`, null,
      `for ${age(flat.age_s)}; goes on until the venue reports nothing`));
  }
  for (const hold of status.holds || []) {
    rows.push(incident("WARN", hold.key, `${scope(hold)}: ${hold.action === "pause" ? "no new entries" : hold.action}: ${hold.cause}`, hold.since, "clears by itself"));
  }
  for (const guard of (guards ? guards.guards : []).filter((each) => each.level !== "OK")) {
    rows.push(incident(guard.level, guard.guard, `${scope(guard)}: ${guard.message || guard.level}`, guard.since, "see Guards"));
  }
  for (const item of status.instruments || []) {
    if (item.paused) rows.push(incident("WARN", short(item.instrument), "entries are paused", null, "resume when it is right"));
    if (item.throttle === 0) rows.push(incident("WARN", short(item.instrument), "no entries: throttle 0", null, "throttle above 0"));
  }
  byId("incidents").replaceChildren(rows.length
    ? el("ul", { class: "incident-list" }, ...rows)
    : el("p", { class: "note", text: "Nothing: no trip, no hold, every guard that is on is OK." }));
}

function scope(item) {
  return [item.instrument ? short(item.instrument) : null, item.leg ? `${LEG_MARK[item.leg] || ""} ${item.leg}` : null].filter(Boolean).join(" ") || "account";
}

function incident(level, id, text, since, ends) {
  return el("li", { "data-level": level },
    el("span", { class: "chip level", text: level }),
    el("span", {}, el("b", { text: `${id} ` }), text),
    el("span", { class: "note", text: [since ? `since ${clock(since)} UTC` : "", ends].filter(Boolean).join(" · ") }));
}
