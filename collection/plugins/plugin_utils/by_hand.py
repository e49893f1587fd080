# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What adopt.sh read on a router, from text to types.

The text is the word of a host and is taken for no more: a line that is not of a known
form is refused, and nothing of it gets into an inventory but addresses, numbers, keys
and names of interfaces.
"""

from __future__ import annotations

import ipaddress
import json
import re

from ansible_collections.wgmesh.router.plugins.plugin_utils.answers import Key, Wrong

MOST_CHARACTERS = 1024 * 1024
MOST_LINES = 20000

INTERFACE = re.compile(r"[A-Za-z0-9_=+.-]{1,15}\Z")  # what wg-quick takes
WORD = re.compile(r"[A-Za-z]{1,20}\Z")
VALUE = re.compile(r"[A-Za-z0-9_.-]{0,40}\Z")
OF_FILES = ("ours", "line", "calls", "unit", "made")
PROTOCOL = re.compile(r"([A-Za-z0-9_.:-]{1,64})\s+([A-Za-z0-9]{2,10})\s+(?:\S+)\s+(?:up|down|start|stop|flush)\b")
ROUTE = re.compile(r"(\S+/\d+)\s+(unicast|blackhole|unreachable|prohibit)\b")
NEXT = re.compile(r"\s+via (\S+) on (\S+)|\s+dev (\S+)")
PUBLIC = Key(32, "a public key")


class Interface:
    """A WireGuard interface, as far as it is known."""

    def __init__(self, name):
        self.name = name
        self.key = ""
        self.port = 0
        self.mark = False
        self.mtu = 0
        self.addresses = []
        self.peers = {}  # public key: Peer
        self.ways = []  # networks that the main table sends into it
        self.lines = []  # [name, value] of the wg-quick file
        self.unit = ""  # the state of wg-quick@ of it, at a boot
        self.made = []  # who else makes it at a boot
        self.calls = None  # {public key: endpoint of the file}, None without a file


class Peer:
    """A peer of an interface."""

    def __init__(self):
        self.endpoint = None  # (address, port) or None
        self.allowed = []
        self.keepalive = 0


class Session:
    """A protocol of BIRD's."""

    def __init__(self, name, kind):
        self.name, self.kind, self.local, self.far, self.neighbor = name, kind, 0, 0, ""


class Found:
    """What a router has."""

    def __init__(self):
        self.interfaces = {}  # those of WireGuard that are not the mesh's
        self.unnamed = False  # there is one of a name that wg-quick does not take
        self.ours = set()
        self.names = set()  # of all interfaces
        self.addresses = []  # of the other interfaces
        self.bird = False
        self.sessions = []
        self.networks = {}  # network: next hop or "", of BIRD's static routes
        self.hops = {}  # network: next hop, of the main table, without those into WireGuard


def found(text):
    """Return what a router has. Raises Wrong where the text is not of adopt.sh."""
    if len(text) > MOST_CHARACTERS:
        raise Wrong("%d characters" % len(text), "at most %d" % MOST_CHARACTERS)
    out, links, routes, bird = Found(), [], [], []
    lines = text.replace("\r", "").split("\n")
    if len(lines) > MOST_LINES:
        raise Wrong("%d lines" % len(lines), "at most %d" % MOST_LINES)
    for number, line in enumerate(lines):
        word, tab, rest = line.partition("\t")
        if not tab:
            continue  # of what brought the script there
        try:
            if word == "bird":
                bird.append(rest)
            elif word == "ip":
                links = json.loads(rest)
            elif word == "route":
                routes += json.loads(rest)
            else:
                take(out, word, rest.split("\t"))
        except (ValueError, KeyError, IndexError, OverflowError, RecursionError, Wrong):
            # What was found is not repeated: it may be anything.
            raise Wrong("what is not of its form", "a line of adopt.sh", place(number + 1, word, rest.partition("\t")[0])) from None
    try:
        addresses(out, links)
        hops(out, routes)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        raise Wrong("what is not of its form", "what ip -j addr show and ip -j route show print", "ip") from None
    routing(out, bird)
    for name in out.ours:
        out.interfaces.pop(name, None)
    return out


def place(number, word, name):
    """Say what a line is about, in words that may go into a play."""
    of = " of " + ("/etc/wireguard/%s.conf" % name if word in OF_FILES else name) if INTERFACE.match(name) else ""
    return "line %d%s%s" % (number, " (%s)" % word if WORD.match(word) else "", of)


