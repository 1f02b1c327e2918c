"""The edge node: polls PLCs and publishes Sparkplug B and the Unified Namespace."""
