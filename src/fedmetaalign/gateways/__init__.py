"""The processes of a real fleet: keys, certificates, and the SuperLink and SuperNodes that use them."""
