// The page of a comparison: a table of its rows, and one of its devices.
const FORMAT = { percent: (value) => share(value), points: (value) => signed(known(value) ? Math.round(1000 * value) : null), decimal: fraction };

const swept = !data.devices.length;

function methods(title, rows) {
  const cell = (row, m) => {
    const [middle, low, high] = row[2][m], format = FORMAT[data.metrics[m][1]];
    return (m && !swept) || !known(low) ? format(middle) : [format(middle), h("span", { class: "range" }, `${format(low)} to ${format(high)}`)];
  };
  const last = [["Steps", (row) => row[4], (row) => whole(row[4])], ["Sent", () => null, (row) => row[5]], ["Time", () => null, (row) => row[6]]];
  const columns = [
    { title: "Method", value: (row) => row[0], cell: (row) => row[0] },
    ...data.metrics.map(([name], m) => ({ title: swept ? name : name[0].toUpperCase() + name.slice(1).replace(" in %", ""), class: m || swept ? "" : "final", value: (row) => row[2][m][0], cell: (row) => cell(row, m) })),
    ...(!swept ? last.map(([name, value, text]) => ({ title: name, class: "wide", value, cell: text })) : []),
  ];
  const table = sortable({ caption: title, noun: "row", columns, rows, mark: (row) => row[1] ? "ours" : null });
  return section(title, table.node, note("The mean over the devices, with its 95 % bootstrap interval over seeds and devices."));
}

function devices() {
  const shown = data.rows.slice(0, 12);
  const rows = data.devices.map((name, i) => [name, i]);
  const columns = [
    { title: "Device", value: (row) => row[0], cell: (row) => row[0] },
    ...shown.map((method) => ({ title: method[0], class: method[1] ? "final" : "", value: (row) => method[3][row[1]], cell: (row) => share(method[3][row[1]]) })),
  ];
  const table = sortable({ caption: "Devices", columns, rows });
  const search = h("input", { type: "search", id: "search", autocomplete: "off", input: () => table.filter((row) => row[0].toLowerCase().includes(search.value.trim().toLowerCase())) });
  const left = data.rows.length > shown.length ? ` The first ${shown.length} of ${data.rows.length} rows; compare.csv has all.` : "";
  const cut = data.left_out ? ` ${plural(data.left_out, "device")} more in compare.csv.` : "";
  return section("Device by device", h("form", { class: "filter", role: "search", submit: (event) => event.preventDefault() }, h("label", { for: "search" }, "Find"), search), table.node, note(`The mean over the seeds of what the comparison ranks by.${left}${cut}`));
}

document.getElementById("methods").replaceChildren(methods("Over the fleet", data.rows), ...(data.unseen.length ? [methods("Devices that took no part", data.unseen)] : []));
if (!swept) document.getElementById("devices").replaceChildren(devices());
