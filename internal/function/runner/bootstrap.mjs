// Runs a Node function: takes events from the Runtime API, calls the handler, hands its answers back.
// Node's own modules only. CommonJS and ES modules; handlers that return, that are async, or that call back.
import fs from "node:fs";
import http from "node:http";
import path from "node:path";
import util from "node:util";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const task = process.env.LAMBDA_TASK_ROOT;
const [address, token] = process.env.AWS_LAMBDA_RUNTIME_API.split("/");
const [host, port] = address.split(":");
const base = (token ? "/" + token : "") + "/2018-06-01/runtime/";
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
let requestId = "";

function request(method, what, body, headers = {}) {
  return new Promise((resolve, reject) => {
    if (body !== undefined) headers["Content-Length"] = Buffer.byteLength(body);
    const r = http.request({ host, port, method, path: base + what, agent, headers }, (answer) => {
      const parts = [];
      answer.on("data", (b) => parts.push(b));
      answer.on("end", () => resolve({ status: answer.statusCode, headers: answer.headers, body: Buffer.concat(parts) }));
      answer.on("error", reject);
    });
    r.on("error", reject);
    r.end(body);
  });
}

const asReport = (e) =>
  e instanceof Error || (e && typeof e === "object" && "message" in e && "stack" in e)
    ? { errorType: e.name || "Error", errorMessage: String(e.message), trace: String(e.stack || "").split("\n") }
    : { errorType: typeof e, errorMessage: typeof e === "string" ? e : String(util.inspect(e)), trace: [] };

const fail = (what, report) =>
  request("POST", what, JSON.stringify(report), { "Content-Type": "application/json", "Lambda-Runtime-Function-Error-Type": report.errorType.replace(/[^\x20-\x7e]/g, "?") });

// Output is written at once, so that nothing is lost when the process is stopped. A line break within one entry of the log is a carriage return.
function write(text) {
  let b = Buffer.from(text.replace(/\n/g, "\r") + "\n");
  while (b.length > 0) {
    try {
      b = b.subarray(fs.writeSync(1, b));
    } catch (e) {
      if (e.code !== "EAGAIN") throw e;
    }
  }
}

for (const [method, level] of [["log", "INFO"], ["info", "INFO"], ["debug", "DEBUG"], ["trace", "TRACE"], ["warn", "WARN"], ["error", "ERROR"]]) {
  console[method] = (...all) => write(`${new Date().toISOString()}\t${requestId || "undefined"}\t${level}\t${util.format(...all)}`);
}

class StartError extends Error {
  constructor(name, message) {
    super(message);
    this.name = name;
  }
}

// Finds "dir/file.export.path": the file with one of Node's endings, then the function in what it exports.
async function load(name) {
  const dir = path.dirname(name);
  const [, file, exported] = path.basename(name).match(/^([^.]+)\.(.+)$/) || [];
  if (!file || name.includes("..")) throw new StartError("Runtime.MalformedHandlerName", "Bad handler");
  const at = path.join(task, dir, file);
  let module;
  const found = [".js", ".mjs", ".cjs"].map((end) => at + end).find((f) => fs.existsSync(f));
  if (!found) throw new StartError("Runtime.ImportModuleError", `Error: Cannot find module '${path.join(dir, file)}'`);
  try {
    module = isModule(found) ? await import(pathToFileURL(found).href) : createRequire(found)(found);
  } catch (e) {
    if (e instanceof SyntaxError) throw new StartError("Runtime.UserCodeSyntaxError", `SyntaxError: ${e.message}`);
    if (e && (e.code === "MODULE_NOT_FOUND" || e.code === "ERR_MODULE_NOT_FOUND")) throw new StartError("Runtime.ImportModuleError", `Error: ${e.message}`);
    throw e;
  }
  const pick = (from) => exported.split(".").reduce((o, key) => (o === undefined || o === null ? undefined : o[key]), from);
  const handler = pick(module) ?? pick(module.default);
  if (handler === undefined) throw new StartError("Runtime.HandlerNotFound", `${name} is undefined or not exported`);
  if (typeof handler !== "function") throw new StartError("Runtime.HandlerNotFound", `${name} is not a function`);
  return handler;
}

function isModule(file) {
  if (!file.endsWith(".js")) return file.endsWith(".mjs");
  for (let dir = path.dirname(file); ; dir = path.dirname(dir)) {
    const at = path.join(dir, "package.json");
    if (fs.existsSync(at)) return JSON.parse(fs.readFileSync(at, "utf8")).type === "module";
    if (dir === task || dir === path.dirname(dir)) return false;
  }
}

