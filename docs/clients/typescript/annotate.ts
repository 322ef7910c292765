import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import createClient from "openapi-fetch";
import type { components, paths } from "./communique.js";

type Release = components["schemas"]["AnnotatedRelease"];
type Refusal = components["schemas"]["Error"];

const baseUrl = process.env.COMMUNIQUE_URL ?? "http://127.0.0.1:8000";
const token = process.env.COMMUNIQUE_TOKEN;
const client = createClient<paths>({ baseUrl, headers: token ? { Authorization: `Bearer ${token}` } : {} });

/** Where the service is busy it says when to come again. */
async function annotate(texts: string[], tries = 3): Promise<Release[]> {
  const { data, error, response } = await client.POST("/annotate", {
    params: { query: { min_confidence: 0.5 } },
    body: { releases: texts.map((text) => ({ text })) },
  });
  const seconds = Number(response.headers.get("Retry-After"));
  if (response.status === 503 && seconds && tries > 1) {
    console.error(`${inWords(response.status, error)}; trying again in ${seconds} s`);
    await sleep(1000 * seconds);
    return annotate(texts, tries - 1);
  }
  if (!data) throw new Error(inWords(response.status, error));
  for (const { id, error: failure } of data.releases) {
    if (failure) console.error(`${id}: ${failure.code}: ${failure.message}`);
  }
  return data.releases.filter((release) => !release.error);
}

/** An error of the service, or what a proxy answered in its place, which may be anything. */
function inWords(status: number, refusal?: Partial<Refusal>): string {
  if (status === 401) return `${token ? "another" : "a"} token is needed: set COMMUNIQUE_TOKEN`;
  if (!refusal?.error) return `no answer of the service: status ${status}`;
  const { code, message, field } = refusal.error;
  return field ? `${code}: ${field}: ${message}` : `${code}: ${message}`;
}

try {
  for (const { text, facts = [] } of await annotate([readFileSync(0, "utf8")])) {
    const characters = Array.from(text); // offsets count characters, of which an emoji is one; in `text` it is two
    const said = ([start, end]: [number, number]) => characters.slice(start, end).join("");
    for (const { type, head, tail, score, evidence } of facts) {
      console.log(`${score.toFixed(2)}  ${head.name}  ${type}  ${tail.name}`);
      for (const place of evidence) {
        console.log(`      “${place.text ?? ""}” (${said(place.head)}, ${said(place.tail)})`);
      }
    }
  }
} catch (problem) {
  const { message, cause } = problem as Error;
  console.error(cause instanceof Error ? `${baseUrl}: ${message}: ${cause.message}` : message);
  process.exitCode = 1;
}
