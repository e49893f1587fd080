"""What the tests of discovery share: Ansible in an empty home, and a server that plays others."""

import http.server
import json
import os
import pathlib
import re
import subprocess
import tempfile
import threading
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples/inventory"


class Answers(http.server.BaseHTTPRequestHandler):
    """Gives what play(host, method, path, query, headers, body) returns: status, headers, body."""

    protocol_version = "HTTP/1.1"
    host = ""
    play = None

    def answer(self):
        url = urllib.parse.urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        host = self.host or self.headers.get("Host", "")
        status, headers, text = type(self).play(host, self.command, url.path, urllib.parse.parse_qs(url.query, True), self.headers, body)
        if not isinstance(text, bytes):
            text = json.dumps(text).encode()
            headers = {"Content-Type": "application/json", **headers}
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_PUT = answer

    def log_message(self, *_):
        pass


def serve(play, context=None):
    """A server on loopback; its port is server.server_address[1]."""
    handler = type("Handler", (Answers,), {"play": staticmethod(play)})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # who asked is gone, or wanted no such certificate
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    return server


class Ansible:
    """An ansible-core of build/venv-*, in a home of its own that has nothing."""

    def __init__(self, core="newest", path=(), **env):
        self.home = tempfile.TemporaryDirectory(prefix="wgmesh-discovery.")  # goes with this object
        self.bin = ROOT / ("build/venv-%s/bin" % core)
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": self.home.name,
            "LANG": "C.UTF-8",
            "PYTHONPATH": ":".join(map(str, path)),
            "ANSIBLE_COLLECTIONS_PATH": "%s:%s" % (ROOT / "build", ROOT / "build/collections"),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_DEPRECATION_WARNINGS": "0",
            "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "1",
            "COLUMNS": "10000",
            **env,
        }

    def run(self, program, *args, env=()):
        return subprocess.run(
            [self.bin / program, *map(str, args)],
            env={**self.env, **dict(env)},
            cwd=self.home.name,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=1200,
            check=False,
        )

    def inventory(self, *sources, env=(), more=()):
        """The hosts with their variables, the groups with their hosts, and what was said."""
        args = [word for source in sources for word in ("-i", source)]
        done = self.run("ansible-inventory", "--list", *args, *more, env=env)
        if done.returncode:
            return None, None, done.stderr
        top = json.loads(done.stdout[done.stdout.index('{\n    "_meta"') :])  # -vvvv says more, before it
        hosts = top.pop("_meta")["hostvars"]
        groups = {name: group.get("hosts", []) for name, group in top.items()}
        return plain(hosts), groups, done.stderr


def warnings(said):
    """What Ansible warned of, one line each. Core 2.14 breaks lines, after hyphens too; core 2.19 says where an error was made."""
    said = re.sub(r"\n?\[WARNING\]: +(\* +)?", "\0", re.sub(r"-\n", "-", said))
    return [" ".join(one.split()) for one in said.split("\0")]


def plain(value):
    """Without the marks for texts that are no templates."""
    if isinstance(value, dict):
        if set(value) == {"__ansible_unsafe"}:
            return value["__ansible_unsafe"]
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [plain(one) for one in value]
    return value


def authority(folder, names):
    """A certificate authority and one certificate of it for the names: the paths of ca, cert and key."""
    folder = pathlib.Path(folder)
    ca, ca_key, cert, key = (str(folder / name) for name in ("ca.pem", "ca.key", "cert.pem", "key.pem"))

    def openssl(*args):
        subprocess.run(["openssl", *args], check=True, capture_output=True, stdin=subprocess.DEVNULL)

    ec = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-x509", "-days", "2")
    openssl("req", *ec, "-keyout", ca_key, "-out", ca, "-subj", "/CN=test authority", "-addext", "keyUsage=critical,keyCertSign")
    san = ",".join(("IP:" if name[0].isdigit() else "DNS:") + name for name in names)
    openssl(
        *("req", *ec, "-keyout", key, "-out", cert, "-subj", "/CN=stand-in", "-CA", ca, "-CAkey", ca_key),
        *("-addext", "subjectAltName=" + san, "-addext", "basicConstraints=critical,CA:FALSE"),
    )
    return ca, cert, key
