// Judge workflow and action files (argv 3…) with GitHub's own language service: prints its diagnostics as JSON.
// argv 2 is the folder of this action: steps and jobs that use org/ecs-gpu-deploy are judged by its files.
import { readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { pathToFileURL } from "node:url";
import { validate } from "@actions/languageservice";
import { TextDocument } from "vscode-languageserver-textdocument";
import { parse } from "yaml";

const [root, ...paths] = process.argv.slice(2);
const ours = ({ owner, name, repository }) => owner === "org" && (name ?? repository) === "ecs-gpu-deploy";
const config = {
  actionsMetadataProvider: {
    fetchActionMetadata: async (action) =>
      ours(action) && !action.path ? parse(readFileSync(join(root, "action.yml"), "utf8")) : undefined,
  },
  fileProvider: {
    getFileContent: async (reference) => {
      const local = !("repository" in reference) || ours(reference);
      if (!local) throw new Error(`another repository's file: ${reference.path}`);
      return { name: reference.path, content: readFileSync(join(root, reference.path), "utf8") };
    },
  },
};
const found = [];
for (const path of paths) {
  // The service takes a file for what its place says it is; a page's example has no place.
  const place = basename(path) === "action.yml" ? path : join(root, ".github", "workflows", basename(path));
  const document = TextDocument.create(pathToFileURL(place).href, "yaml", 1, readFileSync(path, "utf8"));
  for (const { message, range, severity } of await validate(document, config)) {
    if (message.startsWith("Unable to resolve action `") && !message.includes("`org/ecs-gpu-deploy")) continue;
    found.push({ file: path, line: range.start.line + 1, message, severity });
  }
}
console.log(JSON.stringify(found));
