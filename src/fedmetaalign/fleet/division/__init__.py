"""How tables become devices, and how a device's samples are divided among testing and the phases."""
