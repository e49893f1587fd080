# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a router may answer, and for whom it may speak.

A router that was taken over answers whatever its new owner likes. So an answer
is taken for what it is: the words of the host that was asked. What a module does
not document is dropped with a warning, what is not of its type is refused, and a key or an
envelope counts only for that host and only for the tunnel that it was asked for.
Every answer of every module goes through accept(), and no other way leads in.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import json
import re

# How much of an answer is taken. A plan for a thousand routers is 2 MB.
MOST_CHARACTERS = 16 * 1024 * 1024
MOST_ELEMENTS = 20000
MOST_LINES = 20000
MOST_VALUES = 1000000  # of JSON, before it is read: an object takes 30 times the memory of its text
MOST_DEPTH = 24
LONGEST_LINE = 2000
# Seconds that a router's clock may be apart from the controller's, and nobody says so.
MOST_APART = 60
LONGEST_TEXT = 4 * 1024 * 1024
# How many warnings of one answer people are shown.
MOST_WARNINGS = 20


class Wrong(Exception):
    """What of an answer is wrong: which field, what was found, what was expected."""

    def __init__(self, found, expected, field=""):
        super().__init__(field)
        self.field, self.found, self.expected = field, found, expected

    def inside(self, name):
        """The same, seen from what holds the field."""
        between = "." if self.field and not self.field.startswith("[") else ""
        return Wrong(self.found, self.expected, name + between + self.field)


# What the agent of a CI takes for an order: ##[..], ##vso[..] and TeamCity's anywhere in a line, GitHub's ::word at its
# beginning, where a table may break it. Four hexadecimal digits are of an address, also in a range of them. And what
# Ansible takes for a template: before 2.19 it forgets that a text is a host's where the host was out of reach.
ORDER = re.compile(r"#(?=#[\w.-]*\[)|:(?=:(?![0-9A-Fa-f]{1,4}(?:-[0-9A-Fa-f]{0,4}:|(?![\w-])))[\w-])|\{(?=[{%#])")


def disarmed(text):
    """Return a text without what Ansible, or the agent of a CI, which reads all that a play prints, could take for an order."""
    return ORDER.sub(r"\g<0> ", text)


def printable(text, lines=False):
    """Return a text without what a terminal or an agent could take for an order or hide in it:
    controls, so ESC, CR and NUL, overrides of direction, zero width, lone surrogates.
    Only with lines it may have more than one."""
    if not text.isprintable():
        text = "".join(c if c.isprintable() or lines and c in "\n\t" else " " if c in "\n\t" else "" for c in text)
    return disarmed(text)


def line(text, most=LONGEST_LINE):
    """Return a text as one line that is not too long to read."""
    text = printable(text[: 4 * most])
    return text if len(text) <= most else text[: most - 1] + "…"


def too_much(output, most=MOST_CHARACTERS):
    """Say how much an output of a command is that nobody can hold, or None. Ansible makes a
    list of its lines, and a short line takes 30 times its own memory."""
    size = len(output)
    if size <= MOST_LINES:
        return None
    ends = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"  # of a line, to str.splitlines()
    lines = sum(output.count(end.encode() if isinstance(output, bytes) else end) for end in ends)
    return "%d MB in %d lines" % (size / 1e6, lines + 1) if size > most or lines > MOST_LINES else None


def values(text):
    """Count the values of a JSON text, or more: what is in its strings counts too."""
    return text.count(",") + text.count("[") + text.count("{")


def listed(names, most=60):
    """Return names as a part of a line, of at most so many characters, and how many more there are."""
    names = list(names)
    for count in range(min(len(names), most), 0, -1):
        text = ", ".join(names[:count]) + (" and %d more" % (len(names) - count) if count < len(names) else "")
        if len(text) <= most:
            return text
    more = " and %d more" % (len(names) - 1) if len(names) > 1 else ""
    return names[0][: most - len(more) - 3] + "..." + more if names else ""


def few(texts, most, what):
    """Return the texts that somebody can read. What is said of the others is the same for all routers, so that Ansible shows it once."""
    return texts if len(texts) <= most else texts[:most] + ["and %d more %s, which are not shown" % (len(texts) - most, what)]


def rows(count):
    """The most lines that a table of so many tunnels has, with what is below it."""
    return 4 * count + 20


def short(value):
    """Say in a few words what was found."""
    if isinstance(value, str):
        return json.dumps(line(value, 60), ensure_ascii=False)
    for container, words in ((dict, "an object"), (list, "a list")):
        if isinstance(value, container):
            return "%s of %d" % (words, len(value))
    return line(json.dumps(value), 40)  # null, true, a number


