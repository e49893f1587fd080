#!/usr/bin/python
# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# The module itself is a binary, which the collection's action plugin brings to
# the host. This file is its documentation.

DOCUMENTATION = r"""
module: cloud_routes
short_description: Send other sites' networks to a router in a cloud's route tables
version_added: 1.0.0
description:
  - The VMs of a site in a cloud reach other sites by routes of the cloud, which send those sites' networks to a router.
    This module points such routes at the router that it runs on, or at one that is named. It changes the routes of
    I(prefixes) and nothing else, waits, and reads back.
  - On AWS it is the routes of route tables, which go to a network interface. Where there is a route it is replaced, so
    that there is no moment without one, and where there is none it is created. Routes have no tags there, so the route
    table carries the mark - whoever makes the table tags it with C(wgmesh.router) and the mesh's name. A table without
    it is refused. In a table with it, a route of I(prefixes) that goes to a network interface, or nowhere any more, is
    taken over. One that goes to anything else (a transit gateway, a peering, a NAT gateway) is an error that names it.
    A managed prefix list with a part of one of I(prefixes), which AWS prefers to the route, is a warning.
  - On GCP it is static routes of a VPC network, which go to an instance. They cannot be changed, so a new one is made,
    and the old one deleted when the new one is there. Routes of several routers stand beside each other, and
    I(priority) says which is used. Ours carry the mesh's name in their name and description, and others are never
    touched. One for the same network is an error that names it.
  - On Azure it is the routes of a route table, which go to an address, such as that of an internal load balancer. Only
    the one route is written, and only if nobody else wrote in between. Ours carry the mesh's name in their name, and
    others are never touched. One for the same network is an error that names it.
  - On the router itself, without I(via), it asks the cloud's metadata service who the machine is and uses the machine's
    own identity. From the control node it takes I(via), and the credentials that the vendor's own tools take.
  - Throttling is waited out within I(timeout). An error has the provider's code and request id, and names the
    permission that is missing.
options:
  cloud:
    description:
      - Which cloud it is. With C(auto) it follows from how I(tables) look, from I(project), or else from what the
        machine's firmware says. No metadata service is tried to find out.
    type: str
    choices: [auto, aws, azure, gcp]
    default: auto
  state:
    description:
      - C(present) makes the routes and C(absent) takes them away again, but only those that go to I(via).
    type: str
    choices: [present, absent]
    default: present
  mesh:
    description: The mesh's name, up to 28 small letters, digits and hyphens. What carries the mark of another one is
      not touched.
    type: str
    required: true
  prefixes:
    description: The networks of the other sites, of both families of addresses where the cloud takes them.
    type: list
    elements: str
    required: true
  tables:
    description:
      - The route tables. On AWS their ids, such as C(rtb-0123456789abcdef0), all of one region; on Azure their resource
        ids; on GCP, where a network is its own table, names of VPC networks, or
        C(projects/PROJECT/global/networks/NAME) for one of another project, where routes go to the router's address.
    type: list
    elements: str
    required: true
  via:
    description:
      - The router that the routes shall go to. By default the one that the module runs on.
      - On AWS a network interface, such as C(eni-0123456789abcdef0), by default the first one of this machine. On GCP
        an instance, such as C(zones/europe-west3-a/instances/gcp-1). On Azure an address, which for two routers is that
        of their load balancer, by default the first address of this machine, which
        has to be given where it has several network interfaces.
    type: str
  region:
    description: For AWS, the region of I(via). By default what C(AWS_REGION) or the profile says.
    type: str
  project:
    description: For GCP, the id of the project of the networks. By default that of I(via), or of this machine.
    type: str
  priority:
    description:
      - For GCP, which of several routes for a network is used. The lowest one wins, and routes of the same priority
        share the traffic. It is 1000 where nothing is said.
    type: int
extends_documentation_fragment: [wgmesh.router.attributes, wgmesh.router.cloud]
attributes:
  check_mode:
    details:
      - On AWS a missing permission is a warning then, found out with DryRun. On GCP it is the access scope only, and on
        Azure there is no way to ask.
  safe_file_operations:
    support: N/A
    details:
      - It writes no file.
author:
  - wgmesh.router contributors (@wgmesh)
notes:
  - What a router's role needs on AWS is C(ec2:DescribeRouteTables), C(ec2:CreateRoute), C(ec2:ReplaceRoute) and
    C(ec2:DeleteRoute), the last three limited to tables with the mark by the condition
    C(aws:ResourceTag/wgmesh.router). Where tables have routes to managed prefix lists, those of gateway endpoints
    apart, it is also C(ec2:GetManagedPrefixListEntries); without it a warning says that the lists are not looked into.
  - On GCP it is C(compute.routes.list), C(compute.routes.create), C(compute.routes.delete),
    C(compute.networks.updatePolicy), C(compute.instances.use) and C(compute.globalOperations.get), and on a router the
    access scope C(compute) or C(cloud-platform). For a network of another project (Shared VPC) it is also
    C(compute.instances.get); the first four are then needed in the project of the network.
  - On Azure it is C(Microsoft.Network/routeTables/read) and C(read), C(write) and C(delete) of
    C(Microsoft.Network/routeTables/routes).
  - To replace a route on AWS cannot be made to depend on what is there, so one that somebody else puts in within the
    milliseconds between our read and our write is replaced as well.
seealso:
  - module: wgmesh.router.cloud_forwarding
  - name: How a cloud's VMs find their router
    description: What covers a router's death on each cloud, and the policies to give.
    link: https://github.com/wgmesh/router/blob/main/docs/cloud-routes.md
"""

