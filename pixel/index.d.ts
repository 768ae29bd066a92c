/** Where and how to measure; the names are those of the script's `data-` attributes. */
export interface Options {
  /** The site's public key, `ct_pub_...`. */
  site: string;
  /** Where Clicktrail is: `https://t.example`, or a path of the site's own, `https://shop.example/t`. */
  hostUrl: string;
  /** Where CLICKTRAIL_COLLECT_PATH says another path than `/collect`. */
  collectPath?: string;
  /** Page views are told of by themselves, also where pages change without loading. Default: true. */
  autoTrack?: boolean;
  /** Host names on which anything is sent, separated by commas or spaces. */
  domains?: string;
  /** A word that every event carries as the property `tag`. */
  tag?: string;
  /** Send nothing where the browser says Do Not Track. */
  doNotTrack?: boolean;
  /** Send addresses without their query; campaigns are told all the same. */
  excludeSearch?: boolean;
  /** `false`: fragments (`#...`) are part of an address, and another one is another page. Default: true. */
  excludeHash?: boolean;
  /** Sees every event before it is sent; what it returns is sent, and nothing when it returns nothing. */
  beforeSend?: string | ((name: string, event: Record<string, unknown>) => Record<string, unknown> | null | undefined);
  /** Fetch's `credentials` for sending; `include` or `omit` let answers be read across origins. */
  fetchCredentials?: "include" | "same-origin" | "omit";
  /** `denied`: nothing is kept, and calls wait, until `consent("update", ...)`. */
  consent?: "granted" | "denied";
  /** Keep nothing in the browser, whatever is allowed. */
  cookieless?: boolean;
  /** Send from localhost and from automated browsers too, and say in the console what is sent and what is not. */
  debug?: boolean;
  /** Hosts of other sites of yours to which the visitor's id goes along. */
  linkDomains?: string;
  /** `host:name={click_id}&name={visitor_id}`: parameters for links to affiliates. */
  affiliate?: string;
}

type Word = "granted" | "denied";

/** Google's names for what a visitor allows. */
export interface Choice {
  analytics_storage?: Word;
  ad_storage?: Word;
  ad_user_data?: Word;
  ad_personalization?: Word;
  functionality_storage?: Word;
  personalization_storage?: Word;
  security_storage?: Word;
  /** With `default`: ms until calls stop waiting for the choice. */
  wait_for_update?: number;
}

/** What an event may say. Anything else becomes a property. */
export interface Fields {
  id?: string;
  order_id?: string;
  lead_id?: string;
  value?: number | string;
  currency?: string;
  tax?: number | string;
  shipping?: number | string;
  goal?: string;
  campaign?: string;
  user_id?: string;
  email?: string;
  phone?: string;
  new_customer?: boolean;
  test?: boolean;
  properties?: Record<string, unknown>;
  [property: string]: unknown;
}

/** Begin, once; on a server nothing happens. Returns why nothing will be sent from here, if so. */
export function init(options: Options): string | undefined;
/** Tell of a `lead`, a `sale`, a `pageview`, or of any goal by its name. */
export function track(name: string, fields?: Fields): void;
/** `default` before the visitor has chosen, `update` when they have. */
export function consent(mode: "default" | "update", choice: Choice): void;
/** Who the visitor is; `null` when they have logged out. Addresses are hashed at the service, and stored nowhere. */
export function user(id: string | null, addresses?: { email?: string; phone?: string }): void;