# The types. Each has the name that Ansible's documentation gives it, and returns
# the value, made harmless, or raises Wrong.


class Type:
    word = "any"

    def __call__(self, value):
        raise NotImplementedError

    def surplus(self, _value):
        """The fields of a value that nobody knows, so that they are dropped."""
        return ()


class Plain(Type):
    """A value of one of JSON's types. True is not a number."""

    def __init__(self, word, kinds, expected):
        self.word, self.kinds, self.expected = word, kinds, expected

    def __call__(self, value):
        if not isinstance(value, self.kinds) or (isinstance(value, bool) and bool not in self.kinds):
            raise Wrong(short(value), self.expected)
        if not isinstance(value, bool) and not -(2**63) <= value < 2**63:  # nor is NaN in between
            raise Wrong(short(value), self.expected)
        return value


class Text(Type):
    """A text. One that people read is cut where it is too long; one that has a
    form is refused unless it has it."""

    word = "str"

    def __init__(self, expected="a text", form=None, lines=False, null=False):
        self.expected, self.form, self.lines, self.null = expected, form, lines, null

    def __call__(self, value):
        if value is None and self.null:
            return None
        if not isinstance(value, str):
            raise Wrong(short(value), self.expected)
        if self.form:
            if not self.form(value):
                raise Wrong(short(value), self.expected)
            return value
        return printable(value[:LONGEST_TEXT], lines=True) if self.lines else line(value)


class Key(Text):
    """Base64 of a number of bytes. What was found is not repeated: it may be a
    secret in the wrong place."""

    def __init__(self, size, what, null=False):
        super().__init__("%s, base64 of %d bytes" % (what, size), null=null)
        self.size = size

    def __call__(self, value):
        if value is None and self.null:
            return None
        if not isinstance(value, str):
            raise Wrong(short(value), self.expected)
        try:
            raw = base64.b64decode(value, validate=True) if len(value) < 2 * self.size + 8 else b""
        except (binascii.Error, ValueError):
            raw = b""
        if len(raw) != self.size or base64.b64encode(raw).decode() != value:
            raise Wrong("a text of %d characters" % len(value), self.expected)
        return value


class List(Type):
    word = "list"

    def __init__(self, elements, most=MOST_ELEMENTS):
        self.elements, self.most = kind(elements), most

    def __call__(self, value):
        if not isinstance(value, list) or len(value) > self.most:
            raise Wrong(short(value), "a list of at most %d" % self.most)
        out = []
        for i, element in enumerate(value):
            try:
                out.append(self.elements(element))
            except Wrong as wrong:
                raise wrong.inside("[%d]" % i) from None
        return out

    def surplus(self, value):
        for element in value:
            yield from self.elements.surplus(element)


class Object(Type):
    """An object with these fields and no others. One whose name ends in ? may be
    missing. Others are dropped, or are wrong where all of it is for one purpose."""

    word = "dict"

    def __init__(self, fields, exactly=False):
        self.exactly = exactly
        self.fields = {name.rstrip("?"): (kind(value), not name.endswith("?")) for name, value in fields.items()}

    def __call__(self, value, complete=True):
        if not isinstance(value, dict):
            raise Wrong(short(value), "an object")
        more = sorted(set(value) - set(self.fields)) if self.exactly else []
        if more:
            raise Wrong("an unknown field", "%s and nothing else" % ", ".join(self.fields), line(more[0], 40))
        out = {}
        for name, (check, needed) in self.fields.items():
            try:
                if name in value:
                    out[name] = check(value[name])
                elif needed and complete:
                    raise Wrong("nothing", "a value")
            except Wrong as wrong:
                raise wrong.inside(name) from None
        return out

    def surplus(self, value):
        for name, one in value.items():
            if name not in self.fields:
                yield line(name, 40)
            else:
                yield from ("%s.%s" % (name, deeper) for deeper in self.fields[name][0].surplus(one))


class Whole(Type):
    """An object that is data for other modules on the same host, which check it."""

    word = "dict"

    def __init__(self, fields):
        self.known = Object(fields)

    def __call__(self, value):
        known = self.known(value)
        return {**self.harmless(value, 0), **known}

    def harmless(self, value, depth):
        if depth > MOST_DEPTH:
            raise Wrong("something nested deeper", "at most %d levels" % MOST_DEPTH)
        if isinstance(value, dict):
            return {line(name): self.harmless(one, depth + 1) for name, one in value.items()}
        if isinstance(value, list):
            return [self.harmless(one, depth + 1) for one in value]
        return line(value) if isinstance(value, str) else value


