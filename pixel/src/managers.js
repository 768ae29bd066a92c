/**
 * Consent managers: what IAB's TCF and GPP interfaces of a page say, as the visitor's choice. Until they have
 * answered nothing is kept, and calls wait.
 */
import { choice, choose } from "./core.js";

const UNDECIDED = { analytics_storage: "denied", ad_storage: "denied", ad_user_data: "denied" };

/** Opt-outs of the states' sections; 1 says that the visitor has opted out. */
const OPT_OUTS = ["SaleOptOut", "SharingOptOut", "TargetedAdvertisingOptOut"];

/** Ask whichever is there: the law that TCF is for comes first. */
export function managers() {
  const { __tcfapi, __gpp } = /** @type {any} */ (window);
  if (!__tcfapi && !__gpp) return;
  const { analytics_storage } = choice; // as the page itself says
  choose("default", UNDECIDED);
  if (__tcfapi) tcf(__tcfapi, () => (__gpp ? gpp(__gpp, analytics_storage) : decide("tcf", undefined, true, true)));
  else gpp(__gpp, analytics_storage);
}

/** Purpose 1 is keeping something on a device, 7 measuring ads: as app/collect/consent.py reads the string.
 * @param {any} ask @param {() => void} elsewhere where that law does not apply */
function tcf(ask, elsewhere) {
  ask("addEventListener", 2, (/** @type {any} */ said, /** @type {boolean} */ success) => {
    if (!success || !/tcloaded|useractioncomplete/.test(said.eventStatus)) return;
    if (said.gdprApplies === false) return elsewhere();
    const allowed = said.purpose?.consents || {};
    decide("tcf", said.tcString, allowed[1], allowed[1] && allowed[7]);
  });
}

/** @param {any} ask @param {string | undefined} analytics what the page itself says */
function gpp(ask, analytics) {
  ask("addEventListener", (/** @type {any} */ { pingData }) => {
    if (pingData?.signalStatus != "ready") return;
    const sections = Object.values(pingData.parsedSections || {}).flat();
    const out = sections.some((/** @type {any} */ section) => OPT_OUTS.some((name) => section[name] == 1));
    decide("gpp", pingData.gppString, analytics != "denied", !out);
  });
}

/** @param {string} source @param {string | undefined} raw @param {boolean} measure @param {boolean} ads */
function decide(source, raw, measure, ads) {
  const shared = ads ? "granted" : "denied";
  const analytics_storage = measure ? "granted" : "denied";
  choose("update", { analytics_storage, ad_storage: shared, ad_user_data: shared, source, raw });
}
