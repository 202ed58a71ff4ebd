// Judge IAM requests against policies. In: {"identityPolicies": [...], "resourcePolicy": {...}?, "requests": [{"principal",
// "action", "resource", "accountId", "context"}]} on stdin. Out: ["Allowed" | "ImplicitlyDenied" | "ExplicitlyDenied" | error text].
import { runSimulation } from '@cloud-copilot/iam-simulate'

let text = ''
for await (const chunk of process.stdin) text += chunk
const { identityPolicies, resourcePolicy, requests } = JSON.parse(text)

const verdicts = []
for (const { principal, action, resource, accountId, context } of requests) {
  const answer = await runSimulation({
    request: { principal, action, resource: { resource, accountId }, contextVariables: context },
    identityPolicies: identityPolicies.map((policy, number) => ({ name: `policy-${number}`, policy })),
    serviceControlPolicies: [],
    resourceControlPolicies: [],
    resourcePolicy
  }, {})
  verdicts.push(answer.resultType === 'error' || answer.errors
    ? `error: ${JSON.stringify(answer.errors)}`
    : answer.overallResult ?? answer.analysis?.result ?? JSON.stringify(Object.keys(answer)))
}
console.log(JSON.stringify(verdicts))
