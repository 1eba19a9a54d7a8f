// The page of a run: distributions first, then the table of the fleet, then how it was learnt.
const many = data.devices > 1;
const title = new Map(data.stages).get(last) || "";

function mount(id, ...nodes) {
  document.getElementById(id).replaceChildren(...nodes.flat().filter(Boolean));
}

// Colours say what a device gained: green or orange where that is more than chance.
const tone = (i) => ({ 2: "good", [-2]: "bad" })[of(i, "standing")] || "even";

function distributions() {
  const judged = rows.filter((i) => known(accuracy(i)));
  if (!judged.length) return [];
  const compared = judged.filter((i) => known(of(i, "gain")));
  const dot = (key, format) => (i) => ({ name: of(i, "name"), value: (key ? of(i, key) : accuracy(i)) / 10, text: format(key ? of(i, key) : accuracy(i)), tone: tone(i) });
  const found = [];
  const cut = rows.length < data.devices ? ` The ${whole(rows.length)} that need attention most, of ${whole(data.devices)}.` : "";
  if (judged.length > 2) {
    const upper = [data.lone ? "trained" : `${title.toLowerCase()}, mean`, judged.map(dot(null, percent))];
    const lower = compared.length ? ["alone, mean", compared.map((i) => ({ ...dot("alone", percent)(i), tone: "even" }))] : null;
    found.push(figure("How often the models are right", `A ${judged.length > 150 ? "bar is some devices" : "dot is a device"}${lower ? "; below the line, trained alone" : ""}.${cut}`,
      distribution(`Test accuracy of ${plural(judged.length, "device")}`, "test accuracy in %", upper, lower, { format: (value) => percent(10 * value) })));
  }
  if (compared.length > 2) {
    found.push(figure("Gained over training alone", `In points. Green: better by more than chance. Orange: worse. Grey: may be chance.${cut}`,
      distribution(`Gain of ${plural(compared.length, "device")} over training alone`, "gain in points", ["mean", compared.map(dot("gain", signed))], null, { zero: true, format: (value) => signed(10 * value) })));
  }
  if (stages.length > 1) found.push(byStage(judged));
  return found;
}

// The paper's Figure 2: accuracy after each stage.
function byStage(judged) {
  const x = { low: -0.3, high: stages.length - 0.7, at: stages.map((_, n) => n), marks: stages.map((stage, n) => [n, new Map(data.stages).get(stage)]) };
  const tenth = (value) => known(value) ? value / 10 : null;
  const few = judged.length <= 40;
  const guides = [["alone", data.means.alone], ["one rule", data.means.one_rule], ["majority", data.means.majority]].filter((each) => known(each[1])).map(([name, value]) => [name, value / 10]);
  const sorted = stages.map((stage) => judged.map((i) => of(i, stage)).filter(known).sort((a, b) => a - b));
  const band = (low, high) => [low, high].map((q) => sorted.map((values) => tenth(quantile(values, q))));
  const own = few && many ? judged.map((i) => ({ name: of(i, "name"), opens: of(i, "name"), values: stages.map((stage) => tenth(of(i, stage))) })) : [];
  const fleet = { name: many ? "mean of the fleet" : of(0, "name"), class: "strong", values: stages.map((stage) => tenth(data.means[stage])) };
  return figure("After each stage", few ? (many ? "Test accuracy: a thin line a device, their mean in bold." : "Test accuracy.") : "Test accuracy: the mean, half of the devices in the darker band, nine tenths in the lighter.",
    lines(`Test accuracy ${many ? "of every device and the fleet's mean" : "of the device"} after each stage`, x, "accuracy in %", [...own, fleet], { bands: few ? [] : [band(0.05, 0.95), band(0.25, 0.75)], guides, values: true }));
}

const WITHOUT = { normal: "no faults", faulty: "faults alone", nothing: "no labels" };

