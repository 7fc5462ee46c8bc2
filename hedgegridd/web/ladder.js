// The ladder over price: rungs with their quantity, lots with the thread to their take-profit, stops, mark, centre.
import { LEG_MARK, byId, decimal, el, places, say, short, table } from "./words.js";

const SVG = "http://www.w3.org/2000/svg";
const LABEL = 116; // room left of the bars for prices and the mark
const EDGE = 22;

function svg(tag, attributes = {}, text = null) {
  const found = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) found.setAttribute(name, value);
  if (text !== null) found.textContent = text;
  return found;
}

/** Draw one instrument. `item` is its status, `ladder` its rungs, `positions` its lots, `fills` the newest trades. */
export function showLadder(item, ladder, positions, fills) {
  const place = byId("ladder");
  const width = Math.max(280, place.clientWidth);
  const height = width < 560 ? 420 : 520;
  const lots = positions.flatMap((leg) => leg.lots.map((lot) => ({ ...lot, leg: leg.leg })));
  const rungs = [...ladder.long_ladder.map((rung) => ({ ...rung, leg: "LONG" })), ...ladder.short_ladder.map((rung) => ({ ...rung, leg: "SHORT" }))];
  const stops = Object.values(item.legs).filter((leg) => leg.stop_price !== null);
  const prices = [...rungs.map((rung) => rung.price), ...lots.flatMap((lot) => [lot.price, lot.take_profit]), ...stops.map((leg) => leg.stop_price), item.mark_price, ladder.mid_price]
    .filter((price) => price !== null && price !== undefined).map(Number);
  if (!prices.length) {
    place.replaceChildren(el("p", { class: "note", text: "No ladder yet: no price of this instrument is known." }));
    return;
  }
  const [low, high] = [Math.min(...prices), Math.max(...prices)];
  const pad = (high - low) * 0.04 || high * 0.01;
  const scale = { low: low - pad, high: high + pad, y: (price) => EDGE + (height - 2 * EDGE) * (high + pad - Number(price)) / (high - low + 2 * pad) };
  const most = Math.max(...rungs.map((rung) => Number(rung.qty)), ...lots.map((lot) => Number(lot.quantity)), 0);
  const room = width - LABEL - 150;
  const picture = svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": spoken(item, rungs, lots) });
  picture.append(patterns());
  const view = { picture, scale, width, height, tick: places(item.tick), step: places(item.step), span: (qty) => most ? Math.max(6, room * Number(qty) / most) : 6, labels: [] };
  const mark = item.mark_price ?? ladder.mid_price;
  if (mark !== null) view.labels.push(view.scale.y(mark)); // its place is taken
  band(view, ladder, rungs);
  lots.forEach((lot) => drawLot(view, lot));
  rungs.forEach((rung) => drawRung(view, rung, item));
  stops.forEach((leg) => drawStop(view, leg));
  drawFills(view, fills);
  Object.values(item.legs).forEach((leg) => drawLiquidation(view, leg, mark));
  drawMark(view, item.mark_price === null ? "mid" : "mark", mark);
  place.replaceChildren(picture);
  note(item, ladder);
  showTable(item, rungs, lots, view);
}

