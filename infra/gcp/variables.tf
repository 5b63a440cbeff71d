variable "project" {
  type        = string
  description = "The project's id, not its number."

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project))
    error_message = "project: expected 6 to 30 lower-case letters, digits and hyphens, as in example-project."
  }
}

variable "region" {
  type        = string
  description = "Of the bucket and the image registry, such as europe-west4; the cluster should lie in it."

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "region: expected a region as in europe-west4."
  }
}

variable "cluster" {
  type        = string
  description = "The name of an existing GKE cluster with workload identity."

  validation {
    condition     = length(var.cluster) > 0
    error_message = "cluster: expected the name of a cluster."
  }
}

variable "cluster_location" {
  type        = string
  description = "The cluster's region or zone, such as europe-west4 or europe-west4-a."

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+(-[a-z])?$", var.cluster_location))
    error_message = "cluster_location: expected a region or zone as in europe-west4 or europe-west4-a."
  }
}

variable "gpu_pools" {
  type = map(object({
    machine_type   = string
    accelerator    = string
    gpus           = number
    max_nodes      = number
    min_nodes      = optional(number, 0)
    spot           = optional(bool, false)
    disk_gb        = optional(number, 200)
    disk_type      = optional(string, "pd-balanced")
    driver_version = optional(string, "LATEST")
    node_locations = optional(list(string), [])
  }))
  description = "GPU node pools by name; nodes exist only while pods ask for them. gpus are of each node."

  default = {
    gpu-l4 = {
      machine_type = "g2-standard-8"
      accelerator  = "nvidia-l4"
      gpus         = 1
      max_nodes    = 4
    }
  }

  validation {
    condition     = length(var.gpu_pools) > 0 && alltrue([for name in keys(var.gpu_pools) : can(regex("^[a-z][a-z0-9-]{0,38}[a-z0-9]$", name))])
    error_message = "gpu_pools: expected at least one pool, named with 2 to 40 lower-case letters, digits and hyphens."
  }

  validation {
    condition     = alltrue([for pool in values(var.gpu_pools) : contains([1, 2, 4, 8, 16], pool.gpus)])
    error_message = "gpu_pools: expected 1, 2, 4, 8 or 16 gpus a node."
  }

  validation {
    condition     = alltrue([for pool in values(var.gpu_pools) : pool.min_nodes >= 0 && pool.max_nodes >= 1 && pool.min_nodes <= pool.max_nodes && pool.max_nodes <= 100])
    error_message = "gpu_pools: expected 0 <= min_nodes <= max_nodes and 1 <= max_nodes <= 100."
  }

  validation {
    condition     = alltrue([for pool in values(var.gpu_pools) : pool.disk_gb >= 100])
    error_message = "gpu_pools: expected disk_gb of at least 100; the training image with CUDA is large."
  }
}

variable "bucket" {
  type        = string
  description = "The bucket to make, for shards, runs, MLflow's artifacts and backups. Its name is the world's."

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9_-]{1,61}[a-z0-9]$", var.bucket))
    error_message = "bucket: expected 3 to 63 lower-case letters, digits, hyphens and underscores."
  }
}

variable "kept_versions_days" {
  type        = number
  description = "For how many days an overwritten or deleted object can be brought back."
  default     = 30

  validation {
    condition     = var.kept_versions_days >= 1 && floor(var.kept_versions_days) == var.kept_versions_days
    error_message = "kept_versions_days: expected a whole number of days, at least 1."
  }
}

variable "pipelines_namespace" {
  type        = string
  description = "Where Kubeflow Pipelines runs the steps and training workers."
  default     = "kubeflow"
}

variable "servers_namespace" {
  type        = string
  description = "Where MLflow and Flink run."
  default     = "angiopipe"
}
