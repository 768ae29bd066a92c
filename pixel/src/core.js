/**
 * Visits, page views, engagement, and what the site tells: from calls and pages to events.
 *
 * A visit starts after 30 minutes of silence, or with a new campaign, or when another visitor is there. It was engaged
 * in once there is a second page, 10 seconds of looking, or a scroll. What a call means (a kind, a goal, a property)
 * is the door's to know, as is what a landing address says of a campaign.
 */
import { attempt, configure, hidden, listen, log, on, options, page, random } from "./browser.js";
import { flush, open, push } from "./send.js";
import { close, closed, forget, recall, remember, visitor } from "./store.js";

/** @typedef {import("./browser.js").Page} Page */
/** @typedef {import("./browser.js").Event} Event */
/** @typedef {import("./browser.js").Options} Options */

const SILENCE = 18e5; // ms
const LOOK = 10; // s

/** What in an address says which campaign led to it: all that the door reads (app/collect/parse.py), and its like. */
const CAMPAIGN =
  /^(utm_.*|ct_click|\w+clk?id|gclsrc|[gw]braid|li_fat_id|(rdt_|mc_|vm|sc?|ss)cid|ScCid|epik|igshid|_kx|dicbo|tblci|cjevent|awc|ranSiteID|clickref|zanpid|wickedid)$/;

/** @type {Record<string, any>} */
export let choice = {}; // the visitor's, by Google's names; events carry it
let held = false; // until they have chosen
/** @type {[Page, any[]][]} */
let waiting = []; // the calls of that time
/** @type {Event} */
let addresses = {}; // for the next event: hashed at the door, stored nowhere
let look = 0; // seconds of looking that make an engagement; 0: nothing to find out
let unseen = false; // the page has a view to come

export const denied = () => choice.analytics_storage == "denied";

/** An address as it is told, and what of its query says which campaign led to it. @param {string} address */
function read(address) {
  const url = new URL(address);
  const campaign = new URLSearchParams();
  const allowed = denied() ? /^utm_/ : choice.ad_storage == "denied" ? /^(utm_|ct_)/ : CAMPAIGN;
  for (const [name, value] of [...url.searchParams])
    if (CAMPAIGN.test(name))
      if (allowed.test(name)) campaign.append(name, value);
      else url.searchParams.delete(name);
  if (on(options.excludeHash ?? 1)) url.hash = "";
  if (on(options.excludeSearch) || denied()) url.search = "";
  return [url.href, campaign + ""];
}

/** Record what is told, and the visit that it starts. @param {Page} page @param {Event} [said]
 * @param {boolean} [engaged] somebody looks at the page, and nothing else */
function record([address, referrer, title, at], said, engaged) {
  const visitor_id = visitor();
  const [url, campaign] = read(address);
  const state = recall();
  let visit = state.s || {};
  const fresh =
    !(at - visit.t < SILENCE) || (campaign && campaign != visit.c) || (visitor_id && visitor_id != visit.v);
  if (engaged && (fresh || visit.e)) return;

  const tell = (/** @type {Event} */ said) => {
    /** @type {Event} */
    let event = {
      ...{ id: random(), occurred_at: at, url, referrer, landing: visit.c, consent: choice, tag: options.tag },
      ...(denied() ? {} : { title, visitor_id, user_id: state.u, ...addresses }),
      ...said,
    };
    addresses = {};
    const { beforeSend } = options;
    const judge = /** @type {any} */ (window)[beforeSend] || beforeSend;
    if (judge && !(event = judge(said.event, event))) log("dropped", said);
    else push(event);
  };

  if (fresh) {
    // Where nothing is kept, a page of this site that led here is all that tells of an earlier one.
    visit = { i: random(), c: campaign, v: visitor_id, n: 0, e: closed && referrer.startsWith(location.origin) };
    if (!visit.e) {
      tell({ event: "visit", id: visit.i, engaged: false });
      look = LOOK;
    }
  }
  visit.t = at;
  if (said) tell(said);
  if (!visit.e && (engaged || (said?.event == "pageview" && visit.n++))) {
    tell({ event: "engagement", id: visit.i + ".e", visit_id: visit.i });
    visit.e = true;
  }
  remember({ ...state, s: visit });
}