function fleetTable() {
  const wide = "wide", titles = new Map(data.stages);
  const column = (key, name, format, { kind, help, foot } = {}) => data.columns[key] && { title: name, class: kind, help,
    value: (i) => of(i, key), cell: (i) => format(of(i, key)), foot: many && known(data.means[key]) ? format(data.means[key]) : foot };
  const columns = [
    { title: "Device", value: (i) => of(i, "name"), cell: named, foot: many ? "Mean" : null },
    column("test", "Test samples", whole, { kind: wide }),
    column("one_rule", "One rule", percent, { kind: wide, help: "the best threshold on one feature" }),
    column("alone", data.lone ? "Plain training" : "Alone", percent, { help: "the same network, trained on the device's own samples only" }),
    ...stages.map((stage) => column(stage, titles.get(stage), percent, { kind: stage === last ? "final" : wide })),
    column("false_alarms", "False alarms", percent, { help: "of the normal test samples of a device without faults" }),
    column("gain", "Gain", signed, { help: "in points over training alone" }),
    column("f1", "F1", decimal), column("macro_f1", "Macro-F1", decimal),
    column("bytes", "Model bytes", whole, { kind: wide }), many && column("group", "Group", whole),
  ].filter(Boolean);
  const table = sortable({ caption: many ? "The fleet" : "The device", columns, rows, mark: (i) => of(i, "unfit") ? "unfit" : null });
  if (rows.length < 2) return [table.node];
  const search = h("input", { type: "search", id: "search", autocomplete: "off", input: keep });
  const options = [["", "all devices"], ...data.findings.map(([, name, number], n) => [`mark-${n}`, `${name} (${whole(number)})`])];
  const standings = known(data.columns.standing) ? Object.keys(STANDING).map(Number).sort((a, b) => a - b).filter((each) => data.columns.standing.includes(each)) : [];
  options.push(...standings.map((each) => [`standing-${each}`, STANDING[each]]));
  const without = [...new Set((data.columns.known || []).filter(known))];
  options.push(...without.map((each) => [`known-${each}`, WITHOUT[each]]));
  if (data.columns.group) options.push(...[...new Set(data.columns.group.filter(known))].sort((a, b) => a - b).map((each) => [`group-${each}`, `group ${each}`]));
  const select = h("select", { id: "which", change: keep }, options.map(([value, name]) => h("option", { value }, name)));
  function keep() {
    const text = search.value.trim().toLowerCase(), [kind, word] = select.value.split(/-(.*)/), number = Number(word);
    const fits = { "": () => true, mark: (i) => (of(i, "marks") || []).includes(number), known: (i) => of(i, "known") === word, standing: (i) => of(i, "standing") === number, group: (i) => of(i, "group") === number }[kind];
    table.filter((i) => fits(i) && of(i, "name").toLowerCase().includes(text));
  }
  document.querySelectorAll("button[data-finding]").forEach((button) => {
    button.hidden = false;
    button.addEventListener("click", () => {
      search.value = "";
      select.value = `mark-${button.dataset.finding}`;
      keep();
      document.getElementById("fleet").scrollIntoView({ behavior: "smooth" });
    });
  });
  const cut = rows.length < data.devices ? note(`To stay small, this page has the ${whole(rows.length)} devices that need attention most, of ${whole(data.devices)}; results.json has all. `,
    h("code", {}, `fedmetaalign report ${data.run} --device NAME`), " makes it again with a device that is not here.") : null;
  return [h("form", { class: "filter", role: "search", submit: (event) => event.preventDefault() }, h("label", { for: "search" }, "Find"), search, h("label", { for: "which" }, "Show"), select), table.node, cut];
}

function named(i) {
  const marks = of(i, "marks") || [], more = marks.length > 1 ? ` and ${marks.length - 1} more` : "";
  const without = WITHOUT[of(i, "known")];
  return [h("button", { type: "button", class: "link", click: () => show(of(i, "name")) }, of(i, "name")),
    without && h("span", { class: "tag" }, without), marks.length > 0 && h("span", { class: "tag" }, data.findings[marks[0]][0], more)];
}

