// One page, no build step. Whatever comes from a text, a label or a file is put in as text, never as HTML.

const WAIT_MS = 350; // after the last key
const ROWS_AT_ONCE = 200;
const LABELS_SHOWN = 8;
const NGRAMS = 500;

const $ = (id) => document.getElementById(id);
let models = [];
let asked = 0;

const element = (name, attributes = {}, ...children) => {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
};
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
    const response = await fetch(path, body ? { method: "POST", headers, body: JSON.stringify(body) } : { headers });
    if (response.status === 429 && attempt < 5) {
      await new Promise((done) => setTimeout(done, 1000 * Number(response.headers.get("retry-after") || 1)));
      continue;
    }
    const content = await response.json();
    if (response.ok) return content;
    if (response.status === 401) $("access").open = true;
    throw new Error(content.error.message);
  }
}

async function loadModels() {
  try {
    const answer = await ask("/v1/models");
    models = answer.models;
    const options = () => models.map((model) => {
      const name = `${model.name}/${model.version}`;
      const aliases = model.aliases.length ? ` (${model.aliases.join(", ")})` : "";
      return element("option", { value: name }, name + aliases);
    });
    $("first").replaceChildren(...options());
    $("second").replaceChildren(element("option", { value: "" }, "nothing"), ...options());
    const live = models.find((model) => model.name === answer.default && model.aliases.includes("live"));
    if (live) $("first").value = `${live.name}/${live.version}`;
    say("status", models.length ? "" : "The model is still loading.");
    if (!models.length) setTimeout(loadModels, 1000);
  } catch (error) {
    say("status", error.message, true);
  }
}

async function classify() {
  const text = $("text").value;
  const number = ++asked;
  if (!text) {
    $("results").replaceChildren();
    say("status", "");
    return;
  }
  try {
    const names = [$("first").value, $("second").value].filter(Boolean);
    const cards = await Promise.all(names.map((name) => card(name, text)));
    if (number !== asked) return; // a later text is on its way
    $("results").replaceChildren(...cards.map((made) => made.article));
    say("status", cards.map((made) => made.summary).join("; "));
  } catch (error) {
    if (number === asked) say("status", error.message, true);
  }
}

async function card(name, text) {
  const model = models.find((one) => `${one.name}/${one.version}` === name);
  const [found, why] = await Promise.all([
    ask("/v1/classify", { text, model: name, top_k: Math.min(LABELS_SHOWN, model.labels.length) }),
    ask("/v1/explain", { text, model: name, top_n: NGRAMS }),
  ]);
  const prediction = found.predictions[0];
  const rows = prediction.top.map((score, place) => {
    const fill = element("div", { class: "fill" });
    fill.style.width = percent(score.probability).replace(" ", "");
    return element("tr", place ? {} : { class: "best" },
      element("th", { scope: "row" }, score.label),
      element("td", {}, element("div", { class: "track", "aria-hidden": "true" }, fill)),
      element("td", { class: "number" }, percent(score.probability)));
  });
  const explanation = why.explanations[0];
  const label = prediction.label ?? "no label";
  const article = element("article", { "aria-label": name },
    element("h2", {}, name),
    element("table", {}, element("tbody", {}, ...rows)),
    element("p", { class: "note" }, `What speaks for (solid line) and against (dashed) ${explanation.label}` +
      (explanation.exact ? "" : ", estimated by leaving words out")),
    highlighted(text, explanation),
    strongest(explanation));
  return { article, summary: `${name}: ${label}, ${percent(prediction.probability)}` };
}

function highlighted(text, explanation) {
  const characters = Array.from(text); // offsets count code points
  const weights = new Array(characters.length).fill(0);
  for (const ngram of explanation.ngrams) {
    const parts = ngram.tokens.length ? ngram.tokens : [ngram];
    for (const part of parts) {
      for (let at = part.start; at < part.end; at++) weights[at] += part.contribution;
    }
  }
  const largest = Math.max(...weights.map(Math.abs), 1e-9);
  const box = element("p", { class: "evidence", "data-testid": "evidence" });
  for (let start = 0; start < characters.length; ) {
    let end = start + 1;
    while (end < characters.length && weights[end] === weights[start]) end++;
    const piece = characters.slice(start, end).join("");
    const share = weights[start] / largest;
    if (Math.abs(share) < 0.05) {
      box.append(piece);
    } else {
      const mark = element("mark", { class: share > 0 ? "for" : "against", title: weights[start].toFixed(2) }, piece);
      mark.style.backgroundColor = `rgb(var(--${share > 0 ? "for" : "against"}) / ${(0.45 * Math.abs(share)).toFixed(2)})`;
      box.append(mark);
    }
    start = end;
  }
  return box;
}

function strongest(explanation) {
  const list = element("ol");
  for (const ngram of explanation.ngrams.filter((one) => one.text.trim()).slice(0, 5)) {
    const sign = ngram.contribution > 0 ? "+" : "−";
    list.append(element("li", {}, `“${ngram.text}” ${sign}${Math.abs(ngram.contribution).toFixed(2)}`));
  }
  return element("details", {}, element("summary", {}, "Strongest n-grams"), list);
}

