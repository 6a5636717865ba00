"""What is published: built, checked, installed into empty environments and tried there, as `make dist`."""
