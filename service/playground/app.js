// One page, no build step. Whatever comes from a text, a label or a file is put in as text, never as HTML.

const WAIT_MS = 350; // after the last key
const LABELS_SHOWN = 8; // at first; the others on demand
const LABELS_MOST = 1000;
const NGRAMS = 500;
const SPOKEN_SHARE = 0.25; // of a table, after which a screen reader is told how far it is

const $ = (id) => document.getElementById(id);
let models = [];
let asked = 0;

const element = (name, attributes = {}, ...children) => {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
};
const counted = (count) => `${count.toLocaleString()} ${count === 1 ? "row" : "rows"}`;
const percent = (share) => `${(100 * share).toFixed(1)} %`;
const say = (place, message, failed = false) => {
  $(place).textContent = message;
  $(place).className = failed ? "error" : "";
};

async function ask(path, body) {
  const headers = { "content-type": "application/json" };
  const key = $("key").value.trim();
  if (key) headers.authorization = `Bearer ${key}`;
  for (let attempt = 0; ; attempt++) {
    let response;
    try {
      response = await fetch(path, body ? { method: "POST", headers, body: JSON.stringify(body) } : { headers });
    } catch {
      throw new Error("The service does not answer. It may have been stopped, or the connection is broken.");
    }
    if (response.status === 429 && attempt < 5) {
      await new Promise((done) => setTimeout(done, 1000 * Number(response.headers.get("retry-after") || 1)));
      continue;
    }
    const content = await response.json();
    if (response.ok) return content;
    if (response.status !== 401) throw new Error(content.error.message);
    $("access").open = true;
    throw new Error(key ? "The service does not take this key." : "The service asks for a key; give it above.");
  }
}

const nameOf = (model) => `${model.name}/${model.version}`;
const chosen = () => models.find((model) => nameOf(model) === $("first").value);
const textsTogether = () => chosen()?.texts_per_record ?? 1;
const textFields = () => [...$("texts").querySelectorAll("textarea")];

// As many fields as the model reads texts together, and the models to compare with that read as many.
function fitToModel() {
  const count = textsTogether(), fields = textFields();
  for (let number = fields.length + 1; number <= count; number++) {
    const field = element("textarea", { id: `text-${number}`, rows: 4, dir: "auto", placeholder: "Type or paste a text" });
    $("texts").append(element("div", {}, element("label", { for: field.id }), field));
  }
  for (const field of fields.slice(count)) field.parentElement.remove();
  textFields().forEach((field, at) => { field.labels[0].textContent = count === 1 ? "Text" : `Text ${at + 1}`; });
  const second = $("second").value;
  const fitting = models.filter((model) => model.texts_per_record === count);
  $("second").replaceChildren(element("option", { value: "" }, "nothing"), ...options(fitting));
  if (fitting.some((model) => nameOf(model) === second)) $("second").value = second;
  if (table && $("stop").hidden) showColumns();
}

const options = (some) => some.map((model) => {
  const aliases = model.aliases.length ? ` (${model.aliases.join(", ")})` : "";
  return element("option", { value: nameOf(model) }, nameOf(model) + aliases);
});

async function loadModels() {
  try {
    const answer = await ask("/v1/models");
    models = answer.models;
    $("first").replaceChildren(...options(models));
    const live = models.find((model) => model.name === answer.default && model.aliases.includes("live"));
    if (live) $("first").value = nameOf(live);
    fitToModel();
    say("status", models.length ? "" : "The model is still loading.");
    if (!models.length) setTimeout(loadModels, 1000);
    else classify(); // of what was typed, or came back with the page, before
  } catch (error) {
    say("status", error.message, true);
  }
}

async function classify() {
  const texts = textFields().map((field) => field.value);
  const number = ++asked;
  if (!models.length) return; // it is called again when they are known
  if (!texts.some(Boolean)) {
    $("results").replaceChildren();
    say("status", "");
    return;
  }
  try {
    const names = [$("first").value, $("second").value].filter(Boolean);
    const cards = await Promise.all(names.map((name) => card(name, texts)));
    if (number !== asked) return; // a later text is on its way
    $("results").replaceChildren(...cards.map((made) => made.article));
    say("status", cards.map((made) => made.summary).join("; "));
  } catch (error) {
    if (number !== asked) return;
    $("results").replaceChildren(); // they are of another text
    say("status", error.message, true);
  }
}

