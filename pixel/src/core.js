/**
 * Visits, page views, engagement, and what the site tells: from calls and pages to events.
 *
 * A visit starts after 30 minutes of silence, or with a new campaign. It was engaged in once there is a second page,
 * 10 seconds of looking, or a scroll.
 */
import { clean, hidden, listen, on, page, random } from "./browser.js";
import { flush, log, open, push, resume } from "./send.js";
import { close, forget, recall, remember, visitor } from "./store.js";

/** @typedef {import("./browser.js").Page} Page */
/** @typedef {import("./browser.js").Event} Event */
/** @typedef {import("./browser.js").Options} Options */

const SILENCE = 18e5; // ms
const LOOK = 10; // s

const KINDS = /^(impression|click|visit|pageview|open|lead|sale)$/;
/** What an event may say; all else is the site's own and travels as properties. */
const FIELDS =
  /^(kind|goal|campaign|ad|ad_group|partner|channel|creative|placement|keyword|click_ids?|user_id|order_id|lead_id|id|store|email|phone|email_sha256|phone_sha256|value|currency|tax|shipping|viewable|segment|new_customer|test|properties)$/;
const CLICK_IDS =
  /^((g|d|fb|tt|tw|q|ir|y|ym|ms)cl(k)?id|gclsrc|[gw]braid|li_fat_id|(rdt_|mc_|s?s?c|vm)cid|ScCid|epik|igshid|_kx|dicbo|tblci|cjevent|awc|ranSiteID|clickref|zanpid|wickedid)$/;

/** @type {Options} */
let options;
/** @type {Record<string, any>} */
let consent = {}; // what the visitor allowed, as events carry it
let held = false; // until they have chosen
/** @type {[Page, any[]][]} */
let waiting = []; // the calls of that time
/** @type {Event} */
let addresses = {}; // for the next event: hashed at the door, stored nowhere
let look = 0; // seconds of looking that make an engagement; 0: nothing to find out

const denied = () => consent.measure === false;

/** An address as it is told, and what it says of where the visitor came from. @param {string} address */
function read(address) {
  const url = new URL(address);
  /** @type {Event} */
  const found = { utm: {}, click_ids: {} };
  let campaign = "";
  for (const [name, value] of [...url.searchParams]) {
    const utm = /^utm_(.+)/.exec(name);
    const ours = name == "ct_click";
    if (utm) found.utm[utm[1]] = clean(value, 400);
    else if (ours) found.click_id = value;
    else if (!CLICK_IDS.test(name)) continue;
    else if (consent.ads === false) url.searchParams.delete(name);
    else found.click_ids[name] = clean(value, 1e3);
    campaign += name + value;
  }
  if (!on(options.hash)) url.hash = "";
  if (denied()) found.click_id = found.click_ids = undefined;
  if (on(options.excludeSearch) || denied()) url.search = "";
  return { campaign, found, url: url.href.slice(0, 4e3) };
}

/** Record an event, and the visit that it starts. @param {Page} page @param {string} kind @param {Event} [fields] */
function record([address, referrer, title, at], kind, fields) {
  const anonymous = denied();
  const { campaign, found, url } = read(address);
  const visitor_id = anonymous ? undefined : visitor();
  const state = recall();
  let visit = state.s || {};
  const fresh = !(at - visit.t < SILENCE) || (campaign && campaign != visit.c);
  const engaged = kind == "engagement";
  if (engaged && (fresh || visit.e)) return;

  const tell = (/** @type {Event} */ said) => {
    /** @type {Event} */
    let event = { id: random(), occurred_at: at, url, referrer, consent, ...said };
    if (!anonymous) {
      event = { title: clean(title, 400), visitor_id, user_id: state.u, ...addresses, ...event };
      addresses = {};
    }
    if (options.tag) event.properties = { tag: options.tag, ...event.properties };
    const { beforeSend } = options;
    const judge = /** @type {any} */ (window)[beforeSend] || beforeSend;
    if (judge && !(event = judge(kind, event))) log("dropped by before-send", said);
    else push(event);
  };

  if (fresh) {
    visit = { i: random(), c: campaign, o: found, n: 0 };
    const { click_id, click_ids } = found;
    if (click_id || Object.keys(click_ids || {})[0]) state.k = { click_id, click_ids };
    // Where nothing is kept, a page of this site that led here is all that tells of an earlier one.
    visit.e = anonymous && referrer.startsWith(location.origin);
    if (!visit.e) {
      tell({ ...found, kind: "visit", id: visit.i, engaged: false });
      look = LOOK;
    }
  }
  visit.t = at;
  if (!engaged) tell({ ...visit.o, ...(/lead|sale/.test(kind) && state.k), ...fields, kind });
  if (kind == "pageview") visit.n++;
  if (!visit.e && (engaged || visit.n > 1)) {
    tell({ kind: "engagement", id: visit.i + ".e", visit_id: visit.i });
    visit.e = true;
  }
  remember({ ...state, v: visitor_id, s: visit });
}

