"""Runs a Python function: takes events from the Runtime API, calls the handler, hands its answers back.

Standard library only. The arguments are directories of modules that the host's interpreter also looks into.
"""
import http.client
import importlib
import io
import json
import logging
import os
import sys
import time
import traceback

TASK = os.environ["LAMBDA_TASK_ROOT"]
HOST, _, TOKEN = os.environ["AWS_LAMBDA_RUNTIME_API"].partition("/")
BASE = ("/" + TOKEN if TOKEN else "") + "/2018-06-01/runtime/"


class RuntimeAPI:
    """One connection that stays open."""

    def __init__(self):
        self.connection = http.client.HTTPConnection(HOST)

    def request(self, method, path, body=None, headers=None):
        try:
            self.connection.request(method, BASE + path, body, headers or {})
            answer = self.connection.getresponse()
            return answer, answer.read()
        except (http.client.HTTPException, OSError):
            self.connection.close()
            raise

    def next(self):
        answer, body = self.request("GET", "invocation/next")
        if answer.status != 200:
            raise RuntimeError("the Runtime API answers %d" % answer.status)
        return answer.headers, body

    def respond(self, request_id, body):
        answer, _ = self.request("POST", "invocation/%s/response" % request_id, body,
                                 {"Content-Type": "application/json"})
        if answer.status == 413:
            print("[ERROR] [%s] The response is too large." % request_id)

    def fail(self, path, error):
        body = json.dumps(error, ensure_ascii=True).encode()
        self.request("POST", path, body, {"Content-Type": "application/json",
                                          "Lambda-Runtime-Function-Error-Type": error["errorType"]})


class Identity:
    cognito_identity_id = None
    cognito_identity_pool_id = None

    def __repr__(self):
        return "CognitoIdentity([cognito_identity_id=None,cognito_identity_pool_id=None])"


class Client:
    FIELDS = ("installation_id", "app_title", "app_version_name", "app_version_code", "app_package_name")

    def __init__(self, given):
        for name in self.FIELDS:
            setattr(self, name, given.get(name))


class ClientContext:
    def __init__(self, given):
        self.custom = given.get("custom")
        self.env = given.get("env")
        self.client = Client(given["client"]) if isinstance(given.get("client"), dict) else None


class Context:
    """What a handler is told of its invocation."""

    def __init__(self, headers):
        self.aws_request_id = headers["Lambda-Runtime-Aws-Request-Id"]
        self.invoked_function_arn = headers["Lambda-Runtime-Invoked-Function-Arn"]
        self.function_name = os.environ["AWS_LAMBDA_FUNCTION_NAME"]
        self.function_version = os.environ["AWS_LAMBDA_FUNCTION_VERSION"]
        self.memory_limit_in_mb = os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]
        self.log_group_name = os.environ["AWS_LAMBDA_LOG_GROUP_NAME"]
        self.log_stream_name = os.environ["AWS_LAMBDA_LOG_STREAM_NAME"]
        self.tenant_id = None
        self.identity = Identity()
        self.client_context = None
        given = headers.get("Lambda-Runtime-Client-Context")
        if given:
            given = json.loads(given.encode("latin-1").decode("utf-8", "replace"))
            if isinstance(given, dict):
                self.client_context = ClientContext(given)
        self._deadline = int(headers["Lambda-Runtime-Deadline-Ms"])

    def get_remaining_time_in_millis(self):
        return max(0, self._deadline - int(time.time() * 1000))

    def log(self, message):
        sys.stdout.write(str(message))


class StartError(Exception):
    def __init__(self, kind, message, stack=()):
        super().__init__(message)
        self.report = {"errorMessage": message, "errorType": kind, "requestId": "", "stackTrace": list(stack)}


class LogHandler(logging.Handler):
    """The root logger's handler: a record is one entry of the log, its line breaks written as carriage returns."""

    request_id = ""

    def emit(self, record):
        record.aws_request_id = self.request_id
        write(self.format(record))


class LogFormatter(logging.Formatter):
    converter = time.gmtime

    def __init__(self):
        super().__init__("[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s", "%Y-%m-%dT%H:%M:%S")


