"""The ways out that are known of, a module for each kind; each has `WAYS`. A new way is found by being there."""
