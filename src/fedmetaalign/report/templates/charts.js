// Charts as SVG in the page's colours. A mark that stands for a device opens it; tooltips are <title> elements.
// On a phone a chart is drawn smaller, so that its words are not.
const PHONE = innerWidth < 600, WIDE = PHONE ? 320 : 420, HIGH = 240, LEFT = 40, RIGHT = 12, TOP = 20, BOTTOM = 34;

function ticks(low, high, most = 5) {
  const raw = (high - low) / most || 1, power = 10 ** Math.floor(Math.log10(raw));
  const step = power * [1, 2, 5, 10].find((each) => each * power >= raw * 0.999);
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) found.push(+(i * step).toPrecision(10));
  return found;
}

// The least and the greatest of some values, with a little room around them.
function around(values, room = 0.06) {
  const low = Math.min(...values), high = Math.max(...values), more = (high - low || Math.abs(high) || 1) * room;
  return [low - more, high + more];
}

// An empty chart: axes with low, high, and optionally marks [[value, text]], a title; X and Y place values.
function chart(label, x, y, { right = RIGHT, high = HIGH } = {}) {
  const X = (value) => LEFT + (value - x.low) / (x.high - x.low || 1) * (WIDE - LEFT - right);
  const Y = (value) => high - BOTTOM - (value - y.low) / (y.high - y.low || 1) * (high - BOTTOM - TOP);
  const svg = s("svg", { viewBox: `0 0 ${WIDE} ${high}`, role: "img", "aria-label": label });
  for (const [value, text] of y.marks || ticks(y.low, y.high).map((each) => [each, String(each).replace("-", "\u2212")])) {
    svg.append(s("line", { class: "grid", x1: LEFT, x2: WIDE - right, y1: Y(value), y2: Y(value) }),
      s("text", { x: LEFT - 6, y: Y(value) + 4, "text-anchor": "end" }, text));
  }
  (x.marks || ticks(x.low, x.high, 6).map((each) => [each, String(each).replace("-", "\u2212")])).forEach(([value,
    text], i) => {
    const lower = PHONE && x.marks && i % 2 ? 13 : 0;  // names of stages side by side have no room there
    svg.append(s("text", { x: X(value), y: high - BOTTOM + 16 + lower, "text-anchor": "middle" }, text));
  });
  svg.append(s("text", { x: WIDE - right, y: high - 3, "text-anchor": "end", class: "axis" }, x.title || ""),
    s("text", { x: 2, y: 11, class: "axis" }, y.title || ""));
  return { svg, X, Y };
}

const path = (points, close = "") => points.length
  ? `M${points.map((each) => each.map((n) => n.toFixed(1)).join(",")).join("L")}${close}` : "";

const titled = (text, mark) => { mark.append(s("title", {}, text)); return mark; };

function opening(name, mark) {
  mark.classList.add("opens");
  mark.addEventListener("click", () => show(name));
  return mark;
}

// How values lie, [{ name, value, text, tone }]: dots of up to so many, else bars; downwards where `side` is -1.
const DOTS = 150;

function stacked(values, low, width, bins) {
  const stacks = new Map();
  for (const each of values) {
    const bin = Math.min(bins - 1, Math.max(0, Math.floor((each.value - low) / width)));
    if (!stacks.has(bin)) stacks.set(bin, []);
    stacks.get(bin).push(each);
  }
  return stacks;
}

function pile(svg, X, base, low, width, step, stacks, side, dots) {
  const pixels = X(low + width) - X(low);
  for (const [bin, stack] of stacks) {
    const left = X(low + bin * width);
    if (dots) {
      stack.forEach((each, i) => svg.append(opening(each.name, titled(`${each.name}: ${each.text}`, s("circle", {
        class: each.tone, cx: left + pixels / 2, cy: base - side * (i + 0.5) * step,
          r: Math.min(step, pixels) * 0.44 })))));
      continue;
    }
    let from = 0;
    for (const tone of new Set(stack.map((each) => each.tone))) {
      const number = stack.filter((each) => each.tone === tone).length, y = base - side * from * step;
      const height = Math.max(number * step, 1.2);  // one device of thousands is to be seen
      svg.append(titled(plural(number, "device"), s("rect", { class: tone, x: left + 0.5, width: Math.max(1,
        pixels - 1), y: side > 0 ? y - height : y, height })));
      from += number;
    }
  }
}

// One distribution upwards, and another one below the same axis: [label, values] each; marks are vertical lines.
function distribution(label, title, upper, lower, { zero = false, format = (value) => value } = {}) {
  const all = [...upper[1], ...(lower ? lower[1] : [])].map((each) => each.value);
  const [low, high] = around(zero ? [0, ...all] : all);
  const base = lower ? (HIGH - BOTTOM + TOP) / 2 : HIGH - BOTTOM, room = base - TOP - 8;
  const { svg, X } = chart(label, { low, high, title }, { low: 0, high: 1, marks: [] });
  svg.append(s("line", { class: "rule", x1: LEFT, x2: WIDE - RIGHT, y1: base, y2: base }));
  if (zero) svg.append(s("line", { class: "rule", x1: X(0), x2: X(0), y1: TOP, y2: HIGH - BOTTOM }));
  const dots = upper[1].length <= DOTS, bins = dots ? 30 : 40, width = (high - low) / bins;
  const groups = [[1, upper], [-1, lower]].filter((each) => each[1]).map(([side, group]) => [side, group,
    stacked(group[1], low, width, bins)]);
  const highest = Math.max(...groups.flatMap((each) => [...each[2].values()].map((stack) => stack.length)));
  for (const [side, group, stacks] of groups) {
    pile(svg, X, base, low, width, Math.min(11, room / highest), stacks, side, dots);
    const middle = mean(group[1].map((each) => each.value)), y = side > 0 ? TOP : base;
    const end = X(middle) > WIDE * 0.62;
    svg.append(s("line", { class: "mean", x1: X(middle), x2: X(middle), y1: y, y2: side > 0 ? base : HIGH - BOTTOM }),
      s("text", { class: "told", x: X(middle) + (end ? -5 : 5), "text-anchor": end ? "end" : "start",
        y: side > 0 ? TOP + 3 : HIGH - BOTTOM - 3 }, `${group[0]} ${format(middle)}`));
  }
  return svg;
}

