"""The page that a person sees: it reads the tables of a run folder, computes nothing, and writes one HTML file."""
