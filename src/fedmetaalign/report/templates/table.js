// A table of any length that sorts by its columns, filters, and shows one page of rows at a time.
// columns: [{ title, value(row) to sort by, cell(row) to show, class, foot, help }]; rows are any values.
const PAGE = 25;

function sortable({ caption, columns, rows, noun = "device", mark = () => null }) {
  let order = null, down = false, shown = rows, from = 0, size = PAGE;
  const status = h("p", { role: "status", class: "note" });
  const body = h("tbody");
  const heads = columns.map((column, i) => h("th", { scope: "col", class: column.class, title: column.help,
    "aria-sort": "none" },
    h("button", { type: "button", click: () => sort(i) }, column.title)));
  const foot = columns.some((column) => known(column.foot)) && h("tfoot", {}, h("tr", {}, columns.map((column, i) => i
    ? h("td", { class: column.class }, known(column.foot) ? column.foot : "")
    : h("th", { scope: "row" }, column.foot))));
  const back = h("button", { type: "button", click: () => turn(-1) }, "Previous");
  const next = h("button", { type: "button", click: () => turn(1) }, "Next");
  const pager = h("nav", { class: "pager", "aria-label": `Pages of the table: ${caption}` }, back, next);
  const node = h("div", {}, status, h("div", { class: "scroll", tabindex: "0" }, h("table", { class: "fleet" },
    h("caption", { class: "aside" }, caption), h("thead", {}, h("tr", {}, heads)), body, foot)), pager);

  function sort(i) {
    down = order === i && !down;
    order = i;
    from = 0;
    draw();
  }
  function turn(pages) {
    from += pages * size;
    draw();
  }
  function sorted() {
    if (order === null) return shown;
    const value = columns[order].value, compare = (a, b) => typeof a === "string" ? byName(a, b) : a - b;
    // What has no value stands last, whichever way it is sorted.
    const [has, lacks] = [shown.filter((row) => known(value(row))), shown.filter((row) => !known(value(row)))];
    return [...has.sort((a, b) => (down ? -1 : 1) * compare(value(a), value(b))), ...lacks];
  }
  function draw() {
    const all = sorted(), some = all.slice(from, from + size);
    heads.forEach((head, i) => head.setAttribute("aria-sort", i !== order ? "none" : down ? "descending" : "ascending"));
    body.replaceChildren(...some.map((row) => h("tr", { class: mark(row) }, columns.map((column, i) => i
      ? h("td", { class: column.class }, column.cell(row))
      : h("th", { scope: "row", class: "name" }, column.cell(row))))));
    const which = all.length === rows.length ? plural(rows.length, noun)
      : `${whole(all.length)} of ${plural(rows.length, noun)}`;
    status.textContent = some.length < all.length
      ? `${which}; ${whole(from + 1)} to ${whole(from + some.length)} are shown` : which;
    pager.hidden = some.length === all.length;
    back.disabled = from === 0;
    next.disabled = from + size >= all.length;
  }
  // On paper nobody can turn pages; of very many rows these would be too many pages.
  addEventListener("beforeprint", () => { if (shown.length <= 400) { size = 400; from = 0; draw(); } });
  addEventListener("afterprint", () => { size = rows.length <= 2 * PAGE ? 2 * PAGE : PAGE; draw(); });
  size = rows.length <= 2 * PAGE ? 2 * PAGE : PAGE;
  draw();
  return { node, filter: (keep) => { shown = rows.filter(keep); from = 0; draw(); } };
}

// The form above a table: a field to find rows by their name, which calls `keep`, and what else one may choose by.
function finding(keep, ...more) {
  const field = h("input", { type: "search", id: "search", autocomplete: "off", input: keep });
  const form = h("form", { class: "filter", role: "search", submit: (event) => event.preventDefault() },
    h("span", {}, h("label", { for: "search" }, "Find"), field), more);
  return { form, field, fits: (name) => name.toLowerCase().includes(field.value.trim().toLowerCase()) };
}
