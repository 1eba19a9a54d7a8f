"""Who carries the requests: this process, or Flower."""
