// The page of a run: distributions first, then the table of the fleet, then how it was learnt.
const many = data.devices > 1;

function mount(id, ...nodes) {
  document.getElementById(id).replaceChildren(...nodes.flat().filter(Boolean));
}

// Colours say what a device gained: green or orange where that is more than chance.
const tone = (i) => ({ 2: "good", [-2]: "bad" })[of(i, "standing")] || "even";

function distributions() {
  const judged = rows.filter((i) => known(accuracy(i))), compared = judged.filter((i) => known(of(i, "gain")));
  const mark = (i, value, text, colour) => ({ name: of(i, "name"), value: value / 10, text: text(value), tone: colour });
  const [here, all] = [whole(rows.length), whole(data.devices)];
  const cut = here === all ? "" : ` The ${here} that need attention most, of ${all}.`;
  const found = [];
  if (judged.length > 2) {
    const upper = [`${titles.get(last).toLowerCase()}, mean`, judged.map((i) => mark(i, accuracy(i), percent, tone(i)))];
    const lower = compared.length
      ? ["alone, mean", compared.map((i) => mark(i, of(i, "alone"), percent, "even"))] : null;
    const what = judged.length > DOTS ? "A bar is some devices" : "A dot is a device";
    found.push(figure("How often the models are right", `${what}${lower ? "; below the line, trained alone" : ""}.${cut}`,
      distribution(`Test accuracy of ${plural(judged.length, "device")}`, "test accuracy in %", upper, lower,
        { format: (value) => percent(10 * value) })));
  }
  if (compared.length > 2) {
    const gains = ["mean", compared.map((i) => mark(i, of(i, "gain"), signed, tone(i)))];
    found.push(figure("Gained over training alone",
      `In points. Green: better by more than chance. Orange: worse. Grey: may be chance.${cut}`,
      distribution(`Gain of ${plural(compared.length, "device")} over training alone`, "gain in points", gains, null,
        { zero: true, format: (value) => signed(10 * value) })));
  }
  if (judged.length && stages.length > 1) found.push(afterStages(judged));
  return found;
}

// The paper's Figure 2: accuracy after each stage.
function afterStages(judged) {
  const few = judged.length <= 40, of_ = (i) => stages.map((stage) => tenth(of(i, stage)));
  const sorted = stages.map((stage) => judged.map((i) => of(i, stage)).filter(known).sort((a, b) => a - b));
  const band = (...ends) => ends.map((q) => sorted.map((values) => tenth(quantile(values, q))));
  const own = few && many ? judged.map((i) => ({ name: of(i, "name"), opens: of(i, "name"), values: of_(i) })) : [];
  const mean_ = stages.map((stage) => tenth(data.means[stage]));
  const caption = !many ? "." : few ? ": a thin line a device, their mean in bold."
    : ": the mean, half of the devices in the darker band, nine tenths in the lighter.";
  return figure("After each stage", `Test accuracy${caption}`,
    lines(`Test accuracy ${many ? "of every device and the fleet's mean" : "of the device"} after each stage`, byStage,
      "accuracy in %", [...own, { name: many ? "mean of the fleet" : of(0, "name"), class: "strong", values: mean_ }],
      { bands: few ? [] : [band(0.05, 0.95), band(0.25, 0.75)], guides: baselines((key) => data.means[key]), values: true }));
}

const WITHOUT = { normal: "no faults", faulty: "faults alone", nothing: "no labels" };