async function card(name, texts) {
  const model = models.find((one) => nameOf(one) === name);
  const text = texts.length === 1 ? texts[0] : texts;
  const [found, why] = await Promise.all([
    ask("/v1/classify", { text, model: name, top_k: Math.min(LABELS_MOST, model.labels.length) }),
    ask("/v1/explain", { text, model: name, top_n: NGRAMS }),
  ]);
  const prediction = found.predictions[0];
  const reasons = element("div", { "aria-live": "polite" }, ...shown(texts, why.explanations[0]));
  const explain = async (label, button) => {
    try {
      const other = await ask("/v1/explain", { text, model: name, label, top_n: NGRAMS });
      reasons.replaceChildren(...shown(texts, other.explanations[0]));
      for (const one of article.querySelectorAll("th button")) one.setAttribute("aria-pressed", String(one === button));
    } catch (error) {
      say("status", error.message, true);
    }
  };
  const parts = prediction.tasks ? Object.entries(prediction.tasks) : [["", prediction]];
  const tables = parts.map(([task, part]) => scores(task, part, explain, why.explanations[0].label));
  const article = element("article", { "aria-label": name }, element("h2", {}, name), ...tables, reasons);
  const summary = parts.map(([task, part]) => (task && `${task}: `) + answer(part)).join(", ");
  return { article, summary: `${name}: ${summary}` };
}

function answer(prediction) {
  if (prediction.labels) return prediction.labels.map((score) => score.label).join(" and ") || "no label";
  if (prediction.label === null) return `no answer, best is ${prediction.top[0].label} with ${percent(prediction.probability)}`;
  return `${prediction.label}, ${percent(prediction.probability)}`;
}

function scores(task, prediction, explain, explained) {
  const given = prediction.labels?.map((score) => score.label) ?? (prediction.label === null ? [] : [prediction.label]);
  const rows = prediction.top.map((score) => {
    const best = given.includes(score.label), name = task ? `${task}=${score.label}` : score.label;
    const fill = element("div", { class: "fill" });
    fill.style.width = percent(score.probability).replace(" ", "");
    const button = element("button", { type: "button", title: "What speaks for this label?", dir: "auto", "aria-pressed": String(name === explained) }, score.label);
    button.addEventListener("click", () => explain(name, button));
    return element("tr", best ? { class: "best" } : {},
      element("th", { scope: "row" }, button),
      element("td", {}, element("div", { class: "track", "aria-hidden": "true" }, fill),
        ...(best ? [element("span", { class: "hidden" }, "given")] : [])),
      element("td", { class: "number" }, percent(score.probability)));
  });
  const notes = [];
  if (prediction.levels?.length) notes.push(prediction.levels.map((node) => `${node.label} ${percent(node.probability)}`).join(" › "));
  if (prediction.abstained) notes.push("No answer: the model is not sure enough of its best label.");
  if (prediction.labels && !given.length) notes.push("No label reaches its threshold.");
  return element("section", { class: "task", "aria-label": task || "Labels" },
    ...(task ? [element("h3", {}, task)] : []),
    ...notes.map((note) => element("p", { class: "answer" }, note)),
    ranked(task || "Labels", rows.slice(0, LABELS_SHOWN)), ...others(rows.slice(LABELS_SHOWN)));
}

const ranked = (name, rows) => element("table", { "aria-label": name }, element("tbody", {}, ...rows));

function others(rows) {
  if (!rows.length) return [];
  const more = `${rows.length} more ${rows.length === 1 ? "label" : "labels"}`;
  return [element("details", {}, element("summary", {}, more), ranked(more, rows))];
}

function shown(texts, explanation) {
  return [
    element("p", { class: "note" }, `What speaks for (solid line) and against (dashed) ${explanation.label}` +
      (explanation.exact ? "" : `, by ${explanation.method.replaceAll("_", " ")}: an estimate`)),
    ...highlighted(texts, explanation),
    strongest(explanation),
  ];
}

