variable "location" {
  description = "Azure region with availability zones. The zones of the inventory are its zones 1, 2 and 3."
  type        = string
}

variable "image" {
  description = "Image that examples/packer made, by its resource id."
  type        = string

  validation {
    condition     = can(regex("^/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft\\.Compute/", var.image))
    error_message = "image ${var.image}: expected a resource id, /subscriptions/.../providers/Microsoft.Compute/images/..., which packer build prints last."
  }
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
    condition     = can(regex("^(ssh-ed25519|ssh-rsa) AAAA", var.ssh_public_key))
    error_message = "ssh_public_key: expected a public key, ssh-ed25519 AAAA...; a private one never belongs here."
  }
}

variable "admin" {
  description = "The user that Azure makes on the routers. It refuses admin and root."
  type        = string
  default     = "ansible"
}

variable "mesh" {
  description = "Name of the mesh, the tag mesh of its routers."
  type        = string
  default     = "wan"
}

variable "size" {
  description = "Size of a router. Azure caps its network by it, also what it forwards."
  type        = string
  default     = "Standard_F4s_v2"
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
  default     = "azure"
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
