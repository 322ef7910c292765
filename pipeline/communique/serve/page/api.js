/** The service: what is asked of it, and its refusals in words. */

/** What the user reads when the service does not annotate. `field`: the form's field that is to be mended. */
export class Refusal extends Error {
  constructor(message, field = null) {
    super(message);
    this.field = field;
  }
}

/** The label scheme: {entities, spans: {labels}, relations: [{type}], limits: {chars}}. Throws Refusal or AbortError. */
export function askLabels(token, signal) {
  return ask("labels", { headers: headersFor(token), signal });
}

/** One release, annotated: {release, model}. Throws Refusal, or AbortError if it was cancelled. */
export async function annotate(request, token, signal) {
  const headers = { ...headersFor(token), "Content-Type": "application/json" };
  const answer = await ask("annotate", { method: "POST", headers, signal, body: JSON.stringify(request) }, token);
  const release = answer?.releases?.[0];
  if (release?.error) throw new Refusal(sentence("The service can’t use this text", release.error.message), "text");
  if (typeof release?.text !== "string") throw new Refusal("The service’s answer holds no annotated text.");
  return { release, model: answer.model };
}

function headersFor(token) {
  return token ? { Authorization: `Bearer ${token}` } : {};
}

async function ask(path, options, token) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw unless(error, "The service can’t be reached. Your text is still here: try again when it is back.");
  }
  const answer = await answerOf(response);
  if (!response.ok) throw refusal(response, answer?.error ?? {}, token);
  if (answer === null) throw new Refusal("The service’s answer is no JSON.");
  return answer;
}

/** The answer's JSON, or null if it is none: a proxy, say, answers in HTML. */
async function answerOf(response) {
  try {
    return await response.json();
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw unless(error, "The connection broke off before the answer was complete. Try again.");
  }
}

function unless(error, message) {
  return error.name === "AbortError" ? error : new Refusal(message);
}

function refusal(response, { message, field }, token) {
  const { status } = response;
  if (status === 401) {
    const first = "The service asks for a token: type it, and read again.";
    return new Refusal(token ? "The service does not know this token." : first, "token");
  }
  if (status === 413) return new Refusal(sentence("The text is too long", message), "text");
  if (status === 429 || status === 503) {
    return new Refusal(`${sentence("The service can’t take this now", message)} ${later(response)}`);
  }
  if (status >= 500) return new Refusal(sentence(`The service failed (${status})`, message));
  return new Refusal(sentence("The service can’t use this", message ?? `status ${status}`), fieldOf(field));
}

/** The form's field that an error's field is about, which may be a path such as `body.text`. */
function fieldOf(field) {
  const parts = String(field ?? "").split(/[^a-z]+/i);
  return ["text", "date"].find((name) => parts.includes(name)) ?? null;
}

function later(response) {
  const header = response.headers.get("Retry-After");
  const seconds = /^\d+$/.test(header ?? "") ? Number(header) : Math.ceil((Date.parse(header) - Date.now()) / 1000);
  return seconds > 0 ? `Try again in ${seconds === 1 ? "1 second" : `${seconds} seconds`}.` : "Try again in a moment.";
}

function sentence(words, message) {
  return `${words}${message ? `: ${String(message).replace(/[.\s]+$/, "")}` : ""}.`;
}