def take(out, word, fields):
    """Take one line about WireGuard."""
    name = fields[0]
    if word in OF_FILES:
        about_file(out, name, word, fields)
        return
    if word not in ("key", "port", "mark", "endpoint", "allowed", "keepalive"):
        raise ValueError(word)
    if not INTERFACE.match(name):
        out.unnamed = True
        return
    interface = out.interfaces.setdefault(name, Interface(name))
    if word == "key":
        interface.key = "" if fields[1] == "(none)" else PUBLIC(fields[1])
    elif word == "port":
        interface.port = port(fields[1])
    elif word == "mark":
        interface.mark = fields[1] not in ("off", "0x0")
    elif word in ("endpoint", "allowed", "keepalive"):
        peer = interface.peers.setdefault(PUBLIC(fields[1]), Peer())
        value = fields[2]
        if word == "endpoint":
            peer.endpoint = endpoint(value)
        elif word == "allowed":
            peer.allowed = [] if value == "(none)" else [plain(ipaddress.ip_network, one) for one in value.split()]
        else:
            peer.keepalive = 0 if value == "off" else port(value)


def about_file(out, name, word, fields):
    """Take a line of a wg-quick file, or of who brings it up. One whose interface is not up says nothing, whatever its name: it is not adopted."""
    interface = out.interfaces.get(name)
    if interface is None:
        return
    if word == "ours":
        out.ours.add(name)
        return
    if word == "unit":
        interface.unit = form(VALUE, fields[1])
        return
    if word == "made":
        interface.made.append(form(VALUE, fields[1]))
        return
    if interface.calls is None:
        interface.calls = {}
    if word == "line":
        value = fields[2] if len(fields) > 2 else ""
        interface.lines.append((form(WORD, fields[1]), value if VALUE.match(value) else "?"))
    else:
        interface.calls[fields[1]] = fields[2]


def form(pattern, text):
    if not pattern.match(text):
        raise ValueError(text)
    return text


def port(text):
    number = int(text)
    if not 0 <= number <= 65535:
        raise ValueError(text)
    return number


def endpoint(text):
    """Return (address, port) of what wg shows, None without one."""
    if text == "(none)":
        return None
    host, colon, number = text.rpartition(":")
    return plain(ipaddress.ip_address, host.strip("[]").partition("%")[0]), port(number)


def plain(kind, text):
    """Return an address or a network. One may end in % and anything at all."""
    if "%" in text:
        raise ValueError(text)
    return kind(text)


def addresses(out, links):
    """Take what ip -j addr show prints."""
    for link in links:
        name = str(link.get("ifname", ""))
        out.names.add(name)
        interface = out.interfaces.get(name)
        if interface is not None:
            interface.mtu = int(link.get("mtu", 0))
        for one in filter(None, link.get("addr_info", ())):  # an old ip has empty ones
            address = plain(ipaddress.ip_interface, "%s/%d" % (one["local"], int(one["prefixlen"])))
            if address.ip.is_loopback or address.ip.is_link_local:
                continue
            if interface is not None:
                interface.addresses.append(address)
            elif name not in out.ours:
                out.addresses.append(address)


def hops(out, routes):
    """Take what ip -j route show prints."""
    for route in routes:
        via = plain(ipaddress.ip_address, str(route.get("gateway", "0.0.0.0")))
        dst = str(route["dst"]) if route["dst"] != "default" else "::/0" if via.version == 6 else "0.0.0.0/0"
        into = [out.interfaces[hop["dev"]] for hop in (route, *route.get("nexthops", ())) if hop.get("dev") in out.interfaces]
        for interface in into:
            interface.ways.append(plain(ipaddress.ip_network, dst))
        if "gateway" in route and not into:
            out.hops.setdefault(plain(ipaddress.ip_network, dst), str(via))


def routing(out, lines):
    """Take what birdc shows of the protocols and of the static routes."""
    session, network = None, None
    for line in lines:
        head = PROTOCOL.match(line)
        route = ROUTE.match(line)
        hop = NEXT.match(line)
        if line.startswith("BIRD "):
            out.bird = True
        elif head:
            session, network = Session(head.group(1), head.group(2)), None
            out.sessions.append(session)
        elif route:
            session, network = None, parsed(ipaddress.ip_network, route.group(1))
            if network is not None and network.prefixlen > 0:
                out.networks.setdefault(network, "")
        elif hop and network in out.networks:
            via, dev = hop.group(1), hop.group(2) or hop.group(3)
            if dev in out.interfaces or dev in out.ours:
                del out.networks[network]  # a way into a tunnel, and none of this site's
            elif via and parsed(ipaddress.ip_address, via) is not None:
                out.networks[network] = via
        elif session is not None:
            detail(session, line.strip())


def detail(session, line):
    """Take one line of birdc show protocols all."""
    name, colon, value = line.partition(":")
    value = value.strip()
    if name == "Local AS" and value.isdigit():
        session.local = int(value)
    elif name == "Neighbor AS" and value.isdigit():
        session.far = int(value)
    elif name in ("Neighbor address", "Neighbor range"):
        session.neighbor = str(parsed(ipaddress.ip_address if name.endswith("address") else ipaddress.ip_network, value.partition("%")[0]) or "")


def parsed(kind, text):
    try:
        return plain(kind, text)
    except ValueError:
        return None