function fleetTable() {
  const column = (key, title, format, { kind, help } = {}) => data.columns[key] && {
    title, class: kind, help, value: (i) => of(i, key), cell: (i) => format(of(i, key)),
    foot: many && known(data.means[key]) ? format(data.means[key]) : null,
  };
  const columns = [
    { title: "Device", value: (i) => of(i, "name"), cell: named, foot: many ? "Mean" : null },
    column("test", "Test samples", whole, { kind: "wide" }),
    column("one_rule", "One rule", percent, { kind: "wide", help: "the best threshold on one feature" }),
    column("alone", data.lone ? "Plain training" : "Alone", percent,
      { help: "the same network, trained on the device's own samples only" }),
    ...stages.map((stage) => column(stage, titles.get(stage), percent, { kind: stage === last ? "final" : "wide" })),
    column("false_alarms", "False alarms", percent, { help: "of the normal test samples of a device without faults" }),
    column("gain", "Gain", signed, { help: "in points over training alone" }),
    column("f1", "F1", decimal, { kind: "wide" }), column("macro_f1", "Macro-F1", decimal, { kind: "wide" }),
    column("bytes", "Model bytes", whole, { kind: "wide" }), many && column("group", "Group", whole, { kind: "wide" }),
  ].filter(Boolean);
  const mark = (i) => of(i, "unfit") ? "unfit" : null;
  const table = sortable({ caption: many ? "The fleet" : "The device", columns, rows, mark });
  if (rows.length < 2) return [table.node];
  return [finder(table), table.node, rows.length < data.devices && note(
    `To stay small, this page has the ${whole(rows.length)} devices that need attention most, of ${whole(data.devices)}; `
    + "results.json has all. ", h("code", {}, `fedmetaalign report ${data.run} --device NAME`),
    " makes it again with a device that is not here.")];
}

// Which devices a filter can ask for: [words, whether a row is one of them].
function filters() {
  const kinds = (key) => [...new Set((data.columns[key] || []).filter(known))].sort((a, b) => a > b ? 1 : -1);
  return [
    ["all devices", () => true],
    ...data.findings.map(([, name, number], n) => [`${name} (${whole(number)})`, (i) => (of(i, "marks") || []).includes(n)]),
    ...kinds("standing").map((each) => [STANDING[each], (i) => of(i, "standing") === each]),
    ...kinds("known").map((each) => [WITHOUT[each], (i) => of(i, "known") === each]),
    ...kinds("group").map((each) => [`group ${each}`, (i) => of(i, "group") === each]),
  ];
}

function finder(table) {
  const choices = filters();
  const select = h("select", { id: "which", change: keep }, choices.map(([words], n) => h("option", { value: n }, words)));
  const { form, field, fits } = finding(keep, h("span", {}, h("label", { for: "which" }, "Show"), select));
  function keep() {
    const chosen = choices[select.value][1];
    table.filter((i) => chosen(i) && fits(of(i, "name")));
  }
  document.querySelectorAll("button[data-finding]").forEach((button) => {
    button.hidden = false;
    button.addEventListener("click", () => {
      field.value = "";
      select.value = Number(button.dataset.finding) + 1;
      keep();
      document.getElementById("fleet").scrollIntoView();
    });
  });
  return form;
}

function named(i) {
  const marks = of(i, "marks") || [], more = marks.length > 1 ? ` and ${marks.length - 1} more` : "";
  const without = WITHOUT[of(i, "known")];
  return [
    h("button", { type: "button", class: "link", click: () => show(of(i, "name")) }, of(i, "name")),
    without && h("span", { class: "tag" }, without),
    marks.length > 0 && h("span", { class: "tag" }, data.findings[marks[0]][0], more),
  ];
}

function learning() {
  const found = [groups()];
  if (data.heat.length) found.push(section("Who helped", h("div", { class: "pair" }, data.heat.map(heatOf))));
  if (data.panels.length) {
    found.push(section("Round by round", h("div", { class: "grid" }, data.panels.map(panelOf)), note(
      "Query loss is measured on samples that the round did not train on.",
      data.panels.every((panel) => panel.what !== "cosine") ? "" : " Alignment is the cosine between a device's update and the fleet's direction; the paper weighs a "
        + "device by both.",
      data.panels.some((panel) => panel.spread) ? " The darker band has half of the devices, the lighter nine tenths." : "")));
  }
  return found;
}

// Who shares a group, and what it gave them.
function groups() {
  const found = new Map();
  for (const i of rows.filter((i) => known(of(i, "group")))) {
    const group = of(i, "group");
    if (!found.has(group)) found.set(group, []);
    found.get(group).push(i);
  }
  const middle = (some, read) => mean(some.map(read).filter(known));
  const cells = ([group, some]) => [String(group), whole(some.length), listing(some.map((i) => of(i, "name")).sort(byName), 5),
    percent(middle(some, accuracy)), signed(middle(some, (i) => of(i, "gain")))];
  const heads = ["Group", "Devices", "Which", "Accuracy, mean", "Gain, mean"];
  const sorted = [...found].sort(([a], [b]) => a - b);
  return sorted.length > 1 && section("Groups", small(heads, sorted.slice(0, 50).map(cells), { words: [2] }),
    sorted.length > 50 && note(`The first 50 of ${sorted.length}; the table above has the group of each device.`));
}