const quantile = (sorted, q) => sorted.length ? sorted[Math.round(q * (sorted.length - 1))] : null;

// Lines over a few places; bands are pairs of lists, lines [{ name, values, class, opens }], guides [[name, value]].
function lines(label, x, yTitle, found, { bands = [], guides = [], values = false } = {}) {
  const all = [...found.map((each) => each.values), ...bands.flat(), guides.map((each) => each[1])].flat().filter(known);
  const [low, high] = around(all);
  const names = guides.length ? 74 : RIGHT;
  const { svg, X, Y } = chart(label, x, { low, high, title: yTitle }, { right: names });
  const at = (list) => list.map((value, i) => known(value) ? [X(x.at[i]), Y(value)] : null).filter(known);
  for (const [lower, upper] of bands) svg.append(s("path", { class: "band", d: path([...at(upper),
    ...at(lower).reverse()], "Z") }));
  let place = HIGH;
  for (const [name, value] of [...guides].sort((a, b) => a[1] - b[1])) {
    place = Math.min(place - 12, Y(value));
    svg.append(s("line", { class: "guide", x1: LEFT, x2: WIDE - names, y1: Y(value), y2: Y(value) }),
      s("text", { x: WIDE - names + 5, y: place + 4 }, name));
  }
  for (const each of found) {
    const points = at(each.values), line = titled(each.name, s("path", { class: `line ${each.class || ""}`,
      d: path(points) }));
    svg.append(each.opens ? opening(each.name, line) : line);
    if (each.class === "strong" || points.length === 1) {
      svg.append(...points.filter(() => points.length <= 12).map(([cx, cy]) => s("circle",
        { class: `point ${each.class || ""}`, cx, cy, r: 3 })));
    }
    if (values && each.class === "strong") {
      svg.append(...each.values.map((value, i) => known(value) && s("text",
        { class: "told", x: X(x.at[i]), y: Y(value) - 9, "text-anchor": "middle" }, value.toFixed(1))).filter(known));
    }
  }
  return svg;
}

// Rounds from left to right, a row a name; from the least value, or 0, to the greatest the colour grows.
function heat(label, at, names, rows, { opens = true, format = fraction } = {}) {
  const left = names.length > 1 || names[0] ? 110 : 4, cell = 14, wide = PHONE ? 330 : 520;
  const width = (wide - left) / at.length, high = rows.length * cell + 22;
  const sizes = rows.flat().filter(known).map(Math.abs), top = Math.max(...sizes);
  const least = rows.flat().some((value) => value < 0) ? 0 : Math.min(...sizes);
  const svg = s("svg", { viewBox: `0 0 ${wide} ${high}`, role: "img", "aria-label": label });
  rows.forEach((row, y) => {
    const text = s("text", { x: left - 6, y: y * cell + cell - 3, "text-anchor": "end" }, shortened(names[y], 17));
    svg.append(opens ? opening(names[y], text) : text);
    row.forEach((value, x) => known(value)
      && svg.append(titled(`${names[y]}${names[y] ? ", " : ""}round ${at[x]}: ${format(value)}`,
      s("rect", { class: value < 0 ? "bad" : "good", x: left + x * width, y: y * cell,
        width: Math.max(0.5, width - 0.6), height: cell - 1,
        "fill-opacity": (0.08 + 0.92 * (Math.abs(value) - least) / (top - least || 1)).toFixed(3) }))));
  });
  for (const mark of ticks(0, at.length, 8)) {
    if (at[mark - 1] !== undefined) svg.append(s("text", { x: left + (mark - 0.5) * width, y: high - 6,
      "text-anchor": "middle" }, at[mark - 1]));
  }
  return svg;
}

const shortened = (name, most) => name.length > most ? `${name.slice(0, most - 1)}\u2026` : name;

// Which class is called which: rows [name, marks, counts by class, recall]; shaded by the share of its row.
function confusion(rows) {
  const names = rows.map((row) => row[0]);
  const body = rows.map(([name, marks, called, recall], y) => {
    const total = called.reduce((a, b) => a + b, 0);
    const cells = called.map((count, x) => {
      const cell = h("td", { class: `shaded ${x === y ? "right" : "wrong"}` }, whole(count));
      cell.style.setProperty("--share", total ? `${Math.round(70 * count / total)}%` : "0%");
      return cell;
    });
    return h("tr", {}, h("th", { scope: "row", class: "name" }, name,
      marks.map((mark) => h("span", { class: "tag" }, mark))),
      cells, h("td", {}, whole(total)), h("td", {}, share(recall)));
  });
  return h("div", { class: "scroll", tabindex: "0" }, h("table", { class: "confusion" }, h("thead", {}, h("tr", {},
    ["Is \\ is called", ...names, "Samples", "Recall"].map((title) => h("th", { scope: "col" }, title)))),
      h("tbody", {}, body)));
}
