"""Weights of other people's networks: read, matched to a trunk key by key, downloaded, found."""
