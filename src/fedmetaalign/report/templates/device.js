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
  3: "better than alone", [-3]: "worse than alone",
  [-1]: "worse than alone, may be chance", [-2]: "worse than alone, more than chance",
};
const standing = (i) => known(of(i, "standing")) ? STANDING[of(i, "standing")] : null;
const titles = new Map(data.stages);
const tenth = (value) => known(value) ? value / 10 : null;
const byStage = { low: -0.3, high: stages.length - 0.7, at: stages.map((_, n) => n),
  marks: stages.map((stage, n) => [n, titles.get(stage)]) };
const BASELINES = [["alone", "alone"], ["one rule", "one_rule"], ["majority", "majority"]];
const baselines = (read) => BASELINES.map(([name, key]) => [name, tenth(read(key))]).filter((each) => known(each[1]));
const PHASES = ["Foundation", "Serial", "Parallel", "Personalized"];
const KEYS = { query_loss: "query loss", support_loss: "training loss", alignment: "alignment", weight: "weight" };

const dialog = h("dialog", { "aria-labelledby": "device-name" });

// Opens a device; its name stands in the address, so that it can be linked to and gone back from.
function show(name) {
  location.hash = `device=${encodeURIComponent(name)}`;
}

function opened() {
  const place = placed.get(asked());
  if (place === undefined) return dialog.close();
  const pressed = dialog.open && document.activeElement.textContent;
  dialog.replaceChildren(...devicePage(place));
  if (!dialog.open) dialog.showModal();
  // Who goes from device to device with the keyboard stays on the same button.
  for (const button of dialog.querySelectorAll("nav button")) if (button.textContent === pressed) button.focus();
  dialog.scrollTop = 0;
}

