# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with a mesh: each cause once, with the router that has it, what to do, and what follows from it.

A row is a dictionary: routers, ends, cause, do, kind, follows. Cause and do have at most MOST characters together. Routers are
whose cause it is, a tunnel's as "aws-1 - gcp-1" and two sites' as "aws - gcp", and ends these one by one; follows are the routers
that have no session or no way because of it.
"""

from __future__ import annotations

import re

from ansible_collections.wgmesh.router.plugins.plugin_utils.answers import disarmed, listed
from ansible_collections.wgmesh.router.plugins.plugin_utils.registered import once, registered, status

# As in pkg/cause, which makes most of the texts.
MOST = 160

# How many causes one router may have of itself: one that was taken over tells what it likes.
MOST_CAUSES = 20

# What a play registers, in its order; those of loops have a result for each item.
RESULTS = (
    "__mesh_kept_out", "__mesh_faults", "__mesh_plan", "__mesh_planned", "__mesh_preview", "__mesh_preflight", "__mesh_keypair", "__mesh_held", "__mesh_begun",
    "__mesh_gate", "__mesh_sealed", "__mesh_opened", "__mesh_floor", "__mesh_sysctl", "__mesh_tunnels",
    "__mesh_bird", "__mesh_links", "__mesh_kept", "__mesh_undone", "__mesh_confirmed", "__mesh_addresses", "__mesh_status",
    "__mesh_purged", "__mesh_forgotten", "__mesh_back",
    "__mesh_measured", "__mesh_measurable", "__mesh_throughput", "__mesh_table",
    "__routes_absent", "__routes_seen", "__routes_status", "__routes_set", "__routes_left",
    "__routes_installed", "__routes_told", "__routes_unit", "__routes_daemon",
    "__mesh_refusal",  # what follows from one above, or nothing else says
)  # fmt: skip
LOOPS = ("__mesh_call_known", "__mesh_call_told")

UNREACHED = "check that it runs, its address, and SSH in its firewall"

# What somebody else says, and what to do about it. Ansible, ssh, the kernel and the
# errors of Go say what is wrong and no more.
ADVICE = (
    # A task's timeout, as core says it before 2.19 and since. ssh may have tried all that time.
    (r"in the expected time frame|Timed out after", "check that it runs and what hangs there (its load, its disk), then run again"),
    (r"Permission denied \(|Too many authentication failures", "give ansible_user and a key that this router takes"),
    (r"REMOTE HOST IDENTIFICATION HAS CHANGED|Host key verification failed|No \S+ host key is known",
     "compare its host key with known_hosts, and mend the one that is wrong"),
    (r"Could not resolve hostname", "correct ansible_host in the inventory"),
    (r"connect to host|[Tt]imed out|Connection (?:closed|reset|refused)|no longer answers", UNREACHED),
    (r"[Mm]issing sudo password|sudo: .*password|Incorrect .* password|must have a tty",
     "let the user become root there without a password, or give it (-K)"),
    (r"restricted: cannot|account is currently not available", "give that user a login shell that runs commands (chsh -s /bin/sh)"),
    (r"[Nn]o space left on device", "make room on its disk (df -h), and run again"),
    (r"[Rr]ead-only file system", "mount it writable, or set wgmesh_remote_dir to a folder where programs may run"),
    (r"[Pp]ermission denied|[Oo]peration not permitted", "run as root (become: true)"),
    (r"is undefined|undefined variable|has no attribute", "set that variable in the inventory"),
    (r"fatal error: .*memory|[Cc]annot allocate memory",
     "give it more memory, or lift its limit (ulimit -v, a cgroup's memory.max), then run again"),
    (r"without a result", "look at that router (journalctl -b), and run again"),
)
OTHERWISE = "run again with -v, which shows more"

# What ssh and Ansible put before what they say.
CHATTER = re.compile(
    r"^(?:Task failed: |Module failed: |Action failed: |Failed to connect to the host via ssh: ?|"
    r"Data could not be sent to remote host \S+?\. Make sure this host can be reached over ssh: ?)+"
)

# What ssh says of its own connections on the controller, beside what the other end did.
OWN_WAY = re.compile(r"mux_client_|mm_(?:receive|send)_fd|ControlSocket|ControlPath|[Pp]roxy dialer|Broken pipe")

LOST = "ssh lost its connection"


def causes(hostvars, targeted, alive, goal="healthy", network=True):
    """Return the rows: of what failed, and unless network is false of what the routers have seen."""
    hostvars = once(hostvars)
    alive = [*alive, *(router for router in targeted if router not in alive and finished(hostvars[router]))]
    mesh = Mesh(hostvars, targeted, alive, goal, network)
    mesh.copied()
    for router in targeted:
        mesh.failed(router)
    for router in alive:
        mesh.own(router)
    mesh.refused()
    mesh.measured()
    mesh.missed()
    mesh.lacking()
    if network and goal == "healthy":
        mesh.carried()
    return mesh.rows()


def inventory(lines, hostvars):
    """Return the rows of what is wrong with an inventory, whether of one router or of no one."""
    found = {}
    for line in lines:
        router, _colon, rest = str(line).partition(": ")
        if router not in hostvars:
            router, rest = "the mesh", str(line)
        found.setdefault(fit(*halves(rest)), []).append(router)
    return [{"routers": sorted(routers), "ends": [], "cause": cause, "do": do, "kind": "plan", "follows": []} for (cause, do), routers in found.items()]


def blamed(rows, hostvars, targeted, alive, goal="healthy"):
    """Return the routers that a run is red for, of those that are still in it, each with whom its rows are about: a
    router that is a cause; where the cause is out of the run, those that miss it."""
    out = {}
    for row in rows:
        own = any(router in targeted for router in row["ends"])
        for router in row["ends"] if own else row["follows"]:
            if router in alive:  # what is refused is between two: the other one may be wrong
                out.setdefault(router, set()).update(row["routers"], row["follows"] if row["kind"] == "refused" else ())
    if not out and all(router in alive for row in rows for router in row["ends"] if router in targeted):
        for router in alive:
            if status(hostvars[router]).get(goal) is False:
                out[router] = {name for row in rows for name in row["routers"]} or {router}
    return {router: listed(sorted(names)) for router, names in out.items()}


class Mesh:
    """What the routers of one run have told."""

    def __init__(self, hostvars, targeted, alive, goal, network):
        self.hostvars, self.targeted, self.alive, self.goal = hostvars, targeted, alive, goal
        self.found = {}  # (cause, do, kind): [routers, their ends, follows]
        self.down = set()  # routers with a cause that explains why others miss them
        self.ill = set()  # those with one that explains no missing session
        self.twins = set()  # routers that have told the same key
        self.apart = set()  # pairs of which both sites have lost each other
        self.troubles = {router: self.seen(router) if network and router in alive else [] for router in targeted}
        # Who misses whom, and why: of several reasons the first that time cannot mend, or the first.
        self.misses = {
            router: {str(t["peer"]): t for t in sorted(reversed(troubles), key=lambda t: bool(t.get("final"))) if t.get("peer")}
            for router, troubles in self.troubles.items()
        }
        self.cuts = {(router, str(t["peer"])) for router, troubles in self.troubles.items() for t in troubles if t.get("cut")}

    def seen(self, router):
        seen = status(self.hostvars[router])
        if self.goal != "healthy" and seen.get(self.goal):
            return []
        # A peer that the inventory does not know is nobody's cause.
        return [t for t in seen.get("troubles") or [] if "cause" in t and (not t.get("peer") or str(t["peer"]) in self.hostvars)]

    def site(self, router):
        return str(self.hostvars[router].get("mesh_site", router))  # one may be a number, and another one a cloud's tag

    def add(self, router, cause, do, kind, follows=(), red=None):
        routers, ends, after = self.found.setdefault((*fit(cause, do), kind), (set(), set(), set()))
        routers.add(router if isinstance(router, str) else " - ".join(router))
        ends.update(red or ([router] if isinstance(router, str) else router))
        after.update(follows)

    def without(self, router, small=False):
        """Who misses a router, or is missed by it; for a small cause without those that have no session. Those who came to
        the end and miss nothing of it do not follow from it, whatever it says: it may lie."""
        pairs = {(a, router) for a in self.misses if router in self.misses[a]}
        well = {b for b in self.alive if finished(self.hostvars[b]) and router not in self.misses.get(b, {})}
        pairs |= {(router, b) for b in self.misses.get(router, {}) if b not in well}
        return {name for pair in pairs - (self.cuts if small else set()) for name in pair} - {router}

    def left(self, a, b):
        """Whether a misses b, and no cause of an end explains it."""
        if b not in self.misses.get(a, {}) or {a, b} & self.down or frozenset((a, b)) in self.apart:
            return False
        return (a, b) in self.cuts or not {a, b} & self.ill

    def failed(self, router):
        """What failed, or how the router left the run."""
        variables = self.hostvars[router]
        rows = failures(router, variables)
        if router in self.twins:
            rows = [row for row in rows if "own public key" not in row[1]]
        elif not rows and router not in self.alive:
            rows = [(router, "it left this run", "look at its messages above, and run again", "failed")]
        for of, cause, do, kind in rows:
            self.down.add(of)
            self.add(of, cause, do, kind, self.targeted if kind == "plan" and not self.planned() else self.without(of))

    def planned(self):
        """Whether most could plan: what one says of the inventory is its own then."""
        return 2 * sum("plan" in registered(self.hostvars[router], "__mesh_plan") for router in self.targeted) > len(self.targeted)

    def own(self, router):
        """What a router says about itself, which explains what others miss."""
        own = [t for t in self.troubles[router] if not t.get("peer") and not t.get("follows")]
        # Only what keeps all sessions down explains missing ones, as in Go's Sick.
        final = any(t.get("final") for t in own)
        if own:
            (self.down if final else self.ill).add(router)
        for i, trouble in enumerate(own[:MOST_CAUSES]):
            self.add(router, trouble["cause"], trouble.get("do"), "router", self.without(router, not final) if i == 0 else ())

    def measured(self):
        """What could not be measured. Some routers draw the table of all: most of them have to say the same."""
        tables = [drawn for drawn in self.results("__mesh_table") if drawn.get("tunnels")]
        said = [
            [((str(t["router"]), str(t["peer"])) if t.get("peer") else str(t["router"]), t["cause"], t.get("do")) for t in drawn["troubles"] or []]
            for drawn in tables
        ]
        for trouble in dict.fromkeys(trouble for list_ in said for trouble in list_):
            if sum(trouble in list_ for list_ in said) * 2 > len(said):
                self.add(*trouble, "measure")
        for router in self.targeted:
            for unserved in self.hostvars[router].get("__mesh_unserved") or []:
                for row in of_result(unserved["said"], "failed"):
                    self.add(str(unserved["router"]), *row)

    def results(self, name):
        found = [self.hostvars[router].get(name) or {} for router in self.alive]
        return [result for result in found if "troubles" in result]

    def copied(self):
        """Find the routers that have told the same key: a disk was copied, or two names are one machine. That others do
        not believe the new key of one follows from that, and that it cannot use the other's."""
        told = {}
        for router in self.targeted:
            key = registered(self.hostvars[router], "__mesh_keypair").get("public_key")
            if key:
                told.setdefault(str(key), []).append(router)
        for routers in told.values():
            if len(routers) > 1:
                self.down.update(routers)
                self.twins.update(routers)
                one = len({str(self.hostvars[router].get("ansible_host", router)) for router in routers}) == 1
                do = "correct ansible_host of one of them" if one else "empty /etc/machine-id of the copy, reboot it, and run again"
                self.add(sorted(routers), listed(sorted(routers), 60) + " have the same key", do, "refused", set().union(*map(self.without, routers)))

    def refused(self):
        """What a router told others and they do not use, such as a new key. What one says that several others do
        not believe does not count: its own keys are wrong, so it can use nobody's."""
        told = {}  # by whom it was told: who refuses it, and why
        for router in self.alive:
            for name in ("__mesh_sealed", "__mesh_opened", "__mesh_tunnels"):
                for pending in registered(self.hostvars[router], name).get("pending") or []:
                    if pending.get("refused") and str(pending["peer"]) in self.hostvars and str(pending["peer"]) not in self.twins:
                        told.setdefault(str(pending["peer"]), {})[router] = str(pending["reason"])
        wrong = set()
        for peer, reasons in sorted(told.items(), key=lambda item: (-len(item[1]), item[0])):
            for router, reason in reasons.items():
                if router not in wrong:
                    cause, do = halves(reason.removeprefix(peer + ": "))
                    if self.doubted(peer, reasons):
                        self.add((router, peer), peer + ": " + cause, do, "refused")
                        continue
                    self.down.add(peer)
                    self.add(peer, cause, do, "refused", {router})
            if len(reasons) > 1:
                wrong.add(peer)

    def doubted(self, peer, accusers):
        """Whether one router alone says it of another, and two that could see it do not. Either may be wrong then, or lie."""
        return len(accusers) == 1 and self.content(peer, accusers) >= 2

    def content(self, peer, accusers):
        """How many others could see what accusers say of a router, and do not. Those of its own site need not see it."""
        site = self.site(peer)
        others = [name for name in self.alive if name != peer and name not in accusers and self.site(name) != site]
        seen = [name for name in others if finished(self.hostvars[name]) and peer not in self.misses.get(name, {})]
        tunnels = [{str(tunnel.get("peer")) for tunnel in status(self.hostvars[name]).get("tunnels") or []} for name in seen]
        return sum(peer in peers for peers in tunnels)

    def missed(self):
        """Find the routers that cause others to miss them. A fault between only two routers is reported as it is."""
        for peer in sorted({peer for list_ in self.misses.values() for peer in list_}):
            if peer not in self.alive and peer not in self.down:
                # A router that joins by itself has nobody else in its run.
                self.blame(peer, "not in this run: " if self.goal == "healthy" else "")
        while True:
            # Pairs of which no end is a cause yet.
            left = sorted((a, b) for a in self.misses for b in self.misses[a] if self.left(a, b))
            if self.parted([(a, b) for a, b in left if not self.misses[a][b].get("alone")]):
                continue
            missed = [peer for _router, peer in left]
            worst = max(sorted(set(missed)), key=missed.count, default=None)
            if worst is None or missed.count(worst) < 2:  # one witness proves nothing
                break
            self.blame(worst)
        for pair in sorted({tuple(sorted(pair)) for pair in left}):
            # Both ends may have seen it: what time cannot mend says more. What is the other one's
            # alone counts where the tunnel is well. The witness is in the row, and not red.
            views = [self.misses[a][b] for a, b in (pair, pair[::-1]) if self.left(a, b)]
            alone = [view for view in views if view.get("alone")]
            if len(alone) < len(views):
                alone = [max((view for view in views if view not in alone), key=lambda v: bool(v.get("final")))]
            for view in alone:
                here = view.get("here") or view
                peer = str(view["peer"])
                sure = view.get("alone") and not self.doubted(peer, [a for a in self.misses if peer in self.misses[a]])
                self.add(pair, here["cause"], here.get("do"), "tunnel", red=[peer] if sure else None)

    def lacking(self):
        """Find the routers that do not bring a network of their site, which explains no missing session. Those whom most
        others do not believe it filter it, or lie."""
        told, lack, own = {}, {}, {}  # by who should bring it: who says so, and what; by the network: who lacks it; of whom it is their own
        for router, troubles in self.troubles.items():
            troubles = [t for t in troubles if t.get("network")]
            for trouble in troubles:
                lack.setdefault(trouble["network"], set()).add(router)
            for owner, trouble in [(str(owner), t) for t in troubles for owner in t.get("owners") or []]:
                if owner in self.hostvars and owner not in self.down and owner != router:
                    told.setdefault(owner, {}).setdefault(router, []).append(trouble)
        for owner, accusers in told.items():
            others = self.content(owner, accusers)
            theirs = [t for t in self.troubles.get(owner, ()) if not t.get("peer") and not t.get("follows")]
            for router, trouble in [(router, t) for router, troubles in accusers.items() for t in troubles[:MOST_CAUSES]]:
                network, here = trouble["network"], trouble.get("here") or trouble
                said = [t for t in theirs if network in t["cause"]]
                if said:
                    self.add(owner, said[0]["cause"], said[0].get("do"), "router", lack[network])
                elif len(accusers) <= max(1, others):
                    own.setdefault(router if others else (router, owner), {})[network] = here
                else:
                    self.add(owner, ("" if owner in self.alive else "not in this run: ") + trouble["cause"], trouble.get("do"), "route", lack[network])
        for router, networks in own.items():
            here = next(iter(networks.values()))
            if len(networks) > 1:
                here = {"cause": "no tunnel has a route to " + listed(sorted(networks)), "do": "look at birdc show route and ip route, here and there"}
            self.add(router, here["cause"], here.get("do"), "route")
        if not self.found:
            for router, troubles in self.troubles.items():
                for trouble in troubles:
                    self.add(router, trouble["cause"], trouble.get("do"), "route")

    def carried(self):
        """Find the routers that drop what others send through them now, since these have lost the site that it is for.
        If one alone says that it does so, it may lie."""
        ways = {}  # by who sends it, and to whom
        for router in self.alive:
            for way in status(self.hostvars[router]).get("ways") or []:
                ways.setdefault((router, str(way["peer"])), set()).add(way["network"])
        for router in self.alive:
            found = {}
            for lost in status(self.hostvars[router]).get("transit") or []:
                if not ways.get((str(lost["peer"]), router), set()).isdisjoint(lost["networks"]):
                    found.setdefault((lost["cause"], lost.get("do")), set()).add(str(lost["peer"]))
            for (cause, do), peers in list(found.items())[:MOST_CAUSES]:
                if len(peers) > 1:
                    self.add(router, cause, do, "router", peers)
                else:
                    self.add((router, *peers), router + ": " + cause, do, "router")

    def parted(self, left):
        """Find two sites of which each router misses each of the other's, and these miss nobody else. Nobody can tell
        which of the two it is, or what is between them."""
        near, sites = {}, {}
        for a, b in left:
            near.setdefault(a, set()).add(b)
            near.setdefault(b, set()).add(a)
        for name in self.alive:
            if name not in self.down:
                sites.setdefault(self.site(name), set()).add(name)
        of = {name: site for site, names in sites.items() for name in names}
        for a in sorted(set(near) & set(of)):
            ends = [of[a], *{of.get(b) for b in near[a]}]
            here, there = (sites.get(site, set()) for site in (ends[0], ends[-1]))
            if len(ends) != 2 or len(here | there) < 3 or any(near.get(x) != there for x in here) or any(near.get(x) != here for x in there):
                continue
            views = [(self.misses[x][y], x, y) for x, y in left if x in here | there]
            said = [view["cause"] for view, _x, _y in views]
            view, x, y = max(views, key=lambda v: said.count(v[0]["cause"]))
            seen = view.get("here") or view
            self.add(sorted(ends), "every tunnel, as %s - %s: %s" % (*sorted((x, y)), seen["cause"]), seen.get("do"), "tunnel", red=here | there)
            self.apart |= {frozenset((x, y)) for x in here for y in there}
            return True
        return False

    def blame(self, router, where=""):
        of = [a for a in self.misses if self.left(a, router)] or [a for a in self.misses if router in self.misses[a]]
        self.down.add(router)
        said = [(self.misses[a][router]["cause"], self.misses[a][router].get("do")) for a in of]
        cause, do = max(sorted(set(said)), key=said.count)
        self.add(router, where + str(cause), do, "tunnel", self.without(router))

    def rows(self):
        rows = []
        for (cause, do, kind), (routers, ends, follows) in self.found.items():
            after = follows if kind == "plan" else follows - ends
            rows.append({"routers": sorted(routers), "ends": sorted(ends), "cause": cause, "do": do, "kind": kind, "follows": sorted(after)})
        return sorted(rows, key=lambda row: (-len(row["follows"]), row["routers"], row["cause"]))


