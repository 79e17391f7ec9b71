"""Ryu's apps that other apps build on, under Ryu's names."""
