// Elements, numbers and words: what the page's other parts are put together from.
// Text from a run goes into text nodes and attributes alone, never into markup.
const data = JSON.parse(document.getElementById("data").textContent);
const NONE = "\u2013", THIN = "\u202f";
const SVG = "http://www.w3.org/2000/svg";

function filled(node, attributes, inside) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") node.addEventListener(name, value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...inside.flat(Infinity).filter((each) => each || each === 0).map((each) => each.nodeType ? each
    : String(each)));
  return node;
}
const h = (tag, attributes, ...inside) => filled(document.createElement(tag), attributes, inside);
const s = (tag, attributes, ...inside) => filled(document.createElementNS(SVG, tag), attributes, inside);

const known = (value) => value !== null && value !== undefined;
const said = (format) => (value) => known(value) ? format(value).replace("-", "\u2212") : NONE;
// The table's shares are in thousandths, those of the details are from 0 to 1.
const percent = said((value) => `${(value / 10).toFixed(1)}${THIN}%`);
const decimal = said((value) => (value / 1000).toFixed(3));
const signed = said((value) => value ? `${value > 0 ? "+" : ""}${(value / 10).toFixed(1)}` : "0.0");
const whole = said((value) => Math.round(value).toLocaleString("en"));
const share = (value) => percent(known(value) ? 1000 * value : null);
const fraction = (value) => decimal(known(value) ? 1000 * value : null);
const plural = (number, noun) => `${whole(number)} ${noun}${number === 1 ? "" : "s"}`;
const mean = (values) => values.length ? values.reduce((a, b) => a + b, 0) / values.length : null;

const byName = new Intl.Collator("en", { numeric: true }).compare;

function listing(names, most = 5) {
  if (names.length > most) return `${names.slice(0, most - 1).join(", ")} and ${names.length - most + 1} more`;
  return names.length > 1 ? `${names.slice(0, -1).join(", ")} and ${names.at(-1)}` : names[0] || "";
}

function section(title, ...inside) {
  return h("section", {}, h("h2", {}, title), ...inside);
}

const note = (...words) => h("p", { class: "note" }, ...words);

function figure(title, caption, drawing) {
  return h("figure", {}, h("figcaption", {}, h("b", {}, title), caption), drawing);
}

// A table of at most some dozen rows: titles, then rows whose first cell is their head.
function small(titles, rows, { words = [], strong = () => false } = {}) {
  const cell = (value, column, row) => {
    const attributes = { class: words.includes(column) ? "text" : strong(row, column) ? "final" : null };
    return column ? h("td", attributes, value) : h("th", { scope: "row", class: "name" }, value);
  };
  const head = titles.map((title, i) => h("th", { scope: "col", class: words.includes(i) ? "text" : null }, title));
  return h("div", { class: "scroll", tabindex: "0" }, h("table", {}, h("thead", {}, h("tr", {}, head)),
    h("tbody", {}, rows.map((row, y) => h("tr", {}, row.map((value, x) => cell(value, x, y)))))));
}

// What a file holds, as a list of "name: value"; what is nested follows its name.
function facts(values) {
  return h("dl", {}, Object.entries(values).map(([name, value]) => [h("dt", {}, name), h("dd", {}, fact(value))]));
}

function fact(value) {
  if (value !== null && typeof value === "object" && !Array.isArray(value)) {
    return Object.keys(value).length ? facts(value) : NONE;
  }
  if (Array.isArray(value)) {
    return value.length ? value.map((each, i) => [i ? ", " : "", fact(each)]) : NONE;
  }
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value === "number") return Number.isInteger(value) ? String(value) : String(+value.toPrecision(6));
  return value === null || value === "" ? NONE : value;
}
