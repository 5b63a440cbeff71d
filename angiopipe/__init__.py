"""From eight cerebral angiograms per patient to a registered aneurysm model."""
