// Equity and profit over time: the account's history, then what this page has seen; drawn by Chart.js, which nothing about
// safety needs.
import { byId, decimal, say } from "./words.js";

const POINTS = 1000; // of the history, and as many seen here, one each two seconds
const SEEN_MS = 2_000;
let loading = null;
let kept = []; // rows of the history, oldest first
const seen = []; // what the status said while this page was open
const charts = {};

/** The library once, when it is needed first; rejects when the package is not installed. */
function library() {
  loading ??= new Promise((done, failed) => {
    const script = document.createElement("script");
    script.src = "/web/chart.js";
    script.onload = () => done(window.Chart);
    script.onerror = () => { loading = null; failed(new Error("the charting script could not be loaded; every figure stands above")); };
    document.head.append(script);
  });
  return loading;
}

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function options() {
  const text = colour("--muted");
  return {
    animation: false, responsive: true, maintainAspectRatio: false, parsing: false, normalized: true, interaction: { mode: "nearest", axis: "x", intersect: false },
    scales: {
      x: { type: "linear", ticks: { color: text, maxTicksLimit: 6, maxRotation: 0, callback: (value) => new Date(value).toISOString().slice(11, 19) }, grid: { color: colour("--line") } },
      y: { ticks: { color: text, maxTicksLimit: 6, callback: (value) => decimal(value, 2) }, grid: { color: colour("--line") } },
    },
    plugins: {
      legend: { labels: { color: colour("--text"), boxWidth: 24, usePointStyle: false } },
      tooltip: { callbacks: { title: (items) => `${new Date(items[0].parsed.x).toISOString().slice(0, 19).replace("T", " ")} UTC`, label: (item) => `${item.dataset.label} ${decimal(item.parsed.y, 2)} USDT` } },
    },
  };
}

/** Lines differ by dash and width, not by colour alone. */
function line(label, data, look) {
  return { label, data, borderColor: colour(look.colour), borderWidth: look.width, borderDash: look.dash, pointRadius: 0, stepped: true, fill: false };
}

function draw(Chart, id, datasets) {
  const old = charts[id];
  byId(id).parentElement.hidden = false;
  if (old) {
    old.data.datasets.forEach((dataset, at) => { dataset.data = datasets[at].data; });
    old.update("none");
    return;
  }
  charts[id] = new Chart(byId(id), { type: "line", data: { datasets }, options: options() });
}

/** Take the rows of `/equity` (newest first), which begin the curves. */
export function takeHistory(rows) {
  kept = rows.slice(0, POINTS).reverse().map((row) => ({ x: row.time_ns / 1e6, equity: Number(row.equity_usdt), wallet: Number(row.wallet_usdt), unrealised: Number(row.unrealized_usdt) }));
}

/** Take the figures of a status, which go on with them. */
export function takeStatus(status) {
  const x = Date.parse(status.time);
  const pnl = status.pnl;
  if (!pnl || pnl.equity_usdt === null || pnl.ledger_wallet_usdt === null || pnl.unrealized_usdt === null) return;
  if (seen.length && x - seen.at(-1).x < SEEN_MS) return;
  seen.push({ x, equity: Number(pnl.equity_usdt), wallet: Number(pnl.ledger_wallet_usdt), unrealised: Number(pnl.unrealized_usdt) });
  if (seen.length > POINTS) seen.shift();
}

/** Draw both curves; a gap in which nothing was seen is a straight step. */
export async function showCharts() {
  const from = seen.length ? seen[0].x : Infinity;
  const points = [...kept.filter((point) => point.x < from), ...seen];
  if (points.length < 2) {
    say(byId("chart-note"), "The curves begin with the second reading of the account.");
    return;
  }
  let Chart;
  try {
    Chart = await library();
  } catch (error) {
    say(byId("chart-note"), error.message);
    return;
  }
  const first = points[0];
  const series = (pick) => points.map((point) => ({ x: point.x, y: pick(point) }));
  draw(Chart, "equity", [
    line("equity", series((point) => point.equity), { colour: "--text", width: 2, dash: [] }),
    line("wallet", series((point) => point.wallet), { colour: "--muted", width: 1.5, dash: [6, 4] }),
  ]);
  draw(Chart, "pnl", [
    line("change of equity", series((point) => point.equity - first.equity), { colour: "--text", width: 2, dash: [] }),
    line("of the wallet (realised)", series((point) => point.wallet - first.wallet), { colour: "--long", width: 1.5, dash: [6, 4] }),
    line("unrealised", series((point) => point.unrealised), { colour: "--short", width: 1.5, dash: [2, 3] }),
  ]);
  const since = new Date(first.x).toISOString();
  say(byId("chart-note"), `Since ${since.slice(0, 10)} ${since.slice(11, 19)}; times in UTC. The history first, then each two seconds while this page is open. Transfers are inside the wallet's change.`);
}

/** After a change of theme the colours are read anew. */
export function forgetCharts() {
  for (const id of Object.keys(charts)) {
    charts[id].destroy();
    delete charts[id];
  }
}
