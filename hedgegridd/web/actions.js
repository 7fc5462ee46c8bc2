// The buttons: safe ones are one tap, risky ones name object and outcome and want the instrument's name typed.
import { Refused, newKey, send } from "./net.js";
import { LEG_MARK, age, byId, clock, decimal, el, places, short } from "./words.js";

const ROLES = ["none", "viewer", "operator", "admin"];
let now = () => null; // the newest status, and how old it is
let role = null;
let after = () => {};

/** `facts()` gives `{status, ageS}`; `refresh()` is called after each command. */
export function begin(facts, refresh) {
  now = facts;
  after = refresh;
}

/** Show the buttons of a role (null: not known, the server decides). */
export function showActions(newRole) {
  if (role === newRole && byId("actions").childElementCount) return;
  role = newRole;
  const box = byId("actions");
  if (role !== null && ROLES.indexOf(role) < ROLES.indexOf("operator")) {
    box.replaceChildren(el("p", { class: "note", text: `You look as ${role}: pause, resume, throttle, flatten, kill and rearm need operator.` }));
    return;
  }
  const more = el("div", { id: "more-actions", class: "more" },
    button("resume", "Resume…", resume), button("throttle", "Throttle…", throttle),
    button("rearm", "Rearm…", rearm), button("kill", "Kill switch…", kill, "danger"));
  const toggle = el("button", { type: "button", id: "more", "aria-expanded": "false", "aria-controls": "more-actions", text: "More",
    onclick: () => { const open = !more.classList.contains("open"); more.classList.toggle("open", open); toggle.setAttribute("aria-expanded", String(open)); } });
  box.replaceChildren(button("pause", "Pause entries", pause), button("flatten", "Flatten…", flatten, "danger"), toggle, more,
    el("p", { id: "outcome", class: "outcome", role: "status" }));
}

function button(id, text, act, className = "") {
  return el("button", { type: "button", id: `act-${id}`, class: className, text, onclick: act });
}

const names = () => (now().status.instruments || []).map((item) => item.instrument);

function where() {
  const { status, ageS } = now();
  const venue = status.environment === "paper" ? "PAPER" : `LIVE (${status.environment})`;
  return `${status.account || "account"} · ${venue} · figures ${age(ageS)} old`;
}

function outcome(text, bad = false) {
  const place = byId("outcome");
  place.textContent = text;
  place.classList.toggle("bad", bad);
}

/** Why something was refused, what would be accepted, and that nothing changed, as the server has it. */
function refusal(error) {
  if (!(error instanceof Refused)) return String(error);
  const accepted = error.body.accepted && error.body.accepted.length ? ` Accepted: ${error.body.accepted.join(", ")}.` : "";
  return `${error.status ? `${error.body.title} (${error.status}): ` : ""}${error.message}.${accepted}`;
}

const stamp = () => `${new Date().toISOString().slice(11, 19)} UTC`;

async function pause() {
  outcome("Pausing: waiting until the venue has cancelled the entries…");
  try {
    const { status, body } = await send("/pause", {}, newKey());
    outcome(status === 200 ? `${stamp()}: paused; ${body.entries_resting} entries rest, as the venue confirmed. Exits and stops stay.`
      : `${stamp()}: pause is on, but not confirmed yet: ${body.detail || "entries may still rest"}.`, status !== 200);
  } catch (error) {
    outcome(`Pause failed: ${refusal(error)}`, true);
  }
  after();
}

/**
 * A dialog that names object and outcome. `typed` asks for the instrument's name (`ALL` for several) before its button
 * works; `make` returns the fields; `told` puts the answer into lines. One idempotency key a dialog.
 */
