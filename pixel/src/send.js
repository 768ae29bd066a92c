/**
 * From events to the door, each at least once; their ids make it exactly once. Text/plain spares the preflight.
 *
 * What has not arrived when the page goes is kept for the next one.
 */
import { listen, log, on, options } from "./browser.js";
import { queue, queued, unqueue } from "./store.js";

/** @typedef {import("./browser.js").Event} Event */

const MOST = 50; // events of a request
const LARGEST = 6e4; // bytes of a request: browsers let 64 KiB be under way when a page goes, headers included
const LONGEST = 19e3; // characters of an event, of at most three bytes: one always fits
const KEPT = 100; // events

let door = "";
/** @type {Event[]} */
let out = []; // not sent
/** @type {Set<Event>} */
const flying = new Set(); // sent, and not answered
let failures = 0;
let timer = 0;

/** @param {string} to */
export function open(to) {
  door = to;
  listen("online", () => flush());
}

/** Take up what earlier pages could not send. */
export const resume = () => queued().forEach(push);

/** @param {Event} event */
export function push(event) {
  // As it is now, or not at all: what is no JSON must not cost the others of its request.
  const text = JSON.stringify(event);
  if (text.length > LONGEST) return log("too large", event);
  // One request for what one task tells, and still before the page can go.
  out.push(JSON.parse(text)) > 1 || queueMicrotask(flush);
}

/** Send what is not under way: as much as one request holds, and the rest when that has arrived.
 * @param {boolean} [leaving] the page goes: nobody will wait for an answer */
export function flush(leaving) {
  clearTimeout(timer);
  const batch = out.splice(0, MOST);
  let body;
  const cookieless = on(options.cookieless);
  do body = JSON.stringify({ k: options.site, events: batch, context: { sent_at: Date.now(), cookieless } });
  while (new Blob([body]).size > LARGEST && out.unshift(...batch.splice(batch.length >> 1)));
  if (batch[0]) post(batch, body, leaving);
  if (leaving) keep();
}

/** @param {Event[]} batch @param {string} body @param {boolean} [leaving] */
function post(batch, body, leaving) {
  log("send", batch);
  batch.forEach((event) => flying.add(event));
  if (leaving && navigator.onLine && navigator.sendBeacon(door, body)) return drop(batch, true);
  fetch(door, {
    method: "POST",
    body,
    keepalive: true,
    // Without the site's word on credentials a foreign answer need not be readable, and so not be allowed.
    mode: options.fetchCredentials ? "cors" : "no-cors",
    credentials: options.fetchCredentials || "include",
  })
    .then(async (answer) => {
      if (answer.status == 429 || answer.status > 499) throw answer.status;
      // To its end: until then browsers count this request among what may be under way.
      log("answer", await answer.text());
      failures = 0;
      drop(batch);
    })
    .catch((error) => {
      log("not sent", error);
      land(batch);
      out.push(...batch);
      keep();
      timer = setTimeout(flush, 5e3 << Math.min(failures++, 6));
    });
}

/** @param {Event[]} batch */
const land = (batch) => batch.forEach((event) => flying.delete(event));

/** The door has these, and may have more. @param {Event[]} batch @param {boolean} [leaving] */
function drop(batch, leaving) {
  land(batch);
  unqueue(batch);
  flush(leaving);
}

/** Keep what has not arrived, without addresses: those are never stored. */
function keep() {
  // Told again without its address, an event that is under way would contradict itself.
  const whole = [...flying].filter((event) => !event.email && !event.phone);
  queue([...whole, ...out].slice(-KEPT).map(({ email, phone, ...rest }) => rest));
}