// The device that the address asks for.
function asked() {
  const [, name] = location.hash.match(/^#device=(.*)$/) || [];
  try {
    return decodeURIComponent(name);
  } catch {
    return undefined;  // not one of our links
  }
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
  const step = (to, text) => h("button",
    { type: "button", disabled: !known(of(to, "name")), click: () => show(of(to, "name")) }, text);
  return [
    h("header", {}, h("h2", { id: "device-name", tabindex: "-1", autofocus: true }, name),
      h("nav", { "aria-label": "Devices" }, step(i - 1, "Previous"), step(i + 1, "Next"),
        h("button", { type: "button", class: "close", click: () => dialog.close() }, "Close"))),
    h("p", { class: "headline" }, advice(i)),
    warnings(i, some),
    found ? null : h("p", { class: "note" }, "To stay small, this page has the table's numbers of this device alone. ",
      h("code", {}, `fedmetaalign report ${data.run} --device ${name}`), " makes it again with all of them."),
    h("div", { class: "cards" }, stagesOf(i), curveOf(i, some), countsOf(i, some), gave(i, some), threshold(i, some)),
    some.stages && metricsOf(i, some),
    some.rounds && history_(some), some.missed && missedOf(some.missed),
    some.time && timeOf(some), some.drift && driftOf(some), some.ladder && ladderOf(some.ladder),
    bundleOf(i, some),
  ].filter(Boolean);
}

const UNJUDGED = {
  normal: "Judge this model by its false alarms alone: the device has no fault to test it on.",
  faulty: "Judge this model by the faults it finds alone: the device has no normal sample to test it on.",
  nothing: "Nothing can be said of this model: the device has no labels.",
};

// What to do with this device's model, in a sentence.
function advice(i) {
  const test = of(i, "test"), judged = UNJUDGED[of(i, "known")];
  if (of(i, "unfit")) return `Do not deploy this model: ${of(i, "unfit")}.`;
  if (judged) return judged;
  if (!test || !known(accuracy(i))) return "Nothing was measured on this device.";
  const start = data.against ? "The fleet's models are not to be deployed; this one" : "Nothing forbids this model: it";
  const beside = standing(i) ? `, ${standing(i)}` : "";
  return `${start} is right on ${percent(accuracy(i))} of ${plural(test, "test sample")}${beside}.`;
}

function warnings(i, some) {
  const texts = new Map(some.findings || []), marks = of(i, "marks") || [];
  const words = (mark) => [h("b", {}, data.findings[mark][1]), texts.has(mark) ? `: ${texts.get(mark)}` : ""];
  return marks.length ? h("ul", { class: "marks" }, marks.map((mark) => h("li", {}, words(mark)))) : null;
}

function stagesOf(i) {
  const name = of(i, "name");
  if (of(i, "known") || stages.filter((stage) => known(of(i, stage))).length < 2) return null;
  const fleet = { name: "mean of the fleet", values: stages.map((stage) => tenth(data.means[stage])) };
  const own = { name, class: "strong", values: stages.map((stage) => tenth(of(i, stage))) };
  return figure("After each stage", `Test accuracy${data.lone ? "" : "; the thin line is the fleet's mean"}.`,
    lines(`Test accuracy of ${name} after each stage`, byStage, "accuracy in %", data.lone ? [own] : [fleet, own],
      { guides: baselines((key) => of(i, key)), values: true }));
}

function curveOf(i, some) {
  if (!some.curve) return null;
  const [recall, precision] = [of(i, "recall"), of(i, "precision")];
  const { svg, X, Y } = chart(`Precision and recall of ${of(i, "name")} at several thresholds`,
    { low: 0, high: 102, title: "faults found in %" }, { low: 0, high: 102, title: "alarms that are right in %" });
  svg.append(s("path", { class: "line strong", d: path(some.curve.map(([x, y]) => [X(100 * x), Y(100 * y)])) }));
  if (known(recall) && known(precision)) {
    const dot = s("circle", { class: "point strong", cx: X(recall / 10), cy: Y(precision / 10), r: 5 });
    svg.append(titled("its threshold", dot));
  }
  return figure("Choice of the threshold",
    `On the test samples; the dot is its threshold, ${decimal(of(i, "threshold"))}.`, svg);
}

function countsOf(i, some) {
  if (some.confusion) return figure("Which kind is called which", "Test samples.", confusion(some.confusion));
  const counts = of(i, "counts");
  if (!counts) return null;
  const [found, lost, alarms, quiet] = counts;
  const caption = `${whole(found)} of ${plural(found + lost, "fault")} found;`
    + ` ${plural(alarms, "false alarm")} among ${plural(alarms + quiet, "normal sample")}.`;
  return figure("Faults and alarms", caption, confusion([
    ["fault", [], [found, lost], ratio(found, lost)],
    ["normal", [], [alarms, quiet], ratio(quiet, alarms)],
  ]));
}

const ratio = (part, rest) => part + rest ? part / (part + rest) : null;

const METRIC = {
  accuracy: ["Accuracy", share], f1: ["F1", fraction], precision: ["Precision", share], recall: ["Recall", share],
  balanced_accuracy: ["Balanced accuracy", share], mcc: ["MCC", fraction], pr_auc: ["PR-AUC", fraction],
  brier: ["Brier", fraction], class_accuracy: ["Called their class", share], macro_f1: ["Macro-F1", fraction],
};

function metricsOf(i, some) {
  const judged = Object.entries(some.stages).map(([stage, values]) => [titles.get(stage), values]);
  const final = judged.length - 1;
  if (some.alone) judged.push([data.lone ? "Plain training" : "Alone", some.alone]);
  if (!judged.some(([, values]) => values.some(known))) return null;
  const [low, high] = some.bounds || [];
  const bounds = known(low) ? ` The last accuracy is ${share(low)} to ${share(high)} with 95 % confidence (Wilson).` : "";
  const cells = ([title, values]) => [title, ...values.map((value, n) => METRIC[some.metrics[n]][1](value))];
  return h("section", {}, h("h3", {}, "Every metric"),
    small(["Stage", ...some.metrics.map((key) => METRIC[key][0])], judged.map(cells), { strong: (row) => row === final }),
    note(`On test samples.${bounds} ${calibration(i)} “${NONE}”: the value does not exist, or was not measured.`));
}

// How far the scores can be taken for probabilities.
function calibration(i) {
  const brier = of(i, "brier"), majority = of(i, "majority");
  if (!known(brier)) return "";
  const always = fraction(majority / 1000 * (1 - majority / 1000));
  const beside = known(majority) ? `; who always says the share of faults has ${always}` : "";
  return `Calibration: a Brier score of ${decimal(brier)}, where 0 is best${beside}.`;
}

// A list of "name: value" to which one adds.
function listed() {
  const list = h("dl");
  return [list, (name, ...value) => list.append(h("dt", {}, name), h("dd", {}, ...value))];
}

function gave(i, some) {
  const [list, add] = listed(), test = of(i, "test"), gain = of(i, "gain"), group = of(i, "group");
  if (known(gain)) {
    const more = Math.round(gain * test / 1000), which = more > 0 ? "more" : "fewer";
    add(`Gain over ${alone}`, `${signed(gain)} points, ${standing(i)}`);
    if (test) add("In test samples", `${more ? `${Math.abs(more)} of ${whole(test)} ${which}` : "none more or fewer"} right`);
    if (known(of(i, "luck"))) add("By chance up to", `±${THIN}${(of(i, "luck") / 10).toFixed(1)} points (McNemar)`);
  }
  if (known(of(i, "learnt"))) add("Learnt from", data.learnt[of(i, "learnt")]);
  if (some.estimates) {
    const errors = Object.entries(some.estimates).map(([name, value]) => `${name} ${fraction(value)}`);
    add("Error of its teachers", `${errors.join(", ")} (Brier, on samples that they have not seen)`);
  }
  if (known(group)) {
    const peers = rows.filter((j) => j !== i && of(j, "group") === group).map((j) => of(j, "name"));
    add("Group", `${group}, ${peers.length ? `with ${listing(peers, 8)}` : "by itself"}`);
  }
  add("Samples", `${whole(of(i, "train"))} to train on, ${whole(test)} to test on`);
  if (known(of(i, "majority"))) add("Always the majority class", percent(of(i, "majority")));
  if (known(of(i, "one_rule"))) add("Best single rule", percent(of(i, "one_rule")), some.rule ? ` (${some.rule})` : "");
  if (some.novelty) add("Most unlike the fleet", `${some.novelty.feature} (${fraction(some.novelty.distance)} of 1)`);
  return figure(data.lone ? "What training gave it" : "What the fleet gave it", "", list);
}

function threshold(i, some) {
  const { threshold: method = "f1", beta = 1 } = data.settings, [list, add] = listed();
  const { sure, few, false_alarms: alarms, note: why } = some;
  const best = sure ? `: ${fraction(sure.f1)} [${fraction(sure.f1_low)}, ${fraction(sure.f1_high)}]` : "";
  add("Threshold", decimal(of(i, "threshold")), sure ? ` [${fraction(sure.low)}, ${fraction(sure.high)}]` : "");
  if (why) add("How it was chosen", why);
  else if (sure || method === "f1") add("How it was chosen", `greatest F${beta} on its samples${best}`);
  else if (known(of(i, "threshold"))) add("How it was chosen", `by the recipe: ${method}`);
  if (alarms) {
    add("False alarms", `${share(alarms.share)} of ${plural(alarms.samples, "normal sample")}`
      + ` [${share(alarms.low)}, ${share(alarms.high)}]; ${share(alarms.allowed)} are allowed`);
  }
  if (few) add("Faults", `${few.found} of ${few.faults} found, which is ${share(few.low)} to ${share(few.high)} of all`);
  add("Model", `${whole(of(i, "bytes"))} bytes`);
  add("Bundle", known(of(i, "digest")) ? h("code", {}, some.digest || `${of(i, "digest")}\u2026`) : NONE);
  if (some.found) add("In its folder", h("code", {}, some.found), ", another one: copy it again, or run again");
  return figure("What it runs", "", list);
}

function history_(some) {
  const drawn = some.rounds.filter(([, , points]) => points.length > 1 && points.some(([, value]) => value));
  const pictures = drawn.map(([phase, key, points]) => {
    const title = `${PHASES[phase] || phase}: ${KEYS[key]}`, at = points.map(([round]) => round);
    const line = { name: title, class: "strong", values: points.map(([, value]) => value) };
    return figure(title, "", lines(title, { low: at[0], high: at.at(-1), title: "round", at }, "", [line]));
  });
  return pictures.length && h("section", {}, h("h3", {}, "Round by round"), h("div", { class: "grid" }, pictures));
}

const WORDS = { absent: "no answer", rejected: "rejected", late: "too late" };

function missedOf(missed) {
  const cells = ([phase, round, kind, reason]) => [`${PHASES[phase] || phase} ${round}`, WORDS[kind], reason];
  return h("section", {}, h("h3", {}, "Answers that could not be used"),
    small(["Round", "What happened", "Why"], missed.slice(0, 50).map(cells), { words: [1, 2] }),
    missed.length > 50 && note(`The first 50 of ${missed.length}.`));
}

function timeOf(some) {
  const cells = ([start, end, samples, faults, alarms, part]) =>
    [start, end, whole(samples), whole(faults), whole(alarms), share(part)];
  return h("section", {}, h("h3", {}, "As time went on"),
    small(["From", "To", "Samples", "Faults", "Alarms", "Accuracy"], some.time.map(cells), { words: [1] }));
}

function driftOf(some) {
  const means = said((value) => value.toFixed(2)), left = some.inputs - some.drift.length;
  const cells = ([feature, index, probability, by, large]) =>
    [feature, index.toFixed(2), means(by), probability.toFixed(4), large ? "drifted" : ""];
  return h("section", {}, h("h3", {}, "Drift of its inputs"),
    small(["Input", "PSI", "Mean, in standard deviations", "p", "Verdict"], some.drift.map(cells), { strong: (row) => some.drift[row][4] }),
    note("PSI is the population stability index of the test samples against the training samples, over eighths of these; above "
      + "0.25 it is usually called a large change. p is the probability that chance makes so large a difference (Kolmogorov and "
      + "Smirnov's test, times the number of inputs); neighbours in time are often alike, and then it is too small.",
    left ? ` ${left} more inputs have a smaller index.` : ""));
}

function ladderOf(ladder) {
  const limit = data.settings.max_bytes;
  const cells = ([title, bytes, difference, part, shipped]) => [title, whole(bytes), fraction(difference), share(part),
    shipped ? "chosen" : limit && bytes > limit ? "too large" : ""];
  return h("section", {}, h("h3", {}, "What the size costs"),
    small(["Model", "Bytes", "Difference", "Validation accuracy", "Choice"], ladder.map(cells), { strong: (row) => ladder[row][4] }));
}

function bundleOf(i, some) {
  if (!some.bundle) return null;
  const { inputs, encoded, width, zeros, files, ...others } = some.bundle;
  const prepared = encoded
    ? "Input = the normal score of the value's rank, by the curve in bundle.json: 0 at the mean, which is here a median, "
      + "and one more for each scale, on average."
    : "Input = (value \u2212 mean) / scale.";
  const unused = zeros ? ` Of the network's ${width} inputs ${zeros} ${zeros === 1 ? "is" : "are"} always 0.` : "";
  const file = ([name, size, digest]) => [name, Number.isInteger(size) ? whole(size) : fact(size), h("code", {}, fact(digest))];
  return h("details", { class: "bundle" }, h("summary", {}, "What is in the bundle"), facts(others),
    inputs && small(["Feature", "Unit", "Mean", "Scale", "Network input", "Texts for 0, 1, ..."],
      inputs.map((row) => row.map(fact)), { words: [1, 5] }),
    inputs && note(prepared, unused),
    files && small(["File", "Bytes", "sha256"], files.map(file), { words: [2] }));
}