function patterns() {
  const defs = svg("defs");
  const hatch = svg("pattern", { id: "hatch", width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" });
  hatch.append(svg("rect", { width: 6, height: 6, class: "hatch-ground" }), svg("line", { x1: 0, y1: 0, x2: 0, y2: 6, class: "hatch-line" }));
  defs.append(hatch);
  return defs;
}

function spoken(item, rungs, lots) {
  const resting = rungs.filter((rung) => rung.state === "resting").length;
  return `Ladder of ${short(item.instrument)}: ${resting} of ${rungs.length} rungs rest, ${lots.length} lots are open, mark ${item.mark_price ?? "not known"}. The table below has every rung.`;
}

/** A price at the left edge, unless another stands there already; the table has all of them. */
function label(view, price, className) {
  const y = view.scale.y(price);
  if (view.labels.some((other) => Math.abs(other - y) < 12)) return;
  view.labels.push(y);
  view.picture.append(svg("text", { x: LABEL - 8, y: y + 4, "text-anchor": "end", class: className }, decimal(price, view.tick)));
}

function band(view, ladder, rungs) {
  if (ladder.centre === null) return;
  const first = rungs.filter((rung) => rung.level === 1).map((rung) => view.scale.y(rung.price));
  const y = view.scale.y(ladder.centre);
  const half = first.length ? Math.max(...first.map((other) => Math.abs(other - y))) : 8;
  view.picture.append(svg("rect", { x: LABEL, y: y - half, width: view.width - LABEL, height: 2 * half, class: "centre-band" }),
    svg("line", { x1: LABEL, x2: view.width, y1: y, y2: y, class: "centre" }));
  view.picture.append(svg("text", { x: view.width - 6, y: y - 4, "text-anchor": "end", class: "faint" }, "centre"));
}

function drawRung(view, rung, item) {
  const y = view.scale.y(rung.price);
  const held = item.paused || !item.trading || item.throttle === 0 || item.why_no_entries.length > 0;
  const bar = svg("rect", { x: LABEL, y: y - 4, width: view.span(rung.qty), height: 8, rx: 1,
    class: `rung ${rung.state} ${rung.leg.toLowerCase()}${held ? " held" : ""}`, "data-state": rung.state });
  view.picture.append(bar);
  label(view, rung.price, "price");
  const words = rung.state === "resting" ? `${LEG_MARK[rung.leg]} ${decimal(rung.qty, view.step)}` : `${LEG_MARK[rung.leg]} ${rung.state}`;
  if (rung.state !== "filled") view.picture.append(svg("text", { x: LABEL + view.span(rung.qty) + 6, y: y + 4, class: `text ${rung.state}` }, words));
}

/** A lot: solid, with a thread to where it is taken off. */
function drawLot(view, lot) {
  const y = view.scale.y(lot.price);
  const end = LABEL + view.span(lot.quantity);
  const leg = lot.leg.toLowerCase();
  view.picture.append(svg("rect", { x: LABEL, y: y - 5, width: end - LABEL, height: 10, rx: 1, class: `lot ${leg}` }));
  label(view, lot.price, "price");
  view.picture.append(svg("text", { x: end + 6, y: y + 4, class: "text" }, `${LEG_MARK[lot.leg]} holds ${decimal(lot.quantity, view.step)}`));
  if (lot.take_profit === null) return;
  const x = end - Math.min(6, (end - LABEL) / 2);
  const target = view.scale.y(lot.take_profit);
  view.picture.append(svg("line", { x1: x, x2: x, y1: y, y2: target, class: `thread ${leg}` }), svg("circle", { cx: x, cy: target, r: 3.5, class: `target ${leg}` }));
}

function drawStop(view, leg) {
  const y = view.scale.y(leg.stop_price);
  const classes = `stop ${leg.leg.toLowerCase()}${leg.stop_resting ? "" : " missing"}`;
  view.picture.append(svg("line", { x1: LABEL, x2: view.width, y1: y, y2: y, class: classes }));
  label(view, leg.stop_price, "price");
  const at = y > view.height - 40 ? y - 6 : y + 14;
  view.picture.append(svg("text", { x: view.width - 6, y: at, "text-anchor": "end", class: "text" }, `${LEG_MARK[leg.leg]} stop ${leg.stop_resting ? "rests" : "DOES NOT REST"}`));
}

/** The newest trades at the right edge, where they happened; the newest stands furthest right. */
function drawFills(view, fills) {
  fills.slice(0, 12).forEach((fill, at) => {
    const price = Number(fill.price);
    if (price < view.scale.low || price > view.scale.high) return;
    const [x, y] = [view.width - 14 - at * 11, view.scale.y(price)];
    const up = fill.side === "BUY";
    const points = up ? `${x - 4},${y + 4} ${x + 4},${y + 4} ${x},${y - 4}` : `${x - 4},${y - 4} ${x + 4},${y - 4} ${x},${y + 4}`;
    view.picture.append(svg("polygon", { points, class: `fill-mark ${fill.leg.toLowerCase()}` }));
  });
}

/** Off the scale it is an arrow at the edge, with price and distance. */
function drawLiquidation(view, leg, mark) {
  if (leg.liquidation_price === null) return;
  const price = Number(leg.liquidation_price);
  const inside = price > view.scale.low && price < view.scale.high;
  const above = price >= view.scale.high;
  const y = inside ? view.scale.y(price) - 5 : above ? 14 : view.height - 6;
  const far = mark === null ? "" : `, ${(Math.abs(price / Number(mark) - 1) * 100).toFixed(1)} % away`;
  if (inside) view.picture.append(svg("line", { x1: LABEL, x2: view.width, y1: y + 5, y2: y + 5, class: "liquidation" }));
  view.picture.append(svg("text", { x: LABEL, y, class: "text" }, `${inside ? "" : above ? "↑ " : "↓ "}liquidation ${LEG_MARK[leg.leg]} ${decimal(leg.liquidation_price, view.tick)}${far}`));
}

function drawMark(view, word, price) {
  if (price === null) return;
  const y = view.scale.y(price);
  view.picture.append(svg("line", { x1: 0, x2: view.width, y1: y, y2: y, class: "mark" }),
    svg("rect", { x: 0, y: y - 10, width: LABEL - 4, height: 20, rx: 3, class: "mark-box" }),
    svg("text", { x: LABEL - 9, y: y + 4, "text-anchor": "end", class: "mark-text" }, `${word} ${decimal(price, view.tick)}`));
}

function note(item, ladder) {
  const feed = item.feed_age_s === null || item.feed_age_s === undefined ? "feed: nothing heard" : `feed ${item.feed_age_s.toFixed(1)} s`;
  say(byId("ladder-note"), `${short(item.instrument)} · ${item.regime.toLowerCase()} · throttle ${item.throttle ?? "—"} · centre ${decimal(ladder.centre, places(item.tick))} · ${feed}`);
  say(byId("legend"), "▲ LONG plain, ▼ SHORT hatched · outlined: rests · solid: held, thread to its take-profit · dotted: not placed · heavy dashes: stop · triangles right: last fills");
  byId("ladder").classList.toggle("old-feed", item.feed_age_s === null || item.feed_age_s > 10);
}

function showTable(item, rungs, lots, view) {
  const rows = [
    ...rungs.map((rung) => ({ price: rung.price, cells: [decimal(rung.price, view.tick), `${LEG_MARK[rung.leg]} ${rung.leg}`, `rung ${rung.level}`, rung.side, decimal(rung.qty, view.step), rung.state, rung.reason || ""] })),
    ...lots.map((lot) => ({ price: lot.price, cells: [decimal(lot.price, view.tick), `${LEG_MARK[lot.leg]} ${lot.leg}`, `lot of rung ${lot.level}`, "", decimal(lot.quantity, view.step), "held", lot.take_profit === null ? "" : `take-profit ${decimal(lot.take_profit, view.tick)}`] })),
    ...Object.values(item.legs).filter((leg) => leg.stop_price !== null).map((leg) => ({ price: leg.stop_price, cells: [decimal(leg.stop_price, view.tick), `${LEG_MARK[leg.leg]} ${leg.leg}`, "stop", "", "whole leg", leg.stop_resting ? "resting" : "not resting", ""] })),
  ].sort((a, b) => Number(b.price) - Number(a.price)).map((row) => row.cells);
  byId("ladder-table").replaceChildren(table(`Ladder of ${short(item.instrument)}`, ["Price", "Leg", "What", "Side", "Quantity", "State", "Why or where to"], rows, [0, 4]));
}
