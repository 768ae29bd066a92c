/** The script of <script defer src=".../c.js" data-site="ct_pub_...">, with more in it or without. */
import { page } from "./browser.js";
import { full, run, start, view } from "./core.js";

export function boot() {
  const script = /** @type {HTMLScriptElement} */ (document.currentScript);
  const options = script.dataset;
  const { ct } = /** @type {any} */ (window);
  if (ct?.on) return;
  const reason = start(options, (options.hostUrl || script.src.replace(/[^/]*$/, "")).replace(/\/*$/, "/collect"));
  /** @type {any} */
  const call = (/** @type {any[]} */ ...call) => reason || run(page(), call);
  call.on = 1; // a page that has the script twice is counted once
  /** @type {any} */ (window).ct = call;
  if (reason) return console.info("[clicktrail]", "sends nothing:", reason);
  full?.begin();
  for (const [call, ...page] of ct?.q || []) run(page, [...call]);
  view();
}
