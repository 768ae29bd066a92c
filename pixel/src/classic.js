/** The script of <script defer src=".../c.js" data-site="ct_pub_...">. */
import { page } from "./browser.js";
import { run, start, view } from "./core.js";

const script = /** @type {HTMLScriptElement} */ (document.currentScript || document.querySelector("script[data-site]"));
const options = { ...script.dataset };
const early = /** @type {any} */ (window).ct?.q || [];
const reason = start(options, (options.hostUrl || script.src.replace(/\/[^/]*$/, "")) + "/collect");
if (reason) console.info("Clicktrail sends nothing:", reason);

const ct = (/** @type {any[]} */ ...call) => reason || run(page(), call);
/** @type {any} */ (window).ct = ct;
if (!reason) {
  for (const [call, ...page] of early) run(page, [...call]);
  if (options.autoTrack != "false") view();
}