function learning() {
  const panels = data.panels.map((panel) => {
    const x = { low: panel.rounds[0], high: panel.rounds.at(-1), at: panel.rounds, title: panel.x };
    if (panel.rounds.length === 1) Object.assign(x, { low: x.low - 1, high: x.high + 1 });
    const own = Object.entries(panel.lines || {}).map(([name, values]) => ({ name, values, opens: placed.has(name) ? name : null, class: panel.mean ? "" : "strong" }));
    const strong = panel.mean ? [{ name: "mean", values: panel.mean, class: "strong" }] : [];
    const q = panel.spread;
    return figure(panel.title, "", lines(`${panel.title}, by round${panel.lines ? " and device" : ""}`, x, panel.what, [...own, ...strong], { bands: q ? [[q[0], q[4]], [q[1], q[3]]] : [], guides: panel.guide ? [panel.guide] : [] }));
  });
  const extent = (values, format) => [Math.min, Math.max].map((most) => format(most(...values.flat().filter(known)))).join(" to ");
  const maps = data.heat.map(({ title: name, key, rounds, names, rows: values }) => {
    const format = key === "weight" ? share : fraction;
    return figure(name,
      `${names.length < data.devices ? `${names.length} of ${whole(data.devices)} devices, evenly from the most weight to the least` : "The device with the most weight first"}; the darker, the more, from ${extent(values, format)}${values.flat().some((value) => value < 0) ? "; orange: against the fleet" : ""}.`,
      heat(`${name}, by round and device`, rounds, names, values, { format }));
  });
  const words = note("Query loss is measured on samples that the round did not train on.", data.lone ? "" : " Alignment is the cosine between a device's update and the fleet's direction; the paper weighs a device by both.",
    data.panels.some((panel) => panel.spread) ? " The darker band has half of the devices, the lighter nine tenths." : "");
  return [maps.length && section("Who helped", h("div", { class: "pair" }, maps)), panels.length && section("Round by round", h("div", { class: "grid" }, panels), words)];
}

function others() {
  const found = [];
  if (data.missed.length) {
    found.push(section("Answers that could not be used", small(["Devices", "", "Answers", "Why"], data.missed.map(([kind, reason, answers, devices, names]) =>
      [devices > names.length ? `${listing(names, 3)} and others: ${whole(devices)}` : listing(names), WORDS[kind], whole(answers), reason]), { words: [1, 3] })));
  }
  if (data.confusion.length) {
    found.push(section("Which kind", confusion(data.confusion), note("All test samples of the fleet. A sample that raises no alarm is called the likeliest normal class, one that does the likeliest fault. Mean accuracy over the classes: ", percent(data.means.class_accuracy), "; macro-F1, the mean of the F1 of every class, however rare: ", decimal(data.means.macro_f1), ".")));
  }
  if (data.ladder.length) {
    found.push(section("What the size costs", small(["Model", "Bytes, mean", "Difference, mean", "Validation accuracy, mean", "Chosen for"], data.ladder.map(([name, bytes, difference, part, shipped]) =>
      [name, whole(bytes), fraction(difference), share(part), plural(shipped, "device")])),
    note(`The recipe asks for models of at most ${whole(data.settings.max_bytes)} bytes. Of those that fit, a device gets the one whose scores differ least from its personal model's, on inputs like its own and without labels; of several alike, the quickest. “Difference” is the root of the mean square, of scores from 0 to 1. The accuracy is that on the few validation samples, on which the threshold is chosen, too: chance says which of two good models is ahead there.`)));
  }
  if (data.gaps.length) {
    found.push(section("Missing values", small(["Feature", "Devices", "Missing", "What the cells say"], data.gaps.map(([feature, devices, number, words]) => [feature, whole(devices), whole(number), words]), { words: [3] }),
      note("What is done about them says missing_values in the recipe, and the device does the same to a new sample; it never calls one normal that lacks a value, though the accuracies here judge it by its score.")));
  }
  return found;
}

function start() {
  const pictures = distributions();
  mount("pictures", pictures.length && section("The fleet at a glance", h("div", { class: "grid" }, pictures)));
  mount("fleet", section(many ? "The fleet" : "The device", fleetTable()));
  mount("more", learning(), others());
  mount("manifest", facts(data.manifest));
  document.querySelectorAll("button[data-device]").forEach((button) => button.addEventListener("click", () => show(button.dataset.device)));
  addEventListener("beforeprint", () => document.querySelectorAll("details.finding").forEach((each) => { each.open = true; }));
  startDialog();
}
start();
