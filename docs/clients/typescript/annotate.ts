import { readFileSync } from "node:fs";
import createClient from "openapi-fetch";
import type { components, paths } from "./communique.js";

type Release = components["schemas"]["AnnotatedRelease"];

const token = process.env.COMMUNIQUE_TOKEN;
const client = createClient<paths>({
  baseUrl: process.env.COMMUNIQUE_URL ?? "http://127.0.0.1:8000",
  headers: token ? { Authorization: `Bearer ${token}` } : {},
});

/** Where the service is busy it says when to come again. */
async function annotate(texts: string[], tries = 3): Promise<Release[]> {
  const { data, error, response } = await client.POST("/annotate", {
    params: { query: { min_confidence: 0.5 } },
    body: { releases: texts.map((text) => ({ text })) },
  });
  if (response.status === 503 && tries > 1) {
    const seconds = Number(response.headers.get("Retry-After") ?? 1);
    await new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
    return annotate(texts, tries - 1);
  }
  if (error) {
    const { code, message, field } = error.error;
    throw new Error(field ? `${code}: ${field}: ${message}` : `${code}: ${message}`);
  }
  const read: Release[] = [];
  for (const release of data.releases) {
    if ("entities" in release) read.push(release);
    else console.error(`${release.id}: ${release.error.code}: ${release.error.message}`);
  }
  return read;
}

try {
  for (const release of await annotate([readFileSync(0, "utf8")])) {
    for (const { type, head, tail, score, evidence } of release.facts ?? []) {
      console.log(`${score.toFixed(2)}  ${head.name}  ${type}  ${tail.name}`);
      console.log(`      “${evidence[0]?.text}”`);
    }
  }
} catch (problem) {
  console.error(problem instanceof Error ? problem.message : problem);
  process.exitCode = 1;
}
