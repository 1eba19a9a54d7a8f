// One device, on demand, in a dialog of its own: what the table has of it, and the details where the page has them.
const rows = data.columns.name.map((_, i) => i);
const placed = new Map(data.columns.name.map((name, i) => [name, i]));
const of = (i, key) => data.columns[key] ? data.columns[key][i] : null;
const stages = data.stages.map(([stage]) => stage).filter((stage) => data.columns[stage]);
const last = stages.at(-1);
const accuracy = (i) => of(i, "known") ? null : stages.map((stage) => of(i, stage)).filter(known).at(-1) ?? null;
const alone = data.lone ? "plain training" : "training alone";
const STANDING = {
  0: "as good as alone", 1: "better than alone, may be chance", 2: "better than alone, more than chance",
  [-1]: "worse than alone, may be chance", [-2]: "worse than alone, more than chance",
};
const standing = (i) => known(of(i, "standing")) ? STANDING[of(i, "standing")] : null;
const PHASES = ["Foundation", "Serial", "Parallel", "Personalized"];
const KEYS = { query_loss: "query loss", support_loss: "training loss", alignment: "alignment", weight: "weight" };

const dialog = h("dialog", { "aria-labelledby": "device-name" });

// Opens a device; its name stands in the address, so that it can be linked to and gone back from.
function show(name) {
  location.hash = `device=${encodeURIComponent(name)}`;
}