function ask({ title, facts, controls = [], typed = null, keep, act, danger = false, path, make, told }) {
  const dialog = byId("dialog");
  const key = newKey();
  const result = el("div", { class: "result", role: "status" });
  const input = el("input", { id: "typed", autocomplete: "off", autocapitalize: "characters", spellcheck: "false" });
  const confirm = el("button", { type: "submit", id: "confirm", class: danger ? "danger" : "primary", text: act });
  const close = el("button", { type: "button", id: "keep", text: keep, onclick: () => dialog.close() });
  const wanted = () => (typed ? typed() : null);
  const name = el("label", { for: "typed" });
  const list = el("ul", { class: "facts-list" });
  const check = () => {
    list.replaceChildren(...facts().map((text) => el("li", { text })));
    if (!typed) return;
    name.textContent = `Type ${wanted()} to confirm`;
    confirm.disabled = input.value.trim().toUpperCase() !== wanted().toUpperCase();
  };
  const form = el("form", { method: "dialog" }, el("h2", { id: "dialog-h", text: title }), el("p", { class: "note", text: where() }), list, ...controls,
    typed ? el("div", { class: "typed" }, name, input) : null, result,
    el("div", { class: "buttons" }, close, confirm));
  form.addEventListener("input", check);
  form.addEventListener("change", check);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!confirm.disabled) run();
  });
  async function run() {
    const fields = make();
    if (typeof fields === "string") {
      result.replaceChildren(el("p", { class: "bad", text: fields }));
      return;
    }
    confirm.disabled = true;
    form.querySelectorAll("input, select, textarea").forEach((control) => { control.disabled = true; });
    close.textContent = "Close (it goes on)";
    const began = performance.now();
    const progress = setInterval(() => working(result, began, key), 250);
    working(result, began, key);
    try {
      const { status, body } = await send(path, fields, key);
      const lines = told(status, body);
      result.replaceChildren(...lines.map((text, at) => el(at ? "p" : "h3", { class: status === 200 ? null : "bad", text })));
      outcome(`${stamp()}: ${lines[0]}`, status !== 200);
    } catch (error) {
      result.replaceChildren(el("p", { class: "bad", text: refusal(error) }));
      outcome(`${title} ${refusal(error)}`, true);
    } finally {
      clearInterval(progress);
      close.textContent = "Close";
      close.focus();
      after();
    }
  }
  dialog.replaceChildren(form);
  check();
  dialog.showModal();
  (typed ? input : close).focus();
}

/** While a command runs: how long, and what is still there. */
function working(place, began, key) {
  const { status } = now();
  const left = (status.flattens || []).filter((item) => item.state !== "flat")
    .map((item) => `${LEG_MARK[item.leg]} ${item.leg} ${short(item.instrument)}: ${item.state}, attempt ${item.attempts}, ${item.residual_quantity ?? "—"} open, ${item.residual_orders ?? "—"} orders`);
  place.replaceChildren(el("p", { text: `Sent; waiting for what the venue says: ${((performance.now() - began) / 1000).toFixed(1)} s (${key.slice(0, 8)})` }), ...left.map((text) => el("p", { text })));
}

/** Chooser of one instrument or all; nothing to choose with one. */
function scope() {
  const found = names();
  const select = el("select", { id: "scope" }, ...(found.length > 1 ? [el("option", { value: "", text: "all instruments" })] : []),
    ...found.map((name) => el("option", { value: name, text: short(name) })));
  const chosen = () => select.value || (found.length === 1 ? found[0] : "");
  return {
    control: el("p", { class: "choice" }, el("label", { for: "scope", text: "Instrument" }), select),
    chosen,
    word: () => (chosen() ? short(chosen()) : "ALL"),
    fields: () => (chosen() && found.length > 1 ? { instrument: chosen() } : {}),
    items: () => (now().status.instruments || []).filter((item) => !chosen() || item.instrument === chosen()),
  };
}

function holdings(items, side) {
  return items.flatMap((item) => Object.values(item.legs).filter((leg) => side === "both" || leg.leg.toLowerCase() === side).map((leg) =>
    `${LEG_MARK[leg.leg]} ${leg.leg} ${short(item.instrument)}: ${Number(leg.quantity) ? `${decimal(leg.quantity, places(item.step))} (${decimal(leg.inventory_usdt, 2)} USDT)` : "nothing held"}`));
}

function flatten() {
  const of = scope();
  const side = el("select", { id: "side" }, ...["both", "long", "short"].map((value) => el("option", { value, text: value === "both" ? "both legs" : `${value.toUpperCase()} leg` })));
  ask({
    title: "Flatten?", danger: true, keep: "Keep positions", act: "Flatten", path: "/flatten", typed: of.word,
    controls: [of.control, el("p", { class: "choice" }, el("label", { for: "side", text: "Legs" }), side)],
    facts: () => [`Closes at market: ${holdings(of.items(), side.value).join("; ")}`,
      `Cancels: ${of.items().reduce((sum, item) => sum + item.open_orders, 0)} open orders${side.value === "both" ? "" : ", those of this leg"}; stops last`, "Afterwards: entries stay off until you resume"],
    make: () => ({ side: side.value, ...of.fields(), reason: "asked on the page" }), told: flattened,
  });
}

