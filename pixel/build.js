/** Build what is shipped: the scripts into ../app/tag (or the folder named), the module into dist. */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { build } from "esbuild";
import { minify } from "terser";

const here = (/** @type {string} */ path) => new URL(path, import.meta.url).pathname;
const [scripts = here("../app/tag"), module = here("dist")] = process.argv.slice(2);

/** Source and target, and the form it takes. */
const BUILT = /** @type {const} */ ([
  { entry: "src/c.js", file: `${scripts}/c.js`, format: "iife" },
  { entry: "src/c.full.js", file: `${scripts}/c.full.js`, format: "iife" },
  { entry: "src/index.js", file: `${module}/index.js`, format: "esm" },
]);

for (const { entry, file, format } of BUILT) {
  const { outputFiles } = await build({
    absWorkingDir: here("."),
    entryPoints: [entry],
    bundle: true,
    write: false,
    target: "es2021",
    format: "esm",
    minifySyntax: true,
    logLevel: "error",
  });
  const [{ text }] = outputFiles;
  const { code } = await minify(format == "iife" ? `(()=>{${text}})()` : text, {
    ecma: 2020,
    module: format == "esm",
    toplevel: true,
    compress: { passes: 4, pure_getters: true, unsafe: true, unsafe_arrows: true, hoist_funs: true },
    format: { quote_style: 2 }, // the service looks for "/collect"
  });
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, code + "\n");
}
