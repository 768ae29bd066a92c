/** What the full script, and the module, do besides the core. */
import { attempt, list, options } from "./browser.js";
import { extend } from "./core.js";
import { arrive, links } from "./links.js";
import { heard, managers } from "./managers.js";

/** @typedef {import("./browser.js").Event} Event */

/** Nothing is told from hosts that the page does not name, if it names any. */
function guard() {
  const hosts = list(options.domains);
  if (hosts[0] && !hosts.includes(location.hostname)) return "data-domains";
}

/** The page may change an event, and keep it back. @param {Event} event @param {string} name */
function judge(event, name) {
  const { beforeSend } = options;
  const by = /** @type {any} */ (window)[beforeSend] || beforeSend;
  return by ? by(name, event) || undefined : event;
}

function begin() {
  attempt(managers);
  attempt(links);
}

/** Before anything else. */
export function prepare() {
  extend({ guard, judge, heard, begin });
  attempt(arrive);
}
