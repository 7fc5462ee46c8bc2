// Legs, guards as bars towards their limit, orders, fills, money and the journal.
import { LEG_MARK, UNKNOWN, age, byId, clock, decimal, el, measure, places, short, signed, table } from "./words.js";

/** One card a leg: what it holds, what it is worth, what protects it. */
export function showLegs(status) {
  const cards = (status.instruments || []).flatMap((item) => Object.values(item.legs).map((leg) => legCard(item, leg)));
  byId("legs").replaceChildren(...(cards.length ? cards : [el("p", { class: "note", text: "Not known: the desk does not answer." })]));
}

function legCard(item, leg) {
  const tick = places(item.tick);
  const holds = Number(leg.quantity) !== 0;
  const liquidation = leg.liquidation_price === null ? "liquidation —" : `liquidation ${decimal(leg.liquidation_price, tick)}`;
  const stop = leg.stop_price === null ? "no stop" : `stop ${decimal(leg.stop_price, tick)} ${leg.stop_resting ? "rests" : "DOES NOT REST"}`;
  const state = [leg.mode === "normal" ? null : leg.mode, leg.latched ? "latched off" : null].filter(Boolean).join(", ");
  return el("article", { class: "leg", "data-leg": leg.leg },
    el("h3", {}, el("span", { "aria-hidden": "true", text: `${LEG_MARK[leg.leg]} ` }), `${leg.leg} ${short(item.instrument)}`, state ? el("span", { class: "chip", text: state }) : null),
    el("p", { class: "figure", text: decimal(leg.quantity, places(item.step)) }),
    el("p", { text: holds ? `${decimal(leg.inventory_usdt, 2)} USDT @ ${decimal(leg.average_entry, tick)} in ${leg.lots} ${leg.lots === 1 ? "lot" : "lots"}` : "no inventory" }),
    el("p", { text: `unrealised ${signed(leg.unrealized_usdt)} · realised ${signed(leg.realized_usdt)}` }),
    el("p", { class: "note", text: `fees ${signed(leg.fees_usdt)} · funding ${signed(leg.funding_usdt)}` }),
    el("p", { class: holds && !leg.stop_resting ? "bad" : "note", text: `${stop} · ${liquidation}` }));
}

/** Every guard, fullest first within its level; those without data are hatched, those that are off are listed. */
export function showGuards(guards) {
  if (guards === null) return;
  const shown = [...guards.guards].sort((a, b) => rank(b) - rank(a) || (b.used ?? -1) - (a.used ?? -1));
  const bars = shown.map((each) => {
    const unknown = each.value === null;
    const used = unknown ? 1 : Math.min(1, each.used ?? 0);
    const unit = each.unit ? ` ${each.unit}` : "";
    const figure = unknown ? `NO DATA ${age(each.age_s)} → ${each.level}` : `${measure(each.value)} / ${measure(each.limit)}${unit}`;
    const name = [each.guard, each.instrument ? short(each.instrument) : null, each.leg].filter(Boolean).join(" ");
    const fill = el("span", { class: "fill" });
    fill.style.width = `${used * 100}%`;
    const meter = el("span", { class: "track", role: "meter", "aria-label": name, "aria-valuemin": "0", "aria-valuemax": "100",
      "aria-valuenow": unknown ? null : String(Math.round(used * 100)), "aria-valuetext": `${figure}, ${each.level}` }, fill);
    const tick = share(each);
    if (tick !== null) {
      const mark = el("i", { class: "warn-tick" });
      mark.style.left = `${tick * 100}%`;
      meter.append(mark);
    }
    return el("li", { "data-level": each.level, class: unknown ? "unknown" : null },
      el("span", { class: "name", text: name }), el("span", { class: "num", text: figure }), meter,
      el("span", { class: "word", text: each.level }), each.message ? el("span", { class: "note why", text: each.message }) : null);
  });
  byId("guards").replaceChildren(el("ul", { class: "meters" }, ...bars),
    el("p", { class: "note", text: guards.off.length ? `Off by config: ${guards.off.join(", ")}.` : "None is off." }));
}

const rank = (each) => ["OK", "WARN", "CRITICAL", "BLOCK"].indexOf(each.level);

/** Where the warn level stands on the bar. */
function share(each) {
  const [warn, limit] = [Number(each.warn), Number(each.limit)];
  if (each.warn === null || !limit || !warn) return null;
  return Math.min(1, warn > limit ? limit / warn : warn / limit);
}