def finished(variables):
    """Whether a router came to the end of the run. With fewer forks than routers the first
    may have failed already when the last one is asked."""
    last = (status(variables), variables.get("__mesh_table") or {})
    return any("troubles" in seen and not seen.get("failed") for seen in last)


def failures(router, variables):
    """What failed on a router: (router, cause, do, kind), the first task that did only."""
    lost = variables.get("__mesh_lost")
    if lost:
        troubles = [t for t in (variables.get("__mesh_kept") or {}).get("troubles") or [] if t.get("peer") in lost and t.get("cause")]
        settled = (variables.get("__mesh_undone") or {}).get("changed", True)
        said = "its change cut off %s, %s" % (listed(sorted(map(str, lost))), "so it was taken back" if settled else "and another run has settled it")
        if not troubles:
            return [(router, said, "look at those tunnels before the next run", "lost")]
        do = squeezed("before the next run: " + plain(troubles[0].get("do") or OTHERWISE), 85)
        room = MOST - len(said + ": " + do)
        return [(router, said + (": " + squeezed(plain(troubles[0]["cause"]), room) if room >= 20 else ""), do, "lost")]
    for name in RESULTS:
        result = registered(variables, name)
        if isinstance(result, dict) and (result.get("failed") or result.get("unreachable") or result.get("causes")):
            planned = name in ("__mesh_faults", "__mesh_plan", "__mesh_planned", "__mesh_preview") and not result.get("by_controller")
            return [(router, *row) for row in of_result(result, "plan" if planned else "failed")]
    out = {}
    for name in LOOPS:
        for item in (variables.get(name) or {}).get("results") or []:
            if item.get("failed") or item.get("unreachable"):
                peer = str(item.get("item"))
                out.setdefault(peer, [(peer, *row) for row in of_result(item, "failed")])
    return [row for rows in out.values() for row in rows]


