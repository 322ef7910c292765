/** The form: what is asked of the service, and what becomes of it. */

import { annotate, askLabels, Refusal } from "./api.js";
import { byId, counted } from "./dom.js";
import { EXAMPLE } from "./example.js";
import { codePoints } from "./offsets.js";
import { Result } from "./result.js";

const result = new Result();
const FIELDS = ["text", "date", "token"];
let scheme = null;
let running = null; // the AbortController of the newest request
let ticking = 0;
let replaced = null; // what stood in the form before the example

/** Tell what is wrong, at the field that is to be mended, or else under the buttons. */
function tellProblem(message, field = null) {
  for (const name of FIELDS) {
    byId(`${name}-problem`).textContent = name === field ? message : "";
    byId(name).setAttribute("aria-invalid", String(name === field));
  }
  byId("problem").textContent = field ? "" : message;
  if (field) byId(field).focus();
}

function tellStatus(message) {
  byId("status").textContent = message;
}

function setBusy(busy) {
  byId("busy").hidden = byId("cancel").hidden = !busy;
  byId("form").setAttribute("aria-busy", String(busy));
  byId("result").classList.toggle("old", busy);
  clearInterval(ticking);
  byId("clock").textContent = "";
  const start = Date.now();
  const tick = () => (byId("clock").textContent = `${Math.round((Date.now() - start) / 1000)} s`);
  if (busy) ticking = setInterval(tick, 1000);
}

async function read() {
  const text = byId("text").value;
  tellProblem("");
  if (!text.trim()) {
    stop();
    tellStatus("");
    return tellProblem("Paste a press release first, or take the example.", "text");
  }
  running?.abort();
  const own = (running = new AbortController());
  setBusy(true);
  tellStatus(`Reading ${counted(codePoints(text), "character")} …`);
  try {
    await readInto(text, own);
  } catch (error) {
    if (running === own) tellRefusal(error);
  } finally {
    if (running === own) stop();
  }
}

/** The newest request wins: an older one's answer is not shown. */
async function readInto(text, own) {
  const token = byId("token").value;
  const request = byId("date").value ? { text, date: byId("date").value } : { text };
  const start = performance.now();
  const { release, model } = await annotate(request, token, own.signal);
  scheme ??= await askLabels(token, own.signal).catch(() => null); // without it the labels have no order, no more
  if (running !== own) return;
  showCount();
  result.show(release, scheme);
  byId("model").textContent = model ? `Read by the pipeline ${model.name} ${model.version}.` : "";
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  tellStatus(`Done in ${seconds} s: ${result.summary}`);
}

function tellRefusal(error) {
  tellStatus("");
  if (!(error instanceof Refusal)) {
    reportError(error);
    return tellProblem(`This page can’t show the answer (${error.message}).`);
  }
  if (error.field === "token") byId("token-field").hidden = false;
  tellProblem(error.message, error.field);
}

function stop() {
  running?.abort();
  running = null;
  setBusy(false);
}

function cancel() {
  stop();
  tellStatus("Cancelled.");
  byId("text").focus();
}

/** How long the text is, of what the service takes at most where that is known. */
function showCount() {
  const [number, most] = [codePoints(byId("text").value), scheme?.limits?.chars];
  const shown = most ? `${number.toLocaleString("en")} of ${counted(most, "character")}` : counted(number, "character");
  byId("count").textContent = number > most ? `${shown}, ${(number - most).toLocaleString("en")} too many` : shown;
  byId("count").classList.toggle("over", number > most);
}

function onText() {
  showCount();
  if (byId("text").value.trim()) tellProblem("");
}

function fillIn({ text, date }) {
  byId("text").value = text;
  byId("date").value = date;
  onText();
}

/** The example takes the form's place, and gives it back. */
function swapExample() {
  const own = { text: byId("text").value, date: byId("date").value };
  const isExample = own.text === EXAMPLE.text;
  fillIn(isExample && replaced ? replaced : EXAMPLE);
  if (!isExample) replaced = own.text.trim() ? own : null;
  nameExample();
  tellStatus(byId("text").value === EXAMPLE.text ? "The example is filled in." : "");
}

function nameExample() {
  byId("example").textContent = replaced && byId("text").value === EXAMPLE.text ? "Your text again" : "Example";
}

async function begin() {
  try {
    scheme = await askLabels("");
    showCount();
  } catch (error) {
    if (error.field === "token") byId("token-field").hidden = false;
  }
}

byId("form").addEventListener("submit", (event) => {
  event.preventDefault();
  read();
});
byId("form").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !event.repeat) byId("form").requestSubmit();
});
byId("text").addEventListener("input", () => {
  onText();
  nameExample();
});
byId("example").addEventListener("click", swapExample);
byId("cancel").addEventListener("click", cancel);
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  if (running) cancel();
  else result.chooseNothing();
});
showCount();
begin();
