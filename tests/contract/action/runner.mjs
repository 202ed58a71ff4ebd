// What GitHub's runner does with a job, with GitHub's own expression evaluator: steps of bash, this action, and
// jobs that call its reusable workflows. Signals that reach this process are passed on to the step's process.
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { data, Evaluator, Lexer, Parser } from "@actions/expressions";
import { parse } from "yaml";

const CONTEXTS = ["inputs", "steps", "github", "env", "runner", "secrets", "vars", "needs", "matrix", "jobs"];
const OURS = /^org\/ecs-gpu-deploy@/;
const OUR_WORKFLOW = /^org\/ecs-gpu-deploy\/(.*)@/;
// Done before the step where these are used: the workspace is the checkout, and buildx is there or it is not.
const PREPARED = /^(actions\/checkout|docker\/setup-buildx-action)@/;

function contextData(value) {
  if (value === null || value === undefined) return new data.Null();
  if (typeof value === "string") return new data.StringData(value);
  if (typeof value === "number") return new data.NumberData(value);
  if (typeof value === "boolean") return new data.BooleanData(value);
  if (Array.isArray(value)) return new data.Array(...value.map(contextData));
  return new data.Dictionary(
    ...Object.entries(value).map(([key, member]) => ({ key, value: contextData(member) })),
  );
}

function statusFunctions(failed) {
  const told = { success: !failed, failure: failed, always: true, cancelled: false };
  const functions = Object.entries(told).map(([name, value]) => ({
    name, minArgs: 0, maxArgs: 0, call: () => new data.BooleanData(value),
  }));
  return new Map(functions.map((one) => [one.name, one]));
}

function expression(text, contexts, failed = false) {
  const functions = statusFunctions(failed);
  const parser = new Parser(new Lexer(text).lex().tokens, CONTEXTS, [...functions.values()]);
  return new Evaluator(parser.parse(), contextData(contexts), functions).evaluate();
}

export function evaluated(text, contexts) {
  return String(text).replace(/\$\{\{(.*?)\}\}/gs, (_, inner) => expression(inner, contexts).coerceString());
}

// A value that is one expression keeps its type: a list from fromJSON stays a list.
function valueOf(value, contexts) {
  const whole = typeof value === "string" && /^\s*\$\{\{((?:(?!\}\}).)*)\}\}\s*$/s.exec(value);
  return whole ? JSON.parse(JSON.stringify(expression(whole[1], contexts), data.replacer)) : value;
}

function allEvaluated(values, contexts) {
  return Object.fromEntries(Object.entries(values ?? {}).map(([key, value]) => [key, evaluated(value, contexts)]));
}

function wanted(condition, contexts, failed) {
  if (condition === undefined) return !failed;
  const text = String(condition).replace(/^\s*\$\{\{(.*)\}\}\s*$/s, "$1");
  const asked = /\b(success|failure|always|cancelled)\s*\(/.test(text);
  if (!asked && failed) return false;
  const value = expression(text, contexts, failed);
  return !(value.kind === data.Kind.Null || ["", "false", "0"].includes(value.coerceString()));
}

// The two forms of a line in GITHUB_OUTPUT and GITHUB_ENV: name=value, and name<<END … END.
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

async function runScript(step, contexts, job, more = {}) {
  const files = mkdtempSync(join(tmpdir(), "action-run-"));
  try {
    const script = join(files, "script.sh");
    writeFileSync(script, evaluated(step.run, contexts));
    const names = { GITHUB_OUTPUT: "output", GITHUB_STEP_SUMMARY: "summary", GITHUB_ENV: "env", GITHUB_PATH: "path" };
    const paths = Object.fromEntries(Object.entries(names).map(([name, file]) => [name, join(files, file)]));
    for (const path of Object.values(paths)) writeFileSync(path, "");
    if ((step.shell ?? "bash") !== "bash") throw new Error("only bash is known here");
    const environment = { ...process.env, ...job.env, ...allEvaluated(step.env, contexts), ...paths, ...more };
    const child = spawn("bash", ["--noprofile", "--norc", "-eo", "pipefail", script], {
      cwd: job.workspace, env: environment, stdio: ["ignore", "pipe", "pipe"],
    });
    const passOn = (signal) => child.kill(signal);
    for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, passOn);
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
      child.on("close", (...over) => resolve(over));
    });
    for (const one of ["SIGINT", "SIGTERM"]) process.removeListener(one, passOn);
    const told = (name) => readFileSync(paths[name], "utf8");
    Object.assign(job.env, outputsOf(told("GITHUB_ENV")));
    const outputs = outputsOf(told("GITHUB_OUTPUT"));
    return { code, signal, stdout, stderr, outputs, summary: told("GITHUB_STEP_SUMMARY") };
  } finally {
    rmSync(files, { recursive: true, force: true });
  }
}

// The action's one step with its inputs, and the outputs that it hands on.
export async function runAction(folder, given, job) {
  const action = parse(readFileSync(join(folder, "action.yml"), "utf8"));
  if (action.runs.using !== "composite" || action.runs.steps.length !== 1)
    throw new Error("one composite step is meant");
  const unknown = Object.keys(given).filter((name) => !(name in action.inputs));
  const defaults = Object.entries(action.inputs).map(([name, input]) => [name, String(input.default ?? "")]);
  const contexts = {
    inputs: { ...Object.fromEntries(defaults), ...given }, steps: {}, github: job.github, env: job.env, runner: {},
  };
  const step = action.runs.steps[0];
  const ended = await runScript(step, contexts, job, { GITHUB_ACTION_PATH: folder });
  if (unknown.length) ended.stdout = `##[warning]Unexpected input(s) '${unknown.join("', '")}'\n${ended.stdout}`;
  contexts.steps = { [step.id]: { outputs: ended.outputs } };
  return { ...ended, outputs: allOutputs(action.outputs, contexts), set: Object.keys(ended.outputs) };
}

