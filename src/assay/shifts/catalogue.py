"""Named components, declared without importing what they need."""
