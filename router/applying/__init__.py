"""From a configuration file to the store: read, checked, planned, applied."""
