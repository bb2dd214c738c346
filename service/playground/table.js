// A worker: reads a table, asks for the labels of its rows and writes it again, so that the page stays responsive.
//
// In:  { open: File, encoding? }      { start: { columns, model, key } }      { stop: true }
// Out: { opened: { ... } }  { done, of, seconds }  { finished: { blob, rows, failed, stopped?, reason? } }  { failed: "why" }

const ROWS_AT_ONCE = 256;
const CHARACTERS_AT_ONCE = 400_000; // a body may have 2 MB, and JSON may need several bytes for a character
const REQUESTS_AT_ONCE = 2;
const TRIES = 4; // of a request that fails for no fault of its own
const REPORT_MS = 100;
const TEXT_COLUMN = /^(text|sentence|message|review|body|content)$/i;

let table = null;
let abort = null;

onmessage = async ({ data }) => {
  try {
    if (data.open) await open(data.open, data.encoding);
    else if (data.start) await label(data.start);
    else if (data.stop) abort?.abort();
  } catch (error) {
    postMessage({ failed: error.message });
  }
};

async function open(file, encoding) {
  table = null;
  const bytes = new Uint8Array(await file.arrayBuffer());
  const mark = byteOrderMark(bytes);
  const read = encoding || mark || guessEncoding(bytes);
  const text = new TextDecoder(read).decode(bytes); // takes the mark away
  const head = text.slice(0, 100_000);
  const delimiter = guessDelimiter(head);
  const rows = parse(text, delimiter);
  if (rows.length < 2) throw new Error("The file needs a header and at least one row.");
  const [header, ...body] = rows;
  table = { header, body, delimiter, mark: Boolean(mark) };
  const sizes = header.map((_, column) => body.slice(0, 50).reduce((sum, row) => sum + (row[column] ?? "").length, 0));
  const likely = header.map((_, column) => column).sort((one, other) => sizes[other] - sizes[one]);
  const named = header.findIndex((name) => TEXT_COLUMN.test(name.trim()));
  if (named >= 0) likely.unshift(...likely.splice(likely.indexOf(named), 1));
  postMessage({ opened: {
    name: file.name, header, rows: body.length, encoding: read, guessed: !encoding && !mark && read !== "utf-8", likely,
  } });
}

function byteOrderMark(bytes) {
  if (bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) return "utf-8";
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return "utf-16le";
  if (bytes[0] === 0xfe && bytes[1] === 0xff) return "utf-16be";
  return "";
}

// UTF-16 has a zero in every other byte of most texts; what is no UTF-8 is most often an old table of Western Europe.
function guessEncoding(bytes) {
  const sample = bytes.subarray(0, 10_000);
  const zeros = [0, 0];
  sample.forEach((byte, place) => { if (byte === 0) zeros[place % 2]++; });
  if (zeros[1] > sample.length / 8) return "utf-16le";
  if (zeros[0] > sample.length / 8) return "utf-16be";
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    return "utf-8";
  } catch {
    return "windows-1252";
  }
}

// The commonest of , ; | and tab in the first line, outside of quotes.
function guessDelimiter(head) {
  const counts = { ",": 0, ";": 0, "\t": 0, "|": 0 };
  let quoted = false;
  for (const sign of head) {
    if (sign === '"') quoted = !quoted;
    else if (!quoted && (sign === "\n" || sign === "\r")) break;
    else if (!quoted && sign in counts) counts[sign]++;
  }
  return Object.keys(counts).sort((one, other) => counts[other] - counts[one])[0];
}

// RFC 4180, with any kind of line end.
function parse(text, delimiter) {
  const rows = [];
  let row = [], field = "", quoted = false, opened = 0;
  const ended = () => {
    row.push(field);
    if (row.length > 1 || row[0]) rows.push(row);
    row = [];
    field = "";
  };
  for (let at = 0; at < text.length; at++) {
    const sign = text[at];
    if (quoted) {
      const end = text.indexOf('"', at);
      if (end < 0) break;
      field += text.slice(at, end);
      at = end;
      if (text[at + 1] === '"') { field += '"'; at++; } else quoted = false;
    } else if (sign === '"' && !field) { quoted = true; opened = rows.length + 1; }
    else if (sign === delimiter) { row.push(field); field = ""; }
    else if (sign === "\n") ended();
    else if (sign === "\r") { ended(); if (text[at + 1] === "\n") at++; }
    else field += sign;
  }
  if (quoted) throw new Error(`The quotation mark that opens in row ${opened} is never closed.`);
  if (field || row.length) ended();
  return rows;
}

