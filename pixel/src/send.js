/**
 * From events to the door, each at least once; their ids make it exactly once. Text/plain spares the preflight.
 *
 * An event stays in `out` until the door has it. What is still there when the page goes is kept for the next one.
 */
import { listen, on } from "./browser.js";
import { queue, queued, unqueue } from "./store.js";

/** @typedef {import("./browser.js").Event} Event */

const MOST = 50; // events of a request
const LARGEST = 6e4; // bytes of a request: browsers let 64 KiB be under way when a page goes
const KEPT = 100; // events

/** @type {import("./browser.js").Options} */
let options;
let door = "";
/** @type {Event[]} */
let out = [];
/** @type {Set<Event>} */
const flying = new Set();
let failures = 0;
let timer = 0;
let due = false;

/** @param {...any} told */
export const log = (...told) => on(options.debug) && console.info("[clicktrail]", ...told);

/** @param {import("./browser.js").Options} given @param {string} to */
export function open(given, to) {
  options = given;
  door = to;
  listen("online", () => flush());
}

/** Take up what earlier pages could not send. */
export const resume = () => queued().forEach(push);

/** @param {Event} event */
const size = (event) => new Blob([JSON.stringify(event)]).size;

/** @param {Event} event */
export function push(event) {
  if (size(event) > LARGEST) return log("too large, not sent", event);
  out.push(event);
  // One request for what one task tells, and still before the page can go.
  if (!due) queueMicrotask(flush);
  due = true;
}

/** Send what is not under way. @param {boolean} [leaving] the page goes: nobody will wait for an answer */
export function flush(leaving) {
  due = false;
  clearTimeout(timer);
  /** @type {Event[]} */
  let batch = [];
  let bytes = 0;
  for (const event of out)
    if (!flying.has(event)) {
      bytes += size(event);
      if (batch.length == MOST || bytes > LARGEST) {
        post(batch, leaving);
        batch = [];
        bytes = size(event);
      }
      batch.push(event);
    }
  post(batch, leaving);
  if (leaving) keep();
}

/** @param {Event[]} batch @param {boolean} [leaving] */
function post(batch, leaving) {
  if (!batch[0]) return;
  const body = JSON.stringify({ k: options.site, events: batch, context: { sent_at: Date.now() } });
  log("send", batch);
  batch.forEach((event) => flying.add(event));
  if ((leaving || !("keepalive" in Request.prototype)) && navigator.onLine && navigator.sendBeacon(door, body))
    return drop(batch);
  fetch(door, {
    method: "POST",
    body,
    keepalive: true,
    // Without the site's word on credentials a foreign answer need not be readable, and so not be allowed.
    mode: options.fetchCredentials ? "cors" : "no-cors",
    credentials: options.fetchCredentials || "include",
  })
    .then((answer) => {
      if (answer.status == 429 || answer.status > 499) throw answer.status;
      failures = 0;
      drop(batch);
      if (on(options.debug)) answer.text().then((text) => log("answer", text));
    })
    .catch((error) => {
      log("kept, not sent", error);
      batch.forEach((event) => flying.delete(event));
      keep();
      timer = setTimeout(flush, 5e3 << Math.min(failures++, 6));
    });
}

/** The door has these. @param {Event[]} batch */
function drop(batch) {
  out = out.filter((event) => !batch.includes(event));
  unqueue(batch);
}

/** Keep what is not sent, without addresses: those are never stored. */
function keep() {
  queue(
    out
      .slice(-KEPT)
      // Told again without its address, an event that is under way would contradict itself.
      .filter((event) => !(flying.has(event) && (event.email || event.phone)))
      .map(({ email, phone, ...rest }) => rest),
  );
}