EXAMPLES = r"""
- name: Send the other sites' networks to this router, by its own role
  wgmesh.router.cloud_routes:
    mesh: example
    tables: [rtb-0123456789abcdef0]
    prefixes: [10.0.0.0/16, 10.1.0.0/16]

- name: Send them to a router, from the control node
  wgmesh.router.cloud_routes:
    mesh: example
    tables: [rtb-0123456789abcdef0]
    prefixes: [10.0.0.0/16, 10.1.0.0/16]
    via: eni-0123456789abcdef0
    region: eu-central-1
  delegate_to: localhost
  environment:
    AWS_PROFILE: network

- name: Send them to the load balancer of two routers on Azure, where somebody has used az login
  wgmesh.router.cloud_routes:
    mesh: example
    tables: [/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/mesh/providers/Microsoft.Network/routeTables/nodes]
    prefixes: [10.0.0.0/16]
    via: 10.1.0.4
  delegate_to: localhost

- name: Send them to the first of two routers on GCP, and to this one when that one is stopped
  wgmesh.router.cloud_routes:
    cloud: gcp
    mesh: example
    tables: [mesh-vpc]
    prefixes: [10.0.0.0/16]
    priority: 1100

- name: Take the routes to this router away
  wgmesh.router.cloud_routes:
    mesh: example
    tables: [rtb-0123456789abcdef0]
    prefixes: [10.0.0.0/16, 10.1.0.0/16]
    state: absent
"""

RETURN = r"""
cloud:
  description: The cloud that was asked.
  returned: success
  type: str
  sample: aws
via:
  description: The router that I(via) names, or that the module runs on.
  returned: success
  type: str
  sample: eni-0123456789abcdef0
routes:
  description: What the tables say about I(prefixes) now, in check mode as well.
  returned: success
  type: list
  elements: dict
  contains:
    table:
      description: The route table.
      type: str
    prefix:
      description: The network.
      type: str
    via:
      description: What it goes to. In words where that is not a router.
      type: str
    priority:
      description: On GCP its priority.
      type: int
    name:
      description: On Azure and GCP the route's name.
      type: str
    trouble:
      description: Why the route carries nothing, in the cloud's words.
      type: str
  sample: [{table: rtb-0123456789abcdef0, prefix: 10.0.0.0/16, via: eni-0123456789abcdef0}]
verified:
  description: Whether the cloud was read and said that all of I(prefixes) are as I(state) wants them.
  returned: success
  type: bool
done:
  description: What was done, in words, also when the module failed half-way.
  returned: changed
  type: list
  elements: str
  sample: ["rtb-0123456789abcdef0: 10.0.0.0/16: goes to eni-0123456789abcdef0 now, before to eni-0fedcba9876543210"]
"""
