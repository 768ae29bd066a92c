/**
 * Visits, page views, engagement, and what the site tells: from calls and pages to events.
 *
 * A visit starts after 30 minutes of silence, or with a new campaign, or when another visitor is there. It was engaged
 * in once there is a second page, 10 seconds of looking, or a scroll. What a call means (a kind, a goal, a property)
 * is the door's to know, as is what a landing address says of a campaign.
 */
import { attempt, configure, hidden, listen, on, options, page, random } from "./browser.js";
import { flush, open, push, resume } from "./send.js";
import { close, closed, forget, gone, recall, remember, visitor } from "./store.js";

/** @typedef {import("./browser.js").Page} Page */
/** @typedef {import("./browser.js").Event} Event */
/** @typedef {import("./browser.js").Options} Options */

const SILENCE = 18e5; // ms
const LOOK = 10; // s

/** How parameters begin that say which campaign led here: all that the door reads (app/collect/parse.py), and the like. */
const CAMPAIGN =
  /^(utm_|(ct|ko)_click|gad_|gcls|\w+clk?id|[gw]braid|li_f|(rdt_|mc_|vm|s[cs])cid|ScC|epik|igsh|_kx|dicb|tblc|cjev|awc|ranS|clickr|zanp|wicked|srsl|obOr|s2s|subid)/;

/**
 * @typedef {object} Full what the full script does besides
 * @property {() => string | undefined} guard why nothing is told from here
 * @property {(event: Event, name: string) => Event | undefined} judge what the page makes of an event
 * @property {(said: Record<string, any>) => void} heard what the page itself says of consent
 * @property {() => void} begin once it is clear that anything is sent
 */
/** @type {Full | undefined} */
export let full;

/** @param {Full} given */
export function extend(given) {
  full = given;
}

/** @type {Record<string, any>} */
export let choice = {}; // the visitor's, by Google's names; events carry it
let held = false; // until they have chosen
/** @type {[Page, any[]][]} */
let waiting = []; // the calls of that time
/** @type {Event} */
let addresses = {}; // for the next event: hashed at the door, stored nowhere
let look = 0; // seconds of looking that make an engagement; 0: nothing to find out
let unseen = false; // the page has a view to come
let led = ""; // the campaign of this page, whatever of it may be told

export const denied = () => choice.analytics_storage == "denied";

/** Whether a parameter of a campaign may be told, and kept. @param {string} one */
const allowed = (one) => (denied() ? /^utm_/ : choice.ad_storage == "denied" ? /^(utm|ct)_/ : /./).test(one);

/** Some parameters of a query, as they stand there. @param {string | undefined} query @param {(one: string) => any} which */
const pick = (query = "", which) => query.split("&").filter(which).join("&");

/** An address as it is told, what of its query says which campaign led to it, and the address as the site would have it
 * told, whatever the visitor allows. @param {string} address */
function read(address) {
  const url = new URL(address);
  const query = url.search.slice(1);
  if (on(options.excludeHash ?? 1)) url.hash = "";
  if (on(options.excludeSearch)) url.search = "";
  const { href } = url;
  url.search = denied() ? "" : pick(url.search.slice(1), (one) => allowed(one) || !CAMPAIGN.test(one));
  return [url.href, pick(query, (one) => CAMPAIGN.test(one)), href];
}

/** Record what is told, and the visit that it starts; an engagement starts none, and is told once.
 * @param {Page} page @param {Event} [said] */
function record([address, referrer, title, at], said) {
  const visitor_id = visitor();
  const [url, campaign] = read(address);
  const state = recall();
  let visit = state.s || {};
  visit.c = pick(visit.c, allowed);
  const landing = pick(campaign, allowed);
  const fresh =
    !(at - visit.t < SILENCE) ||
    (landing && campaign != led && landing != visit.c) ||
    (visitor_id && visitor_id != visit.v);
  const engaged = said?.event == "engagement";
  if (engaged && (fresh || visit.e)) return;
  led = campaign || led;

  const tell = (/** @type {Event} */ said) => {
    const event = {
      ...{ id: random(), occurred_at: at, url, landing: visit.c, consent: choice, tag: options.tag },
      ...{ referrer: referrer && read(referrer)[0] },
      ...(denied() ? {} : { title, visitor_id, user_id: state.u, ...addresses }),
      ...said,
    };
    addresses = {};
    // What the page cannot judge, or no text can hold, costs itself alone: the visit goes on.
    attempt(() => push(full ? full.judge(event, said.event) : event));
  };

  if (fresh) {
    // Where nothing is kept, a page of this site that led here is all that tells of an earlier one.
    visit = { i: random(), v: visitor_id, n: 0, e: closed && referrer.startsWith(location.origin + "/") };
  }
  visit.c = landing || visit.c;
  if (fresh && !visit.e) {
    tell({ event: "visit", id: visit.i, engaged: false });
    look = LOOK;
  }
  visit.t = at;
  if (said && !engaged) tell(said);
  if (!visit.e && (engaged || (said?.event == "pageview" && visit.n++))) {
    tell({ event: "engagement", id: visit.i + ".e", visit_id: visit.i });
    visit.e = true;
  }
  remember({ ...state, s: visit });
}

