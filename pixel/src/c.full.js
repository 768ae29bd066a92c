/** c.full.js: the core, with consent managers and links that lead to other sites. */
import { arrive, links } from "./links.js";
import { managers } from "./managers.js";
import { boot } from "./script.js";

arrive();
boot([managers, links]);
