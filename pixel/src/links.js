/**
 * Links and forms that lead elsewhere. To other sites of ours the visitor's id goes along, for two minutes; to
 * affiliates go the parameters that the page names. A link is changed for its click alone.
 */
import { attempt, list, listen, options, page } from "./browser.js";
import { choice, run } from "./core.js";
import { offer, recall, visitor } from "./store.js";

const FRESH = 120; // seconds: the way to another site, not a link that is passed on

const seconds = () => (Date.now() / 1e3) | 0;

/** What another page of the same visitor's browser can work out too. No secret: anybody who reads the script can.
 * It keeps apart browsers and sites by mistake, and old links; it keeps out nobody who means it.
 * @param {string} id @param {string} at */
function checksum(id, at) {
  let [one, two] = [0x811c9dc5, 0x2545f491];
  for (const char of [options.site, id, at, navigator.userAgent].join("\n")) {
    one = Math.imul(one ^ char.charCodeAt(0), 0x01000193);
    two = Math.imul(two ^ one, 0x5bd1e995) ^ (two >>> 13);
  }
  return [one, two].map((half) => (half >>> 0).toString(36)).join("");
}

/** @param {string} id */
function signed(id) {
  const at = seconds().toString(36);
  return [id, at, checksum(id, at)].join(".");
}

let arrived = "";

/** Take `_ct` from the page's address, and from calls that were made before, as soon as possible: it is nobody's to
 * see or to pass on. */
export function arrive() {
  const { ct } = /** @type {any} */ (window);
  arrived = new URL(location.href).searchParams.get("_ct") || "";
  if (arrived) history.replaceState(history.state, "", without(location.href));
  for (const call of ct?.q || []) call[1] = without(call[1]);
}

/** @param {string} address */
const without = (address) => address.replace(/([?&])_ct=[^&#]*&?/, "$1").replace(/[?&](?=#|$)/, "");

/** @param {string} address @param {string} parameters */
function extended(address, parameters) {
  const [plain, ...hash] = without(address).split("#");
  return [plain + (plain.includes("?") ? "&" : "?") + parameters, ...hash].join("#");
}

/** Whether a host, with its port or without, is on a list, or below one that is.
 * @param {URL} url @param {string} name */
const within = (url, name) => url.host == name || url.hostname == name || url.hostname.endsWith("." + name);

/** Watch what is clicked and submitted; accept what came along. */
export function links() {
  const [, id, at, sum] = /^([0-9a-z]+\.[\d-]+)\.([0-9a-z]+)\.([0-9a-z]+)$/.exec(arrived) || [];
  const age = seconds() - parseInt(at, 36);
  // Kept, and told, when something may be: visitor() asks.
  if (age >= 0 && age < FRESH && sum == checksum(id, at)) offer(id);
  listen("click", (event) => attempt(() => followed(event)));
  listen("auxclick", (event) => attempt(() => followed(event)));
  listen("submit", (event) => attempt(() => submitted(event)));
}

/** The parameters for an address; "" for most. @param {URL} url */
function parameters(url) {
  if (url.host == location.host) return "";
  if (list(options.linkDomains).some((name) => within(url, name))) {
    const id = visitor();
    return id ? "_ct=" + signed(id) : "";
  }
  for (const entry of list(options.affiliate)) {
    const [, host, template] = /^(.+?):([^:=]+=.*)$/.exec(entry) || [];
    if (host && within(url, host)) return outbound(url, template);
  }
  return "";
}

/** Tell of it first; name the visitor to others only if they may know. @param {URL} url @param {string} template */
function outbound(url, template) {
  run(page(), ["outbound", { host: url.host, link: url.origin + url.pathname }]);
  if (choice.gpc || choice.ad_storage == "denied" || choice.ad_user_data == "denied") return "";
  /** @type {Record<string, any>} */
  const known = { visitor_id: visitor(), click_id: new URLSearchParams(recall().s?.c).get("ct_click") };
  const filled = template.split("&").map((one) => {
    const name = /\{(\w+)\}/.exec(one)?.[1];
    if (!name) return one;
    return known[name] && one.replace(`{${name}}`, encodeURIComponent(known[name]));
  });
  return filled.filter(Boolean).join("&");
}

/** @param {any} event */
function followed({ target, button }) {
  const link = target.closest?.("a[href], area[href]");
  if (!link || button > 1) return;
  const added = parameters(new URL(link.href));
  if (added) during(link, "href", extended(link.href, added));
}

/** @param {any} event */
function submitted({ target }) {
  const action = target.getAttribute("action");
  if (!action) return;
  const url = new URL(action, document.baseURI);
  const added = parameters(url);
  if (!added) return;
  if (target.method != "get") return during(target, "action", extended(url.href, added));
  // What is sent by GET replaces the query: the parameters must be fields.
  for (const [name, value] of new URLSearchParams(added)) {
    const field = Object.assign(document.createElement("input"), { type: "hidden", name, value });
    target.append(field);
    setTimeout(() => field.remove());
  }
}

/** An attribute as it must be while this event is acted on. @param {Element} element @param {string} name
 * @param {string} value */
function during(element, name, value) {
  const before = element.getAttribute(name);
  element.setAttribute(name, value);
  setTimeout(() => element.setAttribute(name, before || ""));
}