function allOutputs(outputs, contexts) {
  return Object.fromEntries(
    Object.entries(outputs ?? {}).map(([name, output]) => [name, evaluated(output.value ?? output, contexts)]),
  );
}

// Inputs of workflow_call and workflow_dispatch: what is not given has its default, else the empty value of its type.
function typed(declared, given, what) {
  const unknown = Object.keys(given).filter((name) => !(name in (declared ?? {})));
  if (unknown.length) throw new Error(`${what}: Invalid input, ${unknown.join(", ")} is not defined`);
  const empty = { string: "", number: 0, boolean: false, choice: "", environment: "" };
  return Object.fromEntries(
    Object.entries(declared ?? {}).map(([name, { type = "string", required, default: usual }]) => {
      const value = given[name] ?? usual;
      if (value === undefined && required) throw new Error(`${what}: Input ${name} is required, but not provided`);
      if (value === undefined) return [name, empty[type]];
      if (type === "number" && Number.isNaN(Number(value))) throw new Error(`${what}: ${name} is no number: ${value}`);
      if (type === "number") return [name, Number(value)];
      return [name, type === "boolean" ? String(value) === "true" : String(value)];
    }),
  );
}

function combinations(matrix, contexts) {
  const axes = Object.entries(matrix ?? {}).filter(([name]) => !["include", "exclude"].includes(name));
  return axes.reduce(
    (some, [name, values]) =>
      some.flatMap((one) => valueOf(values, contexts).map((value) => ({ ...one, [name]: value }))),
    [{}],
  );
}

async function runSteps(id, definition, contexts, job, told) {
  const steps = {};
  let failed = false;
  for (const step of definition.steps) {
    const known = { ...contexts, steps, env: job.env };
    if (!wanted(step.if, known, failed)) continue;
    if (step.uses && PREPARED.test(step.uses)) continue;
    const place = { ...job, env: { ...job.env, ...allEvaluated(step.env, known) } };
    let ended;
    if (step.run) ended = await runScript(step, known, job);
    else if (OURS.test(step.uses)) ended = await runAction(job.root, allEvaluated(step.with, known), place);
    else throw new Error(`not known here: ${step.uses}`);
    told.steps.push({ job: id, name: step.name ?? step.id ?? step.uses ?? "run", ...ended });
    const outcome = ended.code === 0 ? "success" : "failure";
    const forgiven = String(step["continue-on-error"] ?? false) === "true";
    if (step.id) {
      steps[step.id] = { outputs: ended.outputs, outcome, conclusion: forgiven ? "success" : outcome };
    }
    failed ||= outcome === "failure" && !forgiven;
  }
  const outputs = allOutputs(definition.outputs, { ...contexts, steps, env: job.env });
  return { result: failed ? "failure" : "success", outputs };
}

// A workflow from its file: called with inputs and secrets, or started with the inputs of workflow_dispatch.
export async function runWorkflow(file, { given, secrets, vars, job, told, called = false }) {
  const workflow = parse(readFileSync(file, "utf8"));
  const declared = called ? workflow.on.workflow_call : workflow.on.workflow_dispatch;
  const inputs = typed(declared?.inputs, given, file);
  const jobs = {};
  const left = Object.entries(workflow.jobs);
  while (left.length) {
    const next = left.findIndex(([, one]) => [one.needs ?? []].flat().every((name) => name in jobs));
    const [[id, definition]] = left.splice(next, 1);
    const needed = Object.fromEntries([definition.needs ?? []].flat().map((name) => [name, jobs[name]]));
    const failed = Object.values(needed).some(({ result }) => result !== "success");
    const base = { inputs, secrets, vars, needs: needed, github: job.github };
    if (!wanted(definition.if, { ...base, env: job.env }, failed)) {
      jobs[id] = { result: "skipped", outputs: {} };
      continue;
    }
    for (const matrix of combinations(definition.strategy?.matrix, base)) {
      const contexts = { ...base, matrix };
      const env = { ...job.env, ...allEvaluated(workflow.env, contexts), ...allEvaluated(definition.env, contexts) };
      const place = { ...job, env };
      if (definition.uses) {
        const path = OUR_WORKFLOW.exec(definition.uses)?.[1] ?? definition.uses.slice(2);
        const handed = Object.entries(definition.with ?? {}).map(([name, value]) => {
          const one = valueOf(value, contexts);
          return [name, typeof one === "string" ? evaluated(one, contexts) : one];
        });
        jobs[id] = await runWorkflow(join(job.root, path), {
          given: Object.fromEntries(handed),
          secrets: definition.secrets === "inherit" ? secrets : allEvaluated(definition.secrets, contexts),
          vars,
          job: { ...job, env: {} },  // the caller's env does not reach a called workflow
          told,
          called: true,
        });
      } else {
        jobs[id] = await runSteps(id, definition, contexts, place, told);
      }
      if (jobs[id].result !== "success") break;
    }
  }
  const ends = Object.values(jobs).map(({ result }) => result);
  const outputs = called ? allOutputs(declared?.outputs, { inputs, jobs }) : {};
  return { result: ends.includes("failure") ? "failure" : "success", outputs, jobs };
}
