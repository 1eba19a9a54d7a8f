// The page of a comparison: a table of its rows, and one of its devices.
const FORMAT = { percent: share, points: (value) => signed(known(value) ? 1000 * value : null), decimal: fraction };

// A sweep has a column a value of its key, and no devices.
const swept = !data.devices.length;

function methods(title, rows) {
  const columns = data.metrics.map(([name, unit], m) => {
    const words = ([middle, low, high]) => m && !swept || !known(low) ? FORMAT[unit](middle)
      : [FORMAT[unit](middle), h("span", { class: "range" }, `${FORMAT[unit](low)} to ${FORMAT[unit](high)}`)];
    const head = swept ? name : name[0].toUpperCase() + name.slice(1).replace(" in %", "");
    return { title: head, class: m || swept ? "" : "final", value: (row) => row[2][m][0], cell: (row) => words(row[2][m]) };
  });
  columns.unshift({ title: "Method", value: (row) => row[0], cell: (row) => row[0] });
  if (!swept) {
    columns.push({ title: "Steps", class: "wide", value: (row) => row[4], cell: (row) => whole(row[4]) },
      { title: "Sent", class: "wide", value: (row) => row[5][0], cell: (row) => row[5][1] },
      { title: "Time", class: "wide", value: (row) => row[6][0], cell: (row) => row[6][1] });
  }
  const table = sortable({ caption: title, noun: "row", columns, rows, mark: (row) => row[1] ? "ours" : null });
  return section(title, table.node,
    note("The mean over the devices, with its 95 % bootstrap interval over seeds and devices."));
}

function devices() {
  const shown = data.rows.slice(0, 12), rows = data.devices.map((name, i) => [name, i]);
  const columns = shown.map(([label, ours, , values]) => (
    { title: label, class: ours ? "final" : "", value: (row) => values[row[1]], cell: (row) => share(values[row[1]]) }));
  columns.unshift({ title: "Device", value: (row) => row[0], cell: (row) => row[0] });
  const table = sortable({ caption: "Devices", columns, rows });
  const { form, fits } = finding(() => table.filter((row) => fits(row[0])));
  const left = data.rows.length > shown.length ? ` The first ${shown.length} of ${data.rows.length} rows.` : "";
  const cut = data.left_out ? ` ${plural(data.left_out, "device")} have no room here.` : "";
  const all = left || cut ? " compare.csv has all." : "";
  return section("Device by device", form, table.node,
    note(`The mean over the seeds of what the comparison ranks by.${left}${cut}${all}`));
}

document.getElementById("methods").replaceChildren(methods("Over the fleet", data.rows),
  ...(data.unseen.length ? [methods("Devices that took no part", data.unseen)] : []));
if (!swept) document.getElementById("devices").replaceChildren(devices());
