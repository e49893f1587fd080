# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hosts on which a service of a Consul catalogue runs."""

DOCUMENTATION = r"""
name: consul
short_description: The hosts on which a service of a Consul catalogue runs
version_added: 1.0.0
description:
  - Asks an agent or a server of Consul for the instances of one service, and makes each a host. What is registered
    about an instance becomes variables that begin with C(consul_). Only reads, and needs only Python.
  - The file's name ends in C(consul.yml) or C(consul.yaml).
  - If Consul withholds something because the token may not read it, that is an error and not a smaller inventory. An
    answer without any host is an error too, since Consul gives the same answer to a token that it does not know.
  - Registered texts are never run as templates.
notes:
  - The ACL token is taken from the file in C(token_file), or from the environment variable C(CONSUL_HTTP_TOKEN). It is
    not an option, so that it is in no file of the inventory. It is never printed.
  - The token needs C(service:read) for the service and C(node:read) for the nodes on which it runs.
options:
  plugin:
    description: This plugin.
    type: str
    required: true
    choices: [wgmesh.router.consul]
  url:
    description:
      - The address of Consul, such as C(https://consul.example:8501).
      - An address without C(https://), as Consul's own programs use it in the environment variable, means plain HTTP,
        unless the environment variable C(CONSUL_HTTP_SSL) is C(true).
    type: str
    default: http://127.0.0.1:8500
    env:
      - name: CONSUL_HTTP_ADDR
  token_file:
    description: File that contains the ACL token and nothing else. If not set, C(CONSUL_HTTP_TOKEN) is used. Without
      either, no token is sent.
    type: path
    env:
      - name: CONSUL_HTTP_TOKEN_FILE
  ca_file:
    description: Certificates of the authorities that may have signed Consul's certificate. If not set, the authorities
      that the system trusts.
    type: path
    env:
      - name: CONSUL_CACERT
  client_cert:
    description: Certificate to show to a Consul that asks for one.
    type: path
    env:
      - name: CONSUL_CLIENT_CERT
  client_key:
    description: Private key of C(client_cert).
    type: path
    env:
      - name: CONSUL_CLIENT_KEY
  use_proxy:
    description: Whether to use the proxies of the environment. They would see the token if Consul is used without TLS.
    type: bool
    default: false
  timeout:
    description: Seconds that one answer may take. There is one for each datacenter.
    type: int
    default: 10
  service:
    description: Name of the service whose instances are the hosts.
    type: str
    default: wgmesh-router
  datacenters:
    description:
      - The datacenters to ask for. The default is the datacenter of the agent that C(url) names.
      - C(*) means all that the agent knows.
    type: list
    elements: str
    default: []
  tags:
    description: Take only instances with all these tags.
    type: list
    elements: str
    default: []
  meta:
    description: Take only instances whose metadata have all these values.
    type: dict
    default: {}
  passing:
    description:
      - Take only instances whose checks all pass, including the checks of the node.
      - Routers that are down for a moment stay members of their mesh, so this is off.
    type: bool
    default: false
  stale:
    description:
      - Whether a server that is not the leader may answer. This works while there is no leader. The answer can be old,
        which is then a warning.
    type: bool
    default: false
  hostname:
    description: Jinja2 expression that gives a host's name from its variables.
    type: str
    default: consul_node
  allow_empty:
    description: Whether no instance at all is a valid answer.
    type: bool
    default: false
extends_documentation_fragment:
  - ansible.builtin.constructed
  - ansible.builtin.inventory_cache
author: wgmesh.router contributors (@wgmesh)
"""

