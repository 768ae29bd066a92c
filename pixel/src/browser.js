/** What the page's browser offers, in the forms that the tag needs. Nothing here acts on import. */

/**
 * @typedef {Record<string, any>} Event as POST /collect takes it
 * @typedef {Record<string, any>} Options the script's data- attributes, or what init() was given
 * @typedef {[url: string, referrer: string, title: string, at: number]} Page where and when (ms) something happened
 */

/** Whether an option is set: by an attribute without a value, or by true. @param {any} value */
export const on = (value) => value != null && value !== false && value != "false";

/** @type {(type: string, act: (event: any) => void, target?: EventTarget, once?: boolean) => void} */
export const listen = (type, act, target = window, once) => target.addEventListener(type, act, { capture: true, once });

/** The page as it is now. @returns {Page} */
export const page = () => [location.href, document.referrer, document.title, Date.now()];

export const hidden = () => document.visibilityState == "hidden";

/** 96 random bits. */
export const random = () => crypto.getRandomValues(new Uint32Array(3)).join("-");

/** Text that the door takes: no control characters, not too long. @param {string} text @param {number} most */
export const clean = (text, most) => text.replace(/[\0-\x1f\x7f-\x9f\ufffe\uffff]/g, " ").slice(0, most);
