# What a router may do by itself: see who is there. Forwarding is set here, and its host
# key it publishes as a guest attribute, which needs no permission. Whoever may list
# instances reads the metadata of all of them, user-data too: no secret is there.
resource "google_service_account" "router" {
  account_id   = "${local.name}-router"
  display_name = "Routers of ${var.mesh}, ${var.site}"
}

resource "google_project_iam_custom_role" "router" {
  role_id     = replace("${local.name}_router", "-", "_")
  title       = "Router of ${var.mesh}, ${var.site}"
  description = "Discovery by gcp_compute and routers.yml, and cloud_forwarding that reads"
  permissions = [
    "compute.instances.get",
    "compute.instances.getGuestAttributes",
    "compute.instances.list",
  ]
}

resource "google_project_iam_member" "router" {
  project = var.project
  role    = google_project_iam_custom_role.router.id
  member  = "serviceAccount:${google_service_account.router.email}"
}
