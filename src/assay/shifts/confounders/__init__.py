"""Interventions that come with Assay: local marks (`tag`, lettering, devices, ...) and changes of the whole image."""