function contextOf(headers, done) {
  const deadline = Number(headers["lambda-runtime-deadline-ms"]);
  const given = headers["lambda-runtime-client-context"];
  return {
    callbackWaitsForEmptyEventLoop: true,
    awsRequestId: headers["lambda-runtime-aws-request-id"],
    invokedFunctionArn: headers["lambda-runtime-invoked-function-arn"],
    functionName: process.env.AWS_LAMBDA_FUNCTION_NAME,
    functionVersion: process.env.AWS_LAMBDA_FUNCTION_VERSION,
    memoryLimitInMB: process.env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    logGroupName: process.env.AWS_LAMBDA_LOG_GROUP_NAME,
    logStreamName: process.env.AWS_LAMBDA_LOG_STREAM_NAME,
    identity: undefined,
    clientContext: given ? JSON.parse(Buffer.from(given, "latin1").toString("utf8")) : undefined,
    getRemainingTimeInMillis: () => Math.max(0, deadline - Date.now()),
    done: (error, value) => done(error, value, true),
    succeed: (value) => done(null, value, true),
    fail: (error) => done(error ?? "handled", undefined, true),
  };
}

// Resolves with what the handler comes to, by whichever way it takes.
function call(handler, event, headers) {
  return new Promise((resolve, reject) => {
    let called = false;
    const settle = (error, value) => (error !== undefined && error !== null ? reject(error) : resolve(value));
    const done = (error, value, now) => {
      if (called) return;
      called = true;
      if (now || error || !context.callbackWaitsForEmptyEventLoop) return settle(error, value);
      drained = () => settle(error, value);
    };
    const context = contextOf(headers, done);
    drained = () => resolve(null); // nothing is left to do, and nobody has answered
    const result = handler(event, context, (error, value) => done(error, value, false));
    if (result && typeof result.then === "function") result.then(resolve, reject);
  });
}

let drained; // what to do once the event loop is empty
process.on("beforeExit", () => {
  const f = drained;
  drained = undefined;
  if (f) f();
});

// An error that nothing catches ends the process, having told why.
let current;
for (const [event, name] of [["uncaughtException", ""], ["unhandledRejection", "Runtime.UnhandledPromiseRejection"]]) {
  process.on(event, (e) => {
    const report = asReport(e);
    if (name) Object.assign(report, { errorType: name, errorMessage: `${report.errorType}: ${report.errorMessage}` });
    console.error((name ? "Unhandled Promise Rejection" : "Uncaught Exception") + "\t" + JSON.stringify(report));
    const what = current ? `invocation/${current}/error` : "init/error";
    fail(what, report).finally(() => process.exit(name ? 128 : 129));
  });
}

async function serve(handler) {
  for (;;) {
    const { status, headers, body } = await request("GET", "invocation/next");
    if (status !== 200) throw new Error(`the Runtime API answers ${status}`);
    requestId = current = headers["lambda-runtime-aws-request-id"];
    if (headers["lambda-runtime-trace-id"]) process.env._X_AMZN_TRACE_ID = headers["lambda-runtime-trace-id"];
    else delete process.env._X_AMZN_TRACE_ID;
    try {
      const value = await call(handler, JSON.parse(body.toString("utf8")), headers);
      drained = undefined;
      let text;
      try {
        text = JSON.stringify(value === undefined ? null : value);
      } catch (e) {
        throw Object.assign(new Error(`Unable to stringify response body: ${e.message}`), { name: "Runtime.MarshalError" });
      }
      const answer = await request("POST", `invocation/${current}/response`, text ?? "null", { "Content-Type": "application/json" });
      if (answer.status === 413) console.error("The response is too large.");
    } catch (e) {
      drained = undefined;
      const report = asReport(e);
      console.error("Invoke Error \t" + JSON.stringify({ errorType: report.errorType, errorMessage: report.errorMessage, stack: report.trace }));
      await fail(`invocation/${current}/error`, report);
    }
    current = undefined;
  }
}

let handler;
try {
  process.chdir(task);
  handler = await load(process.env._HANDLER);
} catch (e) {
  const report = asReport(e);
  console.error((e instanceof StartError ? "" : "Uncaught Exception\t") + JSON.stringify({ errorType: report.errorType, errorMessage: report.errorMessage, stack: report.trace }));
  await fail("init/error", report);
  process.exit(1);
}
await serve(handler);
