resource "google_storage_bucket" "data" {
  name     = var.bucket
  location = var.region

  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = false

  versioning {
    enabled = true
  }

  lifecycle_rule {
    condition {
      days_since_noncurrent_time = var.kept_versions_days
    }
    action {
      type = "Delete"
    }
  }

  lifecycle_rule {
    condition {
      age = 1
    }
    action {
      type = "AbortIncompleteMultipartUpload"
    }
  }
}

locals {
  # By Kubernetes service account; each pod gets its identity through workload identity, without a key.
  accounts = {
    mlflow          = { namespace = var.servers_namespace, name = "mlflow" }
    mlflow-backup   = { namespace = var.servers_namespace, name = "mlflow-backup" }
    flink           = { namespace = var.servers_namespace, name = "flink" }
    worker          = { namespace = var.pipelines_namespace, name = "angiopipe-worker" }
    pipeline-runner = { namespace = var.pipelines_namespace, name = "pipeline-runner" }
  }

  identity_pool = "principal://iam.googleapis.com/projects/${data.google_project.this.number}/locations/global/workloadIdentityPools/${var.project}.svc.id.goog"
}

data "google_project" "this" {
  project_id = var.project
}

resource "google_storage_bucket_iam_member" "data" {
  for_each = local.accounts

  bucket = google_storage_bucket.data.name
  role   = "roles/storage.objectUser"
  member = "${local.identity_pool}/subject/ns/${each.value.namespace}/sa/${each.value.name}"
}

resource "google_artifact_registry_repository" "images" {
  repository_id = "angiopipe"
  location      = var.region
  format        = "DOCKER"
  description   = "angiopipe's images"
}