// A box for each text; the shades of all are of one scale.
function highlighted(texts, explanation) {
  const pieces = texts.map(graphemes);
  const weights = pieces.map(({ characters }) => new Array(characters.length).fill(0));
  for (const ngram of explanation.ngrams) {
    const parts = ngram.tokens.length ? ngram.tokens : [ngram];
    const segment = ngram.segment ?? 0, { places } = pieces[segment];
    for (const part of parts) {
      if (part.end <= part.start) continue;
      for (let at = places[part.start]; at <= places[part.end - 1]; at++) weights[segment][at] += part.contribution;
    }
  }
  const largest = weights.flat().reduce((most, weight) => Math.max(most, Math.abs(weight)), 1e-9);
  return pieces.map(({ characters, places }, segment) => {
    const unread = (explanation.unread_segment ?? 0) === segment ? explanation.unread : null;
    return box(characters, weights[segment], largest, unread?.map((at) => places[at]) ?? null);
  });
}

// What a person sees as one character, which no mark may cut, and in which of them each code point is: offsets count those.
function graphemes(text) {
  const characters = [], places = [];
  for (const { segment } of new Intl.Segmenter().segment(text)) {
    for (const _ of segment) places.push(characters.length);
    characters.push(segment);
  }
  return { characters, places: [...places, characters.length] };
}

function box(characters, weights, largest, unread) {
  const made = element("p", { class: "evidence", dir: "auto", "data-testid": "evidence" });
  const isUnread = (at) => unread !== null && at >= unread[0] && at < unread[1];
  for (let start = 0; start < characters.length; ) {
    let end = start + 1;
    while (end < characters.length && weights[end] === weights[start] && isUnread(end) === isUnread(start)) end++;
    const piece = characters.slice(start, end).join("");
    const share = weights[start] / largest;
    if (isUnread(start)) {
      made.append(element("span", { class: "unread", title: "not read: the model takes no more" }, piece));
    } else if (Math.abs(share) < 0.05) {
      made.append(piece);
    } else {
      const mark = element("mark", { class: share > 0 ? "for" : "against", title: weights[start].toFixed(2) }, piece);
      mark.style.backgroundColor = `rgb(var(--${share > 0 ? "for" : "against"}) / ${(0.45 * Math.abs(share)).toFixed(2)})`;
      made.append(mark);
    }
    start = end;
  }
  return made;
}

function strongest(explanation) {
  const list = element("ol");
  for (const ngram of explanation.ngrams.filter((one) => one.text.trim()).slice(0, 5)) {
    const sign = ngram.contribution > 0 ? "+" : "−";
    const words = element("bdi", {}, ngram.text); // of whichever direction, it must not move the number
    list.append(element("li", {}, "“", words, `” ${sign}${Math.abs(ngram.contribution).toFixed(2)}`));
  }
  return element("details", {}, element("summary", {}, "Strongest n-grams"), list);
}

// The table is read, labelled and written in a worker: a hundred thousand rows must not stop the page.
const url = "/playground/table.js";
const trusted = window.trustedTypes?.createPolicy("worker", { createScriptURL: () => url }).createScriptURL(url) ?? url;
const worker = new Worker(trusted);
let file = null, fileName = "", spoken = 0;
let table = null; // the columns of the file that is open: { header, likely }, those with most text first

function openTable(given, encoding) {
  file = given;
  table = null;
  $("download").hidden = $("column-row").hidden = true;
  say("table-status", "Reading …");
  worker.postMessage({ open: file, encoding });
}

function running(on) {
  $("start").hidden = on;
  $("stop").hidden = $("progress").hidden = !on;
  for (const control of [$("file"), $("encoding"), ...columnFields()]) control.disabled = on;
  if (on) return;
  $("table-progress").textContent = "";
  if (table) showColumns(); // another model may have been chosen meanwhile
}

const columnFields = () => [...$("columns").querySelectorAll("select")];

