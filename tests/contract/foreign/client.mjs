// Sends one command of @aws-sdk/client-ecs: `node client.mjs RegisterTaskDefinition < input.json`.
// Prints the output, or {"error": {name, message, status}}, as JSON.
import * as sdk from "@aws-sdk/client-ecs";
import { readFileSync } from "node:fs";

const Command = sdk[`${process.argv[2]}Command`];
const client = new sdk.ECSClient({ maxAttempts: 1 });
try {
  const output = await client.send(new Command(JSON.parse(readFileSync(0, "utf8"))));
  delete output.$metadata;
  console.log(JSON.stringify(output));
} catch (error) {
  const status = error.$metadata?.httpStatusCode;
  console.log(JSON.stringify({ error: { name: error.name, message: error.message, status } }));
} finally {
  client.destroy();
}