def of_result(result, kind):
    """What one failed result says: (cause, do, kind)."""
    kind = "no answer" if result.get("no_answer") else kind
    if result.get("causes"):
        return [(str(c.get("cause", "")), str(c.get("do") or ""), kind) for c in result["causes"][:MOST_CAUSES]]
    said = [line for line in (result.get("stderr_lines") or result.get("stdout_lines") or []) if str(line).strip()]
    if result.get("msg") == "non-zero return code" and said:
        return [(*of_text(plain(said[-1])), kind)]
    text = str(result.get("msg") or "it failed, and does not say why")
    if result.get("unreachable"):
        return [(*unreached(others_words(text) or (LOST if "mux_client_request_session" in text else text)), "unreachable")]
    text = CHATTER.sub("", " ".join(text.split()))
    if result.get("do"):
        return [(text, str(result["do"]), kind)]
    return [(*of_text(text), kind)]


def others_words(text):
    """The lines of ssh that are not about its own connections on the controller."""
    return "\n".join(line for line in text.splitlines() if not OWN_WAY.search(line))


def unreached(text):
    text = CHATTER.sub("", " ".join(text.split()))
    return text or "ssh does not say why it cannot be reached", advice(text) or UNREACHED


def gone(text):
    """What ssh says of a router that nothing more can be asked, and what to do, in one line."""
    cause, do = unreached(others_words(text) or LOST)
    return fit("it is gone: " + cause, do + ", then run again")