async function label({ columns, model, key }) {
  const { body } = table;
  abort = new AbortController();
  const found = []; // of each row a prediction, or { error }
  const parts = chunks(body, columns);
  const begun = performance.now();
  let reported = 0, reason = "";
  const waiting = [];
  try {
    while (found.length < body.length) {
      while (waiting.length < REQUESTS_AT_ONCE) {
        const part = parts.next();
        if (part.done) break;
        const work = predictions(part.value, model, key);
        work.catch(() => {}); // it is looked at in its turn
        waiting.push(work);
      }
      found.push(...await waiting.shift());
      if (performance.now() - reported > REPORT_MS) {
        reported = performance.now();
        postMessage({ done: found.length, of: body.length, seconds: (reported - begun) / found.length * (body.length - found.length) / 1000 });
      }
    }
  } catch (error) {
    reason = abort.signal.aborted ? "" : error.message;
    abort.abort();
    if (!found.length && reason) throw error;
  }
  const failed = found.filter((one) => one.error).length;
  postMessage({ finished: { blob: written(found), rows: found.length, of: body.length, failed, model, reason } });
}

function* chunks(body, columns) {
  let part = [], size = 0;
  for (const row of body) {
    const texts = columns.map((column) => row[column] ?? "");
    const length = texts.reduce((sum, text) => sum + text.length, 0);
    if (part.length && (part.length === ROWS_AT_ONCE || size + length > CHARACTERS_AT_ONCE)) {
      yield part;
      part = [];
      size = 0;
    }
    part.push(texts.length === 1 ? texts[0] : texts); // several are read together
    size += length;
  }
  if (part.length) yield part;
}

// What the service refuses as a whole is asked in halves, so that one bad row costs no other.
async function predictions(texts, model, key) {
  const response = await ask({ texts, model }, key);
  if (response.ok) return (await response.json()).predictions;
  const { message } = (await response.json()).error;
  if (response.status !== 413 && response.status !== 422) throw new Error(message);
  if (texts.length === 1) return [{ error: { message } }];
  const middle = texts.length >> 1;
  return [...await predictions(texts.slice(0, middle), model, key), ...await predictions(texts.slice(middle), model, key)];
}

async function ask(body, key) {
  const headers = { "content-type": "application/json", ...(key && { authorization: `Bearer ${key}` }) };
  for (let attempt = 1; ; attempt++) {
    const last = attempt >= TRIES;
    let pause = 500 * attempt;
    try {
      const response = await fetch("/v1/classify", { method: "POST", headers, body: JSON.stringify(body), signal: abort.signal });
      if (response.status === 429) { // it says when to come back; that is no failure
        pause = 1000 * Number(response.headers.get("retry-after") || 1);
        attempt--;
      } else if (response.status < 500 || last) return response;
    } catch (error) {
      if (abort.signal.aborted || last) throw abort.signal.aborted ? error : new Error("The service does not answer.");
    }
    await new Promise((done) => setTimeout(done, pause));
    abort.signal.throwIfAborted();
  }
}

// The table with its columns as they were, and ours after them, under names that it does not have yet.
function written(found) {
  const { header, body, delimiter, mark } = table;
  const first = found.find((one) => !one.error);
  const [names, cells] = added(first);
  if (found.some((one) => one.error)) names.push("error");
  const taken = new Set(header.map((name) => name.trim().toLowerCase()));
  const unique = names.map((name) => {
    let free = taken.has(name.toLowerCase()) ? `predicted ${name}` : name;
    for (let number = 2; taken.has(free.toLowerCase()); number++) free = `predicted ${name} ${number}`;
    taken.add(free.toLowerCase());
    return free;
  });
  const special = new RegExp(`["\\r\\n${delimiter}]`);
  const field = (value) => special.test(value) ? `"${value.replaceAll('"', '""')}"` : value;
  const line = (values) => values.map(field).join(delimiter) + "\r\n";
  const blank = new Array(names.length).fill("");
  const width = body.reduce((most, row) => Math.max(most, row.length), header.length); // a row may have more than the header
  const filled = (row) => Array.from({ length: width }, (_, at) => row[at] ?? "");
  const parts = [mark ? "\ufeff" : "", line([...filled(header), ...unique])];
  found.forEach((one, place) => {
    const more = one.error ? [...blank.slice(1), one.error.message] : [...cells(one), ...blank].slice(0, names.length);
    parts.push(line([...filled(body[place]), ...more]));
  });
  return new Blob(parts, { type: "text/csv;charset=utf-8" });
}

// The names of the columns for such a prediction, and what goes into them.
function added(prediction) {
  const share = (score) => score.probability.toFixed(4);
  if (prediction?.tasks) {
    const tasks = Object.keys(prediction.tasks);
    const cells = (one) => tasks.flatMap((task) => [one.tasks[task].label ?? "", share(one.tasks[task])]);
    return [tasks.flatMap((task) => [task, `${task} probability`]), cells];
  }
  if (prediction?.labels) {
    const cells = (one) => [one.labels.map((score) => score.label).join("|"), one.labels.map(share).join("|")];
    return [["labels", "probabilities"], cells];
  }
  return [["label", "probability"], (one) => [one.label ?? "", share(one)]];
}
