"""Azure as azure_rm sees it: the login, the list of virtual machines, and the batch of what belongs to them.

Fields are those of Microsoft's REST reference for Microsoft.Compute/virtualMachines 2024-07-01 and Microsoft.Network
2024-05-01; the batch, which Microsoft does not describe, is as the plugin has used it since 2018.
"""

import json
import urllib.parse

SUBSCRIPTION = "00000000-0000-0000-0000-00000000a5e0"
TENANT = "00000000-0000-0000-0000-00000000e4a7"
CLIENT, SECRET = "00000000-0000-0000-0000-00000000c11e", "azure-canary"
LOGIN, API = "login.microsoftonline.com", "management.azure.com"
GROUP = "/subscriptions/%s/resourceGroups/wan" % SUBSCRIPTION


def refusal(status, code, said):
    return status, {}, {"error": {"code": code, "message": said}}


class Azure:
    def __init__(self):
        self.vms, self.things = [], {}  # by id, what there is beside the VMs
        self.down = False
        self.forbidden = ""  # a part of the ids that may not be read
        self.asked = []

    def vm(self, name, public="", tags=(), power="running", state="Succeeded", published=""):
        at = GROUP + "/providers/Microsoft."
        vm, nic, ip = at + "Compute/virtualMachines/" + name, at + "Network/networkInterfaces/" + name, at + "Network/publicIPAddresses/" + name
        number = len(self.vms) + 4
        self.vms.append(
            {
                "id": vm,
                "name": name,
                "type": "Microsoft.Compute/virtualMachines",
                "location": "westeurope",
                "zones": ["1"],
                "tags": dict(tags),
                "properties": {
                    "vmId": "0f47b100-583c-48e3-a4c0-%012d" % number,
                    "provisioningState": state,
                    "timeCreated": "2026-11-24T00:00:00.0000000+00:00",
                    "hardwareProfile": {"vmSize": "Standard_B2s"},
                    "storageProfile": {
                        "osDisk": {"osType": "Linux", "name": name, "managedDisk": {"id": at + "Compute/disks/" + name}},
                        "dataDisks": [],
                    },
                    "osProfile": {"computerName": name, "linuxConfiguration": {"disablePasswordAuthentication": True}},
                    "networkProfile": {"networkInterfaces": [{"id": nic, "properties": {"primary": True}}]},
                },
            }
        )
        self.things[vm + "/instanceView"] = {
            "computerName": name,
            "osName": "debian",
            "osVersion": "12",
            "hyperVGeneration": "V2",
            "statuses": [{"code": "ProvisioningState/succeeded", "level": "Info"}, {"code": "PowerState/" + power, "level": "Info"}],
        }
        address = {"primary": True, "privateIPAddress": "10.1.1.%d" % number, "subnet": {"id": at + "Network/virtualNetworks/v/subnets/s"}}
        if public:
            address["publicIPAddress"] = {"id": ip}
            self.things[ip] = {"id": ip, "name": name, "properties": {"ipAddress": public, "publicIPAllocationMethod": "Static"}}
        self.things[nic] = {
            "id": nic,
            "name": name,
            **({"tags": {"mesh_host_key": published}} if published else {}),
            "properties": {"primary": True, "macAddress": "00-0D-3A-00-00-%02d" % number, "ipConfigurations": [{"name": "a", "properties": address}]},
        }

    def login(self, _host, _method, path, _query, _headers, body):
        if path.endswith("/.well-known/openid-configuration"):
            base = "https://%s/%s" % (LOGIN, TENANT)
            ends = {"token_endpoint": "token", "authorization_endpoint": "authorize", "device_authorization_endpoint": "devicecode"}
            return 200, {}, {"issuer": base + "/v2.0", **{key: "%s/oauth2/v2.0/%s" % (base, end) for key, end in ends.items()}}
        if path.endswith("/oauth2/v2.0/token"):
            form = dict(urllib.parse.parse_qsl(body.decode()))
            assert form["scope"].startswith("https://management.azure.com") and TENANT in path, (path, form["scope"])
            if (form["client_id"], form["client_secret"]) != (CLIENT, SECRET):
                return 401, {}, {"error": "invalid_client", "error_description": "AADSTS7000215: Invalid client secret provided."}
            return 200, {}, {"token_type": "Bearer", "expires_in": 3599, "access_token": "azure-token"}
        return 200, {}, {"tenant_discovery_endpoint": "https://%s/%s/v2.0/.well-known/openid-configuration" % (LOGIN, TENANT), "metadata": []}

    def play(self, _host, method, path, query, headers, body):
        if self.down:
            return 503, {"Content-Type": "text/plain"}, b"Service Unavailable"
        if headers.get("Authorization") != "Bearer azure-token":
            return refusal(401, "AuthenticationFailed", "Authentication failed.")
        assert query.get("api-version"), path
        if (method, path) != ("POST", "/batch"):
            assert method == "GET", (method, path)
            return self.get(path, query)
        responses = []
        for request in json.loads(body)["requests"]:
            url = urllib.parse.urlsplit(request["url"])
            assert request["httpMethod"] == "GET" and url.netloc in ("", API), request
            status, _, content = self.get(url.path, urllib.parse.parse_qs(url.query))
            responses.append({"name": request["name"], "httpStatusCode": status, "headers": {}, "content": content, "contentLength": 0})
        return 200, {}, {"responses": responses}

    def get(self, path, query):
        self.asked.append(path)
        if self.forbidden and self.forbidden in path:
            return refusal(403, "AuthorizationFailed", "The client does not have authorization to perform action 'read' over scope '%s'." % path)
        if path == "/subscriptions/%s/providers/Microsoft.Compute/virtualMachines" % SUBSCRIPTION:
            # Two pages, as for many machines.
            half = len(self.vms) // 2
            if "$skiptoken" in query or not half:
                return 200, {}, {"value": self.vms[half:]}
            return 200, {}, {"value": self.vms[:half], "nextLink": "https://%s%s?api-version=2024-07-01&%%24skiptoken=2" % (API, path)}
        if path in self.things:
            return 200, {}, self.things[path]
        return refusal(404, "ResourceNotFound", "The Resource '%s' was not found." % path)
