// Preloaded into Node (--require): time passes on the clock of a scripted AWS (STEPPED_CLOCK), not on the wall.
// A timer of a second or more ends when no request is under way: then the clock is advanced to it.
"use strict";
const http = require("node:http");

const clock = new URL(process.env.STEPPED_CLOCK);
const real = { setTimeout, clearTimeout, now: Date.now, request: http.request };
const timers = new Map();
let pumping = false;
let underWay = 0;
let offset = 0;

const virtualNow = () => real.now() + offset;
Date.now = virtualNow;

function tell(advance) {
  return new Promise((resolve, reject) => {
    const body = JSON.stringify({ advance });
    const asked = real.request(clock, { method: "POST", headers: { "Content-Length": body.length } }, (answer) => {
      answer.setEncoding("utf8");
      let text = "";
      answer.on("data", (part) => (text += part));
      answer.on("end", () => resolve(JSON.parse(text).now));
    });
    asked.on("error", reject);
    asked.end(body);
  });
}

for (const module of [http]) {
  module.request = function request(...given) {
    underWay += 1;
    const asked = real.request.apply(this, given);
    asked.once("close", () => (underWay -= 1));
    return asked;
  };
}

async function pump() {
  if (pumping) return;
  pumping = true;
  while (timers.size) {
    await new Promise((resolve) => real.setTimeout(resolve, 2));
    if (underWay || !timers.size) continue;
    const [handle, first] = [...timers].reduce((a, b) => (b[1].at < a[1].at ? b : a));
    timers.delete(handle);
    const wait = Math.max(0, first.at - virtualNow());
    offset += wait;
    await tell(wait / 1000);
    first.callback();
  }
  pumping = false;
}

globalThis.setTimeout = function (callback, delay = 0, ...given) {
  if (delay < 1000) return real.setTimeout(callback, delay, ...given);
  const handle = { ref: () => handle, unref: () => (timers.delete(handle), handle), hasRef: () => true, [Symbol.toPrimitive]: () => 0 };
  timers.set(handle, { at: virtualNow() + delay, callback: () => callback(...given) });
  pump();
  return handle;
};
globalThis.clearTimeout = function (handle) {
  if (!timers.delete(handle)) real.clearTimeout(handle);
};