// A choice of a column for each text that the model reads together.
function showColumns() {
  const count = textsTogether();
  const places = table.likely.slice(0, count).sort((one, other) => one - other);
  const before = columnFields().length === count ? columnFields().map((field) => field.value) : places;
  $("columns").replaceChildren(...Array.from({ length: count }, (_, at) => {
    const id = at ? `column-${at + 1}` : "column";
    const names = table.header.map((one, place) => element("option", { value: place }, one || `column ${place + 1}`));
    const field = element("select", { id }, ...names);
    field.value = before[at] ?? places[0];
    return element("span", {}, element("label", { for: id }, count === 1 ? "Column with the text" : `Column with text ${at + 1}`), " ", field);
  }));
}

const told = {
  opened({ name, header, rows, encoding, guessed, likely }) {
    fileName = name.replace(/\.[^.]*$/, "");
    table = { header, likely };
    $("columns").replaceChildren();
    showColumns();
    $("encoding").value = encoding;
    $("column-row").hidden = false;
    const how = guessed ? `, read as ${$("encoding").selectedOptions[0].textContent}; choose another encoding if letters look wrong` : "";
    say("table-status", `${counted(rows)}${how}`);
  },
  progress({ done, of, seconds }) {
    $("progress").value = done / of;
    $("table-progress").textContent = `${done.toLocaleString()} of ${of.toLocaleString()} rows, ${Math.ceil(seconds)} s left`;
    if (done / of - spoken >= SPOKEN_SHARE) {
      spoken = done / of;
      say("table-status", `${Math.floor(100 * spoken)} % labelled`);
      $("table-status").className = "hidden"; // what is seen stands above
    }
  },
  finished({ blob, rows, of, failed, model, reason }) {
    const focused = document.activeElement === $("stop"); // it goes away, and would take the focus with it
    running(false);
    const link = $("download");
    URL.revokeObjectURL(link.href);
    link.href = URL.createObjectURL(blob);
    link.download = `${fileName}-labelled.csv`;
    link.hidden = !rows;
    const count = rows < of ? `Stopped after ${rows.toLocaleString()} of ${counted(of)}:` : counted(rows);
    const without = failed ? `; ${failed.toLocaleString()} could not be, see the column error` : "";
    say("table-status", `${count} labelled by ${model}${without}${reason && `. ${reason}`}`, Boolean(reason));
    if (rows) link.focus();
    else if (focused) $("start").focus();
  },
  failed(reason) {
    running(false);
    say("table-status", reason, true);
  },
};

worker.onmessage = ({ data }) => {
  if (data.opened) told.opened(data.opened);
  else if (data.finished) told.finished(data.finished);
  else if (data.failed !== undefined) told.failed(data.failed);
  else told.progress(data);
};

function startTable() {
  spoken = 0;
  $("download").hidden = true;
  $("progress").value = 0;
  const keyboard = document.activeElement === $("start");
  running(true);
  if (keyboard) $("stop").focus();
  say("table-status", "Labelling …");
  const columns = columnFields().map((field) => Number(field.value));
  worker.postMessage({ start: { columns, model: $("first").value, key: $("key").value.trim() } });
}

let timer;
$("texts").addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(classify, WAIT_MS); });
$("form").addEventListener("submit", (event) => { event.preventDefault(); clearTimeout(timer); classify(); });
$("texts").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) $("form").requestSubmit();
});
$("first").addEventListener("change", () => { fitToModel(); classify(); });
$("second").addEventListener("change", classify);
$("key-form").addEventListener("submit", (event) => event.preventDefault());
$("key").addEventListener("change", loadModels);
$("file").addEventListener("change", () => { if ($("file").files[0]) openTable($("file").files[0]); });
$("start").addEventListener("click", startTable);
$("stop").addEventListener("click", () => worker.postMessage({ stop: true }));
$("encoding").addEventListener("change", () => openTable(file, $("encoding").value));
for (const kind of ["dragenter", "dragover"]) $("drop").addEventListener(kind, () => $("drop").classList.add("over"));
for (const kind of ["dragleave", "drop"]) $("drop").addEventListener(kind, () => $("drop").classList.remove("over"));
// Beside it a file would take the place of the page, and of what was typed.
for (const kind of ["dragover", "drop"]) addEventListener(kind, (event) => event.preventDefault());
$("drop").addEventListener("drop", (event) => {
  if (event.dataTransfer.files[0] && !$("file").disabled) openTable(event.dataTransfer.files[0]);
});
loadModels();
