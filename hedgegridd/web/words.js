// Figures and elements: exact decimals as text with thousands, ages, UTC; what is not known is a dash, never 0.

export const UNKNOWN = "—";

/** An element with attributes, properties (`text`) and children; never HTML out of a string. */
export function el(tag, attributes = {}, ...children) {
  const found = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "text") found.textContent = value;
    else if (name.startsWith("on")) found.addEventListener(name.slice(2), value);
    else found.setAttribute(name, value === true ? "" : value);
  }
  found.append(...children.filter((child) => child !== null && child !== undefined));
  return found;
}

export const byId = (id) => document.getElementById(id);

/** Set a text only when it differs: a screen reader is not told the same twice. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** A decimal string with thousands, `places` digits behind the point (half away from zero); a dash for null. */
export function decimal(text, places = null) {
  if (text === null || text === undefined || text === "") return UNKNOWN;
  const number = Number(text);
  if (!Number.isFinite(number)) return UNKNOWN;
  if (places !== null) {
    return number.toLocaleString("en-US", { minimumFractionDigits: places, maximumFractionDigits: places });
  }
  const [whole, fraction] = String(text).replace("-", "").split(".");
  const digits = whole.replace(/\B(?=(\d{3})+(?!\d))/g, ",") + (fraction ? `.${fraction}` : "");
  return (String(text).startsWith("-") ? "−" : "") + digits;
}

/** Money with its sign, two digits: `+2.38`, `−0.40`, `0.00`. */
export function signed(text) {
  if (text === null || text === undefined) return UNKNOWN;
  const shown = decimal(text, 2).replace("-", "");
  if (shown === UNKNOWN) return UNKNOWN;
  if (Number(shown.replaceAll(",", "")) === 0) return "0.00";
  return (Number(text) < 0 ? "−" : "+") + shown;
}

/** Digits behind the point of a tick or step: "0.1" has 1. */
export function places(grain) {
  if (!grain) return 2;
  const fraction = String(grain).split(".")[1] || "";
  return fraction.replace(/0+$/, "").length;
}

/** At most four digits that count, for a guard's value. */
export function measure(text) {
  if (text === null || text === undefined) return UNKNOWN;
  const number = Number(text);
  if (!Number.isFinite(number)) return UNKNOWN;
  const size = Math.abs(number);
  return number.toLocaleString("en-US", { maximumFractionDigits: size >= 100 ? 0 : size >= 1 ? 2 : 4 });
}

/** Seconds as `4 s`, `3 min`, `2 h 5 min`. */
export function age(seconds) {
  if (seconds === null || seconds === undefined) return UNKNOWN;
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 120) return `${whole} s`;
  if (whole < 7200) return `${Math.floor(whole / 60)} min`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

/** `03:12:41` UTC of nanoseconds since 1970, or of an ISO time. */
export function clock(time) {
  if (!time) return UNKNOWN;
  const moment = typeof time === "string" ? new Date(time) : new Date(Number(time) / 1e6);
  return Number.isNaN(moment.getTime()) ? UNKNOWN : moment.toISOString().slice(11, 19);
}

/** `BTCUSDT` of `BTCUSDT-PERP.BINANCE`. */
export function short(instrument) {
  return instrument ? instrument.split(".")[0].replace(/-PERP$/, "") : "account";
}

/** The mark of a leg: shape and word, so that colour is not needed. */
export const LEG_MARK = { LONG: "▲", SHORT: "▼" };

/** A table of texts or elements; `numeric` columns stand right. */
export function table(caption, columns, rows, numeric = []) {
  const head = el("tr", {}, ...columns.map((name, at) => el("th", { scope: "col", class: numeric.includes(at) ? "num" : null, text: name })));
  const body = rows.map((row) =>
    el("tr", { class: row.className || null }, ...row.map((cell, at) => {
      const found = el("td", { class: numeric.includes(at) ? "num" : null });
      found.append(cell === null || cell === undefined ? UNKNOWN : cell);
      return found;
    })));
  return el("table", {}, el("caption", { class: "hidden", text: caption }), el("thead", {}, head), el("tbody", {}, ...body));
}
