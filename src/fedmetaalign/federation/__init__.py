"""The protocol between the server and the devices: requests, replies, and how they travel."""
