// Run a composite action as GitHub's runner does, with GitHub's own expression evaluator.
//
// argv 2: the folder of the action. Standard input: JSON {with, workspace}. The environment is the runner's.
// Prints JSON {code, signal, outputs, stdout, stderr, summary} when the action's one step has ended.
// Signals that reach this process are passed on to the step's process, as the runner does on a cancel.
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { data, Evaluator, Lexer, Parser } from "@actions/expressions";
import { parse } from "yaml";

const CONTEXTS = ["inputs", "steps", "github", "env", "runner"];

function contextData(value) {
  if (typeof value === "string") return new data.StringData(value);
  return new data.Dictionary(
    ...Object.entries(value).map(([key, member]) => ({ key, value: contextData(member) })),
  );
}

function evaluated(text, contexts) {
  return String(text).replace(/\$\{\{(.*?)\}\}/gs, (_, expression) => {
    const parser = new Parser(new Lexer(expression).lex().tokens, CONTEXTS, []);
    return new Evaluator(parser.parse(), contextData(contexts)).evaluate().coerceString();
  });
}

// The two forms of a line in GITHUB_OUTPUT: name=value, and name<<END … END.
function outputsOf(text) {
  const outputs = {};
  const lines = text.split(/\r?\n/);
  for (let at = 0; at < lines.length; at += 1) {
    if (lines[at] === "") continue;
    const [, name, mark, rest] = /^(.*?)(<<|=)(.*)$/.exec(lines[at]) ?? [];
    if (name === undefined) throw new Error(`Unable to process file command: ${lines[at]}`);
    if (mark === "=") {
      outputs[name] = rest;
      continue;
    }
    const end = lines.indexOf(rest, at + 1);
    if (end < 0) throw new Error(`Matching delimiter not found: ${rest}`);
    outputs[name] = lines.slice(at + 1, end).join("\n");
    at = end;
  }
  return outputs;
}

async function runStep(step, contexts, files, workspace, folder) {
  const script = join(files, "script.sh");
  writeFileSync(script, evaluated(step.run, contexts));
  const stepEnvironment = Object.fromEntries(
    Object.entries(step.env ?? {}).map(([name, value]) => [name, evaluated(value, contexts)]),
  );
  const paths = { GITHUB_OUTPUT: join(files, "output"), GITHUB_STEP_SUMMARY: join(files, "summary") };
  for (const path of Object.values(paths)) writeFileSync(path, "");
  if (step.shell !== "bash") throw new Error("only bash is known here");
  const child = spawn("bash", ["--noprofile", "--norc", "-eo", "pipefail", script], {
    cwd: workspace,
    env: { ...process.env, ...stepEnvironment, ...paths, GITHUB_ACTION_PATH: folder },
    stdio: ["ignore", "pipe", "pipe"],
  });
  for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => child.kill(signal));
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (chunk) => {
    stdout += chunk;
  });
  child.stderr.on("data", (chunk) => {
    stderr += chunk;
  });
  const [code, signal] = await new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (...ended) => resolve(ended));
  });
  const outputs = outputsOf(readFileSync(paths.GITHUB_OUTPUT, "utf8"));
  return { code, signal, stdout, stderr, outputs, summary: readFileSync(paths.GITHUB_STEP_SUMMARY, "utf8") };
}

const folder = process.argv[2];
const { with: given, workspace } = JSON.parse(readFileSync(0, "utf8"));
const action = parse(readFileSync(join(folder, "action.yml"), "utf8"));
if (action.runs.using !== "composite" || action.runs.steps.length !== 1) throw new Error("one composite step is meant");
const defaults = Object.entries(action.inputs).map(([name, input]) => [name, String(input.default ?? "")]);
const inputs = { ...Object.fromEntries(defaults), ...given };
const files = mkdtempSync(join(tmpdir(), "action-run-"));
try {
  const step = action.runs.steps[0];
  const ended = await runStep(step, { inputs, steps: {}, github: { token: "ghs_ofTheJob" }, env: {}, runner: {} }, files, workspace, folder);
  const contexts = { inputs, steps: { [step.id]: { outputs: ended.outputs } }, github: { token: "ghs_ofTheJob" }, env: {}, runner: {} };
  const outputs = Object.entries(action.outputs).map(([name, output]) => [name, evaluated(output.value, contexts)]);
  console.log(JSON.stringify({ ...ended, outputs: Object.fromEntries(outputs), set: Object.keys(ended.outputs) }));
} finally {
  rmSync(files, { recursive: true, force: true });
}
