// Equity and profit over time, from the account's own history; drawn by Chart.js, which nothing about safety needs.
import { byId, decimal, say } from "./words.js";

const POINTS = 1000;
let loading = null;
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

/** Draw the rows of `/equity` (newest first). */
export async function showCharts(rows) {
  if (rows.length < 2) {
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
  const points = rows.slice(0, POINTS).reverse();
  const first = points[0];
  const series = (pick) => points.map((row) => ({ x: row.time_ns / 1e6, y: pick(row) }));
  draw(Chart, "equity", [
    line("equity", series((row) => Number(row.equity_usdt)), { colour: "--text", width: 2, dash: [] }),
    line("wallet", series((row) => Number(row.wallet_usdt)), { colour: "--muted", width: 1.5, dash: [6, 4] }),
  ]);
  draw(Chart, "pnl", [
    line("change of equity", series((row) => row.equity_usdt - first.equity_usdt), { colour: "--text", width: 2, dash: [] }),
    line("of the wallet (realised)", series((row) => row.wallet_usdt - first.wallet_usdt), { colour: "--long", width: 1.5, dash: [6, 4] }),
    line("unrealised", series((row) => Number(row.unrealized_usdt)), { colour: "--short", width: 1.5, dash: [2, 3] }),
  ]);
  const since = new Date(first.time_ns / 1e6).toISOString();
  say(byId("chart-note"), `As the venue reported the account since ${since.slice(0, 10)} ${since.slice(11, 19)} UTC; times in UTC. Transfers are inside the wallet's change.`);
}

/** After a change of theme the colours are read anew. */
export function forgetCharts() {
  for (const id of Object.keys(charts)) {
    charts[id].destroy();
    delete charts[id];
  }
}