def kind(value):
    """A type, written as a list of one or as the fields of an object."""
    if isinstance(value, list):
        return List(value[0])
    return Object(value) if isinstance(value, dict) else value


def is_address(text):
    try:
        return "%" not in text and bool(ipaddress.ip_address(text))
    except ValueError:
        return False


BOOL = Plain("bool", (bool,), "true or false")
INT = Plain("int", (int,), "a whole number")
FLOAT = Plain("float", (int, float), "a number")
TEXT = Text()
NAME = Text("a name of 1 to 253 printable characters", lambda text: 0 < len(text) < 254 and text == printable(text))
ADDRESS = Text("an IP address", is_address)
PUBLIC_KEY = Key(32, "a WireGuard public key", null=True)
SEALING_KEY = Key(1216, "the public half of a sealing key", null=True)

PUBLIC = Object({"name": NAME, "public_key": PUBLIC_KEY, "sealing_key": SEALING_KEY}, exactly=True)
ENVELOPE = Object({"tunnel": INT, "from": NAME, "to": NAME, "generation": INT, "sealed": Key(1168, "a sealed key")}, exactly=True)
HELD = {"tunnel": INT, "peer": NAME, "psk_id": TEXT, "generation": INT}
KNOWN = {**HELD, "peer_public_key": PUBLIC_KEY}
PENDING = {"tunnel": INT, "peer": NAME, "reason": TEXT, "refused?": BOOL}
WAY = {
    "address": Text("an IP address or nothing", lambda text: not text or is_address(text)),
    "sent": INT, "received": INT, "min": FLOAT, "avg": FLOAT, "max": FLOAT, "mdev": FLOAT, "ping_error": TEXT,
    "mbits": FLOAT, "retransmits": INT, "blocked": BOOL, "missing": TEXT, "throughput_error": TEXT,
}  # fmt: skip

# What a module with the option guard returns, when that is not 0.
GUARDED = {
    "armed?": BOOL, "change?": TEXT, "worked?": [NAME], "worked_over?": [{"peer": NAME, "name": NAME, "address": TEXT}],
    "silent?": [NAME], "routed?": [TEXT],
}  # fmt: skip

# What is wrong: what was found, and what to do about it.
CAUSE = {"cause": TEXT, "do": TEXT}