// RFC 4180, with either kind of line end; the delimiter is the commonest of , ; and tab in the first line.
function parseCsv(content) {
  const text = content.replace(/^\ufeff/, "");
  const head = text.split(/\r?\n/, 1)[0];
  const delimiter = [",", ";", "\t"].sort((one, other) => head.split(other).length - head.split(one).length)[0];
  const rows = [];
  let row = [], field = "", quoted = false;
  for (let at = 0; at < text.length; at++) {
    const sign = text[at];
    if (quoted) {
      if (sign !== '"') field += sign;
      else if (text[at + 1] === '"') { field += '"'; at++; } else quoted = false;
    } else if (sign === '"' && !field) quoted = true;
    else if (sign === delimiter) { row.push(field); field = ""; }
    else if (sign === "\n") { row.push(field.replace(/\r$/, "")); rows.push(row); row = []; field = ""; }
    else field += sign;
  }
  if (field || row.length) { row.push(field); rows.push(row); }
  return rows.filter((one) => one.length > 1 || one[0]);
}

const csvField = (value) => /[",\n\r]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value;

let table = null;

async function openTable(file) {
  $("download").hidden = true;
  table = null;
  const rows = parseCsv(await file.text());
  if (rows.length < 2) {
    say("table-status", "The file needs a header and at least one row.", true);
    return;
  }
  const [header, ...body] = rows;
  table = { name: file.name.replace(/\.csv$/i, ""), header, body };
  const sizes = header.map((_, column) => body.slice(0, 50).reduce((sum, row) => sum + (row[column] ?? "").length, 0));
  const named = header.findIndex((name) => /^(text|sentence|message|review|body|content)$/i.test(name.trim()));
  $("column").replaceChildren(...header.map((name, column) => element("option", { value: column }, name || `column ${column + 1}`)));
  $("column").value = named >= 0 ? named : sizes.indexOf(Math.max(...sizes));
  $("column-row").hidden = false;
  say("table-status", `${body.length.toLocaleString()} rows`);
}

async function labelTable() {
  const { name, header, body } = table;
  const column = Number($("column").value), model = $("first").value;
  const lines = [[...header, "label", "probability"].map(csvField).join(",")];
  $("start").disabled = true;
  $("progress").hidden = false;
  const begun = performance.now();
  try {
    for (let start = 0; start < body.length; start += ROWS_AT_ONCE) {
      const part = body.slice(start, start + ROWS_AT_ONCE);
      const answer = await ask("/v1/classify", { texts: part.map((row) => row[column] ?? ""), model });
      answer.predictions.forEach((prediction, place) => {
        const found = prediction.error ? ["", ""] : [prediction.label ?? "", prediction.probability.toFixed(4)];
        const cells = header.map((_, at) => part[place][at] ?? "");
        lines.push([...cells, ...found].map(csvField).join(","));
      });
      const done = Math.min(start + ROWS_AT_ONCE, body.length);
      const left = (performance.now() - begun) / done * (body.length - done) / 1000;
      $("progress").value = done / body.length;
      say("table-status", `${done.toLocaleString()} of ${body.length.toLocaleString()} rows, ${left.toFixed(0)} s left`);
    }
    const link = $("download");
    URL.revokeObjectURL(link.href);
    link.href = URL.createObjectURL(new Blob([lines.join("\r\n") + "\r\n"], { type: "text/csv" }));
    link.download = `${name}-labelled.csv`;
    link.hidden = false;
    say("table-status", `${body.length.toLocaleString()} rows labelled by ${model}`);
    link.focus();
  } catch (error) {
    say("table-status", error.message, true);
  } finally {
    $("start").disabled = false;
    $("progress").hidden = true;
  }
}

let timer;
$("text").addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(classify, WAIT_MS); });
$("form").addEventListener("submit", (event) => { event.preventDefault(); clearTimeout(timer); classify(); });
$("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) $("form").requestSubmit();
});
for (const id of ["first", "second"]) $(id).addEventListener("change", classify);
$("key-form").addEventListener("submit", (event) => event.preventDefault());
$("key").addEventListener("change", loadModels);
$("file").addEventListener("change", () => { if ($("file").files[0]) openTable($("file").files[0]); });
$("start").addEventListener("click", labelTable);
for (const kind of ["dragenter", "dragover"]) {
  $("drop").addEventListener(kind, (event) => { event.preventDefault(); $("drop").classList.add("over"); });
}
for (const kind of ["dragleave", "drop"]) $("drop").addEventListener(kind, () => $("drop").classList.remove("over"));
$("drop").addEventListener("drop", (event) => {
  event.preventDefault();
  if (event.dataTransfer.files[0]) openTable(event.dataTransfer.files[0]);
});
loadModels();
