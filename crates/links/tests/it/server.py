"""A server on standard input and output that does what a method's name says, well or badly."""

import json
import os
import resource
import signal
import sys
import time

cancelled = []
answers = []


def raw(text):
    os.write(1, text.encode())


def send(message):
    raw(json.dumps(message, separators=(",", ":")) + "\n")


def answer(request, result):
    send({"jsonrpc": "2.0", "id": request["id"], "result": result})


def note(method, **params):
    send({"jsonrpc": "2.0", "method": method, "params": params})


def world():
    return {
        "env": dict(os.environ),
        "cwd": os.getcwd(),
        "group": os.getpgid(0) == os.getpid(),
        "files": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        "core": resource.getrlimit(resource.RLIMIT_CORE)[0],
        "descriptors": sorted(int(name) for name in os.listdir("/proc/self/fd"))[:-1],
        "pid": os.getpid(),
    }


def leave_a_child():
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            time.sleep(60)
    return child


def ignore_the_end():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    answered = answers.pop()
    answer(answered, {"pid": os.getpid()})
    while True:
        time.sleep(60)


def progress(request):
    token = request["params"]["_meta"]["progressToken"]
    for step in range(request["params"].get("steps", 3)):
        note("notifications/progress", progressToken=token, progress=step)
    answer(request, {"done": True})


def handle(request):
    method, params = request.get("method"), request.get("params", {})
    match method:
        case "initialize":
            answer(request, {"protocolVersion": "2025-11-25", "capabilities": {}})
        case "refuse/initialize":
            send({"jsonrpc": "2.0", "id": request["id"], "error": {"code": -32602, "message": "no"}})
        case "echo":
            answer(request, params)
        case "tools/call":
            result = params.get("arguments", {}) | {"pid": os.getpid(), "state": params.get("requestState")}
            answer(request, result | {"content": []})
        case "tools/list":
            answer(request, {"tools": []})
        case "unknown":
            send({"jsonrpc": "2.0", "id": request["id"], "error": {"code": -32601, "message": "no"}})
        case "progress":
            progress(request)
        case "unasked":
            answer(request, {})
            note("notifications/tools/list_changed")
        case "ask":
            send({"jsonrpc": "2.0", "id": "q", "method": "sampling/createMessage", "params": {}})
            answers.append(request)
        case "never":
            pass
        case "die":
            os._exit(3)
        case "half":
            raw('{"jsonrpc":"2.0","id":')
            os._exit(0)
        case "wrong":
            send({"jsonrpc": "2.0", "id": 999999, "result": {}})
            raw("Welcome to the server!\n\n[1,2]\n")
            answer(request, {"n": 1})
            answer(request, {"n": 2})
        case "big":
            piece = "x" * (1 << 20)
            raw('{"jsonrpc":"2.0","id":1,"result":"')
            for _ in range(params["mib"]):
                raw(piece)
            raw('"}\n')
        case "flood":
            for _ in range(params["mib"]):
                os.write(2, b"noise noise noise noise noise noise noise noise noise noise 1234\n" * 16384)
            answer(request, {})
        case "world":
            answer(request, world())
        case "fork":
            answer(request, {"pid": os.getpid(), "child": leave_a_child()})
        case "stubborn":
            answers.append(request)
            ignore_the_end()
        case "cancelled":
            answer(request, cancelled)
        case "notifications/cancelled":
            cancelled.append(params["requestId"])
        case None if answers:
            answer(answers.pop(), {"heard": request.get("result")})


if len(sys.argv) > 1 and sys.argv[1] == "crash":
    print("it does not start", file=sys.stderr)
    sys.exit(1)
for line in sys.stdin:
    handle(json.loads(line))
