# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SSH host keys that routers publish themselves, as `wgmesh-cloud publish-host-key` does it.

The line is TYPE KEY wgmesh:MACHINE:PROOF. The proof is a signature of the router's name by the key, so that a router
that publishes the key of another one is told from its owner.
"""

from __future__ import annotations

import base64
import binascii
import re
import struct
import time

TYPES = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa")
COMMENT = re.compile(r"wgmesh:[\w.-]+:([A-Za-z0-9+/]+={0,2})")
LINK = re.compile(r"https://[^/]+/compute/v1/(projects/[a-z0-9.:-]+/zones/[a-z0-9-]+/instances/[a-z0-9-]+)")
SCOPE = "https://www.googleapis.com/auth/compute.readonly"
MISSING = "the permission compute.instances.getGuestAttributes is missing: allow it in a role of the account"

# Reasons of a 403 that ends by itself: Compute Engine's answer to an exceeded rate quota, and not to a missing permission.
OFTEN = {"ratelimitexceeded", "userratelimitexceeded", "quotaexceeded"}


class HostKeyError(Exception):
    """What is wrong, in words for the user."""


def key_of(line):
    """Type and key of a public key's line, without its comment; empty when it is not one. What mesh_plan_info takes for
    none is none here, or one router would have the whole mesh refused."""
    words = re.split("[ \t]+", line.strip(" \t")) if isinstance(line, str) and "\n" not in line and "\r" not in line else []
    if len(words) < 2 or words[0] not in TYPES:
        return ""
    try:
        blob = base64.b64decode(words[1], validate=True)
    except (binascii.Error, ValueError):
        return ""
    # RFC 4253 section 6.6: the type again, as a string with its length before it.
    kind = words[0].encode()
    plain = blob.startswith(struct.pack(">I", len(kind)) + kind) and base64.b64encode(blob).decode() == words[1]
    return " ".join(words[:2]) if plain else ""


def proven(name, line):
    """Whether the line has a signature of the router's name by its own key."""
    words = line.split()
    comment = COMMENT.fullmatch(words[2]) if len(words) == 3 and words[0] == "ssh-ed25519" else None
    if not comment:
        return False
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        public = Ed25519PublicKey.from_public_bytes(base64.b64decode(words[1])[-32:])
        public.verify(base64.b64decode(comment.group(1)), b"wgmesh host key of " + name.encode())
    except (InvalidSignature, ValueError):
        return False
    return True


class Busy(HostKeyError):
    """Google does not say it now, of one VM. That is its trouble, and no other router's."""


class GuestAttributes:
    """Reads what VMs of Google Cloud say about themselves, with Google's application default credentials."""

    def __init__(self):
        try:
            import google.auth
            import google.auth.exceptions
            from google.auth.transport.requests import AuthorizedSession
        except ImportError as error:
            raise HostKeyError("guest attributes of GCP: google-auth and requests are needed: %s" % error) from None
        try:
            credentials, _project = google.auth.default(scopes=[SCOPE])
        except google.auth.exceptions.GoogleAuthError as error:
            raise HostKeyError("guest attributes of GCP: %s" % error) from None
        self.session = AuthorizedSession(credentials)
        self.silent = ""  # why nothing is asked any more

    def host_key(self, link):
        """The line that the VM at this selfLink has published; empty without one."""
        found = LINK.fullmatch(link)
        if not found:
            raise HostKeyError("guest attributes of GCP: %s is not the selfLink of an instance" % link)
        # Where gcp_compute asks as well. The token goes to no host that an answer names.
        url = "https://www.googleapis.com/compute/v1/%s/getGuestAttributes" % found.group(1)
        try:
            answer = self.ask(url)
            if answer.status_code == 404:
                return ""  # nothing is published, or the VM may not
            if answer.status_code == 429 or answer.status_code == 403 and OFTEN & reasons(answer):
                raise Busy("its guest attributes have been asked for too often")
            if answer.status_code == 403:
                raise HostKeyError("guest attributes of %s: %s" % (found.group(1), MISSING))
            if answer.status_code != 200:
                raise HostKeyError("guest attributes of %s: Google answers %d" % (found.group(1), answer.status_code))
            items = answer.json()["queryValue"]["items"]
            values = [item["value"] for item in items if (item["namespace"], item["key"]) == ("wgmesh", "mesh_host_key")]
        except HostKeyError:
            raise
        except (KeyError, TypeError, ValueError):
            return ""  # Google leaves empty lists out
        except Exception as error:  # of requests and of google-auth, each with a family of their own
            raise HostKeyError("guest attributes of %s: %s" % (found.group(1), error)) from None
        line = values[0].strip() if values and isinstance(values[0], str) else ""
        words = line.split()
        # Any process of the VM may have written it, and before core 2.19 texts are run as templates.
        return line if len(words) == 3 and COMMENT.fullmatch(words[2]) and key_of(line) else key_of(line) or "not a key" * bool(line)

    def ask(self, url):
        """The answer. Where Google has none, it is asked once more, and not for another VM:
        that takes 41 s for each."""
        from requests import ConnectionError as NoConnection, Timeout
        from requests.exceptions import SSLError

        if self.silent:
            raise Busy(self.silent)
        for attempt in range(2):
            time.sleep(attempt)
            try:
                answer = self.session.get(url, params={"queryPath": "wgmesh/mesh_host_key"}, timeout=20)
            except SSLError:
                raise  # which is a kind of the next one, and stays
            except (NoConnection, Timeout) as error:
                trouble = self.silent = "no answer (%s)" % type(error).__name__
                continue
            self.silent = ""
            if answer.status_code < 500:
                return answer
            trouble = "Google answers %d" % answer.status_code
        trouble = "its guest attributes could not be read: %s: run it again later" % trouble
        self.silent = self.silent and trouble
        raise Busy(trouble)


def reasons(answer):
    """Why Google refuses, in the words of both its kinds of errors."""
    try:
        error = answer.json()["error"]
        found = [one.get("reason") for one in [*error.get("errors", []), *error.get("details", [])]]
    except (AttributeError, KeyError, TypeError, ValueError):
        return set()
    return {one.lower().replace("_", "") for one in found if isinstance(one, str)}
