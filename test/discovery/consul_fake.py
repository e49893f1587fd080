"""A Consul as its documented HTTP API has it: /v1/health/service/:service and /v1/catalog/datacenters.

Its answers have the fields and headers of the pages "Health" and "Catalog" of Consul's API documentation.
"""

import threading
import time


class Consul:
    def __init__(self):
        self.instances = {}  # by datacenter
        self.secret = ""  # the only token that may read, when there is one
        self.lost = {}  # headers that a server without a leader sends
        self.raw = None  # (status, headers, body) instead of an answer
        self.slow = threading.Event()
        self.asked = []

    def register(self, node, address="10.0.0.1", datacenter="munich", service="wgmesh-router", checks=("passing",), tags=(), meta=(), **more):
        known = self.instances.setdefault(datacenter, [])
        known.append(
            {
                "Node": {
                    "ID": "40e4a748-2192-161a-0510-%012d" % len(known),
                    "Node": node,
                    "Address": address,
                    "Datacenter": datacenter,
                    "TaggedAddresses": {"lan": address, "wan": address},
                    "Meta": {"rack": "r1"},
                    "CreateIndex": 5,
                    "ModifyIndex": 6,
                },
                "Service": {
                    "ID": more.get("id", service),
                    "Service": service,
                    "Tags": list(tags) or None,
                    "Address": more.get("service_address", ""),
                    "Meta": dict(meta) or None,
                    "Port": 0,
                    "Weights": {"Passing": 1, "Warning": 1},
                    "EnableTagOverride": False,
                    "Proxy": {"Mode": "", "MeshGateway": {}, "Expose": {}},
                    "Connect": {},
                    "CreateIndex": 9,
                    "ModifyIndex": 9,
                },
                "Checks": [{"Node": node, "CheckID": "c%d" % i, "Status": status} for i, status in enumerate(checks)],
            }
        )

    def play(self, _host, method, path, query, headers, _body):
        self.asked.append((method, path, query))
        if self.slow.is_set():
            time.sleep(3)
        if self.raw:
            return self.raw
        token, said = headers.get("X-Consul-Token"), {"X-Consul-Index": "9", "X-Consul-KnownLeader": "true", "X-Consul-LastContact": "0"}
        said.update(self.lost)
        if token and token not in (self.secret, "weak"):
            return 403, {"Content-Type": "text/plain"}, b"ACL not found"
        if self.lost and "stale" not in query:
            return 500, {"Content-Type": "text/plain"}, b"No cluster leader"
        if path == "/v1/catalog/datacenters":
            return 200, said, sorted(self.instances)
        if not path.startswith("/v1/health/service/") or method != "GET":
            return 404, {}, b""
        datacenter = query.get("dc", ["munich"])[0]
        if datacenter not in self.instances:
            return 500, {"Content-Type": "text/plain"}, b"No path to datacenter"
        found = [i for i in self.instances[datacenter] if i["Service"]["Service"] == path.rsplit("/", 1)[1]]
        if self.secret and token != self.secret:
            # Only who has a token is told that something was kept back.
            if token and found:
                said["X-Consul-Results-Filtered-By-ACLs"] = "true"
            found = []
        return 200, said, found