/** Somebody looks, or scrolls. */
const engage = () => {
  if (look) record(page(), "engagement");
  look = 0;
};

/** What the site tells: a kind, or the name of a goal. @param {Page} page @param {string} name @param {Event} [given] */
function track(page, name, given = {}) {
  /** @type {Event} */
  const fields = { properties: {} };
  for (let [field, value] of Object.entries(given)) {
    if (field == "properties") Object.assign(fields.properties, value);
    // 0.1 + 0.2 is no amount of money: the door takes six decimals.
    else if (FIELDS.test(field)) fields[field] = value?.toFixed ? +value.toFixed(6) : value;
    else fields.properties[field] = value;
  }
  const kind = KINDS.test(name) ? name : fields.order_id ? "sale" : "lead";
  record(page, kind, kind == name ? fields : { goal: name, ...fields });
}

/** @type {Record<string, string>} */
const choice = {}; // by Google's names

/** Google's consent mode: `default` before the visitor has chosen, `update` when they have.
 * @param {string} mode @param {Record<string, any>} said */
function choose(mode, { wait_for_update, ...said }) {
  const { analytics_storage, ad_storage, ad_user_data } = Object.assign(choice, said);
  allow(
    {
      ...choice,
      measure: analytics_storage != "denied",
      ads: ad_storage != "denied" && ad_user_data != "denied",
    },
    mode == "default",
    wait_for_update,
  );
}

/** @param {Record<string, any>} said as events carry it @param {boolean} [open] whether a choice may follow
 * @param {number} [wait] for it, in ms; without: until the page is left */
export function allow(said, open, wait) {
  consent = said;
  if (navigator.globalPrivacyControl) consent.ads = false;
  close(denied());
  held = !!open && denied();
  if (!held) {
    if (denied()) forget();
    release();
  } else if (wait) setTimeout(release, wait);
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
  } else track(page, name, given);
}

/** Page views of pages that change without loading. Returns what ends the wait for a title. */
function follow() {
  let seen = read(location.href).url;
  /** @type {Page | undefined} */
  let next;
  let timer = 0;
  const settle = () => {
    clearTimeout(timer);
    if (next) run([next[0], next[1], document.title, next[3]], ["pageview"]);
    next = undefined;
  };
  const moved = () => {
    const { url } = read(location.href);
    if (url == seen) return;
    settle();
    next = [location.href, seen, "", Date.now()];
    seen = url;
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
  listen("hashchange", moved);
  return settle;
}

/** Elements that say what they stand for: data-ct-event, and -value, -currency, -prop-*. @param {any} event */
function declared({ target, type }) {
  const found = target.closest?.("[data-ct-event]");
  if (!found || (found.tagName == "FORM") != (type == "submit")) return;
  /** @type {Event} */
  const given = { properties: {} };
  for (const { name, value } of found.attributes) {
    const [, field, property] = /^data-ct-(?:prop-(.+)|(.+))/.exec(name) || [];
    if (field) given.properties[field] = value;
    else if (property && property != "event") given[property.replaceAll("-", "_")] = value;
  }
  run(page(), [found.dataset.ctEvent, given]);
}

/** Why nothing is told from here; undefined where all is well. */
function guarded() {
  const host = location.hostname;
  if (on(options.doNotTrack) && navigator.doNotTrack == "1") return "do not track";
  if (options.domains && !options.domains.split(/[\s,]+/).includes(host)) return "data-domains";
  if (on(options.debug)) return;
  if (navigator.webdriver) return "automation";
  if (/^(localhost|127\..*|\[::1\]|.*\.localhost|)$/.test(host)) return "localhost without data-debug";
}

/** Begin, once. @param {Options} given @param {string} door where events go
 * @returns {string | undefined} why nothing will be sent */
export function start(given, door) {
  options = given;
  open(options, door);
  const reason = guarded();
  if (reason) return reason;
  if (options.consent == "denied") choose("default", { analytics_storage: "denied", ad_storage: "denied" });
  else allow({});
  const settle = follow();
  const leave = () => {
    settle();
    release();
    flush(true);
  };
  listen("pagehide", leave);
  listen("visibilitychange", () => hidden() && leave(), document);
  listen("click", declared);
  listen("submit", declared);
  listen("scroll", () => document.readyState == "complete" && engage());
  setInterval(() => look && !hidden() && (look > 1 ? look-- : engage()), 1e3);
  resume();
}

/** The page's view, as soon as somebody sees it; again when it comes back from the browser's memory. */
export function view() {
  const seen = () => {
    if (/** @type {any} */ (document).prerendering) listen("prerenderingchange", seen, document, true);
    else if (hidden()) listen("visibilitychange", seen, document, true);
    else run(page(), ["pageview"]);
  };
  seen();
  listen("pageshow", ({ persisted }) => persisted && seen());
}
