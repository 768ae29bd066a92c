/**
 * What is kept in the browser, first-party: the visitor's id (a cookie and a copy), the visit, and events that could
 * not be sent. While it is closed nothing is, and only memory knows the visit.
 */
import { attempt, random } from "./browser.js";

/** @typedef {import("./browser.js").Event} Event */

const LIFE = 34128e3; // seconds: 13 months from the day the id was made, never extended
const QUEUE = "ct_q.";

/** @type {Record<string, any>} */
let memory = {}; // instead of the storage, where there is none
let offered = ""; // the visitor's id as another site of ours knows it

/** Where nothing may be kept; so it is until somebody says more. */
export let closed = true;

/** What this page has kept of the visitor, if it could. */
let kept = "";

/** @param {any} shut */
export function close(shut) {
  closed = shut;
}

/** @param {string} id */
export const offer = (id) => (offered = id);

/** What is known of the visitor: `v` id, `u` user id, `s` the visit. @returns {Record<string, any>} */
export const recall = () => (!closed && attempt(() => JSON.parse(localStorage.ct || null))) || memory;

/** @param {Record<string, any>} state */
export function remember(state) {
  memory = state;
  closed || attempt(() => (localStorage.ct = JSON.stringify(state)));
}

/** On the widest domain that takes it, so that www and shop know one visitor. @param {string} id @param {number} life */
const bake = (id, life) => attempt(() => {
  const labels = location.hostname.split(".");
  for (const domain of [...labels.map((_, at) => ";domain=" + labels.slice(~at).join(".")), ""]) {
    document.cookie =
      `ct_vid=${id};path=/;max-age=${life | 0};samesite=lax` + domain + (location.protocol == "https:" ? ";secure" : "");
    if (id && document.cookie.includes(id)) break;
  }
});

const baked = () => /\bct_vid=([\w.-]+)/.exec(/** @type {any} */ (attempt(() => document.cookie)))?.[1];

const present = () => baked() || attempt(() => localStorage.ct);

/** Whether another page has taken away what this one kept: the visitor's no, said there. */
export const gone = () => kept && !present();

/** The visitor's id, "<birth in seconds, base 36>.<random>"; nothing where nothing may be kept.
 * @returns {string | undefined} */
export function visitor() {
  if (closed) return;
  const state = recall();
  const now = Date.now() / 1e3;
  const cookie = baked();
  let id = offered || cookie || state.v;
  let left = parseInt(id, 36) + LIFE - now;
  if (!(left > 0 && left < LIFE + 99)) {
    id = (now | 0).toString(36) + "." + random();
    left = LIFE;
  }
  offered = "";
  if (id != cookie) bake(id, left);
  if (id != state.v) remember({ ...state, v: id });
  kept = present();
  return id;
}

/** Keep events for the next page. @param {Event[]} events */
export const queue = (events) =>
  closed || attempt(() => events.forEach((event) => (localStorage[QUEUE + event.id] = JSON.stringify(event))));

const erase = (/** @type {string[]} */ names) => attempt(() => names.forEach((name) => delete localStorage[name]));

/** @param {Event[]} events */
export const unqueue = (events) => erase(events.map((event) => QUEUE + event.id));

const names = () => attempt(() => Object.keys(localStorage).filter((name) => name.startsWith(QUEUE))) || [];

/** What earlier pages kept. @returns {Event[]} */
export const queued = () => (closed ? [] : names().map((name) => JSON.parse(localStorage[name])));

/** Nothing stays of who this was, and of what led here; the visit goes on. */
export function forget() {
  memory = { s: { ...memory.s, c: "" } };
  kept = "";
  bake("", 0);
  erase(["ct", ...names()]);
}
