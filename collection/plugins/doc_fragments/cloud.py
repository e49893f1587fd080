# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules that ask a cloud's API have in common."""


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  api_endpoint:
    description:
      - URL of the cloud's API, where it is not the one that follows from the region or from what the metadata service
        says. AWS's regions in China and of governments need none.
      - For Azure from the control node, C(https://management.usgovcloudapi.net) or
        C(https://management.chinacloudapi.cn). In yet another cloud C(AZURE_AUTHORITY_HOST) says where to log in.
      - Google's follows from the universe of the instance or of the credentials.
    type: str
  metadata_endpoint:
    description: URL of the metadata service, where it is not the usual one. It is never reached through a proxy.
    type: str
  timeout:
    description: Seconds that all of it may take.
    type: int
    default: 300
requirements:
  - The host that runs it reaches the cloud's API, on a router also its metadata service. No vendor's tool and no Python
    package.
  - >-
    On the router itself the machine's identity, from the control node the credentials of the vendor's tools - on AWS the variables
    C(AWS_...), a profile or SSO; on Azure the variables C(AZURE_...) or C(az login); on GCP C(GOOGLE_APPLICATION_CREDENTIALS) or
    C(gcloud auth application-default login).
  - The permissions that the notes name.
notes:
  - It was tested against moto, with signatures and policies enforced, and against stand-ins that were built from the
    vendors' documentation. It was never run against a live account.
"""
