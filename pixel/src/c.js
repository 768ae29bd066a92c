/** c.js: the core. */
import { boot } from "./script.js";

boot();
