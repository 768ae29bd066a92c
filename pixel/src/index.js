/** The module: init() is the script's tag, track(), consent() and user() are its calls. Importing it does nothing. */
import { page } from "./browser.js";
import { full, run, start, view } from "./core.js";
import { prepare } from "./full.js";

/** @type {[import("./browser.js").Page, any[]][]} */
const early = []; // calls before init()
let begun = false;
/** @type {string | undefined} */
let reason;

/** @param {any[]} words */
function call(...words) {
  if (typeof window == "undefined" || reason) return;
  if (begun) run(page(), words);
  else early.push([page(), words]);
}

/** Begin, once; on a server, not at all. Returns why nothing will be sent from here, if so.
 * @param {import("./browser.js").Options} options */
export function init({ collectPath = "/collect", ...options }) {
  if (typeof window == "undefined" || begun) return reason;
  if (!options.site || !options.hostUrl) throw new Error("Clicktrail: init() needs site (ct_pub_...) and hostUrl");
  begun = true;
  prepare();
  reason = start(options, options.hostUrl.replace(/\/$/, "") + collectPath);
  if (reason) return reason;
  full?.begin();
  for (const [page, words] of early.splice(0)) run(page, words);
  view();
}

/** @param {string} name @param {Record<string, any>} [fields] */
export const track = (name, fields) => call(name, fields);

/** @param {string} mode @param {Record<string, any>} choice */
export const consent = (mode, choice) => call("consent", mode, choice);

/** @param {string | null} id @param {Record<string, any>} [addresses] */
export const user = (id, addresses) => call("user", id, addresses);