function panelOf({ title, what, x: name, rounds: at, lines: all, mean: middle, spread, guide }) {
  const drawn = Object.entries(all || {}).map(([device, values]) => (
    { name: device, values, opens: placed.has(device) ? device : null, class: middle ? "" : "strong" }));
  if (middle) drawn.push({ name: "mean", values: middle, class: "strong" });
  const bands = spread ? [[spread[0], spread[4]], [spread[1], spread[3]]] : [];
  return figure(title, "", lines(`${title}, by ${name}`, { low: at[0], high: at.at(-1), at, title: name }, what, drawn,
    { bands, guides: guide ? [guide] : [] }));
}

function heatOf({ title, key, rounds, names, rows: values }) {
  const format = key === "weight" ? share : fraction, all = values.flat().filter(known);
  const whose = names.length < data.devices
    ? `${names.length} of ${whole(data.devices)} devices, evenly from the most weight to the least`
    : "The device with the most weight first";
  const against = all.some((value) => value < 0) ? "; orange: against the fleet" : "";
  return figure(title,
    `${whose}; the stronger the colour, the more: from ${format(Math.min(...all))} to ${format(Math.max(...all))}${against}.`,
    heat(`${title}, by round and device`, rounds, names, values, { format }));
}

function others() {
  const found = [];
  if (data.missed.length) {
    const cells = ([kind, reason, answers, devices, names]) => [
      devices > names.length ? `${listing(names, 3)} and others: ${whole(devices)}` : listing(names),
      WORDS[kind], whole(answers), reason,
    ];
    found.push(section("Answers that could not be used",
      small(["Devices", "What happened", "Answers", "Why"], data.missed.map(cells), { words: [1, 3] })));
  }
  if (data.confusion.length) {
    found.push(section("Which kind", confusion(data.confusion), note(
      "All test samples of the fleet. A sample that raises no alarm is called the likeliest normal class, one that does "
      + `the likeliest fault. On average ${percent(data.means.class_accuracy)} of a device's samples are called their class; `
      + `macro-F1, the mean of the F1 of every class, however rare, is ${decimal(data.means.macro_f1)}.`)));
  }
  if (data.ladder.length) {
    const cells = ([name, bytes, difference, part, shipped]) =>
      [name, whole(bytes), fraction(difference), share(part), plural(shipped, "device")];
    const heads = ["Model", "Bytes, mean", "Difference, mean", "Validation accuracy, mean", "Chosen for"];
    found.push(section("What the size costs", small(heads, data.ladder.map(cells)), note(
      `The recipe asks for models of at most ${whole(data.settings.max_bytes)} bytes. Of those that fit, a device gets the `
      + "one whose scores differ least from its personal model's, on inputs like its own and without labels; of several "
      + "alike, the quickest. “Difference” is the root of the mean square, of scores from 0 to 1. The accuracy is that on "
      + "the few validation samples, on which the threshold is chosen, too: chance says which of two good models is ahead.")));
  }
  if (data.gaps.length) {
    const cells = ([feature, devices, number, words]) => [feature, whole(devices), whole(number), words];
    const heads = ["Feature", "Devices", "Missing", "What the cells say"];
    found.push(section("Missing values", small(heads, data.gaps.map(cells), { words: [3] }), note(
      "What is done about them says missing_values in the recipe, and the device does the same to a new sample; it never "
      + "calls one normal that lacks a value, though the accuracies here judge it by its score.")));
  }
  return found;
}

function start() {
  const pictures = distributions();
  mount("pictures", pictures.length && section("The fleet at a glance", h("div", { class: "grid" }, pictures)));
  mount("fleet", section(many ? "The fleet" : "The device", fleetTable()));
  mount("more", learning(), others());
  mount("manifest", facts(data.manifest));
  for (const button of document.querySelectorAll("button[data-device]")) {
    button.addEventListener("click", () => show(button.dataset.device));
  }
  // On paper nobody can open anything.
  addEventListener("beforeprint", () => {
    for (const each of document.querySelectorAll("details.finding")) each.open = true;
  });
  startDialog();
}
start();
