variable "project" {
  description = "GCP project, by its id."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project))
    error_message = "project ${var.project}: expected a project's id, such as example-mesh, not its name or number."
  }
}

variable "region" {
  description = "GCP region. The zones of the inventory are its zones by their letters."
  type        = string

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "region ${var.region}: expected a region's name, such as asia-northeast1; a zone's letter belongs to the inventory."
  }
}

variable "image" {
  description = "Image that examples/packer made: projects/PROJECT/global/images/NAME, or .../family/wgmesh-router for the newest at each new VM."
  type        = string
}

variable "images" {
  description = "Another image for single routers, by name: to bring a new image to one router at a time."
  type        = map(string)
  default     = {}
}

variable "ssh_public_key" {
  description = "Who may log in as var.admin: one line of an authorized_keys file."
  type        = string

  validation {
    condition     = can(regex("^(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp256) AAAA", var.ssh_public_key))
    error_message = "ssh_public_key: expected a public key, ssh-ed25519 AAAA...; a private one never belongs here."
  }
}

variable "admin" {
  description = "The user that the guest agent makes on the routers."
  type        = string
  default     = "ansible"
}

variable "mesh" {
  description = "Name of the mesh, the label mesh of its routers. It begins the names of what is made here."
  type        = string
  default     = "wan"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,14}$", var.mesh))
    error_message = "mesh ${var.mesh}: expected a letter and up to 14 letters, digits and hyphens; GCP's names are made of it."
  }
}

variable "machine_type" {
  description = "Size of a router. GCP caps its network by its processors."
  type        = string
  default     = "n2-standard-2"
}

# The rest goes to ../mesh, which checks it.
variable "inventory" {
  description = "Path of the mesh's Ansible inventory."
  type        = string
  default     = "../inventory.yml"
}

variable "site" {
  description = "The site of the inventory that is made here."
  type        = string
  default     = "gcp"
}

variable "join_sources" {
  description = "Inventory files for routers that join by themselves (docs/join.md); none, and the mesh play peers them."
  type        = list(string)
  default     = []
}

variable "ssh_sources" {
  description = "IPv4 networks from which Ansible's controller reaches the routers over SSH."
  type        = list(string)
  default     = []
}
