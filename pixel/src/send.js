/**
 * From events to the door, each at least once; their ids make it exactly once. Text/plain spares the preflight.
 *
 * What has not arrived when the page goes is kept for the next one.
 */
import { listen, log, on, options } from "./browser.js";
import { queue, queued, unqueue } from "./store.js";

/** @typedef {import("./browser.js").Event} Event */

const MOST = 50; // events of a request
const LARGEST = 2e4; // characters of a request, of at most three bytes: browsers let 64 KiB be under way when a page goes
const LONGEST = 19e3; // characters of an event: one always fits
const KEPT = 100; // events

let door = "";
/** @type {Event[]} */
let out = []; // not sent
/** @type {Set<Event>} */
const flying = new Set(); // sent, and not answered
let failures = 0;

/** @param {string} to */
export function open(to) {
  door = to;
  listen("online", () => flush());
}

/** Take up what earlier pages could not send, once that may be read. */
export const resume = () => queued().forEach(push);

/** @param {Event | undefined} event */
export function push(event) {
  // As it is now, or not at all: what is no JSON must not cost the others of its request.
  const text = JSON.stringify(event);
  if (!(text?.length < LONGEST)) return log("not sent", event); // by the page, or too large
  // One request for what one task tells, and still before the page can go.
  out.push(JSON.parse(text)) > 1 || queueMicrotask(flush);
}

/** Send what is not under way: as much as one request holds, and the rest when that has arrived.
 * @param {string} [leaving] the page is hidden, or (`pagehide`) goes, and nobody will wait for an answer */
export function flush(leaving) {
  const batch = out.splice(0, MOST);
  let body;
  const context = () => ({ sent_at: Date.now(), cookieless: on(options.cookieless) });
  do body = JSON.stringify({ k: options.site, events: batch, context: context() });
  while (body.length > LARGEST && out.unshift(...batch.splice(batch.length >> 1)));
  if (batch[0]) post(batch, body, leaving);
  if (leaving) out[0] ? flush(leaving) : keep();
}

/** @param {Event[]} batch @param {string} body @param {string} [leaving] */
function post(batch, body, leaving) {
  log(batch);
  batch.forEach((event) => flying.add(event));
  // Whether that arrives nobody will know: the batch stays under way, and the next page sends it again.
  if (leaving == "pagehide" && navigator.sendBeacon(door, body)) return;
  fetch(door, {
    method: "POST",
    body,
    keepalive: true,
    // Without the site's word on credentials a foreign answer need not be readable, and so not be allowed.
    mode: options.fetchCredentials ? "cors" : "no-cors",
    credentials: options.fetchCredentials || "include",
  })
    .then(async (answer) => {
      if (answer.status > 428) throw answer.status; // too many requests, or no room
      // To its end: until then browsers count this request among what may be under way.
      log(await answer.text());
      failures = 0;
      land(batch);
      unqueue(batch);
      flush();
    })
    .catch((error) => {
      log("not sent", error);
      land(batch);
      out.push(...batch);
      keep();
      setTimeout(flush, 5e3 * ++failures);
    });
}

/** @param {Event[]} batch */
const land = (batch) => batch.forEach((event) => flying.delete(event));

/** Keep what has not arrived, without addresses: those are never stored. */
function keep() {
  // Told again without its address, an event that is under way would contradict itself.
  const whole = [...flying].filter((event) => !event.email && !event.phone);
  queue([...whole, ...out].slice(-KEPT).map(({ email, phone, ...rest }) => rest));
}