# What each module returns, as its documentation has it: the tests compare the two.
ANSWERS = {
    "bird_config": {
        "pending": BOOL,
        "drained": BOOL,
        "drained_why": TEXT,
        "disruptive": [NAME],
        "established": [NAME],
        "source_addresses": List(ADDRESS, most=64),  # all other routers ping them
        "done?": [TEXT],
        **GUARDED,
    },
    "cloud_forwarding": {
        "cloud": TEXT,
        "instance": TEXT,
        "interfaces": [{"id": TEXT, "primary": BOOL, "forwarding": BOOL}],
        "verified": BOOL,
        "restart_required": BOOL,
        "done?": [TEXT],
    },
    "cloud_routes": {
        "cloud": TEXT,
        "via": TEXT,
        "routes": [{"table": TEXT, "prefix": TEXT, "via": TEXT, "priority?": INT, "name?": TEXT, "trouble?": TEXT}],
        "verified": BOOL,
        "done?": [TEXT],
    },
    "mesh_gate": {"removed": [NAME], "done?": [TEXT]},
    "mesh_guard": {"done?": [TEXT]},
    "mesh_measure": {
        "tunnels?": [{"router": TEXT, "peer": NAME, "name": NAME, "outside": WAY, "inside": WAY}],
        "lines?": [TEXT],
        "problems?": [TEXT],
        "troubles?": [{"router": NAME, "peer?": NAME, **CAUSE}],
    },
    "mesh_peer": {
        "router": NAME,
        "interface": NAME,
        "public": PUBLIC,
        "removed?": [{"name": NAME, "id": INT}],  # by older ones not
        "envelopes?": [ENVELOPE],
        "psks?": [HELD],
        "known?": [KNOWN],
        "pending?": [PENDING],
        "done?": [TEXT],
    },
    "mesh_plan": {
        "plan": Whole({
            "router": {"name": NAME, "id": INT, "site": TEXT, "zone": TEXT, "as": INT},
            "preshared_keys": [{"number": INT, "peer": NAME, "role": NAME, "interface?": NAME}],
        }),
        "left_out": [NAME],
        "faults?": [TEXT],  # its action plugin has it from the controller
    },
    "mesh_preflight": {"causes?": [CAUSE]},
    "mesh_preview": {"preview": Whole({"lines": [TEXT]})},
    "mesh_status": {
        "healthy": BOOL,
        "required_healthy": BOOL,
        "problems": [TEXT],
        "troubles": [
            {
                "peer": TEXT, **CAUSE, "here": CAUSE, "text": TEXT, "follows": BOOL, "final": BOOL, "alone": BOOL, "cut?": BOOL,
                "network?": TEXT, "owners?": [NAME],
            }
        ],  # fmt: skip
        "sick": [TEXT],
        "tunnels": [
            {
                "name": NAME, "peer": NAME, "healthy": BOOL, "handshake_age": FLOAT, "endpoint": TEXT, "rx": INT, "tx": INT, "rtt": FLOAT,
                "path_mtu": INT, "bgp": TEXT, "bfd": TEXT, "imported": INT, "preshared_key": BOOL,
            }
        ],  # fmt: skip
        "lines": [TEXT],
        "source_addresses": List(ADDRESS, most=64),
        "notes": [TEXT],
        "drained": BOOL,
        "ways?": [{"network": TEXT, "peer": NAME}],
        "transit": [{"peer": NAME, "networks": [TEXT], **CAUSE}],
        "drained_seconds": INT,
        "drained_why": TEXT,
        "ages": [{"what": TEXT, "peer": TEXT, "seconds": INT}],
        "reboot_required": BOOL,
        "time": INT,
        "failover": {"runs": BOOL, "trouble": TEXT, "rests": [TEXT]},
        "forwarded?": INT,
        "carried?": [{"name": NAME, "peer": NAME, "received": INT, "sent": INT}],
    },
    "mesh_steps": {"answers": Whole({})},  # its action plugin looks at each by itself
    "sysctl_router": {
        "path": TEXT,
        "reserved_ports": TEXT,
        "file_only": [TEXT],
        "defeated": [{"key": TEXT, "want": TEXT, "found": TEXT, "by": TEXT, "reason": TEXT}],
        "done?": [TEXT],
        **GUARDED,
    },
    "wg_keypair": {
        "public": PUBLIC,
        "name": NAME,
        "public_key": PUBLIC_KEY,
        "sealing_key": SEALING_KEY,
        "renewed?": BOOL,
        "done?": [TEXT],
        **GUARDED,
    },
    "wg_psk": {"envelopes?": [ENVELOPE], "psks": [HELD], "known?": [KNOWN], "pending": [PENDING], "done?": [TEXT], **GUARDED},
    "wg_tunnel": {
        "done?": [TEXT],
        **GUARDED,
        "stale": [NAME],
        "stale_peers": [NAME],
        "pending": [{"tunnel": NAME, "peer": NAME, "reason": TEXT, "refused?": BOOL}],
        "implementation": TEXT,
    },
}

# What pkg/ansible returns for every module.
COMMON = {
    "changed?": BOOL,
    "failed?": BOOL,
    "msg?": TEXT,
    "causes?": [CAUSE],
    "warnings?": [TEXT],
    "diff?": {"before?": Text(lines=True), "after?": Text(lines=True)},
}


def accept(module, host, arguments, answer):
    """Return what counts of the answer that a host gave to a module: a result that
    says what is wrong with it, when something is."""
    try:
        common = Object(COMMON)(answer)
        documented = Object(ANSWERS[module])(answer, complete=not common.get("failed"))
        for field, found, expected in claims(module, host, arguments, documented):
            if found != expected:
                raise Wrong(short(found), "%s, since it speaks for itself only" % expected, field)
    except Wrong as wrong:
        return failed(
            "%s: its answer to %s is not used: %s: found %s, expected %s" % (host, module, wrong.field or "all of it", wrong.found, line(wrong.expected, 300)),
            "take %s for taken over, unless somebody changed its program" % host,
        )
    if "warnings" in common and module != "mesh_preview":  # which is the controller's, and shows what others leave out
        common["warnings"] = few(common["warnings"], MOST_WARNINGS, "warnings")
    if "lines" in documented:
        asked = [arguments[option] for option in ("tunnels", "results") if isinstance(arguments.get(option), list)]
        documented["lines"] = few(documented["lines"], rows(sum(map(len, asked))), "lines")
    more = sorted(set(Object({**ANSWERS[module], **COMMON}).surplus(answer)))
    if more:  # the same words each time, which Ansible shows once
        common.setdefault("warnings", []).append(
            "%s: its answer to %s has %s, which nobody knows here, and which is not used: its program is another version, or somebody changed it"
            % (host, module, listed(more))
        )
    if common.get("failed"):
        common.setdefault("msg", "failed, and does not say why")
    return {**documented, **common}


