// Run this action, or a workflow that uses it, as GitHub does.
//
// argv 2: the folder of the action. The environment is the runner's. Standard input, JSON: {with, workspace}, for a
// reusable workflow also {workflow, secrets}, and for a whole one {workflow, started: true, vars}.
// Prints JSON {code, signal, outputs, set, stdout, stderr, summary}: of the action's step, or of all steps together.
import { readFileSync } from "node:fs";
import { runAction, runWorkflow } from "./runner.mjs";

const root = process.argv[2];
const { with: given, workspace, workflow, secrets = {}, vars = {}, started = false } =
  JSON.parse(readFileSync(0, "utf8"));
const members = ["sha", "ref", "ref_name", "repository", "actor", "event_name", "run_id", "server_url", "workflow"];
const github = Object.fromEntries(members.map((name) => [name, process.env[`GITHUB_${name.toUpperCase()}`] ?? ""]));
const job = { root, workspace, env: {}, github: { ...github, token: "ghs_ofTheJob", workspace } };
if (workflow) {
  const told = { steps: [] };
  const ended = await runWorkflow(workflow, { given, secrets, vars, job, told, called: !started });
  const together = (name) => told.steps.map((step) => step[name]).join("");
  const failed = told.steps.find((step) => step.code !== 0);
  console.log(JSON.stringify({
    code: ended.result === "success" ? 0 : (failed?.code ?? 1),
    signal: failed?.signal ?? null,
    outputs: started ? (told.steps.at(-1)?.outputs ?? {}) : ended.outputs,
    set: told.steps.at(-1)?.set ?? [],
    stdout: together("stdout"),
    stderr: together("stderr"),
    summary: together("summary"),
    jobs: ended.jobs,
  }));
} else {
  console.log(JSON.stringify(await runAction(root, given, job)));
}
