/** Held to the types by `npm run types`; never run. */
import { consent, init, track, user } from "./index.js";

const reason: string | undefined = init({ site: "ct_pub_x", hostUrl: "https://t.example", excludeHash: false });
init({ site: "ct_pub_x", hostUrl: "https://t.example", beforeSend: (name, event) => (name == "pageview" ? null : event) });
// @ts-expect-error a site is needed
init({ hostUrl: "https://t.example" });
track("sale", { order_id: "o-1", value: "12.50", currency: "EUR", plan: "Pro" });
// @ts-expect-error a currency is text
track("sale", { currency: 978 });
consent("default", { analytics_storage: "denied", wait_for_update: 500 });
// @ts-expect-error a choice is granted or denied
consent("update", { ad_storage: true });
user(null);
user("u-1", { email: "someone@example.org" });
export { reason };
