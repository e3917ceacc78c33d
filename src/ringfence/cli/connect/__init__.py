"""Programs that `ringfence connect` knows: one file each, with a `PROGRAM`."""
