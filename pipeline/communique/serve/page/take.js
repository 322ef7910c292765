/** Taking a release away as JSON. */

import { element } from "./dom.js";

const asJson = (release) => `${JSON.stringify(release, null, 2)}\n`;

const WORDS = 8; // of a title in a file's name

/** Save a release as a file named after its title. */
export function download(release, title) {
  const url = URL.createObjectURL(new Blob([asJson(release)], { type: "application/json" }));
  const words = title.toLowerCase().match(/[\p{L}\p{N}]+/gu)?.slice(0, WORDS) ?? ["release"];
  element("a", { href: url, download: `${words.join("-").slice(0, 100)}.json` }).click();
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
