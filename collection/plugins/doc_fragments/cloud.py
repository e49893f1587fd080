# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules that ask a cloud's API have in common."""


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  api_endpoint:
    description:
      - URL of the cloud's API, if it does not follow from the region or from the metadata service. AWS's regions in
        China and for governments do not need it.
      - For Azure from the controller, C(https://management.usgovcloudapi.net) or
        C(https://management.chinacloudapi.cn). For any other cloud, C(AZURE_AUTHORITY_HOST) sets the address for the
        login.
      - Google's follows from the universe of the instance or of the credentials.
    type: str
  metadata_endpoint:
    description: URL of the metadata service, if it is not the usual one. It is never reached through a proxy.
    type: str
  timeout:
    description: Seconds that the whole task may take.
    type: int
    default: 300
requirements:
  - The host on which it runs must reach the cloud's API, and on a router also the metadata service. No tool of the
    vendor and no Python package is needed.
  - >-
    On the router itself the machine's identity, from the controller the credentials of the vendor's tools - on AWS the variables
    C(AWS_...), a profile or SSO; on Azure the variables C(AZURE_...) or C(az login); on GCP C(GOOGLE_APPLICATION_CREDENTIALS) or
    C(gcloud auth application-default login).
  - The permissions that the notes name.
notes:
  - It was tested against moto, with signatures and policies enforced, and against stand-ins that were built from the
    vendors' documentation. It was never run against a live account.
"""
