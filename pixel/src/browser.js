/** What the page wants, and what its browser offers, in the forms that the tag needs. Nothing acts on import. */

/**
 * @typedef {Record<string, any>} Event as POST /collect takes it
 * @typedef {Record<string, any>} Options the script's data- attributes, or what init() was given
 * @typedef {[url: string, referrer: string, title: string, at: number]} Page where and when (ms) something happened
 */

/** Whether an option is set: by an attribute without a value, or by true. @param {any} value */
export const on = (value) => `${value ?? false}` != "false";

/** Words with commas or spaces between them. @param {any} words @returns {string[]} */
export const list = (words) => (words ? `${words}`.split(/[\s,]+/).filter(Boolean) : []);

/** Before the page's own listeners, which may stop an event. @type {(type: string, act: (event: any) => void) => void} */
export const listen = (type, act) => window.addEventListener(type, act, true);

/** The page as it is now. @returns {Page} */
export const page = () => [location.href, document.referrer, document.title, Date.now()];

/** Nobody sees the page: it lies behind another, or is only being prepared. */
export const hidden = () => document.hidden;

/** 96 random bits. */
export const random = () => crypto.getRandomValues(new Uint32Array(3)).join("-");

/** @type {Options} */
export let options;

/** @param {Options} given */
export function configure(given) {
  options = given;
}

/** @param {...any} told */
export const log = (...told) => on(options.debug) && console.info("[clicktrail]", ...told);

/** Storage that is full or not allowed, or what a page calls with, must not cost the page anything.
 * @template T @param {() => T} act */
export function attempt(act) {
  try {
    return act();
  } catch (error) {
    log(error);
  }
}
