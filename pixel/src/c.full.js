/** c.full.js: the core, with consent managers, links that lead to other sites, and what the page judges itself. */
import { prepare } from "./full.js";
import { boot } from "./script.js";

prepare();
boot();