def write(text):
    sys.stdout.flush()
    sys.stdout.write(text.replace("\n", "\r") + "\n")
    sys.stdout.flush()


def told(error, frames):
    """The report of an exception, and its entry in the log."""
    stack = [line for line in traceback.format_list(frames)]
    report = {"errorMessage": str(error), "errorType": type(error).__name__, "stackTrace": stack}
    log(report)
    return report


def log(report):
    lines = ["[ERROR] %s: %s" % (report["errorType"], report["errorMessage"])]
    if report["stackTrace"]:
        lines.append("Traceback (most recent call last):")
        lines.extend(line.rstrip("\n") for line in report["stackTrace"])
    write("\n".join(lines))


def frames_of_code(error):
    """The stack without this file's part of it."""
    frames = traceback.extract_tb(error.__traceback__)
    return [f for f in frames if f.filename != __file__ and not f.filename.startswith("<frozen importlib")]


def load(name):
    module_name, dot, function = name.rpartition(".")
    if not dot:
        raise StartError("Runtime.MalformedHandlerName",
                         "Bad handler '%s': not enough values to unpack (expected 2, got 1)" % name)
    try:
        module = importlib.import_module(module_name.replace("/", "."))
    except ImportError as e:
        raise StartError("Runtime.ImportModuleError", "Unable to import module '%s': %s" % (module_name, e))
    except SyntaxError as e:
        where = '  File "%s" Line %s\n    %s' % (e.filename, e.lineno, (e.text or "").strip())
        raise StartError("Runtime.UserCodeSyntaxError", "Syntax error in module '%s': %s" % (module_name, e), [where])
    except Exception as e:
        raise StartError(type(e).__name__, str(e), traceback.format_list(frames_of_code(e)))
    try:
        return getattr(module, function)
    except AttributeError:
        raise StartError("Runtime.HandlerNotFound", "Handler '%s' missing on module '%s'" % (function, module_name))


def encode(value):
    if isinstance(value, io.IOBase):
        return value.read()
    try:
        return json.dumps(value, ensure_ascii=False, default=decimal).encode("utf-8", "surrogatepass")
    except Exception as e:
        raise Unserializable("Unable to marshal response: %s" % e) from None


class Unserializable(Exception):
    pass


def decimal(value):
    if type(value).__name__ == "Decimal":
        return float(value)
    raise TypeError("Object of type %s is not JSON serializable" % type(value).__name__)


def invoke(api, handler, headers, body):
    request_id = headers["Lambda-Runtime-Aws-Request-Id"]
    LogHandler.request_id = request_id
    trace = headers.get("Lambda-Runtime-Trace-Id")
    if trace:
        os.environ["_X_AMZN_TRACE_ID"] = trace
    else:
        os.environ.pop("_X_AMZN_TRACE_ID", None)
    report = None
    try:
        try:
            event = json.loads(body.decode("utf-8"))
        except ValueError as e:
            report = {"errorMessage": "Unable to unmarshal input: %s" % e, "errorType": "Runtime.UnmarshalError", "stackTrace": []}
            log(report)
            return api.fail("invocation/%s/error" % request_id, report)
        answer = encode(handler(event, Context(headers)))
    except Unserializable as e:
        report = {"errorMessage": str(e), "errorType": "Runtime.MarshalError", "stackTrace": []}
        log(report)
    except Exception as e:
        report = told(e, frames_of_code(e))
        report["requestId"] = request_id
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    if report:
        api.fail("invocation/%s/error" % request_id, report)
    else:
        api.respond(request_id, answer)


def main():
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)
    extra, sys.argv = sys.argv[1:], [TASK]
    sys.path[0] = TASK
    sys.path.extend(d for d in extra if d not in sys.path)
    handler = LogHandler()
    handler.setFormatter(LogFormatter())
    logging.getLogger().addHandler(handler)
    api = RuntimeAPI()
    try:
        function = load(os.environ["_HANDLER"])
    except StartError as e:
        log(e.report)
        api.fail("init/error", e.report)
        sys.exit(1)
    sys.stdout.flush()
    while True:
        headers, body = api.next()
        invoke(api, function, headers, body)


if __name__ == "__main__":
    main()
