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
  - On AWS these are the routes of route tables, which go to a network interface. An existing route is replaced, so that
    there is no moment without one. A missing route is created. Routes have no tags on AWS, so the mark is on the route
    table. Whoever makes the table tags it with C(wgmesh.router) and the mesh's name. A table without the tag is
    refused. In a table with the tag, a route of I(prefixes) that goes to a network interface, or no longer goes
    anywhere, is taken over. A route that goes to anything else (a transit gateway, a peering, a NAT gateway) is an
    error that names it. A managed prefix list that contains a part of one of I(prefixes), which AWS prefers to the
    route, is a warning.
  - On GCP these are static routes of a VPC network, which go to an instance. They cannot be changed. So a new route is
    made, and the old one is deleted when the new one exists. Routes of several routers exist side by side, and
    I(priority) decides which is used. Our routes have the mesh's name in their name and description, and others are
    never touched. A route of somebody else for the same network is an error that names it.
  - On Azure these are the routes of a route table, which go to an address, such as that of an internal load balancer.
    Only the one route is written, and only if nobody else wrote in between. Our routes have the mesh's name in their
    name, and others are never touched. A route of somebody else for the same network is an error that names it.
  - On the router itself, without I(via), it asks the cloud's metadata service for the identity of the machine and uses
    it. From the controller it needs I(via), and uses the credentials that the vendor's own tools use.
  - If the cloud throttles requests, the module waits, within I(timeout). An error has the provider's code and request
    id, and names the missing permission.
options:
  cloud:
    description:
      - Which cloud it is. With C(auto) it follows from the form of I(tables), from I(project), or else from the
        machine's firmware. No metadata service is asked to find out.
    type: str
    choices: [auto, aws, azure, gcp]
    default: auto
  state:
    description:
      - C(present) makes the routes. C(absent) removes them, but only those that go to I(via).
    type: str
    choices: [present, absent]
    default: present
  mesh:
    description: The mesh's name, up to 28 lower-case letters, digits and hyphens. Anything with the mark of another
      mesh is not touched.
    type: str
    required: true
  prefixes:
    description: The networks of the other sites, of both address families if the cloud supports them.
    type: list
    elements: str
    required: true
  tables:
    description:
      - The route tables. On AWS their ids, such as C(rtb-0123456789abcdef0), all of one region; on Azure their resource
        ids; on GCP, where a network is its own table, names of VPC networks, or
        C(projects/PROJECT/global/networks/NAME) for a network of another project, where routes go to the router's
        address.
    type: list
    elements: str
    required: true
  via:
    description:
      - The router to which the routes go. The default is the router on which the module runs.
      - On AWS a network interface, such as C(eni-0123456789abcdef0), by default the first one of this machine. On GCP
        an instance, such as C(zones/europe-west3-a/instances/gcp-1). On Azure an address, for two routers the address
        of their load balancer, by default the first address of this machine. It is required if this machine has several
        network interfaces.
    type: str
  region:
    description: For AWS, the region of I(via). The default is C(AWS_REGION), or the region of the profile.
    type: str
  project:
    description: For GCP, the id of the project of the networks. The default is the project of I(via), or of this
      machine.
    type: str
  priority:
    description:
      - For GCP, which of several routes for a network is used. The lowest priority wins, and routes of the same
        priority share the traffic. The default is 1000.
    type: int
extends_documentation_fragment: [wgmesh.router.attributes, wgmesh.router.cloud]
attributes:
  check_mode:
    details:
      - On AWS a missing permission is then a warning, found with DryRun. On GCP only the access scope is checked, and
        on Azure nothing can be checked.
  safe_file_operations:
    support: N/A
    details:
      - It writes no file.
author:
  - wgmesh.router contributors (@wgmesh)
notes:
  - On AWS a router's role needs C(ec2:DescribeRouteTables), C(ec2:CreateRoute), C(ec2:ReplaceRoute) and
    C(ec2:DeleteRoute), the last three limited to tables with the mark by the condition
    C(aws:ResourceTag/wgmesh.router). If tables have routes to managed prefix lists, except lists of gateway endpoints,
    it also needs C(ec2:GetManagedPrefixListEntries); without it a warning says that the lists are not checked.
  - On GCP it needs C(compute.routes.list), C(compute.routes.create), C(compute.routes.delete),
    C(compute.networks.updatePolicy), C(compute.instances.use) and C(compute.globalOperations.get), and on a router the
    access scope C(compute) or C(cloud-platform). For a network of another project (Shared VPC) it also needs
    C(compute.instances.get); the first four are then needed in the project of the network.
  - On Azure it needs C(Microsoft.Network/routeTables/read) and C(read), C(write) and C(delete) of
    C(Microsoft.Network/routeTables/routes).
  - On AWS a replacement has no precondition. So if somebody else changes a route in the milliseconds between our read
    and our write, that change is replaced as well.
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

- name: Send them to a router, from the controller
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
    table: {description: The route table., type: str}
    prefix: {description: The network., type: str}
    via: {description: Where it goes to. In words if that is not a router., type: str}
    priority: {description: On GCP its priority., type: int}
    name: {description: On Azure and GCP the route's name., type: str}
    trouble: {description: "Why the route carries no traffic, in the cloud's words.", type: str}
  sample: [{table: rtb-0123456789abcdef0, prefix: 10.0.0.0/16, via: eni-0123456789abcdef0}]
verified:
  description: Whether the module has read from the cloud that all of I(prefixes) are as I(state) requires.
  returned: success
  type: bool
done:
  description: What was done, in words, also when the module failed half-way.
  returned: changed
  type: list
  elements: str
  sample: ["rtb-0123456789abcdef0: 10.0.0.0/16: goes to eni-0123456789abcdef0 now, before to eni-0fedcba9876543210"]
"""
