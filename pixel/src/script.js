/** The script of <script defer src=".../c.js" data-site="ct_pub_...">, with more in it or without. */
import { attempt, page } from "./browser.js";
import { run, start, view } from "./core.js";
import { resume } from "./send.js";

/** @typedef {(options: import("./browser.js").Options) => void} Part */

/** @param {Part[]} [parts] what the full script does besides, once it is clear that anything is sent */
export function boot(parts = []) {
  const script = /** @type {HTMLScriptElement} */ (document.currentScript || document.querySelector("script[data-site]"));
  const options = script.dataset;
  const { ct } = /** @type {any} */ (window);
  if (ct?.on) return;
  const reason = start(options, (options.hostUrl || script.src.replace(/\/[^/]*$/, "")) + "/collect");
  /** @type {any} */
  const call = (/** @type {any[]} */ ...call) => reason || attempt(() => run(page(), call));
  call.on = 1; // a page that has the script twice is counted once
  /** @type {any} */ (window).ct = call;
  if (reason) return console.info("[clicktrail] sends nothing:", reason);
  for (const part of parts) part(options);
  for (const [call, ...page] of ct?.q || []) run(page, [...call]);
  resume();
  view();
}