/** Somebody looks, or scrolls. */
function engage() {
  look = 0;
  record(page(), undefined, true);
}

/** Google's consent mode: `default` before the visitor has chosen, `update` when they have. Until then calls wait
 * for `wait_for_update` ms, or until the page is left. @param {string} mode @param {Record<string, any>} [said] */
export function choose(mode, { wait_for_update, ...said } = {}) {
  const nameless = denied() && !held;
  choice = { ...choice, ...said, gpc: /** @type {any} */ (navigator).globalPrivacyControl };
  close(denied() || on(options.cookieless));
  held = mode == "default" && denied();
  if (!held) {
    if (closed) forget();
    release();
    if (nameless && !denied()) record(page());
  } else if (wait_for_update) setTimeout(release, wait_for_update);
}

/** The visitor has chosen, or goes without. */
function release() {
  held = false;
  for (const [page, call] of waiting.splice(0)) run(page, call);
}

/** A call of ct(). @param {Page} page @param {any[]} call */
export function run(page, call) {
  const [name, given, more] = call;
  if (name == "consent") choose(given, more);
  else if (held) waiting.push([page, call]);
  else if (name == "user") {
    addresses = more || {};
    remember({ ...recall(), u: given || undefined });
  } else record(page, { ...given, event: name });
}

/** Page views of pages that change without loading. Returns what ends the wait for a title. */
function follow() {
  let [seen] = read(location.href);
  /** @type {Page | undefined} */
  let next;
  let timer = 0;
  const settle = () => {
    clearTimeout(timer);
    if (!next) return;
    next[2] = document.title;
    run(next, ["pageview"]);
    next = undefined;
  };
  const moved = () => {
    const [url] = read(location.href);
    if (url == seen) return;
    settle();
    next = page();
    next[1] = seen;
    seen = url;
    timer = setTimeout(settle, 200); // the title follows the address
  };
  for (const name of /** @type {const} */ (["pushState", "replaceState"])) {
    const original = history[name];
    history[name] = function (...given) {
      original.apply(this, given);
      attempt(moved);
    };
  }
  listen("popstate", moved);
  return settle;
}

/** Elements that say what they stand for: data-ct-event, and what the call would hold. @param {any} event */
function declared({ target, type }) {
  const found = target.closest?.("[data-ct-event]");
  if (!found || (found.tagName == "FORM") != (type == "submit")) return;
  /** @type {Event} */
  const given = {};
  for (const { name, value } of found.attributes) if (name.startsWith("data-ct-")) given[name.slice(8)] = value;
  run(page(), [given.event, given]);
}

/** Why nothing is told from here; undefined where all is well. */
function guarded() {
  const host = location.hostname;
  if (on(options.doNotTrack) && navigator.doNotTrack == "1") return "do not track";
  if (options.domains && !options.domains.split(/[\s,]+/).includes(host)) return "data-domains";
  if (on(options.debug)) return;
  if (navigator.webdriver) return "automation";
  if (/(^|\.)localhost$|^127\.|^\[::1]|^$/.test(host)) return "localhost";
}

/** Begin, once. @param {Options} given @param {string} door where events go
 * @returns {string | undefined} why nothing will be sent */
export function start(given, door) {
  configure(given);
  open(door);
  const reason = guarded();
  if (reason) return reason;
  const { consent } = options;
  choose("default", consent && { analytics_storage: consent, ad_storage: consent });
  const settle = follow();
  const leave = () => {
    settle();
    release();
    flush(true);
  };
  listen("pagehide", leave);
  listen("visibilitychange", () => (hidden() ? leave() : see()));
  listen("pageshow", ({ persisted }) => persisted && view());
  listen("click", declared);
  listen("submit", declared);
  listen("scroll", () => look && document.readyState == "complete" && engage());
  setInterval(() => look && !hidden() && !--look && engage(), 1e3);
}

/** The page's view, as soon as somebody sees it; again when it comes back from the browser's memory. */
export function view() {
  unseen = on(options.autoTrack ?? 1);
  see();
}

function see() {
  if (unseen && !hidden()) {
    unseen = false;
    run(page(), ["pageview"]);
  }
}
