"""Apps for ryu-manager.  Thin shims: they do the controller's I/O and decide nothing."""
