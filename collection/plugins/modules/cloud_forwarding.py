#!/usr/bin/python
# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# The module itself is a binary, which the collection's action plugin brings to
# the host. This file is its documentation.

DOCUMENTATION = r"""
module: cloud_forwarding
short_description: Whether a cloud lets a VM forward packets that are not its own
version_added: 1.0.0
description:
  - Unless a VM is configured as a router, its cloud drops packets that the VM sends with another source address, and
    packets to the VM for another destination. This module configures that. It reads, changes that one setting and
    nothing else, waits, and reads back.
  - On AWS it is the source/destination check of each network interface, which is off for a router. The instance's
    attribute is never used, since EC2 refuses it for an instance with two interfaces.
  - On Azure it is IP forwarding of each network interface. Azure accepts an interface only as a whole. So everything
    that was read is written back with the one field changed, also fields that this module does not know, and only if
    nobody else wrote in between.
  - On GCP it is C(canIpForward) of the instance, which can be changed while it runs. The instance is written back as a
    whole in the same way, with the request that Google refuses an update that needs more than a refresh.
  - On the router itself, without any ids, it asks the cloud's metadata service for the identity of the machine and uses
    it. From the controller it needs ids, and uses the credentials that the vendor's own tools use.
  - If the cloud throttles requests, the module waits, within I(timeout). An error has the provider's code and request
    id, and names the missing permission.
  - Nothing is restarted.
options:
  cloud:
    description:
      - Which cloud the VM is in. With C(auto) it follows from the ids that are given, or else from the machine's
        firmware. No metadata service is asked to find out.
    type: str
    choices: [auto, aws, azure, gcp]
    default: auto
  state:
    description: Whether the VM may forward.
    type: str
    choices: [enabled, disabled]
    default: enabled
  interfaces:
    description:
      - C(all), C(primary), or the ids of network interfaces, which have to be the VM's. On AWS these are such as
        C(eni-0123456789abcdef0), on Azure resource ids or the names at their ends. On GCP forwarding is a
        property of the whole instance, and this option is refused.
      - An interface that a service of the cloud manages is not changed.
    type: list
    elements: str
    default: [all]
  instance_id:
    description: For AWS, from the controller, the instance.
    type: str
  region:
    description: For AWS, the region of I(instance_id). The default is C(AWS_REGION), or the region of the profile.
    type: str
  resource_id:
    description: For Azure, from the controller, the resource id of the VM.
    type: str
  project:
    description: For GCP, from the controller, the project's id. Goes with I(zone) and I(name).
    type: str
  zone:
    description: For GCP, from the controller, the zone.
    type: str
  name:
    description: For GCP, from the controller, the instance's name.
    type: str
extends_documentation_fragment: [wgmesh.router.attributes, wgmesh.router.cloud]
attributes:
  check_mode:
    details:
      - On AWS and GCP a missing permission is then a warning, found with DryRun or testIamPermissions.
  safe_file_operations:
    support: N/A
    details:
      - It writes no file.
author:
  - wgmesh.router contributors (@wgmesh)
notes:
  - On AWS a router's role needs C(ec2:DescribeNetworkInterfaces) and C(ec2:ModifyNetworkInterfaceAttribute). The second
    one can change security groups too, so limit it to the routers' interfaces, or run from the controller.
  - On Azure it needs C(Microsoft.Compute/virtualMachines/read), C(Microsoft.Network/networkInterfaces/read) and
    C(write), and, since an interface is written as a whole, C(join/action) on what it is part of - its subnet, security
    group, public address and load balancer pools. An error names the one that is missing. There is no dry run.
  - On GCP it needs C(compute.instances.get), C(compute.instances.update) and C(compute.zoneOperations.get). A router
    that does it by itself also needs the access scope C(compute) or C(cloud-platform), which an instance can get only
    while it is stopped.
  - Instances of a uniform scale set are refused, since their interfaces can only be set in the scale set.
seealso:
  - module: wgmesh.router.cloud_routes
  - name: What the cloud has to let a router do
    description: What each cloud asks for, and the policies to give.
    link: https://github.com/wgmesh/router/blob/main/docs/cloud-forwarding.md
"""

EXAMPLES = r"""
- name: Let the router forward, by its own role
  wgmesh.router.cloud_forwarding:

- name: Let it forward, from the controller
  wgmesh.router.cloud_forwarding:
    instance_id: i-0123456789abcdef0
    region: eu-central-1
  delegate_to: localhost
  environment:
    AWS_PROFILE: network

- name: Let an Azure VM forward, from a controller where somebody has used az login
  wgmesh.router.cloud_forwarding:
    resource_id: /subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/mesh/providers/Microsoft.Compute/virtualMachines/azure-1
  delegate_to: localhost

- name: Let a GCP instance forward, from the controller
  wgmesh.router.cloud_forwarding:
    project: example-mesh
    zone: europe-west3-a
    name: gcp-1
  delegate_to: localhost

- name: Let one interface forward
  wgmesh.router.cloud_forwarding:
    interfaces: [eni-0123456789abcdef0]
"""

RETURN = r"""
cloud:
  description: The cloud that was asked.
  returned: success
  type: str
  sample: aws
instance:
  description: The VM.
  returned: success
  type: str
  sample: i-0123456789abcdef0 in eu-central-1
interfaces:
  description: What I(interfaces) selected, as it is now.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: Id of the network interface. On GCP, where the setting belongs to the whole instance, its name.
      type: str
    primary:
      description: Whether it is the VM's first one.
      type: bool
    forwarding:
      description: Whether it may forward.
      type: bool
  sample: [{id: eni-0123456789abcdef0, primary: true, forwarding: true}]
verified:
  description: Whether the module has read from the cloud that all of I(interfaces) are as I(state) requires.
  returned: success
  type: bool
restart_required:
  description: Whether the VM has to be restarted. This is never the case.
  returned: success
  type: bool
done:
  description: What was done, in words, also when the module failed half-way.
  returned: changed
  type: list
  elements: str
  sample: ["eni-0123456789abcdef0: enabled forwarding"]
"""
