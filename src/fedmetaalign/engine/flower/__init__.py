"""The fleet over Flower: devices on machines of their own, reached through a SuperLink."""
