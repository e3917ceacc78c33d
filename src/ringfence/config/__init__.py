"""The configuration `ringfence.yaml`: `schema` says what may stand in it, `load` reads it, `write` starts one."""