/** All open orders, protection last. */
export function showOrders(orders, status) {
  const grid = Object.fromEntries((status.instruments || []).map((item) => [item.instrument, item]));
  const rows = orders.orders.map((order) => {
    const of = grid[order.instrument] || {};
    const price = order.price ?? order.stop_price;
    return [`${LEG_MARK[order.leg]} ${order.leg}`, `${order.purpose.replaceAll("_", " ")}${order.level ? ` ${order.level}` : ""}`, order.side,
      decimal(price, places(of.tick)), order.quantity === null ? "whole leg" : decimal(order.quantity, places(of.step)),
      Number(order.filled) ? decimal(order.filled, places(of.step)) : "0", order.status, age(order.age_s), el("code", { text: order.client_order_id })];
  });
  byId("orders").replaceChildren(rows.length
    ? table("Open orders", ["Leg", "Purpose", "Side", "Price", "Quantity", "Filled", "Status", "Age", "Id"], rows, [3, 4, 5, 7])
    : el("p", { class: "note", text: `No open order. ${whyNone(status)}` }));
}

/** Why nothing rests. */
export function whyNone(status) {
  const why = [...new Set((status.why_no_entries || []).map((each) => each.cause))];
  return why.length ? `No entries: ${why.join("; ")}.` : "";
}

export function showFills(fills, status) {
  const grid = Object.fromEntries((status.instruments || []).map((item) => [item.instrument, item]));
  const rows = fills.fills.map((fill) => {
    const of = grid[fill.instrument] || {};
    return [clock(fill.time_ns), `${LEG_MARK[fill.leg]} ${fill.leg}`, fill.side, decimal(fill.qty, places(of.step)), decimal(fill.price, places(of.tick)),
      fill.maker ? "maker" : "taker", `${decimal(fill.commission, 4)} ${fill.commission_asset}`];
  });
  byId("fills").replaceChildren(rows.length
    ? table("Last fills, newest first", ["UTC", "Leg", "Side", "Quantity", "Price", "As", "Fee"], rows, [3, 4, 6])
    : el("p", { class: "note", text: "No fill yet." }));
}

/** Today, and what it consists of; the account as the venue last told it, with its age. */
export function showMoney(status) {
  const pnl = status.pnl || {};
  const balances = status.balances || {};
  const facts = [
    ["today", signed(pnl.day_usdt)], ["total", signed(pnl.total_usdt)], ["realised (net)", signed(pnl.realized_usdt)], ["unrealised", signed(pnl.unrealized_usdt)],
    ["fees inside", signed(pnl.fees_usdt)], ["funding inside", signed(pnl.funding_usdt)],
    ["equity", decimal(pnl.equity_usdt, 2)], ["wallet at the venue", decimal(balances.wallet_usdt, 2)],
    ["available", decimal(balances.available_usdt, 2)],
    ["margin ratio", status.margin_ratio === null || status.margin_ratio === undefined ? UNKNOWN : `${(status.margin_ratio * 100).toFixed(2)} %`],
  ];
  byId("money").replaceChildren(
    el("dl", { class: "facts" }, ...facts.map(([name, value]) => el("div", {}, el("dt", { text: name }), el("dd", { text: value })))),
    el("p", { class: "note", text: `USDT. Account read ${age(balances.age_s)} ago.` }));
}

/** What has happened, newest first; each line names the record that caused it. */
export class Journal {
  constructor(keep = 200) {
    this.keep = keep;
    this.lines = new Map(); // by sequence
    this.dirty = false;
  }

  add(line) {
    const old = this.lines.get(line.seq);
    if (!line.text || (old && (old.cause || !line.cause))) return;
    this.lines.set(line.seq, line);
    this.dirty = true;
    if (this.lines.size > this.keep) {
      const oldest = [...this.lines.keys()].sort((a, b) => a - b).slice(0, this.lines.size - this.keep);
      oldest.forEach((seq) => this.lines.delete(seq));
    }
  }

  show() {
    if (!this.dirty) return;
    this.dirty = false;
    const shown = [...this.lines.values()].sort((a, b) => b.seq - a.seq);
    const rows = shown.map((line) => [clock(line.time_ns), el("code", { id: `record-${line.seq}`, text: `#${line.seq}` }), because(line, this.lines), line.text]);
    byId("journal").replaceChildren(rows.length
      ? table("Journal, newest first", ["UTC", "Record", "Because of", "What"], rows, [])
      : el("p", { class: "note", text: "Nothing has happened yet." }));
  }
}

function because(line, known) {
  if (line.cause === undefined) return UNKNOWN;
  if (!line.cause) return "from outside";
  const cause = known.get(line.cause);
  return el("span", {}, el("code", { text: `#${line.cause}` }), cause ? ` ${cause.text.slice(0, 40)}` : "");
}
