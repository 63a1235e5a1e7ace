"""One run in one process: settings, folder, loop, checkpoints, logs. Nothing is imported here."""
