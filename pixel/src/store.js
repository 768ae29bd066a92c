/**
 * What is kept in the browser, first-party: the visitor's id (a cookie and a copy), the visit, the click that led
 * here, and events that could not be sent. Where consent is denied nothing is, and what there was is removed.
 */
import { random } from "./browser.js";

/** @typedef {import("./browser.js").Event} Event */

const LIFE = 34128e3; // seconds: 13 months from the day the id was made, never extended
const QUEUE = "ct_q.";

/** @type {Record<string, any>} */
let memory = {}; // instead of the storage, where there is none
let closed = false;

/** A storage that is full or not allowed must not cost the page anything. @template T @param {() => T} act */
function attempt(act) {
  try {
    return act();
  } catch {}
}

/** What is known of the visitor: `v` id, `u` user id, `s` the visit, `k` the click. @returns {Record<string, any>} */
export const recall = () => (!closed && attempt(() => JSON.parse(localStorage.ct))) || memory;

/** @param {Record<string, any>} state */
export function remember(state) {
  memory = state;
  closed || attempt(() => (localStorage.ct = JSON.stringify(state)));
}

/** On the widest domain that takes it, so that www and shop know one visitor. @param {string} id @param {number} life */
function bake(id, life) {
  const labels = location.hostname.split(".");
  for (const domain of [...labels.map((_, at) => ";domain=" + labels.slice(~at).join(".")), ""]) {
    document.cookie =
      `ct_vid=${id};path=/;max-age=${life | 0};samesite=lax` + domain + (location.protocol == "https:" ? ";secure" : "");
    if (id && document.cookie.includes(id)) break;
  }
}

/** The visitor's id, "<birth in seconds, base 36>.<random>"; `given`: as another site of ours knows it.
 * @param {string} [given] */
export function visitor(given) {
  const state = recall();
  const now = Date.now() / 1e3;
  const baked = /\bct_vid=([\w.-]+)/.exec(document.cookie)?.[1];
  let id = given || baked || state.v;
  let left = parseInt(id, 36) + LIFE - now;
  if (!(left > 0 && left < LIFE + 99)) {
    id = (now | 0).toString(36) + "." + random();
    left = LIFE;
  }
  if (id != baked) bake(id, left);
  if (id != state.v) remember({ ...state, v: id });
  return id;
}

/** Keep events for the next page. @param {Event[]} events */
export const queue = (events) =>
  closed || attempt(() => events.forEach((event) => (localStorage[QUEUE + event.id] = JSON.stringify(event))));

/** @param {Event[]} events */
export const unqueue = (events) => attempt(() => events.forEach((event) => delete localStorage[QUEUE + event.id]));

/** What earlier pages kept. @returns {Event[]} */
export const queued = () =>
  attempt(() => Object.keys(localStorage).flatMap((name) => (name.startsWith(QUEUE) ? JSON.parse(localStorage[name]) : []))) || [];

/** Whether anything may be kept from now on. @param {boolean} shut */
export function close(shut) {
  closed = shut;
}

/** Nothing stays of who this was. */
export function forget() {
  memory = {};
  bake("", 0);
  attempt(() => Object.keys(localStorage).forEach((name) => /^ct(_q\.|$)/.test(name) && delete localStorage[name]));
}