def halves(text):
    """A line in this project's words: what was found, and after its last colon what to do."""
    cause, _colon, do = text.rpartition(": ")
    return (cause, do) if cause and re.match(r"[a-z]+ ", do) else (text, "")


def of_text(text):
    """The same of a line of which nobody knows whose words it has."""
    return (text, "") if advice(text) else halves(text)


def advice(text):
    return next((do for pattern, do in ADVICE if re.search(pattern, text)), "")


def plain(text):
    """A text as one line that any terminal shows."""
    text = " ".join(str(text).replace("\u2026", "...").split())
    return plain_row(text)


def plain_row(text):
    """A row of a table, whose spaces stay."""
    return disarmed(re.sub(r"[^ -~]", "?", str(text)))


def squeezed(text, length):
    """A text without its middle, when it is too long."""
    if len(text) <= length:
        return text
    head = (length - 2) // 2
    return text[:head] + "..." + text[len(text) - (length - 3 - head):]


def fit(cause, do):
    """A cause and what to do in at most MOST characters. Those of pkg/cause fit already."""
    cause, do = plain(cause), plain(do or "")
    do = do or advice(cause) or OTHERWISE
    room = MOST - len(cause)
    do = squeezed(do, max(room, 90))
    return squeezed(cause, MOST - len(do)), do
