"""What lies in a root or a release: columns, keys, files, ledger, Parquet, tars, removals."""
