// Judge action.yml (argv 2) with GitHub's language service: prints its diagnostics as JSON.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { validate } from "@actions/languageservice";
import { TextDocument } from "vscode-languageserver-textdocument";

const path = process.argv[2];
const document = TextDocument.create(pathToFileURL(path).href, "yaml", 1, readFileSync(path, "utf8"));
const diagnostics = await validate(document, {});
console.log(JSON.stringify(diagnostics.map(({ message, range }) => ({ line: range.start.line + 1, message }))));
