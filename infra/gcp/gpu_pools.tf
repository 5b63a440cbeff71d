data "google_container_cluster" "this" {
  name     = var.cluster
  location = var.cluster_location
}

# Its roles are the least that a node needs; pods have identities of their own.
resource "google_service_account" "gpu_nodes" {
  account_id   = "angiopipe-gpu-nodes"
  display_name = "angiopipe: nodes of the GPU pools"
}

resource "google_project_iam_member" "gpu_nodes" {
  for_each = toset(["roles/container.defaultNodeServiceAccount", "roles/artifactregistry.reader"])

  project = var.project
  role    = each.key
  member  = google_service_account.gpu_nodes.member
}

resource "google_container_node_pool" "gpu" {
  for_each = var.gpu_pools

  name           = each.key
  cluster        = data.google_container_cluster.this.id
  node_locations = length(each.value.node_locations) > 0 ? each.value.node_locations : null

  # The whole pool's bounds, whatever the number of zones.
  autoscaling {
    total_min_node_count = each.value.min_nodes
    total_max_node_count = each.value.max_nodes
    location_policy      = each.value.spot ? "ANY" : "BALANCED"
  }

  # The autoscaler decides from the first node on.
  initial_node_count = each.value.min_nodes

  management {
    auto_repair  = true
    auto_upgrade = true
  }

  upgrade_settings {
    max_surge       = 0
    max_unavailable = 1
  }

  node_config {
    machine_type    = each.value.machine_type
    spot            = each.value.spot
    disk_size_gb    = each.value.disk_gb
    disk_type       = each.value.disk_type
    image_type      = "COS_CONTAINERD"
    service_account = google_service_account.gpu_nodes.email
    oauth_scopes    = ["https://www.googleapis.com/auth/cloud-platform"]

    guest_accelerator {
      type  = each.value.accelerator
      count = each.value.gpus

      gpu_driver_installation_config {
        gpu_driver_version = each.value.driver_version
      }
    }

    # Streams images while they start: the training image need not be fetched whole first.
    gcfs_config {
      enabled = true
    }

    gvnic {
      enabled = true
    }

    shielded_instance_config {
      enable_secure_boot          = true
      enable_integrity_monitoring = true
    }

    workload_metadata_config {
      mode = "GKE_METADATA"
    }

    # Named like the resource, so that every pod that asks for a GPU tolerates it and no other pod comes here.
    taint {
      key    = "nvidia.com/gpu"
      value  = "present"
      effect = "NO_SCHEDULE"
    }

    labels = {
      "angiopipe/pool" = each.key
    }
  }

  lifecycle {
    ignore_changes = [initial_node_count]
  }
}