EXAMPLES = r"""
# The first line alone is all instances of the service wgmesh-router that the local agent
# knows. This is offices.consul.yml: the routers of the mesh wan in two datacenters, which their metadata
# describe.
plugin: wgmesh.router.consul
url: https://consul.example:8501
ca_file: /etc/ssl/consul-ca.pem
token_file: /etc/wgmesh/consul.token
datacenters: [munich, vienna]
meta: {mesh: wan}
strict: true
compose:
  mesh_id: consul_service_meta.mesh_id
  mesh_site: consul_service_meta.mesh_site
  mesh_endpoint: consul_service_meta.mesh_endpoint
groups:
  routers: true
keyed_groups:
  - key: consul_datacenter
    prefix: datacenter
"""

import ipaddress
import json
import os
import re
import socket
import ssl
import urllib.error
import urllib.parse

from ansible.errors import AnsibleParserError
from ansible.module_utils.urls import open_url
from ansible.plugins.inventory import BaseInventoryPlugin, Cacheable, Constructable
from ansible.utils.unsafe_proxy import wrap_var

MISSING = "give a token with service:read for {0} and node:read in token_file or CONSUL_HTTP_TOKEN"


class InventoryModule(BaseInventoryPlugin, Constructable, Cacheable):
    NAME = "wgmesh.router.consul"

    def verify_file(self, path):
        return super().verify_file(path) and path.endswith(("consul.yml", "consul.yaml"))

    def parse(self, inventory, loader, path, cache=True):
        super().parse(inventory, loader, path, cache)
        given = self._read_config_data(path)
        self.token = ""
        try:
            for option in sorted(set(given) - set(self._options)):
                raise ConsulError("%s is not an option of this plugin: see ansible-doc -t inventory %s" % (option, self.NAME))
            instances = self.cached(self.get_cache_key(path), cache)
            for name, variables in self.hosts(instances):
                self.add(name, variables)
        except ConsulError as error:
            raise AnsibleParserError(self.line(path, error)) from None

    def line(self, path, error):
        """One line, which has the token in no case."""
        text = " ".join(str(error).split())
        return "%s: %s" % (path, text.replace(self.token, "[redacted]") if self.token else text)

    def cached(self, key, cache):
        """What Consul says, or said when Ansible's cache has it. Filters come later, so that a change of them counts at once."""
        wanted = self.get_option("cache")
        if wanted and cache:
            try:
                return self._cache[key]
            except KeyError:
                pass  # not there, or too old
        instances = self.ask()
        if wanted:
            self._cache[key] = instances
        return instances

    def ask(self):
        """All instances of the service, as /v1/health/service gives them."""
        self.token = self.read_token()
        url, service = self.base(), self.get_option("service")
        datacenters = self.get_option("datacenters") or [""]
        if "*" in datacenters:
            datacenters = self.get(url + "/v1/catalog/datacenters", {}, list)
        instances = []
        for datacenter in datacenters:
            query = {"dc": datacenter} if datacenter else {}
            instances += self.get("%s/v1/health/service/%s" % (url, urllib.parse.quote(service, safe="")), query, list)
        return instances

    def base(self):
        url = self.get_option("url").rstrip("/")
        if "://" not in url:
            url = ("https://" if os.environ.get("CONSUL_HTTP_SSL", "").lower() in ("true", "1") else "http://") + url
        try:
            parts = urllib.parse.urlsplit(url)
            fine = parts.scheme in ("http", "https") and parts.hostname and not parts.username and not parts.query and (parts.port or True)
        except ValueError:
            fine = False
        if not fine:
            raise ConsulError("url or CONSUL_HTTP_ADDR is not an address of Consul: expected such as https://consul.example:8501")
        return url

    def read_token(self):
        path = self.get_option("token_file")
        if not path:
            token, where = os.environ.get("CONSUL_HTTP_TOKEN", "").strip(), "CONSUL_HTTP_TOKEN"
        else:
            where = "token_file %s" % path
            try:
                with open(path, encoding="utf-8") as file:
                    token = file.read().strip()
            except (OSError, UnicodeDecodeError) as error:
                raise ConsulError("%s cannot be read: %s" % (where, getattr(error, "strerror", None) or "it is not text")) from None
            if not token:
                raise ConsulError("%s is empty: expected the ACL token and nothing else" % where)
        # A header takes one line of ASCII, and Python would print the rest in its error.
        if not re.fullmatch(r"[!-~]*", token):
            raise ConsulError("%s holds no ACL token: expected one word" % where)
        return token

    def get(self, url, query, kind):
        """One answer, decoded."""
        if self.get_option("stale"):
            query = dict(query, stale="")
        if query:
            url += "?" + urllib.parse.urlencode(query)
        try:
            answer = open_url(
                url,
                headers={"X-Consul-Token": self.token} if self.token else {},
                timeout=self.get_option("timeout"),
                ca_path=self.get_option("ca_file"),
                client_cert=self.get_option("client_cert"),
                client_key=self.get_option("client_key"),
                use_proxy=self.get_option("use_proxy"),
                follow_redirects="none",  # who answers there would get the token
                http_agent="wgmesh.router.consul",
            )
            text, headers = answer.read(), answer.headers
        except urllib.error.HTTPError as error:
            raise ConsulError("%s: %s" % (url, self.refused(error))) from None
        except (OSError, ssl.SSLError, urllib.error.URLError) as error:
            raise ConsulError("%s: %s" % (url, no_answer(error, self.get_option("timeout")))) from None
        except Exception as error:  # what http.client says about an answer that is not HTTP, and Ansible about a missing ca_file
            said = str(error)
            if said.startswith("proxy URL"):  # Python quotes all of it, with the password
                said = "http_proxy or https_proxy is not the URL of a proxy: expected http://user:password@host:port"
            raise ConsulError("%s: no answer of Consul: %s" % (url, said)) from None
        if headers.get("X-Consul-Results-Filtered-By-ACLs") == "true":
            raise ConsulError("%s: Consul kept a part of its answer back: %s" % (url, MISSING.format(self.get_option("service"))))
        if self.get_option("stale") and headers.get("X-Consul-KnownLeader") == "false":
            age = int(headers.get("X-Consul-LastContact") or 0) // 1000
            self.display.warning("%s: Consul has no leader; its answer is %d s old or more" % (url, age))
        try:
            value = json.loads(text)
        except ValueError:
            value = None
        if not isinstance(value, kind):
            raise ConsulError("%s: this is not an answer of Consul: expected a JSON list" % url)
        return value

    def refused(self, error):
        try:
            said = error.read(300).decode("utf-8", "replace").strip()
        except Exception:
            said = ""
        said = "Consul answers %d%s" % (error.code, ": " + said if said else "")
        if error.code in (401, 403):
            said += "; " + MISSING.format(self.get_option("service"))
        return said

    def hosts(self, instances):
        """The name and the variables of each host that the options want."""
        found = {}
        for instance in instances:
            variables = self.variables(instance)
            if not self.wanted(variables):
                continue
            name = self.name(variables)
            other = found.setdefault(name, variables)
            if other is not variables:
                raise ConsulError(
                    "host %s is there twice, as %s and as %s: take one from the catalogue, or set hostname so that the names differ"
                    % (name, where(other), where(variables))
                )
        if not found and not self.get_option("allow_empty"):
            raise ConsulError(
                "Consul has no instance of the service %s with these tags and metadata; or the token may not read it: %s, or set allow_empty"
                % (self.get_option("service"), MISSING.format(self.get_option("service")))
            )
        return sorted(found.items(), key=lambda item: item[0])

    def variables(self, instance):
        try:
            node, service, checks = instance["Node"], instance["Service"], instance.get("Checks") or []
            return marked(
                {
                    "ansible_host": address(service.get("Address") or node["Address"], service["ID"], node["Node"]),
                    "consul_node": node["Node"],
                    "consul_node_id": node.get("ID") or "",
                    "consul_node_address": node["Address"],
                    "consul_node_meta": node.get("Meta") or {},
                    "consul_datacenter": node.get("Datacenter") or "",
                    "consul_tagged_addresses": node.get("TaggedAddresses") or {},
                    "consul_service": service["Service"],
                    "consul_service_id": service["ID"],
                    "consul_service_address": service.get("Address") or "",
                    "consul_service_port": service.get("Port") or 0,
                    "consul_service_tags": service.get("Tags") or [],
                    "consul_service_meta": service.get("Meta") or {},
                    "consul_status": status(check.get("Status") for check in checks),
                }
            )
        except (AttributeError, KeyError, TypeError):
            raise ConsulError("this is not an answer of Consul: an instance lacks Node, Service or a part of them") from None

    def wanted(self, variables):
        meta = variables["consul_service_meta"]
        tagged = set(self.get_option("tags")) <= set(variables["consul_service_tags"])
        told = all(meta.get(key) == str(value) for key, value in self.get_option("meta").items())
        passing = variables["consul_status"] == "passing" or not self.get_option("passing")
        return tagged and told and passing

    def name(self, variables):
        expression = self.get_option("hostname")
        try:
            name = self._compose(expression, variables)
        except Exception as error:
            raise ConsulError("hostname %s gives no name for %s: %s" % (expression, where(variables), error)) from None
        # Names are used as templates here and there, and core 2.14 prints those that are marked as unsafe in a form of its own.
        if not isinstance(name, str) or not re.fullmatch(r"\w[\w.:@-]*", name):
            expected = "expected letters, digits and . - _ : @, a letter or digit first"
            raise ConsulError("hostname %s gives no name for %s: %s" % (expression, where(variables), expected))
        return "".join(list(name))

    def add(self, name, variables):
        self.inventory.add_host(name)
        for key, value in variables.items():
            self.inventory.set_variable(name, key, value)
        strict = self.get_option("strict")
        self._set_composite_vars(self.get_option("compose"), variables, name, strict=strict)
        self._add_host_to_composed_groups(self.get_option("groups"), variables, name, strict=strict)
        self._add_host_to_keyed_groups(self.get_option("keyed_groups"), variables, name, strict=strict)


