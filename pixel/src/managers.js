/**
 * Consent managers: what IAB's TCF and GPP interfaces of a page say, as the visitor's choice. Until they have
 * answered nothing is kept, and calls wait. Where no law or section says otherwise, the page's own word counts.
 */
import { attempt, options } from "./browser.js";
import { choose } from "./core.js";

const UNDECIDED = { analytics_storage: "denied", ad_storage: "denied", ad_user_data: "denied" };

/** Opt-outs of the states' sections; 1 says that the visitor has opted out. */
const OPT_OUTS = ["SaleOptOut", "SharingOptOut", "TargetedAdvertisingOptOut"];

const TCF_SECTION = 2; // of GPP: TCF 2 for the EU

/** @type {Record<string, any>} */
let own = {}; // the page's word

/** @param {Record<string, any>} said */
export const heard = (said) => {
  own = { ...own, ...said };
};

/** Ask whichever is there: the law that TCF is for comes first. */
export function managers() {
  const { __tcfapi, __gpp } = /** @type {any} */ (window);
  if (!__tcfapi && !__gpp) return;
  choose("default", UNDECIDED);
  if (__tcfapi) tcf(__tcfapi, () => (__gpp ? gpp(__gpp) : decide("tcf", undefined, true, true)));
  else gpp(__gpp);
}

/** What a manager is given to call: an error in it is not theirs. @param {(said: any, success: boolean) => void} act */
const listener = (act) => (/** @type {any} */ said, /** @type {boolean} */ success) => attempt(() => act(said, success));

/** Purpose 1 is keeping something on a device, 7 measuring ads: as app/collect/consent.py reads the string.
 * @param {any} ask @param {() => void} elsewhere where that law does not apply */
function tcf(ask, elsewhere) {
  const answer = listener((said, success) => {
    if (!success || !/tcloaded|useractioncomplete/.test(said.eventStatus)) return;
    if (said.gdprApplies === false) return elsewhere();
    const allowed = said.purpose?.consents || {};
    choice("tcf", said.tcString, allowed[1], allowed[1] && allowed[7]);
  });
  ask("addEventListener", 2, answer);
}

/** @param {any} ask */
function gpp(ask) {
  const answer = listener(({ pingData }) => {
    if (pingData?.signalStatus != "ready") return;
    const { gppString, applicableSections = [], parsedSections } = pingData;
    if (applicableSections.includes(TCF_SECTION)) {
      const [section = {}] = [parsedSections?.tcfeuv2].flat();
      const { PurposeConsents: allowed = [] } = section; // from purpose 1 on
      return choice("gpp", gppString, allowed[0], allowed[0] && allowed[6]);
    }
    const sections = Object.values(parsedSections || {}).flat();
    const out = sections.some((/** @type {any} */ section) => OPT_OUTS.some((name) => section[name] == 1));
    decide("gpp", gppString, true, !out);
  });
  ask("addEventListener", answer);
}

/** Where the visitor is not asked: what they may still deny, and the page may. @param {string} source
 * @param {string | undefined} raw @param {boolean} measure @param {boolean} ads */
function decide(source, raw, measure, ads) {
  const { analytics_storage = options.consent, ad_storage = options.consent } = own;
  choice(source, raw, measure && analytics_storage != "denied", ads && ad_storage != "denied");
}

/** @param {string} source @param {string | undefined} raw @param {boolean} measure @param {boolean} ads */
function choice(source, raw, measure, ads) {
  const shared = ads ? "granted" : "denied";
  const analytics_storage = measure ? "granted" : "denied";
  choose("update", { analytics_storage, ad_storage: shared, ad_user_data: shared, source, raw });
}