def clocks(then, began, ended):
    """Lines about a router's clock: it told its time between two times here, however slow the way is. Nobody knows which of the
    two clocks is wrong, so it is a note and nothing depends on it."""
    behind, ahead = int(began) - then, then - int(ended)
    apart = max(behind, ahead)
    if apart <= MOST_APART:
        return []
    amount = next("%d %s" % (apart // size, unit) for size, unit in ((86400, "d"), (3600, "h"), (60, "min")) if apart >= 2 * size or size == 60)
    return ["its clock is %s %s the controller's: set the one that is wrong, as by chronyc makestep" % (amount, "behind" if behind > ahead else "ahead of")]


def failed(cause, do):
    """A failed result of the controller's own, with what to do also by itself."""
    return {"failed": True, "msg": "%s: %s" % (cause, do), "causes": [{"cause": cause, "do": do}], "by_controller": True}


def claims(module, host, arguments, answer):
    """What says for whom an answer speaks: the field, what was found, what was expected."""
    if module == "wg_keypair" and "public" in answer:
        yield "public.name", answer["public"]["name"], arguments.get("name")
        for key, value in answer["public"].items():
            yield key, answer.get(key), value
    if module == "mesh_plan" and "plan" in answer:
        yield "plan.router.name", answer["plan"]["router"]["name"], arguments.get("router")
    if module == "mesh_measure" and arguments.get("router") and not arguments.get("results"):
        yield from claims_of_ways(answer.get("tunnels", ()), arguments)
    if module == "mesh_peer":
        yield "router", answer.get("router", host), host
        yield "public.name", answer.get("public", {}).get("name", host), host
        yield from claims_of_tunnels(answer, host, {arguments.get("name")}, None)
    if module == "wg_psk":
        tunnels = [t for t in arguments.get("tunnels") or () if isinstance(t, dict)]
        initiated = {str(t.get("number")): t.get("peer") for t in tunnels if t.get("role") == "initiator"}
        yield from claims_of_tunnels(answer, arguments.get("name"), {t.get("peer") for t in tunnels}, initiated)


def claims_of_ways(results, arguments):
    """The same of what was measured: each tunnel that was asked for once. The peer's iperf3 is the peer's to miss, who serves."""
    left = {(str(t.get("peer")), str(t.get("name"))) for t in arguments.get("tunnels") or () if isinstance(t, dict)}
    for i, result in enumerate(results):
        field, way = "tunnels[%d]." % i, (result["peer"], result["name"])
        yield field + "router", result["router"], arguments["router"]
        yield field + "name", "%s to %s" % way[::-1], "%s to %s" % way[::-1] if way in left else "one result for each tunnel that it was asked for"
        left.discard(way)
        own = result["peer"] if arguments.get("state") == "serving" else result["router"]
        for side in ("outside", "inside"):
            yield field + side + ".missing", result[side]["missing"], own if result[side]["missing"] else ""


def claims_of_tunnels(answer, sender, peers, initiated):
    """The same of envelopes and of what is told of keys. Where it is not known which
    tunnels the sender initiates, the receiver finds out."""
    told = set()
    for i, envelope in enumerate(answer.get("envelopes", ())):
        field, number = "envelopes[%d]." % i, envelope["tunnel"]
        yield field + "from", envelope["from"], sender
        yield field + "to", envelope["to"], envelope["to"] if envelope["to"] in peers else " or ".join(sorted(map(str, peers)))
        if initiated is not None:
            yield field + "tunnel", "%s to %s" % (number, envelope["to"]), "%s to %s" % (number, initiated.get(str(number), "nobody"))
        yield field + "tunnel", number, number if number not in told else "one envelope for each tunnel"
        told.add(number)
    for field in ("psks", "known", "pending"):
        for i, entry in enumerate(answer.get(field, ())):
            yield "%s[%d].peer" % (field, i), entry["peer"], entry["peer"] if entry["peer"] in peers else "the router at the other end"
