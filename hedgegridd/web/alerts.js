// Alerts: what is open and who looks after it, with a button that says so; what was told last; channels that fail.
import { Refused, newKey, send } from "./net.js";
import { byId, clock, el } from "./words.js";

const LEVEL = { INFO: "OK", WARNING: "WARN", CRITICAL: "CRITICAL" };
const keys = {}; // one intention an alert: pressed twice it is done once
let said = "";

/** `refresh` reads them anew; `may`: whether this role may acknowledge. */
export function showAlerts(alerts, may, refresh) {
  const open = alerts.open.map((each) => row(each, may && !each.acknowledged_by, refresh));
  const broken = alerts.channels.filter((each) => each.trouble).map((each) => el("p", { class: "bad", text: `Channel ${each.name} fails: ${each.trouble}; ${each.waiting} wait.` }));
  const told = alerts.recent.slice(0, 5).map((each) => el("li", { class: "note", text: `${clock(each.time)} ${each.severity} ${each.title}${each.what ? `: ${each.what}` : ""}` }));
  byId("alerts").replaceChildren(...[
    ...broken,
    open.length ? el("ul", { class: "incident-list" }, ...open) : el("p", { class: "note", text: "None is open." }),
    said ? el("p", { class: "note", role: "status", text: said }) : null,
    told.length ? el("ul", { class: "told" }, ...told) : null,
    alerts.channels.length ? null : el("p", { class: "note", text: "No channel is configured: nobody is told." }),
  ].filter(Boolean));
}

function row(alert, button, refresh) {
  const who = alert.acknowledged_by ? `acknowledged by ${alert.acknowledged_by}` : "not acknowledged";
  return el("li", { "data-level": LEVEL[alert.severity], "data-alert": alert.alert_id },
    el("span", { class: "chip level", text: alert.severity }),
    el("span", {}, el("b", { text: `${alert.title} ` }), alert.what),
    el("span", { class: "note", text: [`since ${clock(alert.since)} UTC`, alert.count > 1 ? `${alert.count} times` : "", who, alert.do].filter(Boolean).join(" · ") }),
    button ? el("button", { type: "button", text: `Acknowledge ${alert.alert_id}`, onclick: () => acknowledge(alert.alert_id, refresh) }) : null);
}

async function acknowledge(id, refresh) {
  keys[id] ??= newKey();
  try {
    await send("/alerts/ack", { alert_id: id }, keys[id]);
    said = `${id} is acknowledged: it goes no further. It stops nothing else.`;
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    delete keys[id];
    said = `${id}: ${error.message}`;
  }
  refresh();
}