function opened() {
  const [, name] = location.hash.match(/^#device=(.*)$/) || [];
  const place = known(name) ? placed.get(decodeURIComponent(name)) : undefined;
  if (place === undefined) return dialog.close();
  dialog.replaceChildren(...devicePage(place));
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
}

function startDialog() {
  document.body.append(dialog);
  dialog.addEventListener("close", () => history.replaceState(null, "", "#"));
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  addEventListener("hashchange", opened);
  opened();
}

function devicePage(i) {
  const name = of(i, "name"), found = data.details[i], some = found || {};
  const step = (to, text) => h("button", { type: "button", disabled: !known(of(to, "name")), click: () => show(of(to, "name")) }, text);
  return [
    h("header", {}, h("h2", { id: "device-name" }, name),
      h("nav", { "aria-label": "Devices" }, step(i - 1, "Previous"), step(i + 1, "Next"),
        h("button", { type: "button", class: "close", click: () => dialog.close() }, "Close"))),
    h("p", { class: "headline" }, advice(i)),
    warnings(i, some),
    found ? null : h("p", { class: "note" }, "To stay small, this page has the table's numbers of this device alone. ",
      h("code", {}, `fedmetaalign report ${data.run} --device ${name}`), " makes it again with all of them."),
    h("div", { class: "cards" }, stagesOf(i), gave(i, some), curveOf(i, some), countsOf(i, some), threshold(i, some)),
    some.stages && metricsOf(i, some),
    some.rounds && history_(some), some.missed && missedOf(some.missed),
    some.time && timeOf(some), some.drift && driftOf(some), some.ladder && ladderOf(some.ladder),
    bundleOf(i, some),
  ].filter(Boolean);
}

// What to do with this device's model, in a sentence.
function advice(i) {
  const test = of(i, "test"), right = test && known(accuracy(i)) ? `right on ${percent(accuracy(i))} of ${plural(test, "test sample")}` : null;
  if (of(i, "unfit")) return `Do not deploy this model: ${of(i, "unfit")}.`;
  if (of(i, "known") === "normal") return "Judge this model by its false alarms alone: the device has no fault to test it on.";
  if (of(i, "known") === "faulty") return "Judge this model by the faults it finds alone: the device has no normal sample to test it on.";
  if (of(i, "known")) return "Nothing can be said of this model: the device has no labels.";
  if (!right) return "Nothing was measured on this device.";
  return `Nothing forbids this model: it is ${right}${standing(i) ? `, ${standing(i)}` : ""}.`;
}

function warnings(i, some) {
  const texts = new Map(some.findings || []), marks = of(i, "marks") || [];
  return marks.length ? h("ul", { class: "marks" }, marks.map((mark) => h("li", {}, h("b", {}, data.findings[mark][1]),
    texts.has(mark) ? `: ${texts.get(mark)}` : ""))) : null;
}

function stagesOf(i) {
  const at = stages.filter((stage) => known(of(i, stage)));
  if (at.length < 2 || of(i, "known")) return null;
  const x = { low: -0.3, high: stages.length - 0.7, at: stages.map((_, n) => n), marks: data.stages.filter(([stage]) => stages.includes(stage)).map(([, title], n) => [n, title]) };
  const tenth = (value) => known(value) ? value / 10 : null;
  const guides = [["alone", of(i, "alone")], ["one rule", of(i, "one_rule")], ["majority", of(i, "majority")]].filter((each) => known(each[1])).map(([label, value]) => [label, value / 10]);
  const fleet = data.lone ? [] : [{ name: "mean of the fleet", values: stages.map((stage) => tenth(data.means[stage])) }];
  return figure("After each stage", data.lone ? "Test accuracy." : "Test accuracy; the thin line is the fleet's mean.", lines(`Test accuracy of ${of(i, "name")} after each stage`, x, "accuracy in %",
    [...fleet, { name: of(i, "name"), class: "strong", values: stages.map((stage) => tenth(of(i, stage))) }], { guides, values: true }));
}

function curveOf(i, some) {
  if (!some.curve) return null;
  const { svg, X, Y } = chart(`Precision and recall of ${of(i, "name")} at several thresholds`, { low: 0, high: 102, title: "faults found in %" }, { low: 0, high: 102, title: "alarms that are right in %" });
  svg.append(s("path", { class: "line strong", d: path(some.curve.map(([recall, precision]) => [X(100 * recall), Y(100 * precision)])) }));
  const at = [of(i, "recall"), of(i, "precision")];
  if (at.every(known)) svg.append(titled("its threshold", s("circle", { class: "point strong", cx: X(at[0] / 10), cy: Y(at[1] / 10), r: 5 })));
  return figure("Choice of the threshold", `On the test samples; the dot is its threshold, ${decimal(of(i, "threshold"))}.`, svg);
}

function countsOf(i, some) {
  if (some.confusion) return figure("Which kind is called which", "Test samples.", confusion(some.confusion));
  const counts = of(i, "counts");
  if (!counts) return null;
  const [found, lost, alarms, quiet] = counts;
  return figure("Faults and alarms", `${whole(found)} of ${plural(found + lost, "fault")} found; ${plural(alarms, "false alarm")} among ${plural(alarms + quiet, "normal sample")}.`,
    confusion([["fault", [], [found, lost], ratio(found, lost)], ["normal", [], [alarms, quiet], ratio(quiet, alarms)]]));
}

const ratio = (part, rest) => part + rest ? part / (part + rest) : null;

const METRIC = { accuracy: ["Accuracy", share], f1: ["F1", fraction], precision: ["Precision", share], recall: ["Recall", share],
  balanced_accuracy: ["Balanced accuracy", share], mcc: ["MCC", fraction], pr_auc: ["PR-AUC", fraction], brier: ["Brier", fraction],
  class_accuracy: ["Called their class", share], macro_f1: ["Macro-F1", fraction] };

function metricsOf(i, some) {
  const titles = new Map(data.stages), judged = [...Object.entries(some.stages).map(([stage, values]) => [titles.get(stage), values]),
    ...(some.alone ? [[data.lone ? "Plain training" : "Alone", some.alone]] : [])].filter(([, values]) => values.some(known));
  if (!judged.length) return null;
  const bounds = some.bounds ? ` The last accuracy is ${share(some.bounds[0])} to ${share(some.bounds[1])} with 95 % confidence (Wilson).` : "";
  return h("section", {}, h("h3", {}, "Every metric"), small(["", ...some.metrics.map((key) => METRIC[key][0])],
    judged.map(([title, values]) => [title, ...values.map((value, n) => METRIC[some.metrics[n]][1](value))]), { strong: (row) => row === Object.keys(some.stages).length - 1 }),
  note(`On test samples.${bounds} ${calibration(i, some)}`));
}

// How far the scores can be taken for probabilities.
function calibration(i, some) {
  const brier = of(i, "brier"), majority = of(i, "majority");
  if (!known(brier)) return "";
  const known_ = known(majority) ? `; who always says the share of faults has ${fraction(majority / 1000 * (1 - majority / 1000))}` : "";
  return `Calibration: a Brier score of ${decimal(brier)}, where 0 is best${known_}. “${NONE}”: the value does not exist, or was not measured.`;
}

function gave(i, some) {
  const rowsOf = [], add = (name, ...value) => rowsOf.push([h("dt", {}, name), h("dd", {}, ...value)]);
  if (known(of(i, "gain"))) {
    const test = of(i, "test"), more = Math.round(of(i, "gain") * test / 1000);
    add("Gain over " + alone, `${signed(of(i, "gain"))} points, ${standing(i)}`);
    if (test) add("In test samples", more ? `${Math.abs(more)} of ${whole(test)} ${more > 0 ? "more" : "fewer"} right` : "none more or fewer right");
    if (known(of(i, "luck"))) add("By chance up to", `±${THIN}${(of(i, "luck") / 10).toFixed(1)} points (McNemar)`);
  }
  if (known(of(i, "learnt"))) add("Learnt from", data.learnt[of(i, "learnt")]);
  if (some.estimates) add("Error of its teachers", Object.entries(some.estimates).map(([name, value]) => `${name} ${fraction(value)}`).join(", "), " (Brier, on samples that they have not seen)");
  if (known(of(i, "group"))) {
    const peers = rows.filter((j) => j !== i && of(j, "group") === of(i, "group")).map((j) => of(j, "name"));
    add("Group", `${of(i, "group")}${peers.length ? `, with ${listing(peers, 8)}` : ", by itself"}`);
  }
  add("Samples", `${whole(of(i, "train"))} to train on, ${whole(of(i, "test"))} to test on`);
  if (known(of(i, "majority"))) add("Always the majority class", percent(of(i, "majority")));
  if (known(of(i, "one_rule"))) add("Best single rule", percent(of(i, "one_rule")), some.rule ? ` (${some.rule})` : "");
  if (some.novelty) add("Most unlike the fleet", `${some.novelty.feature} (${fraction(some.novelty.distance)} of 1)`);
  return figure(data.lone ? "What training gave it" : "What the fleet gave it", "", h("dl", {}, rowsOf));
}

function threshold(i, some) {
  const { threshold: method = "f1", beta = 1 } = data.settings, rowsOf = [], add = (name, ...value) => rowsOf.push([h("dt", {}, name), h("dd", {}, ...value)]);
  add("Threshold", decimal(of(i, "threshold")), some.sure ? ` [${fraction(some.sure.low)}, ${fraction(some.sure.high)}]` : "");
  if (some.note) add("How it was chosen", some.note);
  else if (some.sure) add("How it was chosen", `greatest F${beta} on its samples: ${fraction(some.sure.f1)} [${fraction(some.sure.f1_low)}, ${fraction(some.sure.f1_high)}]`);
  else if (known(of(i, "threshold"))) add("How it was chosen", method === "f1" ? `greatest F${beta} on its samples` : `by the recipe: ${method}`);
  if (some.false_alarms) {
    const { share: part, low, high, allowed, samples } = some.false_alarms;
    add("False alarms", `${share(part)} of ${plural(samples, "normal sample")} [${share(low)}, ${share(high)}]; ${share(allowed)} are allowed`);
  }
  if (some.few) add("Faults", `${some.few.found} of ${some.few.faults} found, which is ${share(some.few.low)} to ${share(some.few.high)} of all`);
  add("Model", `${whole(of(i, "bytes"))} bytes`);
  add("Bundle", known(of(i, "digest")) ? h("code", {}, some.digest || `${of(i, "digest")}\u2026`) : NONE);
  return figure("What it runs", "", h("dl", {}, rowsOf));
}

function history_(some) {
  const drawn = some.rounds.filter(([, , points]) => points.length > 1 && points.some(([, value]) => value));
  if (!drawn.length) return null;
  return h("section", {}, h("h3", {}, "Round by round"), h("div", { class: "grid" }, drawn.map(([phase, key, points]) => {
    const title = `${PHASES[phase] || phase}: ${KEYS[key]}`, numbers = points.map(([round]) => round);
    const x = { low: numbers[0], high: numbers.at(-1), title: "round", at: numbers };
    return figure(title, "", lines(title, x, "", [{ name: title, class: "strong", values: points.map(([, value]) => value) }]));
  })));
}

const WORDS = { absent: "no answer", rejected: "rejected", late: "too late" };

function missedOf(missed) {
  return h("section", {}, h("h3", {}, "Answers that could not be used"), small(["Round", "", "Why"],
    missed.slice(0, 50).map(([phase, round, kind, reason]) => [`${PHASES[phase] || phase} ${round}`, WORDS[kind], reason]), { words: [1, 2] }),
  missed.length > 50 && note(`The first 50 of ${missed.length}.`));
}

function timeOf(some) {
  const spans = some.time.map(([start, end, samples, faults, alarms, part]) => [start, end, whole(samples), whole(faults), whole(alarms), share(part)]);
  return h("section", {}, h("h3", {}, "As time went on"), small(["From", "To", "Samples", "Faults", "Alarms", "Accuracy"], spans, { words: [1] }));
}

function driftOf(some) {
  const inputs = some.drift.map(([feature, index, probability, means, large]) => [feature, index.toFixed(2), said((value) => value.toFixed(2))(means), probability.toFixed(4), large ? "drifted" : ""]);
  return h("section", {}, h("h3", {}, "Drift of its inputs"), small(["Input", "PSI", "Mean, in standard deviations", "p", ""], inputs, { strong: (row) => some.drift[row][4] }),
    some.inputs > some.drift.length && note(`The ${some.drift.length} with the largest index of ${some.inputs}.`));
}

function ladderOf(ladder) {
  const limit = data.settings.max_bytes;
  return h("section", {}, h("h3", {}, "What the size costs"), small(["Model", "Bytes", "Difference", "Validation accuracy", ""],
    ladder.map(([title, bytes, difference, part, shipped]) => [title, whole(bytes), fraction(difference), share(part), shipped ? "chosen" : limit && bytes > limit ? "too large" : ""]),
    { strong: (row) => ladder[row][4] }));
}

function bundleOf(i, some) {
  if (!some.bundle) return null;
  const { inputs, encoded, width, zeros, files, ...others } = some.bundle;
  const scaled = inputs && [small(["Feature", "Unit", "Mean", "Scale", "Network input", "Texts for 0, 1, ..."],
    inputs.map((row) => row.map(fact)), { words: [1, 5] }), note(encoded
    ? "Input = the normal score of the value's rank, by the curve in bundle.json: 0 at the mean, which is here a median, and one more for each scale, on average."
    : "Input = (value \u2212 mean) / scale.", zeros ? ` Of the network's ${width} inputs ${zeros} ${zeros === 1 ? "is" : "are"} always 0.` : "")];
  return h("details", { class: "bundle" }, h("summary", {}, "What is in the bundle"), facts(others), scaled,
    files && small(["File", "Bytes", "sha256"], files.map(([name, size, digest]) => [name, typeof size === "number" ? whole(size) : fact(size), h("code", {}, fact(digest))]), { words: [2] }));
}
