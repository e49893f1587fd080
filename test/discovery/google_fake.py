"""Google Cloud as gcp_compute sees it: a token for a service account, and the aggregated list of instances.

Fields are those of the REST reference of Compute Engine v1, instances.aggregatedList and instances.getGuestAttributes.
An exceeded rate quota is 403 with the reason rateLimitExceeded (docs.cloud.google.com/compute/api-quota), and its body
that of docs.cloud.google.com/compute/docs/troubleshooting/troubleshoot-operation-limits.
"""

import json
import pathlib
import re
import urllib.parse

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

TOKENS, API, BOUNDARY = "oauth2.googleapis.com", "www.googleapis.com", "iamcredentials.googleapis.com"
PROJECT = "wan-routers"


PUBLISHED = json.loads((pathlib.Path(__file__).parents[2] / "internal/fakecloud/published/gcp.json").read_text())


def fits(schema, value):
    """Whether an answer has only what Google's discovery document says it may have."""
    schema = PUBLISHED["schemas"][schema["$ref"]] if "$ref" in schema else schema
    if isinstance(value, dict):
        return all(key in schema["properties"] and fits(schema["properties"][key], one) for key, one in value.items())
    if isinstance(value, list):
        return schema["type"] == "array" and all(fits(schema["items"], one) for one in value)
    return schema["type"] == "string" and isinstance(value, str)


class Google:
    def __init__(self):
        self.instances = {}  # by zone
        self.refused = None  # an answer instead of the list
        self.published = {}  # guest attributes wgmesh/mesh_host_key by VM
        self.trouble = {}  # by VM, what is answered first when it is asked for them; None is a connection that ends
        self.blind = False  # whether compute.instances.getGuestAttributes is missing
        self.key = rsa.generate_private_key(65537, 2048)
        self.asked = []

    def service_account(self):
        """The content of a key file, as Google gives it."""
        text = self.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()
        mail = "inventory@%s.iam.gserviceaccount.com" % PROJECT
        known = {
            "type": "service_account",
            "project_id": PROJECT,
            "private_key_id": "k1",
            "private_key": text,
            "client_email": mail,
            "client_id": "1",
        }
        return json.dumps({**known, "token_uri": "https://%s/token" % TOKENS, "universe_domain": "googleapis.com"})

    def vm(self, name, zone, public="", labels=(), metadata=(), status="RUNNING"):
        base = "https://www.googleapis.com/compute/v1/projects/%s" % PROJECT
        nic = {"name": "nic0", "network": base + "/global/networks/wan", "networkIP": "10.3.1.4", "fingerprint": "x"}
        nic["subnetwork"] = base + "/regions/europe-west3/subnetworks/wan"
        if public:
            nic["accessConfigs"] = [{"kind": "compute#accessConfig", "type": "ONE_TO_ONE_NAT", "name": "External NAT", "natIP": public}]
        found = self.instances.setdefault(zone, [])
        found.append(
            {
                "kind": "compute#instance",
                "id": str(4000000000000000000 + sum(map(len, self.instances.values()))),
                "name": name,
                "status": status,
                "zone": "%s/zones/%s" % (base, zone),
                "machineType": "%s/zones/%s/machineTypes/e2-small" % (base, zone),
                "selfLink": "%s/zones/%s/instances/%s" % (base, zone, name),
                "labels": dict(labels),
                "tags": {"items": ["router"], "fingerprint": "x"},
                "metadata": {"kind": "compute#metadata", "fingerprint": "x", "items": [{"key": k, "value": v} for k, v in dict(metadata).items()]},
                "networkInterfaces": [nic],
                "canIpForward": True,
                "fingerprint": "x",
            }
        )

    def tokens(self, _host, method, path, _query, _headers, body):
        form = dict(urllib.parse.parse_qsl(body.decode()))
        try:
            claims = jwt.decode(form["assertion"], self.key.public_key(), algorithms=["RS256"], audience="https://oauth2.googleapis.com/token")
        except jwt.PyJWTError as error:
            return 400, {}, {"error": "invalid_grant", "error_description": str(error)}
        assert (method, path, claims["scope"]) == ("POST", "/token", "https://www.googleapis.com/auth/compute.readonly"), claims
        return 200, {}, {"access_token": "google-token", "expires_in": 3599, "token_type": "Bearer"}

    def boundary(self, _host, _method, path, _query, _headers, _body):
        """google-auth asks where an account's tokens may be used; this is Google's word for everywhere."""
        assert path.endswith("/allowedLocations"), path
        return 200, {}, {"locations": [], "encodedLocations": "0x0"}

    def play(self, _host, method, path, query, headers, _body):
        self.asked.append((path, query))
        if self.refused:
            return self.refused
        if headers.get("Authorization") != "Bearer google-token":
            return self.refusal(401, "authError", "Request had invalid authentication credentials.")
        instance = r"(projects/%s/zones/[\w-]+/instances/([\w-]+))" % PROJECT
        attributes = re.fullmatch("/compute/v1/%s/getGuestAttributes" % instance, path)
        if attributes and method == "GET":
            return self.guest_attributes(*attributes.groups(), query)
        if (method, path) != ("GET", "/compute/v1/projects/%s/aggregated/instances" % PROJECT):
            return self.refusal(404, "notFound", "The resource was not found")
        wanted = re.fullmatch(r"labels\.(\w+) = (\w+)", query.get("filter", [""])[0])
        assert wanted, query
        # A page for each zone, and zones without an instance as Google has them.
        zones = sorted({*self.instances, "us-east1-b"})
        page = int(query.get("pageToken", ["0"])[0])
        zone = zones[page]
        found = [one for one in self.instances.get(zone, []) if one["labels"].get(wanted[1]) == wanted[2]]
        nothing = {"warning": {"code": "NO_RESULTS_ON_PAGE", "message": "There are no results for scope 'zones/%s' on this page." % zone}}
        items = {"zones/" + zone: {"instances": json.loads(json.dumps(found))} if found else nothing}
        answer = {"kind": "compute#instanceAggregatedList", "id": "x", "items": items}
        if page + 1 < len(zones):
            answer["nextPageToken"] = str(page + 1)
        return 200, {}, answer

    def guest_attributes(self, instance, name, query):
        method = PUBLISHED["methods"]["compute.instances.getGuestAttributes"]
        assert query == {"queryPath": ["wgmesh/mesh_host_key"]} and set(query) <= set(method["parameters"]), query
        if self.blind:
            said = "Required 'compute.instances.getGuestAttributes' permission for '%s'" % instance
            return self.refusal(403, "forbidden", said)
        if self.trouble.get(name):
            first = self.trouble[name].pop(0)
            if first is None:
                raise ConnectionError
            return first
        if name not in self.published:
            said = "The resource 'wgmesh/mesh_host_key' of type 'Guest Attribute' was not found."
            return self.refusal(404, "notFound", said)
        item = {"namespace": "wgmesh", "key": "mesh_host_key", "value": self.published[name]}
        value = {"items": [item]}
        answer = {"kind": "compute#guestAttributes", "queryPath": "wgmesh/mesh_host_key", "queryValue": value}
        assert fits(method["response"], answer), answer
        return 200, {}, answer

    @staticmethod
    def refusal(status, reason, said):
        return status, {}, {"error": {"code": status, "message": said, "errors": [{"message": said, "domain": "global", "reason": reason}]}}
