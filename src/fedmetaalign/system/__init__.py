"""What every program needs of the machine: files, locks, cores, extras and plug-ins."""
