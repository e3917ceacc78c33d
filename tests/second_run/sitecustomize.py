"""Python reads this at its start: every process that the tests start keeps its state where they say."""

import second_database

second_database.install()
