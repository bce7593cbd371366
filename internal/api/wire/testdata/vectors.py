"""Makes and checks the vectors of this folder with botocore, the other implementation of the protocols.

python3 vectors.py make  > inputs.jsonl     requests as botocore writes them, and what they say
python3 vectors.py check < outputs.jsonl    reads the answers that the Go test wrote (go test -run TestOutputs -update)
"""
import base64, datetime, json, random, sys, urllib.parse
import botocore.session
from botocore.awsrequest import HeadersDict
from botocore import parsers, serialize

SESSION = botocore.session.Session()
TEXT = ["a", "a b", "<&>\"'", "é\u4e16\U0001F600", "line\nfeed", "x=1&y=2", " lead"]
PLAIN = ["abc", "a/b", "2", "x y", "ü"]


def wanted():
    for line in open("operations.txt"):
        yield line.split()


def value(shape, rng, depth, plain):
    t = shape.type_name
    if t == "structure":
        while True:  # an empty structure in a list cannot be told in the query protocol
            if made := structure(shape, rng, depth):
                return made
            depth = max(depth - 1, 2)
    if t == "list":
        return [value(shape.member, rng, depth + 1, plain) for _ in range(rng.randint(1, 2))]
    if t == "map":
        return {rng.choice(["k1", "k-2", "k3"]) if plain else rng.choice(TEXT): value(shape.value, rng, depth + 1, plain)
                for _ in range(2)}
    if t == "string":
        if shape.enum:
            return rng.choice(shape.enum)
        return rng.choice(PLAIN[:3] if plain else TEXT)
    if t == "blob":
        return bytes(rng.randrange(256) for _ in range(5))
    if t == "boolean":
        return rng.choice([True, False])
    if t in ("integer",):
        return rng.randint(-5, 2**31 - 1)
    if t == "long":
        return rng.randint(-5, 2**53)
    if t in ("float", "double"):
        return rng.randint(0, 100) / 4
    if t == "timestamp":
        return datetime.datetime(2000 + rng.randrange(50), 1, 2, 3, 4, rng.randrange(60), tzinfo=datetime.timezone.utc)
    raise ValueError(t)


def structure(shape, rng, depth):
    out = {}
    for name, member in shape.members.items():
        if member.serialization.get("streaming") or member.serialization.get("eventstream"):
            continue
        required = name in shape.required_members or name == shape.serialization.get("payload")
        if not required and (rng.random() < (0.3 if depth < 2 else 0.7) or depth > 4):
            continue
        if name in ("ContentMD5", "Expires"):  # botocore has its own ideas of these two
            continue
        located = member.serialization.get("location") in ("uri", "querystring", "header", "headers")
        out[name] = value(member, rng, depth + 1, located)
    return out


def plainly(x):
    if isinstance(x, dict):
        return {k: plainly(v) for k, v in x.items()}
    if isinstance(x, list):
        return [plainly(v) for v in x]
    if isinstance(x, bytes):
        return base64.b64encode(x).decode()
    if isinstance(x, datetime.datetime):
        return x.astimezone(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    return x


def streaming(shape):
    return any(m.serialization.get("streaming") or m.serialization.get("eventstream") for m in shape.members.values())


def make():
    for service, name in wanted():
        if name == "WriteGetObjectResponse":  # goes to a host of its own
            continue
        model = SESSION.get_service_model(service)
        op = model.operation_model(name)
        rng = random.Random(service + name)
        params = structure(op.input_shape, rng, 0) if op.input_shape else {}
        request = serialize.create_serializer(model.metadata["protocol"], False).serialize_to_request(params, op)
        labels = {m.serialization.get("name", n): str(params[n]) for n, m in (op.input_shape.members.items() if op.input_shape else [])
                  if m.serialization.get("location") == "uri"}
        body = request["body"]
        if isinstance(body, dict):
            body = urllib.parse.urlencode(body)
        if isinstance(body, bytes):
            body = body.decode()
        query = request["query_string"] or {}
        print(json.dumps({
            "service": service, "operation": name, "labels": labels,
            "query": {k: [str(x) for x in (v if isinstance(v, list) else [v])] for k, v in query.items()},
            "header": {k: str(v) for k, v in request["headers"].items()}, "body": body or "", "params": plainly(params)},
            ensure_ascii=False))


def check():
    bad = n = 0
    for line in sys.stdin:
        v = json.loads(line)
        model = SESSION.get_service_model(v["service"])
        op = model.operation_model(v["operation"])
        if not op.output_shape or streaming(op.output_shape) or v["operation"] == "GetBucketLocation":
            continue
        n += 1
        v["header"].pop("Expires", None)  # a string here, a date there
        v["params"].pop("Expires", None)
        parser = parsers.create_parser(model.metadata["protocol"])
        got = parser.parse({"status_code": v["status"], "headers": HeadersDict(v["header"]),
                            "body": v["body"].encode()}, op.output_shape)
        got.pop("ResponseMetadata", None)
        if plainly(got) != v["params"]:
            bad += 1
            print(v["service"], v["operation"], "\n  want", json.dumps(v["params"]), "\n  got ", json.dumps(plainly(got), default=str))
    print(n, "answers read,", bad, "differ")
    sys.exit(1 if bad else 0)


make() if sys.argv[1] == "make" else check()
