"""Values that are missing: counted, dropped or filled, and features that a device lacks."""