function flattened(status, body) {
  const left = Object.entries(body.residuals || {}).map(([leg, qty]) => `${leg}: ${qty}`).join(", ");
  const head = status === 200 && body.verified ? `FLAT, VERIFIED in ${Number(body.after_s).toFixed(2)} s (${body.flatten_id})`
    : `NOT VERIFIED: ${left || "what is left is not known"}, ${body.residual_orders ?? "—"} orders. Still working.`;
  return [head, ...(body.stages || []), ...(body.proof || []).map((line) => `proof: ${line}`), ...(body.detail ? [body.detail] : [])];
}

function kill() {
  const of = scope();
  const reason = el("input", { id: "reason", maxlength: "500", autocomplete: "off" });
  ask({
    title: "Trip the kill switch?", danger: true, keep: "Keep trading", act: "Trip", path: "/kill", typed: of.word,
    controls: [of.control, el("p", { class: "choice" }, el("label", { for: "reason", text: "Reason (the journal keeps it)" }), reason)],
    facts: () => [`Does what the config says (flatten or halt) to: ${holdings(of.items(), "both").join("; ")}`, "Latched over restarts: entries stay off until somebody rearms with a reason"],
    make: () => ({ ...of.fields(), reason: reason.value.trim() || "asked on the page" }),
    told: (status, body) => [status === 200 ? `${body.state || "tripped"} by ${body.trip_id || "you"}${body.verified ? ", verified by the venue" : ""}` : "Tripped; NOT VERIFIED yet, it goes on", ...(body.detail ? [body.detail] : [])],
  });
}

function rearm() {
  const of = scope();
  const reason = el("input", { id: "reason", maxlength: "500", autocomplete: "off", required: true });
  const switched = now().status.kill_switch || {};
  ask({
    title: "Rearm?", keep: "Stay halted", act: "Rearm", path: "/rearm", typed: of.word,
    controls: [of.control, el("p", { class: "choice" }, el("label", { for: "reason", text: "Why is it safe again?" }), reason)],
    facts: () => [switched.trip_id ? `Leaves ${switched.state} by ${switched.trip_id}: ${switched.cause}` : `The kill switch is ${switched.state || "not known"}`,
      switched.rearm_from ? `Not before ${clock(switched.rearm_from)} UTC` : "Checked first: books compared, guards OK, feeds fresh",
      ...(switched.guards_not_ok || []).map((guard) => `Mend first: ${guard}`), "Afterwards: entries may rest again"],
    make: () => (reason.value.trim() ? { ...of.fields(), reason: reason.value.trim() } : "Say why it is safe again: a rearm needs a reason."),
    told: (status, body) => [status === 200 ? `Rearmed: ${body.state || "ARMED"}` : "Not rearmed yet", ...Object.entries(body.checks || {}).map(([name, found]) => `${name}: ${found}`), ...(body.detail ? [body.detail] : [])],
  });
}

function resume() {
  const of = scope();
  ask({
    title: "Resume entries?", keep: "Stay as it is", act: "Resume entries", path: "/resume", controls: [of.control],
    facts: () => [`New entries may rest again on ${of.items().map((item) => short(item.instrument)).join(", ") || "—"}, at throttle ${of.items().map((item) => item.throttle ?? "—").join(", ")}`],
    make: of.fields,
    told: (status, body) => [status === 200 ? "Resumed: entries may rest" : "Resume is not confirmed yet", ...(body.unlatched || []).map((leg) => `unlatched: ${leg}`), ...(body.detail ? [body.detail] : [])],
  });
}

function throttle() {
  const of = scope();
  const value = el("select", { id: "throttle-value" }, ...["0", "0.1", "0.25", "0.5", "0.75", "1"].map((each) => el("option", { value: each, text: each === "0" ? "0 (no entries)" : each })));
  value.value = String(of.items()[0]?.throttle ?? "1");
  if (value.selectedIndex < 0) value.selectedIndex = 0;
  ask({
    title: "Set the throttle?", keep: "Keep it", act: "Set throttle", path: "/throttle",
    controls: [of.control, el("p", { class: "choice" }, el("label", { for: "throttle-value", text: "Quantity of new entries, times" }), value)],
    facts: () => [`From ${of.items().map((item) => `${short(item.instrument)} ${item.throttle ?? "—"}`).join(", ")} to ${value.value}`, "Exits and stops are never touched"],
    make: () => ({ throttle: Number(value.value), ...of.fields() }),
    told: (status, body) => [status === 200 ? `Throttle ${body.old ?? "mixed"} → ${body.new}` : "Throttle is not confirmed yet", ...(body.detail ? [body.detail] : [])],
  });
}