class ConsulError(Exception):
    """What is wrong, in words for the user."""


def no_answer(error, timeout):
    """Why there is no answer, and what to do."""
    reason = getattr(error, "reason", error)
    if isinstance(reason, (socket.timeout, TimeoutError)) or "timed out" in str(reason):
        return "no answer of Consul within %d s, which timeout is" % timeout
    if isinstance(reason, ssl.SSLCertVerificationError):
        return "Consul's certificate is not trusted (%s): name the authority's in ca_file" % reason.verify_message
    said = getattr(reason, "strerror", None) or str(reason)
    return "no answer of Consul: %s; set url or CONSUL_HTTP_ADDR to an agent or a server that runs" % said


def address(text, service, node):
    """The address, unless ssh could take it for an option."""
    try:
        if "%" not in text and ipaddress.ip_address(text):
            return text
    except ValueError:
        pass
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.-]{0,252}", text):
        return text
    found = "service %s of node %s has the address %s" % (service, node, json.dumps(text)[:80])
    raise ConsulError(found + ": expected an IP address or a host name of letters, digits, . and -")


def marked(value):
    """With a mark on each text that could be a template. AWX trips over marks, so there are no others."""
    if isinstance(value, dict):
        return {key: marked(one) for key, one in value.items()}
    if isinstance(value, list):
        return [marked(one) for one in value]
    return wrap_var(value) if isinstance(value, str) and "{" in value else value


def status(found):
    """The worst of the checks, as Consul counts them. None is passing."""
    order = ["passing", "warning", "critical", "maintenance"]
    return max((text if text in order else "critical" for text in found), key=order.index, default="passing")


def where(variables):
    return "service %s of node %s in %s" % (
        variables["consul_service_id"],
        variables["consul_node"],
        variables["consul_datacenter"] or "its datacenter",
    )
