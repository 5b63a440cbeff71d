output "bucket" {
  description = "For object-store.env and the pipelines' data root."
  value       = google_storage_bucket.data.url
}

output "registry" {
  description = "For the images of the overlay."
  value       = "${google_artifact_registry_repository.images.location}-docker.pkg.dev/${var.project}/${google_artifact_registry_repository.images.repository_id}"
}

output "gpu_node_selectors" {
  description = "For training.yaml: what selects the nodes of each pool."
  value       = { for name, pool in var.gpu_pools : name => { "angiopipe/pool" = name, "cloud.google.com/gke-accelerator" = pool.accelerator } }
}