/** Somebody looks, or scrolls. */
function engage() {
  look = 0;
  run(page(), ["engagement"]);
}

/** Google's consent mode: `default` before the visitor has chosen, `update` when they have. Until then calls wait
 * for `wait_for_update` ms, or until the page is left. @param {string} mode @param {Record<string, any>} [said] */
export function choose(mode, { wait_for_update, ...said } = {}) {
  const nameless = denied() && !held;
  choice = { ...choice, ...said, gpc: /** @type {any} */ (navigator).globalPrivacyControl };
  const shut = closed;
  close(denied() || on(options.cookieless));
  held = mode == "default" && denied();
  if (shut) queueMicrotask(resume); // when all has been said, by consent managers too
  if (!held) {
    if (closed) forget();
    release();
    if (nameless && !denied()) record(page());
  } else if (wait_for_update) setTimeout(release, wait_for_update);
}

/** A no on another page of the site is one here. */
const heed = () => gone() && choose("update", { analytics_storage: "denied" });

/** The visitor has chosen, or goes without. */
function release() {
  held = false;
  for (const [page, call] of waiting.splice(0)) run(page, call);
}

/** A call of ct(): one that fails costs neither the page nor the others anything.
 * @param {Page} page @param {any[]} call */
export const run = (page, call) =>
  attempt(() => {
    const [name, given, more] = call;
    heed();
    if (name == "consent") {
      full?.heard(more);
      choose(given, more);
    } else if (held || /** @type {any} */ (document).prerendering) waiting.push([page, call]);
    else if (name == "user") {
      addresses = more;
      remember({ ...recall(), u: given });
    } else record(page, { ...given, event: name });
  });

/** Page views of pages that change without loading. Returns what ends the wait for a title. */
function follow() {
  let [, , seen] = read(location.href);
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
    const before = seen;
    [, , seen] = read(location.href);
    // A view to come is one of the address that it finds.
    if (seen == before || unseen || !on(options.autoTrack ?? 1)) return;
    settle();
    next = page();
    next[1] = before;
    timer = setTimeout(settle, 200); // the title follows the address
  };
  for (const name of /** @type {const} */ (["pushState", "replaceState"])) {
    const original = history[name];
    history[name] = function (...given) {
      original.apply(this, given);
      moved();
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
  const reason = full?.guard();
  if (reason) return reason;
  if (on(options.debug)) return;
  if (navigator.webdriver) return "automation";
  if (/^$|^127\.|^\[::1]|\blocalhost$/.test(host)) return "localhost";
}

/** Begin, once. @param {Options} given @param {string} door where events go
 * @returns {string | undefined} why nothing will be sent */
export function start(given, door) {
  configure(given);
  open(door);
  const reason = guarded();
  if (reason) return reason;
  const { consent } = options;
  choose("default", { analytics_storage: consent, ad_storage: consent });
  const settle = follow();
  const leave = (/** @type {any} */ { type }) => {
    heed();
    settle();
    release();
    flush(type);
  };
  listen("pagehide", leave);
  listen("visibilitychange", (event) => (hidden() ? leave(event) : see()));
  listen("prerenderingchange", see);
  listen("pageshow", ({ persisted }) => persisted && view());
  listen("click", declared);
  listen("submit", declared);
  listen("scroll", ({ target }) => look && target == document && document.readyState == "complete" && engage());
  setInterval(() => look && !hidden() && !--look && engage(), 1e3);
}

/** The page's view, as soon as somebody sees it; again when it comes back from the browser's memory. */
export function view() {
  unseen = on(options.autoTrack ?? 1);
  see();
}

function see() {
  held || release(); // what was said while the page was prepared
  if (unseen && !hidden()) {
    unseen = false;
    run(page(), ["pageview"]);
  }
}
