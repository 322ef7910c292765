/** Taking a release away as JSON. */

import { element } from "./dom.js";

const asJson = (release) => `${JSON.stringify(release, null, 2)}\n`;

/** Save a release as a file named after its id. */
export function download(release) {
  const url = URL.createObjectURL(new Blob([asJson(release)], { type: "application/json" }));
  const name = String(release.id ?? "").replace(/[^\p{L}\p{N}._-]+/gu, "-").replace(/^[.-]+/, "") || "release";
  element("a", { href: url, download: `${name}.json` }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/** Put a release on the clipboard; what to tell the user of it. */
export async function copy(release) {
  try {
    await navigator.clipboard.writeText(asJson(release));
    return "Copied.";
  } catch {
    return "The browser does not let this page copy. Download it instead."; // refused, or no secure connection
  }
}
