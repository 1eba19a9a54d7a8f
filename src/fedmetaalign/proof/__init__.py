"""What the firmware computes and costs, shown on other runtimes and on emulated cores."""
