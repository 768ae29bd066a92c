/** Build what is shipped: the script into ../app/tag (or the folder named), the module into dist. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { build } from "esbuild";
import { minify } from "terser";

const here = (/** @type {string} */ path) => new URL(path, import.meta.url).pathname;
const [script = here("../app/tag"), module = here("dist")] = process.argv.slice(2);

/** Source and target, and the form it takes. */
const BUILT = [
  { entry: "src/classic.js", file: `${script}/c.js`, format: "iife" },
];

for (const { entry, file, format } of BUILT) {
  const { outputFiles } = await build({
    absWorkingDir: here("."),
    entryPoints: [entry],
    bundle: true,
    write: false,
    target: "es2021",
    format: /** @type {"iife"} */ (format),
    logLevel: "error",
  });
  const { code } = await minify(outputFiles[0].text, {
    ecma: 2020,
    module: format == "esm",
    toplevel: true,
    compress: { passes: 4, pure_getters: true, unsafe: true, unsafe_arrows: true },
    format: { quote_style: 2 }, // the service looks for "/collect"
  });
  mkdirSync(file.replace(/[^/]*$/, ""), { recursive: true });
  writeFileSync(file, code + "\n");
}
